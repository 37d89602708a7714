//! The TLS handshake of a connection, under a deadline and within the connection's place.
//!
//! Made here and not by Pingora's listener, which would allow each a minute before the gate sees it, and could be told
//! neither the terms of the snapshot in force nor where to count.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use pingora::listeners::tls::Acceptor;
use pingora::protocols::Stream;
use pingora::protocols::l4::stream::Stream as Socket;

use crate::metrics::{Handshake, Metrics};
use crate::snapshot::Tls;

/// The encrypted connection; `None` when there is none to be had with this client.
pub(super) async fn accept(
    stream: Stream,
    terms: &Tls,
    deadline: Duration,
    client: Option<IpAddr>,
    metrics: &Metrics,
) -> Option<Stream> {
    // What a plain listener hands over is a socket.
    let socket = stream.into_any().downcast::<Socket>().ok()?;
    let acceptor = Acceptor::from_server_config(Arc::clone(terms.config()));
    let (result, cause) = match tokio::time::timeout(deadline, acceptor.tls_handshake(*socket)).await {
        Ok(Ok(encrypted)) => {
            metrics.requests.tls_handshakes.of(Handshake::Ok).inc();
            return Some(Box::new(encrypted));
        }
        Ok(Err(error)) => (Handshake::Failed, innermost(&error.root_cause().to_string())),
        Err(_) => (Handshake::Late, "it took too long".to_owned()),
    };
    metrics.requests.tls_handshakes.of(result).inc();
    let client = client.map(tracing::field::display);
    tracing::info!(reason = "tls_handshake_failed", client, cause, "a connection came to nothing");
    None
}

/// What rustls said, without the layers it was said through.
fn innermost(error: &str) -> String {
    let said = error.rsplit("context: ").next().unwrap_or(error);
    said.strip_prefix("tls connect error: ").unwrap_or(said).to_owned()
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
    }
}
