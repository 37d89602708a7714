//! A backup made with Postgres' own tools and restored elsewhere.

use std::net::SocketAddr;
use std::sync::Arc;

use doorward::clock::TravelClock;
use doorward::vault::postgres::{PostgresOptions, PostgresVault};
use doorward::vault::{EndReason, Scope, UserChange, Vault};

use super::link::Link;
use super::servers::{Server, shared};
use crate::world::{World, granted, roles};

fn world(vault: Vault) -> World {
    let (other, clock) = (vault.clone(), Arc::new(TravelClock::new()));
    World { vault, other, clock, raw: None, _folder: None }
}

/// Consumes transaction ids, so that those in the backup are far ahead of a new server's.
const GROW_OLD: &str =
    "DO $$ BEGIN FOR i IN 1..3000 LOOP PERFORM pg_current_xact_id(); COMMIT; END LOOP; END $$";

#[tokio::test(flavor = "multi_thread")]
async fn restored_backup_on_new_server_continues_its_log() {
    let database = shared().database();
    let before = world(PostgresVault::open(shared().options(&database)).await.expect("a vault"));
    let (user, device) = before.someone().await;
    assert_eq!(granted(before.rotate(&device, 0).await).0, 1);
    let revoked_device = before.device(user).await;
    shared().psql(&database, GROW_OLD);
    let ended = before
        .vault
        .sessions
        .revoke(Scope::Session(revoked_device.id, None), EndReason::Logout)
        .await
        .expect("revoked");

    let new = Server::start("");
    shared().copy_to(&new, &database);
    let after = world(PostgresVault::open(new.options(&database)).await.expect("a vault"));
    let page = after.vault.log.read(None).await.expect("a page");
    assert_eq!(page.entries, ended.entries, "what is restored is in the first page");
    let page = after.vault.log.read(Some(page.cursor)).await.expect("a page");
    assert_eq!(page.entries, [], "and in no other, though its transaction is yet to come here");
    assert_eq!(granted(after.rotate(&device, 1).await).0, 2);
    let changed = after.vault.users.change(user, &UserChange::Roles(roles(&["ops"]))).await.expect("changed");
    let page = after.vault.log.read(Some(page.cursor)).await.expect("a page");
    assert_eq!(page.entries, changed.entries);

    // `doorward vault restored`
    let ended = after.vault.sessions.revoke(Scope::Everyone, EndReason::Admin).await.expect("revoked");
    assert_eq!((ended.alive, ended.sessions.len()), (1, 2));
    let page = after.vault.log.read(Some(page.cursor)).await.expect("a page");
    assert_eq!(page.entries.len(), 1, "the one that had ended before has its row");

    // Once the server has passed the backup's transaction id, no row is missed and none repeats forever.
    new.psql(&database, GROW_OLD);
    new.psql(&database, GROW_OLD);
    let next = after.device(user).await;
    let ended =
        after.vault.sessions.revoke(Scope::Session(next.id, None), EndReason::Logout).await.expect("revoked");
    let page = after.vault.log.read(Some(page.cursor)).await.expect("a page");
    assert!(page.entries.contains(&ended.entries[0]) && page.entries.len() <= 2, "{:?}", page.entries);
    let page = after.vault.log.read(Some(page.cursor)).await.expect("a page");
    assert_eq!(page.entries, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn restored_backup_behind_a_pooler_is_read_from_start() {
    // The pooler keeps the follower's connection, so the follower does not notice the other server.
    let (old, new) = (Server::start(""), Server::start(""));
    let database = old.database();
    let at = |server: &Server| SocketAddr::from(([127, 0, 0, 1], server.port));
    let name = Link::to(at(&old)).await;
    let databases = format!("\n[databases]\n* = host=127.0.0.1 port={}", name.address().port());
    let pooler = Server::bouncer_with(&old, &databases);
    let options = PostgresOptions { prepared: false, ..pooler.options(&database) };
    let follower = PostgresVault::open(options).await.expect("a vault");
    let (_, device) = world(follower.clone()).someone().await;
    old.psql(&database, GROW_OLD);
    let cursor = follower.log.read(None).await.expect("a page").cursor;

    old.copy_to(&new, &database);
    let elsewhere = PostgresVault::open(new.options(&database)).await.expect("a vault");
    let scope = Scope::Session(device.id, None);
    let ended = elsewhere.sessions.revoke(scope, EndReason::Logout).await.expect("revoked");
    name.lead_to(at(&new)).await;
    let page = follower.log.read(Some(cursor)).await.expect("a page");
    assert_eq!(page.entries, ended.entries, "its transaction is older than the place in the old one");
}
