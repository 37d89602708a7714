use std::net::IpAddr;
use std::time::Duration;

use doorward::id::UserId;
use doorward::request_id::{self, RequestId};
use doorward::secret::Secret;
use doorward::vault::origin::{Actor, acting};
use doorward::vault::{
    AuditEvent, AuditQuery, Break, ChainKey, ChainPoint, EndReason, NewAuditEvent, NewTotp, Outcome,
    RemovedFactor, Scope, Unverified, UserChange, VaultError, Verified, verify,
};

use crate::vault::world::{GRACE, HOUR, World, random, roles, secret};

fn key() -> ChainKey {
    ChainKey::new(&Secret::new([5; 32]))
}

async fn events(world: &World) -> Vec<AuditEvent> {
    world.vault.trail.page(&AuditQuery::first(1000)).await.expect("events")
}

async fn newest(world: &World) -> AuditEvent {
    events(world).await.remove(0)
}

/// Links every row.
async fn link(world: &World) -> u64 {
    let mut rows = 0;
    loop {
        let linked = world.vault.trail.link(&key(), 3).await.expect("linked").rows;
        rows += linked;
        if linked < 3 {
            return rows;
        }
    }
}

async fn verified(world: &World, kept: Option<ChainPoint>) -> Result<Verified, Break> {
    match verify(world.vault.trail.as_ref(), &key(), kept).await {
        Ok(verified) => Ok(verified),
        Err(Unverified::Broken(fault)) => Err(fault),
        Err(Unverified::Vault(error)) => panic!("{error}"),
    }
}

/// Changes the vault behind doorward's back.
async fn tamper(world: &World, sql: &str) {
    if let Some(raw) = &world.raw {
        raw.batch_execute(sql).await.expect("changed");
        return;
    }
    let folder = world._folder.as_ref().expect("a folder");
    let file = rusqlite::Connection::open(folder.path().join("vault.db")).expect("a file");
    file.busy_timeout(Duration::from_secs(30)).expect("a timeout");
    file.execute_batch(sql).expect("changed");
}

fn failure(cause: &str, user: Option<UserId>) -> NewAuditEvent {
    NewAuditEvent {
        event: "authentication_failed",
        outcome: Outcome::Failure,
        actor: Actor::Client.as_str().to_owned(),
        user,
        name: user.is_none().then(|| "c0ffee".to_owned()),
        session: None,
        address: Some(IpAddr::from([192, 0, 2, 9])),
        cause: Some(cause.to_owned()),
        request_id: Some("r1".to_owned()),
        times: 3,
    }
}

/// Six rows: a user, and five logins.
async fn six_rows(world: &World) -> UserId {
    let user = world.user("ada").await;
    for _ in 0..5 {
        world.device(user).await;
    }
    user
}

pub(crate) async fn row_states_actor_address_and_request(world: World) {
    let user = world.user("ada").await;
    let created = newest(&world).await;
    assert_eq!(
        (created.actor.as_deref(), created.address, created.request_id),
        (Some("gateway"), None, None)
    );
    assert_eq!((created.outcome.as_str(), created.times), ("success", 1));
    let change = UserChange::Roles(roles(&["ops"]));
    let operator = acting(Actor::operator("eve"), world.vault.users.change(user, &change));
    operator.await.expect("changed");
    let changed = newest(&world).await;
    assert_eq!((changed.actor.as_deref(), changed.cause.as_deref()), (Some("operator:eve"), Some("ops")));
    let (id, client) = (RequestId::parse(b"abc").expect("an id"), IpAddr::from([198, 51, 100, 4]));
    request_id::scope(async {
        request_id::enter(id, client);
        world.vault.sessions.revoke(Scope::Everyone, EndReason::User).await.expect("revoked");
    })
    .await;
    let revoked = newest(&world).await;
    assert_eq!(revoked.actor.as_deref(), Some("user"));
    assert_eq!(revoked.address.as_deref(), Some("198.51.100.4"));
    assert_eq!(revoked.request_id.as_deref(), Some("abc"));
}

pub(crate) async fn each_act_states_its_cause(world: World) {
    let (user, device) = world.someone().await;
    world.rotate(&device, 0).await;
    world.advance(GRACE).await;
    world.rotate(&device, 0).await;
    let app = NewTotp {
        id: doorward::id::FactorId::from_bytes(random()),
        user_id: user,
        name: "phone".into(),
        sealed: vec![1],
        step: 1,
    };
    world.vault.factors.add_totp(&app).await.expect("added");
    world.vault.factors.set_recovery_codes(user, &[[1; 32]]).await.expect("set");
    assert!(world.vault.factors.use_recovery_code(user, [1; 32]).await.expect("used"));
    let removed = RemovedFactor::Totp(app.id);
    world.vault.factors.remove(user, &removed, None, false).await.expect("removed");
    let ended = world.device(user).await;
    let scope = Scope::Session(ended.id, Some(user));
    world.vault.sessions.revoke(scope, EndReason::Admin).await.expect("revoked");
    world.vault.keys.add(&[crate::vault::keys::key("k7")], false).await.expect("added");
    let events = events(&world).await;
    let seen: Vec<(&str, Option<&str>, Option<&str>)> = events
        .iter()
        .map(|event| (event.event.as_str(), event.cause.as_deref(), event.actor.as_deref()))
        .collect();
    let gateway = Some("gateway");
    let expected = [
        ("key_added", Some("access k7"), gateway),
        ("session_revoked_by_admin", Some("admin"), gateway),
        ("login", Some("pwd"), gateway),
        ("factor_removed", Some("totp"), gateway),
        ("recovery_code_used", None, gateway),
        ("recovery_codes_made", None, gateway),
        ("factor_added", Some("totp"), gateway),
        ("refresh_reused", Some("previous_generation"), Some("client")),
        ("login", Some("pwd"), gateway),
        ("user_created", None, gateway),
    ];
    assert_eq!(seen, expected);
}

pub(crate) async fn recorded_events_are_listed_in_pages(world: World) {
    let user = six_rows(&world).await;
    let recorded: Vec<NewAuditEvent> =
        (0..5).map(|n| failure(&format!("cause {n}"), (n % 2 == 0).then_some(user))).collect();
    world.vault.trail.record(&recorded).await.expect("recorded");
    world.vault.trail.record(&[]).await.expect("nothing to record");
    let all = events(&world).await;
    assert_eq!(all.len(), 11);
    let of_nobody = all.iter().find(|event| event.cause.as_deref() == Some("cause 1")).expect("it");
    assert_eq!(
        (of_nobody.user, of_nobody.name.as_deref(), of_nobody.address.as_deref(), of_nobody.times),
        (None, Some("c0ffee"), Some("192.0.2.9"), 3)
    );
    assert_eq!((of_nobody.outcome.as_str(), of_nobody.request_id.as_deref()), ("failure", Some("r1")));
    let mut query = AuditQuery { limit: 4, ..AuditQuery::first(4) };
    let mut read = Vec::new();
    loop {
        let page = world.vault.trail.page(&query).await.expect("a page");
        let Some(last) = page.last() else { break };
        query.before = Some(last.seq);
        read.extend(page);
    }
    assert_eq!(read, all);
    let of_user = AuditQuery { user: Some(user), ..AuditQuery::first(100) };
    assert_eq!(world.vault.trail.page(&of_user).await.expect("a page").len(), 9);
    world.advance(HOUR).await;
    world.vault.trail.record(&[failure("late", None)]).await.expect("recorded");
    let late = newest(&world).await;
    let since = AuditQuery { since: Some(late.at), ..AuditQuery::first(100) };
    assert_eq!(world.vault.trail.page(&since).await.expect("a page"), [late]);
}

pub(crate) async fn rows_are_linked_in_order_and_verify(world: World) {
    let begun = verified(&world, None).await.expect("an empty chain");
    assert_eq!((begun.rows, begun.head), (0, ChainPoint::START));
    six_rows(&world).await;
    world.vault.trail.record(&[failure("password_wrong", None)]).await.expect("recorded");
    assert_eq!(verified(&world, None).await.expect("whole").chain.not_linked, 7);
    assert_eq!(link(&world).await, 7);
    let whole = verified(&world, None).await.expect("whole");
    assert_eq!((whole.rows, whole.head.position, whole.chain.not_linked), (7, 7, 0));
    let positions: Vec<Option<u64>> = events(&world).await.iter().map(|event| event.position).collect();
    assert_eq!(positions, (1..=7).rev().map(Some).collect::<Vec<_>>());
    // Later rows leave the earlier ones as they are.
    world.user("bob").await;
    assert_eq!(link(&world).await, 1);
    let longer = verified(&world, Some(whole.head)).await.expect("whole");
    assert_eq!((longer.rows, longer.head.position), (8, 8));
}

pub(crate) async fn rows_of_an_earlier_release_are_linked(world: World) {
    let time = if world.raw.is_some() { "now()" } else { "1700000000000" };
    tamper(&world, &format!("INSERT INTO audit (at, event) VALUES ({time}, 'login')")).await;
    let old = newest(&world).await;
    assert_eq!((old.outcome.as_str(), old.actor, old.times, old.position), ("success", None, 1, None));
    world.user("ada").await;
    assert_eq!(link(&world).await, 2);
    assert_eq!(verified(&world, None).await.expect("whole").rows, 2);
}

pub(crate) async fn two_gateways_link_one_chain(world: World) {
    let user = world.user("ada").await;
    let (vault, other) = (world.vault.clone(), world.other.clone());
    let link = |vault: doorward::vault::Vault| async move {
        for _ in 0..40 {
            vault.trail.link(&key(), 2).await.expect("linked");
        }
    };
    let write = async {
        for _ in 0..20 {
            world.device(user).await;
        }
    };
    // One of them is stopped in the middle of its work.
    let stopped = tokio::spawn(link(other.clone()));
    tokio::join!(write, link(vault), async {
        tokio::task::yield_now().await;
        stopped.abort();
        link(other).await;
    });
    self::link(&world).await;
    let whole = verified(&world, None).await.expect("whole");
    assert_eq!((whole.rows, whole.chain.not_linked), (21, 0));
}

/// Statements that attack a chain of six rows, and what the check says.
type Attack = (&'static str, fn(&Break) -> bool);

fn attacks() -> Vec<Attack> {
    vec![
        ("UPDATE audit SET cause = 'pwe' WHERE position = 3", |found| {
            matches!(found, Break::Altered { position: 3, .. })
        }),
        ("UPDATE audit SET address = '192.0.2.8' WHERE position = 5", |found| {
            matches!(found, Break::Altered { position: 5, .. })
        }),
        ("DELETE FROM audit WHERE position = 4", |found| *found == Break::Missing { first: 4, last: 4 }),
        ("DELETE FROM audit WHERE position IN (1, 2)", |found| *found == Break::Missing { first: 1, last: 2 }),
        (
            "UPDATE audit SET position = 99 WHERE position = 2; UPDATE audit SET position = 2 WHERE position = 3;
             UPDATE audit SET position = 3 WHERE position = 99",
            |found| matches!(found, Break::Altered { position: 2, .. }),
        ),
        ("DELETE FROM audit WHERE position > 4", |found| *found == Break::Missing { first: 5, last: 6 }),
        (
            "INSERT INTO audit (at, event, position, digest, key_id) SELECT at, event, 7, digest, key_id FROM audit WHERE position = 6",
            |found| *found == Break::AfterEnd { position: 7, head: 6 },
        ),
        (
            "DELETE FROM audit WHERE position = 3;
             INSERT INTO audit (at, event, position, digest, key_id) SELECT at, event, 3, digest, key_id FROM audit WHERE position = 6",
            |found| matches!(found, Break::Altered { position: 3, .. }),
        ),
        (
            "DELETE FROM audit WHERE position > 4;
             UPDATE audit_chain SET head_position = 4, head_digest = (SELECT digest FROM audit WHERE position = 4)",
            |found| *found == Break::Head,
        ),
        (
            "DELETE FROM audit WHERE position < 3;
             UPDATE audit_chain SET anchor_position = 2",
            |found| *found == Break::Anchor,
        ),
        ("UPDATE audit_chain SET key_id = NULL", |found| *found == Break::Head),
        ("UPDATE audit SET position = NULL, digest = NULL WHERE position = 6", |found| {
            *found == Break::Missing { first: 6, last: 6 }
        }),
    ]
}

pub(crate) async fn tampering_is_found(world: World) {
    six_rows(&world).await;
    assert_eq!(link(&world).await, 6);
    let whole = verified(&world, None).await.expect("whole");
    tamper(
        &world,
        "CREATE TABLE kept_rows AS SELECT * FROM audit; CREATE TABLE kept_chain AS SELECT * FROM audit_chain",
    )
    .await;
    let insert = if world.raw.is_some() { "OVERRIDING SYSTEM VALUE" } else { "" };
    for (sql, is_expected) in attacks() {
        tamper(&world, sql).await;
        let found = verified(&world, None).await.map(|verified| verified.rows);
        assert!(found.as_ref().is_err_and(is_expected), "{sql}: {found:?}");
        let text = found.expect_err("a break").to_string();
        assert!(text.contains("audit trail") && !text.contains('\n'), "{text}");
        let restore = format!(
            "DELETE FROM audit; INSERT INTO audit {insert} SELECT * FROM kept_rows;
             DELETE FROM audit_chain; INSERT INTO audit_chain SELECT * FROM kept_chain"
        );
        tamper(&world, &restore).await;
        let restored = verified(&world, None).await.map(|verified| verified.head);
        assert_eq!(restored, Ok(whole.head), "restored after {sql}");
    }
}

pub(crate) async fn tail_put_back_is_found_by_a_kept_head(world: World) {
    let user = six_rows(&world).await;
    link(&world).await;
    tamper(&world, "CREATE TABLE kept_chain AS SELECT * FROM audit_chain").await;
    world.device(user).await;
    world.device(user).await;
    link(&world).await;
    let head = verified(&world, None).await.expect("whole").head;
    let cut = "DELETE FROM audit WHERE position > 6;
               DELETE FROM audit_chain; INSERT INTO audit_chain SELECT * FROM kept_chain";
    tamper(&world, cut).await;
    assert_eq!(verified(&world, None).await.expect("nothing tells").rows, 6);
    assert_eq!(verified(&world, Some(head)).await, Err(Break::Truncated { head: 6, kept: 8 }));
    // New rows in place of the old ones.
    for _ in 0..3 {
        world.device(user).await;
    }
    link(&world).await;
    assert_eq!(verified(&world, Some(head)).await, Err(Break::Rewritten { position: 8 }));
}

pub(crate) async fn altered_end_stops_linking(world: World) {
    let user = six_rows(&world).await;
    link(&world).await;
    tamper(&world, "UPDATE audit_chain SET head_position = 5").await;
    world.device(user).await;
    let error = world.vault.trail.link(&key(), 10).await.expect_err("damaged");
    assert!(matches!(&error, VaultError::Damaged(text) if text.contains("--verify")), "{error}");
    let error = world.vault.trail.prune(&key(), Duration::ZERO, 10).await.expect_err("damaged");
    assert!(matches!(error, VaultError::Damaged(_)), "{error}");
    assert_eq!(events(&world).await.len(), 7, "nothing is lost");
}

pub(crate) async fn retention_deletes_from_the_start_and_the_rest_verifies(world: World) {
    let keep = HOUR * 24 * 30;
    let user = six_rows(&world).await;
    link(&world).await;
    let early = verified(&world, None).await.expect("whole").head;
    world.advance(HOUR * 24 * 20).await;
    world.device(user).await;
    link(&world).await;
    let prune = async |limit| world.vault.trail.prune(&key(), keep, limit).await.expect("pruned");
    assert_eq!(prune(100).await, 0);
    world.advance(HOUR * 24 * 11).await;
    for expected in [4, 2, 0] {
        assert_eq!(prune(4).await, expected);
        verified(&world, None).await.expect("whole");
    }
    let rest = verified(&world, Some(early)).await.expect("the row of the head was the last to go");
    assert_eq!((rest.rows, rest.expired, rest.head.position), (1, 6, 7));
    world.device(user).await;
    link(&world).await;
    world.advance(HOUR * 24 * 40).await;
    assert_eq!(prune(100).await, 2);
    let empty = verified(&world, None).await.expect("whole");
    assert_eq!((empty.rows, empty.expired, empty.head.position), (0, 8, 8));
    assert_eq!(verified(&world, Some(early)).await, Err(Break::Expired { kept: 6, anchor: 8 }));
    // A hole at the start is not deleted away.
    six_more(&world, user).await;
    link(&world).await;
    tamper(&world, "DELETE FROM audit WHERE position = 10").await;
    world.advance(HOUR * 24 * 40).await;
    let error = world.vault.trail.prune(&key(), keep, 100).await.expect_err("damaged");
    assert!(matches!(error, VaultError::Damaged(_)), "{error}");
    assert_eq!(verified(&world, None).await, Err(Break::Missing { first: 10, last: 10 }));
}

pub(crate) async fn rows_made_to_look_old_are_not_deleted(world: World) {
    six_rows(&world).await;
    link(&world).await;
    let old = if world.raw.is_some() { "at - interval '400 days'" } else { "1" };
    tamper(&world, &format!("UPDATE audit SET at = {old} WHERE position <= 4")).await;
    let error = world.vault.trail.prune(&key(), HOUR * 24 * 30, 100).await.expect_err("damaged");
    assert!(matches!(error, VaultError::Damaged(_)), "{error}");
    let found = verified(&world, None).await.map(|verified| verified.rows);
    assert!(matches!(found, Err(Break::Altered { position: 1, .. })), "{found:?}");
}

async fn six_more(world: &World, user: UserId) {
    for hash in 0..6 {
        let new = secret(&format!("hash {hash}"));
        let change = UserChange::Password { new, expected: None, keep: None };
        world.vault.users.change(user, &change).await.expect("changed");
    }
}

pub(crate) async fn other_master_secret_is_named(world: World) {
    six_rows(&world).await;
    link(&world).await;
    let other = ChainKey::new(&Secret::new([6; 32]));
    let found = verify(world.vault.trail.as_ref(), &other, None).await.expect_err("another key");
    assert!(found.to_string().contains("another master secret"), "{found}");
}
