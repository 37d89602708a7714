//! The demo: a gateway with embedded stores in a temporary directory, in front of a small app, with two users and
//! commands to try.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;

use crate::config::Config;
use crate::id::{Random, UserId, base64url};
use crate::identity::Roles;
use crate::password::{Hasher, Password};
use crate::secret::Secret;
use crate::server::{self, Running, Surroundings};
use crate::token::seal::MasterSecret;
use crate::vault::NewUser;

pub mod app;

/// A running demo; its directory is deleted when it is dropped.
pub struct Demo {
    gateway: Running,
    app: app::App,
    folder: tempfile::TempDir,
    /// Name, password, roles.
    users: Vec<(&'static str, Secret<String>, &'static [&'static str])>,
    stores: Stores,
}

/// External stores, used instead of the embedded ones, and an identity provider.
#[derive(Clone, Debug, Default)]
pub struct Stores {
    /// Address of Redis, for sessions.
    pub redis: Option<String>,
    /// Address of an empty Postgres database, for the vault.
    pub postgres: Option<String>,
    /// Issuer of an identity provider where the demo is the client `doorward`.
    pub provider: Option<String>,
}

/// Starts the demo, listening on `listen`.
///
/// # Errors
/// The address is in use, or the directory cannot be created.
pub async fn start(listen: SocketAddr, stores: Stores, surroundings: Surroundings) -> anyhow::Result<Demo> {
    let folder = tempfile::Builder::new()
        .prefix("doorward-demo-")
        .tempdir()
        .context("cannot create a directory for the demo")?;
    let app = app::App::start(SocketAddr::from(([127, 0, 0, 1], 0)))
        .await
        .context("cannot start the demo's app")?;
    let file = folder.path().join("gateway.toml");
    // With port 0 the port is not known yet, so the first configuration uses the default port.
    let origin = SocketAddr::new(listen.ip(), if listen.port() == 0 { 8080 } else { listen.port() });
    let write = |listen| std::fs::write(&file, settings(listen, origin, app.address(), &stores));
    write(listen).with_context(|| format!("cannot write {}", file.display()))?;
    if stores.postgres.is_some() {
        // The master key of a shared vault is normally created by hand. The demo's vault is its own, so it creates one.
        MasterSecret::create(&folder.path().join("master.key"), surroundings.random.as_ref())?;
    }
    let config = Config::load(&file, &|_| None)?;
    let users = add_users(&config, &surroundings).await?;
    let gateway = server::start(&config, surroundings)
        .await
        .context("the demo cannot start (for another port: `make demo DEMO_PORT=8090`, or `doorward demo --listen 127.0.0.1:8090`)")?;
    write(gateway.public()[0])?;
    Ok(Demo { gateway, app, folder, users, stores })
}

fn settings(listen: SocketAddr, origin: SocketAddr, app: SocketAddr, stores: &Stores) -> String {
    let table = |name: &str, url: &Option<String>| match url {
        // A literal string, which has no escapes.
        Some(url) => format!("[{name}]\nurl = '{url}'\n"),
        None => String::new(),
    };
    let provider = stores.provider.as_ref().map_or_else(String::new, |issuer| provider(issuer));
    let stores = table("vault", &stores.postgres) + &table("sessions", &stores.redis);
    // People type either address into a browser.
    let port = origin.port();
    format!(
        r#"# Written by `doorward demo`. Every other setting has its default.
[server]
listen = ["{listen}"]
public_urls = ["http://{origin}", "http://localhost:{port}"]
[admin]
listen = ["127.0.0.1:0"]
{stores}[tokens]
issuer = "http://{origin}"
[log]
format = "text"
level = "warn"
[upstreams.app]
servers = ["http://{app}"]
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
strict_siblings = true
[[routes]]
name = "public"
path = "/public"
access = "public"
upstream = "app"
{provider}"#
    )
}

/// Returns the table of a provider that is as open as the demo: see `.ci/sso`.
fn provider(issuer: &str) -> String {
    format!(
        r#"[[providers]]
id = "sso"
issuer = '{issuer}'
client_id = "doorward"
client_secret = "the demo is no secret"
label = "the demo's provider"
create_users = "always"
scopes = ["openid", "profile", "email", "groups"]
roles = [{{ claim = "groups", value = "platform", role = "admin" }}]
logout = true
"#
    )
}

async fn add_users(
    config: &Config,
    surroundings: &Surroundings,
) -> anyhow::Result<Vec<(&'static str, Secret<String>, &'static [&'static str])>> {
    let random: Arc<dyn Random> = Arc::clone(&surroundings.random);
    let vault = server::open_vault(config, surroundings).await?;
    let hasher = Hasher::start(2, 2, Arc::clone(&random))?;
    let mut users = Vec::new();
    if !vault.users.list(None, 1).await?.is_empty() {
        anyhow::bail!("the vault already has users: use an empty database for the demo");
    }
    for (name, roles) in [("ada", &["admin", "user"][..]), ("bob", &["user"][..])] {
        let password = Secret::new(base64url(random.bytes::<15>()));
        let hash = hasher.hash(Password::new(password.expose())?).await?;
        let id = UserId::random(random.as_ref());
        let new = NewUser::new(id, name.parse()?, hash, Roles::parse(roles.iter().copied())?);
        vault.users.create(&new).await?;
        users.push((name, password, roles));
    }
    Ok(users)
}

impl Demo {
    /// Returns the listen address.
    pub fn address(&self) -> SocketAddr {
        self.gateway.public()[0]
    }

    /// Returns the directory of the demo's files.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Returns the commands to try, with their results, using `program` as the command.
    pub fn guide(&self, program: &Path) -> String {
        let url = format!("http://{}", self.address());
        let config = self.folder.path().join("gateway.toml");
        let mut text = String::new();
        let mut print = |line: &str| writeln!(text, "{line}").expect("writing to a string");
        print(&format!(
            "doorward is running at {url}, in front of a small app that shows each request as it arrives."
        ));
        print(&format!("All files are in {} and are deleted on Ctrl-C.", self.folder.path().display()));
        match (&self.stores.postgres, &self.stores.redis) {
            (None, None) => {}
            (Some(_), None) => print("Users, sessions and keys are in Postgres."),
            (None, Some(_)) => print("Confirmed sessions are cached in Redis."),
            (Some(_), Some(_)) => {
                print("Users, sessions and keys are in Postgres; confirmed sessions are cached in Redis.");
            }
        }
        print("");
        for (name, password, roles) in &self.users {
            print(&format!("  user {name}   password {}   roles {}", password.expose(), roles.join(", ")));
        }
        if self.stores.provider.is_some() {
            print(
                "  or choose the provider on the sign-in page, and sign in there as grace, without a password:",
            );
            print("  she is new here, and gets the role admin for her group at the provider");
        }
        print(&format!(
            "\nOpen {url}/ in a browser, or copy these lines into another terminal, one after the other:\n"
        ));
        for step in steps(&url, &self.users[1], &config, program, &self.stores) {
            print(&format!("# {}", step.description));
            print(step.line.trim_end());
            print("");
        }
        if let Some(admin) = self.gateway.admin().first() {
            print(&format!("Metrics: curl -s http://{admin}/metrics   Configuration: {}", config.display()));
        }
        print("Stop with Ctrl-C.");
        text
    }

    /// Stops the gateway and its app, and deletes the directory.
    pub async fn stop(self) {
        self.gateway.drain().await;
        self.app.stop().await;
        // Dropping it would also delete the directory; an error only leaves it behind.
        let _ = self.folder.close();
    }
}

/// A command to try, and its result.
struct Step {
    description: &'static str,
    line: String,
}

fn steps(
    url: &str,
    user: &(&str, Secret<String>, &[&str]),
    config: &Path,
    program: &Path,
    stores: &Stores,
) -> Vec<Step> {
    let (name, password) = (user.0, user.1.expose());
    let member = |name: &str| format!(r#"sed -n 's/.*"{name}":"\([^"]*\)".*/\1/p'"#);
    let (access, refresh) = (member("access_token"), member("refresh_token"));
    let post = "curl -s -H 'Content-Type: application/json'";
    let status = r"-w '  -> %{http_code}\n'";
    let step = |description, line: String| Step { description, line };
    let mut steps = vec![
        step("without a token: refused (401, token_missing)", format!("curl -s {status} {url}/hello")),
        step(
            "sign in",
            format!(
                r#"TOKENS=$({post} {url}/auth/login -d '{{"username":"{name}","password":"{password}"}}')
ACCESS=$(printf %s "$TOKENS" | {access}); REFRESH=$(printf %s "$TOKENS" | {refresh}); echo "$TOKENS""#
            ),
        ),
        step(
            "call the app: it receives your identity, but neither your token nor the forged X-Auth-User",
            format!(
                r#"curl -s -H "Authorization: Bearer $ACCESS" -H 'X-Auth-User: ada' '{url}/hello?from=me'"#
            ),
        ),
        step(
            "the admin route: refused (403, role_missing)",
            format!(r#"curl -s {status} -H "Authorization: Bearer $ACCESS" {url}/admin"#),
        ),
        step(
            "refresh: a new access token and the next refresh token; an immediate retry returns the same one",
            format!(
                r#"RENEWED=$({post} {url}/auth/refresh -d "{{\"refresh_token\":\"$REFRESH\"}}")
ACCESS=$(printf %s "$RENEWED" | {access}); NEXT=$(printf %s "$RENEWED" | {refresh})
AGAIN=$({post} {url}/auth/refresh -d "{{\"refresh_token\":\"$REFRESH\"}}" | {refresh})
[ "$NEXT" = "$AGAIN" ] && echo "same refresh token""#
            ),
        ),
        step(
            "list your sessions",
            format!(r#"curl -s {status} -H "Authorization: Bearer $ACCESS" {url}/auth/sessions"#),
        ),
    ];
    if let Some(redis) = &stores.redis {
        steps.push(step(
            "delete everything in Redis: nobody is signed out (200)",
            format!(
                r#"redis-cli --no-auth-warning -u '{redis}' FLUSHALL; curl -s -o /dev/null {status} -H "Authorization: Bearer $ACCESS" {url}/hello"#
            ),
        ));
    }
    steps.extend([
        step(
            "revoke from another process: the running gateway follows",
            format!("{} --config {} session revoke --user {name}", program.display(), config.display()),
        ),
        step(
            "refused everywhere from now on (401, token_revoked); the refresh token is invalid too (401)",
            format!(
                r#"sleep 0.3; curl -s {status} -H "Authorization: Bearer $ACCESS" {url}/hello
{post} {status} {url}/auth/refresh -d "{{\"refresh_token\":\"$NEXT\"}}""#
            ),
        ),
    ]);
    steps
}
