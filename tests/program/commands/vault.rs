//! `doorward vault` and `doorward key`.

use std::fs;
use std::time::Duration;

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
    let soon = Duration::from_secs(20);
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
    let patience = Duration::from_secs(20);
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
        assert_eq!(house.run(&["vault", "migrate"]).good(), "the vault has schema version 8\n");
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
        assert!(row.len() == 10 && row[0].len() == 20 && row[2].len() == 22, "{row:?}");
        assert_eq!(row[3..6], ["-", "-", "success"]);
        assert!(row[6].starts_with("operator:"), "{row:?}");
        assert_eq!(row[8..], ["1", "-"]);
    }
    let events: Vec<&str> = rows.iter().map(|row| row[1]).collect();
    assert_eq!(events, ["user_disabled", "roles_changed", "user_created"]);
    let causes: Vec<&str> = rows.iter().map(|row| row[7]).collect();
    assert_eq!(causes, ["-", "ops", "-"]);
    assert_eq!(house.run(&["vault", "audit", "--all"]).good(), printed);
    assert_eq!(house.run(&["vault", "audit", "--user", "ada", "--since", "1h"]).good(), printed);
    assert_eq!(house.run(&["vault", "audit", "--since", "2100-01-01T00:00:00Z"]).good(), "");
    let complaint = house.run(&["vault", "audit", "--user", "eve"]).complaint();
    assert!(complaint.contains("there is no user `eve`"), "{complaint}");
    let limited = house.run(&["vault", "audit", "--limit", "1"]).good();
    assert_eq!(limited.lines().collect::<Vec<_>>(), printed.lines().take(1).collect::<Vec<_>>());
    assert_eq!(house.run(&["vault", "audit", "--limit", "many"]).code, Some(2));
}

/// Waits until every row is linked, and returns what the check prints.
async fn checked(house: &House) -> String {
    let whole = || house.run(&["vault", "audit", "--verify"]).good();
    let is_linked = async || {
        let printed = whole();
        printed.contains("head ") && !printed.contains("not linked")
    };
    assert_eventually("every row is linked", Duration::from_secs(30), is_linked).await;
    whole()
}

#[tokio::test(flavor = "multi_thread")]
async fn audit_verify_finds_what_was_altered_behind_its_back() {
    let app = TestApp::start().await;
    let house = House::new(app.address(), "");
    house.add("ada", &["admin"]);
    let unlinked = house.run(&["vault", "audit", "--verify"]).good();
    assert!(
        unlinked.starts_with("the audit trail is whole: no rows are linked\n1 rows are not linked yet"),
        "{unlinked}"
    );
    let complaint = house.run(&["vault", "audit", "--head"]).complaint();
    assert!(complaint.contains("no event is linked yet"), "{complaint}");
    let gateway = house.serve();
    for _ in 0..4 {
        gateway.login("ada").await;
    }
    let printed = checked(&house).await;
    let head = house.run(&["vault", "audit", "--head"]).good();
    assert!(printed.ends_with(&format!("head {head}")), "{printed}");
    gateway.login("ada").await;
    checked(&house).await;
    gateway.stop();
    let again = house.run(&["vault", "audit", "--verify", "--since", head.trim()]).good();
    assert!(again.starts_with("the audit trail is whole: "), "{again}");

    let file = house.path("doorward.db");
    let whole = fs::read(&file).expect("the vault");
    let kept = head.trim();
    let attacks: [(&str, &[&str], &str); 5] = [
        ("UPDATE audit SET address = '192.0.2.1' WHERE position = 4", &[], "row 4 of the audit trail"),
        ("DELETE FROM audit WHERE position = 3", &[], "rows 3 to 3 of the audit trail are missing"),
        (
            "UPDATE audit SET position = 99 WHERE position = 2; UPDATE audit SET position = 2 WHERE position = 3;
             UPDATE audit SET position = 3 WHERE position = 99",
            &[],
            "row 2 of the audit trail",
        ),
        (
            "INSERT INTO audit (at, event, position, digest, key_id)
             SELECT at, event, position + 1, digest, key_id FROM audit ORDER BY position DESC LIMIT 1",
            &[],
            "it was inserted",
        ),
        ("DELETE FROM audit WHERE position > 1; DELETE FROM audit_chain; INSERT INTO audit_chain (one) VALUES (1)",
         &["--since", kept], "the audit trail ends at 0, before the head that was kept"),
    ];
    for (sql, more, expected) in attacks {
        let vault = rusqlite::Connection::open(&file).expect("the vault");
        vault.execute_batch(sql).expect("altered");
        vault.pragma_update(None, "journal_mode", "DELETE").expect("one file");
        vault.close().expect("closed");
        let words = [&["vault", "audit", "--verify"], more].concat();
        let done = house.run(&words);
        assert_eq!(done.code, Some(1), "{sql}");
        let complaint = done.complaint();
        assert!(complaint.contains(expected), "{sql}: {complaint}");
        fs::write(&file, &whole).expect("restored");
        for companion in ["doorward.db-wal", "doorward.db-shm"] {
            // One may be there, of the command.
            drop(fs::remove_file(house.path(companion)));
        }
    }
    house.run(&["vault", "audit", "--verify"]).good();
    let complaint = house.run(&["vault", "audit", "--verify", "--since", "24h"]).complaint();
    assert!(complaint.contains("takes a head"), "{complaint}");
}

#[tokio::test(flavor = "multi_thread")]
async fn chain_of_two_gateways_is_whole_after_one_was_killed() {
    let app = TestApp::start().await;
    let house = House::new(app.address(), "");
    house.add("ada", &["admin"]);
    let gateway = house.serve();
    for round in 0..3 {
        let mut killed = house.serve();
        for _ in 0..4 {
            gateway.login("ada").await;
            killed.login("ada").await;
        }
        // It may be linking now: nobody waits for that.
        killed.process.kill();
        gateway.login("ada").await;
        let printed = checked(&house).await;
        assert!(printed.starts_with("the audit trail is whole: "), "round {round}: {printed}");
    }
    let listed = house.run(&["vault", "audit", "--all"]).good();
    assert_eq!(listed.lines().filter(|line| line.contains("\tlogin\t")).count(), 27);
}
