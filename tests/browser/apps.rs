//! Unmodified apps used in a browser while access tokens keep expiring: JupyterLab, a page full of requests and
//! WebSockets, and Django's admin, classic forms with their own session and CSRF tokens.
//!
//! `make soak` uses each for ten minutes with tokens of 30 seconds.

use std::net::SocketAddr;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tokio::time::Instant;

use crate::chromium::{Browser, PATIENCE, Tab};
use crate::flows::{Site, sign_in};
use crate::support::port::free_port;
use crate::support::{PASSWORD, Setup, assert_eventually, http, measured};

/// A program of `.venv`, created by `.ci/setup test`.
fn program(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(".venv/bin").join(name);
    assert!(path.is_file(), "no {}: run `.ci/setup test`", path.display());
    path
}

/// Duration of use, and the access token lifetime during it; ten seconds is the minimum.
fn plan() -> (Duration, &'static str) {
    match std::env::var("DOORWARD_SOAK_MINUTES").ok().and_then(|minutes| minutes.parse().ok()) {
        Some(minutes) => (Duration::from_mins(minutes), "30s"),
        None => (Duration::from_secs(25), "10s"),
    }
}

/// Ends the app and its children when the pipe closes, which is when the test process ends.
const WATCHDOG: &str = "read -r nothing; kill -15 \"-$0\"; sleep 5; kill -9 \"-$0\"";

/// An app process; stopped when dropped.
struct App {
    child: Child,
    watchdog: Child,
    address: SocketAddr,
}

impl App {
    /// Starts `command` with the address and waits until `path` responds.
    async fn start(command: impl FnOnce(SocketAddr) -> Command, path: &str) -> Self {
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let mut command = command(address);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
        let child = command.spawn().expect("it starts");
        let mut watchdog = Command::new("sh");
        watchdog.args(["-c", WATCHDOG, &child.id().to_string()]).process_group(0);
        let watchdog = watchdog.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let app = Self { child, watchdog: watchdog.expect("a watchdog"), address };
        let host = format!("localhost:{}", address.port());
        assert_eventually("the app answers", PATIENCE, async || {
            let Ok(mut client) = http::Client::try_connect(address).await else { return false };
            client.try_send(&http::message("GET", path, &[("Host", &host)], b"")).await
                && client.response("GET").await.is_some_and(|response| response.status < 500)
        })
        .await;
        app
    }

    /// Starts a gateway in front of it with this access token lifetime.
    async fn site(&self, access_ttl: &str) -> Site {
        let routes = format!(
            "[upstreams.it]\nservers = [\"http://{}\"]\n\
             [[routes]]\nname = \"it\"\npath = \"/\"\naccess = \"signed-in\"\nupstream = \"it\"\n",
            self.address
        );
        let tokens = format!("access_ttl = \"{access_ttl}\"");
        Site::like("localhost", |setup| Setup { routes, tokens, ..setup }).await
    }
}

impl Drop for App {
    fn drop(&mut self) {
        // The watchdog does the rest.
        drop(self.watchdog.stdin.take());
        let _ = self.child.wait();
        let _ = self.watchdog.kill();
        let _ = self.watchdog.wait();
    }
}

/// The gateway's counters of the app's route: forwarded, refused without a valid token, and upgraded to WebSocket.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Counted {
    forwarded: f64,
    refused: f64,
    switched: f64,
    renewed: f64,
}

async fn counted(site: &Site) -> Counted {
    let text = site.gateway.probe("/metrics").await.text();
    let sum = |name: &str, of: &dyn Fn(&str) -> bool| -> f64 {
        let lines = text.lines().filter(|line| line.starts_with(name) && of(line));
        lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
    };
    let requests = |outcome: &'static str| {
        sum("doorward_requests_total{", &|line| line.contains(outcome) && line.contains("route=\"it\""))
    };
    Counted {
        forwarded: requests("outcome=\"forwarded\""),
        refused: requests("outcome=\"token_"),
        switched: requests("class=\"1xx\""),
        renewed: sum("doorward_access_tokens_issued_total{", &|line| line.contains("refresh")),
    }
}

/// Asserts that no request was redirected to the login although tokens expired.
fn assert_no_bounce(name: &str, began: Instant, before: Counted, after: Counted) {
    let took = began.elapsed();
    measured(format_args!(
        "{name}: {} requests in {took:?}, {} renewals, {} refused for their token, {} WebSockets opened anew",
        after.forwarded - before.forwarded,
        after.renewed - before.renewed,
        after.refused - before.refused,
        after.switched - before.switched,
    ));
    assert_eq!(after.refused, before.refused, "refused");
    assert!(after.renewed - before.renewed >= 2.0, "{before:?} {after:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn jupyterlab_runs_cells_while_access_tokens_expire() {
    let ((span, life), folder) = (plan(), tempfile::tempdir().expect("a folder"));
    let lab = |address: SocketAddr| {
        let mut command = Command::new(program("jupyter"));
        command.args(["lab", "--no-browser", "--allow-root", "--ip=127.0.0.1", "--ServerApp.port_retries=0"]);
        // Disables its own login, and exposes its menu commands to scripts.
        command.args(["--IdentityProvider.token=", "--expose-app-in-browser"]);
        command.arg(format!("--port={}", address.port()));
        command.arg(format!("--ServerApp.root_dir={}", folder.path().display()));
        for (variable, place) in [
            ("HOME", "home"),
            ("JUPYTER_CONFIG_DIR", "config"),
            ("JUPYTER_DATA_DIR", "data"),
            ("JUPYTER_RUNTIME_DIR", "runtime"),
            ("IPYTHONDIR", "ipython"),
        ] {
            command.env(variable, folder.path().join(place));
        }
        command
    };
    let app = App::start(lab, "/api").await;
    let (site, browser) = (app.site(life).await, Browser::start().await);
    let profile = browser.profile().await;
    let tab = profile.tab().await;
    tab.open(&site.url("/lab")).await;
    sign_in(&tab, PASSWORD).await;
    tab.until("!!window.jupyterapp?.commands?.hasCommand('notebook:create-new')").await;
    // Commands are not awaited here; their effects are.
    tab.run("jupyterapp.restored.then(() => { window.restored = true; }); null").await;
    tab.until("window.restored === true").await;
    tab.run("jupyterapp.commands.execute('notebook:create-new', { kernelName: 'python3' }); null").await;
    let kernel = "jupyterapp.shell.currentWidget?.context?.sessionContext?.session?.kernel";
    tab.until(&format!("{kernel}?.status === 'idle' && {kernel}.connectionStatus === 'connected'")).await;
    run_cell(&tab, 0).await;

    let (began, before) = (Instant::now(), counted(&site).await);
    let mut round = 1;
    while began.elapsed() < span {
        run_cell(&tab, round).await;
        // Not through the command, which first asks for a better name.
        tab.run("jupyterapp.shell.currentWidget.context.save(); null").await;
        tab.until("jupyterapp.shell.currentWidget.context.model.dirty === false").await;
        assert_eq!(tab.run(&format!("{kernel}.connectionStatus")).await, "connected");
        round += 1;
        // The thinking time of a user.
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    assert!(tab.url().await.starts_with(&site.url("/lab")), "{}", tab.url().await);
    let after = counted(&site).await;
    assert_no_bounce("JupyterLab", began, before, after);
    assert_eq!(after.switched, before.switched, "its WebSockets were closed and opened again");
}

/// Types a sum into the notebook's cell, runs it, and waits for the result.
async fn run_cell(tab: &Tab, round: u32) {
    let source = format!("print('round', {round}, 6 * 7 + {round})");
    tab.run(&format!(
        "(() => {{ const panel = jupyterapp.shell.currentWidget; panel.content.activeCellIndex = 0; \
         panel.content.activeCell.model.sharedModel.setSource({source:?}); \
         jupyterapp.commands.execute('notebook:run-cell'); return null; }})()"
    ))
    .await;
    let expected = format!("round {round} {}", 42 + round);
    tab.until(&format!(
        "[...document.querySelectorAll('.jp-OutputArea-output')].some((e) => e.innerText.includes('{expected}'))"
    ))
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn django_admin_saves_forms_while_access_tokens_expire() {
    let ((span, life), folder) = (plan(), tempfile::tempdir().expect("a folder"));
    let manage = |arguments: &[&str]| {
        let mut command = Command::new(program("python"));
        command.current_dir(folder.path()).arg("manage.py").args(arguments);
        command.env("DJANGO_SUPERUSER_PASSWORD", "django's own secret");
        command
    };
    let done = |mut command: Command| {
        let output = command.output().expect("it runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    let mut start = Command::new(program("django-admin"));
    start.current_dir(folder.path()).args(["startproject", "project", "."]);
    done(start);
    done(manage(&["migrate", "--verbosity=0"]));
    done(manage(&["createsuperuser", "--noinput", "--username=root", "--email=root@example.com"]));
    let serve =
        |address: SocketAddr| manage(&["runserver", "--noreload", "--insecure", &address.to_string()]);
    let app = App::start(serve, "/admin/login/").await;
    let (site, browser) = (app.site(life).await, Browser::start().await);
    let profile = browser.profile().await;
    let tab = profile.tab().await;
    tab.open(&site.url("/admin/auth/group/")).await;
    sign_in(&tab, PASSWORD).await;
    // Then Django asks for its own login, too.
    tab.until("!!document.querySelector('#id_username')").await;
    tab.fill("#id_username", "root").await;
    tab.fill("#id_password", "django's own secret").await;
    tab.click("input[type=submit]").await;
    tab.until("location.pathname === '/admin/auth/group/'").await;

    let (began, before) = (Instant::now(), counted(&site).await);
    let mut round = 0;
    while began.elapsed() < span {
        tab.open(&site.url("/admin/auth/group/add/")).await;
        tab.fill("#id_name", &format!("group {round}")).await;
        // The typing time of a user: the token that was valid when the page loaded may have expired.
        tokio::time::sleep(Duration::from_secs(2)).await;
        save(&tab, &format!("group {round}")).await;
        tab.open(&site.url(&format!("/admin/auth/group/{}/change/", round + 1))).await;
        tab.fill("#id_name", &format!("changed {round}")).await;
        save(&tab, &format!("changed {round}")).await;
        round += 1;
    }
    let after = counted(&site).await;
    assert_no_bounce("Django admin", began, before, after);
    // Each group was created and changed exactly once.
    tab.open(&site.url("/admin/auth/group/?q=changed")).await;
    let counted = tab.text(".paginator").await;
    assert!(counted.contains(&format!("{round} group")), "{counted}");
}

/// Submits Django's form and checks that it was accepted.
async fn save(tab: &Tab, name: &str) {
    tab.click("input[name=_save]").await;
    tab.until(&format!(
        "location.pathname === '/admin/auth/group/' && \
         !!document.querySelector('.messagelist .success')?.innerText.includes('{name}')"
    ))
    .await;
}
