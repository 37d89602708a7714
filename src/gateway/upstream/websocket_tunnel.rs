//! Upstream connections for WebSockets: the response is never read before the request has ended.
//!
//! If Pingora 0.9.1 reads the app's 101 first, it takes the end of the upgrade request's empty body for the end of the tunnel
//! (cloudflare/pingora#946, open): the client is switched over and closed at once. Both events wait in the same `select!`, so it
//! is enough that the first read after a write is not ready at once; the end of the body is. Remove this with a Pingora that
//! has the fix; `tests/gateway/revocation/streams.rs` shows when.

use std::fmt::Debug;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use async_trait::async_trait;
use pingora::connectors::l4::Connect;
use pingora::protocols::l4::socket::SocketAddr;
use pingora::protocols::l4::stream::Stream;
use pingora::protocols::l4::virt::{VirtualSockOpt, VirtualSocket, VirtualSocketStream};
use pingora::{Error, ErrorType, OrErr};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

/// Pool group of these connections: those that were not opened here read the response at once.
pub(crate) const GROUP: u64 = 1;

/// Connector of these connections.
#[derive(Debug)]
pub(crate) struct Tunnels {
    pub(crate) connect_timeout: Duration,
}

#[async_trait]
impl Connect for Tunnels {
    async fn connect(&self, address: &SocketAddr) -> pingora::Result<Stream> {
        let connecting = async {
            Ok(match address {
                SocketAddr::Inet(address) => {
                    let stream = TcpStream::connect(address).await?;
                    // Without Nagle's algorithm: a message must not wait for the next one.
                    stream.set_nodelay(true)?;
                    VirtualSocketStream::new(Box::new(Tunnel { stream, written: false }))
                }
                SocketAddr::Unix(address) => {
                    let path = address.as_pathname().ok_or(io::ErrorKind::InvalidInput)?;
                    let stream = UnixStream::connect(path).await?;
                    VirtualSocketStream::new(Box::new(Tunnel { stream, written: false }))
                }
            })
        };
        let connected = tokio::time::timeout(self.connect_timeout, connecting).await;
        let connected = connected.or_err(ErrorType::ConnectTimedout, "connecting for a WebSocket")?;
        let stream = connected.map_err(|error: io::Error| {
            Error::because(ErrorType::ConnectError, "connecting for a WebSocket", error)
        })?;
        Ok(stream.into())
    }
}

#[derive(Debug)]
struct Tunnel<S> {
    stream: S,
    /// Whether bytes were written since the last read.
    written: bool,
}

impl<S: AsyncRead + Unpin> AsyncRead for Tunnel<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if std::mem::take(&mut self.written) {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        Pin::new(&mut self.stream).poll_read(context, into)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Tunnel<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        from: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.stream).poll_write(context, from));
        self.written = true;
        Poll::Ready(written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

impl<S> VirtualSocket for Tunnel<S>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + Sync + Debug,
{
    /// Does nothing: the socket options are set on connect.
    fn set_socket_option(&self, _: VirtualSockOpt) -> io::Result<()> {
        Ok(())
    }
}
