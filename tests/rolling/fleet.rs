//! Gateways of either release on one Postgres and one Redis, and their clients.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};

use doorward::id::{Random, SystemRandom, base64url};
use serde_json::json;

use crate::app::TestApp;
use crate::http::{self, Response};
use crate::instances::Server;
use crate::process::{self, Running};
use crate::servers::{NONE, RedisServer};

/// Valid under both releases' password rules.
pub(crate) const PASSWORD: &str = "violet kettle harbour lantern";

/// Release of the program to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Release {
    Before,
    This,
}

impl Release {
    const fn config(self) -> &'static str {
        match self {
            Self::Before => "before.toml",
            Self::This => "gateway.toml",
        }
    }

    fn program(self) -> PathBuf {
        match self {
            Self::This => env!("CARGO_BIN_EXE_doorward").into(),
            Self::Before => {
                let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("the target folder");
                let program = target.join("previous/doorward");
                assert!(
                    program.is_file(),
                    "the release before is missing: run `.ci/previous`, as `make test` does"
                );
                program
            }
        }
    }
}

/// The stores and the configuration shared by all gateways.
pub(crate) struct Fleet {
    pub(crate) postgres: Server,
    pub(crate) database: String,
    _redis: RedisServer,
    _app: TestApp,
    folder: tempfile::TempDir,
}

impl Fleet {
    pub(crate) async fn new() -> Self {
        let redis = RedisServer::start(NONE).await;
        let (postgres, database) = tokio::task::spawn_blocking(|| {
            let postgres = Server::start("");
            let database = postgres.database();
            (postgres, database)
        })
        .await
        .expect("a server");
        let app = TestApp::start().await;
        let folder = tempfile::tempdir().expect("a folder");
        let random: &dyn Random = &SystemRandom;
        let settings = format!(
            "[server]\nlisten = [\"127.0.0.1:0\"]\nlameduck = \"1s\"\n[server.limits]\nconnections_per_ip = 10000\n\
             [admin]\nlisten = []\n[log]\nlevel = \"warn\"\n\
             [vault]\nurl = \"{}\"\nmaster_key = \"{}\"\n\
             [sessions]\nurl = \"redis://127.0.0.1:{}/0\"\nrevalidate_after = \"100ms\"\n\
             [upstreams.app]\nservers = [\"http://{}\"]\n\
             [[routes]]\nname = \"app\"\npath = \"/\"\naccess = \"signed-in\"\nupstream = \"app\"\n",
            postgres.url(&database),
            base64url(random.bytes::<32>()),
            redis.port,
            app.address(),
        );
        // The previous release uses the old name of this key (CHANGELOG.md).
        let before = settings.replace("revalidate_after", "recheck");
        for (release, settings) in [(Release::Before, before), (Release::This, settings)] {
            std::fs::write(folder.path().join(release.config()), settings).expect("written");
        }
        Self { postgres, database, _redis: redis, _app: app, folder }
    }

    fn command(&self, release: Release, words: &[&str]) -> Command {
        let mut command = Command::new(release.program());
        command.arg("--config").arg(self.folder.path().join(release.config())).args(words);
        command
    }

    /// Starts a gateway.
    pub(crate) fn gateway(&self, release: Release) -> Gateway {
        let process = Running::start(&mut self.command(release, &["serve"]));
        let line = process.line().unwrap_or_else(|| panic!("{release:?} does not start"));
        // The previous release prints a sentence, and no scheme.
        let line_json = serde_json::from_str::<serde_json::Value>(&line).ok();
        let line_json = line_json.as_ref().and_then(|line| line["address"].as_str());
        let address =
            line_json.or_else(|| line.rsplit([' ', '/']).next()).and_then(|address| address.parse().ok());
        Gateway { process, address: address.unwrap_or_else(|| panic!("no address in `{line}`")) }
    }

    /// Runs a command on the vault to completion.
    pub(crate) fn run(&self, release: Release, words: &[&str], stdin: &str) -> String {
        process::run(&mut self.command(release, words), stdin).good()
    }

    /// Schema version, and the oldest program that can use it.
    pub(crate) fn schema(&self) -> String {
        self.postgres
            .psql(&self.database, "SELECT version, readable_by FROM doorward_schema")
            .trim()
            .to_owned()
    }
}

/// A gateway process.
pub(crate) struct Gateway {
    process: Running,
    pub(crate) address: SocketAddr,
}

impl Gateway {
    /// Drains the gateway; it must exit successfully.
    pub(crate) fn stop(self) {
        process::signal(self.process.id(), "TERM");
        let (status, _, complaints) = self.process.end();
        assert!(status.success(), "{status}: {complaints:?}");
    }
}

/// The tokens of one session.
#[derive(Clone, Debug)]
pub(crate) struct Tokens {
    pub(crate) access: String,
    pub(crate) refresh: String,
}

impl Tokens {
    fn of(response: &Response) -> Self {
        assert_eq!(response.status, 200, "{}", response.text());
        Self { access: response.member("access_token"), refresh: response.member("refresh_token") }
    }
}

pub(crate) async fn log_in(gateway: SocketAddr, user: &str) -> Tokens {
    Tokens::of(&post(gateway, "/auth/login", None, &json!({ "username": user, "password": PASSWORD })).await)
}

pub(crate) async fn try_refresh(gateway: SocketAddr, token: &str) -> Response {
    post(gateway, "/auth/refresh", None, &json!({ "refresh_token": token })).await
}

pub(crate) async fn refresh(gateway: SocketAddr, tokens: &Tokens) -> Tokens {
    Tokens::of(&try_refresh(gateway, &tokens.refresh).await)
}

pub(crate) async fn sign_out(gateway: SocketAddr, tokens: &Tokens) {
    let response = post(gateway, "/auth/logout", Some(&tokens.access), &json!({})).await;
    assert_eq!(response.status, 200, "{}", response.text());
}

pub(crate) async fn ask(gateway: SocketAddr, tokens: &Tokens) -> u16 {
    let bearer = format!("Bearer {}", tokens.access);
    http::request(gateway, "GET", "/", &[("Authorization", &bearer)], b"").await.status
}

/// The response of `GET /auth/me`.
pub(crate) async fn me(gateway: SocketAddr, tokens: &Tokens) -> serde_json::Value {
    let bearer = format!("Bearer {}", tokens.access);
    http::request(gateway, "GET", "/auth/me", &[("Authorization", &bearer)], b"").await.json()
}

async fn post(gateway: SocketAddr, path: &str, bearer: Option<&str>, body: &serde_json::Value) -> Response {
    let authorization = bearer.map(|token| format!("Bearer {token}"));
    let mut headers = vec![("Content-Type", "application/json")];
    headers.extend(authorization.as_deref().map(|value| ("Authorization", value)));
    http::request(gateway, "POST", path, &headers, body.to_string().as_bytes()).await
}

/// A load balancer over the running gateways.
#[derive(Clone, Default)]
pub(crate) struct Balancer(Arc<Mutex<Vec<SocketAddr>>>);

impl Balancer {
    pub(crate) fn add(&self, gateway: SocketAddr) {
        self.0.lock().expect("no panic").push(gateway);
    }

    pub(crate) fn remove(&self, gateway: SocketAddr) {
        self.0.lock().expect("no panic").retain(|known| *known != gateway);
    }

    /// Address of any gateway.
    pub(crate) fn any(&self) -> SocketAddr {
        let random: &dyn Random = &SystemRandom;
        let all = self.0.lock().expect("no panic");
        all[usize::from(u16::from_le_bytes(random.bytes())) % all.len()]
    }
}
