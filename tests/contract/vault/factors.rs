use std::time::Duration;

use doorward::id::{FactorId, SessionId, UserId};
use doorward::identity::{Methods, Proof};
use doorward::vault::{
    EndReason, LogEntry, MAX_PASSKEYS, MAX_TOTP, NewPendingSignIn, NewSession, NewTotp, Passkey, PasskeyUse,
    RemovedFactor, Scope, TryRate, UserChange, VaultError,
};

use super::identities::{account, part, statement};
use super::world::{ABSOLUTE, HOUR, World, is_superseded, new_session, random};

const RATE: TryRate = TryRate { interval: Duration::from_secs(60), burst: 3 };

fn new_totp(user_id: UserId, step: i64) -> NewTotp {
    NewTotp { id: FactorId::from_bytes(random()), user_id, name: "phone".into(), sealed: vec![1, 2], step }
}

async fn new_passkey(world: &World, user_id: UserId, id: &[u8]) -> Passkey {
    Passkey {
        credential_id: id.to_vec(),
        user_id,
        name: "laptop".into(),
        public_key: vec![3, 4],
        algorithm: -7,
        sign_count: 5,
        transports: "internal,hybrid".into(),
        backup_eligible: true,
        backed_up: false,
        created_at: world.vault.factors.of_user(user_id).await.expect("an answer").now,
        used_at: None,
    }
}

async fn open(world: &World, user: UserId) -> SessionId {
    let new = new_session(user, world.find(user).await.epoch);
    world.vault.sessions.open(&new).await.expect("a session").session_id
}

fn pending(user_id: UserId) -> NewPendingSignIn {
    NewPendingSignIn { digest: random(), user_id, sealed: vec![7, 8, 9], life: HOUR }
}

pub(crate) async fn enrolled_app_is_listed_until_it_is_removed(world: World) {
    let (ada, bob) = (world.user("ada").await, world.user("bob").await);
    let factors = &world.vault.factors;
    let new = new_totp(ada, 41);
    factors.add_totp(&new).await.expect("enrolled");
    let of_ada = world.other.factors.of_user(ada).await.expect("an answer");
    let app = &of_ada.totp[0];
    assert_eq!(
        (app.id, app.name.as_str(), app.sealed.as_slice(), app.last_step),
        (new.id, "phone", &[1, 2][..], 41)
    );
    assert!(of_ada.is_enrolled() && !factors.of_user(bob).await.expect("an answer").is_enrolled());
    let again = factors.add_totp(&new).await;
    assert!(matches!(again, Err(VaultError::AccountTaken)), "the form sent twice: {again:?}");
    let removed = RemovedFactor::Totp(new.id);
    let unknown = factors.remove(bob, &removed, None, false).await;
    assert!(matches!(unknown, Err(VaultError::UserUnknown)), "another user's: {unknown:?}");
    factors.remove(ada, &removed, None, false).await.expect("removed");
    assert!(!world.other.factors.of_user(ada).await.expect("an answer").is_enrolled());
    let again = factors.remove(ada, &removed, None, false).await;
    assert!(matches!(again, Err(VaultError::UserUnknown)), "{again:?}");
}

pub(crate) async fn step_of_an_app_is_accepted_once_and_in_order(world: World) {
    let (ada, bob) = (world.user("ada").await, world.user("bob").await);
    let new = new_totp(ada, 41);
    world.vault.factors.add_totp(&new).await.expect("enrolled");
    let use_step =
        async |user, step| world.vault.factors.use_totp(user, new.id, step).await.expect("an answer");
    assert!(!use_step(ada, 41).await, "the code of the enrolment");
    assert!(!use_step(bob, 42).await, "another user");
    assert!(use_step(ada, 42).await && !use_step(ada, 42).await && !use_step(ada, 40).await);
    // The same code at two gateways at once.
    let (one, other) = tokio::join!(
        world.vault.factors.use_totp(ada, new.id, 43),
        world.other.factors.use_totp(ada, new.id, 43)
    );
    assert!(one.expect("an answer") != other.expect("an answer"));
    let app = &world.other.factors.of_user(ada).await.expect("an answer").totp[0];
    assert!(app.last_step == 43 && app.used_at.is_some());
}

pub(crate) async fn factors_of_a_user_are_bounded(world: World) {
    let ada = world.user("ada").await;
    for step in 0..MAX_TOTP {
        world.vault.factors.add_totp(&new_totp(ada, step as i64)).await.expect("enrolled");
    }
    let more = world.vault.factors.add_totp(&new_totp(ada, 9)).await;
    assert!(matches!(more, Err(VaultError::TooMany)), "{more:?}");
    for at in 0..MAX_PASSKEYS {
        let key = new_passkey(&world, ada, &[at as u8]).await;
        world.vault.factors.add_passkey(&key).await.expect("enrolled");
    }
    let more = world.vault.factors.add_passkey(&new_passkey(&world, ada, b"more").await).await;
    assert!(matches!(more, Err(VaultError::TooMany)), "{more:?}");
    let nobody = world.vault.factors.add_totp(&new_totp(UserId::from_bytes(random()), 1)).await;
    assert!(matches!(nobody, Err(VaultError::UserUnknown)), "{nobody:?}");
}

pub(crate) async fn passkey_belongs_to_one_user_and_keeps_its_counter(world: World) {
    let (ada, bob) = (world.user("ada").await, world.user("bob").await);
    let factors = &world.vault.factors;
    let key = new_passkey(&world, ada, b"credential").await;
    factors.add_passkey(&key).await.expect("enrolled");
    for user in [ada, bob] {
        let taken = factors.add_passkey(&new_passkey(&world, user, b"credential").await).await;
        assert!(matches!(taken, Err(VaultError::AccountTaken)), "{taken:?}");
    }
    let found = world.other.factors.passkey(b"credential").await.expect("an answer").expect("the key");
    assert_eq!(found, Passkey { created_at: found.created_at, ..key });
    assert!(factors.passkey(b"other").await.expect("an answer").is_none());
    let used = |credential: &[u8], challenge, sign_count| PasskeyUse {
        credential_id: credential.to_vec(),
        sign_count,
        backed_up: true,
        challenge: [challenge; 32],
        life: Duration::from_mins(1),
    };
    assert!(factors.use_passkey(&used(b"credential", 1, 9)).await.expect("an answer"));
    assert!(!factors.use_passkey(&used(b"other", 2, 9)).await.expect("an answer"));
    assert!(!factors.use_passkey(&used(b"credential", 1, 10)).await.expect("an answer"), "answered before");
    let same = used(b"credential", 3, 7);
    let (one, two) =
        tokio::join!(world.vault.factors.use_passkey(&same), world.other.factors.use_passkey(&same));
    assert!(one.expect("an answer") != two.expect("an answer"), "two gateways at once");
    let used = factors.passkey(b"credential").await.expect("an answer").expect("the key");
    assert!(used.sign_count == 9 && used.backed_up && used.used_at.is_some(), "{used:?}");
    let removed = RemovedFactor::Passkey(b"credential".to_vec());
    factors.remove(ada, &removed, None, false).await.expect("removed");
    assert!(factors.passkey(b"credential").await.expect("an answer").is_none());
}

pub(crate) async fn recovery_code_works_once_and_a_new_set_voids_the_old(world: World) {
    let (ada, bob) = (world.user("ada").await, world.user("bob").await);
    let factors = &world.vault.factors;
    factors.add_totp(&new_totp(ada, 1)).await.expect("enrolled");
    factors.set_recovery_codes(ada, &[[1; 32], [2; 32], [3; 32]]).await.expect("stored");
    assert_eq!(factors.of_user(ada).await.expect("an answer").recovery_codes, 3);
    let use_code = async |user, code| factors.use_recovery_code(user, [code; 32]).await.expect("an answer");
    assert!(!use_code(bob, 1).await, "another user's");
    assert!(use_code(ada, 1).await && !use_code(ada, 1).await && !use_code(ada, 9).await);
    let (one, other) = tokio::join!(
        world.vault.factors.use_recovery_code(ada, [2; 32]),
        world.other.factors.use_recovery_code(ada, [2; 32])
    );
    assert!(one.expect("an answer") != other.expect("an answer"), "two gateways at once");
    factors.set_recovery_codes(ada, &[[4; 32]]).await.expect("stored");
    assert!(!use_code(ada, 3).await && use_code(ada, 4).await);
    factors.set_recovery_codes(ada, &[[5; 32]]).await.expect("stored");
    factors.remove(ada, &RemovedFactor::All, None, false).await.expect("removed");
    assert!(!use_code(ada, 5).await, "they go with the last factor");
}

pub(crate) async fn last_factor_stays_where_one_is_needed(world: World) {
    let ada = world.user("ada").await;
    let (one, two) = (new_totp(ada, 1), new_totp(ada, 1));
    for new in [&one, &two] {
        world.vault.factors.add_totp(new).await.expect("enrolled");
    }
    let (one, two) = (RemovedFactor::Totp(one.id), RemovedFactor::Totp(two.id));
    // Both requests saw two factors.
    let (first, second) = tokio::join!(
        world.vault.factors.remove(ada, &one, None, true),
        world.other.factors.remove(ada, &two, None, true)
    );
    let refused = match (first, second) {
        (Ok(_), refused) | (refused, Ok(_)) => refused,
        both => panic!("{both:?}"),
    };
    assert!(matches!(refused, Err(VaultError::LastWay)), "{refused:?}");
    assert!(world.vault.factors.of_user(ada).await.expect("an answer").is_enrolled());
    for factor in [one, two] {
        drop(world.vault.factors.remove(ada, &factor, None, false).await);
    }
    assert!(!world.vault.factors.of_user(ada).await.expect("an answer").is_enrolled());
}

pub(crate) async fn removal_of_a_factor_ends_the_other_sessions(world: World) {
    let ada = world.user("ada").await;
    let new = new_totp(ada, 1);
    world.vault.factors.add_totp(&new).await.expect("enrolled");
    let (keep, other) = (open(&world, ada).await, open(&world, ada).await);
    let ended = world.vault.factors.remove(ada, &RemovedFactor::Totp(new.id), Some(keep), false).await;
    let ended = ended.expect("removed");
    assert_eq!((ended.sessions, ended.alive), (vec![other], 1));
    assert!(matches!(&ended.entries[..], [LogEntry::Session { id, .. }] if *id == other));
    assert!(world.is_live(keep).await && !world.is_live(other).await);
}

pub(crate) async fn tries_of_codes_are_limited_and_come_back(world: World) {
    let ada = world.user("ada").await;
    let charge = async || world.vault.factors.charge_try(ada, RATE).await.expect("an answer");
    for _ in 0..RATE.burst {
        assert_eq!(charge().await, None);
    }
    let wait = charge().await.expect("used up");
    assert!(wait <= RATE.interval && wait > RATE.interval / 2, "{wait:?}");
    world.advance(RATE.interval).await;
    assert_eq!(charge().await, None);
    assert!(charge().await.is_some());
    world.vault.factors.forget_tries(ada).await.expect("forgotten");
    for _ in 0..RATE.burst {
        assert_eq!(charge().await, None);
    }
    assert!(charge().await.is_some());
}

pub(crate) async fn concurrent_tries_are_counted_one_by_one(world: World) {
    let ada = world.user("ada").await;
    let mut tries = tokio::task::JoinSet::new();
    for at in 0..20 {
        let vault = if at % 2 == 0 { world.vault.clone() } else { world.other.clone() };
        tries.spawn(async move { vault.factors.charge_try(ada, RATE).await.expect("an answer").is_none() });
    }
    let admitted = tries.join_all().await.into_iter().filter(|admitted| *admitted).count();
    assert_eq!(admitted, RATE.burst as usize);
}

pub(crate) async fn needed_factor_has_one_grace_period(world: World) {
    let ada = world.user("ada").await;
    let left = async |grace| world.other.factors.require(ada, grace).await.expect("a time");
    assert_eq!(left(HOUR * 2).await, HOUR * 2);
    world.advance(HOUR).await;
    let half = left(HOUR * 2).await;
    assert!(half <= HOUR && half > HOUR / 2, "{half:?}");
    assert_eq!(left(HOUR / 2).await, HOUR / 2, "a shorter grace counts");
    world.advance(HOUR).await;
    assert!(left(HOUR * 2).await.is_zero());
    let factors = world.vault.factors.of_user(ada).await.expect("an answer");
    assert!(factors.due_at.is_some_and(|due_at| due_at <= factors.now));
    let nobody = world.vault.factors.require(UserId::from_bytes(random()), HOUR).await;
    assert!(matches!(nobody, Err(VaultError::UserUnknown)), "{nobody:?}");
}

pub(crate) async fn pending_sign_in_ends_once_or_runs_out(world: World) {
    let ada = world.user("ada").await;
    let (one, late) = (pending(ada), pending(ada));
    for new in [&one, &late] {
        world.vault.factors.begin(new).await.expect("stored");
    }
    let found = world.other.factors.pending(one.digest).await.expect("an answer");
    assert_eq!(found, Some((ada, vec![7, 8, 9])));
    assert_eq!(world.vault.factors.pending(random()).await.expect("an answer"), None);
    let (first, second) =
        tokio::join!(world.vault.factors.finish(one.digest), world.other.factors.finish(one.digest));
    assert!(first.expect("an answer") != second.expect("an answer"), "two gateways at once");
    assert_eq!(world.vault.factors.pending(one.digest).await.expect("an answer"), None);
    world.advance(HOUR + Duration::from_secs(1)).await;
    assert_eq!(world.vault.factors.pending(late.digest).await.expect("an answer"), None);
    assert!(!world.vault.factors.finish(late.digest).await.expect("an answer"));
    // What nobody ends is swept.
    world.vault.factors.begin(&late).await.expect("stored");
    world.advance(HOUR * 2).await;
    assert!(world.vault.audit.sweep(100).await.expect("swept") >= 1);
    world.vault.factors.begin(&late).await.expect("stored anew");
}

pub(crate) async fn factors_go_with_their_user(world: World) {
    let ada = world.user("ada").await;
    let factors = &world.vault.factors;
    factors.add_totp(&new_totp(ada, 1)).await.expect("enrolled");
    factors.add_passkey(&new_passkey(&world, ada, b"credential").await).await.expect("enrolled");
    factors.set_recovery_codes(ada, &[[1; 32]]).await.expect("stored");
    let waiting = pending(ada);
    factors.begin(&waiting).await.expect("stored");
    world.vault.users.change(ada, &UserChange::Deleted).await.expect("deleted");
    let left = factors.of_user(ada).await.expect("an answer");
    assert!(!left.is_enrolled() && left.recovery_codes == 0);
    assert!(factors.passkey(b"credential").await.expect("an answer").is_none());
    assert_eq!(factors.pending(waiting.digest).await.expect("an answer"), None);
}

pub(crate) async fn session_has_the_proof_of_its_login(world: World) {
    let ada = world.user("ada").await;
    let methods = Methods::PASSWORD.with(Methods::CODE).with(Methods::MULTI_FACTOR);
    let new = NewSession { methods, proven_ago: HOUR, ..new_session(ada, world.find(ada).await.epoch) };
    let grant = world.vault.sessions.open(&new).await.expect("a session");
    let proof = Proof { methods, at: grant.now - HOUR };
    assert_eq!(grant.proof, proof);
    let found = world.other.sessions.find(new.id).await.expect("an answer").expect("the session");
    assert_eq!(found.grant.proof, proof);
}

pub(crate) async fn replaced_session_ends_and_hands_its_life_over(world: World) {
    let (ada, bob) = (world.user("ada").await, world.user("bob").await);
    let epoch = world.find(ada).await.epoch;
    let old = open(&world, ada).await;
    let before = world.vault.sessions.find(old).await.expect("an answer").expect("the session").grant;
    world.advance(HOUR).await;
    let methods = Methods::PASSWORD.with(Methods::CODE);
    let new = NewSession { methods, client_id: "other".into(), ..new_session(ada, epoch) };
    let (grant, ended) = world.vault.sessions.replace(old, &new).await.expect("replaced");
    assert_eq!((grant.session_id, grant.client_id.as_str()), (new.id, before.client_id.as_str()));
    assert_eq!(grant.proof, Proof { methods, at: grant.now });
    let drift = grant.expires_at.since(before.expires_at).max(before.expires_at.since(grant.expires_at));
    assert!(drift < Duration::from_secs(1), "the absolute end stays: {drift:?} of {ABSOLUTE:?}");
    assert_eq!((ended.sessions, ended.alive), (vec![old], 1));
    assert!(!world.is_live(old).await && world.is_live(new.id).await);
    // Neither an ended session nor another user's is replaced.
    for (session, user) in [(old, ada), (new.id, bob), (SessionId::from_bytes(random()), ada)] {
        let refused = world.vault.sessions.replace(session, &new_session(user, epoch)).await;
        assert!(is_superseded(&refused.map(drop)));
    }
    assert!(world.is_live(new.id).await);
}

pub(crate) async fn replaced_session_keeps_the_part_of_its_provider(world: World) {
    let account = account("ada");
    let ada = world.created(&account, "ada", &statement(&[])).await;
    let old = world.open_by(ada, &part(&account, Some("sid"))).await.expect("a session");
    let new = new_session(ada, world.find(ada).await.epoch);
    world.vault.sessions.replace(old, &new).await.expect("replaced");
    let hint = world.vault.identities.hint(new.id).await.expect("an answer").expect("the part");
    assert_eq!(hint.account, account);
    assert!(world.vault.identities.hint(old).await.expect("an answer").is_none());
    let all = world.vault.sessions.revoke(Scope::User(ada), EndReason::Admin).await.expect("ended");
    assert_eq!(all.alive, 1);
}
