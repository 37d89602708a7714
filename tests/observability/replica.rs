//! A gateway process on fixed addresses that can be killed and restarted.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;

use crate::process::{self, Running};
use crate::servers::free_port;
use crate::support::PASSWORD;
use crate::support::tls::{self, Trust, Tunnel};

/// One gateway with its configuration.
pub(crate) struct Replica {
    folder: tempfile::TempDir,
    settings: String,
    /// Near end of a tunnel that adds TLS.
    pub(crate) public: SocketAddr,
    pub(crate) admin: SocketAddr,
    process: Option<Running>,
    _tunnel: Tunnel,
}

/// Addresses of the stores and apps a gateway uses.
pub(crate) struct Surroundings<'a> {
    pub(crate) app: SocketAddr,
    /// An address without a listener.
    pub(crate) gone: SocketAddr,
    pub(crate) postgres: &'a str,
    pub(crate) redis: SocketAddr,
    pub(crate) master_key: &'a str,
}

/// Short intervals, so that events which normally take minutes take seconds.
fn settings(around: &Surroundings<'_>, public: SocketAddr, admin: SocketAddr) -> String {
    let Surroundings { app, gone, postgres, redis, master_key } = around;
    format!(
        r#"
[server]
listen = ["{public}"]
public_urls = ["https://gateway.test"]
drain_timeout = "1s"
[server.tls]
certificates = [{{ cert_file = "app.crt", key_file = "app.key" }}]
[server.limits]
connections_per_ip = 64
connections = 100
[admin]
listen = ["{admin}"]
[vault]
url = "{postgres}"
master_key = "{master_key}"
lease = "1s"
pool_size = 2
[sessions]
url = "redis://{redis}/0"
revalidate_after = "100ms"
vault_outage_grace = "3s"
stream_lease = "1s"
[tokens]
issuer = "http://gateway.test"
refresh_grace = "2s"
[login]
hash_threads = 1
attempts_per_account = 3
attempts_per_address = 1000
[upstreams.app]
servers = ["http://{app}"]
[upstreams.gone]
servers = ["http://{gone}"]
[[routes]]
name = "app"
path = "/"
access = "signed-in"
upstream = "app"
[[routes]]
name = "admin"
path = "/admin"
access = {{ roles = ["admin"] }}
upstream = "app"
[[routes]]
name = "public"
path = "/public"
access = "public"
upstream = "app"
[[routes]]
name = "gone"
path = "/gone"
access = "public"
upstream = "gone"
[[routes]]
name = "silent"
path = "/hold"
access = "public"
upstream = "app"
timeout = "100ms"
"#
    )
}

impl Replica {
    /// A configured gateway, not yet started.
    pub(crate) fn new(around: &Surroundings<'_>) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let [public, admin] = [(); 2].map(|()| SocketAddr::from(([127, 0, 0, 1], free_port())));
        let certificate = tls::make(folder.path(), "app", &["gateway.test"]);
        let tunnel = Tunnel::start(Trust::of(&[&certificate]), public, "gateway.test");
        let replica = Self {
            folder,
            settings: settings(around, public, admin),
            public: tunnel.address(),
            admin,
            process: None,
            _tunnel: tunnel,
        };
        replica.write("");
        replica
    }

    /// Writes the configuration with another first line.
    pub(crate) fn write(&self, first: &str) {
        std::fs::write(self.file(), format!("{first}\n{}", self.settings)).expect("written");
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("gateway.toml")
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_doorward"));
        command.arg("--config").arg(self.file()).args(arguments);
        command
    }

    /// Adds a user with [`PASSWORD`].
    pub(crate) fn add(&self, name: &str) {
        process::run(&mut self.command(&["user", "add", name, "--password-stdin"]), PASSWORD).good();
    }

    /// Starts the gateway and waits until it listens.
    pub(crate) fn start(&mut self) {
        let running = Running::start(&mut self.command(&["serve"]));
        let Some(line) = running.line() else {
            let (status, _, complaints) = running.end();
            panic!("it ended, {status}: {complaints:#?}");
        };
        assert!(line.contains("doorward serves "), "{line}");
        self.process = Some(running);
    }

    /// SIGKILL.
    pub(crate) fn kill(&mut self) {
        self.process.take().expect("it runs").kill();
    }
}
