//! Waiting for events that take seconds: looking more often would cost the gateways their processor.

use std::time::Duration;

const INTERVAL: Duration = Duration::from_millis(100);
/// Time after which what has not happened never will; only a hang takes as long, also on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(240);

/// Waits until `check` holds. Returns false if it does not within `patience`.
pub(crate) async fn until(patience: Duration, mut check: impl AsyncFnMut() -> bool) -> bool {
    let polling = async {
        while !check().await {
            tokio::time::sleep(INTERVAL).await;
        }
    };
    tokio::time::timeout(patience, polling).await.is_ok()
}
