//! The command line. Everything but `serve` and `demo` works on the vault directly, beside running gateways, which
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

mod check;
mod completions;
mod files;
mod log;
mod manager;
mod serve;
mod session;
mod status;
mod table;
mod user;
mod vault;

/// A reverse-proxy authentication gateway: login, instantly revocable tokens and safe refresh rotation in one
/// binary.
///
/// It stands in front of web apps and APIs that know nothing of logins, serves login, refresh and logout itself, and
/// checks every other request before it forwards it.
#[derive(Debug, Parser)]
#[command(name = "doorward", version, arg_required_else_help = true, after_help = EXAMPLES)]
pub struct Cli {
    /// The configuration file; relative paths in it start at its folder.
    #[arg(short, long, global = true, value_name = "FILE", default_value = "gateway.toml")]
    config: PathBuf,
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  doorward demo                              try it: no server, no configuration
  doorward check                             is gateway.toml good?
  doorward user add ada --role admin         asks for the password
  doorward serve                             start the gateway
  doorward status                            how is the one that runs?
  doorward session revoke --user ada         ends all of ada's sessions, on every gateway";

#[derive(Debug, Subcommand)]
enum Command {
    /// Start the gateway; SIGHUP takes another configuration, SIGTERM or Ctrl-C drains and ends it.
    Serve,
    /// Start a gateway in a fresh folder, in front of a small app, and print what to try; embedded stores unless told.
    Demo {
        /// Where to listen; port 0 lets the system choose.
        #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
        listen: SocketAddr,
        /// Keep sessions in this Redis, such as redis://127.0.0.1:6379/0.
        #[arg(long, value_name = "URL")]
        redis: Option<String>,
        /// Keep users, sessions and keys in this empty database, such as postgres://me@127.0.0.1/doorward.
        #[arg(long, value_name = "URL")]
        postgres: Option<String>,
    },
    /// Read the configuration and report every problem with its line.
    Check,
    /// Ask the running gateway how it is; what is wrong comes first. Needs admin.token_file.
    Status(status::Options),
    /// Print what a shell needs to complete these commands.
    Completions {
        /// Which shell.
        shell: completions::Shell,
    },
    /// Users: add, list, change, delete.
    #[command(subcommand)]
    User(user::Command),
    /// Sessions: list, revoke.
    #[command(subcommand)]
    Session(session::Command),
    /// Signing keys: rotate.
    #[command(subcommand)]
    Key(vault::KeyCommand),
    /// The vault: migrate, back up, look at what was done.
    #[command(subcommand)]
    Vault(vault::Command),
}

/// Runs a command; what it prints goes to `out`.
///
/// # Errors
/// What went wrong, saying what to do.
pub fn run(cli: &Cli, out: &mut dyn Write) -> anyhow::Result<()> {
    let surroundings = Surroundings::new(Arc::new(SystemClock::new()), Arc::new(SystemRandom));
    match &cli.command {
        Command::Serve => serve::serve(&cli.config, surroundings, out),
        Command::Demo { listen, redis, postgres } => {
            let log =
                Log { format: LogFormat::Text, level: LogLevel::Warn, ..Config::defaults(Path::new("")).log };
            let _logging = log::start(&log, &surroundings)?;
            serve::runtime(0)?.block_on(async {
                let stores = demo::Stores { redis: redis.clone(), postgres: postgres.clone() };
                let demo = demo::start(*listen, stores, surroundings).await?;
                let mut signals = serve::Signals::listen()?;
                let program = std::env::current_exe().context("cannot tell where this program is")?;
                write!(out, "{}", demo.guide(&program))?;
                out.flush()?;
                signals.until_told().await;
                demo.stop().await;
                writeln!(out, "\nThe demo is over; its folder is gone.")?;
                Ok(())
            })
        }
        Command::Completions { shell } => completions::run(*shell, out),
        Command::Check => check::run(&cli.config, surroundings.clock.wall(), out),
        Command::Status(options) => {
            let config = load_for(&cli.config, &["admin"])?;
            serve::runtime(1)?.block_on(status::run(&config, options, out))
        }
        command => {
            let config = load_for(&cli.config, command.needs())?;
            if let Some(file) = server::missing_vault(&config).filter(|_| !command.makes_vault()) {
                anyhow::bail!(
                    "there is no vault at `{}` (vault.url): start the gateway, or add a user, first",
                    file.display()
                );
            }
            serve::runtime(1)?.block_on(async {
                let vault = server::open_vault(&config, &surroundings).await?;
                let desk = Desk { config, surroundings, vault };
                match command {
                    Command::User(command) => user::run(&desk, command, out).await,
                    Command::Session(command) => session::run(&desk, command, out).await,
                    Command::Key(command) => vault::run_key(&desk, command, out).await,
                    Command::Vault(command) => vault::run(&desk, command, out).await,
                    Command::Serve
                    | Command::Demo { .. }
                    | Command::Check
                    | Command::Status(_)
                    | Command::Completions { .. } => Ok(()),
                }
            })
        }
    }
}

impl Command {
    /// The sections of the configuration that a command on the vault reads.
    const fn needs(&self) -> &'static [&'static str] {
        match self {
            Self::User(user::Command::Add { .. } | user::Command::Passwd { .. }) => &["vault", "login"],
            Self::Key(_) => &["vault", "tokens"],
            _ => &["vault"],
        }
    }

    /// Whether it may be the first that is done to a vault. What looks, ends or restores would find nothing in a new one, which a
    /// misspelt `vault.url` would leave behind.
    const fn makes_vault(&self) -> bool {
        matches!(
            self,
            Self::User(user::Command::Add { .. }) | Self::Key(_) | Self::Vault(vault::Command::Migrate)
        )
    }
}

/// What the commands on the vault work with.
struct Desk {
    config: Config,
    surroundings: Surroundings,
    vault: crate::vault::Vault,
}

fn load(path: &Path) -> anyhow::Result<Config> {
    Ok(Config::load(path, &environment)?)
}

/// The configuration as far as these sections go. A command that is wanted while a file is mended, such as one that ends the
/// sessions of a thief, does not wait for that.
fn load_for(path: &Path, needed: &[&str]) -> anyhow::Result<Config> {
    let (config, problems) = Config::load_for(path, needed, &environment)?;
    if let Some(first) = problems.as_ref().and_then(|problems| problems.iter().next()) {
        // Nobody is left to tell when standard error is closed.
        let _ = writeln!(
            std::io::stderr(),
            "warning: the gateway refuses this file: {first} (`doorward check` says all of it)"
        );
    }
    Ok(config)
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
    format!("{routes}, {upstreams}")
}

/// Asks for yes before something that cannot be undone, unless told not to.
fn confirmed(yes: bool, what: &str, out: &mut dyn Write) -> anyhow::Result<()> {
    if yes {
        return Ok(());
    }
    write!(out, "{what} Type yes to go on: ")?;
    out.flush()?;
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer)?;
    anyhow::ensure!(answer.trim() == "yes", "nothing was changed (give --yes to answer beforehand)");
    Ok(())
}
