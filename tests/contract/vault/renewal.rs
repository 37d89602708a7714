use std::time::Duration;

use doorward::vault::{AuditQuery, EndReason, Presented, Rotation, RotationRefused, Scope, UserChange};

use super::world::{Device, GRACE, HOUR, IDLE, World, granted, presented, random, refused, roles};

async fn renew(world: &World, presented: Presented) -> Rotation {
    world.vault.sessions.renew(&presented).await.expect("an answer")
}

async fn ends_at(world: &World, device: &Device) -> doorward::clock::Timestamp {
    world.vault.sessions.find(device.id).await.expect("an answer").expect("the session").grant.ends_at
}

pub(crate) async fn renewal_grants_current_rights_without_a_new_generation(world: World) {
    let (user, device) = world.someone().await;
    world.vault.users.change(user, &UserChange::Roles(roles(&["admin"]))).await.expect("changed");
    world.advance(HOUR).await;
    let other_key = Presented { refresh_kid: 9, ..presented(&device, 0) };
    for _ in 0..2 {
        let Rotation::Granted { grant, generation, refresh_kid, age, .. } =
            renew(&world, other_key.clone()).await
        else {
            panic!("a current token is good")
        };
        assert_eq!((grant.session_id, grant.user_id, &grant.roles), (device.id, user, &roles(&["admin"])));
        assert_eq!((generation, refresh_kid), (0, 1));
        assert!(age.is_some_and(|age| age >= HOUR && age < HOUR * 2), "{age:?}");
        assert!(grant.now >= device.grant.now + HOUR);
    }
    let row = world.vault.sessions.find(device.id).await.expect("an answer").expect("the session");
    assert_eq!(row.renewed_at, device.grant.now, "it is no refresh");
    assert_eq!(granted(world.rotate(&device, 0).await), (1, 1, false));
}

pub(crate) async fn renewal_moves_the_idle_end_once_a_minute(world: World) {
    let (_, device) = world.someone().await;
    world.advance(Duration::from_secs(30)).await;
    granted(renew(&world, presented(&device, 0)).await);
    assert_eq!(ends_at(&world, &device).await, device.grant.ends_at, "too little for a write");
    world.advance(HOUR).await;
    let Rotation::Granted { grant, .. } = renew(&world, presented(&device, 0)).await else { panic!("good") };
    assert_eq!(ends_at(&world, &device).await, grant.ends_at);
    assert!(grant.ends_at >= device.grant.ends_at + HOUR);
    // A shorter idle timeout brings no end forward, and none moves beyond the absolute one.
    let short = Presented { idle: HOUR, ..presented(&device, 0) };
    granted(renew(&world, short).await);
    assert_eq!(ends_at(&world, &device).await, grant.ends_at);
    let long = Presented { idle: IDLE * 100, ..presented(&device, 0) };
    granted(renew(&world, long).await);
    assert_eq!(ends_at(&world, &device).await, device.grant.expires_at);
}

pub(crate) async fn previous_generation_renews_within_grace_and_is_reuse_later(world: World) {
    let (user, device) = world.someone().await;
    assert_eq!(granted(world.rotate(&device, 0).await), (1, 1, false));
    // The renewal grants the current generation.
    assert_eq!(granted(renew(&world, presented(&device, 0)).await), (1, 1, true));
    assert_eq!(granted(renew(&world, presented(&device, 1)).await), (1, 1, false));
    world.advance(GRACE).await;
    assert_eq!(granted(renew(&world, presented(&device, 1)).await), (1, 1, false));
    let Rotation::Reused { ended, user_id, behind } = renew(&world, presented(&device, 0)).await else {
        panic!("reuse is noticed")
    };
    assert_eq!((&ended.sessions[..], user_id, behind), (&[device.id][..], user, 1));
    assert!(world.vault.log.read(None).await.expect("a page").entries.contains(&ended.entries[0]));
    assert_eq!(
        world.vault.trail.page(&AuditQuery::first(1)).await.expect("events")[0].event,
        "refresh_reused"
    );
    for generation in [0, 1, 2] {
        assert_eq!(refused(renew(&world, presented(&device, generation)).await), RotationRefused::Ended);
    }
    // An older generation is reuse once a slow request has had its time.
    let older = world.device(user).await;
    world.rotate(&older, 0).await;
    world.rotate(&older, 1).await;
    assert_eq!(refused(renew(&world, presented(&older, 0)).await), RotationRefused::Superseded);
    world.advance(GRACE * 2).await;
    assert!(matches!(renew(&world, presented(&older, 0)).await, Rotation::Reused { behind: 2, .. }));
}

pub(crate) async fn renewal_is_refused_in_the_same_cases_as_rotation(world: World) {
    let (user, device) = world.someone().await;
    let stranger = Presented { family: random(), ..presented(&device, 0) };
    assert_eq!(refused(renew(&world, stranger).await), RotationRefused::Unknown);
    assert_eq!(refused(renew(&world, presented(&device, 1)).await), RotationRefused::Unknown);
    let foreign = Presented { client_id: "cli".into(), ..presented(&device, 0) };
    assert_eq!(refused(renew(&world, foreign).await), RotationRefused::OtherClient);
    let ended = world.device(user).await;
    world.vault.sessions.revoke(Scope::Session(ended.id, None), EndReason::Logout).await.expect("revoked");
    assert_eq!(refused(renew(&world, presented(&ended, 0)).await), RotationRefused::Ended);
    granted(renew(&world, presented(&device, 0)).await);
    world.advance(IDLE).await;
    assert_eq!(refused(renew(&world, presented(&device, 0)).await), RotationRefused::Expired);
    let of_disabled = world.device(user).await;
    world.vault.users.change(user, &UserChange::Disabled(true)).await.expect("changed");
    assert_eq!(refused(renew(&world, presented(&of_disabled, 0)).await), RotationRefused::Ended);
}

pub(crate) async fn fifty_renewals_of_one_token_are_all_granted(world: World) {
    let (_, device) = world.someone().await;
    world.advance(HOUR).await;
    let asking: Vec<_> = (0..50)
        .map(|_| {
            let (vault, presented) = (world.vault.clone(), presented(&device, 0));
            tokio::spawn(async move { vault.sessions.renew(&presented).await.expect("an answer") })
        })
        .collect();
    for asked in asking {
        assert_eq!(granted(asked.await.expect("no panic")), (0, 1, false));
    }
}
