//! The demo: a gateway on embedded stores in a folder of its own, in front of a small app, with two users and the
//! lines to try.

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

pub mod app;

/// A running demo; its folder goes when it is dropped.
pub struct Demo {
    gateway: Running,
    app: app::App,
    folder: tempfile::TempDir,
    /// Name, password, roles.
    users: Vec<(&'static str, Secret<String>, &'static [&'static str])>,
    stores: Stores,
}

/// Stores of somebody's own, in place of the embedded ones.
#[derive(Clone, Debug, Default)]
pub struct Stores {
    /// Its address, for sessions.
    pub redis: Option<String>,
    /// Its address, for the vault; an empty database.
    pub postgres: Option<String>,
}

/// Starts everything, listening on `listen`.
///
/// # Errors
/// When the address is taken or the folder cannot be made.
pub async fn start(listen: SocketAddr, stores: Stores, surroundings: Surroundings) -> anyhow::Result<Demo> {
    let folder = tempfile::Builder::new()
        .prefix("doorward-demo-")
        .tempdir()
        .context("cannot make a folder for the demo")?;
    let app = app::App::start(SocketAddr::from(([127, 0, 0, 1], 0)))
        .await
        .context("cannot start the demo's app")?;
    let file = folder.path().join("gateway.toml");
    // With port 0 the port is not known yet: the demo is then called by the default's name.
    let origin = SocketAddr::new(listen.ip(), if listen.port() == 0 { 8080 } else { listen.port() });
    let write = |listen| std::fs::write(&file, settings(listen, origin, app.address(), &stores));
    write(listen).with_context(|| format!("cannot write {}", file.display()))?;
    if stores.postgres.is_some() {
        // A shared vault's secret is made by hand; the demo's vault is its own.
        MasterSecret::create(&folder.path().join("master.key"), surroundings.random.as_ref())?;
    }
    let config = Config::load(&file, &|_| None)?;
    let users = add_users(&config, &surroundings).await?;
    let gateway = server::start(&config, surroundings)
        .await
        .context("the demo cannot start (`doorward demo --listen 127.0.0.1:0` takes any free port)")?;
    write(gateway.public()[0])?;
    Ok(Demo { gateway, app, folder, users, stores })
}

fn settings(listen: SocketAddr, origin: SocketAddr, app: SocketAddr, stores: &Stores) -> String {
    let table = |name: &str, url: &Option<String>| match url {
        // A literal string, which has no escapes.
        Some(url) => format!("[{name}]\nurl = '{url}'\n"),
        None => String::new(),
    };
    let stores = table("vault", &stores.postgres) + &table("sessions", &stores.redis);
    // People write either into a browser.
    let port = origin.port();
    format!(
        r#"# Written by `doorward demo`. This is all it takes; every other setting has its default.
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
        anyhow::bail!("there are users in that vault already: give the demo an empty database");
    }
    for (name, roles) in [("ada", &["admin", "user"][..]), ("bob", &["user"][..])] {
        let password = Secret::new(base64url(random.bytes::<15>()));
        let hash = hasher.hash(Password::new(password.expose())?).await?;
        let id = UserId::random(random.as_ref());
        vault.users.create(id, &name.parse()?, &hash, &Roles::parse(roles.iter().copied())?).await?;
        users.push((name, password, roles));
    }
    Ok(users)
}

impl Demo {
    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.gateway.public()[0]
    }

    /// Where its files are.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// What to try: shell lines with what one sees, using `program` as the command.
    pub fn guide(&self, program: &Path) -> String {
        let url = format!("http://{}", self.address());
        let config = self.folder.path().join("gateway.toml");
        let mut text = String::new();
        let mut say = |line: &str| writeln!(text, "{line}").expect("writing to a string");
        say(&format!(
            "doorward is running at {url}, in front of a small app that shows each request as it arrives."
        ));
        say(&format!("Everything is in {} and goes away with Ctrl-C.", self.folder.path().display()));
        match (&self.stores.postgres, &self.stores.redis) {
            (None, None) => {}
            (Some(_), None) => say("Users, sessions and keys are in Postgres."),
            (None, Some(_)) => say("Confirmed sessions are remembered in Redis."),
            (Some(_), Some(_)) => {
                say("Users, sessions and keys are in Postgres; confirmed sessions are remembered in Redis.");
            }
        }
        say("");
        for (name, password, roles) in &self.users {
            say(&format!("  user {name}   password {}   roles {}", password.expose(), roles.join(", ")));
        }
        say(&format!(
            "\nOpen {url}/ in a browser, or copy these lines into another terminal, one after the other:\n"
        ));
        for step in steps(&url, &self.users[1], &config, program, &self.stores) {
            say(&format!("# {}", step.says));
            say(step.line.trim_end());
            say("");
        }
        if let Some(admin) = self.gateway.admin().first() {
            say(&format!("Metrics: curl -s http://{admin}/metrics   Configuration: {}", config.display()));
        }
        say("Stop with Ctrl-C.");
        text
    }

    /// Ends the gateway and its app; the folder goes too.
    pub async fn stop(self) {
        self.gateway.drain().await;
        self.app.stop().await;
        // Dropping it removes the folder; an error here would leave it, and there is nobody to tell.
        let _ = self.folder.close();
    }
}

/// One line to try, and what one sees.
struct Step {
    says: &'static str,
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
    let step = |says, line: String| Step { says, line };
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
            "call the app: it sees who you are, and neither your token nor the X-Auth-User you made up",
            format!(
                r#"curl -s -H "Authorization: Bearer $ACCESS" -H 'X-Auth-User: ada' '{url}/hello?from=me'"#
            ),
        ),
        step(
            "the admin route: refused (403, role_missing)",
            format!(r#"curl -s {status} -H "Authorization: Bearer $ACCESS" {url}/admin"#),
        ),
        step(
            "renew: a new access token and the next refresh token; asking again at once gives the same one",
            format!(
                r#"RENEWED=$({post} {url}/auth/refresh -d "{{\"refresh_token\":\"$REFRESH\"}}")
ACCESS=$(printf %s "$RENEWED" | {access}); NEXT=$(printf %s "$RENEWED" | {refresh})
AGAIN=$({post} {url}/auth/refresh -d "{{\"refresh_token\":\"$REFRESH\"}}" | {refresh})
[ "$NEXT" = "$AGAIN" ] && echo "same refresh token""#
            ),
        ),
        step(
            "your devices",
            format!(r#"curl -s {status} -H "Authorization: Bearer $ACCESS" {url}/auth/sessions"#),
        ),
    ];
    if let Some(redis) = &stores.redis {
        steps.push(step(
            "lose everything in Redis: nobody is signed out (200)",
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
            "refused from now on, everywhere (401, token_revoked), and the refresh token is dead too (401)",
            format!(
                r#"sleep 0.3; curl -s {status} -H "Authorization: Bearer $ACCESS" {url}/hello
{post} {status} {url}/auth/refresh -d "{{\"refresh_token\":\"$NEXT\"}}""#
            ),
        ),
    ]);
    steps
}
