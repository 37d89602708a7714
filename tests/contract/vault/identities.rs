use std::time::Duration;

use doorward::clock::Timestamp;
use doorward::id::{SessionId, UserId};
use doorward::identity::Attributes;
use doorward::vault::{
    Ended, LogEntry, NewAccountUser, NewProviderSession, OtherWays, ProviderAccount, Statement, User,
    UserChange, Vault, VaultError,
};

use super::world::{HOUR, World, is_superseded, login, new_session, random, roles, secret};

const SECOND: Duration = Duration::from_secs(1);

pub(super) fn account(subject: &str) -> ProviderAccount {
    ProviderAccount {
        provider: "sso".into(),
        issuer: "https://sso.example.com".into(),
        subject: subject.into(),
    }
}

fn new_user(name: &str) -> NewAccountUser {
    let id = UserId::from_bytes(random());
    NewAccountUser { id, login: login(name), password: secret("none"), waits_for_approval: false }
}

fn attributes(email: Option<&str>, name: &str) -> Attributes {
    let email = email.map(|email| email.parse().expect("an address"));
    Attributes::new(email, true, Some(name.parse().expect("a name")))
}

pub(super) fn statement(names: &[&str]) -> Statement {
    Statement { roles: Some(roles(names)), ..Statement::default() }
}

fn described(names: &[&str], attributes: Attributes) -> Statement {
    Statement { attributes, ..statement(names) }
}

pub(super) fn part(account: &ProviderAccount, sid: Option<&str>) -> NewProviderSession {
    NewProviderSession {
        account: account.clone(),
        sid: sid.map(str::to_owned),
        // After every logout of these tests.
        began_at: Timestamp::from_secs(9_000_000_000),
        refresh: Some(vec![1, 2, 3]),
        id_token: Some(vec![4, 5]),
        recheck: Some(HOUR),
    }
}

impl World {
    pub(super) async fn owner(&self, account: &ProviderAccount) -> Option<User> {
        self.other.identities.owner(account).await.expect("an answer")
    }

    /// Creates a user for an account.
    pub(super) async fn created(
        &self,
        account: &ProviderAccount,
        name: &str,
        statement: &Statement,
    ) -> UserId {
        let new = new_user(name);
        self.vault.identities.create(account, &new, statement).await.expect("a new user");
        new.id
    }

    async fn applied(&self, account: &ProviderAccount, statement: &Statement) -> Ended {
        self.vault.identities.apply(account, statement).await.expect("applied")
    }

    pub(super) async fn open_by(
        &self,
        user: UserId,
        part: &NewProviderSession,
    ) -> Result<SessionId, VaultError> {
        let new = new_session(user, self.find(user).await.epoch);
        self.vault.identities.open(&new, part).await.map(|grant| grant.session_id)
    }

    pub(super) async fn is_live(&self, session: SessionId) -> bool {
        self.vault.sessions.find(session).await.expect("an answer").expect("the session").live
    }
}

pub(crate) async fn account_creates_its_user_with_roles_and_attributes(world: World) {
    let (ada, ada_lovelace) = (account("4711"), attributes(Some("ada@example.org"), "Ada Lovelace"));
    assert!(world.owner(&ada).await.is_none());
    let id = world.created(&ada, "ada", &described(&["admin"], ada_lovelace.clone())).await;
    let user = world.owner(&ada).await.expect("the owner");
    assert_eq!((user.id, user.login, user.roles), (id, login("ada"), roles(&["admin"])));
    assert_eq!((user.attributes, user.disabled, user.waits_for_approval), (ada_lovelace, false, false));
    let [link] = &world.vault.identities.of_user(id).await.expect("links")[..] else { panic!("one") };
    assert_eq!((&link.account, link.is_origin), (&ada, true));
    // Nobody may guess a session into being: there is none yet.
    assert!(world.vault.identities.hint(SessionId::from_bytes([9; 16])).await.expect("an answer").is_none());
}

pub(crate) async fn account_is_compared_byte_for_byte(world: World) {
    let ada = account("Ada");
    world.created(&ada, "ada", &statement(&[])).await;
    let issuer = |issuer: &str| ProviderAccount { issuer: issuer.into(), ..ada.clone() };
    let provider = ProviderAccount { provider: "other".into(), ..ada.clone() };
    let others =
        [account("ada"), account("ADA"), account("Ada "), account("Ad\u{e1}"), account("A\u{301}da")];
    for other in others.into_iter().chain([
        issuer("https://sso.example.com/"),
        issuer("https://SSO.example.com"),
        provider,
    ]) {
        assert!(world.owner(&other).await.is_none(), "{} {} {}", other.provider, other.issuer, other.subject);
    }
    assert!(world.owner(&ada).await.is_some());
}

pub(crate) async fn new_user_waits_for_approval_until_enabled(world: World) {
    let ada = account("4711");
    let new = NewAccountUser { waits_for_approval: true, ..new_user("ada") };
    world.vault.identities.create(&ada, &new, &statement(&["admin"])).await.expect("a new user");
    let waiting = world.owner(&ada).await.expect("the owner");
    assert!(waiting.disabled && waiting.waits_for_approval);
    assert!(is_superseded(&world.open_by(new.id, &part(&ada, None)).await));
    world.vault.users.change(new.id, &UserChange::Disabled(false)).await.expect("approved");
    let approved = world.owner(&ada).await.expect("the owner");
    assert!(!approved.disabled && !approved.waits_for_approval);
    world.open_by(new.id, &part(&ada, None)).await.expect("a session");
    world.vault.users.change(new.id, &UserChange::Disabled(true)).await.expect("disabled");
    assert!(!world.owner(&ada).await.expect("the owner").waits_for_approval);
}

pub(crate) async fn taken_login_name_creates_nothing(world: World) {
    world.user("ada").await;
    let ada = account("4711");
    let created = world.vault.identities.create(&ada, &new_user("ada"), &statement(&[])).await;
    assert!(matches!(created, Err(VaultError::LoginTaken)), "{created:?}");
    assert!(world.owner(&ada).await.is_none());
    assert_eq!(world.vault.users.list(None, 9).await.expect("a page").len(), 1);
}

pub(crate) async fn concurrent_sign_ins_of_one_account_make_one_user(world: World) {
    for round in 0..10 {
        let ada = account(&format!("subject {round}"));
        let create = |vault: &Vault, name: String| {
            let (vault, ada) = (vault.clone(), ada.clone());
            tokio::spawn(async move {
                vault.identities.create(&ada, &new_user(&name), &statement(&["admin"])).await
            })
        };
        // Two tabs have the same name; a person whose name has just changed has two.
        let mut results = Vec::new();
        for (at, name) in ["ada", "ada", "countess", "countess"].into_iter().enumerate() {
            let vault = if at % 2 == 0 { &world.vault } else { &world.other };
            results.push(create(vault, format!("{name}{round}")));
        }
        let mut created = 0;
        for result in results {
            match result.await.expect("ended") {
                Ok(()) => created += 1,
                Err(VaultError::LoginTaken | VaultError::AccountTaken) => {}
                Err(other) => panic!("{other:?}"),
            }
        }
        assert_eq!(created, 1);
        let owner = world.owner(&ada).await.expect("the owner");
        assert_eq!(owner.roles, roles(&["admin"]));
    }
    assert_eq!(
        world.vault.users.list(None, 99).await.expect("a page").len(),
        10,
        "nobody without an account"
    );
}

pub(crate) async fn account_belongs_to_one_user(world: World) {
    let (ada, bob) = (world.user("ada").await, world.user("bob").await);
    let linked = account("4711");
    for _ in 0..2 {
        world.vault.identities.link(&linked, ada).await.expect("linked");
    }
    assert_eq!(world.owner(&linked).await.expect("the owner").id, ada);
    let taken = world.other.identities.link(&linked, bob).await;
    assert!(matches!(taken, Err(VaultError::AccountTaken)), "{taken:?}");
    let nobody = world.vault.identities.link(&account("5"), UserId::from_bytes(random())).await;
    assert!(matches!(nobody, Err(VaultError::UserUnknown)), "{nobody:?}");
    let created = world.vault.identities.create(&linked, &new_user("eve"), &statement(&[])).await;
    assert!(matches!(created, Err(VaultError::AccountTaken)), "{created:?}");
    assert_eq!(world.vault.users.list(None, 9).await.expect("a page").len(), 2, "eve was not made");
    world.vault.identities.link(&account("5"), ada).await.expect("linked");
    let links = world.vault.identities.of_user(ada).await.expect("links");
    let subjects: Vec<_> = links.iter().map(|link| link.account.subject.as_str()).collect();
    assert_eq!(subjects, ["4711", "5"]);
    assert!(links.iter().all(|link| !link.is_origin));
}

pub(crate) async fn concurrent_links_give_an_account_to_one_user(world: World) {
    let (ada, bob) = (world.user("ada").await, world.user("bob").await);
    for round in 0..20 {
        let shared = account(&format!("subject {round}"));
        let (one, two) = tokio::join!(
            world.vault.identities.link(&shared, ada),
            world.other.identities.link(&shared, bob),
        );
        assert!(one.is_ok() != two.is_ok(), "{one:?} {two:?}");
        let owner = world.owner(&shared).await.expect("the owner").id;
        assert_eq!(owner, if one.is_ok() { ada } else { bob });
    }
}

pub(crate) async fn statement_changes_rights_only_if_something_changed(world: World) {
    let ada = account("4711");
    let id = world.created(&ada, "ada", &statement(&["admin"])).await;
    let before = world.find(id).await.rights;
    let log = world.vault.log.read(None).await.expect("a page").entries.len();
    assert!(world.applied(&ada, &statement(&["admin"])).await.entries.is_empty());
    assert!(world.applied(&ada, &Statement::default()).await.entries.is_empty(), "undecided roles stay");
    assert_eq!(world.find(id).await.rights, before);
    let ended = world.applied(&ada, &statement(&[])).await;
    let after = world.find(id).await;
    let [LogEntry::Rights { user_id, rights, .. }] = &ended.entries[..] else {
        panic!("{:?}", ended.entries)
    };
    assert_eq!((*user_id, *rights, after.roles), (id, after.rights, roles(&[])));
    assert!(after.rights > before && ended.sessions.is_empty());
    assert_eq!(world.vault.log.read(None).await.expect("a page").entries.len(), log + 1);
    let nobody = world.vault.identities.apply(&account("5"), &statement(&[])).await;
    assert!(matches!(nobody, Err(VaultError::UserUnknown)), "{nobody:?}");
}

pub(crate) async fn provider_takes_away_only_the_roles_that_it_gave(world: World) {
    let (one, two) = (account("4711"), ProviderAccount { provider: "github".into(), ..account("17") });
    let id = world.created(&one, "ada", &statement(&["admin"])).await;
    let of = async || world.find(id).await.roles.to_string();
    world.vault.users.change(id, &UserChange::Roles(roles(&["admin", "staff"]))).await.expect("changed");
    world.vault.identities.link(&two, id).await.expect("linked");
    world.applied(&two, &statement(&["admin", "ops"])).await;
    assert_eq!(of().await, "admin,ops,staff");
    world.applied(&one, &statement(&[])).await;
    assert_eq!(of().await, "admin,ops,staff", "the other gives admin");
    world.applied(&two, &statement(&["ops"])).await;
    assert_eq!(of().await, "ops,staff");
    world.vault.identities.unlink(&two, id, None).await.expect("unlinked");
    assert_eq!(of().await, "staff", "an operator gave it");
}

pub(crate) async fn attributes_are_those_of_the_account_that_created_the_user(world: World) {
    let (one, two) = (account("4711"), account("5"));
    let ada = attributes(Some("ada@example.org"), "Ada");
    let id = world.created(&one, "ada", &described(&[], ada.clone())).await;
    world.vault.identities.link(&two, id).await.expect("linked");
    let other = attributes(Some("x@example.org"), "X");
    assert!(world.applied(&two, &described(&[], other.clone())).await.entries.is_empty());
    assert_eq!(world.find(id).await.attributes, ada);
    world.applied(&one, &described(&[], other.clone())).await;
    assert_eq!(world.find(id).await.attributes, other);
}

pub(crate) async fn address_of_another_user_is_left_out(world: World) {
    let (one, two) = (account("4711"), account("5"));
    let ada = world.created(&one, "ada", &described(&[], attributes(Some("ada@example.org"), "Ada"))).await;
    let taken = described(&["staff"], attributes(Some("ada@example.org"), "Bob"));
    let bob = world.created(&two, "bob", &taken).await;
    let user = world.find(bob).await;
    assert_eq!((user.attributes, user.roles), (attributes(None, "Bob"), roles(&["staff"])));
    // At a later statement as well, and an address that the user had before goes.
    world.applied(&two, &described(&[], attributes(Some("bob@example.org"), "Bob"))).await;
    world.applied(&two, &taken).await;
    let user = world.find(bob).await;
    assert_eq!((user.attributes.email(), user.roles), (None, roles(&["staff"])));
    assert_eq!(
        world.find(ada).await.attributes.email().map(|email| email.as_str().to_owned()).as_deref(),
        Some("ada@example.org")
    );
}

pub(crate) async fn unlinking_ends_the_sessions_that_the_account_opened(world: World) {
    let (ada, other) = (account("4711"), account("5"));
    let id = world.created(&ada, "ada", &statement(&["admin"])).await;
    world.vault.identities.link(&other, id).await.expect("linked");
    let open =
        async |account: &ProviderAccount| world.open_by(id, &part(account, None)).await.expect("a session");
    let (kept, gone, of_other) = (open(&ada).await, open(&ada).await, open(&other).await);
    let by_password = world.device(id).await.id;
    let stranger = world.user("eve").await;
    let refused = world.vault.identities.unlink(&ada, stranger, None).await;
    assert!(matches!(refused, Err(VaultError::UserUnknown)), "{refused:?}");
    assert_eq!(world.find(id).await.roles, roles(&["admin"]), "nothing was changed");
    let ended = world.vault.identities.unlink(&ada, id, Some(kept)).await.expect("unlinked");
    assert_eq!((&ended.sessions[..], ended.alive), (&[gone][..], 1));
    assert!(
        ended.entries.iter().any(|entry| matches!(entry, LogEntry::Rights { .. })),
        "{:?}",
        ended.entries
    );
    for (session, is_live) in [(kept, true), (gone, false), (of_other, true), (by_password, true)] {
        assert_eq!(world.is_live(session).await, is_live);
    }
    assert!(world.owner(&ada).await.is_none());
    assert_eq!(world.find(id).await.roles, roles(&[]));
    let again = world.vault.identities.unlink(&ada, id, None).await;
    assert!(matches!(again, Err(VaultError::UserUnknown)), "{again:?}");
}

pub(crate) async fn deleted_user_leaves_its_accounts_free(world: World) {
    let ada = account("4711");
    let id = world.created(&ada, "ada", &statement(&["admin"])).await;
    let session = world.open_by(id, &part(&ada, Some("s1"))).await.expect("a session");
    world.vault.users.change(id, &UserChange::Deleted).await.expect("deleted");
    assert!(world.owner(&ada).await.is_none());
    assert!(world.vault.identities.of_user(id).await.expect("links").is_empty());
    assert!(world.claim(session).await.is_none());
    let new = world.created(&ada, "ada", &statement(&[])).await;
    assert_ne!(new, id);
    assert_eq!(world.find(new).await.roles, roles(&[]));
}

pub(crate) async fn sign_in_is_not_completed_after_its_account_was_unlinked(world: World) {
    let ada = account("4711");
    let id = world.created(&ada, "ada", &statement(&[])).await;
    world.vault.identities.unlink(&ada, id, None).await.expect("unlinked");
    assert!(is_superseded(&world.open_by(id, &part(&ada, None)).await));
    // It belongs to somebody else now.
    let eve = world.user("eve").await;
    world.vault.identities.link(&ada, eve).await.expect("linked");
    assert!(is_superseded(&world.open_by(id, &part(&ada, None)).await));
    world.open_by(eve, &part(&ada, None)).await.expect("a session");
}

pub(crate) async fn unlink_racing_a_sign_in_leaves_no_session(world: World) {
    let id = world.user("ada").await;
    let epoch = world.find(id).await.epoch;
    for round in 0..50 {
        let ada = account(&format!("s{round}"));
        world.vault.identities.link(&ada, id).await.expect("linked");
        let (new, part) = (new_session(id, epoch), part(&ada, None));
        let (opened, unlinked) = tokio::join!(
            world.vault.identities.open(&new, &part),
            world.other.identities.unlink(&ada, id, None)
        );
        unlinked.expect("unlinked");
        match opened {
            Ok(grant) => assert!(!world.is_live(grant.session_id).await, "round {round}"),
            refused => assert!(is_superseded(&refused), "{refused:?}"),
        }
    }
}

pub(crate) async fn undecided_roles_stay_for_their_time_only(world: World) {
    let ada = account("4711");
    let id = world.created(&ada, "ada", &statement(&["admin"])).await;
    world.vault.users.change(id, &UserChange::Roles(roles(&["admin", "staff"]))).await.expect("changed");
    let undecided = Statement { roles_stay: Some(2 * HOUR), ..Statement::default() };
    for _ in 0..2 {
        world.advance(HOUR - 60 * SECOND).await;
        world.applied(&ada, &undecided).await;
        assert_eq!(world.find(id).await.roles, roles(&["admin", "staff"]));
    }
    world.applied(&ada, &statement(&["admin"])).await;
    world.advance(HOUR).await;
    world.applied(&ada, &undecided).await;
    assert_eq!(world.find(id).await.roles, roles(&["admin", "staff"]), "decided an hour ago");
    world.advance(HOUR + 60 * SECOND).await;
    let ended = world.applied(&ada, &undecided).await;
    assert!(matches!(ended.entries[..], [LogEntry::Rights { .. }]), "{:?}", ended.entries);
    assert_eq!(world.find(id).await.roles, roles(&["staff"]), "an operator gave it");
}

pub(crate) async fn last_way_to_sign_in_is_not_unlinked(world: World) {
    let (one, two) = (account("4711"), account("5"));
    let id = world.created(&one, "ada", &statement(&["admin"])).await;
    let session = world.open_by(id, &part(&one, None)).await.expect("a session");
    let others = |password: bool, providers: &[&str]| OtherWays {
        password,
        providers: providers.iter().map(|&provider| provider.to_owned()).collect(),
    };
    let unlink = async |vault: &Vault, account: &ProviderAccount, others: &OtherWays| {
        vault.identities.unlink_own(account, id, session, others).await
    };
    let refused = unlink(&world.vault, &one, &others(false, &["sso"])).await;
    assert!(matches!(refused, Err(VaultError::LastWay)), "{refused:?}");
    assert_eq!(world.find(id).await.roles, roles(&["admin"]), "nothing was changed");
    world.vault.identities.link(&two, id).await.expect("linked");
    let refused = unlink(&world.vault, &one, &others(false, &["other"])).await;
    assert!(matches!(refused, Err(VaultError::LastWay)), "{refused:?}");
    // Two at once: one stays.
    let ways = others(false, &["sso"]);
    let (first, second) = tokio::join!(unlink(&world.vault, &one, &ways), unlink(&world.other, &two, &ways));
    assert!(first.is_ok() != second.is_ok(), "{first:?} {second:?}");
    let left = world.vault.identities.of_user(id).await.expect("links");
    let [last] = &left[..] else { panic!("{left:?}") };
    unlink(&world.vault, &last.account, &others(true, &[])).await.expect("there is a password");
    assert!(world.is_live(session).await);
}
