use std::collections::HashSet;
use std::time::Duration;

use doorward::clock::Clock;
use doorward::id::SessionId;
use doorward::vault::{EndReason, LogEntry, REVOCATION_LIFE, Scope, Vault};

use super::world::World;
use crate::eventually::assert_eventually;

async fn end_one(world: &World, vault: &Vault) -> LogEntry {
    let user = world.user(&format!("user-{}", doorward::id::base64url(super::world::random::<6>()))).await;
    let device = world.device(user).await;
    let ended =
        vault.sessions.revoke(Scope::Session(device.id, None), EndReason::Admin).await.expect("revoked");
    ended.entries[0]
}

fn session(entry: &LogEntry) -> SessionId {
    match entry {
        LogEntry::Session { id, .. } => *id,
        other @ LogEntry::Rights { .. } => panic!("{other:?}"),
    }
}

pub(crate) async fn empty_log_has_a_resumable_cursor(world: World) {
    let start = world.vault.log.read(None).await.expect("a page");
    assert!(start.entries.is_empty());
    let row = end_one(&world, &world.vault).await;
    let page = world.vault.log.read(Some(start.cursor)).await.expect("a page");
    assert_eq!(page.entries, [row]);
    assert!(page.cursor >= start.cursor);
}

pub(crate) async fn read_contains_everything_committed_before_it(world: World) {
    let mut cursor = world.vault.log.read(None).await.expect("a page").cursor;
    let mut seen = HashSet::new();
    for round in 0..40 {
        let writer = if round % 2 == 0 { &world.vault } else { &world.other };
        let row = end_one(&world, writer).await;
        let page = world.vault.log.read(Some(cursor)).await.expect("a page");
        let new: Vec<_> = page.entries.into_iter().filter(|entry| seen.insert(session(entry))).collect();
        assert_eq!(new, [row], "round {round}");
        cursor = page.cursor;
    }
}

pub(crate) async fn read_without_news_is_empty_and_carries_the_clock(world: World) {
    end_one(&world, &world.vault).await;
    let first = world.vault.log.read(None).await.expect("a page");
    world.advance(Duration::from_secs(9)).await;
    let at = world.clock.wall();
    let second = world.vault.log.read(Some(first.cursor)).await.expect("a page");
    // A row may appear twice while another client writes.
    assert!(second.entries.iter().all(|entry| first.entries.contains(entry)));
    assert!(second.now >= at && second.cursor >= first.cursor);
    assert_eq!(second.keys_version, first.keys_version);
    // An older cursor still receives everything after it.
    assert_eq!(world.vault.log.read(None).await.expect("a page").entries.len(), 1);
}

pub(crate) async fn expired_rows_are_not_in_a_fresh_read(world: World) {
    end_one(&world, &world.vault).await;
    world.advance(REVOCATION_LIFE).await;
    let row = end_one(&world, &world.vault).await;
    assert_eq!(world.vault.log.read(None).await.expect("a page").entries, [row]);
}

pub(crate) async fn cursor_misses_no_row_of_concurrent_writers(world: World) {
    const EACH: usize = 30;
    let user = world.user("ada").await;
    let mut devices = Vec::new();
    for _ in 0..2 * EACH {
        devices.push(world.device(user).await.id);
    }
    let mut cursor = world.vault.log.read(None).await.expect("a page").cursor;
    let writers = [world.vault.clone(), world.other.clone()].into_iter().zip(devices.chunks(EACH));
    let writing: Vec<_> = writers
        .flat_map(|(vault, ids)| ids.iter().map(move |id| (vault.clone(), *id)))
        .map(|(vault, id)| {
            tokio::spawn(async move {
                vault.sessions.revoke(Scope::Session(id, None), EndReason::User).await.expect("revoked")
            })
        })
        .collect();
    let mut seen = HashSet::new();
    while seen.len() < devices.len() {
        let done = writing.iter().all(tokio::task::JoinHandle::is_finished);
        let page = world.vault.log.read(Some(cursor)).await.expect("a page");
        cursor = page.cursor;
        seen.extend(page.entries.iter().map(session));
        assert!(!done || seen.len() == devices.len(), "missed {}", devices.len() - seen.len());
        tokio::task::yield_now().await;
    }
    assert_eq!(seen, devices.into_iter().collect());
}

pub(crate) async fn change_wakes_the_follower_even_before_it_waits(world: World) {
    world.vault.log.read(None).await.expect("a page");
    end_one(&world, &world.vault).await;
    tokio::time::timeout(Duration::from_secs(30), world.vault.log.wait_for_change())
        .await
        .expect("the stored wake-up");
}

pub(crate) async fn cancelled_wait_loses_no_wake_up(world: World) {
    world.vault.log.read(None).await.expect("a page");
    for _ in 0..20 {
        let waiting = world.vault.log.wait_for_change();
        let given_up = tokio::time::timeout(Duration::from_millis(1), waiting).await;
        assert!(given_up.is_err(), "nothing was written");
    }
    let log = world.vault.log.clone();
    let follower = tokio::spawn(async move { log.wait_for_change().await });
    end_one(&world, &world.vault).await;
    tokio::time::timeout(Duration::from_secs(30), follower).await.expect("woken").expect("no panic");
}

pub(crate) async fn another_process_is_seen_within_a_second(world: World) {
    let mut cursor = world.vault.log.read(None).await.expect("a page").cursor;
    for _ in 0..3 {
        let row = end_one(&world, &world.other).await;
        let mut seen = false;
        let follow = async || {
            world.vault.log.wait_for_change().await;
            let page = world.vault.log.read(Some(cursor)).await.expect("a page");
            cursor = page.cursor;
            seen |= page.entries.contains(&row);
            seen
        };
        assert_eventually("the row of the other process", Duration::from_secs(1), follow).await;
    }
}

pub(crate) async fn new_key_raises_the_keys_version_and_wakes(world: World) {
    let before = world.vault.log.read(None).await.expect("a page");
    let table = world.vault.keys.add(&[super::keys::key("1")], false).await.expect("added");
    tokio::time::timeout(Duration::from_secs(30), world.vault.log.wait_for_change()).await.expect("woken");
    let after = world.vault.log.read(Some(before.cursor)).await.expect("a page");
    assert!(after.keys_version > before.keys_version);
    assert_eq!(after.keys_version, table.version);
}
