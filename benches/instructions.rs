//! Instructions per request, in user space, as callgrind counts them: the same on a busy machine as on a quiet one.
//!
//! One connection over HTTP/1.1, kept alive, without an access log, on the embedded stores. The difference between a run of 2,200
//! requests and one of 200 is divided by 2,000, so that start, sign-in and stop do not count. Bare Pingora, which forwards and does
//! nothing else, is the floor. Callgrind's file of a signed-in run is kept for a flame graph. `make bench-instructions` (needs valgrind).

use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use anyhow::{Context as _, ensure};

#[path = "../src/demo/app.rs"]
#[expect(dead_code, unreachable_pub, reason = "without the library, so that its second link is spared")]
mod app;
#[path = "instructions/bare_pingora.rs"]
mod bare_pingora;
#[path = "instructions/client.rs"]
mod client;
#[path = "instructions/measured.rs"]
mod measured;
#[path = "instructions/table.rs"]
mod table;

use client::Client;
use measured::{Measured, Program};
use table::Row;

/// The same allocator as the program, so that bare Pingora differs in nothing else.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Requests of the short and of the long run.
const SHORT: u32 = 200;
const LONG: u32 = 2_200;
const PASSWORD: &str = "violet kettle harbour lantern";

/// Kind of request.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Pingora,
    Public,
    SignedIn,
    OtherTokens,
}

impl Kind {
    const ALL: [Self; 4] = [Self::Pingora, Self::Public, Self::SignedIn, Self::OtherTokens];

    const fn title(self) -> &'static str {
        match self {
            Self::Pingora => "bare Pingora",
            Self::Public => "doorward, public route",
            Self::SignedIn => "doorward, signed in",
            Self::OtherTokens => "doorward, signed in, another token each time",
        }
    }

    /// Bound that is promised.
    const fn bound(self) -> Option<u64> {
        match self {
            Self::Public => Some(100_000),
            Self::SignedIn => Some(120_000),
            Self::Pingora | Self::OtherTokens => None,
        }
    }
}

fn main() -> anyhow::Result<()> {
    if let Some((app, address)) = bare_pingora::addresses()? {
        return bare_pingora::serve(app, address);
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let app = runtime.block_on(app::App::start(SocketAddr::from(([127, 0, 0, 1], 0))))?;
    let mut rows = Vec::new();
    for kind in Kind::ALL {
        let count = |requests| run(kind, app.address(), requests).with_context(|| kind.title());
        let instructions = (count(LONG)? - count(SHORT)?) / u64::from(LONG - SHORT);
        rows.push(Row { title: kind.title(), instructions, bound: kind.bound() });
    }
    table::publish(&rows)
}

/// Counts the instructions of a program that serves this many requests.
fn run(kind: Kind, app: SocketAddr, requests: u32) -> anyhow::Result<u64> {
    let folder = tempfile::tempdir()?;
    let program = match kind {
        Kind::Pingora => Program::bare_pingora(app)?,
        Kind::Public | Kind::SignedIn | Kind::OtherTokens => {
            let config = folder.path().join("gateway.toml");
            fs::write(&config, settings(app))?;
            add_user(&config)?;
            Program::doorward(&config)
        }
    };
    let measured = Measured::start(program, folder.path())?;
    let mut client = Client::connect(measured.address)?;
    let logins = if kind == Kind::OtherTokens { 2 } else { 1 };
    let fields = match kind {
        Kind::Pingora | Kind::Public => vec![String::new()],
        Kind::SignedIn | Kind::OtherTokens => (0..logins)
            .map(|_| Ok(format!("Authorization: Bearer {}\r\n", client.sign_in("bench", PASSWORD)?)))
            .collect::<anyhow::Result<_>>()?,
    };
    let path = if matches!(kind, Kind::SignedIn | Kind::OtherTokens) { "/private" } else { "/public" };
    for (_, field) in (0..requests).zip(fields.iter().cycle()) {
        client.get(path, field)?;
    }
    drop(client);
    let kept = (kind == Kind::SignedIn && requests == LONG).then(table::folder).transpose()?;
    measured.stop(kept.map(|folder| folder.join("instructions.callgrind")).as_deref())
}

/// Configuration of the gateway: one thread, and a lease so long that its renewal, which costs the same at any rate of requests,
/// hardly counts.
fn settings(app: SocketAddr) -> String {
    let route = |name: &str, access: &str| {
        format!(
            "[[routes]]\nname = \"{name}\"\npath = \"/{name}\"\naccess = \"{access}\"\nupstream = \"app\"\n"
        )
    };
    format!(
        "[server]\nlisten = [\"127.0.0.1:0\"]\nthreads = 1\n[admin]\nlisten = []\n[log]\nlevel = \"error\"\naccess = \"none\"\n[vault]\nstatement_timeout = \"10s\"\n\
         lease = \"30s\"\n[upstreams.app]\nservers = [\"http://{app}\"]\n{}{}",
        route("public", "public"),
        route("private", "signed-in")
    )
}

/// Adds a user as an operator does.
fn add_user(config: &Path) -> anyhow::Result<()> {
    use std::io::Write as _;
    use std::process::{Command, Stdio};
    let mut add = Command::new(env!("CARGO_BIN_EXE_doorward"))
        .arg("--config")
        .arg(config)
        .args(["user", "add", "bench", "--role", "staff", "--password-stdin"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()?;
    add.stdin.take().context("stdin")?.write_all(PASSWORD.as_bytes())?;
    ensure!(add.wait()?.success(), "the user was not added");
    Ok(())
}
