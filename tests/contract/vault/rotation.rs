use std::time::Duration;

use doorward::vault::{
    AuditQuery, EndReason, LogEntry, Presented, REVOCATION_LIFE, Rotation, RotationRefused, Scope,
    SessionUse, UserChange,
};

use super::world::{
    ABSOLUTE, Device, GRACE, HOUR, IDLE, World, granted, presented, random, refused, roles, rotate,
};

pub(crate) async fn current_token_rotates_and_renews_the_session(world: World) {
    let (_, device) = world.someone().await;
    world.advance(HOUR).await;
    let Rotation::Granted { grant, generation, age, .. } = world.rotate(&device, 0).await else {
        panic!("a current token is good")
    };
    assert_eq!(generation, 1);
    // The age of the previous generation.
    assert!(age.is_some_and(|age| age >= HOUR && age < HOUR + Duration::from_secs(60)), "{age:?}");
    assert!(grant.now >= device.grant.now + HOUR);
    assert_eq!((grant.ends_at, grant.expires_at), (grant.now + IDLE, device.grant.expires_at));
    let row = world.vault.sessions.find(device.id).await.expect("an answer").expect("the session");
    assert_eq!((row.renewed_at, row.created_at), (grant.now, device.grant.now));
}

pub(crate) async fn repeat_within_grace_returns_the_same_token(world: World) {
    let (_, device) = world.someone().await;
    let with_kid = |kid| Presented { refresh_kid: kid, ..presented(&device, 0) };
    assert_eq!(granted(rotate(&world.vault, with_kid(7)).await), (1, 7, false));
    world.advance(GRACE / 2).await;
    let before = world.vault.sessions.find(device.id).await.expect("an answer").expect("the session");
    // Another replica, which already signs with another key.
    assert_eq!(granted(rotate(&world.other, with_kid(8)).await), (1, 7, true));
    let after = world.vault.sessions.find(device.id).await.expect("an answer").expect("the session");
    assert_eq!((before.renewed_at, before.grant.ends_at), (after.renewed_at, after.grant.ends_at));
    assert_eq!(granted(rotate(&world.vault, presented(&device, 1)).await).0, 2);
}

pub(crate) async fn generation_two_back_is_reuse_and_ends_the_session(world: World) {
    let (user, device) = world.someone().await;
    for (generation, expected) in [(0, (1, 1, false)), (0, (1, 1, true)), (1, (2, 1, false))] {
        assert_eq!(granted(world.rotate(&device, generation).await), expected);
    }
    world.advance(GRACE * 2).await;
    reuse_ends(&world, &device, 0, 2, user).await;
}

pub(crate) async fn repeat_after_grace_is_reuse(world: World) {
    let (user, device) = world.someone().await;
    world.rotate(&device, 0).await;
    world.advance(GRACE).await;
    reuse_ends(&world, &device, 0, 1, user).await;
}

pub(crate) async fn every_repeat_without_grace_is_reuse(world: World) {
    let (_, device) = world.someone().await;
    world.rotate(&device, 0).await;
    let repeat = Presented { grace: Duration::ZERO, ..presented(&device, 0) };
    assert!(matches!(rotate(&world.vault, repeat).await, Rotation::Reused { .. }));
}

/// A client that lost the response of its rotation, for as long as nobody has used the successor.
pub(crate) async fn unused_successor_is_replaced_after_grace(world: World) {
    let (_, device) = world.someone().await;
    let late = |generation| Presented { grace_unused: HOUR, ..presented(&device, generation) };
    assert_eq!(granted(rotate(&world.vault, late(0)).await), (1, 1, false));
    world.advance(GRACE * 2).await;
    let rotation = rotate(&world.other, Presented { refresh_kid: 8, ..late(0) }).await;
    let Rotation::Granted { grant, generation: 2, refresh_kid: 8, age: None, is_late: true } = rotation
    else {
        panic!("nobody used it: {rotation:?}")
    };
    assert_eq!(grant.ends_at, grant.now + IDLE);
    // The grace starts again, for the other requests of the same client.
    world.advance(GRACE / 2).await;
    let repeat = rotate(&world.vault, presented(&device, 0)).await;
    assert!(matches!(&repeat, Rotation::Granted { is_late: false, .. }), "{repeat:?}");
    assert_eq!(granted(repeat), (2, 8, true));
    let repeat = world.vault.sessions.renew(&presented(&device, 0)).await.expect("an answer");
    assert_eq!(granted(repeat), (2, 8, true));
    // Lost once more. A renewal decides by the same rule.
    world.advance(GRACE * 2).await;
    let renewed = world.vault.sessions.renew(&late(0)).await.expect("an answer");
    assert!(matches!(&renewed, Rotation::Granted { is_late: true, generation: 3, .. }), "{renewed:?}");
    // It has arrived at last: the next ones follow as usual.
    assert_eq!(granted(rotate(&world.vault, late(3)).await), (4, 1, false));
    assert_eq!(granted(rotate(&world.vault, late(3)).await), (4, 1, true));
    assert!(matches!(rotate(&world.vault, late(0)).await, Rotation::Reused { behind: 4, .. }));
}

/// A thief who was given the successor before the owner repeated.
pub(crate) async fn successor_replaced_by_a_late_repeat_is_void(world: World) {
    let (user, device) = world.someone().await;
    let late = |generation| Presented { grace_unused: HOUR, ..presented(&device, generation) };
    rotate(&world.vault, late(0)).await;
    world.advance(GRACE * 2).await;
    assert_eq!(granted(rotate(&world.vault, late(0)).await).0, 2);
    let stolen = rotate(&world.vault, late(1)).await;
    let Rotation::Reused { user_id, behind: 2, .. } = stolen else { panic!("noticed: {stolen:?}") };
    assert_eq!(user_id, user);
}

pub(crate) async fn used_successor_is_not_replaced(world: World) {
    let (user, device) = world.someone().await;
    let late = |generation| Presented { grace_unused: HOUR, ..presented(&device, generation) };
    let Rotation::Granted { grant, .. } = rotate(&world.vault, late(0)).await else { panic!("current") };
    let used = |generation| SessionUse {
        id: device.id,
        until: grant.ends_at,
        known: grant.ends_at,
        idle: IDLE,
        generation,
    };
    // An older generation that was used says nothing about this one.
    for generation in [0, 1] {
        let ends = world.vault.sessions.touch(&[used(generation)]).await.expect("an answer");
        assert_eq!(ends, [(device.id, grant.ends_at)], "the end does not move");
    }
    world.advance(GRACE / 2).await;
    assert_eq!(
        granted(rotate(&world.vault, late(0)).await),
        (1, 1, true),
        "within the grace it does not matter"
    );
    world.advance(GRACE).await;
    let reused = rotate(&world.vault, late(0)).await;
    let Rotation::Reused { user_id, behind: 1, .. } = reused else { panic!("noticed: {reused:?}") };
    assert_eq!(user_id, user);
}

pub(crate) async fn unused_successor_is_replaced_for_its_time_only(world: World) {
    let (_, device) = world.someone().await;
    let late = |generation| Presented { grace_unused: HOUR, ..presented(&device, generation) };
    for generation in 0..2 {
        rotate(&world.vault, late(generation)).await;
    }
    world.advance(HOUR).await;
    assert!(matches!(rotate(&world.vault, late(1)).await, Rotation::Reused { .. }));
    let device = world.device(world.user("bob").await).await;
    let late = |generation| Presented { grace_unused: HOUR, ..presented(&device, generation) };
    for generation in 0..2 {
        rotate(&world.vault, late(generation)).await;
    }
    world.advance(GRACE * 2).await;
    let two_back = rotate(&world.vault, late(0)).await;
    assert!(matches!(two_back, Rotation::Reused { behind: 2, .. }), "{two_back:?}");
}

/// A request that a stalled gateway or connection has held up, while its client has gone on.
pub(crate) async fn slow_request_of_a_client_that_has_gone_on_ends_nothing(world: World) {
    let (user, device) = world.someone().await;
    // Quick refreshes, and a pause before them and between them.
    world.advance(HOUR).await;
    for generation in 0..5 {
        assert_eq!(granted(world.rotate(&device, generation).await).0, generation + 1);
        world.advance(GRACE / 6).await;
    }
    for generation in 0..4 {
        let slow = refused(world.rotate(&device, generation).await);
        assert_eq!(slow, RotationRefused::Superseded, "{generation}");
        let slow = world.vault.sessions.renew(&presented(&device, generation)).await.expect("an answer");
        assert_eq!(refused(slow), RotationRefused::Superseded);
    }
    assert_eq!(granted(world.rotate(&device, 4).await), (5, 1, true), "the previous one is a repeat");
    assert_eq!(granted(world.rotate(&device, 5).await), (6, 1, false));
    // All that was current before the last two graces is a theft.
    world.advance(GRACE * 2).await;
    assert_eq!(granted(world.rotate(&device, 6).await).0, 7);
    reuse_ends(&world, &device, 4, 3, user).await;
}

async fn reuse_ends(
    world: &World,
    device: &Device,
    generation: u32,
    behind: u32,
    owner: doorward::id::UserId,
) {
    let Rotation::Reused { ended, user_id, behind: distance } = world.rotate(device, generation).await else {
        panic!("reuse is noticed")
    };
    assert_eq!(distance, behind);
    assert_eq!((&ended.sessions[..], user_id), (&[device.id][..], owner));
    let row = LogEntry::Session { id: device.id, until: ended.now + REVOCATION_LIFE };
    assert_eq!(ended.entries, [row]);
    assert!(world.vault.log.read(None).await.expect("a page").entries.contains(&row));
    assert_eq!(
        world.vault.trail.page(&AuditQuery::first(1)).await.expect("events")[0].event,
        "refresh_reused"
    );
    // Neither thief nor owner continues; a further use is not a second reuse.
    for generation in 0..4 {
        assert_eq!(refused(world.rotate(device, generation).await), RotationRefused::Ended);
    }
}

pub(crate) async fn future_generation_is_unknown_and_changes_nothing(world: World) {
    let (_, device) = world.someone().await;
    assert_eq!(refused(world.rotate(&device, 9).await), RotationRefused::Unknown);
    assert_eq!(granted(world.rotate(&device, 0).await).0, 1);
}

pub(crate) async fn unknown_family_is_refused(world: World) {
    let (_, device) = world.someone().await;
    let stranger = Presented { family: random(), ..presented(&device, 0) };
    assert_eq!(refused(rotate(&world.vault, stranger).await), RotationRefused::Unknown);
}

pub(crate) async fn other_client_is_refused_and_changes_nothing(world: World) {
    let (_, device) = world.someone().await;
    world.rotate(&device, 0).await;
    world.advance(GRACE).await;
    for generation in [0, 1] {
        let foreign = Presented { client_id: "cli".into(), ..presented(&device, generation) };
        assert_eq!(refused(rotate(&world.vault, foreign).await), RotationRefused::OtherClient);
    }
    assert_eq!(granted(world.rotate(&device, 1).await).0, 2);
}

pub(crate) async fn idle_session_is_expired(world: World) {
    let (_, device) = world.someone().await;
    world.advance(IDLE).await;
    assert_eq!(refused(world.rotate(&device, 0).await), RotationRefused::Expired);
}

pub(crate) async fn refresh_never_exceeds_absolute_timeout(world: World) {
    let (_, device) = world.someone().await;
    let mut generation = 0;
    for _ in 0..(ABSOLUTE.as_secs() / IDLE.as_secs() * 2 - 1) {
        world.advance(IDLE / 2 - Duration::from_secs(60)).await;
        let Rotation::Granted { grant, generation: next, .. } = world.rotate(&device, generation).await
        else {
            panic!("still before the end")
        };
        assert!(grant.ends_at <= device.grant.expires_at);
        generation = next;
    }
    world.advance(IDLE).await;
    assert_eq!(refused(world.rotate(&device, generation).await), RotationRefused::Expired);
}

pub(crate) async fn ended_session_refuses_current_repeated_and_reused_tokens(world: World) {
    let (_, device) = world.someone().await;
    world.rotate(&device, 0).await;
    world.rotate(&device, 1).await;
    world.vault.sessions.revoke(Scope::Session(device.id, None), EndReason::Logout).await.expect("revoked");
    let events = world.vault.trail.page(&AuditQuery::first(100)).await.expect("events").len();
    for generation in [2, 1, 0] {
        assert_eq!(refused(world.rotate(&device, generation).await), RotationRefused::Ended);
    }
    assert_eq!(world.vault.trail.page(&AuditQuery::first(100)).await.expect("events").len(), events);
}

pub(crate) async fn refresh_returns_the_current_roles(world: World) {
    let (user, device) = world.someone().await;
    world.rotate(&device, 0).await;
    world.vault.users.change(user, &UserChange::Roles(roles(&["admin"]))).await.expect("changed");
    let Rotation::Granted { grant, age: None, .. } = world.rotate(&device, 0).await else {
        panic!("a repeat")
    };
    assert_eq!(grant.roles, roles(&["admin"]));
}

pub(crate) async fn plain_refreshes_are_not_in_the_audit(world: World) {
    let (_, device) = world.someone().await;
    let before = world.vault.trail.page(&AuditQuery::first(100)).await.expect("events").len();
    world.rotate(&device, 0).await;
    world.rotate(&device, 0).await;
    assert_eq!(world.vault.trail.page(&AuditQuery::first(100)).await.expect("events").len(), before);
}
