//! A client for raw bytes on a connection that is reused while it lasts, with short waits.

use std::net::SocketAddr;
use std::time::Duration;

use crate::support::{Client, Response};

/// Response timeout. A request takes a millisecond.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) struct Line {
    address: SocketAddr,
    client: Option<Client>,
}

impl Line {
    pub(crate) fn to(address: SocketAddr) -> Self {
        Self { address, client: None }
    }

    /// Response to one request; `None` when the connection was closed without one. A closed connection is replaced.
    pub(crate) async fn ask(&mut self, method: &str, bytes: &[u8]) -> Option<Response> {
        let sending = async {
            if let Some(client) = &mut self.client
                && client.try_send(bytes).await
                && let Some(response) = client.response(method).await
            {
                return Some(response);
            }
            let mut client = Client::connect(self.address).await;
            client.try_send(bytes).await;
            let response = client.response(method).await;
            self.client = Some(client);
            response
        };
        let sent = tokio::time::timeout(PATIENCE, sending).await;
        let response = sent.unwrap_or_else(|_| panic!("no answer and no end: {}", bytes.escape_ascii()));
        if response.as_ref().is_none_or(|response| response.header("connection") == Some("close")) {
            self.client = None;
        }
        response
    }

    /// Sends on a new connection.
    pub(crate) async fn ask_apart(&mut self, method: &str, bytes: &[u8]) -> Option<Response> {
        self.client = None;
        let response = self.ask(method, bytes).await;
        self.client = None;
        response
    }
}
