//! A client with event streams and WebSockets whose sessions are ended.

use std::time::Duration;

use serde_json::Value;

use super::{BACKOFF, Desk, Session};
use crate::bounds::STREAM_LEASE;
use crate::client::Request;
use crate::history::Scope;

/// Beyond the longest bound of a stream.
const PATIENCE: Duration = STREAM_LEASE.saturating_add(Duration::from_secs(4));

pub(super) async fn work(mut desk: Desk) -> Vec<Session> {
    while desk.next().await {
        let (first, second) = (desk.gateway(), desk.gateway());
        // Streams and sign-ins are costly.
        desk.rest_for(BACKOFF).await;
        let Some(session) = desk.log_in(first, "cyd").await else { continue };
        let is_socket = desk.choices.chance(50);
        let Some(stream) = desk.open_stream(second, is_socket, &session).await else { continue };
        desk.rest_for(Duration::from_millis(300)).await;
        let by_command = desk.choices.chance(50);
        let ended = async {
            if by_command {
                return desk.revoke(&session).await;
            }
            let request = Request::post("/auth/logout", Some(&session.access), Value::Null);
            desk.end(first, &session, request, Scope::Session(session.id.clone())).await
        };
        let watched = desk.watch(second, &session, stream, PATIENCE);
        tokio::pin!(watched, ended);
        // The stream is read meanwhile. One that is not ended is given up.
        let acknowledged = tokio::select! {
            () = &mut watched => ended.await,
            acknowledged = &mut ended => {
                if acknowledged {
                    watched.await;
                }
                acknowledged
            }
        };
        if acknowledged {
            desk.people.bury(session.clone());
        }
    }
    Vec::new()
}
