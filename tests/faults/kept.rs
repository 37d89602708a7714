//! HTTP/2 connections that a client keeps, one to each gateway. Whatever happens to a request is its outcome.

use std::net::SocketAddr;

use bytes::Bytes;
use h2::client::{SendRequest, handshake};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::sync::Mutex;

use crate::client::{Outcome, PATIENCE};
use crate::fleet::GATEWAYS;

/// Attempts of a request: one that the gateway surely did not process may be sent again (RFC 9113 section 8.7).
const ATTEMPTS: usize = 3;

/// Connections by gateway.
#[derive(Default)]
pub(crate) struct Kept([Mutex<Option<SendRequest<Bytes>>>; GATEWAYS]);

enum Failure {
    /// Not processed.
    Unsent,
    Lost(&'static str),
}

impl Kept {
    /// Requests the signed-in route.
    pub(crate) async fn call(&self, gateway: usize, address: SocketAddr, bearer: &str) -> Outcome {
        let mut failure = Failure::Unsent;
        for _ in 0..ATTEMPTS {
            let asked = tokio::time::timeout(PATIENCE, self.ask(gateway, address, bearer)).await;
            match asked.unwrap_or(Err(Failure::Lost("timeout"))) {
                Ok(outcome) => return outcome,
                Err(Failure::Unsent) => *self.0[gateway].lock().await = None,
                Err(lost) => {
                    *self.0[gateway].lock().await = None;
                    failure = lost;
                    break;
                }
            }
        }
        Outcome::lost(if let Failure::Lost(code) = failure { code } else { "refused" })
    }

    async fn ask(&self, gateway: usize, address: SocketAddr, bearer: &str) -> Result<Outcome, Failure> {
        let mut connection = self.0[gateway].lock().await;
        let sender = match connection.take() {
            Some(kept) => kept,
            None => connect(address).await?,
        };
        let mut ready = sender.ready().await.map_err(|_| Failure::Unsent)?;
        let request =
            http::Request::get("http://gateway.test/").header("authorization", format!("Bearer {bearer}"));
        let request = request.body(()).expect("a request");
        let (response, _) = ready.send_request(request, true).map_err(|_| Failure::Unsent)?;
        *connection = Some(ready);
        drop(connection);
        let response = response.await.map_err(|error| failure(&error))?;
        let (head, mut body) = response.into_parts();
        let mut bytes = Vec::new();
        while let Some(data) = body.data().await {
            let data = data.map_err(|_| Failure::Lost("cut"))?;
            let _ = body.flow_control().release_capacity(data.len());
            bytes.extend_from_slice(&data);
        }
        let body: Value = serde_json::from_slice(&bytes).unwrap_or_default();
        Ok(Outcome {
            status: head.status.as_u16(),
            code: body["code"].as_str().unwrap_or_default().to_owned(),
            retry_after: head.headers.contains_key("retry-after"),
            body,
        })
    }
}

async fn connect(address: SocketAddr) -> Result<SendRequest<Bytes>, Failure> {
    let stream = TcpStream::connect(address).await.map_err(|_| Failure::Lost("refused"))?;
    let _ = stream.set_nodelay(true);
    let (sender, connection) = handshake(stream).await.map_err(|_| Failure::Unsent)?;
    tokio::spawn(async move { drop(connection.await) });
    Ok(sender)
}

/// A stream above the last one that the gateway took, or one that it refused, was not processed.
fn failure(error: &h2::Error) -> Failure {
    let is_unsent = error.is_go_away() && error.reason() == Some(h2::Reason::NO_ERROR)
        || error.reason() == Some(h2::Reason::REFUSED_STREAM);
    if is_unsent { Failure::Unsent } else { Failure::Lost("cut") }
}
