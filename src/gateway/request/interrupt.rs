//! Interrupts the wait for an app so that the client still gets an error response.
//!
//! While a request waits for its app, Pingora reads two sides: the app, and the client, which may disconnect. Dropping the
//! request would close both without a response. So a read error on the client's side is simulated instead: Pingora returns with
//! an error, and the client is still connected. Over HTTP/1.1, `bounded_stream` does that. Over HTTP/2, Pingora owns the
//! stream, and this module wraps it for the time of the wait.

use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::Stream;
use http::HeaderMap;
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::protocols::Digest;
use pingora::protocols::http::custom::CustomMessageWrite;
use pingora::protocols::http::custom::server::Session as CustomSession;
use pingora::protocols::http::v2::server::HttpSession;
use pingora::protocols::http::{HttpTask, ServerSession};
use pingora::protocols::l4::socket::SocketAddr;
use pingora::proxy::Session;
use pingora::{Error, ErrorType, Result};

use crate::gateway::request::silence::{Silence, TIMED_OUT};

/// Makes the wait for the app interruptible. Does nothing over HTTP/1.1.
///
/// Call it when the request's body is complete, not earlier: until then Pingora watches for the client's reset while it writes
/// to the app, and does so only for its own streams. The same holds for its check of the request's authority. Only gRPC calls are
/// interruptible from the start, and to the header of their response: an app that has not begun such a call blocks its body.
pub(crate) fn make_interruptible(session: &mut Session, silence: &Arc<Silence>) {
    if !session.is_http2() {
        return;
    }
    let stream = std::mem::replace(&mut *session.downstream_session, placeholder());
    *session.downstream_session = match stream {
        ServerSession::H2(stream) => {
            silence.set_interruptible(true);
            let stream = Interruptible { stream: Some(stream), silence: Arc::clone(silence) };
            ServerSession::Custom(Box::new(stream))
        }
        other => other,
    };
}

/// Ends the wait: gives the stream back to Pingora.
pub(crate) fn restore(session: &mut Session, silence: &Silence) {
    if !session.downstream_session.is_custom() {
        return;
    }
    drop(std::mem::replace(&mut *session.downstream_session, placeholder()));
    silence.set_interruptible(false);
    if let Some(stream) = silence.slot().take() {
        *session.downstream_session = ServerSession::H2(stream);
    }
}

/// Session for the moment in which a stream is moved.
fn placeholder() -> ServerSession {
    ServerSession::Custom(Box::new(()))
}

/// An HTTP/2 stream whose reads can be made to fail.
struct Interruptible {
    /// `Some` until dropped.
    stream: Option<HttpSession>,
    silence: Arc<Silence>,
}

impl Interruptible {
    fn stream(&self) -> &HttpSession {
        self.stream.as_ref().expect("is `Some` until dropped")
    }

    fn stream_mut(&mut self) -> &mut HttpSession {
        self.stream.as_mut().expect("is `Some` until dropped")
    }
}

impl Drop for Interruptible {
    fn drop(&mut self) {
        if let Some(stream) = self.stream.take() {
            self.silence.slot().put(stream);
        }
    }
}

/// Forwards to Pingora's stream, except [`read_body_or_idle`](CustomSession::read_body_or_idle) and
/// [`response_duplex_vec`](CustomSession::response_duplex_vec).
#[async_trait]
impl CustomSession for Interruptible {
    async fn read_body_or_idle(&mut self, no_body_expected: bool) -> Result<Option<Bytes>> {
        let silence = Arc::clone(&self.silence);
        let mut read = pin!(self.stream_mut().read_body_or_idle(no_body_expected));
        std::future::poll_fn(|cx| match read.as_mut().poll(cx) {
            Poll::Pending if silence.has_expired() => {
                Poll::Ready(Error::e_explain(ErrorType::ReadTimedout, TIMED_OUT))
            }
            other => other,
        })
        .await
    }

    async fn response_duplex_vec(&mut self, tasks: Vec<HttpTask>) -> Result<bool> {
        self.silence.client_blocks(true);
        let written = self.stream_mut().response_duplex_vec(tasks).await;
        self.silence.client_blocks(false);
        written
    }

    fn req_header(&self) -> &RequestHeader {
        self.stream().req_header()
    }

    fn req_header_mut(&mut self) -> &mut RequestHeader {
        self.stream_mut().req_header_mut()
    }

    async fn read_body_bytes(&mut self) -> Result<Option<Bytes>> {
        self.stream_mut().read_body_bytes().await
    }

    async fn drain_request_body(&mut self) -> Result<()> {
        self.stream_mut().drain_request_body().await
    }

    async fn write_response_header(&mut self, response: Box<ResponseHeader>, end: bool) -> Result<()> {
        self.stream_mut().write_response_header(response, end)
    }

    async fn write_response_header_ref(&mut self, response: &ResponseHeader, end: bool) -> Result<()> {
        self.stream_mut().write_response_header_ref(response, end)
    }

    async fn write_body(&mut self, data: Bytes, end: bool) -> Result<()> {
        self.stream_mut().write_body(data, end).await
    }

    async fn write_trailers(&mut self, trailers: HeaderMap) -> Result<()> {
        self.stream_mut().write_trailers(trailers)
    }

    /// Does nothing: HTTP/2 streams have no read timeout.
    fn set_read_timeout(&mut self, _: Option<Duration>) {}

    fn get_read_timeout(&self) -> Option<Duration> {
        None
    }

    fn set_write_timeout(&mut self, timeout: Option<Duration>) {
        self.stream_mut().set_write_timeout(timeout);
    }

    fn get_write_timeout(&self) -> Option<Duration> {
        self.stream().get_write_timeout()
    }

    fn set_total_drain_timeout(&mut self, timeout: Option<Duration>) {
        self.stream_mut().set_total_drain_timeout(timeout);
    }

    fn get_total_drain_timeout(&self) -> Option<Duration> {
        self.stream().get_total_drain_timeout()
    }

    fn request_summary(&self) -> String {
        self.stream().request_summary()
    }

    fn response_written(&self) -> Option<&ResponseHeader> {
        self.stream().response_written()
    }

    async fn shutdown(&mut self, _: u32, _: &str) {
        self.stream_mut().shutdown();
    }

    fn is_body_done(&mut self) -> bool {
        self.stream().is_body_done()
    }

    async fn finish(&mut self) -> Result<()> {
        self.stream_mut().finish()
    }

    fn is_body_empty(&mut self) -> bool {
        self.stream().is_body_empty()
    }

    fn body_bytes_sent(&self) -> usize {
        self.stream().body_bytes_sent()
    }

    fn body_bytes_read(&self) -> usize {
        self.stream().body_bytes_read()
    }

    fn digest(&self) -> Option<&Digest> {
        self.stream().digest()
    }

    fn digest_mut(&mut self) -> Option<&mut Digest> {
        self.stream_mut().digest_mut()
    }

    fn client_addr(&self) -> Option<&SocketAddr> {
        self.stream().client_addr()
    }

    fn server_addr(&self) -> Option<&SocketAddr> {
        self.stream().server_addr()
    }

    fn pseudo_raw_h1_request_header(&self) -> Bytes {
        self.stream().pseudo_raw_h1_request_header()
    }

    fn enable_retry_buffering(&mut self) {
        self.stream_mut().enable_retry_buffering();
    }

    fn retry_buffer_truncated(&self) -> bool {
        self.stream().retry_buffer_truncated()
    }

    fn get_retry_buffer(&self) -> Option<Bytes> {
        self.stream().get_retry_buffer()
    }

    async fn finish_custom(&mut self) -> Result<()> {
        Ok(())
    }

    fn take_custom_message_reader(
        &mut self,
    ) -> Option<Box<dyn Stream<Item = Result<Bytes>> + Unpin + Send + Sync + 'static>> {
        None
    }

    fn restore_custom_message_reader(
        &mut self,
        _: Box<dyn Stream<Item = Result<Bytes>> + Unpin + Send + Sync + 'static>,
    ) -> Result<()> {
        Ok(())
    }

    fn take_custom_message_writer(&mut self) -> Option<Box<dyn CustomMessageWrite>> {
        None
    }

    fn restore_custom_message_writer(&mut self, _: Box<dyn CustomMessageWrite>) -> Result<()> {
        Ok(())
    }
}
