use std::time::Duration;

use doorward::id::SessionId;
use doorward::identity::Epoch;
use doorward::vault::{
    EndReason, Ended, LogEntry, NewSession, REVOCATION_LIFE, RotationRefused, Scope, SessionPage,
};

use super::world::{World, granted, new_session, random, refused};

async fn revoke(world: &World, scope: Scope) -> Ended {
    world.vault.sessions.revoke(scope, EndReason::User).await.expect("revoked")
}

pub(crate) async fn revoked_session_is_logged_and_refused(world: World) {
    let (_, device) = world.someone().await;
    let ended = revoke(&world, Scope::Session(device.id, None)).await;
    assert_eq!(ended.sessions, [device.id]);
    assert_eq!(ended.entries, [LogEntry::Session { id: device.id, until: ended.now + REVOCATION_LIFE }]);
    assert_eq!(world.vault.log.read(None).await.expect("a page").entries, ended.entries);
    assert_eq!(refused(world.rotate(&device, 0).await), RotationRefused::Ended);
}

pub(crate) async fn only_the_owner_ends_a_session_by_owner(world: World) {
    let (ada, device) = world.someone().await;
    let bob = world.user("bob").await;
    let refused = revoke(&world, Scope::Session(device.id, Some(bob))).await;
    assert!(refused.sessions.is_empty() && refused.entries.is_empty());
    assert!(world.vault.log.read(None).await.expect("a page").entries.is_empty());
    assert_eq!(granted(world.rotate(&device, 0).await).0, 1);
    assert_eq!(revoke(&world, Scope::Session(device.id, Some(ada))).await.sessions, [device.id]);
}

pub(crate) async fn revoking_an_unknown_session_ends_nothing(world: World) {
    let ended = revoke(&world, Scope::Session(SessionId::from_bytes(random()), None)).await;
    assert!(ended.sessions.is_empty() && ended.entries.is_empty());
}

pub(crate) async fn logout_everywhere_writes_one_row_per_session(world: World) {
    let (ada, bob) = (world.user("ada").await, world.user("bob").await);
    let (first, second, of_bob) = (world.device(ada).await, world.device(ada).await, world.device(bob).await);
    let ended = revoke(&world, Scope::User(ada)).await;
    let mut sessions = ended.sessions.clone();
    sessions.sort();
    let mut expected = [first.id, second.id];
    expected.sort();
    assert_eq!(sessions, expected);
    assert_eq!(ended.entries.len(), 2);
    assert_eq!(granted(world.rotate(&of_bob, 0).await).0, 1);
}

pub(crate) async fn revoking_everyone_ends_all_sessions(world: World) {
    let (ada, bob) = (world.user("ada").await, world.user("bob").await);
    let devices = [world.device(ada).await, world.device(bob).await];
    let ended = revoke(&world, Scope::Everyone).await;
    assert_eq!((ended.sessions.len(), ended.entries.len()), (2, 2));
    for device in &devices {
        assert_eq!(refused(world.rotate(device, 0).await), RotationRefused::Ended);
    }
}

pub(crate) async fn repeated_revocation_reports_again_without_new_log_rows(world: World) {
    let (ada, device) = world.someone().await;
    let first = revoke(&world, Scope::Session(device.id, None)).await;
    world.advance(Duration::from_secs(60)).await;
    for scope in [Scope::Session(device.id, Some(ada)), Scope::User(ada), Scope::Everyone] {
        let again = revoke(&world, scope).await;
        assert_eq!(again.sessions, [device.id]);
        let [LogEntry::Session { until, .. }] = again.entries[..] else { panic!("one row") };
        assert!(until >= first.now + REVOCATION_LIFE + Duration::from_secs(60));
    }
    let rows = world.vault.log.read(None).await.expect("a page").entries;
    assert_eq!(rows, first.entries, "the first row stands, and there is no other");
}

pub(crate) async fn session_ended_before_token_lifetime_is_left_alone(world: World) {
    let (ada, device) = world.someone().await;
    revoke(&world, Scope::Session(device.id, None)).await;
    // Revoking again does not restart its lifetime.
    world.advance(REVOCATION_LIFE / 2).await;
    revoke(&world, Scope::Session(device.id, None)).await;
    world.advance(REVOCATION_LIFE / 2 + Duration::from_secs(1)).await;
    assert!(revoke(&world, Scope::User(ada)).await.sessions.is_empty());
}

pub(crate) async fn all_other_sessions_of_a_user_end_at_once(world: World) {
    let (user, kept) = world.someone().await;
    let bob = world.user("bob").await;
    let stranger = world.device(bob).await;
    // More than one page of a listing.
    const OTHERS: usize = 1100;
    for _ in 0..OTHERS {
        world.device(user).await;
    }
    let ended =
        world.vault.sessions.revoke(Scope::Others(user, kept.id), EndReason::User).await.expect("revoked");
    assert_eq!((ended.alive, ended.sessions.len(), ended.entries.len()), (OTHERS, OTHERS, OTHERS));
    let left = world.vault.sessions.list(Some(user), SessionPage::first(1000)).await.expect("a list");
    assert_eq!(left.iter().map(|row| row.grant.session_id).collect::<Vec<_>>(), [kept.id]);
    let strangers = world.vault.sessions.find(stranger.id).await.expect("an answer").expect("the session");
    assert!(strangers.live);
}

pub(crate) async fn only_sessions_of_the_given_client_end(world: World) {
    let (user, web) = world.someone().await;
    let of = |client: &str| NewSession { client_id: client.to_owned(), ..new_session(user, Epoch(0)) };
    let (tool, other) = (of("tool"), of("other"));
    for session in [&tool, &other, &of("tool")] {
        let grant = world.vault.sessions.open(session).await.expect("a session");
        assert_eq!(grant.client_id, session.client_id);
    }
    let bob = world.user("bob").await;
    let strangers = NewSession { user_id: bob, ..of("tool") };
    world.vault.sessions.open(&strangers).await.expect("a session");
    assert_eq!(revoke(&world, Scope::OfClient(user, "tool")).await.alive, 2);
    for (id, lives) in [(web.id, true), (tool.id, false), (other.id, true), (strangers.id, true)] {
        let row = world.vault.sessions.find(id).await.expect("an answer").expect("the session");
        assert_eq!(row.live, lives, "{}", row.grant.client_id);
    }
}
