//! A gateway in the test process, with its own ports and folder.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use doorward::clock::TravelClock;
use doorward::config::Config;
use doorward::id::{SystemRandom, UserId};
use doorward::identity::Roles;
use doorward::password::{Hasher, Password};
use doorward::secret::Secret;
use doorward::server::{self, ConfigFile, Reloads, Running, Stores, Surroundings};
use doorward::session::SessionStore;
use doorward::vault::{AttributesChange, Edit, NewUser, UserChange, Vault};
use serde_json::json;
use tokio::sync::OnceCell;

use super::http::{self, Response};
use super::{PASSWORD, TestApp, assert_eventually};

/// Configuration of a test gateway.
pub(crate) struct Setup {
    pub(crate) listen: String,
    pub(crate) public_url: String,
    /// Extra lines of `gateway.toml`, by table.
    pub(crate) server: String,
    pub(crate) sessions: String,
    pub(crate) vault: String,
    pub(crate) tokens: String,
    pub(crate) login: String,
    /// Extra `[[routes]]` and upstreams; the upstream `app` is always defined.
    pub(crate) routes: String,
    /// Wraps the stores before the gateway uses them.
    pub(crate) stores: Box<dyn FnOnce(Stores) -> Stores + Send>,
    /// Folder of an earlier gateway, to restart on.
    pub(crate) folder: Option<Arc<tempfile::TempDir>>,
    pub(crate) clock: Arc<TravelClock>,
}

/// Hash of [`PASSWORD`]; made once in a process, since a hash takes a while.
static HASH: OnceCell<Secret<String>> = OnceCell::const_new();

/// Routes most tests need.
pub(crate) const ROUTES: &str = r#"
[[routes]]
name = "app"
path = "/"
access = "signed-in"
upstream = "app"
[[routes]]
name = "admin"
path = "/admin"
access = { roles = ["admin", "ops"] }
upstream = "app"
[[routes]]
name = "public"
path = "/public"
access = "public"
upstream = "app"
[[routes]]
name = "optional"
path = "/optional"
access = "optional"
upstream = "app"
"#;

impl Default for Setup {
    fn default() -> Self {
        Self {
            listen: "127.0.0.1:0".to_owned(),
            public_url: "http://gateway.test".to_owned(),
            server: String::new(),
            sessions: String::new(),
            vault: String::new(),
            tokens: String::new(),
            login: String::new(),
            routes: ROUTES.to_owned(),
            stores: Box::new(|stores| stores),
            folder: None,
            clock: Arc::new(TravelClock::new()),
        }
    }
}

/// A running gateway and its app.
pub(crate) struct TestGateway {
    pub(crate) app: TestApp,
    pub(crate) vault: Vault,
    pub(crate) sessions: Arc<dyn SessionStore>,
    pub(crate) clock: Arc<TravelClock>,
    pub(crate) folder: Arc<tempfile::TempDir>,
    running: Option<Running>,
    public: SocketAddr,
    redirect: Option<SocketAddr>,
    admin: SocketAddr,
}

impl TestGateway {
    /// Starts with [`ROUTES`] and the default settings.
    pub(crate) async fn start() -> Self {
        Self::with(Setup::default()).await
    }

    pub(crate) async fn with(setup: Setup) -> Self {
        let app = TestApp::start().await;
        let mut vault_lines = setup.vault;
        if !vault_lines.contains("url") && !vault_lines.contains("statement_timeout") {
            // A commit waits for the disk, which can take seconds on a busy machine.
            vault_lines.push_str("\nstatement_timeout = \"60s\"");
        }
        let folder = setup.folder.unwrap_or_else(|| Arc::new(tempfile::tempdir().expect("a folder")));
        let file = write_config(
            folder.path(),
            &app,
            (&setup.listen, &setup.public_url),
            &[&setup.server, &vault_lines, &setup.sessions, &setup.tokens, &setup.login, &setup.routes],
        );
        let config = Config::load(&file, &|_| None).unwrap_or_else(|problems| panic!("{problems}"));
        let surroundings = Surroundings::new(setup.clock.clone(), Arc::new(SystemRandom));
        let stores = Stores::open(&config, &surroundings).await.expect("stores");
        let (vault, sessions) = (stores.vault.clone(), Arc::clone(&stores.sessions));
        let running =
            server::start_with(&config, surroundings, (setup.stores)(stores)).await.expect("a gateway");
        let (public, admin) = (running.public()[0], running.admin()[0]);
        let redirect = running.redirects().first().copied();
        Self {
            app,
            vault,
            sessions,
            clock: setup.clock,
            folder,
            running: Some(running),
            public,
            redirect,
            admin,
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.public
    }

    pub(crate) fn admin(&self) -> SocketAddr {
        self.admin
    }

    /// Address of the listener that redirects to https.
    pub(crate) fn redirect(&self) -> SocketAddr {
        self.redirect.expect("asked for")
    }

    pub(crate) fn config_file(&self) -> PathBuf {
        self.folder.path().join("gateway.toml")
    }

    /// Starts reloading the configuration file.
    pub(crate) fn follow(&mut self) -> Reloads {
        let (_, file) = ConfigFile::read(&self.config_file(), |_| None).expect("as it was started");
        self.running.as_mut().expect("running").follow(file, |_| {})
    }

    /// Replaces the configuration file atomically.
    pub(crate) fn rewrite(&self, change: impl FnOnce(&str) -> String) {
        let text = std::fs::read_to_string(self.config_file()).expect("the file");
        let new = self.folder.path().join("gateway.toml.new");
        std::fs::write(&new, change(&text)).expect("written");
        std::fs::rename(new, self.config_file()).expect("renamed");
    }

    /// Rewrites the configuration file and waits until it applies.
    pub(crate) async fn reconfigure(&self, change: impl FnOnce(&str) -> String) {
        let before = self.metric("doorward_config_generation").await;
        self.rewrite(change);
        assert_eventually("it is in force", SOON, async || {
            self.metric("doorward_config_generation").await > before
        })
        .await;
    }

    /// Creates a user with [`PASSWORD`].
    pub(crate) async fn user(&self, name: &str, roles: &[&str]) -> UserId {
        let hash = HASH.get_or_init(async || {
            let hasher = Hasher::start(1, 1, Arc::new(SystemRandom)).expect("a thread");
            hasher.hash(Password::new(PASSWORD).expect("short")).await.expect("a hash")
        });
        let id = UserId::random(&SystemRandom);
        let roles = Roles::parse(roles.iter().copied()).expect("roles");
        let new = NewUser::new(id, name.parse().expect("a login"), hash.await.clone(), roles);
        self.vault.users.create(&new).await.expect("a user");
        id
    }

    /// Gives a user attributes, as another process would; an empty name is none.
    pub(crate) async fn describe(&self, user: UserId, email: &str, verified: bool, name: &str) {
        let change = AttributesChange {
            email: Edit::Set(email.parse().expect("an address")),
            email_verified: Some(verified),
            name: if name.is_empty() { Edit::Clear } else { Edit::Set(name.parse().expect("a name")) },
        };
        self.vault.users.change(user, &UserChange::Attributes(change)).await.expect("changed");
    }

    /// Sends `POST` with a JSON body and an optional bearer.
    pub(crate) async fn post(&self, path: &str, bearer: Option<&str>, body: &serde_json::Value) -> Response {
        let authorization = bearer.map(|token| format!("Bearer {token}"));
        let mut headers = vec![("Content-Type", "application/json")];
        headers.extend(authorization.as_deref().map(|value| ("Authorization", value)));
        let body = if body.is_null() { String::new() } else { body.to_string() };
        http::request(self.public, "POST", path, &headers, body.as_bytes()).await
    }

    /// Sends a request of any method with a bearer.
    pub(crate) async fn call(&self, method: &str, path: &str, bearer: &str) -> Response {
        let bearer = format!("Bearer {bearer}");
        http::request(self.public, method, path, &[("Authorization", bearer.as_str())], b"").await
    }

    pub(crate) async fn get(&self, path: &str, headers: &[(&str, &str)]) -> Response {
        http::request(self.public, "GET", path, headers, b"").await
    }

    /// Signs in with [`PASSWORD`]; fails the test on any error.
    pub(crate) async fn login(&self, name: &str) -> Tokens {
        Tokens::of(&self.post("/auth/login", None, &json!({ "username": name, "password": PASSWORD })).await)
    }

    /// Starts another gateway on the same vault.
    pub(crate) async fn elsewhere(&self) -> Self {
        let (folder, clock) = (Some(Arc::clone(&self.folder)), Arc::clone(&self.clock));
        let written = std::fs::read(self.config_file()).expect("the file");
        let other = Self::with(Setup { folder, clock, ..Setup::default() }).await;
        std::fs::write(self.config_file(), written).expect("the file as it was");
        other
    }

    /// Signs in at another gateway on the same vault. This gateway has not seen the session and possibly not the user.
    pub(crate) async fn login_elsewhere(&self, name: &str) -> Tokens {
        let mut other = self.elsewhere().await;
        let tokens = other.login(name).await;
        other.drain().await;
        tokens
    }

    pub(crate) async fn refresh(&self, token: &str) -> Response {
        self.post("/auth/refresh", None, &json!({ "refresh_token": token })).await
    }

    /// Value of the first metric line that starts with `name`.
    pub(crate) async fn metric(&self, name: &str) -> f64 {
        let text = http::request(self.admin, "GET", "/metrics", &[], b"").await.text();
        let line = text.lines().find(|line| line.starts_with(name));
        line.and_then(|line| line.rsplit(' ').next()?.parse().ok()).unwrap_or(0.0)
    }

    /// Sends `GET` to the admin listener.
    pub(crate) async fn probe(&self, path: &str) -> Response {
        http::request(self.admin, "GET", path, &[], b"").await
    }

    /// Runs a `doorward` command on the same vault and returns its output.
    pub(crate) async fn command(&self, words: &[&str]) -> String {
        let file = self.config_file().display().to_string();
        let words: Vec<String> =
            ["doorward", "--config", &file].iter().chain(words).map(|&word| word.to_owned()).collect();
        let printed = tokio::task::spawn_blocking(move || {
            let mut out = Vec::new();
            doorward::cli::run(&clap::Parser::parse_from(words), &mut out).expect("the command works");
            String::from_utf8(out).expect("text")
        });
        printed.await.expect("a command")
    }

    /// Returns the running gateway, to be drained while the test continues.
    pub(crate) fn running(&mut self) -> Running {
        self.running.take().expect("running")
    }

    /// Stops the gateway as SIGTERM does.
    pub(crate) async fn drain(&mut self) {
        self.running.take().expect("running").drain().await;
    }

    /// Stops the gateway and returns its folder.
    pub(crate) async fn stop(mut self) -> Arc<tempfile::TempDir> {
        self.drain().await;
        Arc::clone(&self.folder)
    }
}

/// Tokens of a login or refresh response.
#[derive(Debug, Clone)]
pub(crate) struct Tokens {
    pub(crate) access: String,
    pub(crate) refresh: String,
    pub(crate) session: String,
}

impl Tokens {
    pub(crate) fn of(response: &Response) -> Self {
        assert_eq!(response.status, 200, "{}", response.text());
        Self {
            access: response.member("access_token"),
            refresh: response.member("refresh_token"),
            session: response.member("session_id"),
        }
    }
}

fn write_config(
    folder: &Path,
    app: &TestApp,
    (listen, public_url): (&str, &str),
    parts: &[&str; 6],
) -> PathBuf {
    let [server, vault, sessions, tokens, login, routes] = parts;
    let text = format!(
        r#"
[server]
listen = ["{listen}"]
public_urls = ["{public_url}"]
{server}
[admin]
listen = ["127.0.0.1:0"]
[vault]
{vault}
[sessions]
{sessions}
[tokens]
issuer = "http://gateway.test"
{tokens}
[login]
{login}
[upstreams.app]
servers = ["http://{}"]
{routes}
"#,
        app.address()
    );
    let file = folder.join("gateway.toml");
    std::fs::write(&file, text).expect("a file");
    file
}

/// Upper bound for events that must happen, generous for a busy machine; it only ends a hang. Below the default request
/// and connection timeouts of 60 s.
pub(crate) const SOON: Duration = Duration::from_secs(30);
