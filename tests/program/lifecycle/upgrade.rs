//! Upgrades: a new process takes over the sockets without interruption; a failed upgrade changes nothing.

use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use crate::app::TestApp;
use crate::eventually::assert_eventually;
use crate::house::House;
use crate::http::{self, Client};
use crate::load::Load;
use crate::measured::measured;
use crate::process;
use crate::serving::Serving;
use crate::socket::Socket;

const SOON: Duration = Duration::from_secs(30);

/// Clients at full speed keep the machine busy, so a late lease renewal or commit must not matter.
pub(super) const PATIENT: &str = "[vault]\nlease = \"30s\"\nstatement_timeout = \"60s\"\n";

/// The program at a path where a test can replace it; `serve` starts it from this path.
pub(super) struct Installed {
    pub(super) house: House,
    path: PathBuf,
}

impl Installed {
    pub(super) fn new(app: SocketAddr, more: &str) -> Self {
        let house = House::new(app, more);
        let path = house.path("doorward");
        let installed = Self { house, path };
        installed.put(&std::fs::read(env!("CARGO_BIN_EXE_doorward")).expect("the program"));
        installed
    }

    /// As package managers do: written beside it, then renamed.
    fn put(&self, program: &[u8]) {
        let beside = self.house.path("doorward.new");
        std::fs::write(&beside, program).expect("written");
        std::fs::set_permissions(&beside, PermissionsExt::from_mode(0o755)).expect("executable");
        std::fs::rename(&beside, &self.path).expect("in its place");
    }

    pub(super) fn serve(&self) -> Serving {
        let mut command = Command::new(&self.path);
        command.arg("--config").arg(self.house.path("gateway.toml")).arg("serve");
        Serving::start(&mut command)
    }
}

/// Start time of the process that responds now, from its metrics; it identifies the process.
async fn serving_process(gateway: &Serving) -> Option<f64> {
    let text = http::request(gateway.admin, "GET", "/metrics", &[], b"").await.text();
    let line = text.lines().find(|line| line.starts_with("doorward_start_timestamp_seconds "))?.to_owned();
    line.rsplit(' ').next()?.parse().ok()
}

/// A process that took over; stopped when dropped.
pub(super) struct Successor(u32);

impl Successor {
    /// Read from the log of the previous process.
    pub(super) fn of(gateway: &Serving) -> Self {
        Self(successor(gateway))
    }

    /// Its process id.
    pub(super) fn id(&self) -> u32 {
        self.0
    }

    /// Sends SIGTERM and waits for its end.
    pub(super) async fn stop(self, public: SocketAddr) {
        drop(self);
        assert_eventually("it ends too", SOON, async || TcpStream::connect(public).is_err()).await;
    }
}

impl Drop for Successor {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = Command::new("kill").arg("-TERM").arg(self.0.to_string()).status();
    }
}

/// Process id in the log line of the previous process.
fn successor(gateway: &Serving) -> u32 {
    let line: serde_json::Value =
        serde_json::from_str(&gateway.process.complaint_with("handed_over")).expect("JSON");
    line["pid"].as_u64().and_then(|pid| u32::try_from(pid).ok()).expect("a process id")
}

#[tokio::test(flavor = "multi_thread")]
async fn upgrade_serves_same_sockets_and_ends_old_process() {
    let app = TestApp::start().await;
    let installed = Installed::new(app.address(), "");
    installed.house.add("ada", &[]);
    let mut gateway = installed.serve();
    let tokens = gateway.login("ada").await;
    let before = serving_process(&gateway).await;
    // A client that keeps its connection across the upgrade.
    let mut kept = Client::connect(gateway.public).await;
    let bearer = format!("Bearer {}", tokens.access);
    assert_eq!(kept.request("GET", "/", &[("Authorization", &bearer)], b"").await.status, 200);
    gateway.signal("USR2");
    let new = Successor::of(&gateway);
    // Served until a response has `Connection: close`.
    loop {
        let response = kept.request("GET", "/", &[("Authorization", &bearer)], b"").await;
        assert_eq!(response.status, 200);
        if response.header("connection") == Some("close") {
            break;
        }
    }
    kept.until_closed().await;
    let (public, admin) = (gateway.public, gateway.admin);
    assert_eq!(gateway.process.until_exit().code(), Some(0));
    let again = Serving { process: process::Running::start(&mut Command::new("true")), public, admin };
    assert_ne!(serving_process(&again).await, before);
    assert_eq!(again.get("/", &tokens.access).await.status, 200, "the session lives on");
    new.stop(public).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn upgraded_process_finishes_its_requests_and_streams() {
    let app = TestApp::start().await;
    let installed = Installed::new(app.address(), "");
    installed.house.add("ada", &[]);
    let mut gateway = installed.serve();
    let tokens = gateway.login("ada").await;
    let mut held = Client::connect(gateway.public).await;
    let bearer = format!("Bearer {}", tokens.access);
    held.send(&http::message("GET", "/hold", &[("Authorization", &bearer)], b"")).await;
    assert_eventually("the app was asked", SOON, async || !app.seen().is_empty()).await;
    let mut socket = Socket::open(gateway.public, "/ws", &tokens.access).await;
    gateway.signal("USR2");
    let new = Successor::of(&gateway);
    socket.echo("still open").await;
    app.release(1);
    assert_eq!(held.response("GET").await.map(|response| response.status), Some(200));
    // The response may have allowed keep-alive too early.
    drop((held, socket));
    let public = gateway.public;
    assert_eq!(gateway.process.until_exit().code(), Some(0), "when the last one has gone");
    assert_eq!(http::request(public, "GET", "/", &[("Authorization", &bearer)], b"").await.status, 200);
    new.stop(public).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn upgrade_to_a_failing_program_changes_nothing() {
    let app = TestApp::start().await;
    let installed = Installed::new(app.address(), "");
    installed.house.add("ada", &[]);
    let mut gateway = installed.serve();
    let tokens = gateway.login("ada").await;
    let before = serving_process(&gateway).await;
    let good = std::fs::read(&installed.path).expect("the program");
    for broken in [&b"not a program"[..], b"#!/bin/sh\nexit 3\n", b"#!/bin/sh\nexec <&-\nexit 0\n"] {
        installed.put(broken);
        gateway.signal("USR2");
        gateway.process.complaint_with("upgrade_failed");
        assert!(gateway.process.is_alive());
        assert_eq!(gateway.get("/", &tokens.access).await.status, 200);
        assert_eq!(serving_process(&gateway).await, before);
    }
    // An invalid configuration is another reason.
    installed.put(&good);
    installed.house.write("gateway.toml", "[server]\nlisten = 5\n");
    gateway.signal("USR2");
    gateway.process.complaint_with("upgrade_failed");
    assert_eq!(gateway.get("/", &tokens.access).await.status, 200);
    let failed = http::request(gateway.admin, "GET", "/metrics", &[], b"").await.text();
    assert!(failed.contains("doorward_upgrades_total{outcome=\"failed\"} 4"), "counted");
    assert_eq!(gateway.stop().code(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn hanging_successor_ends_with_its_parent() {
    let app = TestApp::start().await;
    let installed = Installed::new(app.address(), "");
    let gateway = installed.serve();
    let pid_file = installed.house.path("pid");
    installed.put(
        format!("#!/bin/sh\necho $$ >{0}.new; mv {0}.new {0}; exec sleep 1000\n", pid_file.display())
            .as_bytes(),
    );
    gateway.signal("USR2");
    assert_eventually("it was started", SOON, async || pid_file.exists()).await;
    let pid = std::fs::read_to_string(&pid_file).expect("its id");
    assert_eq!(gateway.stop().code(), Some(0), "told to stop meanwhile");
    let has_ended = || !std::path::Path::new(&format!("/proc/{}/cmdline", pid.trim())).exists();
    assert_eventually("it is ended", SOON, async || has_ended()).await;
}

#[test]
fn process_that_is_no_successor_reports_it() {
    let house = House::empty();
    let mut command = house.command(&["serve"]);
    command.env("DOORWARD_HANDOVER", "1");
    let complaint = process::run(&mut command, "").complaint();
    assert!(complaint.contains("DOORWARD_HANDOVER is set") && complaint.contains("unset it"), "{complaint}");
}

#[tokio::test(flavor = "multi_thread")]
async fn service_manager_is_notified_of_the_main_process() {
    let app = TestApp::start().await;
    let installed = Installed::new(app.address(), "");
    let name = installed.house.path("notify");
    let manager = std::os::unix::net::UnixDatagram::bind(&name).expect("a socket");
    manager.set_read_timeout(Some(SOON)).expect("a timeout");
    let notification = || {
        let mut buffer = [0; 512];
        let length = manager.recv(&mut buffer).expect("something is said");
        String::from_utf8_lossy(&buffer[..length]).into_owned()
    };
    let mut command = Command::new(&installed.path);
    command
        .arg("--config")
        .arg(installed.house.path("gateway.toml"))
        .arg("serve")
        .env("NOTIFY_SOCKET", &name);
    let mut gateway = Serving::start(&mut command);
    assert!(notification().starts_with("READY=1\n"));
    gateway.signal("HUP");
    let reloading = notification();
    assert!(reloading.starts_with("RELOADING=1\nMONOTONIC_USEC="), "{reloading}");
    assert!(notification().starts_with("READY=1\n"));
    gateway.signal("USR2");
    let new = Successor::of(&gateway);
    assert_eq!(notification(), format!("MAINPID={}", new.0));
    assert!(notification().starts_with("READY=1\n"));
    assert_eq!(gateway.process.until_exit().code(), Some(0));
    drop(new);
    assert!(notification().starts_with("STOPPING=1\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn two_upgrades_under_load_lose_no_request() {
    let app = TestApp::start().await;
    let installed = Installed::new(app.address(), PATIENT);
    installed.house.add("ada", &[]);
    let mut first = installed.serve();
    let tokens = first.login("ada").await;
    let load = Load::start(first.public, "/", &tokens.access);
    // Three seconds between two changes, at 200 requests per second.
    let some = async || {
        let before = load.sent();
        assert_eventually("people go on", SOON, async || load.sent() > before + 600).await;
    };
    some().await;
    first.signal("USR2");
    let second = Successor::of(&first);
    assert_eq!(first.process.until_exit().code(), Some(0), "everybody has moved on");
    some().await;
    // The second process is not our child; its output arrives through inherited pipes.
    process::signal(second.0, "USR2");
    let third = Successor::of(&first);
    assert_ne!(third.0, second.0);
    let has_ended = || !std::path::Path::new(&format!("/proc/{}", second.0)).exists();
    assert_eventually("the second has ended", SOON, async || has_ended()).await;
    some().await;
    let done = load.stop().await;
    measured(format_args!(
        "two upgrades: {} requests in {:?}, {} lost",
        done.sent,
        done.took,
        done.lost.len()
    ));
    assert!(done.lost.is_empty(), "{:#?}", done.lost);
    let public = first.public;
    third.stop(public).await;
}
