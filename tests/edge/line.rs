//! A client that sends what it is given, on one connection for as long as that lasts, and never waits for long.

use std::net::SocketAddr;
use std::time::Duration;

use crate::support::{Client, Response};

/// Whatever is sent: by then there is an answer or an end. A request takes a millisecond.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) struct Line {
    address: SocketAddr,
    client: Option<Client>,
}

impl Line {
    pub(crate) fn to(address: SocketAddr) -> Self {
        Self { address, client: None }
    }

    /// The answer to one request; `None` when the connection was closed without one. A kept connection that has ended is
    /// replaced.
    pub(crate) async fn ask(&mut self, method: &str, bytes: &[u8]) -> Option<Response> {
        let asking = async {
            if let Some(client) = &mut self.client
                && client.try_send(bytes).await
                && let Some(answer) = client.response(method).await
            {
                return Some(answer);
            }
            let mut client = Client::connect(self.address).await;
            client.try_send(bytes).await;
            let answer = client.response(method).await;
            self.client = Some(client);
            answer
        };
        let asked = tokio::time::timeout(PATIENCE, asking).await;
        let answer = asked.unwrap_or_else(|_| panic!("no answer and no end: {}", bytes.escape_ascii()));
        if answer.as_ref().is_none_or(|answer| answer.header("connection") == Some("close")) {
            self.client = None;
        }
        answer
    }

    /// The same on a connection of its own.
    pub(crate) async fn ask_apart(&mut self, method: &str, bytes: &[u8]) -> Option<Response> {
        self.client = None;
        let answer = self.ask(method, bytes).await;
        self.client = None;
        answer
    }
}
