//! The threads and connections, which callers of the traits cannot see.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc;
use std::time::Duration;

use rusqlite::Connection;
use rusqlite::params;
use tempfile::TempDir;
use tokio::sync::Notify;

use super::schema;
use super::writer::{Tx, Writer};
use crate::clock::{Clock, SystemClock};
use crate::vault::VaultError;
use crate::vault::sqlite::fault::Fault;

type Work = Box<dyn FnOnce(&Tx<'_>) -> Result<usize, Fault> + Send>;

const PATIENCE: Duration = Duration::from_secs(10);

fn vault_path() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("vault.db");
    (folder, path)
}

fn writer(path: &Path, timeout: Duration) -> Arc<Writer> {
    waking(path, timeout, &Arc::new(Notify::new()))
}

fn waking(path: &Path, timeout: Duration, wake: &Arc<Notify>) -> Arc<Writer> {
    let connection = schema::open(path, PATIENCE).expect("a vault");
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    Arc::new(Writer::start(connection, &path.into(), &clock, wake, timeout).expect("a thread"))
}

fn note(tx: &Tx<'_>, event: &str) -> Result<usize, Fault> {
    tx.execute("INSERT INTO audit (at, event) VALUES (?1, ?2)", params![tx.now(), event])
}

fn notes(path: &Path) -> Vec<String> {
    let connection = schema::connect_to_read(path, PATIENCE).expect("a connection");
    let mut events = connection.prepare("SELECT event FROM audit ORDER BY event").expect("a statement");
    events.query_map([], |row| row.get(0)).expect("rows").collect::<Result<_, _>>().expect("texts")
}

#[test]
fn every_connection_syncs_each_commit_and_keeps_foreign_keys() {
    let (_folder, path) = vault_path();
    let number = |connection: &Connection, pragma: &str| -> i64 {
        connection.pragma_query_value(None, pragma, |row| row.get(0)).expect("a value")
    };
    let writing = schema::open(&path, PATIENCE).expect("a vault");
    let reading = schema::connect_to_read(&path, PATIENCE).expect("a connection");
    for connection in [&writing, &reading] {
        let mode: String =
            connection.pragma_query_value(None, "journal_mode", |row| row.get(0)).expect("a mode");
        assert_eq!((mode.as_str(), number(connection, "synchronous")), ("wal", 2));
        assert_eq!(number(connection, "foreign_keys"), 1);
        assert_eq!(number(connection, "busy_timeout"), 7_500);
    }
    assert!(reading.execute("INSERT INTO audit (at, event) VALUES (1, 'x')", []).is_err());
}

#[tokio::test]
async fn failed_or_panicking_job_rolls_back_only_its_own_work() {
    let (_folder, path) = vault_path();
    let writer = writer(&path, PATIENCE);
    // The first job blocks the thread until all the others wait, so that these share one batch.
    let (go, wait) = mpsc::channel::<()>();
    let run = |work: Work| {
        let writer = writer.clone();
        tokio::spawn(async move { writer.run(work).await })
    };
    let first = run(Box::new(move |tx| {
        wait.recv().ok();
        note(tx, "first")
    }));
    tokio::task::yield_now().await;
    let good = run(Box::new(|tx| note(tx, "good")));
    let failing = run(Box::new(|tx| {
        note(tx, "failing")?;
        Err(VaultError::LoginTaken.into())
    }));
    let panicking = run(Box::new(|tx| {
        note(tx, "panicking")?;
        panic!("as a fault in doorward would")
    }));
    let last = run(Box::new(|tx| note(tx, "last")));
    tokio::task::yield_now().await;
    go.send(()).expect("the first job waits");
    for job in [first, good, last] {
        assert_eq!(job.await.expect("no panic").expect("done"), 1);
    }
    assert!(matches!(failing.await.expect("no panic"), Err(VaultError::LoginTaken)));
    assert!(matches!(panicking.await.expect("no panic"), Err(VaultError::Unavailable(_))));
    assert_eq!(notes(&path), ["first", "good", "last"]);
}

#[tokio::test]
async fn lost_commit_is_reported_to_every_job_of_the_batch() {
    let (_folder, path) = vault_path();
    let writer = writer(&path, PATIENCE);
    let lost = writer.run(|tx| {
        note(tx, "lost")?;
        // As SQLite does when the disk is full.
        tx.execute("ROLLBACK", [])
    });
    assert!(matches!(lost.await, Err(VaultError::Unavailable(_))));
    writer.run(|tx| note(tx, "after")).await.expect("the thread continues");
    assert_eq!(notes(&path), ["after"]);
}

#[tokio::test]
async fn change_with_a_late_result_is_unavailable_and_still_done() {
    let (_folder, path) = vault_path();
    let writer = writer(&path, Duration::from_millis(50));
    let (go, wait) = mpsc::channel::<()>();
    let late = writer
        .run(move |tx| {
            wait.recv().ok();
            note(tx, "late")
        })
        .await;
    assert!(matches!(late, Err(VaultError::Unavailable(_))));
    go.send(()).expect("the job waits");
    // The next result comes after the late job's commit, or with it; it may be late itself.
    while writer.run(|_| Ok(())).await.is_err() {}
    assert_eq!(notes(&path), ["late"]);
}

#[tokio::test]
async fn follower_is_woken_only_by_a_commit_that_announces() {
    let (_folder, path) = vault_path();
    let wake = Arc::new(Notify::new());
    let writer = waking(&path, PATIENCE, &wake);
    writer.run(|tx| note(tx, "no news for a follower")).await.expect("done");
    let woken = tokio::time::timeout(Duration::from_millis(20), wake.notified()).await;
    assert!(woken.is_err(), "nothing was announced");
    writer
        .run(|tx| {
            tx.announce();
            Ok(())
        })
        .await
        .expect("done");
    // Nobody polls here: the permit exists before the result is returned.
    tokio::time::timeout(PATIENCE, wake.notified()).await.expect("woken");
}
