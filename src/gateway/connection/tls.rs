//! The TLS handshake of a connection, under a deadline and within the connection's place.
//!
//! Made here and not by Pingora's listener, which would allow each a minute before the gate sees it, and could be told
//! neither the terms of the snapshot in force nor where to count.

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
use crate::metrics::{Handshake, Metrics};
use crate::snapshot::Tls;

/// What a handshake has proved of the client, for as long as its connection lasts.
pub(crate) struct Proof {
    shown: Option<Shown>,
    /// `Client-Cert`, where one was shown.
    field: Option<HeaderValue>,
    /// The terms it was last found good under.
    under: Mutex<Option<Clients>>,
    /// It was found to count no more.
    outdated: Notify,
}

impl Proof {
    fn new(chain: Option<Shown>, terms: &Tls) -> Self {
        let field = chain.as_ref().and_then(|shown| HeaderValue::from_str(&shown.field()).ok());
        Self { shown: chain, field, under: Mutex::new(terms.clients().cloned()), outdated: Notify::new() }
    }

    /// What the app may be told.
    pub(crate) const fn field(&self) -> Option<&HeaderValue> {
        self.field.as_ref()
    }

    /// Whether the client would be let in now, too: a connection may outlive its certificate, and a reload may have
    /// taken the authority away, or begun to ask. Looked at once for each time the terms change.
    pub(crate) fn counts(&self, terms: Option<&Tls>, now: Timestamp) -> bool {
        let counts = self.still_counts(terms.and_then(Tls::clients), now);
        if !counts {
            self.outdated.notify_one();
        }
        counts
    }

    /// Resolves when a request was refused because it counts no more.
    pub(crate) async fn until_outdated(&self) {
        self.outdated.notified().await;
    }

    fn still_counts(&self, terms: Option<&Clients>, now: Timestamp) -> bool {
        if self.shown.as_ref().is_some_and(|shown| shown.ends() < now) {
            return false;
        }
        let mut under = self.under.lock().unwrap_or_else(PoisonError::into_inner);
        let is_known = match (under.as_ref(), terms) {
            (Some(known), Some(terms)) => known.is(terms),
            (None, None) => true,
            _ => false,
        };
        if is_known {
            return true;
        }
        // Where nobody is asked any more, no route passes on what was shown.
        let counts = terms.is_none_or(|terms| terms.admit(self.shown.as_ref(), now));
        if counts {
            *under = terms.cloned();
        }
        counts
    }
}

/// What a connection to a TLS listener turns out to be.
pub(crate) enum Accepted {
    /// An encrypted connection, and what the client has proved.
    Encrypted(Stream, Proof),
    /// A client that speaks HTTP without TLS. It is told so; nothing of it is served.
    InClear(Stream),
}

/// Makes the handshake; `None` when the connection cannot be used.
pub(crate) async fn accept(
    stream: Stream,
    terms: &Tls,
    deadline: Duration,
    client: IpAddr,
    metrics: &Metrics,
) -> Option<Accepted> {
    // What a plain listener hands over is a socket.
    let mut socket = stream.into_any().downcast::<Socket>().ok()?;
    let acceptor = Acceptor::from_server_config(Arc::clone(terms.config()));
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
            let chain = encrypted.get_ssl().and_then(|tls| tls.peer_cert_chain_der());
            let proof = Proof::new(chain.and_then(Shown::of), terms);
            return Some(Accepted::Encrypted(Box::new(encrypted), proof));
        }
        Ok(Ok(Err(socket))) => {
            // Its request has a line in the access log.
            metrics.requests.tls_handshakes.of(Handshake::Failed).inc();
            return Some(Accepted::InClear(socket));
        }
        Ok(Err(error)) => (Handshake::Failed, innermost(&error.root_cause().to_string())),
        Err(_) => (Handshake::Late, "it took too long".to_owned()),
    };
    metrics.requests.tls_handshakes.of(result).inc();
    tracing::info!(reason = "tls_handshake_failed", %client, cause, "a connection came to nothing");
    None
}

/// What rustls said, without the layers it was said through; in other words where its own are for those who know TLS.
fn innermost(error: &str) -> String {
    let said = error.rsplit("context: ").next().unwrap_or(error);
    let said = said.strip_prefix("tls connect error: ").unwrap_or(said);
    if said.contains("InvalidContentType") {
        return "what came is not TLS: the other side speaks plain HTTP".to_owned();
    }
    // What `openssl req -x509` makes unless told otherwise.
    if said.contains("CaUsedAsEndEntity") {
        return "its certificate is an authority's own: have the authority sign one for it".to_owned();
    }
    said.to_owned()
}

#[cfg(test)]
mod tests {
    use super::innermost;

    #[test]
    fn a_cause_is_what_was_found_and_not_where() {
        let error = " TLSHandshakeFailure context: TLS accept() failed:  TLSHandshakeFailure context: tls connect error: received \
                     fatal alert: UnknownCA";
        assert_eq!(innermost(error), "received fatal alert: UnknownCA");
        assert_eq!(innermost("connection reset"), "connection reset");
        let plain = innermost("tls connect error: received corrupt message of type InvalidContentType");
        assert_eq!(plain, "what came is not TLS: the other side speaks plain HTTP");
    }
}
