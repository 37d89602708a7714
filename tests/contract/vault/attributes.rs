use doorward::id::UserId;
use doorward::identity::{Attributes, DisplayName, Email, RightsVersion};
use doorward::vault::{
    AttributesChange, AuditQuery, Edit, Ended, LogEntry, NewUser, Presented, Rotation, SessionPage,
    UserChange, UserKey, VaultError,
};

use super::world::{Device, World, login, new_session, presented, random, roles, secret};

fn email(text: &str) -> Email {
    text.parse().expect("an address")
}

fn name(text: &str) -> DisplayName {
    text.parse().expect("a name")
}

fn lovelace() -> Attributes {
    Attributes::new(Some(email("ada@example.org")), true, Some(name("Ada Lovelace")))
}

/// Describes a new user with attributes.
fn new_user(login_name: &str, attributes: Attributes) -> NewUser {
    let id = UserId::from_bytes(random());
    NewUser { attributes, ..NewUser::new(id, login(login_name), secret("x"), roles(&["staff"])) }
}

fn set_email(text: &str) -> AttributesChange {
    AttributesChange { email: Edit::Set(email(text)), ..AttributesChange::default() }
}

async fn change(world: &World, user: UserId, change: AttributesChange) -> Result<Ended, VaultError> {
    world.vault.users.change(user, &UserChange::Attributes(change)).await
}

/// Makes a change that must succeed, and returns the attributes after it.
async fn changed(world: &World, user: UserId, edit: AttributesChange) -> Attributes {
    change(world, user, edit).await.expect("changed");
    world.find(user).await.attributes
}

fn attributes_of(rotation: Rotation) -> Attributes {
    let Rotation::Granted { grant, .. } = rotation else { panic!("not granted: {rotation:?}") };
    grant.attributes
}

pub(crate) async fn new_user_has_the_given_attributes(world: World) {
    let new = new_user("ada", lovelace());
    world.vault.users.create(&new).await.expect("a new user");
    let user = world.find(new.id).await;
    assert_eq!(user.attributes, lovelace());
    assert_eq!(user.email_verified_at, Some(user.created_at));
    let bare = world.user("bob").await;
    let bare = world.find(bare).await;
    assert_eq!((bare.attributes, bare.email_verified_at), (Attributes::NONE, None));
    let by_login = world.vault.users.find(&UserKey::Login(login("ada"))).await.expect("an answer");
    assert_eq!(by_login.expect("ada").attributes, lovelace());
    let listed = world.vault.users.list(None, 9).await.expect("a page");
    let listed: Vec<_> = listed.into_iter().map(|user| user.attributes).collect();
    assert_eq!(listed, [lovelace(), Attributes::NONE]);
}

pub(crate) async fn every_grant_carries_the_current_attributes(world: World) {
    let new = new_user("ada", lovelace());
    world.vault.users.create(&new).await.expect("a new user");
    let device: Device = world.device(new.id).await;
    assert_eq!(device.grant.attributes, lovelace(), "login");
    let row = world.vault.sessions.find(device.id).await.expect("an answer").expect("the session");
    assert_eq!(row.grant.attributes, lovelace(), "lookup");
    let rows = world.vault.sessions.find_many(&[device.id]).await.expect("an answer");
    assert_eq!(rows[0].grant.attributes, lovelace(), "many lookups");
    let rows = world.vault.sessions.list(Some(new.id), SessionPage::first(9)).await.expect("a list");
    assert_eq!(rows[0].grant.attributes, lovelace(), "list");

    let other = changed(&world, new.id, set_email("ada@example.net")).await;
    assert_eq!(other, Attributes::new(Some(email("ada@example.net")), false, Some(name("Ada Lovelace"))));
    let renewed = world.vault.sessions.renew(&presented(&device, 0)).await.expect("an answer");
    assert_eq!(attributes_of(renewed), other, "renewal");
    assert_eq!(attributes_of(world.rotate(&device, 0).await), other, "rotation");
    assert_eq!(attributes_of(world.rotate(&device, 0).await), other, "repeat");
    // A late repeat is granted by another branch of the decision.
    let grace_unused = super::world::HOUR;
    world.advance(super::world::GRACE * 2).await;
    let late = Presented { grace_unused, ..presented(&device, 0) };
    assert_eq!(attributes_of(world.vault.sessions.rotate(&late).await.expect("an answer")), other, "late");
}

pub(crate) async fn change_of_attributes_rides_the_rights_version(world: World) {
    let (user, device) = world.someone().await;
    let start = world.vault.log.read(None).await.expect("a page").cursor;
    let ended = change(&world, user, set_email("ada@example.org")).await.expect("changed");
    assert!(ended.sessions.is_empty());
    let [LogEntry::Rights { user_id, rights, .. }] = ended.entries[..] else { panic!("{:?}", ended.entries) };
    assert_eq!((user_id, rights), (user, RightsVersion(1)));
    assert_eq!(world.vault.log.read(Some(start)).await.expect("a page").entries, ended.entries);
    let Rotation::Granted { grant, .. } = world.rotate(&device, 0).await else { panic!("it refreshes") };
    assert_eq!((grant.rights, grant.roles), (RightsVersion(1), roles(&["staff"])));
}

pub(crate) async fn change_to_the_stored_attributes_does_nothing(world: World) {
    let new = new_user("ada", lovelace());
    world.vault.users.create(&new).await.expect("a new user");
    let start = world.vault.log.read(None).await.expect("a page").cursor;
    let events = world.vault.trail.page(&AuditQuery::first(99)).await.expect("events").len();
    let same = AttributesChange {
        email: Edit::Set(email("ada@EXAMPLE.org")),
        email_verified: Some(true),
        name: Edit::Set(name("Ada Lovelace")),
    };
    for edit in [same, set_email("ada@example.org"), AttributesChange::default()] {
        let ended = change(&world, new.id, edit.clone()).await.expect("nothing to do");
        assert!(ended.entries.is_empty() && ended.sessions.is_empty(), "{edit:?}");
    }
    let user = world.find(new.id).await;
    assert_eq!((user.attributes, user.rights), (lovelace(), RightsVersion(0)));
    assert_eq!(user.email_verified_at, Some(user.created_at), "the time of the verification stays");
    assert!(world.vault.log.read(Some(start)).await.expect("a page").entries.is_empty());
    assert_eq!(world.vault.trail.page(&AuditQuery::first(99)).await.expect("events").len(), events);

    let bare = world.user("bob").await;
    let without_address =
        AttributesChange { email: Edit::Clear, email_verified: Some(true), name: Edit::Clear };
    let ended = change(&world, bare, without_address).await.expect("nothing to do");
    assert!(ended.entries.is_empty(), "nothing is verified without an address");
}

pub(crate) async fn changed_address_is_unverified_unless_said_otherwise(world: World) {
    let user = world.user("ada").await;
    let verified = |attributes: &Attributes| attributes.email_verified();
    let first = changed(&world, user, set_email("ada@example.org")).await;
    assert!(!verified(&first));
    world.advance(super::world::HOUR).await;
    let verify = AttributesChange { email_verified: Some(true), ..AttributesChange::default() };
    assert!(verified(&changed(&world, user, verify).await));
    let stored = world.find(user).await;
    let after = stored.email_verified_at.expect("verified").since(stored.created_at);
    assert!(after >= super::world::HOUR, "by the vault's clock: {after:?}");

    let rename = AttributesChange { name: Edit::Set(name("Ada")), ..AttributesChange::default() };
    assert!(verified(&changed(&world, user, rename).await), "another attribute");
    // The local part may differ by case: another mailbox.
    assert!(!verified(&changed(&world, user, set_email("Ada@example.org")).await));
    let trusted = AttributesChange { email_verified: Some(true), ..set_email("ada@example.net") };
    assert!(verified(&changed(&world, user, trusted).await));
    let doubted = AttributesChange { email_verified: Some(false), ..AttributesChange::default() };
    assert!(!verified(&changed(&world, user, doubted).await));

    let clear = AttributesChange { email: Edit::Clear, ..AttributesChange::default() };
    assert_eq!(changed(&world, user, clear).await, Attributes::new(None, false, Some(name("Ada"))));
    let unnamed = AttributesChange { name: Edit::Clear, ..AttributesChange::default() };
    assert_eq!(changed(&world, user, unnamed).await, Attributes::NONE);
    assert!(
        !verified(&changed(&world, user, set_email("ada@example.net")).await),
        "verified once, not for ever"
    );
}

pub(crate) async fn address_of_another_user_is_refused(world: World) {
    let ada = new_user("ada", lovelace());
    world.vault.users.create(&ada).await.expect("a new user");
    let bob = world.user("bob").await;
    let start = world.vault.log.read(None).await.expect("a page").cursor;
    let events = world.vault.trail.page(&AuditQuery::first(99)).await.expect("events").len();
    let refused = change(&world, bob, set_email("ada@Example.ORG")).await;
    assert!(matches!(refused, Err(VaultError::EmailTaken)), "{refused:?}");
    let mallory = new_user("mallory", Attributes::new(Some(email("ada@EXAMPLE.ORG")), true, None));
    let refused = world.vault.users.create(&mallory).await;
    assert!(matches!(refused, Err(VaultError::EmailTaken)), "{refused:?}");
    let both = new_user("ada", lovelace());
    let refused = world.vault.users.create(&both).await;
    assert!(matches!(refused, Err(VaultError::LoginTaken)), "{refused:?}");

    let bob = world.find(bob).await;
    assert_eq!((bob.attributes, bob.rights), (Attributes::NONE, RightsVersion(0)), "nothing was changed");
    assert!(world.vault.users.find(&UserKey::Id(mallory.id)).await.expect("an answer").is_none());
    assert!(world.vault.log.read(Some(start)).await.expect("a page").entries.is_empty());
    assert_eq!(world.vault.trail.page(&AuditQuery::first(99)).await.expect("events").len(), events);
    let unknown = change(&world, mallory.id, set_email("m@example.org")).await;
    assert!(matches!(unknown, Err(VaultError::UserUnknown)), "{unknown:?}");

    // Two users without an address, and two names that are the same, are no conflict.
    let carol = new_user("carol", Attributes::new(None, false, Some(name("Ada Lovelace"))));
    world.vault.users.create(&carol).await.expect("a name is not unique");
    changed(&world, carol.id, set_email("Ada@example.org")).await;
}

pub(crate) async fn address_is_free_once_its_owner_has_another_or_is_deleted(world: World) {
    let (ada, bob) = (world.user("ada").await, world.user("bob").await);
    changed(&world, ada, set_email("team@example.org")).await;
    changed(&world, ada, set_email("ada@example.org")).await;
    changed(&world, bob, set_email("team@example.org")).await;
    world.vault.users.change(bob, &UserChange::Deleted).await.expect("deleted");
    changed(&world, ada, set_email("team@example.org")).await;
    if let Some(raw) = &world.raw {
        let left = raw.query_one("SELECT count(*) FROM users WHERE email IS NOT NULL", &[]).await;
        assert_eq!(left.expect("a count").get::<_, i64>(0), 1, "nothing of a deleted user stays");
    }
}

pub(crate) async fn concurrent_claims_of_one_address_give_it_to_one_user(world: World) {
    for round in 0..5 {
        let mut users = Vec::new();
        for at in 0..6 {
            users.push(world.user(&format!("user{round}.{at}")).await);
        }
        let address = format!("round{round}@example.org");
        let claiming: Vec<_> = users
            .iter()
            .enumerate()
            .map(|(at, &user)| {
                let vault = if at % 2 == 0 { world.vault.clone() } else { world.other.clone() };
                let edit = set_email(&address);
                tokio::spawn(async move {
                    if at < 4 {
                        return vault.users.change(user, &UserChange::Attributes(edit)).await.map(drop);
                    }
                    let Edit::Set(address) = edit.email else { unreachable!("an address is set") };
                    let attributes = Attributes::new(Some(address), false, None);
                    vault.users.create(&new_user(&format!("new{round}.{at}"), attributes)).await
                })
            })
            .collect();
        let mut owners = 0;
        for claim in claiming {
            match claim.await.expect("no panic") {
                Ok(()) => owners += 1,
                Err(error) => assert!(matches!(error, VaultError::EmailTaken), "{error}"),
            }
        }
        assert_eq!(owners, 1, "round {round}");
    }
}

pub(crate) async fn login_racing_a_change_of_attributes_has_the_version_of_its_attributes(world: World) {
    let user = world.user("ada").await;
    for round in 0..20_u32 {
        let opening = {
            let (vault, new) = (world.other.clone(), new_session(user, doorward::identity::Epoch(0)));
            tokio::spawn(async move { vault.sessions.open(&new).await })
        };
        changed(&world, user, set_email(&format!("ada{round}@example.org"))).await;
        let grant = opening.await.expect("no panic").expect("a session");
        // With an old version the token is refused until it is refreshed; never old attributes with the new version.
        let expected = match grant.rights {
            RightsVersion(version) if version == round + 1 => format!("ada{round}@example.org"),
            RightsVersion(0) => String::new(),
            RightsVersion(version) => format!("ada{}@example.org", version - 1),
        };
        let email = grant.attributes.email().map_or_else(String::new, |email| email.as_str().to_owned());
        assert_eq!(email, expected, "round {round}");
    }
}
