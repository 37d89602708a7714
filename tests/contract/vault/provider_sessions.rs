use std::time::Duration;

use doorward::vault::{
    EndReason, Ended, LOGOUT_LIFE, NewProviderSession, ProviderAccount, ProviderLogout, Recheck, Rechecked,
    Scope,
};

use super::identities::{account, part, statement};
use super::world::{HOUR, World, is_superseded, new_session};
use doorward::clock::Timestamp;
use doorward::id::SessionId;

const HOLD: Duration = Duration::from_secs(120);
const MINUTE: Duration = Duration::from_secs(60);

fn logout(sid: Option<&str>, subject: Option<&str>, jti: &str) -> ProviderLogout {
    let ProviderAccount { provider, issuer, .. } = account("");
    let (sid, subject) = (sid.map(str::to_owned), subject.map(str::to_owned));
    ProviderLogout { provider, issuer, sid, subject, jti: jti.into(), token_life: 2 * MINUTE }
}

impl World {
    pub(super) async fn claim(&self, session: SessionId) -> Option<Recheck> {
        self.vault.identities.claim(session, HOLD).await.expect("an answer")
    }

    async fn log_out(&self, logout: &ProviderLogout) -> Option<Ended> {
        self.vault.identities.log_out(logout).await.expect("an answer")
    }
}

pub(crate) async fn session_keeps_what_the_sign_out_needs(world: World) {
    let ada = account("4711");
    let id = world.created(&ada, "ada", &statement(&[])).await;
    let session = world.open_by(id, &part(&ada, Some("s1"))).await.expect("a session");
    let hint = world.other.identities.hint(session).await.expect("an answer").expect("a hint");
    assert_eq!((hint.account, hint.id_token), (ada, Some(vec![4, 5])));
    let by_password = world.device(id).await.id;
    assert!(world.vault.identities.hint(by_password).await.expect("an answer").is_none());
    assert!(world.claim(by_password).await.is_none());
}

pub(crate) async fn recheck_is_taken_once_when_it_is_due(world: World) {
    let ada = account("4711");
    let id = world.created(&ada, "ada", &statement(&[])).await;
    let session = world.open_by(id, &part(&ada, None)).await.expect("a session");
    let never = NewProviderSession { recheck: None, ..part(&ada, None) };
    let never = world.open_by(id, &never).await.expect("a session");
    assert!(world.claim(session).await.is_none(), "not due yet");
    world.advance(HOUR).await;
    assert!(world.claim(never).await.is_none());
    let asking: Vec<_> = (0..20)
        .map(|at| {
            let vault = if at % 2 == 0 { world.vault.clone() } else { world.other.clone() };
            tokio::spawn(async move { vault.identities.claim(session, HOLD).await.expect("an answer") })
        })
        .collect();
    let mut taken = Vec::new();
    for asked in asking {
        taken.extend(asked.await.expect("ended"));
    }
    let [recheck] = &taken[..] else { panic!("{} have it", taken.len()) };
    assert_eq!((recheck.user_id, &recheck.account), (id, &ada));
    assert_eq!(recheck.refresh.as_deref(), Some(&[1, 2, 3][..]));
    assert!(
        recheck.unconfirmed >= HOUR && recheck.unconfirmed < HOUR + 30 * MINUTE,
        "{:?}",
        recheck.unconfirmed
    );
    // A gateway that stopped with it gives it back in time.
    world.advance(HOLD - MINUTE).await;
    assert!(world.claim(session).await.is_none());
    world.advance(MINUTE).await;
    assert!(world.claim(session).await.is_some());
}

pub(crate) async fn outcome_of_a_recheck_is_stored(world: World) {
    let ada = account("4711");
    let id = world.created(&ada, "ada", &statement(&[])).await;
    let has_rechecks = async || world.other.identities.has_rechecks().await.expect("an answer");
    let never = NewProviderSession { recheck: None, ..part(&ada, None) };
    world.open_by(id, &never).await.expect("a session");
    assert!(!has_rechecks().await);
    let session = world.open_by(id, &part(&ada, None)).await.expect("a session");
    assert!(has_rechecks().await);
    let settle = async |outcome: Rechecked| {
        world.other.identities.settle(session, &outcome).await.expect("stored");
    };
    world.advance(HOUR).await;
    world.claim(session).await.expect("due");
    settle(Rechecked::Undecided { refresh: None, retry: MINUTE }).await;
    assert!(world.claim(session).await.is_none(), "later");
    world.advance(MINUTE).await;
    let recheck = world.claim(session).await.expect("due");
    assert_eq!(recheck.refresh.as_deref(), Some(&[1, 2, 3][..]), "the old token stays");
    assert!(recheck.unconfirmed >= HOUR + MINUTE, "{:?}", recheck.unconfirmed);
    settle(Rechecked::Undecided { refresh: Some(vec![7]), retry: MINUTE }).await;
    world.advance(MINUTE).await;
    assert_eq!(world.claim(session).await.expect("due").refresh.as_deref(), Some(&[7][..]));
    settle(Rechecked::Confirmed { refresh: Some(vec![8]), next: Some(HOUR) }).await;
    world.advance(30 * MINUTE).await;
    assert!(world.claim(session).await.is_none());
    world.advance(30 * MINUTE).await;
    let recheck = world.claim(session).await.expect("due");
    assert_eq!(recheck.refresh.as_deref(), Some(&[8][..]));
    assert!(recheck.unconfirmed < HOUR + 30 * MINUTE, "confirmed since: {:?}", recheck.unconfirmed);
    settle(Rechecked::Confirmed { refresh: None, next: None }).await;
    world.advance(10 * HOUR).await;
    assert!(world.claim(session).await.is_none(), "never again");
    assert!(!has_rechecks().await);
}

pub(crate) async fn logout_ends_the_sessions_that_it_names(world: World) {
    let (ada, bob) = (account("4711"), account("5"));
    let id = world.created(&ada, "ada", &statement(&[])).await;
    let other = world.created(&bob, "bob", &statement(&[])).await;
    let open = async |user, account: &ProviderAccount, sid: &str| {
        world.open_by(user, &part(account, Some(sid))).await.expect("a session")
    };
    let (one, two, of_bob) =
        (open(id, &ada, "s1").await, open(id, &ada, "s2").await, open(other, &bob, "s3").await);
    let foreign = ProviderLogout { issuer: "https://other.example".into(), ..logout(Some("s1"), None, "j0") };
    assert_eq!(world.log_out(&foreign).await.expect("new").alive, 0);
    assert_eq!(world.log_out(&logout(Some("s1"), Some("5"), "j1")).await.expect("new").alive, 0, "not bob's");
    let ended = world.log_out(&logout(Some("s1"), Some("4711"), "j2")).await.expect("new");
    assert_eq!((&ended.sessions[..], ended.alive, ended.entries.len()), (&[one][..], 1, 1));
    assert!(!world.is_live(one).await && world.is_live(two).await && world.is_live(of_bob).await);
    let three = open(id, &ada, "s4").await;
    let ended = world.log_out(&logout(None, Some("4711"), "j3")).await.expect("new");
    assert_eq!(ended.alive, 2, "{ended:?}");
    assert!(!world.is_live(two).await && !world.is_live(three).await && world.is_live(of_bob).await);
}

pub(crate) async fn logout_token_is_accepted_once(world: World) {
    let ada = account("4711");
    let id = world.created(&ada, "ada", &statement(&[])).await;
    let token = logout(None, Some("4711"), "j1");
    assert!(world.log_out(&token).await.is_some());
    let again = world.open_by(id, &part(&ada, Some("s1"))).await.expect("a session");
    for vault in [&world.vault, &world.other] {
        assert!(vault.identities.log_out(&token).await.expect("an answer").is_none());
    }
    assert!(world.is_live(again).await);
    // Another provider may use the same number.
    let other = ProviderLogout { provider: "other".into(), ..token.clone() };
    assert!(world.log_out(&other).await.is_some());
    for round in 0..10 {
        let token = logout(None, Some("5"), &format!("r{round}"));
        let (one, two) =
            tokio::join!(world.vault.identities.log_out(&token), world.other.identities.log_out(&token));
        assert!(one.expect("an answer").is_some() != two.expect("an answer").is_some());
    }
    // The token is too old then, and is refused before.
    world.advance(3 * MINUTE).await;
    assert!(world.log_out(&token).await.is_some());
}

pub(crate) async fn sign_in_is_not_completed_after_its_logout(world: World) {
    let ada = account("4711");
    let id = world.created(&ada, "ada", &statement(&[])).await;
    assert_eq!(world.log_out(&logout(Some("s1"), None, "j1")).await.expect("new").alive, 0);
    assert!(is_superseded(&world.open_by(id, &part(&ada, Some("s1"))).await));
    world.open_by(id, &part(&ada, Some("s2"))).await.expect("another session at the provider");
    world.advance(LOGOUT_LIFE + MINUTE).await;
    world.open_by(id, &part(&ada, Some("s1"))).await.expect("forgotten");
}

pub(crate) async fn sign_in_that_began_before_a_logout_of_its_account_is_not_completed(world: World) {
    let ada = account("4711");
    let id = world.created(&ada, "ada", &statement(&[])).await;
    let ended = world.log_out(&logout(None, Some("4711"), "j1")).await.expect("new");
    let began = |ago: i64, sid: Option<&str>| NewProviderSession {
        began_at: Timestamp::from_millis(ended.now.millis() - ago),
        ..part(&ada, sid)
    };
    for sid in [None, Some("s1")] {
        // The vault may take a while between remembering the logout and its answer.
        for ago in [5_000, 595_000] {
            assert!(is_superseded(&world.open_by(id, &began(ago, sid)).await), "{sid:?}, {ago} ms before");
        }
        // The provider was asked after the logout, and vouches for ada.
        world.open_by(id, &began(-1, sid)).await.expect("a sign-in of now");
    }
    let others = [account("5"), ProviderAccount { provider: "other".into(), ..ada.clone() }];
    for (at, other) in others.iter().enumerate() {
        let id = world.created(other, &format!("other{at}"), &statement(&[])).await;
        let part = NewProviderSession { account: other.clone(), ..began(5_000, None) };
        world.open_by(id, &part).await.expect("another account");
    }
    // The browser that left just before the logout comes back as late as it may.
    world.advance(10 * MINUTE + MINUTE / 2).await;
    assert!(is_superseded(&world.open_by(id, &began(5_000, None)).await));
}

pub(crate) async fn logout_of_a_session_ends_those_without_a_known_one(world: World) {
    let (ada, bob) = (account("4711"), account("5"));
    let id = world.created(&ada, "ada", &statement(&[])).await;
    let other = world.created(&bob, "bob", &statement(&[])).await;
    // A provider that writes `sid` into logout tokens, but not into ID tokens.
    let unnamed = world.open_by(id, &part(&ada, None)).await.expect("a session");
    let named = world.open_by(id, &part(&ada, Some("s2"))).await.expect("a session");
    let of_bob = world.open_by(other, &part(&bob, None)).await.expect("a session");
    assert_eq!(world.log_out(&logout(Some("s1"), None, "j1")).await.expect("new").alive, 0, "nobody's");
    let ended = world.log_out(&logout(Some("s1"), Some("4711"), "j2")).await.expect("new");
    assert_eq!((&ended.sessions[..], ended.alive), (&[unnamed][..], 1));
    assert!(world.is_live(named).await && world.is_live(of_bob).await);
    let began = |sid: Option<&str>| NewProviderSession {
        began_at: Timestamp::from_millis(ended.now.millis() - 5_000),
        ..part(&ada, sid)
    };
    assert!(is_superseded(&world.open_by(id, &began(None)).await));
    world.open_by(id, &began(Some("s3"))).await.expect("another session at the provider");
}

pub(crate) async fn logout_racing_a_sign_in_leaves_no_session(world: World) {
    let ada = account("4711");
    let id = world.created(&ada, "ada", &statement(&[])).await;
    let epoch = world.find(id).await.epoch;
    for round in 0..50 {
        let (new, name) = (new_session(id, epoch), format!("r{round}"));
        let (part, logout) = if round % 2 == 0 {
            (part(&ada, Some(&name)), logout(Some(&name), None, &name))
        } else {
            let part = NewProviderSession { began_at: Timestamp::EPOCH, ..part(&account(&name), None) };
            (part, logout(None, Some(&name), &name))
        };
        let (opened, ended) =
            tokio::join!(world.vault.identities.open(&new, &part), world.other.identities.log_out(&logout));
        ended.expect("an answer").expect("new");
        match opened {
            Ok(grant) => assert!(!world.is_live(grant.session_id).await, "round {round}"),
            refused => assert!(is_superseded(&refused), "{refused:?}"),
        }
    }
}

pub(crate) async fn refresh_token_is_taken_once_from_the_last_session(world: World) {
    let (ada, bob) = (account("4711"), account("5"));
    let id = world.created(&ada, "ada", &statement(&[])).await;
    let other = world.created(&bob, "bob", &statement(&[])).await;
    let mut sessions = Vec::new();
    for (user, account) in [(id, &ada), (id, &ada), (id, &ada), (other, &bob)] {
        sessions.push(world.open_by(user, &part(account, None)).await.expect("a session"));
    }
    let [one, two, expired, of_bob] = sessions[..] else { panic!("four") };
    let without = NewProviderSession { refresh: None, recheck: None, ..part(&ada, None) };
    world.open_by(id, &without).await.expect("a session");
    let end = async |session| {
        let scope = Scope::Session(session, None);
        world.vault.sessions.revoke(scope, EndReason::Logout).await.expect("ended");
    };
    let take = async |sessions: &[SessionId], limit| {
        let taken = world.other.identities.take_refresh(sessions, limit).await.expect("an answer");
        taken.into_iter().map(|token| (token.account, token.refresh)).collect::<Vec<_>>()
    };
    assert!(take(&[one, two, of_bob], 9).await.is_empty(), "they live");
    world.advance(HOUR).await;
    assert!(world.claim(one).await.is_some(), "and keep their tokens");
    end(one).await;
    end(expired).await;
    assert!(take(&[one], 9).await.is_empty(), "the other session needs the grant");
    end(two).await;
    end(of_bob).await;
    let mut taken = take(&[one, two, expired, of_bob], 9).await;
    taken.sort_by(|one, two| one.0.subject.cmp(&two.0.subject));
    let token = vec![1, 2, 3];
    assert_eq!(taken, [(ada.clone(), token.clone()), (ada, token.clone()), (bob.clone(), token.clone())]);
    assert!(take(&[one, two, expired, of_bob], 9).await.is_empty(), "once");
    assert!(world.claim(two).await.is_none(), "nothing is rechecked without a token");
    let mut many = Vec::new();
    for _ in 0..4 {
        many.push(world.open_by(other, &part(&bob, None)).await.expect("a session"));
        end(many[many.len() - 1]).await;
    }
    assert_eq!(take(&many, 3).await.len(), 3, "no more than asked for");
    assert!(take(&[], 3).await.is_empty());
}

pub(crate) async fn sweep_forgets_old_logouts(world: World) {
    let ada = account("4711");
    world.created(&ada, "ada", &statement(&[])).await;
    let token = logout(Some("s1"), Some("4711"), "j1");
    world.log_out(&token).await.expect("new");
    world.vault.audit.sweep(100).await.expect("swept");
    assert!(world.log_out(&token).await.is_none(), "still remembered");
    world.advance(30 * 24 * HOUR).await;
    let swept = world.vault.audit.sweep(100).await.expect("swept");
    assert!(swept >= 2, "the number of the token and the session: {swept}");
}
