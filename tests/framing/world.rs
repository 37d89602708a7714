//! A gateway with TLS, and so HTTP/2, in front of a test's own apps.

use std::sync::Arc;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use crate::support::tls::{self, Trust};
use crate::support::{Setup, TestGateway};

pub(crate) struct World {
    pub(crate) gateway: TestGateway,
    pub(crate) trust: Trust,
}

impl World {
    /// With these upstreams and routes of `gateway.toml`. `server` is added to `[server]`.
    pub(crate) async fn start(server: &str, routes: &str) -> Self {
        Self::start_in(Arc::new(tempfile::tempdir().expect("a folder")), server, routes).await
    }

    /// In an existing folder.
    pub(crate) async fn start_in(folder: Arc<tempfile::TempDir>, server: &str, routes: &str) -> Self {
        let certificate = tls::make(folder.path(), "gateway", &["gateway.test"]);
        let trust = Trust::of(&[&certificate]);
        let server = format!(
            "{server}\n[server.tls]\ncertificates = [{{ cert_file = \"gateway.crt\", key_file = \"gateway.key\" }}]\n"
        );
        let setup = Setup {
            public_url: "https://gateway.test".to_owned(),
            server,
            routes: routes.to_owned(),
            folder: Some(folder),
            ..Setup::default()
        };
        Self { gateway: TestGateway::with(setup).await, trust }
    }

    /// A TLS connection with this ALPN protocol.
    pub(crate) async fn connect(&self, protocol: &[u8]) -> TlsStream<TcpStream> {
        let trust = self.trust.offering(&[protocol]);
        trust.connect(self.gateway.address(), "gateway.test").await.expect("a handshake")
    }
}

/// Received HTTP/2 frames, one by one.
pub(crate) struct Frames {
    stream: TlsStream<TcpStream>,
    buffer: Vec<u8>,
}

/// A received frame (RFC 9113 section 4.1).
#[derive(Debug, Clone)]
pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) stream: u32,
    pub(crate) payload: Vec<u8>,
}

impl Frames {
    pub(crate) fn over(stream: TlsStream<TcpStream>) -> Self {
        Self { stream, buffer: Vec::new() }
    }

    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.expect("the connection is open");
    }

    /// The next frame; `None` at the end of the connection.
    pub(crate) async fn next(&mut self) -> Option<Frame> {
        loop {
            if let Some(frame) = self.take() {
                return Some(frame);
            }
            if self.stream.read_buf(&mut self.buffer).await.ok()? == 0 {
                return None;
            }
        }
    }

    fn take(&mut self) -> Option<Frame> {
        let head: [u8; 9] = self.buffer.get(..9)?.try_into().ok()?;
        let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
        let payload = self.buffer.get(9..9 + length)?.to_vec();
        self.buffer.drain(..9 + length);
        let stream = u32::from_be_bytes([head[5] & 0x7f, head[6], head[7], head[8]]);
        Some(Frame { kind: head[3], stream, payload })
    }
}
