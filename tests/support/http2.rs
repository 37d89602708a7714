//! An HTTP/2 client: one TLS connection with concurrent requests.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use h2::client::{self, SendRequest};
use h2::{Reason, RecvStream, SendStream};
use http::{HeaderMap, Request};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::JoinHandle;

use super::http::Response;
use super::tls::Trust;

/// Response timeout; exceeding it fails the test.
const PATIENCE: Duration = Duration::from_secs(30);

/// A connection; closed when dropped.
pub(crate) struct Http2 {
    pub(crate) send: SendRequest<Bytes>,
    connection: JoinHandle<Option<h2::Error>>,
}

/// A response with a pending body.
pub(crate) struct PendingResponse {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: RecvStream,
}

impl Http2 {
    /// Connects with TLS; fails the test when HTTP/2 is not negotiated.
    pub(crate) async fn connect(trust: &Trust, address: SocketAddr, host: &str) -> Self {
        Self::connect_as(&client::Builder::new(), trust, address, host).await
    }

    /// Connects without TLS, with prior knowledge, on an existing connection.
    pub(crate) async fn in_clear(stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static) -> Self {
        let (send, connection) = client::handshake(stream).await.expect("a preface");
        Self { send, connection: tokio::spawn(async move { connection.await.err() }) }
    }

    /// Connects with custom settings.
    pub(crate) async fn connect_as(
        settings: &client::Builder,
        trust: &Trust,
        address: SocketAddr,
        host: &str,
    ) -> Self {
        let stream = trust.offering(&[b"h2", b"http/1.1"]).connect(address, host).await.expect("a handshake");
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]), "HTTP/2 was offered");
        let (send, connection) = settings.handshake(stream).await.expect("a preface");
        Self { send, connection: tokio::spawn(async move { connection.await.err() }) }
    }

    /// Sends a request header and its body. With `None` the caller sends the body.
    pub(crate) async fn send(
        &mut self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: Option<&[u8]>,
    ) -> Result<(client::ResponseFuture, SendStream<Bytes>), h2::Error> {
        let mut request = Request::builder().method(method).uri(format!("https://gateway.test{target}"));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut ready = self.send.clone().ready().await?;
        let is_whole = body.is_some_and(<[u8]>::is_empty);
        let (response, mut stream) = ready.send_request(request.body(()).expect("a request"), is_whole)?;
        if let Some(body) = body.filter(|body| !body.is_empty()) {
            stream.send_data(Bytes::copy_from_slice(body), true)?;
        }
        Ok((response, stream))
    }

    /// Sends a request and returns the response header.
    pub(crate) async fn ask(
        &mut self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Result<PendingResponse, h2::Error> {
        let (response, _) = self.send(method, target, headers, Some(body)).await?;
        head(response).await
    }

    /// Sends a request and returns the complete response.
    pub(crate) async fn request(
        &mut self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Response {
        whole(self.ask(method, target, headers, body).await.expect("an answer")).await
    }

    /// Waits until the connection is closed and returns the error code; fails the test when it stays open.
    pub(crate) async fn until_closed(&mut self) -> Option<Reason> {
        let ended = tokio::time::timeout(PATIENCE, &mut self.connection).await.expect("it is closed");
        ended.expect("the connection").and_then(|error| error.reason())
    }
}

impl Drop for Http2 {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

/// Waits for a response header.
pub(crate) async fn head(response: client::ResponseFuture) -> Result<PendingResponse, h2::Error> {
    let response = tokio::time::timeout(PATIENCE, response).await.expect("an answer in time")?;
    let (parts, body) = response.into_parts();
    Ok(PendingResponse { status: parts.status.as_u16(), headers: parts.headers, body })
}

/// Reads the rest of a response.
pub(crate) async fn whole(mut response: PendingResponse) -> Response {
    let mut body = Vec::new();
    while let Some(chunk) = next(&mut response.body).await.expect("a body") {
        body.extend_from_slice(&chunk);
    }
    let pair = |(name, value): (&http::HeaderName, &http::HeaderValue)| {
        (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned())
    };
    Response { status: response.status, headers: response.headers.iter().map(pair).collect(), body }
}

/// The next chunk of a body; `None` at its end.
pub(crate) async fn next(body: &mut RecvStream) -> Result<Option<Bytes>, h2::Error> {
    let chunk = tokio::time::timeout(PATIENCE, body.data()).await.expect("something in time");
    let Some(chunk) = chunk.transpose()? else { return Ok(None) };
    body.flow_control().release_capacity(chunk.len())?;
    Ok(Some(chunk))
}
