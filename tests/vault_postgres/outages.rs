use std::time::Duration;

use doorward::config::StoreHost;
use doorward::id::SessionId;
use doorward::vault::postgres::{PostgresOptions, PostgresVault};
use doorward::vault::{AttributesChange, EndReason, LogEntry, ProviderAccount, Scope, UserChange, Vault};

use super::eventually::assert_eventually;
use super::link::Link;
use super::servers::{Server, shared, shared_bouncer};
use super::{PATIENCE, count, unavailable};
use crate::world::{self, World, granted, roles};

async fn open(options: PostgresOptions) -> World {
    let open = async || PostgresVault::open(options.clone()).await.expect("a vault");
    let clock = std::sync::Arc::new(doorward::clock::TravelClock::new());
    World { vault: open().await, other: open().await, clock, raw: None, _folder: None }
}

fn hasty(server: &Server, database: &str) -> PostgresOptions {
    PostgresOptions { statement_timeout: Duration::from_secs(2), ..server.options(database) }
}

/// Number of the vault's statements that run or wait there.
const BUSY: &str = "SELECT count(*) FROM pg_stat_activity
    WHERE datname = current_database() AND usename = 'doorward' AND state <> 'idle'";

/// Makes every change of a user take ten seconds.
const SLOW: &str = "CREATE FUNCTION slowly() RETURNS trigger LANGUAGE plpgsql
    AS 'BEGIN PERFORM pg_sleep(10); RETURN NEW; END';
    CREATE TRIGGER slowly BEFORE UPDATE ON users FOR EACH ROW EXECUTE FUNCTION slowly()";

#[tokio::test(flavor = "multi_thread")]
async fn held_lock_is_reported_within_a_second() {
    let database = shared().database();
    let world = open(hasty(shared(), &database)).await;
    let (user, device) = world.someone().await;
    let raw = shared().raw(&database).await;
    raw.batch_execute("BEGIN; SELECT 1 FROM users FOR UPDATE; SELECT 1 FROM sessions FOR UPDATE")
        .await
        .expect("locked");
    let timed = async |work: &mut (dyn Future<Output = String> + Unpin)| {
        // A third of the timeout; a busy machine adds to it, but not as much as the timeout itself.
        let text = tokio::time::timeout(Duration::from_millis(1900), work).await.expect("in time");
        assert!(text.contains("pg_blocking_pids"), "{text}");
    };
    let vault = &world.vault;
    let revoke = async |scope| unavailable(vault.sessions.revoke(scope, EndReason::Logout).await);
    timed(&mut Box::pin(revoke(Scope::Session(device.id, None)))).await;
    // These have a minute for very many sessions, and none of it for a lock.
    timed(&mut Box::pin(revoke(Scope::User(user)))).await;
    timed(&mut Box::pin(async { unavailable(vault.users.change(user, &UserChange::Disabled(true)).await) }))
        .await;
    timed(&mut Box::pin(async {
        unavailable(vault.users.change(user, &UserChange::Roles(roles(&[]))).await)
    }))
    .await;
    raw.batch_execute("COMMIT").await.expect("unlocked");
    assert_eq!(world.find(user).await.roles, roles(&["staff"]), "nothing was changed");
    assert!(world.vault.sessions.find(device.id).await.expect("an answer").is_some_and(|row| row.live));
}

#[tokio::test(flavor = "multi_thread")]
async fn busy_rows_are_waited_for() {
    let database = shared().database();
    let world = open(hasty(shared(), &database)).await;
    let (user, device) = world.someone().await;
    // Ten times as many as the pool has connections, all for one row.
    let mut changing = tokio::task::JoinSet::new();
    for number in 0..60 {
        let (vault, id) = (world.vault.clone(), device.id);
        changing.spawn(async move {
            if number % 2 == 0 {
                let change = UserChange::Roles(roles(&["ops"]));
                return vault.users.change(user, &change).await.map(drop);
            }
            vault.sessions.revoke(Scope::Session(id, None), EndReason::Logout).await.map(drop)
        });
    }
    for done in changing.join_all().await {
        done.expect("done");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn late_statement_is_cancelled_without_delaying_others() {
    let database = shared().database();
    let world = open(PostgresOptions { pool_size: 1, ..hasty(shared(), &database) }).await;
    let (user, device) = world.someone().await;
    let raw = shared().raw(&database).await;
    raw.batch_execute(SLOW).await.expect("slow");

    let text = unavailable(world.vault.users.change(user, &UserChange::Roles(roles(&["ops"]))).await);
    assert!(text.contains("did not answer within 2s"), "{text}");
    // The only pool slot is free again at once.
    let next = tokio::time::timeout(Duration::from_millis(1500), world.vault.sessions.find(device.id)).await;
    assert!(next.expect("without waiting").expect("an answer").is_some());
    // Long before the server's own limit, which is as far away again. Queried from outside: a transaction keeps its
    // first snapshot of other sessions.
    let (soon, outside) = (Duration::from_millis(1500), shared().raw(&database).await);
    assert_eventually("nothing of ours waits there", soon, async || count(&outside, BUSY).await == 0).await;
    // The statement had no effect.
    assert_eq!(world.find(user).await.roles, roles(&["staff"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn busy_pool_is_reported_to_the_caller() {
    let database = shared().database();
    let world = open(PostgresOptions { pool_size: 1, ..hasty(shared(), &database) }).await;
    let (user, _) = world.someone().await;
    let raw = shared().raw(&database).await;
    raw.batch_execute(SLOW).await.expect("slow");
    let (vault, outside) = (world.vault.clone(), shared().raw(&database).await);
    let waiting = tokio::spawn(async move { vault.users.change(user, &UserChange::Roles(roles(&[]))).await });
    assert_eventually("it waits", PATIENCE, async || count(&outside, BUSY).await > 0).await;
    let text = unavailable(world.vault.users.list(None, 1).await);
    assert!(text.contains("all 1 connections are busy") || text.contains("did not answer"), "{text}");
    waiting.await.expect("no panic").expect_err("too late as well");
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_ended_by_the_server_are_replaced_unnoticed() {
    let database = shared().database();
    let world = open(shared().options(&database)).await;
    let (user, device) = world.someone().await;
    let cursor = world.vault.log.read(None).await.expect("a page").cursor;
    let raw = shared().raw(&database).await;
    let end = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
               WHERE datname = current_database() AND usename = 'doorward'";
    for generation in 0..5 {
        let log = world.vault.log.clone();
        let follower = tokio::spawn(async move { log.wait_for_change().await });
        tokio::task::yield_now().await;
        assert!(count(&raw, end).await > 0);
        // A lost connection may have lost a notification, so the follower reads at once.
        tokio::time::timeout(PATIENCE, follower).await.expect("woken").expect("no panic");
        assert_eq!(granted(world.rotate(&device, generation).await).0, generation + 1);
        assert!(world.vault.sessions.find(device.id).await.expect("an answer").is_some());
        world.vault.log.read(Some(cursor)).await.expect("reconnected");
        world.device(user).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn lost_connections_are_replaced_behind_a_pooler() {
    let database = shared().database();
    let options = PostgresOptions { prepared: false, ..shared_bouncer().options(&database) };
    let world = open(options).await;
    let (_, device) = world.someone().await;
    let raw = shared().raw(&database).await;
    let end = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
               WHERE datname = current_database() AND usename = 'doorward'";
    for _ in 0..20 {
        assert!(count(&raw, end).await > 0);
        assert!(world.vault.sessions.find(device.id).await.expect("an answer").is_some());
        world.vault.log.read(None).await.expect("a page");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn late_statement_behind_a_pooler_does_not_disturb_the_pooler() {
    let bouncer = Server::bouncer(shared());
    let database = shared().database();
    let world = open(PostgresOptions { prepared: false, pool_size: 2, ..hasty(&bouncer, &database) }).await;
    let (user, device) = world.someone().await;
    let raw = shared().raw(&database).await;
    raw.batch_execute("BEGIN; SELECT 1 FROM users FOR UPDATE").await.expect("locked");
    for _ in 0..3 {
        unavailable(world.vault.users.change(user, &UserChange::Roles(roles(&["ops"]))).await);
        assert!(world.vault.sessions.find(device.id).await.expect("an answer").is_some());
        // The connection of the other vault was not touched.
        assert!(world.other.sessions.find(device.id).await.expect("an answer").is_some());
    }
    raw.batch_execute("COMMIT").await.expect("unlocked");
}

#[tokio::test(flavor = "multi_thread")]
async fn crashed_server_is_reused_without_reopening() {
    let server = Server::start("");
    let world = open(server.options(&server.database())).await;
    let (user, device) = world.someone().await;
    let cursor = world.vault.log.read(None).await.expect("a page").cursor;
    server.crash();
    let text = unavailable(world.vault.sessions.find(device.id).await);
    assert!(text.contains(&format!("127.0.0.1:{}", server.port)), "{text}");
    unavailable(world.vault.log.read(Some(cursor)).await);
    server.start_again();
    let ended =
        world.vault.sessions.revoke(Scope::Session(device.id, None), EndReason::User).await.expect("revoked");
    let page = world.vault.log.read(Some(cursor)).await.expect("the old cursor is good");
    assert!(page.entries.contains(&ended.entries[0]));
    // It listens again.
    let log = world.vault.log.clone();
    let follower = tokio::spawn(async move {
        // Wake-ups left by the reconnect.
        log.wait_for_change().await;
        log.wait_for_change().await;
    });
    assert_eventually("the follower hears of it", PATIENCE, async || {
        let next = world.device(user).await;
        world.vault.sessions.revoke(Scope::Session(next.id, None), EndReason::User).await.expect("revoked");
        follower.is_finished()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stalled_server_is_unavailable_in_time_then_reused() {
    let server = Server::start("");
    let world = open(hasty(&server, &server.database())).await;
    let (_, device) = world.someone().await;
    world.vault.log.read(None).await.expect("a page");
    server.signal_all("-STOP");
    for _ in 0..2 {
        let (find, read) = tokio::join!(
            tokio::time::timeout(PATIENCE, world.vault.sessions.find(device.id)),
            tokio::time::timeout(PATIENCE, world.vault.log.read(None)),
        );
        unavailable(find.expect("an answer in time"));
        unavailable(read.expect("an answer in time"));
    }
    server.signal_all("-CONT");
    assert_eventually("it is used again", PATIENCE, async || {
        world.vault.sessions.find(device.id).await.is_ok() && world.vault.log.read(None).await.is_ok()
    })
    .await;
}

/// A primary with a synchronous standby, and options that name the standby first.
async fn pair() -> (Server, Server, PostgresOptions) {
    let primary = Server::start("");
    let database = primary.database();
    let standby = Server::standby_of(&primary);
    primary.psql("postgres", "ALTER SYSTEM SET synchronous_standby_names = '*'");
    primary.reload();
    let raw = primary.raw("postgres").await;
    let synchronous = "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'";
    assert_eventually("the standby follows", PATIENCE, async || count(&raw, synchronous).await == 1).await;
    let mut options = hasty(&primary, &database);
    options.url.hosts = vec![standby.host(), primary.host()];
    (primary, standby, options)
}

async fn revoked(vault: &Vault, world: &World) -> LogEntry {
    let device =
        world.device(world.user(&format!("u{}", doorward::id::base64url(world::random::<4>()))).await).await;
    vault.sessions.revoke(Scope::Session(device.id, None), EndReason::User).await.expect("revoked").entries[0]
}

#[tokio::test(flavor = "multi_thread")]
async fn primary_is_used_and_failover_is_followed() {
    let (primary, standby, options) = pair().await;
    let world = open(options).await;
    let before = revoked(&world.vault, &world).await;
    let cursor = world.vault.log.read(None).await.expect("a page").cursor;
    primary.crash();
    unavailable(world.vault.log.read(Some(cursor)).await);
    standby.promote();
    assert_eventually("the vault follows", PATIENCE, async || world.vault.users.list(None, 1).await.is_ok())
        .await;
    let after = revoked(&world.vault, &world).await;
    let page = world.vault.log.read(Some(cursor)).await.expect("the cursor is good there, too");
    assert!(page.entries.contains(&after));
    // Data acknowledged before the failover is still there.
    assert!(world.vault.log.read(None).await.expect("a page").entries.contains(&before));
}

#[tokio::test(flavor = "multi_thread")]
async fn demoted_primary_is_left_for_the_new_one() {
    let (primary, standby, options) = pair().await;
    let world = open(options).await;
    let (_, device) = world.someone().await;
    // As if it had returned as a standby under open connections.
    primary.psql("postgres", "ALTER SYSTEM SET default_transaction_read_only = on");
    primary.reload();
    standby.promote();
    let raw = standby.raw(&device_database(&primary).await).await;
    assert_eventually("it is the primary", PATIENCE, async || {
        count(&raw, "SELECT pg_is_in_recovery()::integer::bigint").await == 0
    })
    .await;
    assert_eq!(granted(world.rotate(&device, 0).await).0, 1);
    assert_eq!(count(&raw, "SELECT max(generation) FROM sessions").await, 1);
}

async fn device_database(server: &Server) -> String {
    let raw = server.raw("postgres").await;
    let name = "SELECT datname::text FROM pg_database WHERE datname LIKE 'vault_%'";
    raw.query_one(name, &[]).await.expect("one").get(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn primary_without_its_standby_renews_no_lease() {
    let (primary, standby, options) = pair().await;
    let world = open(options.clone()).await;
    let cursor = world.vault.log.read(None).await.expect("a page").cursor;
    standby.crash();
    for _ in 0..2 {
        unavailable(world.vault.log.read(Some(cursor)).await);
    }
    let raw = primary.raw(&options.url.database).await;
    let soon = Duration::from_millis(1500);
    assert_eventually("no read is left waiting there", soon, async || count(&raw, BUSY).await == 0).await;
    let login = world.vault.users.list(None, 1).await;
    assert!(login.is_ok(), "reading users needs no proof");
    // With a single host, no other server can have taken its place.
    let mut alone = options;
    alone.url.hosts = vec![StoreHost { name: "127.0.0.1".into(), port: primary.port }];
    let single = PostgresVault::open(alone).await.expect("a vault");
    single.log.read(None).await.expect("a page");
    standby.start_again();
    assert_eventually("with its standby it answers again", PATIENCE, async || {
        world.vault.log.read(Some(cursor)).await.is_ok()
    })
    .await;
}

/// Longer than any of these statements takes.
const PATIENCE_OF_CLIENTS: Duration = Duration::from_secs(5);

/// Such a primary may have been replaced: what there is nothing to do about here may be to do there.
#[tokio::test(flavor = "multi_thread")]
async fn primary_without_its_standby_acknowledges_no_change_that_finds_nothing_to_do() {
    let (_primary, standby, options) = pair().await;
    let world = open(options).await;
    let (vault, user) = (world.vault.clone(), world.user("ada").await);
    let nobody = SessionId::from_bytes([9; 16]);
    let account = ProviderAccount {
        provider: "sso".into(),
        issuer: "https://sso.example.com".into(),
        subject: "4711".into(),
    };
    vault.identities.link(&account, user).await.expect("linked");
    let changes = async |expected: bool| {
        let enabled = vault.users.change(user, &UserChange::Disabled(false)).await;
        assert_eq!(enabled.is_ok(), expected, "an enabled user is enabled: {enabled:?}");
        let kept = vault.users.change(user, &UserChange::Attributes(AttributesChange::default())).await;
        assert_eq!(kept.is_ok(), expected, "attributes stay: {kept:?}");
        let linked = vault.identities.link(&account, user).await;
        assert_eq!(linked.is_ok(), expected, "a linked account is linked: {linked:?}");
        let scopes = [
            Scope::Session(nobody, None),
            Scope::User(user),
            Scope::Others(user, nobody),
            Scope::OfClient(user, "doorward"),
        ];
        for scope in scopes {
            // The end of all sessions of a user may take a minute.
            let revoked = vault.sessions.revoke(scope, EndReason::Logout);
            let revoked = tokio::time::timeout(PATIENCE_OF_CLIENTS, revoked).await;
            assert_eq!(matches!(revoked, Ok(Ok(_))), expected, "{scope:?}: {revoked:?}");
        }
    };
    changes(true).await;
    standby.crash();
    changes(false).await;
    standby.start_again();
    assert_eventually("with its standby it acknowledges again", PATIENCE, async || {
        vault.users.change(user, &UserChange::Disabled(false)).await.is_ok()
    })
    .await;
    changes(true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn standby_behind_the_primary_name_renews_no_lease() {
    // It may lag arbitrarily; its response would renew a lease on an outdated revocation set.
    let primary = Server::start("");
    let database = primary.database();
    let standby = Server::standby_of(&primary);
    let at = |server: &Server| std::net::SocketAddr::from(([127, 0, 0, 1], server.port));
    let name = Link::to(at(&primary)).await;
    let mut options = PostgresOptions { prepared: false, ..primary.options(&database) };
    options.url.hosts[0].port = name.address().port();
    let vault = PostgresVault::open(options.clone()).await.expect("a vault");
    let cursor = vault.log.read(None).await.expect("a page").cursor;
    let made = "SELECT to_regclass('doorward_schema') IS NOT NULL";
    assert_eventually("the standby has the vault", PATIENCE, async || {
        standby.psql(&database, made).trim() == "t"
    })
    .await;
    name.lead_to(at(&standby)).await;
    let begun = tokio::time::Instant::now();
    loop {
        match vault.log.read(Some(cursor)).await {
            Err(error) if error.to_string().contains("standby") => break,
            // This read noticed the broken connection.
            Err(error) => assert!(begun.elapsed() < PATIENCE, "{error}"),
            Ok(page) => panic!("taken for proof: {page:?}"),
        }
    }
    assert!(unavailable(PostgresVault::open(options).await).contains("standby"));
    name.lead_to(at(&primary)).await;
    assert_eventually("the primary is back", PATIENCE, async || vault.log.read(Some(cursor)).await.is_ok())
        .await;
}
