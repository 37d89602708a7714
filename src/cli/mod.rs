//! The command line. All commands except `serve` and `demo` work directly on the vault, beside running gateways, which
//! follow it.

use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use clap::{Parser, Subcommand};

use crate::clock::SystemClock;
use crate::config::{Config, Log, LogFormat, LogLevel};
use crate::demo;
use crate::id::SystemRandom;
use crate::server::{self, Surroundings};
use crate::vault::origin::{Actor, acting};

mod audit;
mod check;
mod completions;
mod files;
mod log;
mod mail;
mod provider;
mod sd_notify;
mod serve;
mod session;
mod status;
mod table;
mod user;
mod vault;

/// A reverse-proxy authentication gateway: login, instantly revocable tokens and safe refresh rotation in one
/// binary.
///
/// It runs in front of web apps and APIs that have no login of their own, serves login, refresh and logout itself, and
/// authorizes every other request before it forwards it.
#[derive(Debug, Parser)]
#[command(name = "doorward", version, arg_required_else_help = true, after_help = EXAMPLES)]
pub struct Cli {
    /// Configuration file; relative paths in it are resolved against its directory.
    #[arg(short, long, global = true, value_name = "FILE", default_value = "gateway.toml")]
    config: PathBuf,
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  doorward demo                              try it without a server or configuration
  doorward check                             validate gateway.toml
  doorward user add ada --role admin         add a user; prompts for the password
  doorward serve                             start the gateway
  doorward status                            show the health of the running gateway
  doorward session revoke --user ada         end all sessions of ada, on every gateway";

#[derive(Debug, Subcommand)]
enum Command {
    /// Start the gateway. SIGHUP reloads the configuration, SIGTERM or Ctrl-C drains and stops it.
    Serve,
    /// Start a gateway in a temporary directory, in front of a small app, and print what to try; uses embedded stores
    /// by default.
    Demo {
        /// Address to listen on; with port 0 the system chooses a port.
        #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
        listen: SocketAddr,
        /// Store sessions in this Redis, such as redis://127.0.0.1:6379/0.
        #[arg(long, value_name = "URL")]
        redis: Option<String>,
        /// Store users, sessions and keys in this empty database, such as postgres://me@127.0.0.1/doorward.
        #[arg(long, value_name = "URL")]
        postgres: Option<String>,
        /// Let people sign in with this identity provider too (OpenID Connect); `make demo-sso` starts one.
        #[arg(long, value_name = "ISSUER")]
        provider: Option<String>,
    },
    /// Read the configuration and report every problem with its line.
    Check,
    /// Show the health of the running gateway, problems first. Needs admin.token_file.
    Status(status::Options),
    /// Print the completion script for a shell.
    Completions {
        /// Shell to print the script for.
        shell: completions::Shell,
    },
    /// Users: add, list, show, change, delete, import, export.
    #[command(subcommand)]
    User(user::Command),
    /// Sessions: list, revoke.
    #[command(subcommand)]
    Session(session::Command),
    /// Identity providers: list, test.
    #[command(subcommand)]
    Provider(provider::Command),
    /// Mails: test.
    #[command(subcommand)]
    Mail(mail::Command),
    /// Signing keys: rotate.
    #[command(subcommand)]
    Key(vault::KeyCommand),
    /// The vault: migrate, back up, count password hashes, show audit events.
    #[command(subcommand)]
    Vault(vault::Command),
}

/// Runs a command; its output goes to `out`.
///
/// # Errors
/// An error that says what to do.
pub fn run(cli: &Cli, out: &mut dyn Write) -> anyhow::Result<()> {
    let surroundings = Surroundings::new(Arc::new(SystemClock::new()), Arc::new(SystemRandom));
    match &cli.command {
        Command::Serve => serve::serve(&cli.config, surroundings, out),
        Command::Demo { listen, redis, postgres, provider } => {
            let log =
                Log { format: LogFormat::Text, level: LogLevel::Warn, ..Config::defaults(Path::new("")).log };
            let _logging = log::start(&log, &surroundings)?;
            serve::runtime(0)?.block_on(async {
                let (redis, postgres, provider) = (redis.clone(), postgres.clone(), provider.clone());
                let stores = demo::Stores { redis, postgres, provider };
                let mut signals = serve::Signals::listen()?;
                let starting = demo::start(*listen, stores, surroundings);
                let Some(demo) = signals.unless_stopped(starting).await.transpose()? else { return Ok(()) };
                let program = std::env::current_exe().context("cannot determine the path of this program")?;
                write!(out, "{}", demo.guide(&program))?;
                out.flush()?;
                signals.stop_requested().await;
                demo.stop().await;
                writeln!(out, "\nThe demo has stopped; its directory was deleted.")?;
                Ok(())
            })
        }
        Command::Completions { shell } => completions::run(*shell, out),
        Command::Check => check::run(&cli.config, surroundings.clock.wall(), out),
        Command::Status(options) => {
            let config = load_for(&cli.config, &["admin"])?;
            serve::runtime(1)?.block_on(status::run(&config, options, out))
        }
        Command::Provider(command) => {
            let config = load_for(&cli.config, provider::NEEDS)?;
            serve::runtime(1)?.block_on(provider::run(&config, &surroundings, command, out))
        }
        Command::Mail(command) => {
            let config = load_for(&cli.config, mail::NEEDS)?;
            serve::runtime(1)?.block_on(mail::run(&config, &surroundings, command, out))
        }
        command => {
            let config = load_for(&cli.config, command.needs())?;
            if let Some(file) = server::missing_vault(&config).filter(|_| !command.makes_vault()) {
                anyhow::bail!(
                    "there is no vault at `{}` (vault.url): start the gateway, or add a user, first",
                    file.display()
                );
            }
            serve::runtime(1)?.block_on(acting(operator(), async {
                let vault = server::open_vault(&config, &surroundings).await?;
                let context = AdminContext { config, surroundings, vault };
                match command {
                    Command::User(command) => user::run(&context, command, out).await,
                    Command::Session(command) => session::run(&context, command, out).await,
                    Command::Key(command) => vault::run_key(&context, command, out).await,
                    Command::Vault(command) => vault::run(&context, command, out).await,
                    Command::Serve
                    | Command::Demo { .. }
                    | Command::Check
                    | Command::Status(_)
                    | Command::Provider(_)
                    | Command::Mail(_)
                    | Command::Completions { .. } => Ok(()),
                }
            }))
        }
    }
}

impl Command {
    /// Sections of the configuration that a command on the vault reads.
    const fn needs(&self) -> &'static [&'static str] {
        match self {
            Self::User(user::Command::Add { .. } | user::Command::Passwd { .. }) => &["vault", "login"],
            Self::User(user::Command::Invite(_)) => &["vault", "server", "mail", "brand"],
            Self::User(user::Command::Reset(_)) => &["vault", "server"],
            Self::User(user::Command::Link { .. } | user::Command::Unlink { .. }) => &["vault", "providers"],
            Self::User(user::Command::Unlock { .. }) => &["vault", "sessions"],
            Self::User(user::Command::Import(_)) | Self::Vault(vault::Command::Passwords { .. }) => {
                &["vault", "login"]
            }
            Self::Key(_) => &["vault", "tokens"],
            _ => &["vault"],
        }
    }

    /// Returns whether the command may create a vault. The others would find nothing in a new one, and a misspelt
    /// `vault.url` would leave an empty file behind.
    const fn makes_vault(&self) -> bool {
        matches!(
            self,
            Self::User(user::Command::Add { .. } | user::Command::Invite(_) | user::Command::Import(_))
                | Self::Key(_)
                | Self::Vault(vault::Command::Migrate)
        )
    }
}

/// Context of the commands on the vault.
struct AdminContext {
    config: Config,
    surroundings: Surroundings,
    vault: crate::vault::Vault,
}

fn load(path: &Path) -> anyhow::Result<Config> {
    Ok(Config::load(path, &environment)?)
}

/// Loads only the needed sections of the configuration. A command that is needed while the file is being fixed, such as
/// one that ends the sessions of a thief, must not wait for that.
fn load_for(path: &Path, needed: &[&str]) -> anyhow::Result<Config> {
    let (config, problems) = Config::load_for(path, needed, &environment)?;
    if let Some(first) = problems.as_ref().and_then(|problems| problems.iter().next()) {
        // Standard error may be closed; then the warning is lost.
        let _ = writeln!(
            std::io::stderr(),
            "warning: the gateway rejects this file: {first} (`doorward check` shows every problem)"
        );
    }
    Ok(config)
}

/// Returns who runs this command, for the audit trail: what the environment says, since whoever can run it could say
/// anything.
fn operator() -> Actor {
    let name = ["SUDO_USER", "USER", "LOGNAME"]
        .iter()
        .find_map(|name| environment(name).filter(|name| !name.is_empty()));
    Actor::operator(name.as_deref().unwrap_or("unknown"))
}

fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

fn summary(config: &Config) -> String {
    let routes = match config.routes.len() {
        0 => "no routes (everything is denied)".to_owned(),
        1 => "1 route".to_owned(),
        many => format!("{many} routes"),
    };
    let upstreams = match config.upstreams.len() {
        1 => "1 upstream".to_owned(),
        many => format!("{many} upstreams"),
    };
    let providers = match config.providers.len() {
        0 => String::new(),
        1 => ", 1 identity provider".to_owned(),
        many => format!(", {many} identity providers"),
    };
    format!("{routes}, {upstreams}{providers}")
}

/// Asks for confirmation before an action that cannot be undone, unless `--yes` is given.
fn confirmed(yes: bool, what: &str, out: &mut dyn Write) -> anyhow::Result<()> {
    if yes {
        return Ok(());
    }
    write!(out, "{what} Type yes to continue: ")?;
    out.flush()?;
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer)?;
    anyhow::ensure!(answer.trim() == "yes", "nothing was changed (use --yes to skip this question)");
    Ok(())
}
