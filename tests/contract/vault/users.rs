use doorward::id::UserId;
use doorward::identity::{Epoch, RightsVersion};
use doorward::vault::{LogEntry, NewUser, UserChange, UserKey, VaultError};

use super::world::{World, granted, is_superseded, login, new_session, random, refused, roles, secret};
use doorward::vault::RotationRefused;

pub(crate) mod import;
pub(crate) mod mail;

pub(crate) async fn new_user_is_found_by_login_and_by_id(world: World) {
    let id = world.user("ada").await;
    let by_login =
        world.vault.users.find(&UserKey::Login(login("ada"))).await.expect("an answer").expect("ada");
    assert_eq!(by_login.id, id);
    let user = world.find(id).await;
    assert_eq!((user.login, user.password.expose().as_str()), (login("ada"), "hash of ada"));
    assert_eq!((user.roles, user.disabled), (roles(&["staff"]), false));
    assert_eq!((user.epoch, user.rights), (Epoch(0), RightsVersion(0)));
}

pub(crate) async fn unknown_user_is_not_found(world: World) {
    assert!(world.vault.users.find(&UserKey::Login(login("eve"))).await.expect("an answer").is_none());
    let unknown = UserId::from_bytes(random());
    assert!(world.vault.users.find(&UserKey::Id(unknown)).await.expect("an answer").is_none());
    let change = world.vault.users.change(unknown, &UserChange::Deleted).await;
    assert!(matches!(change, Err(VaultError::UserUnknown)));
}

pub(crate) async fn login_name_is_unique(world: World) {
    let first = world.user("ada").await;
    let again = UserId::from_bytes(random());
    let new = NewUser::new(again, login("ADA"), secret("x"), roles(&[]));
    let second = world.vault.users.create(&new).await;
    assert!(matches!(second, Err(VaultError::LoginTaken)));
    assert_eq!(world.find(first).await.password, secret("hash of ada"));
}

pub(crate) async fn users_are_listed_by_login_name_in_pages(world: World) {
    for name in ["carol", "ada", "bob"] {
        world.user(name).await;
    }
    let page = world.vault.users.list(None, 2).await.expect("a page");
    assert_eq!(page.iter().map(|user| user.login.as_str()).collect::<Vec<_>>(), ["ada", "bob"]);
    let rest = world.vault.users.list(Some(&login("bob")), 2).await.expect("a page");
    assert_eq!(rest.iter().map(|user| user.login.as_str()).collect::<Vec<_>>(), ["carol"]);
}

pub(crate) async fn password_change_ends_every_session_but_the_kept_one(world: World) {
    let user = world.user("ada").await;
    let (kept, lost) = (world.device(user).await, world.device(user).await);
    let change = UserChange::Password { new: secret("new"), expected: None, keep: Some(kept.id) };
    let ended = world.vault.users.change(user, &change).await.expect("changed");
    assert_eq!(ended.sessions, [lost.id]);
    assert_eq!(ended.entries.len(), 1);
    let now = world.find(user).await;
    assert_eq!((now.epoch, now.password), (Epoch(1), secret("new")));
    assert_eq!(granted(world.rotate(&kept, 0).await).0, 1);
    assert_eq!(refused(world.rotate(&lost, 0).await), RotationRefused::Ended);
    let row = world.vault.sessions.find(kept.id).await.expect("an answer").expect("the session");
    assert!(row.live);
}

pub(crate) async fn password_change_does_not_revive_an_ended_kept_session(world: World) {
    let (user, device) = world.someone().await;
    for disabled in [true, false] {
        world.vault.users.change(user, &UserChange::Disabled(disabled)).await.expect("changed");
    }
    let change = UserChange::Password { new: secret("new"), expected: None, keep: Some(device.id) };
    world.vault.users.change(user, &change).await.expect("changed");
    assert_eq!(refused(world.rotate(&device, 0).await), RotationRefused::Ended);
}

pub(crate) async fn password_change_needs_the_verified_hash(world: World) {
    let (user, device) = world.someone().await;
    let stale =
        UserChange::Password { new: secret("new"), expected: Some(secret("hash of eve")), keep: None };
    assert!(is_superseded(&world.vault.users.change(user, &stale).await));
    let unchanged = world.find(user).await;
    assert_eq!((unchanged.epoch, unchanged.password), (Epoch(0), secret("hash of ada")));
    assert_eq!(granted(world.rotate(&device, 0).await).0, 1);
    let good = UserChange::Password { new: secret("new"), expected: Some(secret("hash of ada")), keep: None };
    assert_eq!(world.vault.users.change(user, &good).await.expect("changed").sessions, [device.id]);
}

pub(crate) async fn rehash_ends_no_session_and_yields_to_a_change(world: World) {
    let (user, device) = world.someone().await;
    let rehash = UserChange::Rehash { old: secret("hash of ada"), new: secret("stronger") };
    let ended = world.vault.users.change(user, &rehash).await.expect("rehashed");
    assert!(ended.sessions.is_empty() && ended.entries.is_empty());
    assert_eq!(world.find(user).await.password, secret("stronger"));
    assert_eq!(world.find(user).await.epoch, Epoch(0));
    let late = UserChange::Rehash { old: secret("hash of ada"), new: secret("old one again") };
    world.vault.users.change(user, &late).await.expect("nothing to do");
    assert_eq!(world.find(user).await.password, secret("stronger"));
    assert_eq!(granted(world.rotate(&device, 0).await).0, 1);
}

pub(crate) async fn role_change_raises_rights_version_and_keeps_sessions(world: World) {
    let (user, device) = world.someone().await;
    let start = world.vault.log.read(None).await.expect("a page").cursor;
    let change = UserChange::Roles(roles(&["ops", "admin"]));
    let ended = world.vault.users.change(user, &change).await.expect("changed");
    assert!(ended.sessions.is_empty());
    let [LogEntry::Rights { user_id, rights, .. }] = ended.entries[..] else { panic!("{:?}", ended.entries) };
    assert_eq!((user_id, rights), (user, RightsVersion(1)));
    assert_eq!(world.vault.log.read(Some(start)).await.expect("a page").entries, ended.entries);
    let doorward::vault::Rotation::Granted { grant, .. } = world.rotate(&device, 0).await else {
        panic!("the session refreshes")
    };
    assert_eq!((grant.roles.to_string().as_str(), grant.rights), ("admin,ops", RightsVersion(1)));
}

pub(crate) async fn disabled_user_has_no_live_session_and_cannot_sign_in(world: World) {
    let (user, device) = world.someone().await;
    let ended = world.vault.users.change(user, &UserChange::Disabled(true)).await.expect("disabled");
    assert_eq!(ended.sessions, [device.id]);
    assert!(matches!(ended.entries[..], [LogEntry::Session { id, .. }] if id == device.id));
    assert_eq!(refused(world.rotate(&device, 0).await), RotationRefused::Ended);
    let now = world.find(user).await;
    assert!(now.disabled && now.epoch == Epoch(1));
    assert!(is_superseded(&world.vault.sessions.open(&new_session(user, now.epoch)).await));
}

pub(crate) async fn enabling_raises_the_epoch_and_revives_no_session(world: World) {
    let (user, device) = world.someone().await;
    world.vault.users.change(user, &UserChange::Disabled(true)).await.expect("disabled");
    let ended = world.vault.users.change(user, &UserChange::Disabled(false)).await.expect("enabled");
    assert!(ended.sessions.is_empty());
    let now = world.find(user).await;
    assert!(!now.disabled && now.epoch == Epoch(2));
    assert_eq!(refused(world.rotate(&device, 0).await), RotationRefused::Ended);
    assert!(is_superseded(&world.vault.sessions.open(&new_session(user, Epoch(1))).await));
    world.device(user).await;
}

pub(crate) async fn enabling_an_enabled_user_does_nothing(world: World) {
    let (user, device) = world.someone().await;
    world.vault.users.change(user, &UserChange::Disabled(false)).await.expect("nothing to do");
    assert_eq!(world.find(user).await.epoch, Epoch(0));
    assert_eq!(granted(world.rotate(&device, 0).await).0, 1);
}

pub(crate) async fn deleted_user_loses_all_sessions_but_rows_stay(world: World) {
    let (user, device) = world.someone().await;
    let ended = world.vault.users.change(user, &UserChange::Deleted).await.expect("deleted");
    assert_eq!(ended.sessions, [device.id]);
    assert!(world.vault.users.find(&UserKey::Id(user)).await.expect("an answer").is_none());
    assert!(world.vault.sessions.find(device.id).await.expect("an answer").is_none());
    assert_eq!(refused(world.rotate(&device, 0).await), RotationRefused::Ended);
    assert!(is_superseded(&world.vault.sessions.open(&new_session(user, Epoch(0))).await));
    assert_eq!(world.vault.log.read(None).await.expect("a page").entries, ended.entries);
    // The name is free again and belongs to a new user.
    assert_ne!(world.user("ada").await, user);
}
