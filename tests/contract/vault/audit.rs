pub(crate) mod trail;

use std::time::Duration;

use doorward::vault::{
    AttributesChange, AuditQuery, Edit, EndReason, REVOCATION_LIFE, RotationRefused, Scope, UserChange,
};

use super::world::{GRACE, HOUR, IDLE, World, granted, refused, roles, secret};

async fn words(world: &World) -> Vec<String> {
    let events = world.vault.trail.page(&AuditQuery::first(100)).await.expect("events");
    events.into_iter().map(|event| event.event).collect()
}

pub(crate) async fn every_change_is_audited_newest_first(world: World) {
    let (user, device) = world.someone().await;
    world.rotate(&device, 0).await;
    world.advance(GRACE).await;
    world.rotate(&device, 0).await;
    let out = world.device(user).await;
    world
        .vault
        .sessions
        .revoke(Scope::Session(out.id, Some(user)), EndReason::Logout)
        .await
        .expect("revoked");
    let revoked_device = world.device(user).await;
    world
        .vault
        .sessions
        .revoke(Scope::Session(revoked_device.id, Some(user)), EndReason::User)
        .await
        .expect("revoked");
    let name = "Ada Lovelace".parse().expect("a name");
    let changes = [
        UserChange::Roles(roles(&["ops"])),
        UserChange::Attributes(AttributesChange { name: Edit::Set(name), ..AttributesChange::default() }),
        UserChange::Password { new: secret("new"), expected: None, keep: None },
        UserChange::Disabled(true),
        UserChange::Disabled(false),
        UserChange::Deleted,
    ];
    for change in &changes {
        world.vault.users.change(user, change).await.expect("changed");
    }
    world.vault.keys.add(&[super::keys::key("1")], false).await.expect("added");
    let expected = [
        "key_added",
        "user_deleted",
        "user_enabled",
        "user_disabled",
        "password_changed",
        "attributes_changed",
        "roles_changed",
        "session_revoked",
        "login",
        "logout",
        "login",
        "refresh_reused",
        "login",
        "user_created",
    ];
    assert_eq!(words(&world).await, expected);
    assert_eq!(world.vault.trail.page(&AuditQuery::first(2)).await.expect("events").len(), 2);
}

pub(crate) async fn audit_event_names_user_session_and_address(world: World) {
    let (user, device) = world.someone().await;
    let event = world.vault.trail.page(&AuditQuery::first(1)).await.expect("events").remove(0);
    assert_eq!((event.event.as_str(), event.user, event.session), ("login", Some(user), Some(device.id)));
    assert_eq!((event.at, event.address.as_deref()), (device.grant.now, Some("192.0.2.7")));
}

pub(crate) async fn refused_change_leaves_no_event(world: World) {
    let user = world.user("ada").await;
    let stale = UserChange::Password { new: secret("new"), expected: Some(secret("other")), keep: None };
    world.vault.users.change(user, &stale).await.expect_err("superseded");
    assert_eq!(words(&world).await, ["user_created"]);
}

pub(crate) async fn sweep_deletes_only_expired_rows(world: World) {
    let user = world.user("ada").await;
    let (idle, ended) = (world.device(user).await, world.device(user).await);
    world.vault.sessions.revoke(Scope::Session(ended.id, None), EndReason::Logout).await.expect("revoked");
    let sweep = async || world.vault.audit.sweep(100).await.expect("swept");
    world.advance(REVOCATION_LIFE - Duration::from_secs(60)).await;
    assert_eq!(sweep().await, 0);
    world.advance(Duration::from_secs(61)).await;
    // The ended session and its log row.
    assert_eq!(sweep().await, 2);
    assert_eq!(refused(world.rotate(&ended, 0).await), RotationRefused::Unknown);
    assert_eq!(granted(world.rotate(&idle, 0).await).0, 1);
    world.advance(IDLE + REVOCATION_LIFE - Duration::from_secs(60)).await;
    assert_eq!(sweep().await, 0);
    assert_eq!(refused(world.rotate(&idle, 1).await), RotationRefused::Expired);
    world.advance(Duration::from_secs(61)).await;
    assert_eq!(sweep().await, 1);
    world.advance(HOUR * 24 * 90).await;
    sweep().await;
    assert!(words(&world).await.is_empty());
}

pub(crate) async fn sweep_deletes_at_most_its_limit_per_table(world: World) {
    let user = world.user("ada").await;
    for _ in 0..5 {
        world.device(user).await;
    }
    world.vault.sessions.revoke(Scope::User(user), EndReason::User).await.expect("revoked");
    world.advance(REVOCATION_LIFE + Duration::from_secs(1)).await;
    for expected in [4, 4, 2, 0] {
        assert_eq!(world.vault.audit.sweep(2).await.expect("swept"), expected);
    }
}

pub(crate) async fn swept_log_never_reuses_a_number(world: World) {
    let (_, device) = world.someone().await;
    world.vault.sessions.revoke(Scope::Session(device.id, None), EndReason::Logout).await.expect("revoked");
    let cursor = world.vault.log.read(None).await.expect("a page").cursor;
    world.advance(REVOCATION_LIFE + Duration::from_secs(1)).await;
    world.vault.audit.sweep(10).await.expect("swept");
    let user = world.user("bob").await;
    world.device(user).await;
    let ended = world.vault.sessions.revoke(Scope::User(user), EndReason::User).await.expect("revoked");
    assert_eq!(world.vault.log.read(Some(cursor)).await.expect("a page").entries, ended.entries);
}

pub(crate) async fn schema_has_a_version(world: World) {
    assert!(world.vault.audit.schema().await.expect("a version") >= 1);
}
