//! SQLite-specific behaviour of the embedded vault: the file, concurrent access and errors.

#[path = "support/eventually.rs"]
mod eventually;

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use doorward::clock::SystemClock;
use doorward::id::{Random, SessionId, SystemRandom, UserId};
use doorward::identity::{Epoch, Login, Roles};
use doorward::secret::Secret;
use doorward::vault::sqlite::{SqliteOptions, SqliteVault};
use doorward::vault::{
    AttributesChange, AuditQuery, Edit, EndReason, KeyUse, NewKey, NewSession, NewUser, Presented, Rotation,
    Scope, UserChange, UserKey, Vault, VaultError,
};
use rusqlite::Connection;
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(30);
const DAY: Duration = Duration::from_secs(24 * 3600);

fn vault_file() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("vault.db");
    (folder, path)
}

fn open(path: &Path) -> Result<Vault, VaultError> {
    SqliteVault::open(path, Arc::new(SystemClock::new()), SqliteOptions { statement_timeout: PATIENCE })
}

fn complaint(path: &Path) -> String {
    let text = open(path).map(drop).expect_err("it cannot be opened").to_string();
    assert!(!text.contains('\n'), "one line: {text}");
    text
}

fn damage(path: &Path) -> String {
    match open(path).map(drop) {
        Err(VaultError::Damaged(text)) => {
            assert!(text.contains(&path.display().to_string()) && !text.contains('\n'), "{text}");
            text
        }
        other => panic!("{other:?}"),
    }
}

async fn add_user(vault: &Vault, name: &str) -> Result<UserId, VaultError> {
    let random: &dyn Random = &SystemRandom;
    let id = UserId::from_bytes(random.bytes());
    let login: Login = name.parse().expect("a login name");
    let new = NewUser::new(id, login, Secret::new("hash".to_owned()), Roles::default());
    vault.users.create(&new).await?;
    Ok(id)
}

async fn has_user(vault: &Vault, name: &str) -> bool {
    let key = UserKey::Login(name.parse().expect("a login name"));
    vault.users.find(&key).await.expect("an answer").is_some()
}

/// Drops a vault and waits until its threads have closed the file.
async fn close(vault: Vault, path: &Path) {
    drop(vault);
    let log = path.with_extension("db-wal");
    eventually::assert_eventually("the threads end", PATIENCE, async || {
        // The last connection to close removes the log; of two that close concurrently each may take the other for the
        // last.
        let last = Connection::open(path).expect("a connection");
        last.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get::<_, i64>(0))
            .expect("readable");
        last.close().expect("closed");
        !log.exists()
    })
    .await;
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).expect("the file").permissions().mode() & 0o777
}

#[tokio::test]
async fn vault_files_are_readable_by_owner_only() {
    let (_folder, path) = vault_file();
    let vault = open(&path).expect("a vault");
    add_user(&vault, "ada").await.expect("added");
    for file in [path.clone(), path.with_extension("db-wal"), path.with_extension("db-shm")] {
        assert_eq!(mode(&file), 0o600, "{file:?}");
    }
}

#[tokio::test]
async fn reopening_keeps_everything() {
    let (_folder, path) = vault_file();
    let vault = open(&path).expect("a vault");
    add_user(&vault, "ada").await.expect("added");
    close(vault, &path).await;
    let vault = open(&path).expect("a vault");
    assert!(has_user(&vault, "ada").await);
    assert_eq!(vault.trail.page(&AuditQuery::first(9)).await.expect("events").len(), 1);
}

#[tokio::test]
async fn acknowledged_change_survives_a_kill() {
    let (_folder, path) = vault_file();
    let vault = open(&path).expect("a vault");
    add_user(&vault, "ada").await.expect("added");
    // State left by a killed process: the file and the log as they are now, not closed.
    let (_copy, copy) = vault_file();
    fs::copy(&path, &copy).expect("copied");
    fs::copy(path.with_extension("db-wal"), copy.with_extension("db-wal")).expect("copied");
    assert!(has_user(&open(&copy).expect("a vault"), "ada").await);
}

#[tokio::test]
async fn vault_file_uses_wal_and_the_application_id() {
    let (_folder, path) = vault_file();
    let vault = open(&path).expect("a vault");
    let raw = Connection::open(&path).expect("a connection");
    let mode: String = raw.pragma_query_value(None, "journal_mode", |row| row.get(0)).expect("the mode");
    let id: i32 = raw.pragma_query_value(None, "application_id", |row| row.get(0)).expect("the id");
    let version: u32 = raw.pragma_query_value(None, "user_version", |row| row.get(0)).expect("the version");
    assert_eq!((mode.as_str(), id), ("wal", i32::from_be_bytes(*b"door")));
    assert_eq!(vault.audit.schema().await.expect("a version"), version);
}

#[test]
fn file_that_is_no_database_is_refused_unchanged() {
    let (_folder, path) = vault_file();
    let text = "these are my notes, not a database; please leave them alone. ".repeat(100);
    fs::write(&path, &text).expect("written");
    let problem = damage(&path);
    assert!(problem.contains("is not a doorward vault"), "{problem}");
    assert_eq!(fs::read_to_string(&path).expect("readable"), text);
}

#[test]
fn database_of_another_program_is_refused_unchanged() {
    let (_folder, path) = vault_file();
    Connection::open(&path)
        .and_then(|raw| raw.execute_batch("CREATE TABLE bookmarks (url TEXT)"))
        .expect("made");
    let before = fs::read(&path).expect("readable");
    assert!(damage(&path).contains("another program"));
    assert_eq!(fs::read(&path).expect("readable"), before);
}

#[tokio::test]
async fn newer_schema_is_refused() {
    let (_folder, path) = vault_file();
    close(open(&path).expect("a vault"), &path).await;
    Connection::open(&path).and_then(|raw| raw.pragma_update(None, "user_version", 99)).expect("raised");
    let text = damage(&path);
    assert!(text.contains("schema 99") && text.contains("newer"), "{text}");
}

#[test]
fn missing_folder_is_named() {
    let (folder, _) = vault_file();
    let text = complaint(&folder.path().join("missing").join("vault.db"));
    assert!(text.contains("the folder") && text.contains("missing"), "{text}");
}

#[test]
fn path_of_the_wrong_file_kind_is_named() {
    let (folder, path) = vault_file();
    assert!(complaint(folder.path()).contains("is a folder"));
    fs::write(&path, "").expect("written");
    assert!(complaint(&path.join("vault.db")).contains("not a folder"));
}

#[test]
fn unwritable_folder_is_named() {
    let (folder, path) = vault_file();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o500)).expect("changed");
    let may_write_anyway = fs::write(folder.path().join("probe"), "").is_ok();
    match open(&path).map(drop) {
        // Permissions do not apply to root.
        Ok(()) => assert!(may_write_anyway),
        Err(error) => assert!(error.to_string().contains("cannot be written"), "{error}"),
    }
}

#[tokio::test]
async fn damaged_page_is_reported_as_damage() {
    let (_folder, path) = vault_file();
    let vault = open(&path).expect("a vault");
    for at in 0..50 {
        add_user(&vault, &format!("user-{at}")).await.expect("added");
    }
    close(vault, &path).await;
    let file = fs::OpenOptions::new().write(true).open(&path).expect("opened");
    let pages = file.metadata().expect("its size").len() / 4096;
    for page in 1..pages {
        file.write_all_at(&[0xa5; 4096], page * 4096).expect("overwritten");
    }
    // Found while opening or by the first query, depending on SQLite.
    let found = match open(&path) {
        Err(error) => error,
        Ok(vault) => vault.users.list(None, 10).await.map(drop).expect_err("it cannot be read"),
    };
    let VaultError::Damaged(text) = found else { panic!("{found:?}") };
    assert!(text.contains("is damaged") && text.contains("backup"), "{text}");
}

#[tokio::test]
async fn lock_of_another_process_is_awaited_then_reported() {
    let (_folder, path) = vault_file();
    let hasty = SqliteOptions { statement_timeout: Duration::from_millis(400) };
    let vault = SqliteVault::open(&path, Arc::new(SystemClock::new()), hasty).expect("a vault");
    let raw = Connection::open(&path).expect("a connection");
    raw.execute_batch("BEGIN IMMEDIATE").expect("locked");
    let error = add_user(&vault, "ada").await.expect_err("it is locked");
    assert!(matches!(&error, VaultError::Unavailable(text) if text.contains("locked by another")), "{error}");
    // Reads continue meanwhile.
    assert!(!has_user(&vault, "ada").await);
    vault.log.read(None).await.expect("a page");
    raw.execute_batch("ROLLBACK").expect("unlocked");
    eventually::assert_eventually("writing works again", PATIENCE, async || {
        add_user(&vault, "bob").await.is_ok() || has_user(&vault, "bob").await
    })
    .await;
}

#[tokio::test]
async fn two_concurrent_opens_of_a_new_file_succeed() {
    for _ in 0..5 {
        let (_folder, path) = vault_file();
        let opening: Vec<_> = (0..4)
            .map(|_| {
                let path = path.clone();
                tokio::task::spawn_blocking(move || open(&path))
            })
            .collect();
        let mut versions = BTreeSet::new();
        for opened in opening {
            let vault = opened.await.expect("no panic").expect("a vault");
            versions.insert(vault.audit.schema().await.expect("a version"));
        }
        assert!(versions.len() == 1 && !versions.contains(&0), "{versions:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn refused_change_does_not_lose_others_in_its_batch() {
    let (_folder, path) = vault_file();
    let vault = open(&path).expect("a vault");
    let adding: Vec<_> = (0..200)
        .map(|at| {
            let vault = vault.clone();
            // Every second one uses a name that is taken.
            let name = if at % 2 == 0 { format!("user-{at}") } else { "user-0".into() };
            tokio::spawn(async move { (name.clone(), add_user(&vault, &name).await.is_ok()) })
        })
        .collect();
    for added in adding {
        let (name, made) = added.await.expect("no panic");
        assert!(made || name == "user-0", "{name}");
        assert!(has_user(&vault, &name).await);
    }
    assert_eq!(vault.users.list(None, 1000).await.expect("a list").len(), 100);
    assert_eq!(vault.trail.page(&AuditQuery::first(1000)).await.expect("events").len(), 100);
}

#[tokio::test]
async fn backup_opens_with_the_same_content() {
    let (folder, path) = vault_file();
    let vault = open(&path).expect("a vault");
    let user_id = add_user(&vault, "ada").await.expect("added");
    let session = NewSession {
        id: SessionId::random(&SystemRandom),
        user_id,
        epoch: Epoch(0),
        client_id: "web".into(),
        family: [7; 32],
        refresh_kid: 3,
        idle: DAY,
        absolute: DAY,
        address: None,
        user_agent: None,
        methods: doorward::identity::Methods::PASSWORD,
        proven_ago: Duration::ZERO,
    };
    vault.sessions.open(&session).await.expect("a session");
    let ended = NewSession { id: SessionId::random(&SystemRandom), family: [8; 32], ..session.clone() };
    vault.sessions.open(&ended).await.expect("a session");
    vault.sessions.revoke(Scope::Session(ended.id, None), EndReason::Logout).await.expect("revoked");
    let key = NewKey {
        kid: "1".into(),
        key_use: KeyUse::Access,
        algorithm: "EdDSA".into(),
        sealed: vec![1, 2, 3],
        signs_after: Duration::ZERO,
        overlap: DAY,
    };
    vault.keys.add(&[key], true).await.expect("added");

    let to = folder.path().join("backup.db");
    vault.audit.backup(&to).await.expect("backed up");
    assert_eq!(mode(&to), 0o600);
    let beside: Vec<_> =
        fs::read_dir(folder.path()).expect("a folder").flatten().map(|e| e.file_name()).collect();
    assert_eq!(beside.iter().filter(|name| name.to_string_lossy().starts_with("backup")).count(), 1);

    let copy = open(&to).expect("a vault");
    assert!(has_user(&copy, "ada").await);
    let page = |page: doorward::vault::LogPage| (page.entries, page.cursor, page.keys_version);
    assert_eq!(
        page(copy.log.read(None).await.expect("a page")),
        page(vault.log.read(None).await.expect("a page"))
    );
    assert_eq!(copy.keys.load().await.expect("keys").keys[0].sealed, [1, 2, 3]);
    let events = async |vault: &Vault| {
        let events = vault.trail.page(&AuditQuery::first(99)).await.expect("events");
        events.into_iter().map(|event| (event.at, event.event)).collect::<Vec<_>>()
    };
    assert_eq!(events(&copy).await, events(&vault).await);
    let presented = Presented {
        family: [7; 32],
        generation: 0,
        client_id: "web".into(),
        refresh_kid: 3,
        grace: DAY,
        grace_unused: DAY,
        idle: DAY,
    };
    assert!(matches!(copy.sessions.rotate(&presented).await, Ok(Rotation::Granted { generation: 1, .. })));
}

#[tokio::test(flavor = "multi_thread")]
async fn deleted_address_is_in_no_backup() {
    let (folder, path) = vault_file();
    let vault = open(&path).expect("a vault");
    let user = add_user(&vault, "ada").await.expect("done");
    for address in ["firstmarker@example.org", "secondmarker@example.org"] {
        let change = AttributesChange {
            email: Edit::Set(address.parse().expect("an address")),
            ..AttributesChange::default()
        };
        vault.users.change(user, &UserChange::Attributes(change)).await.expect("done");
    }
    let found = async |name: &str| {
        let copy = folder.path().join(name);
        vault.audit.backup(&copy).await.expect("done");
        let bytes = fs::read(copy).expect("a copy");
        let has = |text: &str| bytes.windows(text.len()).any(|part| part == text.as_bytes());
        [has("firstmarker"), has("secondmarker")]
    };
    assert_eq!(found("before").await, [false, true]);
    vault.users.change(user, &UserChange::Deleted).await.expect("done");
    assert_eq!(found("after").await, [false, false]);
}

#[tokio::test(flavor = "multi_thread")]
async fn backup_replaces_no_file() {
    let (folder, path) = vault_file();
    let vault = open(&path).expect("a vault");
    let to = folder.path().join("precious");
    fs::write(&to, "mine").expect("written");
    let error = vault.audit.backup(&to).await.expect_err("it exists").to_string();
    assert!(error.contains("exists already"), "{error}");
    assert!(vault.audit.backup(&path).await.is_err());
    assert_eq!(fs::read(&to).expect("readable"), b"mine");
    assert!(vault.audit.backup(&folder.path().join("missing").join("backup.db")).await.is_err());
}
