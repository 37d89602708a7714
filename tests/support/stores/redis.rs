//! Redis servers of a test: private processes on free ports, without persistence, that end with the test process.

use std::collections::BTreeSet;
use std::io::Write;
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{LazyLock, Mutex};
use std::time::Duration;

use doorward::config::{RedisTopology, RedisUrl, StoreHost};
use doorward::id::{Random, SystemRandom};
use redis::{Client, FromRedisValue};

/// Folder of all servers of this process, and the watchdog that cleans it up.
static HOME: LazyLock<Home> = LazyLock::new(Home::new);

struct Home {
    folder: PathBuf,
    watchdog: Mutex<ChildStdin>,
}

/// Watchdog script: reads cleanup instructions and runs them when the pipe closes, which is when the test process ends.
const WATCHDOG: &str = r#"
trap '' INT TERM HUP
while read -r what value; do
    case $what in
        started) running="$running $value " ;;
        ended) running=$(printf '%s' "$running" | sed "s/ $value / /") ;;
        folder) folder=$value ;;
    esac
done
for pid in $running; do kill -9 "$pid"; done
rm -rf "$folder"
"#;

impl Home {
    fn new() -> Self {
        let folder = tempfile::Builder::new().prefix("doorward-redis-").tempdir().expect("a folder").keep();
        let mut sh = command("sh", "a POSIX shell");
        sh.args(["-c", WATCHDOG]).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        // In its own process group, so that Ctrl-C does not end it before it has cleaned up.
        let watchdog = sh.process_group(0).spawn().expect("a watchdog").stdin.take().expect("piped");
        let home = Self { folder, watchdog: Mutex::new(watchdog) };
        home.tell("folder", home.folder.display());
        home
    }

    fn tell(&self, what: &str, value: impl std::fmt::Display) {
        let mut watchdog = self.watchdog.lock().expect("no panic while telling");
        writeln!(watchdog, "{what} {value}").expect("the watchdog listens");
    }
}

/// A required program; tests are never skipped.
fn command(program: &str, package: &str) -> Command {
    let found = std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|folder| folder.join(program).is_file()));
    assert!(found, "these tests need `{program}`: install {package}");
    Command::new(program)
}

/// A free port below the ephemeral range, so that a restarted server finds it free.
pub(crate) fn free_port() -> u16 {
    // No port is given out twice: of two servers on one port, one would fail.
    static GIVEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());
    let random: &dyn Random = &SystemRandom;
    let mut drawn = std::iter::repeat_with(|| 12_000 + u16::from_le_bytes(random.bytes()) % 20_000);
    let free = |port: &u16| {
        TcpListener::bind(("127.0.0.1", *port)).is_ok() && GIVEN.lock().expect("not poisoned").insert(*port)
    };
    drawn.find(free).expect("one is free")
}

/// Folder of one server or test.
pub(crate) fn folder(name: &str) -> PathBuf {
    let random: &dyn Random = &SystemRandom;
    let folder = HOME.folder.join(format!("{name}-{:016x}", u64::from_le_bytes(random.bytes())));
    std::fs::create_dir(&folder).expect("a fresh folder");
    folder
}

/// No settings beyond the defaults.
pub(crate) const NONE: &[&str] = &[];

/// One server process.
pub(crate) struct RedisServer {
    /// Port without TLS.
    pub(crate) port: u16,
    /// Cluster bus port; 0 outside a Cluster.
    pub(crate) bus: u16,
    pub(crate) folder: PathBuf,
    program: &'static str,
    args: Vec<String>,
    password: Option<String>,
    pub(crate) process: Mutex<Option<Child>>,
}

impl RedisServer {
    /// Starts a server with these settings in addition to the defaults.
    pub(crate) async fn start(settings: &[impl AsRef<str>]) -> Self {
        let port = free_port();
        let mut args: Vec<String> =
            ["--bind", "127.0.0.1", "--save", "", "--appendonly", "no"].map(str::to_owned).to_vec();
        args.extend(["--repl-diskless-sync-delay", "0", "--port"].map(str::to_owned));
        args.push(port.to_string());
        args.extend(settings.iter().map(|text| text.as_ref().to_owned()));
        let password = args.iter().skip_while(|text| *text != "--requirepass").nth(1).cloned();
        Self::run("redis-server", port, folder("server"), args, password).await
    }

    /// Starts a Sentinel for the master `main` at this port.
    pub(crate) async fn sentinel(master: u16, quorum: usize) -> Self {
        let settings = format!("sentinel monitor main 127.0.0.1 {master} {quorum}");
        Self::sentinel_with(&settings, None).await
    }

    /// Starts a Sentinel for the master `main` that these settings name.
    pub(crate) async fn sentinel_with(settings: &str, password: Option<&str>) -> Self {
        let (port, folder) = (free_port(), folder("sentinel"));
        let file = folder.join("sentinel.conf");
        let settings = format!(
            "port {port}\nbind 127.0.0.1\ndir {}\n{settings}\n\
             sentinel down-after-milliseconds main 2000\nsentinel failover-timeout main 5000\n",
            folder.display()
        );
        std::fs::write(&file, settings).expect("a settings file");
        // Equivalent to `redis-sentinel`, which is a separate package on Debian.
        let args = vec![file.display().to_string(), "--sentinel".to_owned()];
        Self::run("redis-server", port, folder, args, password.map(str::to_owned)).await
    }

    async fn run(
        program: &'static str,
        port: u16,
        folder: PathBuf,
        args: Vec<String>,
        password: Option<String>,
    ) -> Self {
        let server = Self { port, bus: 0, folder, program, args, password, process: Mutex::new(None) };
        server.spawn().await;
        server
    }

    /// Starts the process and waits until it responds.
    pub(crate) async fn spawn(&self) {
        self.launch(NONE);
        self.until_ready().await;
    }

    /// Starts the process with these settings in addition.
    pub(crate) fn launch(&self, settings: &[impl AsRef<std::ffi::OsStr>]) {
        let mut process = command(self.program, "redis-server 7.0 or newer");
        process.args(&self.args).args(settings).current_dir(&self.folder).process_group(0);
        let log = std::fs::File::create(self.folder.join("log")).expect("a log file");
        let child = process.stdin(Stdio::null()).stdout(log).spawn().expect("it starts");
        HOME.tell("started", child.id());
        *self.process.lock().expect("no panic") = Some(child);
    }

    /// Waits until it responds.
    pub(crate) async fn until_ready(&self) {
        let responses =
            async || matches!(self.try_ask::<String>(&["PING"]).await, Ok(text) if text == "PONG");
        for _ in 0..2000 {
            if responses().await {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let log = std::fs::read_to_string(self.folder.join("log")).unwrap_or_default();
        panic!("{} did not answer within 20 s:\n{log}", self.program);
    }

    /// Kills the process, as a crash does.
    pub(crate) fn kill(&self) {
        let Some(mut child) = self.process.lock().expect("no panic").take() else { return };
        child.kill().expect("it can be killed");
        child.wait().expect("it has ended");
        HOME.tell("ended", child.id());
    }

    /// Response of the server to a command.
    pub(crate) async fn ask<T: FromRedisValue>(&self, words: &[&str]) -> T {
        self.try_ask(words).await.unwrap_or_else(|error| panic!("{words:?}: {error}"))
    }

    /// Like [`Self::ask`], but returns errors.
    pub(crate) async fn try_ask<T: FromRedisValue>(&self, words: &[&str]) -> redis::RedisResult<T> {
        let mut question = redis::cmd(words[0]);
        question.arg(&words[1..]).query_async(&mut self.connection().await?).await
    }

    /// Opens a direct connection.
    pub(crate) async fn connection(&self) -> redis::RedisResult<redis::aio::MultiplexedConnection> {
        let password = self.password.as_ref().map(|password| format!(":{password}@")).unwrap_or_default();
        let client = Client::open(format!("redis://{password}127.0.0.1:{}", self.port))?;
        let patient = redis::AsyncConnectionConfig::new().set_response_timeout(Some(Duration::from_secs(10)));
        client.get_multiplexed_async_connection_with_config(&patient).await
    }

    /// Its host.
    pub(crate) fn host(&self) -> StoreHost {
        StoreHost { name: "127.0.0.1".to_owned(), port: self.port }
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        self.kill();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// URL of servers in this topology, without user, password and TLS.
pub(crate) fn url(topology: RedisTopology) -> RedisUrl {
    RedisUrl { topology, user: None, password: None, database: 0, tls: false }
}

/// A certificate for `localhost` and its CA.
pub(crate) struct Certificates {
    folder: PathBuf,
}

impl Certificates {
    /// Generates a CA and a certificate.
    pub(crate) fn new() -> Self {
        let folder = folder("certificates");
        std::fs::write(folder.join("names"), "subjectAltName=DNS:localhost\nbasicConstraints=CA:FALSE\n")
            .expect("written");
        let key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
        let run = |args: &[&str]| {
            let mut openssl = command("openssl", "openssl");
            let done = openssl.args(args).current_dir(&folder).output().expect("openssl runs");
            assert!(done.status.success(), "openssl {args:?}: {}", String::from_utf8_lossy(&done.stderr));
        };
        let name = format!("/CN={}", folder.file_name().expect("a name").display());
        let authority = ["req", "-x509", "-days", "2", "-subj", &name, "-keyout", "ca.key", "-out"];
        run(&[&authority[..], &["ca.pem"], &key[..]].concat());
        let request = ["req", "-new", "-subj", "/CN=localhost", "-keyout", "key.pem", "-out", "request.pem"];
        run(&[&request[..], &key[..]].concat());
        let sign = ["x509", "-req", "-days", "2", "-in", "request.pem", "-CA", "ca.pem", "-CAkey", "ca.key"];
        run(&[&sign[..], &["-CAcreateserial", "-extfile", "names", "-out", "cert.pem"]].concat());
        Self { folder }
    }

    /// Path of the CA certificate.
    pub(crate) fn authority(&self) -> PathBuf {
        self.folder.join("ca.pem")
    }

    /// Settings for TLS on this port, in addition to the plain port.
    pub(crate) fn settings(&self, tls_port: u16) -> Vec<String> {
        let path = |name: &str| self.folder.join(name).display().to_string();
        let files = [("cert-file", "cert.pem"), ("key-file", "key.pem"), ("ca-cert-file", "ca.pem")];
        let files = files.iter().flat_map(|(name, file)| [format!("--tls-{name}"), path(file)]);
        let rest = ["--tls-auth-clients", "no", "--tls-port", &tls_port.to_string()].map(str::to_owned);
        files.chain(rest).collect()
    }
}

/// Starts a node that can join a Cluster.
pub(crate) async fn node() -> RedisServer {
    let bus = free_port();
    let port = bus.to_string();
    let settings = ["--cluster-enabled", "yes", "--cluster-node-timeout", "2000", "--cluster-port", &port];
    let mut node =
        RedisServer::start(&[&settings[..], &["--cluster-announce-ip", "127.0.0.1"]].concat()).await;
    node.bus = bus;
    node
}

/// Starts a Cluster of three masters.
pub(crate) async fn cluster() -> Vec<RedisServer> {
    let mut nodes = Vec::new();
    for (at, slots) in [("0", "5460"), ("5461", "10922"), ("10923", "16383")].iter().enumerate() {
        let node = node().await;
        node.ask::<()>(&["CLUSTER", "SET-CONFIG-EPOCH", &(at + 1).to_string()]).await;
        node.ask::<()>(&["CLUSTER", "ADDSLOTSRANGE", slots.0, slots.1]).await;
        nodes.push(node);
    }
    for node in &nodes[1..] {
        let (port, bus) = (node.port.to_string(), node.bus.to_string());
        nodes[0].ask::<()>(&["CLUSTER", "MEET", "127.0.0.1", &port, &bus]).await;
    }
    for node in &nodes {
        let ready = async || {
            let info: String = node.ask(&["CLUSTER", "INFO"]).await;
            info.contains("cluster_state:ok") && info.contains("cluster_size:3")
        };
        super::eventually::assert_eventually("the Cluster is formed", Duration::from_secs(20), ready).await;
    }
    nodes
}
