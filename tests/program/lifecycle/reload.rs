//! `doorward serve` reloads its configuration: log lines and effects.

use std::fs;
use std::os::unix::fs::symlink;
use std::time::Duration;

use serde_json::Value;

use crate::app::TestApp;
use crate::eventually::assert_eventually;
use crate::house::House;
use crate::http;
use crate::load::Load;
use crate::measured::measured;
use crate::serving::Serving;
use crate::socket::Socket;
use crate::tls::{self, Trust, Tunnel};

const SOON: Duration = Duration::from_secs(30);

const PUBLIC: &str =
    "[[routes]]\nname = \"open\"\npath = \"/open\"\naccess = \"public\"\nupstream = \"app\"\n";

/// A gateway in front of an app, and its configuration text.
async fn serving() -> (TestApp, House, Serving, String) {
    let app = TestApp::start().await;
    let house = House::new(app.address(), "");
    let text = fs::read_to_string(house.path("gateway.toml")).expect("the file");
    let gateway = house.serve();
    (app, house, gateway, text)
}

async fn status(gateway: &Serving, path: &str) -> u16 {
    http::request(gateway.public, "GET", path, &[], b"").await.status
}

/// Next line with this reason.
fn line(gateway: &Serving, reason: &str) -> Value {
    serde_json::from_str(&gateway.process.complaint_with(&format!("\"{reason}\""))).expect("JSON")
}

#[tokio::test(flavor = "multi_thread")]
async fn sighup_applies_a_valid_file_and_ignores_a_broken_one() {
    let (_app, house, gateway, text) = serving().await;
    gateway.signal("HUP");
    line(&gateway, "reload_unchanged");
    assert_eq!(status(&gateway, "/open").await, 401);
    house.write("gateway.toml", &format!("{text}{PUBLIC}"));
    gateway.signal("HUP");
    assert_eq!(line(&gateway, "reloaded")["generation"], 2);
    assert_eq!(status(&gateway, "/open").await, 200);

    house.write("gateway.toml", &format!("{text}{}", PUBLIC.replace("public", "publik")));
    gateway.signal("HUP");
    let rejected = line(&gateway, "reload_rejected");
    let location = format!("gateway.toml:{}: routes[", text.lines().count() + 4);
    let problem = rejected["problem"].as_str().expect("a problem");
    assert!(problem.contains(&location) && problem.contains("publik"), "{rejected}");
    assert_eq!(rejected["level"], "ERROR");
    let warned = house.run(&["session", "revoke", "--all", "--yes"]);
    assert_eq!((warned.code, warned.out.as_str()), (Some(0), "sessions ended: 0\n"), "{}", warned.err);
    let is_warned = warned.err.starts_with("warning: the gateway rejects this file: ");
    assert!(
        is_warned && warned.err.contains(&location) && warned.err.contains("doorward check"),
        "{}",
        warned.err
    );
    assert_eq!(status(&gateway, "/open").await, 200, "the one before is in force");
    let ready = http::request(gateway.admin, "GET", "/readyz", &[], b"").await;
    assert!(ready.status == 200 && ready.text().contains(problem), "{}", ready.text());
    assert_eq!(gateway.stop().code(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn changed_file_is_applied_and_restart_only_settings_named() {
    let (_app, house, gateway, text) = serving().await;
    let listen = format!("listen = [\"{}\"]", gateway.public);
    let changed = text.replacen("listen = [\"127.0.0.1:0\"]", &listen, 1) + PUBLIC;
    let changed = changed.replace("[login]\n", "[login]\nhash_queue = 3\n");
    house.write("gateway.toml", &changed);
    assert_eq!(line(&gateway, "restart_needed")["keys"], "server.listen, login.hash_queue");
    assert_eq!(status(&gateway, "/open").await, 200);
    let key = fs::read_to_string(house.path("master.key")).expect("made at the start");
    assert!(key.len() > 40);
    house.write("master.key", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n");
    assert_eq!(line(&gateway, "restart_needed")["keys"], "server.listen, vault.master_key, login.hash_queue");
    house.write("master.key", &key);
    assert_eq!(line(&gateway, "restart_needed")["keys"], "server.listen, login.hash_queue");
}

#[tokio::test(flavor = "multi_thread")]
async fn mounted_configuration_reloads_when_its_folder_is_replaced() {
    let app = TestApp::start().await;
    let house = House::new(app.address(), "");
    let text = fs::read_to_string(house.path("gateway.toml")).expect("the file");
    // As Kubernetes mounts a ConfigMap: each update is a new folder, installed by one rename.
    for (version, text) in [("v1", text.clone()), ("v2", format!("{text}{PUBLIC}"))] {
        fs::create_dir_all(house.path(version)).expect("a folder");
        house.write(&format!("{version}/gateway.toml"), &text);
    }
    fs::create_dir(house.path("mount")).expect("a folder");
    symlink("../v1", house.path("mount/..data")).expect("a link");
    fs::remove_file(house.path("gateway.toml")).expect("removed");
    symlink("mount/..data/gateway.toml", house.path("gateway.toml")).expect("a link");
    let gateway = house.serve();
    assert_eq!(status(&gateway, "/open").await, 401);
    symlink("../v2", house.path("mount/..new")).expect("a link");
    fs::rename(house.path("mount/..new"), house.path("mount/..data")).expect("renamed");
    assert_eventually("it is in force", SOON, async || status(&gateway, "/open").await == 200).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn log_level_follows_the_reloaded_file() {
    let (_app, house, gateway, text) = serving().await;
    assert_eq!(status(&gateway, "/first").await, 401);
    let quiet = format!("{text}[log]\nlevel = \"warn\"\n{PUBLIC}");
    house.write("gateway.toml", &quiet);
    assert_eventually("it is in force", SOON, async || status(&gateway, "/open").await == 200).await;
    assert_eq!(status(&gateway, "/quiet").await, 401);
    house.write("gateway.toml", &text);
    assert_eventually("it is in force", SOON, async || status(&gateway, "/open").await == 401).await;
    assert_eq!(status(&gateway, "/last").await, 401);
    gateway.process.complaint_with("/first");
    let (status, _, rest) = {
        gateway.signal("TERM");
        gateway.process.end()
    };
    assert_eq!(status.code(), Some(0));
    assert!(
        rest.iter().any(|line| line.contains("/last")) && !rest.iter().any(|line| line.contains("/quiet")),
        "{rest:#?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn first_start_is_not_reported_as_a_change() {
    let house = House::empty();
    let gateway = house.serve();
    let metric = async |name: &str| {
        let text = http::request(gateway.admin, "GET", "/metrics", &[], b"").await.text();
        let line = text.lines().find(|line| line.starts_with(name)).expect("a line");
        line.rsplit(' ').next().and_then(|value| value.parse::<f64>().ok()).expect("a number")
    };
    assert_eventually("the file is known", SOON, async || metric("doorward_config_hash").await > 0.0).await;
    gateway.signal("HUP");
    line(&gateway, "reload_unchanged");
    assert_eq!(metric("doorward_config_generation").await, 1.0, "master.key was made by ourselves");
    assert!(metric("doorward_config_loaded_timestamp_seconds").await > 1.7e9);
}

/// One change under load: its name, its action and the log reason that confirms it.
type Step = (&'static str, fn(&House, &str, &TestApp), &'static str);

const STEPS: &[Step] = &[
    ("another route", |house, text, _| house.write("gateway.toml", &format!("{text}{PUBLIC}")), "reloaded"),
    (
        "a broken file",
        |house, text, _| house.write("gateway.toml", &format!("{text}[[routes]]\n")),
        "reload_rejected",
    ),
    (
        "a file that is named",
        |house, text, _| {
            house.write("vault.url", "sqlite:doorward.db\n\n");
            house.write("gateway.toml", text);
        },
        "reloaded",
    ),
    (
        "an app that has moved",
        |house, text, moved| {
            let line = text.lines().find(|line| line.starts_with("servers = ")).expect("an app");
            house.write(
                "gateway.toml",
                &text.replace(line, &format!("servers = [\"http://{}\"]", moved.address())),
            );
        },
        "reloaded",
    ),
    (
        "another certificate",
        |house, _, _| {
            for kind in ["key", "crt"] {
                fs::rename(house.path(&format!("next.{kind}")), house.path(&format!("app.{kind}")))
                    .expect("renamed");
            }
        },
        "reloaded",
    ),
    (
        "limits, keepalive, log",
        |house, text, _| {
            let server = "[server]\nkeepalive_timeout = \"30s\"\n";
            let text = text
                .replace("[server]\n", server)
                .replace("[admin]\n", "[server.limits]\nheader_deadline = \"9s\"\n[admin]\n");
            house.write("gateway.toml", &format!("{text}[log]\nlevel = \"warn\"\n"));
        },
        "reloaded",
    ),
];

#[tokio::test(flavor = "multi_thread")]
async fn reloads_under_load_lose_no_request_and_close_no_socket() {
    let (app, moved) = (TestApp::start().await, TestApp::start().await);
    let house = House::new(
        app.address(),
        "[vault]\nurl_file = \"vault.url\"\nlease = \"30s\"\nstatement_timeout = \"60s\"\n[server.tls]\ncertificates = [{ cert_file = \"app.crt\", key_file = \"app.key\" }]\n",
    );
    let [first, next] = ["app", "next"].map(|stem| tls::make(&house.path(""), stem, &["gateway.test"]));
    let trust = Trust::of(&[&first, &next]);
    let [first, next] = [first, next].map(|file| tls::certificate(&file));
    house.write("vault.url", "sqlite:doorward.db\n");
    let text = fs::read_to_string(house.path("gateway.toml")).expect("the file");
    let text = text.replace("http://gateway.test", "https://gateway.test");
    house.write("gateway.toml", &text);
    house.add("ada", &[]);
    let mut gateway = house.serve();
    let encrypted = gateway.public;
    let tunnel = Tunnel::start(trust.clone(), encrypted, "gateway.test");
    gateway.public = tunnel.address();
    let shown = async || tls::shown(&trust.connect(encrypted, "gateway.test").await.expect("a handshake"));
    let tokens = gateway.login("ada").await;
    let mut sockets = Vec::new();
    for _ in 0..3 {
        sockets.push(Socket::open(gateway.public, "/ws", &tokens.access).await);
    }
    assert_eq!(shown().await, first);
    let load = Load::start(gateway.public, "/", &tokens.access);
    for (what, change, says) in STEPS {
        let before = load.sent();
        assert_eventually("people are at work", SOON, async || load.sent() > before + 100).await;
        change(&house, &text, &moved);
        gateway.signal("HUP");
        line(&gateway, says);
        for socket in &mut sockets {
            socket.echo(what).await;
        }
    }
    let before = load.sent();
    assert_eventually("and go on", SOON, async || load.sent() > before + 200).await;
    assert_eq!(shown().await, next);
    assert!(moved.heads() > 100, "the app that has moved is asked");
    let done = load.stop().await;
    measured(format_args!("{} requests in {:?} through {} reloads", done.sent, done.took, STEPS.len()));
    assert_eq!(done.lost, [""; 0], "of {}", done.sent);
}
