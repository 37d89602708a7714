//! TLS handshake of a connection, under the header deadline and the connection limit.
//!
//! Pingora's listener is not used for it: it would allow each handshake a minute before the acceptor sees the connection, and
//! knows neither the TLS settings of the snapshot in force nor the metrics.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::HeaderValue;
use pingora::listeners::tls::Acceptor;
use pingora::protocols::l4::stream::Stream as Socket;
use pingora::protocols::{Peek as _, Ssl as _, Stream};
use tokio::sync::Notify;

use crate::certificate::{Clients, Shown};
use crate::clock::Timestamp;
use crate::gateway::tls_error::{self, TlsError};
use crate::metrics::{Handshake, Metrics};
use crate::snapshot::Tls;

/// Client authentication of a handshake: the certificate that the client presented, if any. Lives as long as its connection.
pub(crate) struct ClientAuthentication {
    chain: Option<Shown>,
    /// Value of `Client-Cert`, if the client presented a certificate.
    field: Option<HeaderValue>,
    /// Client certificate settings under which the certificate was last accepted.
    accepted_under: Mutex<Option<Clients>>,
    /// Signalled when the certificate is no longer accepted.
    outdated: Notify,
}

impl ClientAuthentication {
    fn new(chain: Option<Shown>, tls: &Tls) -> Self {
        let field = chain.as_ref().and_then(|chain| HeaderValue::from_str(&chain.field()).ok());
        let accepted_under = Mutex::new(tls.clients().cloned());
        Self { chain, field, accepted_under, outdated: Notify::new() }
    }

    /// Value of `Client-Cert` for the app.
    pub(crate) const fn field(&self) -> Option<&HeaderValue> {
        self.field.as_ref()
    }

    /// Whether a new handshake with this certificate would succeed now. A connection may outlive its certificate, and a reload
    /// may have removed the CA or begun to require certificates. The chain is verified again only when the settings change.
    pub(crate) fn is_valid(&self, tls: Option<&Tls>, now: Timestamp) -> bool {
        let is_accepted = self.is_accepted(tls.and_then(Tls::clients), now);
        if !is_accepted {
            self.outdated.notify_one();
        }
        is_accepted
    }

    /// Resolves when a request was refused because the certificate is no longer accepted.
    pub(crate) async fn until_outdated(&self) {
        self.outdated.notified().await;
    }

    fn is_accepted(&self, clients: Option<&Clients>, now: Timestamp) -> bool {
        if self.chain.as_ref().is_some_and(|chain| chain.ends() < now) {
            return false;
        }
        let mut accepted_under = self.accepted_under.lock().unwrap_or_else(PoisonError::into_inner);
        let is_unchanged = match (accepted_under.as_ref(), clients) {
            (Some(accepted_under), Some(clients)) => accepted_under.is(clients),
            (None, None) => true,
            _ => false,
        };
        if is_unchanged {
            return true;
        }
        // Without client certificate settings, no route forwards the certificate.
        let is_accepted = clients.is_none_or(|clients| clients.admit(self.chain.as_ref(), now));
        if is_accepted {
            *accepted_under = clients.cloned();
        }
        is_accepted
    }
}

/// Result of accepting a connection on a TLS listener.
pub(crate) enum Accepted {
    /// An encrypted connection, with the client's certificate.
    Encrypted(Stream, ClientAuthentication),
    /// A client that speaks HTTP without TLS. All its requests are refused.
    InClear(Stream),
}

/// Performs the handshake; `None` when it fails or times out.
pub(crate) async fn accept(
    stream: Stream,
    tls: &Tls,
    deadline: Duration,
    client: IpAddr,
    metrics: &Metrics,
) -> Option<Accepted> {
    // Pingora's plain listener passes sockets.
    let mut socket = stream.into_any().downcast::<Socket>().ok()?;
    let acceptor = Acceptor::from_server_config(Arc::clone(tls.config()));
    let accepting = async {
        let mut first = [0];
        // A TLS record begins with 22, an HTTP/1 request with a letter (RFC 8446 section 5.1, RFC 9110 section 9.1).
        if socket.try_peek(&mut first).await.is_ok() && first[0].is_ascii_alphabetic() {
            return Ok(Err(socket));
        }
        acceptor.tls_handshake(*socket).await.map(Ok)
    };
    let (result, cause) = match tokio::time::timeout(deadline, accepting).await {
        Ok(Ok(Ok(encrypted))) => {
            metrics.requests.tls_handshakes.of(Handshake::Ok).inc();
            let chain = encrypted.get_ssl().and_then(|ssl| ssl.peer_cert_chain_der());
            let client_authentication = ClientAuthentication::new(chain.and_then(Shown::of), tls);
            return Some(Accepted::Encrypted(Box::new(encrypted), client_authentication));
        }
        Ok(Ok(Err(socket))) => {
            // Not logged here: its request is in the access log.
            metrics.requests.tls_handshakes.of(Handshake::Failed).inc();
            return Some(Accepted::InClear(socket));
        }
        Ok(Err(error)) => (Handshake::Failed, describe(&error.root_cause().to_string())),
        Err(_) => (Handshake::Late, "it took too long".to_owned()),
    };
    metrics.requests.tls_handshakes.of(result).inc();
    tracing::info!(reason = "tls_handshake_failed", %client, cause, "TLS handshake failed");
    None
}

/// Describes a failed handshake. Two messages that require TLS knowledge are replaced.
fn describe(error: &str) -> String {
    let message = tls_error::message(error);
    match TlsError::of(message) {
        TlsError::NotTls => "what came is not TLS: the other side speaks plain HTTP".to_owned(),
        TlsError::CaAsEndEntity => {
            "its certificate is an authority's own: have the authority sign one for it".to_owned()
        }
        _ => message.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::describe;

    #[test]
    fn handshake_error_is_reported_without_context() {
        let error = " TLSHandshakeFailure context: TLS accept() failed:  TLSHandshakeFailure context: tls connect error: received \
                     fatal alert: UnknownCA";
        assert_eq!(describe(error), "received fatal alert: UnknownCA");
        assert_eq!(describe("connection reset"), "connection reset");
        let plain = describe("tls connect error: received corrupt message of type InvalidContentType");
        assert_eq!(plain, "what came is not TLS: the other side speaks plain HTTP");
    }
}
