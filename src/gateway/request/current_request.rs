//! Request of the current task.
//!
//! Pingora runs its callbacks, and polls the streams, in the task that reads the request. So a task-local passes the connection's
//! facts about a request around Pingora: [`get`] copies them into the context of the request, once.

use std::sync::Arc;

use tokio::time::Instant;

use crate::auth::Control;
use crate::error::Refusal;
use crate::gateway::connection::backlog::Backlog;
use crate::gateway::connection::listener::Listener;
use crate::gateway::connection::tls::ClientAuthentication;
use crate::gateway::connection::traffic::Traffic;
use crate::gateway::request::silence::Silence;

tokio::task_local! {
    static REQUEST: CurrentRequest;
}

/// Facts about a request that its connection passes to the callbacks.
#[derive(Clone)]
pub(crate) struct CurrentRequest {
    /// Handle by which the request is cut.
    pub(crate) control: Arc<Control>,
    /// Timeout of the app's silence.
    pub(crate) silence: Arc<Silence>,
    /// Send backlog of the response.
    pub(crate) backlog: Arc<Backlog>,
    /// Listener that accepted the connection.
    pub(crate) listener: Listener,
    /// Client authentication in the TLS handshake.
    pub(crate) client_authentication: Option<Arc<ClientAuthentication>>,
    /// Refusal that the connection has decided on already.
    pub(crate) connection_refusal: Option<Refusal>,
}

/// Runs `serving` with `request` as the current request.
pub(crate) async fn scope<F: Future>(request: CurrentRequest, serving: F) -> F::Output {
    REQUEST.scope(request, serving).await
}

/// Returns the request of this task. In a task without one, the request is refused as `Internal`: it could not be cut, and its
/// listener and client certificate are unknown. That is a defect, such as a callback that runs in a task of its own.
pub(crate) fn get(traffic: &Traffic) -> CurrentRequest {
    REQUEST.try_with(CurrentRequest::clone).unwrap_or_else(|_| {
        tracing::error!(reason = "request_unreachable", "callback runs outside the task of its request");
        CurrentRequest {
            control: Arc::default(),
            silence: Silence::new(Instant::now()),
            backlog: Backlog::of_http1(traffic.held(), None, true),
            listener: Listener::Plain,
            client_authentication: None,
            connection_refusal: Some(Refusal::Internal),
        }
    })
}

/// Whether the timeout of the app of this task's request has expired.
pub(crate) fn app_is_given_up() -> bool {
    REQUEST.try_with(|request| request.silence.has_expired()).unwrap_or(false)
}

/// Records whether the client of this task's request is blocked.
pub(crate) fn client_blocks(blocks: bool) {
    // A connection that is closing has no current request.
    let _ = REQUEST.try_with(|request| request.silence.client_blocks(blocks));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn request_outside_its_task_is_refused() {
        let traffic = Traffic::default();
        let request = CurrentRequest {
            control: Arc::default(),
            silence: Silence::new(Instant::now()),
            backlog: Backlog::of_http1(&Arc::default(), None, false),
            listener: Listener::Plain,
            client_authentication: None,
            connection_refusal: None,
        };
        scope(request, async { assert_eq!(get(&traffic).connection_refusal, None) }).await;
        assert_eq!(get(&traffic).connection_refusal, Some(Refusal::Internal));
        let other_task = tokio::spawn(async move { get(&traffic).connection_refusal });
        assert_eq!(other_task.await.expect("no panic"), Some(Refusal::Internal));
    }
}
