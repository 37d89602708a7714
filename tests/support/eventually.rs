//! Polling for a condition that must hold soon.

use std::time::Duration;

/// Polls until `check` holds; fails the test after `patience`.
pub(crate) async fn assert_eventually(what: &str, patience: Duration, check: impl AsyncFnMut() -> bool) {
    assert!(eventually(patience, check).await, "not within {patience:?}: {what}");
}

/// Polls until `check` holds. Returns false if it does not within `patience`.
pub(crate) async fn eventually(patience: Duration, mut check: impl AsyncFnMut() -> bool) -> bool {
    let polling = async {
        let mut tick = tokio::time::interval(Duration::from_millis(5));
        while !check().await {
            tick.tick().await;
        }
    };
    tokio::time::timeout(patience, polling).await.is_ok()
}
