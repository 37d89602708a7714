use doorward::vault::{EndReason, REVOCATION_LIFE, Scope};

use super::eventually::assert_eventually;
use super::{PATIENCE, count, raw};
use crate::world::{self, World, granted};

/// Statements of the vault since the last `forget`.
async fn statements(world: &World) -> Vec<(String, i64)> {
    let sql = "SELECT query, calls FROM pg_stat_statements s
               JOIN pg_roles r ON r.oid = s.userid AND r.rolname = 'doorward'
               JOIN pg_database d ON d.oid = s.dbid AND d.datname = current_database()
               WHERE s.toplevel AND query NOT LIKE '%pg_snapshot_xmin%'";
    let rows = raw(world).query(sql, &[]).await.expect("statements");
    rows.iter().map(|row| (row.get(0), row.get(1))).collect()
}

async fn forget(world: &World) {
    let forget = "CREATE EXTENSION IF NOT EXISTS pg_stat_statements;
        SELECT pg_stat_statements_reset(0, (SELECT oid FROM pg_database WHERE datname = current_database()), 0)";
    raw(world).batch_execute(forget).await.expect("forgotten");
}

#[tokio::test]
async fn daily_session_operations_cost_one_statement_each() {
    let world = world::postgres().await;
    let user = world.user("ada").await;
    // Work done once per connection is done before.
    let warm = world.device(user).await;
    world.rotate(&warm, 0).await;

    let expect = async |what: &str, calls: i64| {
        let seen = statements(&world).await;
        assert!(seen.len() == 1 && seen[0].1 == calls, "{what}: {seen:?}");
    };
    forget(&world).await;
    let device = {
        let epoch = doorward::identity::Epoch(0);
        let new = world::new_session(user, epoch);
        let grant = world.vault.sessions.open(&new).await.expect("a session");
        world::Device { id: new.id, family: new.family, grant }
    };
    expect("login", 1).await;

    forget(&world).await;
    for generation in 0..20 {
        assert_eq!(granted(world.rotate(&device, generation).await).0, generation + 1);
    }
    assert!(granted(world.rotate(&device, 19).await).2, "a repeat");
    expect("refresh", 21).await;

    world.advance(world::GRACE * 2).await;
    forget(&world).await;
    world.rotate(&device, 0).await;
    expect("reuse", 1).await;

    forget(&world).await;
    world.vault.sessions.find(device.id).await.expect("an answer").expect("the session");
    expect("check", 1).await;

    forget(&world).await;
    world.vault.sessions.revoke(Scope::Session(warm.id, None), EndReason::Logout).await.expect("revoked");
    expect("logout", 1).await;
}

#[tokio::test]
async fn rotations_touch_no_index() {
    let world = world::postgres().await;
    let user = world.user("ada").await;
    for _ in 0..4 {
        let device = world.device(user).await;
        for generation in 0..50 {
            world.rotate(&device, generation).await;
        }
    }
    // Connections report their statistics at the latest when they close.
    let World { vault, other, raw, .. } = world;
    drop((vault, other));
    let raw = raw.expect("a world on Postgres");
    let column = async |name: &str| {
        count(&raw, &format!("SELECT {name} FROM pg_stat_user_tables WHERE relname = 'sessions'")).await
    };
    assert_eventually("200 updates are reported", PATIENCE, async || column("n_tup_upd").await == 200).await;
    // At midnight UTC one rotation of a session moves it to another day.
    let hot = column("n_tup_hot_upd").await;
    assert!(hot >= 190, "{hot} of 200");
}

#[tokio::test]
async fn one_replica_sweeps_at_a_time() {
    let world = world::postgres().await;
    let (user, _) = world.someone().await;
    world.vault.sessions.revoke(Scope::User(user), EndReason::User).await.expect("revoked");
    world.advance(REVOCATION_LIFE * 2).await;
    let held = "BEGIN; SELECT pg_advisory_xact_lock(8320230322942340711)";
    raw(&world).batch_execute(held).await.expect("another replica sweeps");
    assert_eq!(world.vault.audit.sweep(10).await.expect("swept"), 0);
    raw(&world).batch_execute("COMMIT").await.expect("it is done");
    assert_eq!(world.vault.audit.sweep(10).await.expect("swept"), 2);
}

#[tokio::test]
async fn locked_row_does_not_block_the_sweep() {
    let world = world::postgres().await;
    let user = world.user("ada").await;
    let (used, free) = (world.device(user).await, world.device(user).await);
    world.vault.sessions.revoke(Scope::User(user), EndReason::User).await.expect("revoked");
    world.advance(REVOCATION_LIFE * 2).await;
    raw(&world)
        .batch_execute("BEGIN; SELECT 1 FROM sessions ORDER BY place LIMIT 1 FOR UPDATE")
        .await
        .expect("used");
    assert_eq!(world.vault.audit.sweep(10).await.expect("swept"), 3);
    raw(&world).batch_execute("COMMIT").await.expect("let go");
    let left = "SELECT count(*) FROM sessions";
    assert_eq!(count(raw(&world), left).await, 1);
    assert_eq!(world.vault.audit.sweep(10).await.expect("swept"), 1);
    assert!(used.id != free.id && count(raw(&world), left).await == 0);
}

#[tokio::test]
async fn lookup_and_sweep_use_an_index() {
    let world = world::postgres().await;
    let fill = "INSERT INTO sessions (id, family, user_id, client_id, epoch, refresh_kid, created_at, rotated_at, idle_until, expires_at)
                SELECT gen_random_uuid(), sha256(n::text::bytea), gen_random_uuid(), 'web', 0, 1, now(), now(),
                       now() + n % 14 * interval '1 day', now() + '30 days' FROM generate_series(1, 20000) n;
                INSERT INTO revocations (session_id, until) SELECT id, now() + '1 h' FROM sessions;
                ANALYZE sessions, revocations";
    raw(&world).batch_execute(fill).await.expect("filled");
    let scans = "SELECT coalesce(sum(seq_tup_read), 0)::bigint FROM pg_stat_user_tables WHERE relname IN ('sessions', 'revocations')";
    let (_, device) = world.someone().await;
    let cursor = world.vault.log.read(None).await.expect("a page").cursor;
    let World { vault, other, raw, .. } = world;
    let raw = raw.expect("a world on Postgres");
    // Connections report all statistics when they close.
    drop(other);
    raw.batch_execute("SELECT pg_stat_force_next_flush()").await.expect("reported");
    let before = count(&raw, scans).await;
    world::rotate(&vault, world::presented(&device, 0)).await;
    vault.sessions.find(device.id).await.expect("an answer");
    vault.sessions.revoke(Scope::Session(device.id, None), EndReason::User).await.expect("revoked");
    vault.log.read(Some(cursor)).await.expect("a page");
    vault.audit.sweep(10).await.expect("swept");
    drop(vault);
    let old_connections =
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND usename = 'doorward'";
    assert_eventually("the connections close", PATIENCE, async || count(&raw, old_connections).await == 0)
        .await;
    let read = count(&raw, scans).await - before;
    // The only full read is the one of the log at the start.
    assert!(read <= 20_001, "{read} rows were read one after the other");
}
