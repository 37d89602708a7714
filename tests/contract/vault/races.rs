use std::sync::atomic::{AtomicBool, Ordering};

use doorward::vault::{
    EndReason, NewUser, Rotation, RotationRefused, Scope, SessionPage, UserChange, VaultError,
};

use super::world::{World, granted, login, new_session, presented, refused, roles, rotate, secret};
use std::sync::Arc;

pub(crate) async fn fifty_rotations_of_one_token_make_one_generation(world: World) {
    let (_, device) = world.someone().await;
    let asking: Vec<_> = (0..50u8)
        .map(|at| {
            let vault = if at % 2 == 0 { world.vault.clone() } else { world.other.clone() };
            let mut presented = presented(&device, 0);
            presented.refresh_kid = at;
            tokio::spawn(async move { granted(rotate(&vault, presented).await) })
        })
        .collect();
    let mut answers = Vec::new();
    for asked in asking {
        answers.push(asked.await.expect("granted"));
    }
    assert_eq!(answers.iter().filter(|(.., repeated)| !repeated).count(), 1);
    let (generation, kid, _) = answers[0];
    assert!(generation == 1 && answers.iter().all(|answer| (answer.0, answer.1) == (1, kid)));
    assert_eq!(granted(world.rotate(&device, 1).await).0, 2);
    assert!(world.vault.log.read(None).await.expect("a page").entries.is_empty());
}

pub(crate) async fn no_rotation_is_granted_once_a_revocation_is_acknowledged(world: World) {
    let user = world.user("ada").await;
    for round in 0..100 {
        let device = world.device(user).await;
        let acknowledged = Arc::new(AtomicBool::new(false));
        let refreshing = {
            let (vault, device) = (world.other.clone(), device.clone());
            let acknowledged = acknowledged.clone();
            tokio::spawn(async move {
                let mut generation = 0;
                loop {
                    let before = acknowledged.load(Ordering::SeqCst);
                    match rotate(&vault, presented(&device, generation)).await {
                        Rotation::Granted { generation: next, .. } => {
                            assert!(!before, "round {round}: granted after the revocation");
                            generation = next;
                        }
                        other => return refused(other),
                    }
                }
            })
        };
        if round % 3 == 0 {
            tokio::task::yield_now().await;
        }
        world.vault.sessions.revoke(Scope::Session(device.id, None), EndReason::User).await.expect("revoked");
        acknowledged.store(true, Ordering::SeqCst);
        assert_eq!(refreshing.await.expect("no late grant"), RotationRefused::Ended);
    }
}

pub(crate) async fn login_racing_password_change_leaves_no_old_session(world: World) {
    let user = world.user("ada").await;
    for round in 0..30 {
        let new = new_session(user, world.find(user).await.epoch);
        let opening = {
            let (vault, new) = (world.other.clone(), new.clone());
            tokio::spawn(async move { vault.sessions.open(&new).await })
        };
        let change = UserChange::Password { new: secret(&round.to_string()), expected: None, keep: None };
        let ended = world.vault.users.change(user, &change).await.expect("changed");
        match opening.await.expect("no panic") {
            Ok(_) => assert!(ended.sessions.contains(&new.id), "opened before, so ended by the change"),
            Err(VaultError::Superseded) => {}
            Err(other) => panic!("{other}"),
        }
        assert!(
            world.vault.sessions.list(Some(user), SessionPage::first(1000)).await.expect("a list").is_empty()
        );
    }
}

pub(crate) async fn concurrent_creations_of_one_name_make_one_user(world: World) {
    let making: Vec<_> = (0..10)
        .map(|at| {
            let users = if at % 2 == 0 { world.vault.users.clone() } else { world.other.users.clone() };
            tokio::spawn(async move {
                let id = doorward::id::UserId::from_bytes(super::world::random());
                users.create(&NewUser::new(id, login("ada"), secret("x"), roles(&[]))).await
            })
        })
        .collect();
    let mut made = 0;
    for making in making {
        match making.await.expect("no panic") {
            Ok(()) => made += 1,
            Err(error) => assert!(matches!(error, VaultError::LoginTaken), "{error}"),
        }
    }
    assert_eq!(made, 1);
}

pub(crate) async fn write_completes_after_its_caller_is_dropped(world: World) {
    let (_, device) = world.someone().await;
    let vault = world.vault.clone();
    let revoking = tokio::spawn(async move {
        let mut revoke = vault.sessions.revoke(Scope::Session(device.id, None), EndReason::User);
        // Polled once: the write is queued, and its result is dropped.
        drop(std::future::poll_fn(|context| std::task::Poll::Ready(revoke.as_mut().poll(context))).await);
    });
    revoking.await.expect("no panic");
    crate::eventually::assert_eventually(
        "the session is ended",
        std::time::Duration::from_secs(5),
        async || !world.vault.sessions.find(device.id).await.expect("an answer").expect("the session").live,
    )
    .await;
}
