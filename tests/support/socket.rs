//! A WebSocket: the client side for tests, the server side for the app.

use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use tungstenite::protocol::Role;
use tungstenite::{ClientRequestBuilder, Message, WebSocket};

/// Timeout that only ends a hang.
const PATIENCE: Duration = Duration::from_secs(30);

/// A WebSocket client. It is blocking, so each step runs on a blocking thread.
pub(crate) struct Socket(Option<WebSocket<TcpStream>>);

impl Socket {
    /// Opens a WebSocket with a bearer; fails the test when it is refused.
    pub(crate) async fn open(address: SocketAddr, path: &str, bearer: &str) -> Self {
        let url = format!("ws://gateway.test{path}").parse().expect("a URL");
        let request = ClientRequestBuilder::new(url).with_header("Authorization", format!("Bearer {bearer}"));
        let opening = tokio::task::spawn_blocking(move || {
            let stream = TcpStream::connect(address).expect("the gateway listens");
            stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
            tungstenite::client(request, stream).expect("a handshake").0
        });
        Self(Some(opening.await.expect("a socket")))
    }

    async fn step<T: Send + 'static>(
        &mut self,
        work: impl FnOnce(&mut WebSocket<TcpStream>) -> T + Send + 'static,
    ) -> T {
        let mut socket = self.0.take().expect("one step at a time");
        let (socket, done) = tokio::task::spawn_blocking(move || {
            let done = work(&mut socket);
            (socket, done)
        })
        .await
        .expect("a step");
        self.0 = Some(socket);
        done
    }

    /// Sends a text and reads it back; fails the test on any other message.
    pub(crate) async fn echo(&mut self, text: &str) {
        let text = text.to_owned();
        self.step(move |socket| {
            socket.send(Message::text(text.clone())).expect("the socket is open");
            assert_eq!(socket.read().expect("an echo"), Message::text(text));
        })
        .await;
    }

    /// Waits until the gateway closes the WebSocket; fails the test when it does not.
    pub(crate) async fn until_closed(&mut self) {
        let failure = self
            .step(|socket| {
                loop {
                    if let Err(error) = socket.read() {
                        return error;
                    }
                }
            })
            .await;
        if let tungstenite::Error::Io(error) = &failure {
            let waited =
                matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut);
            assert!(!waited, "still open after {PATIENCE:?}");
        }
    }
}

/// `Sec-WebSocket-Accept` value for a handshake key.
pub(super) fn accept(key: &str) -> String {
    let accept = tungstenite::handshake::derive_accept_key(key.as_bytes());
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: {accept}\r\n\r\n"
    )
}

/// Echoes messages until the peer closes.
pub(super) async fn echo(stream: tokio::net::TcpStream) {
    let stream = stream.into_std().expect("a socket");
    let echoing = tokio::task::spawn_blocking(move || {
        stream.set_nonblocking(false).expect("a blocking socket");
        let mut socket = WebSocket::from_raw_socket(stream, Role::Server, None);
        while let Ok(message) = socket.read() {
            if (message.is_text() || message.is_binary()) && socket.send(message).is_err() {
                break;
            }
        }
    });
    echoing.await.expect("the app");
}
