//! Cost of the check compared with common alternatives. `make bench` (under 20 minutes), `make bench-quick`.
//!
//! Everything runs on this machine: one app and one proxy under test at a time, on its own core, with one worker thread
//! each and keep-alive connections on both sides. The contenders take turns, round by round; the claims are ratios
//! within a round. Their configurations are in `contenders/`. Before measuring, each contender must forward the
//! caller's identity to the app and refuse a forged token.

mod chart;
mod contender;
mod load;
mod measure;
mod plan;
mod process;
mod report;
mod sessions;

#[path = "../instructions/bare_pingora.rs"]
mod bare_pingora;
#[path = "../shared/mod.rs"]
#[expect(dead_code, reason = "shared with benches that need more of it")]
mod shared;
mod versions;

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use doorward::id::{Random, SystemRandom, base64url};
use serde_json::json;
use tokio::time::Instant;

use contender::{Around, Field, Name};
use measure::Measured;
use process::Cores;
use sessions::Stores;
use shared::sessions::Opened;
use shared::{http, postgres, redis};

/// Command line options.
struct Options {
    quick: bool,
    /// Groups to run; empty for all.
    only: Vec<String>,
    /// Folder for tables and charts, in addition to target/bench.
    publish: Option<PathBuf>,
    /// Page that shows the claims, between two markers.
    page: Option<PathBuf>,
}

impl Options {
    fn parse() -> anyhow::Result<Self> {
        let mut options = Self { quick: false, only: Vec::new(), publish: None, page: None };
        let mut args = std::env::args().skip(1);
        while let Some(arg) = args.next() {
            match arg.as_str() {
                "--quick" => options.quick = true,
                "--only" => options.only.push(args.next().context("--only <group>")?),
                "--publish" => options.publish = Some(args.next().context("--publish <folder>")?.into()),
                "--page" => options.page = Some(args.next().context("--page <file>")?.into()),
                // Passed by Cargo.
                "--bench" => {}
                other => bail!(
                    "`{other}` is not known: --quick, --only <group>, --publish <folder>, --page <file>"
                ),
            }
        }
        Ok(options)
    }
}

/// The same allocator as the program, so that bare Pingora differs in nothing else.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> anyhow::Result<()> {
    if let Some((app, address)) = bare_pingora::addresses()? {
        return bare_pingora::serve(app, address);
    }
    let options = Options::parse()?;
    let began = Instant::now();
    tokio::runtime::Runtime::new()?.block_on(run(&options, began))
}

fn say(text: &str) {
    let _ = writeln!(std::io::stderr(), "==> {text}");
}

async fn run(options: &Options, began: Instant) -> anyhow::Result<()> {
    let mut groups = if options.quick { plan::quick() } else { plan::full() };
    if !options.only.is_empty() {
        groups.retain(|group| options.only.iter().any(|key| key == group.key));
        ensure!(!groups.is_empty(), "no group is called so: base, one, crowd, tls, h2, large, sessions");
    }
    let mut names: Vec<Name> = groups.iter().flat_map(|group| group.names).copied().collect();
    names.sort_unstable();
    names.dedup();
    let cores = Cores::of_this_machine(1);
    let folder = tempfile::tempdir()?;
    say("starting the stores and the contenders");
    let redis = redis::RedisServer::start(redis::NONE).await;
    let redis_id = redis.process.lock().ok().and_then(|child| child.as_ref().map(std::process::Child::id));
    let redis_id = redis_id.context("redis-server")?;
    process::pin(&cores.rest, redis_id)?;
    let database = postgres::shared().database();
    let random: &dyn Random = &SystemRandom;
    let master = base64url(random.bytes::<32>());
    let shared = Stores::shared(postgres::shared(), &database, &redis, &master).await?;
    let embedded_vault = folder.path().join("doorward.db");
    let embedded = Stores::embedded(&embedded_vault, &master).await?;
    let vault = postgres::shared().url(&database);
    let certificate = certificate(folder.path())?;
    let field = Field::start(&Around {
        cores: &cores,
        folder: folder.path(),
        redis: (redis.port, redis_id),
        vault,
        master,
        embedded_vault: &embedded_vault,
        certificate: &certificate,
        public_key: shared.public_key()?,
        jwks: shared.jwks(),
        secret: contender::secret(random.bytes()),
        names: &names,
        session: one(&shared).await?,
        embedded_session: one(&embedded).await?,
    })?;
    let mut noticed = Vec::new();
    for name in &names {
        say(&format!("looking whether it answers as it should: {}", name.title()));
        until_ready(&field, *name).await?;
        let stores = if *name == Name::Embedded { &embedded } else { &shared };
        noticed.push((*name, revocation(&field, *name, stores).await?));
    }
    let most = groups.iter().map(|group| group.sessions).max().unwrap_or(1);
    let tokens = if most > 1 {
        say(&format!("opening {most} sessions"));
        Some(sessions::write(folder.path(), &shared.open(most).await?)?)
    } else {
        None
    };
    let mut all = Vec::new();
    for group in groups {
        all.push(measure::measure(&field, group, &cores, tokens.as_deref(), &say)?);
    }
    finish(options, &all, &noticed, began)
}

async fn one(stores: &Stores) -> anyhow::Result<Opened> {
    stores.open(1).await?.pop().context("a session")
}

/// The gateway accepts connections before it has its keys; the other contenders are ready then.
async fn until_ready(field: &Field, name: Name) -> anyhow::Result<()> {
    let until = Instant::now() + Duration::from_secs(10);
    loop {
        match field.verify(name).await {
            Err(_) if Instant::now() < until => tokio::time::sleep(Duration::from_millis(50)).await,
            done => return done,
        }
    }
}

/// Seconds for which a revoked session is still accepted; `None` if until the token expires.
async fn revocation(field: &Field, name: Name, stores: &Stores) -> anyhow::Result<Option<f64>> {
    if !name.learns_of_revocations() {
        return Ok(None);
    }
    let session = one(stores).await?;
    ensure!(field.admits(name, &session).await?, "{}: a new session is not let in", name.title());
    stores.revoke(&session).await?;
    let at = Instant::now();
    while field.admits(name, &session).await? {
        ensure!(at.elapsed() < Duration::from_secs(10), "{}: a revoked session is let in", name.title());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Ok(Some(at.elapsed().as_secs_f64()))
}

fn certificate(folder: &Path) -> anyhow::Result<PathBuf> {
    let (certificate, key) = (folder.join("bench.crt"), folder.join("bench.key"));
    let made = Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-days",
            "2",
        ])
        .args(["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"])
        .args(["-addext", "basicConstraints=critical,CA:FALSE", "-keyout"])
        .arg(&key)
        .arg("-out")
        .arg(&certificate)
        .output()
        .context("cannot run openssl: `make bench` installs it")?;
    ensure!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    Ok(certificate)
}

/// Prints the tables, and writes them with their raw data.
fn finish(
    options: &Options,
    all: &[Measured],
    noticed: &[(Name, Option<f64>)],
    began: Instant,
) -> anyhow::Result<()> {
    let about = versions::about(began.elapsed());
    let mut markdown = format!("{about}\n");
    let base = all.iter().find(|measured| measured.group.key == plan::BASE);
    if let Some(base) = base {
        markdown += &format!("{}\n", report::claims(base));
    }
    for measured in all {
        markdown += &format!("{}\n", report::table(measured));
    }
    markdown += &report::checks(noticed);
    write!(std::io::stdout(), "{}", report::plain(&markdown))?;
    let raw = json!({
        "about": about,
        "groups": all.iter().map(Measured::raw).collect::<Vec<_>>(),
        "revoked_session_refused_after_s":
            noticed.iter().map(|(name, after)| (name.key(), json!(after))).collect::<serde_json::Map<_, _>>(),
    });
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| "target".into(), PathBuf::from);
    for folder in [Some(target.join("bench")), options.publish.clone()].into_iter().flatten() {
        fs::create_dir_all(&folder)?;
        fs::write(folder.join("compare.json"), format!("{raw:#}\n"))?;
        fs::write(folder.join("compare.md"), &markdown)?;
        if let Some(base) = base {
            fs::write(folder.join("cpu.svg"), chart::cpu(base))?;
            fs::write(folder.join("latency.svg"), chart::latency(base))?;
        }
        say(&format!("tables, charts and raw data are in {}", folder.display()));
    }
    match (base, &options.page) {
        (Some(base), Some(page)) => show(page, &format!("{about}\n{}", report::claims(base))),
        _ => Ok(()),
    }
}

/// Replaces the text between the two markers of a page.
fn show(page: &Path, text: &str) -> anyhow::Result<()> {
    const MARKS: [&str; 2] = ["<!-- make bench -->\n", "<!-- /make bench -->\n"];
    let before = fs::read_to_string(page)?;
    let (head, rest) = before.split_once(MARKS[0]).context("the page has no mark to put the table after")?;
    let (_, tail) = rest.split_once(MARKS[1]).context("the page has no mark to put the table before")?;
    fs::write(page, [head, MARKS[0], "\n", text, "\n", MARKS[1], tail].concat())?;
    Ok(())
}
