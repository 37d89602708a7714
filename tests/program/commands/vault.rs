//! `doorward vault` and `doorward key`.

use std::fs;

use crate::app::TestApp;
use crate::eventually::assert_eventually;
use crate::house::House;
use crate::http;
use crate::redis::{NONE, RedisServer};
use crate::serving::{Tokens, code};

#[tokio::test(flavor = "multi_thread")]
async fn backup_with_master_key_serves_the_same_users_elsewhere() {
    let app = TestApp::start().await;
    let house = House::new(app.address(), "");
    house.add("ada", &["admin"]);
    let gateway = house.serve();
    let tokens = gateway.login("ada").await;
    let file = house.path("copy.db");
    let name = file.to_str().expect("UTF-8");
    let written = house.run(&["vault", "backup", name]).good();
    assert_eq!(
        written,
        format!("wrote {name}; without the master key its signing keys cannot be decrypted\n")
    );
    let complaint = house.run(&["vault", "backup", name]).complaint();
    assert!(complaint.contains(&format!("`{name}` exists already: name a new file")), "{complaint}");
    let nowhere = house.path("nowhere/copy.db");
    let complaint = house.run(&["vault", "backup", nowhere.to_str().expect("UTF-8")]).complaint();
    assert!(complaint.contains("nowhere/copy.db` cannot be created"), "{complaint}");

    let other = House::new(app.address(), "");
    fs::copy(&file, other.path("doorward.db")).expect("copied");
    fs::copy(house.path("master.key"), other.path("master.key")).expect("copied");
    let restored = other.serve();
    assert_eq!(restored.get("/status/200", &tokens.access).await.status, 200, "sessions and roles are there");
    Tokens::of(&restored.refresh(&tokens.refresh).await);
    let fresh = restored.login("ada").await;
    assert_eq!(restored.get("/", &fresh.access).await.status, 200);
    let unconfirmed = other.run_with(&["vault", "restored"], "\n");
    assert_eq!(
        (unconfirmed.code, unconfirmed.out.ends_with("Type yes to continue: ")),
        (Some(1), true),
        "{}",
        unconfirmed.out
    );
    assert!(unconfirmed.err.starts_with("doorward: nothing was changed (use --yes"), "{}", unconfirmed.err);
    restored.stop();
    let ended = other.run(&["vault", "restored", "--yes"]).good();
    assert_eq!(ended, "sessions ended: 2; all users must sign in again\n");
    let restored = other.serve();
    for before in [&fresh, &tokens] {
        assert_eq!(restored.refusal("/", &before.access).await, (401, "token_invalid".into()));
        assert_eq!(code(&restored.refresh(&before.refresh).await), (401, "refresh_invalid".into()));
    }
    let again = restored.login("ada").await;
    assert_eq!(restored.get("/", &again.access).await.status, 200);
    assert_eq!(gateway.get("/", &tokens.access).await.status, 200, "the first one knows nothing of it");
}

/// A session that was opened after the backup is in Redis, and the vault has no row that could be ended.
#[tokio::test(flavor = "multi_thread")]
async fn restored_vault_ends_sessions_that_it_does_not_know() {
    let app = TestApp::start().await;
    let redis = RedisServer::start(NONE).await;
    let known = async |count| redis.ask::<u64>(&["DBSIZE"]).await == count;
    let soon = std::time::Duration::from_secs(20);
    let house =
        House::new(app.address(), &format!("[sessions]\nurl = \"redis://127.0.0.1:{}/0\"\n", redis.port));
    house.add("ada", &[]);
    let gateway = house.serve();
    let file = house.path("backup.db");
    house.run(&["vault", "backup", file.to_str().expect("UTF-8")]).good();
    let lost = gateway.login("ada").await;
    assert_eventually("its record is in Redis", soon, async || {
        gateway.get("/", &lost.access).await.status == 200 && known(1).await
    })
    .await;
    gateway.stop();
    for name in ["doorward.db", "doorward.db-wal", "doorward.db-shm"] {
        // The last two are gone after an orderly stop.
        let _ = fs::remove_file(house.path(name));
    }
    fs::rename(file, house.path("doorward.db")).expect("restored");
    house.run(&["vault", "restored", "--yes"]).good();
    let gateway = house.serve();
    // From here on the gateway uses Redis and knows the name of the user, all that it needs beside the record.
    assert_eventually("it uses Redis", soon, async || {
        let fresh = gateway.login("ada").await;
        gateway.get("/", &fresh.access).await.status == 200 && !known(1).await
    })
    .await;
    assert_eq!(gateway.refusal("/", &lost.access).await, (401, "token_invalid".into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn rotated_key_is_published_and_invalidates_no_token() {
    let app = TestApp::start().await;
    let house = House::new(app.address(), "");
    house.add("ada", &[]);
    let gateway = house.serve();
    let tokens = gateway.login("ada").await;
    let printed = house.run(&["key", "rotate"]).good();
    let words: Vec<&str> = printed.split_whitespace().collect();
    assert_eq!([words[0], words[2], words[5]], ["key", "is", "and"], "{printed}");
    assert!(printed.contains(" is published now and signs from 20") && printed.ends_with("Z\n"), "{printed}");
    let published = async || {
        let keys = http::request(gateway.public, "GET", "/.well-known/jwks.json", &[], b"").await.json();
        keys["keys"]
            .as_array()
            .is_some_and(|keys| keys.len() == 2 && keys.iter().any(|key| key["kid"] == words[1]))
    };
    let patience = std::time::Duration::from_secs(20);
    assert_eventually("the new key is published", patience, published).await;
    assert_eq!(gateway.get("/", &tokens.access).await.status, 200);
    Tokens::of(&gateway.refresh(&tokens.refresh).await);
}

#[test]
fn read_only_commands_create_no_vault() {
    let house = House::empty();
    for command in [
        "user list",
        "user passwd ada --password-stdin",
        "user delete ada --yes",
        "session list",
        "session revoke --all --yes",
        "vault audit",
        "vault backup copy.db",
        "vault restored --yes",
    ] {
        let complaint = house.run(&command.split(' ').collect::<Vec<_>>()).complaint();
        let expected =
            ["there is no vault at `", "doorward.db` (vault.url)", "start the gateway, or add a user"];
        assert!(expected.iter().all(|text| complaint.contains(text)), "{command}: {complaint}");
    }
    assert_eq!(house.files(), ["gateway.toml"]);
    house.add("ada", &[]);
    assert_eq!(house.run(&["user", "list"]).good().lines().count(), 1);
}

#[test]
fn migrate_prints_the_schema_version() {
    let house = House::empty();
    for _ in 0..2 {
        assert_eq!(house.run(&["vault", "migrate"]).good(), "the vault has schema version 6\n");
    }
    assert!(!house.path("master.key").exists(), "a key is made when one is needed");
}

#[test]
fn audit_lists_actions_newest_first() {
    let house = House::empty();
    house.run(&["vault", "migrate"]).good();
    assert_eq!(house.run(&["vault", "audit"]).good(), "");
    house.add("ada", &[]);
    house.run(&["user", "roles", "ada", "ops"]).good();
    house.run(&["user", "disable", "ada"]).good();
    let printed = house.run(&["vault", "audit"]).good();
    let rows: Vec<Vec<&str>> = printed.lines().map(|line| line.split('\t').collect()).collect();
    assert_eq!(rows.len(), 3, "{printed}");
    for row in &rows {
        assert!(row.len() == 5 && row[0].len() == 20 && row[2].len() == 22, "{row:?}");
        assert_eq!(row[3..], ["-", "-"]);
    }
    let events: Vec<&str> = rows.iter().map(|row| row[1]).collect();
    assert_eq!(events, ["user_disabled", "roles_changed", "user_created"]);
    let limited = house.run(&["vault", "audit", "--limit", "1"]).good();
    assert_eq!(limited.lines().collect::<Vec<_>>(), printed.lines().take(1).collect::<Vec<_>>());
    assert_eq!(house.run(&["vault", "audit", "--limit", "many"]).code, Some(2));
}
