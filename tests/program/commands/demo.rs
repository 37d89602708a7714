//! `doorward demo`: the printed commands work when copied into a shell.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::Command;

use crate::house::{doorward, files};
use crate::process::{self, Running};

/// A running demo and its output.
struct Demo {
    process: Running,
    lines: Vec<String>,
}

impl Demo {
    /// Starts with `temp` as the folder for temporary files.
    fn start(temp: &tempfile::TempDir) -> Self {
        Self::run(doorward().env("TMPDIR", temp.path()))
    }

    /// Starts as `make demo-full` does, with a Redis and a Postgres that end with it.
    fn full() -> Self {
        let mut command = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.ci/stores"));
        Self::run(command.arg(env!("CARGO_BIN_EXE_doorward")))
    }

    fn run(command: &mut Command) -> Self {
        let process = Running::start(command.args(["demo", "--listen", "127.0.0.1:0"]));
        let mut lines = Vec::new();
        while lines.last().is_none_or(|line| line != "Stop with Ctrl-C.") {
            lines.push(process.line().expect("the guide to its end"));
        }
        Self { process, lines }
    }

    /// Text between two markers on one line.
    fn between(&self, start: &str, end: &str) -> String {
        let found = self.lines.iter().find_map(|line| Some(line.split_once(start)?.1.split_once(end)?.0));
        found.unwrap_or_else(|| panic!("no `{start}…{end}`: {:#?}", self.lines)).to_owned()
    }

    fn address(&self) -> SocketAddr {
        self.between("running at http://", ",").parse().expect("an address")
    }

    fn admin(&self) -> SocketAddr {
        self.between("curl -s http://", "/metrics").parse().expect("an address")
    }

    fn folder(&self) -> PathBuf {
        self.between("All files are in ", " and are deleted").into()
    }

    /// Comment and lines of each step.
    fn steps(&self) -> Vec<(&str, String)> {
        let from = self.lines.iter().position(|line| line.starts_with("# ")).expect("steps");
        let to = self.lines.iter().position(|line| line.starts_with("Metrics: ")).expect("an end");
        let mut steps: Vec<(&str, String)> = Vec::new();
        for line in &self.lines[from..to] {
            match (line.strip_prefix("# "), steps.last_mut()) {
                (Some(says), _) => steps.push((says, String::new())),
                (None, Some((_, script))) => *script += &format!("{line}\n"),
                (None, None) => {}
            }
        }
        steps
    }
}

#[test]
fn demo_commands_produce_the_printed_results() {
    let temp = tempfile::tempdir().expect("a folder");
    shows_what_it_says(&Demo::start(&temp), 8);
}

#[test]
fn demo_on_real_stores_survives_an_emptied_redis() {
    let demo = Demo::full();
    shows_what_it_says(&demo, 9);
    let redis = demo.between("-u 'redis://default:", "/0'");
    let redis = redis.split_once('@').expect("a password and an address").1;
    let folder = demo.folder();
    // Not INT: a shell started with INT ignored cannot trap it.
    process::signal(demo.process.id(), "TERM");
    let (status, rest, complaints) = demo.process.end();
    assert_eq!(status.code(), Some(0));
    assert_eq!(complaints, [""; 0]);
    assert_eq!(rest, ["", "The demo has stopped; its directory was deleted."]);
    assert!(!folder.exists());
    TcpStream::connect(redis).expect_err("nothing listens");
}

#[tokio::test(flavor = "multi_thread")]
async fn demo_with_a_provider_leads_there_and_ends_with_it() {
    let port = crate::port::free_port();
    let mut command = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.ci/sso"));
    let demo = Demo::run(command.arg(env!("CARGO_BIN_EXE_doorward")).env("SSO_PORT", port.to_string()));
    assert!(demo.lines.iter().any(|line| line.contains("sign in there as grace")), "{:#?}", demo.lines);
    let provider = SocketAddr::from(([127, 0, 0, 1], port));
    let get = async |target: &str| {
        let headers = [("Accept", "text/html")];
        crate::http::request(demo.address(), "GET", target, &headers, b"").await
    };
    let page = get("/auth/login").await;
    assert!(page.text().contains("Sign in with the demo&#39;s provider"), "{}", page.text());
    let start = get("/auth/providers/sso/start").await;
    let to = start.header("location").expect("a redirect");
    assert!(start.status == 303 && to.starts_with(&format!("http://{provider}/auth?")), "{to}");
    process::signal(demo.process.id(), "TERM");
    let (status, _, complaints) = demo.process.end();
    assert_eq!((status.code(), complaints.len()), (Some(0), 0), "{complaints:?}");
    let gone = async || TcpStream::connect(provider).is_err();
    crate::eventually::assert_eventually("the provider ends with it", process::PATIENCE, gone).await;
}

#[test]
fn demo_with_a_provider_names_the_port_that_is_in_use() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("its address").port();
    let mut command = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.ci/sso"));
    command.args([env!("CARGO_BIN_EXE_doorward"), "demo"]).env("SSO_PORT", port.to_string());
    let complaint = process::run(&mut command, "").complaint();
    assert_eq!(
        complaint,
        format!("doorward sso: port {port} is in use: choose another one with SSO_PORT=8091")
    );
}

fn shows_what_it_says(demo: &Demo, count: usize) {
    let steps = demo.steps();
    let script: String = steps.iter().map(|(_, lines)| format!("{lines}echo; echo =====\n")).collect();
    let shown = process::run(Command::new("bash").args(["-u", "-c", &script]), "").good();
    let shown: Vec<&str> = shown.split("=====\n").map(str::trim).collect();
    let seen = |says: &str| {
        let at = steps.iter().position(|(comment, _)| comment.starts_with(says));
        shown[at.unwrap_or_else(|| panic!("no step `{says}`: {steps:#?}"))]
    };
    let has = |says: &str, texts: &[&str]| {
        for text in texts {
            assert!(seen(says).contains(text), "{says}: no `{text}` in {}", seen(says));
        }
    };

    has("without a token: refused (401, token_missing)", &["-> 401", r#""code":"token_missing""#]);
    let signed_in: serde_json::Value = serde_json::from_str(seen("sign in")).expect("JSON");
    for member in ["access_token", "refresh_token", "session_id"] {
        assert!(signed_in[member].is_string(), "{signed_in}");
    }
    let app = seen("call the app: it receives your identity, but neither your token nor").to_lowercase();
    assert!(app.contains("get /hello?from=me http/1.1") && app.contains("x-auth-user: bob\n"), "{app}");
    assert!(!app.contains("authorization:") && !app.contains("bearer ") && !app.contains(": ada\n"), "{app}");
    has("the admin route: refused (403, role_missing)", &["-> 403", r#""code":"role_missing""#]);
    assert_eq!(seen("refresh: a new access token"), "same refresh token");
    has("list your sessions", &["-> 200", signed_in["session_id"].as_str().expect("text")]);
    assert_eq!(seen("revoke from another process"), "sessions ended: 1");
    let both = ["-> 401", r#""code":"token_revoked""#, r#""code":"refresh_invalid""#];
    has("refused everywhere from now on (401, token_revoked)", &both);
    assert_eq!(seen("refused everywhere from now on").matches("-> 401").count(), 2);
    if count == 9 {
        has("delete everything in Redis: nobody is signed out (200)", &["OK", "-> 200"]);
    }
    assert_eq!(steps.len(), count, "a step that is not looked at: {steps:#?}");
}

#[test]
fn ctrl_c_ends_the_demo_and_all_its_processes() {
    let temp = tempfile::tempdir().expect("a folder");
    let demo = Demo::start(&temp);
    let (address, admin, folder) = (demo.address(), demo.admin(), demo.folder());
    assert_eq!(
        files(&folder),
        ["doorward.db", "doorward.db-shm", "doorward.db-wal", "gateway.toml", "master.key"]
    );
    for address in [address, admin] {
        TcpStream::connect(address).expect("it listens");
    }
    process::signal(demo.process.id(), "INT");
    let (status, rest, complaints) = demo.process.end();
    assert_eq!(status.code(), Some(0));
    assert_eq!(rest, ["", "The demo has stopped; its directory was deleted."]);
    assert_eq!(complaints, [""; 0]);
    assert!(!folder.exists());
    assert_eq!(files(temp.path()), [""; 0]);
    for address in [address, admin] {
        TcpStream::connect(address).expect_err("nothing listens");
    }
}

#[test]
fn demo_on_a_taken_port_fails_cleanly() {
    let temp = tempfile::tempdir().expect("a folder");
    let occupied = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = occupied.local_addr().expect("an address").to_string();
    let mut command = doorward();
    command.args(["demo", "--listen", &address]).env("TMPDIR", temp.path());
    let complaint = process::run(&mut command, "").complaint();
    assert!(complaint.contains(&address) && complaint.contains("choose another"), "{complaint}");
    assert_eq!(files(temp.path()), [""; 0]);
}

#[test]
fn make_demo_honours_cargo_target_dir() {
    for (target_dir, built) in [(None, "./target"), (Some("/elsewhere"), "/elsewhere")] {
        let mut make = Command::new("make");
        make.args(["--dry-run", "demo", "demo-full", "demo-sso"]).current_dir(env!("CARGO_MANIFEST_DIR"));
        match target_dir {
            Some(folder) => make.env("CARGO_TARGET_DIR", folder),
            None => make.env_remove("CARGO_TARGET_DIR"),
        };
        let lines = process::run(&mut make, "").good();
        assert!(lines.contains(&format!("exec {built}/debug/doorward demo\n")), "{lines}");
        for with in [".ci/stores", ".ci/sso"] {
            assert!(lines.contains(&format!("exec {with} {built}/debug/doorward demo\n")), "{lines}");
        }
    }
}
