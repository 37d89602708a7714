//! Cost of each step of a request, in nanoseconds to microseconds: no sockets, one thread.
//!
//! `make bench-micro`, or `cargo bench --bench micro` (needs PostgreSQL for the last one; `-- --quick` for a first
//! impression). Criterion keeps each run under `target/criterion` and reports changes since the previous one.

use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use criterion::Criterion;
use doorward::auth::{Auth, Control, Limits, Parts, Settings, follow, keys};
use doorward::clock::{Clock, SystemClock};
use doorward::config::{Algorithm, Config};
use doorward::id::{Random, SystemRandom};
use doorward::metrics::Metrics;
use doorward::password::Hasher;
use doorward::policy::cookies::{self, HOST};
use doorward::policy::headers::{HeaderPolicy, Kind};
use doorward::policy::target::{MAX_PATH, Target};
use doorward::policy::{Match, RouteTable};
use doorward::session::memory::MemoryStore;
use doorward::token::access::{self, FIRST_PARTY_CLIENT, Subject};
use doorward::token::keyring::{KeyRing, KeySet};
use doorward::token::refresh::{FamilyId, RefreshToken};
use doorward::token::seal::MasterSecret;
use doorward::vault::postgres::PostgresVault;
use doorward::vault::sqlite::{SqliteOptions, SqliteVault};
use doorward::vault::{Grant, Presented, Rotation, Vault};
use futures_util::FutureExt as _;
use http::{HeaderName, Method};
use tokio::runtime::Runtime;

#[expect(dead_code, reason = "shared with benches that need more of it")]
mod shared;

use shared::sessions::{create_users, new_session};
use shared::{eventually, postgres};

/// Longer than any run.
const DAY: Duration = Duration::from_secs(86_400);

fn main() -> anyhow::Result<()> {
    let runtime = Runtime::new()?;
    let folder = tempfile::tempdir()?;
    let mut criterion = Criterion::default().configure_from_args();
    verify(&mut criterion, &runtime, folder.path())?;
    known(&mut criterion, &runtime, folder.path())?;
    routes(&mut criterion)?;
    targets(&mut criterion)?;
    headers(&mut criterion)?;
    cookies(&mut criterion);
    refresh(&mut criterion, &runtime, folder.path())?;
    criterion.final_summary();
    Ok(())
}

/// Signature and claims of a new access token.
fn verify(criterion: &mut Criterion, runtime: &Runtime, folder: &Path) -> anyhow::Result<()> {
    let settings = Settings::new(&config("")?);
    let mut group = criterion.benchmark_group("access token, first sight");
    for algorithm in [Algorithm::EdDsa, Algorithm::Es256, Algorithm::Rs256] {
        let world = runtime.block_on(World::new(&folder.join(format!("{algorithm:?}.db")), algorithm))?;
        let (token, now) = (world.access_token(&settings)?, world.grant.now);
        access::verify(&token, &settings.profile, now, &world.keys)?;
        group.bench_function(format!("{algorithm:?}"), |bencher| {
            bencher.iter(|| access::verify(black_box(&token), &settings.profile, now, &world.keys));
        });
    }
    group.finish();
    Ok(())
}

/// Complete local check of a cached token: digest, cache, session entry, revoked?, lease, confirmed, revoked again?
fn known(criterion: &mut Criterion, runtime: &Runtime, folder: &Path) -> anyhow::Result<()> {
    let settings = Settings::new(&config("")?);
    let world = runtime.block_on(World::new(&folder.join("known.db"), Algorithm::EdDsa))?;
    let token = world.access_token(&settings)?;
    let auth = world.auth()?;
    let control = Arc::new(Control::default());
    runtime.spawn(follow(Arc::clone(&auth)));
    runtime.block_on(eventually::assert_eventually("the lease is held", DAY, async || auth.is_ready()));
    let first = runtime.block_on(auth.authenticate(&token, false, &control, &settings));
    anyhow::ensure!(first.is_ok(), "the vault says that it lives: {first:?}");
    criterion.bench_function("access token, known: the whole check", |bencher| {
        // Nothing waits, so one poll completes; dropping the result ends the request.
        let once = || auth.authenticate(black_box(&token), false, &control, &settings).now_or_never();
        bencher.iter(|| assert!(once().is_some_and(|result| result.is_ok()), "let in without a wait"));
    });
    Ok(())
}

fn routes(criterion: &mut Criterion) -> anyhow::Result<()> {
    let mut group = criterion.benchmark_group("route");
    for count in [10, 1000] {
        let routes: String = (0..count)
            .map(|at| {
                format!(
                    "[[routes]]\nname = \"r{at}\"\nhosts = [\"app{}.example.com\"]\npath = \"/area/{at}\"\n\
                     access = \"signed-in\"\nupstream = \"app\"\n",
                    at % 10
                )
            })
            .collect();
        let config = config(&routes)?;
        let table = RouteTable::new(&config.server.auth_prefix, &config.routes);
        let find = |target: &Target<'_>| table.find("app7.example.com", target, &Method::GET);
        let last = format!("/area/{}/some/page", count - 3);
        for (what, path) in [("found", last.as_str()), ("none", "/elsewhere/some/page")] {
            let target = Target::read(path.as_bytes())?;
            assert_eq!(matches!(find(&target), Ok(Match::Route(_))), what == "found", "{path}");
            group.bench_function(format!("of {count}, {what}"), |bencher| {
                bencher.iter(|| find(black_box(&target)));
            });
        }
    }
    group.finish();
    Ok(())
}

fn targets(criterion: &mut Criterion) -> anyhow::Result<()> {
    let mut group = criterion.benchmark_group("target");
    let longest = format!("/{}", "segment/".repeat(1023));
    let escaped_and_long = format!("/{}", "seg%2Dment/".repeat(744));
    // The costliest of the ambiguous targets in the corpus: every normalization changes it.
    let every = format!("/{}", "..;%5c..;%5c%c4%b1//./x;y%252e%253f/".repeat(227));
    for (what, path) in [
        ("ordinary", "/api/v1/projects/42/issues"),
        ("escaped", "/files/Annual%20Report%202026.pdf"),
        ("every disguise, 37 bytes", &every[..37]),
        ("ordinary, 8 KiB", longest.as_str()),
        ("escaped, 8 KiB", escaped_and_long.as_str()),
        ("every disguise, 8 KiB", every.as_str()),
    ] {
        assert!(path.len() <= MAX_PATH, "{what}");
        group.bench_function(what, |bencher| {
            bencher.iter(|| Target::read(black_box(path.as_bytes())).is_ok());
        });
    }
    group.finish();
    Ok(())
}

/// Header names of a page view by a browser, behind a proxy that adds some.
const BROWSER: [&str; 20] = [
    "host",
    "connection",
    "cache-control",
    "sec-ch-ua",
    "sec-ch-ua-mobile",
    "sec-ch-ua-platform",
    "upgrade-insecure-requests",
    "user-agent",
    "accept",
    "sec-fetch-site",
    "sec-fetch-mode",
    "sec-fetch-user",
    "sec-fetch-dest",
    "referer",
    "accept-encoding",
    "accept-language",
    "cookie",
    "x-forwarded-for",
    "x-forwarded-proto",
    "x-request-id",
];

fn headers(criterion: &mut Criterion) -> anyhow::Result<()> {
    let policy = HeaderPolicy::new(&config("")?.identity_headers, [].into_iter());
    let names: Vec<HeaderName> = BROWSER.iter().map(|name| HeaderName::from_static(name)).collect();
    let dropped = |names: &[HeaderName]| names.iter().filter(|name| policy.kind(name) != Kind::Pass).count();
    assert_eq!(dropped(&names), 3);
    criterion.bench_function("header policy, a page view's 20 fields", |bencher| {
        bencher.iter(|| dropped(black_box(&names)));
    });
    Ok(())
}

/// Cookies of an app and two trackers, with the gateway's at the end.
fn cookies(criterion: &mut Criterion) {
    let token = "t".repeat(400);
    let field = format!(
        "_ga=GA1.2.1234567890.1700000000; _ga_ABCDEF=GS1.1.1700000000.1.1.1700000300.0.0.0; theme=dark; lang=en; \
         sessionid=9f86d081884c7d659a2feaa0c55ad015; csrftoken=a3bf4f1b2b0b822cd15d6c15b0f00a08; \
         {}={token}; {}=r",
        HOST.access, HOST.refresh
    );
    let fields = || std::iter::once(black_box(field.as_bytes()));
    let mut group = criterion.benchmark_group("cookies");
    assert_eq!(cookies::find(fields(), HOST.access), cookies::Found::One(&token));
    group.bench_function("ours found among eight", |bencher| {
        bencher.iter(|| cookies::find(fields(), HOST.access));
    });
    group.bench_function("ours taken out", |bencher| bencher.iter(|| cookies::without_own_cookies(fields())));
    group.finish();
}

/// A refresh token is parsed and rotated through the vault trait, sequentially.
fn refresh(criterion: &mut Criterion, runtime: &Runtime, folder: &Path) -> anyhow::Result<()> {
    let mut group = criterion.benchmark_group("refresh");
    let world = runtime.block_on(World::new(&folder.join("refresh.db"), Algorithm::EdDsa))?;
    let now = world.grant.now;
    let text = RefreshToken { family: world.family.clone(), generation: 0 };
    let text = text.encode(0, &world.keys, now).context("the first key")?;
    group.bench_function("token read, its MAC checked", |bencher| {
        bencher.iter(|| RefreshToken::parse(black_box(text.expose()), &world.keys, now));
    });
    let server = postgres::Server::start("");
    let vault = runtime.block_on(PostgresVault::open(server.options(&server.database())))?;
    let on_postgres = runtime.block_on(World::over(vault, Algorithm::EdDsa))?;
    // Postgres as in the tests, without fsync; `make bench-scale` measures with fsync.
    for (what, world) in [("rotated, SQLite", world), ("rotated, Postgres without fsync", on_postgres)] {
        let mut presented = Presented {
            family: world.family.digest(),
            generation: 0,
            client_id: FIRST_PARTY_CLIENT.to_owned(),
            refresh_kid: 0,
            grace: Duration::from_secs(60),
            grace_unused: DAY,
            idle: DAY,
        };
        group.bench_function(what, |bencher| {
            bencher.iter(|| match runtime.block_on(world.vault.sessions.rotate(&presented)) {
                Ok(Rotation::Granted { generation, .. }) => presented.generation = generation,
                other => panic!("not rotated: {other:?}"),
            });
        });
    }
    group.finish();
    Ok(())
}

/// A vault with one session.
struct World {
    vault: Vault,
    master: MasterSecret,
    keys: KeySet,
    family: FamilyId,
    grant: Grant,
}

impl World {
    async fn new(file: &Path, algorithm: Algorithm) -> anyhow::Result<Self> {
        let vault = SqliteVault::open(file, Arc::new(SystemClock::new()), SqliteOptions::default())?;
        Self::over(vault, algorithm).await
    }

    async fn over(vault: Vault, algorithm: Algorithm) -> anyhow::Result<Self> {
        let random: &dyn Random = &SystemRandom;
        let master = MasterSecret::random(random);
        let keys = keys::establish(&vault, &master, algorithm, random).await?;
        let family = FamilyId::random(random);
        let user_id = create_users(&vault, "somebody", 1).await?[0];
        let session = new_session(user_id, family.digest());
        let grant = vault.sessions.open(&session).await?;
        Ok(Self { vault, master, keys, family, grant })
    }

    fn access_token(&self, settings: &Settings) -> anyhow::Result<String> {
        let Grant { session_id, user_id, login, attributes, roles, rights, now, ends_at, .. } =
            self.grant.clone();
        let login = Some(login);
        let subject = Subject {
            session_id,
            user_id,
            roles,
            rights,
            generation: 0,
            login,
            attributes,
            proof: doorward::identity::Proof::NONE,
        };
        let issued = access::issue(&settings.profile, &subject, now, ends_at, &self.keys, &SystemRandom);
        Ok(issued.context("a key that signs")?.token.expose().clone())
    }

    /// The use cases on this vault, with an in-process session store.
    fn auth(self) -> anyhow::Result<Arc<Auth>> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let random: Arc<dyn Random> = Arc::new(SystemRandom);
        let parts = Parts {
            vault: self.vault,
            sessions: Arc::new(MemoryStore::new(Arc::clone(&clock))),
            keys: KeyRing::new(self.keys),
            master: self.master,
            hasher: Hasher::start(1, 1, Arc::clone(&random))?,
            clock,
            random,
            metrics: Arc::new(Metrics::new()),
        };
        Ok(Auth::new(parts, Limits { lease: Duration::from_secs(1), local_cache_bytes: 1 << 20 }))
    }
}

/// Default configuration with an app and these routes.
fn config(routes: &str) -> anyhow::Result<Config> {
    let text = format!("[upstreams.app]\nservers = [\"http://127.0.0.1:9000\"]\n{routes}");
    Ok(Config::parse(&text, Path::new("gateway.toml"), &|_| None)?)
}
