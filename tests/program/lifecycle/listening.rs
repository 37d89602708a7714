//! Unix sockets and socket activation: serving, handover at an upgrade, and cleanup.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use tokio::net::UnixStream;

use crate::app::TestApp;
use crate::eventually::assert_eventually;
use crate::house::House;
use crate::http::{Client, Response};
use crate::process;
use crate::serving::Serving;

const SOON: Duration = Duration::from_secs(30);

const PUBLIC: &str =
    "[[routes]]\nname = \"public\"\npath = \"/public\"\naccess = \"public\"\nupstream = \"app\"\n";

/// A folder whose gateway listens on these addresses and trusts Unix socket peers.
fn house(app: &TestApp, listen: &str) -> House {
    let house = House::new(app.address(), PUBLIC);
    let text = std::fs::read_to_string(house.path("gateway.toml")).expect("written");
    let listen = format!("listen = [{listen}]\ntrusted_proxies = [\"unix:\"]\npublic_urls");
    house.write("gateway.toml", &text.replacen("listen = [\"127.0.0.1:0\"]\npublic_urls", &listen, 1));
    house
}

async fn ask(socket: &Path) -> Response {
    let stream = UnixStream::connect(socket).await.expect("somebody listens");
    Client::over(stream).request("GET", "/public", &[("X-Forwarded-For", "203.0.113.7")], b"").await
}

/// Sends SIGUSR2 and returns the id of the new serving process.
fn upgrade(gateway: &mut Serving) -> u32 {
    gateway.signal("USR2");
    let line = gateway.process.complaint_with("handed_over");
    let line: serde_json::Value = serde_json::from_str(&line).expect("JSON");
    assert_eq!(gateway.process.until_exit().code(), Some(0));
    line["pid"].as_u64().and_then(|pid| u32::try_from(pid).ok()).expect("a process id")
}

#[tokio::test(flavor = "multi_thread")]
async fn unix_socket_is_served_handed_over_and_removed() {
    let app = TestApp::start().await;
    let house = house(&app, "\"127.0.0.1:0\", \"unix:run.sock\"");
    let socket = house.path("run.sock");
    let mut gateway = house.serve();
    assert_eq!(std::fs::metadata(&socket).expect("its file").permissions().mode() & 0o777, 0o660);
    assert_eq!(ask(&socket).await.status, 200);
    assert_eq!(app.last().all("x-forwarded-for"), ["203.0.113.7, 0.0.0.0"]);
    let mut curl = Command::new("curl");
    curl.args(["-s", "--unix-socket"]).arg(&socket).arg("http://gateway.test/public");
    let curl = curl.output().expect("curl");
    assert!(String::from_utf8_lossy(&curl.stdout).contains("0 bytes of body"), "{curl:?}");
    let complaint = house.run(&["serve"]).complaint();
    assert!(complaint.contains("run.sock") && complaint.contains("another process"), "{complaint}");

    let new = upgrade(&mut gateway);
    assert_eq!(ask(&socket).await.status, 200, "of the new one");
    process::signal(new, "TERM");
    assert_eventually("the file is removed", SOON, async || !socket.exists()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn unix_socket_of_a_killed_process_is_replaced() {
    let app = TestApp::start().await;
    let house = house(&app, "\"127.0.0.1:0\", \"unix:run.sock\"");
    house.serve().process.kill();
    assert!(house.path("run.sock").exists());
    let gateway = house.serve();
    assert_eq!(ask(&house.path("run.sock")).await.status, 200);
    assert_eq!(gateway.stop().code(), Some(0));
    assert!(!house.path("run.sock").exists());
}

/// Like systemd: the sockets are opened before the program starts, from descriptor 3 on.
const ACTIVATE: &str = "
import fcntl, os, socket, sys
web = socket.socket()
web.bind(('127.0.0.1', 0))
web.listen()
local = socket.socket(socket.AF_UNIX)
local.bind(sys.argv[1])
local.listen()
for at, given in enumerate([web, local], 3):
    os.dup2(fcntl.fcntl(given.fileno(), fcntl.F_DUPFD, 10), at)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS='2', LISTEN_FDNAMES='web:web')
os.execv(sys.argv[2], sys.argv[2:])
";

#[tokio::test(flavor = "multi_thread")]
async fn sockets_of_the_service_manager_are_served_and_handed_over() {
    let app = TestApp::start().await;
    let house = house(&app, "\"fd:web\"");
    let complaint = house.run(&["serve"]).complaint();
    assert!(complaint.contains("fd:web") && complaint.contains("doorward.socket"), "{complaint}");

    let socket = house.path("activated.sock");
    let mut command = Command::new("python3");
    command.args(["-c", ACTIVATE]).arg(&socket).arg(env!("CARGO_BIN_EXE_doorward"));
    command.arg("--config").arg(house.path("gateway.toml")).arg("serve");
    let mut gateway = Serving::start(&mut command);
    assert_eq!(ask(&socket).await.status, 200);
    let over_tcp = async || Client::connect(gateway.public).await.request("GET", "/public", &[], b"").await;
    assert_eq!(over_tcp().await.status, 200);

    let public = gateway.public;
    let new = upgrade(&mut gateway);
    assert_eq!(ask(&socket).await.status, 200, "of the new one");
    assert_eq!(Client::connect(public).await.request("GET", "/public", &[], b"").await.status, 200);
    process::signal(new, "TERM");
    let refuses = async || UnixStream::connect(&socket).await.is_err();
    assert_eventually("it has ended", SOON, refuses).await;
    assert!(socket.exists(), "the file is the service manager's");
}
