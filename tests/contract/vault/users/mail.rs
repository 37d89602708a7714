use std::collections::BTreeSet;
use std::time::Duration;

use doorward::id::{MailId, UserId};
use doorward::vault::{
    AttributesChange, AuditQuery, ClaimedMail, Edit, LinkPurpose, LogEntry, MailOutcome, NewLink, NewMail,
    Outbox, SENT_MAIL_LIFE, UserChange, VaultError,
};

use crate::vault::world::{HOUR, World, random, secret};

const LEASE: Duration = Duration::from_secs(120);
const LIFE: Duration = Duration::from_secs(900);

fn new_link(user_id: UserId) -> NewLink {
    NewLink {
        digest: random(),
        purpose: LinkPurpose::Reset,
        user_id,
        browser: None,
        email: None,
        life: LIFE,
        max_open: 3,
    }
}

fn new_mail(user: UserId) -> NewMail {
    NewMail {
        id: MailId::from_bytes(random()),
        kind: "reset",
        user: Some(user),
        sealed: random::<40>().to_vec(),
        life: 3 * HOUR,
    }
}

async fn claimed(world: &World, limit: u32) -> Vec<ClaimedMail> {
    world.vault.mail.claim(limit, LEASE).await.expect("an answer")
}

async fn outbox(world: &World) -> Outbox {
    world.other.mail.outbox().await.expect("an answer")
}

async fn events(world: &World) -> Vec<String> {
    let events = world.vault.trail.page(&AuditQuery::first(20)).await.expect("an answer");
    events.into_iter().map(|event| event.event).collect()
}

pub(crate) async fn link_is_found_by_its_digest_until_it_expires(world: World) {
    let ada = world.user("ada").await;
    let mail = &world.vault.mail;
    let link = NewLink { browser: Some(random()), ..new_link(ada) };
    assert!(mail.add_link(&link, None).await.expect("an answer"));
    let found = world.other.mail.link(link.digest).await.expect("an answer").expect("the link");
    assert_eq!((found.purpose, found.user_id, found.browser), (LinkPurpose::Reset, ada, link.browser));
    assert_eq!(found.epoch, world.find(ada).await.epoch);
    assert_eq!(mail.link(random()).await.expect("an answer"), None, "another token");
    assert!(events(&world).await.contains(&"reset_link_made".to_owned()));
    world.advance(LIFE).await;
    assert_eq!(mail.link(link.digest).await.expect("an answer"), None, "expired");
    let late = mail.set_password_by_link(link.digest, &secret("new"), None).await.expect("an answer");
    assert!(late.is_none(), "{late:?}");
    assert_eq!(world.find(ada).await.password.expose(), "hash of ada");
}

pub(crate) async fn links_of_a_user_are_bounded_by_purpose(world: World) {
    let (ada, bob) = (world.user("ada").await, world.user("bob").await);
    let add = async |link: &NewLink| world.vault.mail.add_link(link, None).await.expect("an answer");
    for _ in 0..3 {
        assert!(add(&new_link(ada)).await);
    }
    let mail = new_mail(ada);
    let refused = world.vault.mail.add_link(&new_link(ada), Some(&mail)).await.expect("an answer");
    assert!(!refused && outbox(&world).await.waiting == 0, "neither a link nor a mail");
    assert!(add(&NewLink { max_open: 4, ..new_link(ada) }).await, "a browser that is known has more");
    assert!(add(&NewLink { purpose: LinkPurpose::Invitation, ..new_link(ada) }).await);
    assert!(add(&new_link(bob)).await);
    // Several at once are counted one by one.
    let carl = world.user("carl").await;
    let links: Vec<_> = (0..8).map(|_| new_link(carl)).collect();
    let at_once = links.iter().map(|link| world.vault.mail.add_link(link, None));
    let made = futures_util::future::join_all(at_once).await;
    assert_eq!(made.into_iter().filter(|made| *made.as_ref().expect("an answer")).count(), 3);
    world.advance(LIFE).await;
    assert!(add(&new_link(ada)).await, "the others have expired");
}

pub(crate) async fn link_sets_the_password_once_and_ends_all_sessions(world: World) {
    let (ada, device) = world.someone().await;
    let (link, other) = (new_link(ada), new_link(ada));
    for link in [&link, &other] {
        assert!(world.vault.mail.add_link(link, None).await.expect("an answer"));
    }
    let before = world.find(ada).await.epoch;
    let told = new_mail(ada);
    let (new, again) = (secret("hash of the new one"), secret("hash of another one"));
    // The same form at two gateways at once.
    let (one, two) = tokio::join!(
        world.vault.mail.set_password_by_link(link.digest, &new, Some(&told)),
        world.other.mail.set_password_by_link(link.digest, &again, None)
    );
    let (one, two) = (one.expect("an answer"), two.expect("an answer"));
    assert_eq!(u8::from(one.is_some()) + u8::from(two.is_some()), 1);
    let is_first = one.is_some();
    let ended = one.or(two).expect("one of them");
    assert_eq!((ended.sessions.as_slice(), ended.alive), (&[device.id][..], 1));
    assert!(matches!(ended.entries[..], [LogEntry::Session { id, .. }] if id == device.id));
    let user = world.find(ada).await;
    assert_eq!(user.password.expose(), if is_first { new.expose() } else { again.expose() });
    assert_eq!(user.epoch.0, before.0 + 1);
    assert_eq!(outbox(&world).await.waiting, u32::from(is_first), "the mail is written with the change");
    let row = world.vault.sessions.find(device.id).await.expect("an answer").expect("the row");
    assert!(!row.live);
    let void = world.vault.mail.set_password_by_link(other.digest, &new, None).await.expect("an answer");
    assert!(void.is_none(), "the other link of the user: {void:?}");
    let written = events(&world).await;
    assert!(written.contains(&"password_set_by_link".to_owned()), "{written:?}");
}

pub(crate) async fn link_is_void_after_a_change_of_the_user(world: World) {
    let mail = &world.vault.mail;
    for (name, change) in [
        ("ada", UserChange::Password { new: secret("hash"), expected: None, keep: None }),
        ("bob", UserChange::Disabled(true)),
        ("carl", UserChange::Deleted),
    ] {
        let user = world.user(name).await;
        let link = new_link(user);
        assert!(mail.add_link(&link, None).await.expect("an answer"));
        world.vault.users.change(user, &change).await.expect("changed");
        assert_eq!(mail.link(link.digest).await.expect("an answer"), None, "{name}");
        let void = mail.set_password_by_link(link.digest, &secret("new"), None).await.expect("an answer");
        assert!(void.is_none(), "{name}: {void:?}");
        if name != "ada" {
            let refused = mail.add_link(&new_link(user), None).await;
            assert!(matches!(refused, Err(VaultError::UserUnknown)), "{name}: {refused:?}");
        }
    }
    // Whoever has the mailbox of an address that the user no longer has gets nothing.
    let address = |text: &str| text.parse().expect("an address");
    for (name, after) in [("dora", Edit::Set(address("new@example.org"))), ("emil", Edit::Clear)] {
        let user = world.user(name).await;
        let (email, now) =
            (address(&format!("{name}@example.org")), Edit::Set(address(&format!("{name}@example.org"))));
        for (edit, is_sent) in [(now, true), (after, false)] {
            let change = AttributesChange { email: edit, ..AttributesChange::default() };
            world.vault.users.change(user, &UserChange::Attributes(change)).await.expect("changed");
            if is_sent {
                let link = NewLink { email: Some(Clone::clone(&email)), digest: [7; 32], ..new_link(user) };
                assert!(mail.add_link(&link, None).await.expect("an answer"));
                assert!(mail.link([7; 32]).await.expect("an answer").is_some(), "{name}: it is good");
            }
        }
        assert_eq!(mail.link([7; 32]).await.expect("an answer"), None, "{name}");
        let void = mail.set_password_by_link([7; 32], &secret("new"), None).await.expect("an answer");
        assert!(void.is_none(), "{name}: {void:?}");
        world.vault.users.change(user, &UserChange::Deleted).await.expect("changed");
    }
}

pub(crate) async fn mail_is_claimed_by_one_until_its_lease_ends(world: World) {
    let ada = world.user("ada").await;
    let mails: Vec<_> = (0..5).map(|_| new_mail(ada)).collect();
    for mail in &mails {
        world.vault.mail.add(mail).await.expect("written");
        world.advance(Duration::from_secs(1)).await;
    }
    let waiting = outbox(&world).await;
    assert_eq!((waiting.waiting, waiting.is_due), (5, true));
    assert!(waiting.oldest >= Duration::from_secs(5), "{waiting:?}");
    let first = claimed(&world, 1).await;
    assert_eq!(
        (first[0].id, first[0].kind.as_str(), &first[0].sealed, first[0].attempt),
        (mails[0].id, "reset", &mails[0].sealed, 1),
        "the oldest"
    );
    assert!(first[0].left > HOUR && first[0].left <= 3 * HOUR, "{first:?}");
    // Two gateways at once.
    let (one, other) = tokio::join!(world.vault.mail.claim(10, LEASE), world.other.mail.claim(10, LEASE));
    let rest: Vec<MailId> =
        one.expect("an answer").into_iter().chain(other.expect("an answer")).map(|mail| mail.id).collect();
    let distinct: BTreeSet<_> = rest.iter().map(|id| *id.as_bytes()).collect();
    assert_eq!((rest.len(), distinct.len()), (4, 4), "each once");
    assert!(!outbox(&world).await.is_due && claimed(&world, 10).await.is_empty());
    // The gateways die.
    world.advance(LEASE).await;
    let again = claimed(&world, 10).await;
    assert_eq!((again.len(), again[0].attempt), (5, 2));
}

pub(crate) async fn result_of_an_attempt_counts_for_its_lease(world: World) {
    let ada = world.user("ada").await;
    let mail = new_mail(ada);
    world.vault.mail.add(&mail).await.expect("written");
    let settle = async |attempt, outcome| {
        world.vault.mail.settle(mail.id, attempt, outcome).await.expect("an answer");
    };
    assert_eq!(claimed(&world, 1).await[0].attempt, 1);
    settle(1, MailOutcome::Failed(Duration::from_secs(8))).await;
    assert!(claimed(&world, 1).await.is_empty(), "it waits");
    world.advance(Duration::from_secs(8)).await;
    assert_eq!(claimed(&world, 1).await[0].attempt, 2);
    // The first attempt comes back late.
    settle(1, MailOutcome::GivenUp).await;
    settle(1, MailOutcome::Failed(Duration::ZERO)).await;
    assert_eq!((outbox(&world).await.waiting, claimed(&world, 1).await.len()), (1, 0));
    // What the server has, it has.
    settle(1, MailOutcome::Sent).await;
    assert_eq!(outbox(&world).await, Outbox::default());
    world.advance(LEASE).await;
    assert!(claimed(&world, 1).await.is_empty());
    let given_up = new_mail(ada);
    world.vault.mail.add(&given_up).await.expect("written");
    assert_eq!(claimed(&world, 1).await[0].id, given_up.id);
    world.vault.mail.settle(given_up.id, 1, MailOutcome::GivenUp).await.expect("an answer");
    assert_eq!(outbox(&world).await.waiting, 0);
}

pub(crate) async fn expired_mail_is_claimed_with_no_time_left(world: World) {
    let ada = world.user("ada").await;
    world.vault.mail.add(&new_mail(ada)).await.expect("written");
    world.advance(4 * HOUR).await;
    assert_eq!(claimed(&world, 1).await[0].left, Duration::ZERO);
}

pub(crate) async fn mails_and_links_go_with_their_user_and_the_sweep(world: World) {
    let (ada, bob) = (world.user("ada").await, world.user("bob").await);
    let link = new_link(bob);
    assert!(world.vault.mail.add_link(&link, Some(&new_mail(bob))).await.expect("an answer"));
    world.vault.users.change(bob, &UserChange::Deleted).await.expect("deleted");
    assert_eq!(outbox(&world).await.waiting, 0, "a mail to a deleted user");
    let sent = new_mail(ada);
    assert!(world.vault.mail.add_link(&new_link(ada), Some(&sent)).await.expect("an answer"));
    claimed(&world, 1).await;
    world.vault.mail.settle(sent.id, 1, MailOutcome::Sent).await.expect("an answer");
    let kept = new_mail(ada);
    world.vault.mail.add(&kept).await.expect("written");
    world.advance(SENT_MAIL_LIFE + HOUR).await;
    let swept = async || world.vault.audit.sweep(100).await.expect("an answer");
    assert_eq!(swept().await, 2, "the link and the mail that was sent");
    assert_eq!((swept().await, outbox(&world).await.waiting), (0, 1), "what is not sent stays");
}

pub(crate) async fn link_verifies_the_address_it_was_sent_to(world: World) {
    let (ada, bob) = (world.user("ada").await, world.user("bob").await);
    let address = |text: &str| text.parse().expect("an address");
    for (user, email) in [(ada, "ada@example.org"), (bob, "bob@example.org")] {
        let change = AttributesChange { email: Edit::Set(address(email)), ..AttributesChange::default() };
        world.vault.users.change(user, &UserChange::Attributes(change)).await.expect("changed");
    }
    let mail = &world.vault.mail;
    let verification = |user: UserId, email: &str| NewLink {
        purpose: LinkPurpose::Verification,
        email: Some(address(email)),
        ..new_link(user)
    };
    let (right, other) = (verification(ada, "ada@example.org"), verification(bob, "old@example.org"));
    for link in [&right, &other] {
        assert!(mail.add_link(link, None).await.expect("an answer"));
    }
    let found = mail.link(right.digest).await.expect("an answer").expect("the link");
    assert_eq!((found.purpose, found.email), (LinkPurpose::Verification, right.email.clone()));
    let device = world.device(ada).await;
    let set = mail.set_password_by_link(right.digest, &secret("new"), None).await.expect("an answer");
    assert!(set.is_none(), "it sets no password: {set:?}");
    let before = world.find(ada).await;
    let (one, two) = tokio::join!(
        mail.verify_email_by_link(right.digest),
        world.other.mail.verify_email_by_link(right.digest)
    );
    let (one, two) = (one.expect("an answer"), two.expect("an answer"));
    assert_eq!(u8::from(one.is_some()) + u8::from(two.is_some()), 1, "once");
    let changed = one.or(two).expect("one of them");
    assert!(
        matches!(changed.entries[..], [LogEntry::Rights { user_id, .. }] if user_id == ada),
        "{changed:?}"
    );
    let user = world.find(ada).await;
    assert!(
        user.attributes.email_verified() && user.password == before.password && user.epoch == before.epoch
    );
    let row = world.vault.sessions.find(device.id).await.expect("an answer").expect("the row");
    assert!(row.live, "sessions stay");
    assert!(events(&world).await.contains(&"email_verified_by_link".to_owned()));
    let stale = mail.verify_email_by_link(other.digest).await.expect("an answer");
    assert!(
        stale.is_none() && !world.find(bob).await.attributes.email_verified(),
        "another address now: {stale:?}"
    );
    // A link that was mailed proves the address when it sets the password, and is void where the user has another one.
    for (user, email, is_verified) in [(bob, "old@example.org", false), (bob, "bob@example.org", true)] {
        let link = NewLink { email: Some(address(email)), ..new_link(user) };
        assert!(mail.add_link(&link, None).await.expect("an answer"));
        let verified = mail.verify_email_by_link(link.digest).await.expect("an answer");
        assert!(verified.is_none(), "it is no verification: {verified:?}");
        let set = mail.set_password_by_link(link.digest, &secret("new"), None).await.expect("an answer");
        assert_eq!(set.is_some(), is_verified, "{email}");
        assert_eq!(world.find(user).await.attributes.email_verified(), is_verified, "{email}");
    }
}

pub(crate) async fn change_and_its_mail_are_stored_together(world: World) {
    let (ada, device) = world.someone().await;
    let change = |expected: &str| UserChange::Password {
        new: secret("hash of the new one"),
        expected: Some(secret(expected)),
        keep: Some(device.id),
    };
    let refused = world.vault.mail.change_user(ada, &change("hash of another"), &new_mail(ada)).await;
    assert!(matches!(refused, Err(VaultError::Superseded)), "{refused:?}");
    assert_eq!(outbox(&world).await.waiting, 0, "no mail without the change");
    let ended = world.vault.mail.change_user(ada, &change("hash of ada"), &new_mail(ada)).await;
    assert_eq!(ended.expect("changed").alive, 0);
    assert_eq!(outbox(&world).await.waiting, 1);
    assert_eq!(world.find(ada).await.password.expose(), "hash of the new one");
}
