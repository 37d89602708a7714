//! Session use: effects on the idle end.

use std::time::Duration;

use doorward::clock::Timestamp;
use doorward::id::SessionId;
use doorward::vault::{EndReason, Presented, Rotation, RotationRefused, Scope, SessionUse};

use super::world::{ABSOLUTE, Device, HOUR, IDLE, World, granted, presented, random, refused};

/// A use at this time on the vault's clock.
fn used(device: &Device, at: Timestamp) -> SessionUse {
    SessionUse { id: device.id, until: at + IDLE, known: device.grant.ends_at, idle: IDLE, generation: 0 }
}

async fn touch(world: &World, uses: &[SessionUse]) -> Vec<(SessionId, Timestamp)> {
    world.vault.sessions.touch(uses).await.expect("an answer")
}

async fn find(world: &World, device: &Device) -> (bool, Timestamp) {
    let row = world.other.sessions.find(device.id).await.expect("an answer").expect("the session");
    (row.live, row.grant.ends_at)
}

pub(crate) async fn touch_moves_idle_ends_of_many_sessions(world: World) {
    let (user, one) = world.someone().await;
    let other = world.device(user).await;
    let idle = world.device(user).await;
    world.advance(HOUR).await;
    let at = one.grant.now + HOUR;
    let touched = touch(&world, &[used(&one, at), used(&other, at)]).await;
    assert_eq!(touched.len(), 2);
    for (device, (live, ends_at)) in [(&one, find(&world, &one).await), (&other, find(&world, &other).await)]
    {
        assert!(live && touched.contains(&(device.id, ends_at)), "{touched:?}");
        assert_eq!(ends_at, at + IDLE);
    }
    assert_eq!(find(&world, &idle).await, (true, idle.grant.ends_at), "not used");
    world.advance(IDLE - HOUR).await;
    assert_eq!(refused(world.rotate(&idle, 0).await), RotationRefused::Expired);
    assert_eq!(granted(world.rotate(&one, 0).await), (1, 1, false));
    assert!(touch(&world, &[]).await.is_empty());
}

pub(crate) async fn touch_never_shortens_or_exceeds_absolute_timeout(world: World) {
    let (_, device) = world.someone().await;
    let earlier = SessionUse { until: device.grant.now + HOUR, ..used(&device, device.grant.now) };
    assert_eq!(touch(&world, &[earlier]).await, [(device.id, device.grant.ends_at)]);
    assert_eq!(find(&world, &device).await, (true, device.grant.ends_at));
    // From a gateway whose clock is far ahead: the end is at most one idle timeout away.
    let ahead = used(&device, device.grant.now + ABSOLUTE * 9);
    let [(_, end)] = touch(&world, &[ahead]).await[..] else { panic!("it lives") };
    assert!(end >= device.grant.ends_at && end < device.grant.ends_at + HOUR, "{end}");
    let forever = SessionUse { idle: ABSOLUTE * 9, ..ahead };
    assert_eq!(touch(&world, &[forever]).await, [(device.id, device.grant.expires_at)]);
}

pub(crate) async fn late_touch_revives_only_sessions_in_use(world: World) {
    let (user, device) = world.someone().await;
    let forgotten = world.device(user).await;
    world.advance(IDLE + HOUR).await;
    assert_eq!(refused(renew(&world, presented(&device, 0)).await), RotationRefused::Expired);
    let at = device.grant.now + IDLE - HOUR;
    // A gateway that knew an earlier end cannot prove that there was no pause.
    let stale =
        SessionUse { known: Timestamp::from_millis(device.grant.ends_at.millis() + 1), ..used(&device, at) };
    assert!(touch(&world, &[stale]).await.is_empty());
    assert_eq!(touch(&world, &[used(&device, at)]).await, [(device.id, at + IDLE)]);
    assert_eq!(granted(renew(&world, presented(&device, 0)).await), (0, 1, false));
    assert!(!find(&world, &forgotten).await.0);
}

pub(crate) async fn touch_revives_no_ended_or_unknown_session(world: World) {
    let (_, device) = world.someone().await;
    world.vault.sessions.revoke(Scope::Session(device.id, None), EndReason::Logout).await.expect("revoked");
    world.advance(HOUR).await;
    let nobody = SessionUse { id: SessionId::from_bytes(random()), ..used(&device, device.grant.now) };
    assert!(touch(&world, &[used(&device, device.grant.now + HOUR), nobody]).await.is_empty());
    assert!(!find(&world, &device).await.0);
    assert_eq!(refused(world.rotate(&device, 0).await), RotationRefused::Ended);
}

pub(crate) async fn concurrent_touches_in_any_order_do_not_deadlock(world: World) {
    let (user, first) = world.someone().await;
    let mut devices = vec![first];
    for _ in 0..20 {
        devices.push(world.device(user).await);
    }
    world.advance(HOUR).await;
    let mut writing = tokio::task::JoinSet::new();
    for round in 0..20_u64 {
        let at = devices[0].grant.now + Duration::from_secs(60 * round);
        let mut uses: Vec<_> = devices.iter().map(|device| used(device, at)).collect();
        if round % 2 == 1 {
            uses.reverse();
        }
        let vault = if round % 3 == 0 { world.other.clone() } else { world.vault.clone() };
        writing.spawn(async move { vault.sessions.touch(&uses).await.expect("an answer").len() });
    }
    assert!(writing.join_all().await.into_iter().all(|alive| alive == devices.len()));
    let last = devices[0].grant.now + Duration::from_secs(60 * 19) + IDLE;
    for device in &devices {
        assert_eq!(find(&world, device).await, (true, last));
    }
}

async fn renew(world: &World, presented: Presented) -> Rotation {
    world.vault.sessions.renew(&presented).await.expect("an answer")
}
