use std::time::Duration;

use doorward::id::SessionId;
use doorward::vault::postgres::PostgresVault;
use doorward::vault::{
    EndReason, LogEntry, Presented, Rotation, RotationRefused, Scope, SessionPage, UserChange, VaultError,
};
use tokio::task::JoinHandle;
use tokio_postgres::Client;

use super::eventually::assert_eventually;
use super::servers::{ROLE, shared};
use super::{PATIENCE, count, raw};
use crate::world::{self, World, granted, new_session, presented, random, refused, rotate};

/// Opens another direct connection.
async fn another(world: &World) -> Client {
    let row = raw(world).query_one("SELECT current_database()::text", &[]).await.expect("its name");
    shared().raw(row.get(0)).await
}

/// Waits until a statement waits for a lock in this database.
async fn until_lock_wait(world: &World) {
    let waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
    assert_eventually("somebody waits", PATIENCE, async || count(raw(world), waiting).await > 0).await;
}

#[tokio::test]
async fn late_committed_log_row_is_not_missed() {
    let world = world::postgres().await;
    let user = world.user("ada").await;
    let device = world.device(user).await;
    let cursor = world.vault.log.read(None).await.expect("a page").cursor;
    // Written first, committed last: its sequence number and transaction are older than rows seen meanwhile.
    let slow = another(&world).await;
    let late = SessionId::from_bytes(random());
    let insert =
        "BEGIN; INSERT INTO revocations (session_id, until) VALUES (encode($ID, 'hex')::uuid, now() + '1 h')";
    let hex: String = late.as_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    slow.batch_execute(&insert.replace("encode($ID, 'hex')", &format!("'{hex}'"))).await.expect("written");
    world.vault.sessions.revoke(Scope::Session(device.id, None), EndReason::Logout).await.expect("revoked");
    let page = world.vault.log.read(Some(cursor)).await.expect("a page");
    let ids = |entries: &[LogEntry]| {
        let id = |entry: &LogEntry| match entry {
            LogEntry::Session { id, .. } => *id,
            other @ LogEntry::Rights { .. } => panic!("{other:?}"),
        };
        entries.iter().map(id).collect::<Vec<_>>()
    };
    assert_eq!(ids(&page.entries), [device.id]);
    let seen = count(raw(&world), "SELECT max(seq) FROM revocations").await;
    slow.batch_execute("COMMIT").await.expect("committed");
    // By number alone it would have been missed.
    assert_eq!(count(raw(&world), &format!("SELECT count(*) FROM revocations WHERE seq > {seen}")).await, 0);
    let next = world.vault.log.read(Some(page.cursor)).await.expect("a page");
    assert!(ids(&next.entries).contains(&late), "missed");
}

#[tokio::test]
async fn cursor_of_another_server_restarts() {
    let world = world::postgres().await;
    let (_, device) = world.someone().await;
    world.vault.sessions.revoke(Scope::Session(device.id, None), EndReason::Logout).await.expect("revoked");
    let beyond = doorward::vault::Cursor(1 << 40);
    let page = world.vault.log.read(Some(beyond)).await.expect("a page");
    assert_eq!(page.entries.len(), 1);
    assert_ne!(page.cursor, beyond);
}

#[tokio::test(flavor = "multi_thread")]
async fn login_during_a_password_change_waits_and_fails() {
    let world = world::postgres().await;
    let user = world.user("ada").await;
    let changing = another(&world).await;
    changing.batch_execute("BEGIN; UPDATE users SET epoch = epoch + 1").await.expect("under way");
    let opening = {
        let (vault, new) = (world.vault.clone(), new_session(user, world.find(user).await.epoch));
        tokio::spawn(async move { vault.sessions.open(&new).await })
    };
    until_lock_wait(&world).await;
    changing.batch_execute("COMMIT").await.expect("changed");
    assert!(matches!(opening.await.expect("no panic"), Err(VaultError::Superseded)));
    assert_eq!(count(raw(&world), "SELECT count(*) FROM sessions").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn disable_or_deletion_during_login_ends_its_session() {
    for change in [UserChange::Disabled(true), UserChange::Deleted] {
        let world = world::postgres().await;
        let (user, device) = world.someone().await;
        let opening = another(&world).await;
        let login = "BEGIN; SELECT 1 FROM users FOR SHARE;
            INSERT INTO sessions (id, family, user_id, client_id, epoch, refresh_kid, created_at, rotated_at,
                                  idle_until, expires_at)
            SELECT gen_random_uuid(), sha256(family), user_id, client_id, epoch, refresh_kid, created_at, rotated_at,
                   idle_until, expires_at FROM sessions";
        opening.batch_execute(login).await.expect("under way");
        let changing = {
            let vault = world.vault.clone();
            tokio::spawn(async move { vault.users.change(user, &change).await })
        };
        until_lock_wait(&world).await;
        opening.batch_execute("COMMIT").await.expect("signed in");
        let ended = changing.await.expect("no panic").expect("changed").sessions;
        assert!(ended.len() == 2 && ended.contains(&device.id), "{ended:?}");
        assert_eq!(count(raw(&world), "SELECT count(*) FROM sessions WHERE ended_at IS NULL").await, 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn second_concurrent_password_change_is_superseded() {
    let world = world::postgres().await;
    let user = world.user("ada").await;
    let first = another(&world).await;
    first
        .batch_execute("BEGIN; UPDATE users SET password = 'first', epoch = epoch + 1")
        .await
        .expect("under way");
    let second = {
        let vault = world.vault.clone();
        let expected = Some(world::secret("hash of ada"));
        let change = UserChange::Password { new: world::secret("second"), expected, keep: None };
        tokio::spawn(async move { vault.users.change(user, &change).await })
    };
    until_lock_wait(&world).await;
    first.batch_execute("COMMIT").await.expect("changed");
    assert!(world::is_superseded(&second.await.expect("no panic")));
    assert_eq!(world.find(user).await.password, world::secret("first"));
}

#[tokio::test(flavor = "multi_thread")]
async fn statement_aborted_by_a_deadlock_is_retried() {
    let world = world::postgres().await;
    let user = world.user("ada").await;
    for _ in 0..2 {
        world.device(user).await;
    }
    // Postgres checks for deadlocks once a statement has waited this long, and aborts that statement.
    let database: String =
        raw(&world).query_one("SELECT current_database()::text", &[]).await.expect("its name").get(0);
    let patience = format!("ALTER DATABASE {database} SET deadlock_timeout = '4s'");
    raw(&world).batch_execute(&patience).await.expect("set");
    let vault = PostgresVault::open(shared().options(&database)).await.expect("a vault");
    // In the opposite order: the vault locks sessions in the order of their ids.
    let crossing = another(&world).await;
    crossing.batch_execute("SET deadlock_timeout = '60s'").await.expect("set");
    let last = "BEGIN; SELECT 1 FROM sessions ORDER BY id DESC LIMIT 1 FOR UPDATE";
    crossing.batch_execute(last).await.expect("locked");
    let revoking =
        tokio::spawn(async move { vault.sessions.revoke(Scope::User(user), EndReason::User).await });
    until_lock_wait(&world).await;
    let first = "SELECT 1 FROM sessions ORDER BY id LIMIT 1 FOR UPDATE";
    crossing.batch_execute(first).await.expect("the other gave way");
    crossing.batch_execute("COMMIT").await.expect("let go");
    assert_eq!(revoking.await.expect("no panic").expect("done again").sessions.len(), 2);
    assert_eq!(count(raw(&world), "SELECT count(*) FROM revocations").await, 2);
}

/// Requests a rotation while another transaction holds the session's row, then commits that transaction.
async fn meeting(world: &World, presented: Presented, changes: &str) -> Rotation {
    let changing = another(world).await;
    changing.batch_execute(&format!("BEGIN; {changes}")).await.expect("under way");
    let asking: JoinHandle<_> = {
        let vault = world.other.clone();
        tokio::spawn(async move { rotate(&vault, presented).await })
    };
    until_lock_wait(world).await;
    changing.batch_execute("COMMIT").await.expect("done");
    asking.await.expect("an answer")
}

const DISABLE: &str = "UPDATE users SET disabled = true, epoch = epoch + 1;
                       UPDATE sessions SET ended_at = clock_timestamp(), end_reason = 'disabled'";

#[tokio::test(flavor = "multi_thread")]
async fn refresh_during_a_disable_is_refused() {
    let world = world::postgres().await;
    let (_, device) = world.someone().await;
    let answer = meeting(&world, presented(&device, 0), DISABLE).await;
    assert_eq!(refused(answer), RotationRefused::Ended);
}

#[tokio::test(flavor = "multi_thread")]
async fn repeat_within_grace_during_a_disable_is_refused() {
    let world = world::postgres().await;
    let (_, device) = world.someone().await;
    assert_eq!(granted(world.rotate(&device, 0).await).0, 1);
    let answer = meeting(&world, presented(&device, 0), DISABLE).await;
    assert_eq!(refused(answer), RotationRefused::Ended);
}

const RENEW: &str =
    "UPDATE sessions SET generation = generation + 1, repeats = 0, rotated_at = clock_timestamp()";

#[tokio::test(flavor = "multi_thread")]
async fn old_generation_during_owner_renewal_ends_nothing() {
    let world = world::postgres().await;
    let (_, device) = world.someone().await;
    assert_eq!(granted(world.rotate(&device, 0).await).0, 1);
    // One generation behind when presented, a repeat within the grace; two behind once the row is free.
    let answer = meeting(&world, presented(&device, 0), RENEW).await;
    assert_eq!(refused(answer), RotationRefused::Superseded);
    assert_eq!(granted(world.rotate(&device, 2).await).0, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_refresh_of_the_same_token_repeats_the_first() {
    let world = world::postgres().await;
    let (_, device) = world.someone().await;
    // With another key, which the repeating replica must use.
    let other = RENEW.replace("repeats = 0", "repeats = 0, refresh_kid = 9");
    assert_eq!(granted(meeting(&world, presented(&device, 0), &other).await), (1, 9, true));
}

#[tokio::test(flavor = "multi_thread")]
async fn refresh_during_own_password_change_succeeds() {
    let world = world::postgres().await;
    let (_, device) = world.someone().await;
    let change = "UPDATE users SET epoch = epoch + 1; UPDATE sessions SET epoch = epoch + 1";
    assert_eq!(granted(meeting(&world, presented(&device, 0), change).await), (1, 1, false));
}

#[tokio::test]
async fn stale_epoch_or_disabled_user_prevents_refresh() {
    for change in ["UPDATE users SET epoch = epoch + 1", "UPDATE users SET disabled = true"] {
        let world = world::postgres().await;
        let (_, device) = world.someone().await;
        world.rotate(&device, 0).await;
        raw(&world).batch_execute(change).await.expect("changed by hand");
        for generation in [1, 0] {
            assert_eq!(refused(world.rotate(&device, generation).await), RotationRefused::Ended, "{change}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn crossing_changes_all_complete() {
    let world = world::postgres().await;
    let user = world.user("ada").await;
    for _ in 0..5 {
        for _ in 0..10 {
            world.device(user).await;
        }
        let all: Vec<_> = [Scope::Everyone, Scope::User(user)]
            .into_iter()
            .cycle()
            .take(6)
            .map(|scope| {
                let vault = world.vault.clone();
                tokio::spawn(async move { vault.sessions.revoke(scope, EndReason::Admin).await.map(drop) })
            })
            .collect();
        let change = UserChange::Password { new: world::secret("new"), expected: None, keep: None };
        world.other.users.change(user, &change).await.expect("changed");
        for one in all {
            one.await.expect("no panic").expect("revoked");
        }
        assert!(world.vault.sessions.list(None, SessionPage::first(1000)).await.expect("a list").is_empty());
    }
}

#[tokio::test]
async fn page_slower_than_the_statement_timeout_is_read_completely() {
    // After signing out everyone in a large vault; otherwise no gateway could start any more.
    let world = world::postgres().await;
    let database: String =
        raw(&world).query_one("SELECT current_database()::text", &[]).await.expect("its name").get(0);
    // Rows that arrive slowly, some hundred at a time, on any machine: 3 s in total.
    let (rows, timeout) = (1500, Duration::from_secs(1));
    let planted = format!(
        "INSERT INTO revocations (session_id, until) \
         SELECT gen_random_uuid(), clock_timestamp() + interval '1 hour' FROM generate_series(1, {rows}); \
         ALTER TABLE revocations RENAME TO large; \
         CREATE VIEW revocations AS SELECT seq, xid, session_id, user_id, rights, \
             CASE WHEN pg_sleep(0.002) IS NULL THEN NULL ELSE until END AS until FROM large; \
         GRANT SELECT ON revocations TO {ROLE}"
    );
    raw(&world).batch_execute(&planted).await.expect("planted");
    let options = doorward::vault::postgres::PostgresOptions {
        statement_timeout: timeout,
        ..shared().options(&database)
    };
    // Opened with a long timeout: only the reading has a short one.
    let vault = loop {
        if let Ok(vault) = PostgresVault::open(options.clone()).await {
            break vault;
        }
    };
    let begun = tokio::time::Instant::now();
    let page = loop {
        match vault.log.read(None).await {
            Ok(page) => break page,
            Err(error) => assert!(begun.elapsed() < PATIENCE, "{error}"),
        }
    };
    assert_eq!(page.entries.len(), rows);
    assert!(begun.elapsed() > timeout, "long enough to tell: {:?}", begun.elapsed());
}

#[tokio::test]
async fn open_transaction_yields_no_row_twice() {
    // Any transaction, in any database of the cluster, holds back the oldest running transaction.
    let world = world::postgres().await;
    let user = world.user("ada").await;
    let elsewhere = shared().raw("postgres").await;
    elsewhere.batch_execute("BEGIN; SELECT pg_current_xact_id()").await.expect("left open");
    let mut cursor = world.vault.log.read(None).await.expect("a page").cursor;
    for _ in 0..5 {
        let device = world.device(user).await;
        let scope = Scope::Session(device.id, None);
        let ended = world.vault.sessions.revoke(scope, EndReason::Admin).await.expect("revoked");
        let page = world.vault.log.read(Some(cursor)).await.expect("a page");
        assert_eq!(page.entries, ended.entries, "the new one alone");
        // Read again by a client that lost the response.
        let again = world.vault.log.read(Some(cursor)).await.expect("a page");
        assert_eq!(again.entries, ended.entries);
        cursor = again.cursor;
    }
    elsewhere.batch_execute("ROLLBACK").await.expect("ended");
}

#[tokio::test]
async fn clock_set_back_does_not_rejuvenate_old_tokens() {
    let world = world::postgres().await;
    let (_, device) = world.someone().await;
    assert_eq!(granted(world.rotate(&device, 0).await).0, 1);
    // As if rotated ten minutes in the future, by a server whose clock was ahead.
    raw(&world)
        .batch_execute("UPDATE sessions SET rotated_at = rotated_at + interval '10 minutes'")
        .await
        .expect("set");
    for generation in [0, 1] {
        let answer = world.vault.sessions.rotate(&presented(&device, generation)).await;
        let text = super::unavailable(answer);
        assert!(text.contains("set back"), "{text}");
    }
    raw(&world)
        .batch_execute("UPDATE sessions SET rotated_at = rotated_at - interval '10 minutes'")
        .await
        .expect("set");
    assert_eq!(granted(world.rotate(&device, 0).await), (1, 1, true), "nothing was harmed");
}

#[tokio::test]
async fn operators_of_other_schemas_are_not_called() {
    // CVE-2018-1058: roles that may create objects in the schema must not run code as this role.
    let database = shared().database();
    let vault = PostgresVault::open(shared().options(&database)).await.expect("a vault");
    let raw = shared().raw(&database).await;
    let clock = std::sync::Arc::new(doorward::clock::TravelClock::new());
    let world = World { other: vault.clone(), vault, clock, raw: None, _folder: None };
    let plant = "
        CREATE TABLE public.loot (whom text);
        CREATE FUNCTION public.evil(bigint, interval) RETURNS interval LANGUAGE plpgsql AS
            $$ BEGIN INSERT INTO public.loot VALUES (current_user); RETURN interval '1 day'; END $$;
        CREATE OPERATOR public.* (leftarg = bigint, rightarg = interval, procedure = public.evil);
        CREATE FUNCTION public.evil2(double precision, interval) RETURNS interval LANGUAGE plpgsql AS
            $$ BEGIN INSERT INTO public.loot VALUES (current_user); RETURN interval '1 day'; END $$;
        CREATE OPERATOR public.* (leftarg = double precision, rightarg = interval, procedure = public.evil2);
        GRANT ALL ON public.loot TO PUBLIC";
    raw.batch_execute(plant).await.expect("planted");
    let (user, device) = world.someone().await;
    granted(world.rotate(&device, 0).await);
    granted(world.rotate(&device, 1).await);
    world.rotate(&device, 0).await;
    let other = world.device(user).await;
    world.vault.sessions.revoke(Scope::Session(other.id, None), EndReason::Admin).await.expect("revoked");
    world.vault.users.change(user, &UserChange::Roles(world::roles(&["boss"]))).await.expect("changed");
    world.vault.users.change(user, &UserChange::Disabled(true)).await.expect("changed");
    world.vault.audit.sweep(10).await.expect("swept");
    let key = doorward::vault::NewKey {
        kid: "k".into(),
        key_use: doorward::vault::KeyUse::Access,
        algorithm: "EdDSA".into(),
        sealed: vec![1],
        signs_after: Duration::ZERO,
        overlap: Duration::ZERO,
    };
    world.vault.keys.add(&[key], false).await.expect("added");
    assert_eq!(count(&raw, "SELECT count(*) FROM public.loot").await, 0);
}
