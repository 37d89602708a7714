//! The request that the current task serves.
//!
//! Pingora calls its callbacks, and polls the streams, in the task that reads the request. So a task-local takes what the connection
//! knows of a request past Pingora: [`current`] hands all of it to the context of the request, once.

use std::sync::Arc;

use tokio::time::Instant;

use crate::auth::Control;
use crate::error::Refusal;
use crate::gateway::connection::backlog::Backlog;
use crate::gateway::connection::listener::Listener;
use crate::gateway::connection::tls::Proof;
use crate::gateway::connection::traffic::Traffic;
use crate::gateway::request::silence::Silence;

tokio::task_local! {
    static REQUEST: CurrentRequest;
}

/// What a connection knows of its request.
#[derive(Clone)]
pub(crate) struct CurrentRequest {
    /// The handle by which the request is cut.
    pub(crate) control: Arc<Control>,
    /// The clock of the app's silence.
    pub(crate) silence: Arc<Silence>,
    /// The send backlog of its response.
    pub(crate) backlog: Arc<Backlog>,
    /// The listener that accepted its connection.
    pub(crate) listener: Listener,
    /// The client certificate that was verified in the handshake.
    pub(crate) proof: Option<Arc<Proof>>,
    /// Why it is refused, where that is certain already.
    pub(crate) refused: Option<Refusal>,
}

/// Runs `serving` as the task of `request`.
pub(crate) async fn scope<F: Future>(request: CurrentRequest, serving: F) -> F::Output {
    REQUEST.scope(request, serving).await
}

/// The request of this task. In a task without one nobody could cut the request, and neither its listener nor its client certificate
/// would count: it is refused as `Internal`. That is a defect, such as a callback that was called in a task of its own.
pub(crate) fn current(traffic: &Traffic) -> CurrentRequest {
    REQUEST.try_with(CurrentRequest::clone).unwrap_or_else(|_| {
        tracing::error!(
            reason = "request_unreachable",
            "a request is served by a task that does not know it"
        );
        CurrentRequest {
            control: Arc::default(),
            silence: Silence::new(Instant::now()),
            backlog: Backlog::of_http1(traffic.held(), None, true),
            listener: Listener::Plain,
            proof: None,
            refused: Some(Refusal::Internal),
        }
    })
}

/// Whether the app of this task's request has been silent for too long.
pub(crate) fn app_is_given_up() -> bool {
    REQUEST.try_with(|request| request.silence.has_expired()).unwrap_or(false)
}

/// Notes whether the client of this task's request takes what it is sent.
pub(crate) fn client_blocks(blocks: bool) {
    // What closes a connection has no request.
    let _ = REQUEST.try_with(|request| request.silence.client_blocks(blocks));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn request_that_its_task_does_not_know_is_refused() {
        let traffic = Traffic::default();
        let request = CurrentRequest {
            control: Arc::default(),
            silence: Silence::new(Instant::now()),
            backlog: Backlog::of_http1(&Arc::default(), None, false),
            listener: Listener::Plain,
            proof: None,
            refused: None,
        };
        scope(request, async { assert_eq!(current(&traffic).refused, None) }).await;
        assert_eq!(current(&traffic).refused, Some(Refusal::Internal));
        let elsewhere = tokio::spawn(async move { current(&traffic).refused });
        assert_eq!(elsewhere.await.expect("no panic"), Some(Refusal::Internal));
    }
}
