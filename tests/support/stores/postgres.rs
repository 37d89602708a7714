//! Real PostgreSQL servers and a real PgBouncer, private to the test process, each on its own port and folder.
//!
//! A watchdog reads from a pipe that only this process holds. When the pipe closes, however the process ended, it stops
//! each server and removes its folder.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::{MetadataExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use doorward::config::{ChannelBinding, PostgresUrl, StoreHost};
use doorward::secret::Secret;
use doorward::vault::postgres::PostgresOptions;
use tokio_postgres::{Client, Config, NoTls};

/// A free port, given out once. It is below the ephemeral range, so a restarted server finds it free.
fn free_port() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let start = std::process::id().wrapping_mul(104_729);
    loop {
        let at = start.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)) % 20_000;
        let port = 12_000 + u16::try_from(at).expect("below 20,000");
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// Role that owns every database and has no other rights.
pub(crate) const ROLE: &str = "doorward";
/// Password of the role; a carelessly built URL would break on it.
pub(crate) const ROLE_PASSWORD: &str = "p@ss/w:rd 'quoted' %41";

/// `vault.url` of a database on these hosts, with every byte of the password escaped.
pub(crate) fn url(hosts: &str, database: &str) -> String {
    let password: String = ROLE_PASSWORD.bytes().map(|byte| format!("%{byte:02x}")).collect();
    format!("postgres://{ROLE}:{password}@{hosts}/{database}")
}

const WATCHDOG: &str = r#"
trap '' INT TERM HUP
cat >/dev/null
end() { # pidfile, signal
    [ -f "$1" ] && read -r pid <"$1" || return 0
    kill -CONT "$pid" 2>/dev/null; kill "-$2" "$pid" 2>/dev/null
    tries=0
    while kill -0 "$pid" 2>/dev/null; do
        tries=$((tries + 1)); [ "$tries" -lt 100 ] || { kill -KILL "$pid"; return 0; }
        sleep 0.1
    done
}
end "$0/pgbouncer.pid" TERM
end "$0/data/postmaster.pid" QUIT
# A test may have put a small disk there.
umount "$0/data" 2>/dev/null
rm -rf "$0"
"#;

/// A server or pooler with its folder.
pub(crate) struct Server {
    folder: PathBuf,
    pub(crate) port: u16,
    /// Stops the server when its pipe closes, at the latest when this process ends.
    _watchdog: Child,
}

/// Server shared by most tests, with one database for each. Started on first use.
pub(crate) fn shared() -> &'static Server {
    static SHARED: OnceLock<Server> = OnceLock::new();
    SHARED.get_or_init(|| Server::start(""))
}

/// Pooler in transaction mode in front of the shared server. It has few connections, so that statements change
/// connections.
pub(crate) fn shared_bouncer() -> &'static Server {
    static BOUNCER: OnceLock<Server> = OnceLock::new();
    BOUNCER.get_or_init(|| Server::bouncer(shared()))
}

impl Server {
    /// Starts a server with these lines at the end of its configuration.
    pub(crate) fn start(extra: &str) -> Self {
        let server = Self::prepare();
        server.run(
            "initdb",
            &[
                "-D",
                "data",
                "-U",
                "postgres",
                "-E",
                "UTF8",
                "--locale=C",
                "--no-sync",
                "--no-instructions",
                "--auth-local=trust",
                "--auth-host=scram-sha-256",
            ],
        );
        server.configure(extra);
        server.start_again();
        let role = format!("CREATE ROLE {ROLE} LOGIN PASSWORD '{}'", ROLE_PASSWORD.replace('\'', "''"));
        server.psql("postgres", &role);
        server
    }

    /// Starts a hot standby of `primary`.
    pub(crate) fn standby_of(primary: &Self) -> Self {
        let server = Self::prepare();
        let (from, port) = (primary.socket(), primary.port.to_string());
        server.run(
            "pg_basebackup",
            &["-D", "data", "-h", &from, "-p", &port, "-U", "postgres", "-R", "-c", "fast", "--no-sync"],
        );
        server.configure("");
        server.start_again();
        server
    }

    /// Starts a pooler in transaction mode in front of `server`.
    pub(crate) fn bouncer(server: &Self) -> Self {
        Self::bouncer_with(server, "")
    }

    /// Starts a pooler with these lines at the end of its configuration.
    pub(crate) fn bouncer_with(server: &Self, extra: &str) -> Self {
        let bouncer = Self::prepare();
        let users = format!("\"{ROLE}\" \"{ROLE_PASSWORD}\"\n");
        bouncer.write("users.txt", &users);
        bouncer.write(
            "pgbouncer.ini",
            &format!(
                "[databases]\n* = host={} port={}\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {}\n\
                 unix_socket_dir =\nauth_type = scram-sha-256\nauth_file = users.txt\npool_mode = transaction\n\
                 default_pool_size = 4\nmax_client_conn = 500\nlogfile = pgbouncer.log\npidfile = pgbouncer.pid\n{extra}\n",
                server.socket(),
                server.port,
                bouncer.port,
            ),
        );
        bouncer.run("pgbouncer", &["-q", "-d", "pgbouncer.ini"]);
        // The pooler daemonizes before it listens.
        let listens = || TcpStream::connect(("127.0.0.1", bouncer.port)).is_ok();
        let up = (0..1000).any(|_| {
            std::thread::park_timeout(Duration::from_millis(10));
            listens()
        });
        assert!(up, "`pgbouncer` does not listen");
        bouncer
    }

    fn prepare() -> Self {
        let folder = tempfile::Builder::new().prefix("pg-").tempdir().expect("a folder").keep();
        if let Some((uid, gid)) = account() {
            chown(&folder, Some(uid), Some(gid)).expect("given away");
        }
        let mut watchdog = Command::new("sh");
        watchdog.args(["-c", WATCHDOG]).arg(&folder).process_group(0);
        let watchdog = watchdog.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        let port = free_port();
        Self { folder, port, _watchdog: watchdog.spawn().expect("`sh` runs") }
    }

    /// Appends settings; the last value of a setting applies.
    pub(crate) fn configure(&self, extra: &str) {
        let path = self.folder.join("data/postgresql.conf");
        let before = fs::read_to_string(&path).expect("a configuration");
        let ours = format!(
            "{before}\nport = {}\nlisten_addresses = '127.0.0.1'\nunix_socket_directories = '{}'\n\
             max_connections = 500\nshared_buffers = 16MB\nfsync = off\nfull_page_writes = off\n\
             shared_preload_libraries = 'pg_stat_statements'\nlog_line_prefix = '%m [%p] %d %a '\n{extra}\n",
            self.port,
            self.folder.display()
        );
        fs::write(&path, ours).expect("written");
    }

    /// Starts a stopped server on the same port.
    pub(crate) fn start_again(&self) {
        self.run("pg_ctl", &["start", "-D", "data", "-l", "log", "-w", "-s"]);
    }

    /// Ends every connection and stops the server.
    pub(crate) fn stop(&self) {
        self.run("pg_ctl", &["stop", "-D", "data", "-m", "fast", "-w", "-s"]);
    }

    /// Stops immediately, as on a machine failure, without notifying clients.
    pub(crate) fn crash(&self) {
        self.run("pg_ctl", &["stop", "-D", "data", "-m", "immediate", "-w", "-s"]);
    }

    /// Reloads the configuration.
    pub(crate) fn reload(&self) {
        self.run("pg_ctl", &["reload", "-D", "data", "-s"]);
    }

    /// Promotes a standby to primary.
    pub(crate) fn promote(&self) {
        self.run("pg_ctl", &["promote", "-D", "data", "-w", "-s"]);
    }

    /// Signals every process of the server. `"-STOP"` stalls them while the kernel still accepts connections; `"-CONT"`
    /// resumes them.
    pub(crate) fn signal_all(&self, signal: &str) {
        let text = fs::read_to_string(self.folder.join("data/postmaster.pid")).expect("it runs");
        let main = text.lines().next().expect("its id").trim().to_owned();
        let children =
            fs::read_to_string(format!("/proc/{main}/task/{main}/children")).expect("its children");
        let all = std::iter::once(main.as_str()).chain(children.split_whitespace());
        let _: std::process::ExitStatus =
            Command::new("kill").arg(signal).args(all).status().expect("`kill` runs");
    }

    /// Folder of its socket.
    pub(crate) fn socket(&self) -> String {
        self.folder.display().to_string()
    }

    /// Its folder, readable by its user.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Writes a file readable only by its user.
    pub(crate) fn write(&self, name: &str, text: &str) {
        use std::os::unix::fs::PermissionsExt;
        let path = self.folder.join(name);
        fs::write(&path, text).expect("written");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("private");
        if let Some((uid, gid)) = account() {
            chown(&path, Some(uid), Some(gid)).expect("given away");
        }
    }

    /// Runs SQL as the superuser.
    pub(crate) fn psql(&self, database: &str, sql: &str) -> String {
        let (socket, port) = (self.socket(), self.port.to_string());
        self.run(
            "psql",
            &[
                "-h",
                &socket,
                "-p",
                &port,
                "-U",
                "postgres",
                "-d",
                database,
                "-XAtq",
                "-v",
                "ON_ERROR_STOP=1",
                "-c",
                sql,
            ],
        )
    }

    /// Creates an empty database owned by the role.
    pub(crate) fn database(&self) -> String {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("vault_{}", NEXT.fetch_add(1, Ordering::Relaxed));
        self.psql("postgres", &format!("CREATE DATABASE {name} OWNER {ROLE}"));
        name
    }

    /// Restores a backup of a database to another server under the same name.
    pub(crate) fn copy_to(&self, other: &Self, database: &str) {
        let (file, name) = (self.folder.join("backup.sql").display().to_string(), database);
        let (socket, port) = (self.socket(), self.port.to_string());
        self.run("pg_dump", &["-h", &socket, "-p", &port, "-U", "postgres", "-f", &file, name]);
        other.psql("postgres", &format!("CREATE DATABASE {name} OWNER {ROLE}"));
        let (socket, port) = (other.socket(), other.port.to_string());
        let into = ["-h", &socket, "-p", &port, "-U", "postgres", "-d", name, "-f", &file];
        other.run("psql", &[&into[..], &["-Xq", "-v", "ON_ERROR_STOP=1"]].concat());
    }

    /// Options for a vault in a database of this server.
    pub(crate) fn options(&self, database: &str) -> PostgresOptions {
        PostgresOptions {
            url: PostgresUrl {
                hosts: vec![self.host()],
                user: ROLE.into(),
                password: Some(Secret::new(ROLE_PASSWORD.into())),
                database: database.into(),
                tls: false,
                channel_binding: ChannelBinding::Prefer,
                application_name: None,
            },
            ca_file: None,
            pool_size: 6,
            prepared: true,
            statement_timeout: Duration::from_secs(30),
        }
    }

    /// `vault.url` of a database of this server.
    pub(crate) fn url(&self, database: &str) -> String {
        url(&format!("127.0.0.1:{}", self.port), database)
    }

    /// Address it listens on.
    pub(crate) fn host(&self) -> StoreHost {
        StoreHost { name: "127.0.0.1".into(), port: self.port }
    }

    /// A direct superuser connection.
    pub(crate) async fn raw(&self, database: &str) -> Client {
        let mut config = Config::new();
        config.host_path(&self.folder).port(self.port).user("postgres").dbname(database);
        let (client, connection) = config.connect(NoTls).await.expect("a connection");
        drop(tokio::spawn(connection));
        client
    }

    fn run(&self, program: &str, args: &[&str]) -> String {
        let mut command = Command::new(binary(program));
        command.args(args).current_dir(&self.folder).env("LC_ALL", "C").stdin(Stdio::null()).process_group(0);
        // PostgreSQL refuses to run as root.
        if let Some((uid, gid)) = account() {
            command.uid(uid).gid(gid);
        }
        // Output goes to files: a server started by `pg_ctl` would keep a pipe open.
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let (out, err) = (format!("out-{number}"), format!("err-{number}"));
        let file = |name: &str| fs::File::create(self.folder.join(name)).expect("a file");
        let status = command.stdout(file(&out)).stderr(file(&err)).status();
        let status = status.unwrap_or_else(|error| panic!("`{program}` does not run: {error}"));
        let read = |name: &str| fs::read_to_string(self.folder.join(name)).unwrap_or_default();
        assert!(status.success(), "`{program}` failed: {}\n{}", read(&err), read("log"));
        read(&out)
    }
}

/// User that servers run as when the tests run as root; `None` for the current user.
fn account() -> Option<(u32, u32)> {
    if fs::metadata("/proc/self").map_or(true, |own| own.uid() != 0) {
        return None;
    }
    let users = fs::read_to_string("/etc/passwd").expect("users");
    let find = |name: &str| {
        let mut fields = users.lines().find(|line| line.split(':').next() == Some(name))?.split(':').skip(2);
        Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
    };
    Some(find("postgres").or_else(|| find("nobody")).expect("an unprivileged user"))
}

/// Path of a PostgreSQL program. Debian keeps the servers outside the path and wraps the clients in it.
fn binary(name: &str) -> PathBuf {
    let mut directories = Vec::new();
    for parent in ["/usr/lib/postgresql", "/usr/local/opt", "/opt/homebrew/opt", "/usr"] {
        let mut versions: Vec<_> =
            fs::read_dir(parent).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
        // Newest version first.
        versions.sort_by_key(|path| std::cmp::Reverse(version(path)));
        directories
            .extend(versions.into_iter().filter(|path| version(path) > 0).map(|path| path.join("bin")));
    }
    directories.extend(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()));
    directories.push("/usr/sbin".into());
    let found = directories.iter().map(|directory| directory.join(name)).find(|path| path.is_file());
    found.unwrap_or_else(|| {
        panic!("`{name}` is missing: `make test` installs it (Debian: postgresql, pgbouncer)")
    })
}

fn version(path: &Path) -> u32 {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let number = name.trim_start_matches("postgresql@").trim_start_matches("pgsql-");
    number.parse().unwrap_or(0)
}
