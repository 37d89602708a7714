//! An upstream server whose behaviour can change: it responds, fails, hangs or refuses connections.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Reaction of the server to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Behaviour {
    /// Responds with this status.
    Answers(u16),
    /// Sends no response, and closes the connection when the behaviour changes.
    Hangs,
    /// Closes the connection at once.
    HangsUp,
}

/// An upstream server.
pub(crate) struct FlakyServer {
    address: SocketAddr,
    behaviour: watch::Sender<Behaviour>,
    heads: Arc<Mutex<Vec<String>>>,
    /// The bound socket before it listens.
    asleep: Option<TcpSocket>,
    serving: Option<JoinHandle<()>>,
}

impl FlakyServer {
    /// A server that responds 200.
    pub(crate) fn start() -> Self {
        let mut flaky = Self::asleep();
        flaky.wake();
        flaky
    }

    /// A server that refuses connections, on a reserved port.
    pub(crate) fn asleep() -> Self {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.bind(SocketAddr::from(([127, 0, 0, 1], 0))).expect("a free port");
        Self {
            address: socket.local_addr().expect("an address"),
            behaviour: watch::Sender::new(Behaviour::Answers(200)),
            heads: Arc::default(),
            asleep: Some(socket),
            serving: None,
        }
    }

    /// Starts listening.
    pub(crate) fn wake(&mut self) {
        let listener = self.asleep.take().expect("asleep").listen(1024).expect("a listener");
        self.serving = Some(tokio::spawn(accept(listener, self.behaviour.clone(), Arc::clone(&self.heads))));
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn set(&self, behaviour: Behaviour) {
        self.behaviour.send_replace(behaviour);
    }

    /// All request headers so far.
    pub(crate) fn heads(&self) -> Vec<String> {
        self.heads.lock().expect("not poisoned").clone()
    }

    /// Number of requests received for this path.
    pub(crate) fn received(&self, path: &str) -> usize {
        self.heads().iter().filter(|head| head.split(' ').nth(1) == Some(path)).count()
    }
}

impl Drop for FlakyServer {
    fn drop(&mut self) {
        if let Some(serving) = &self.serving {
            serving.abort();
        }
    }
}

async fn accept(listener: TcpListener, behaviour: watch::Sender<Behaviour>, heads: Arc<Mutex<Vec<String>>>) {
    while let Ok((stream, _)) = listener.accept().await {
        tokio::spawn(serve(stream, behaviour.subscribe(), Arc::clone(&heads)));
    }
}

async fn serve(
    mut stream: TcpStream,
    mut behaviour: watch::Receiver<Behaviour>,
    heads: Arc<Mutex<Vec<String>>>,
) -> Option<()> {
    let mut buffer = Vec::new();
    loop {
        let end = loop {
            if let Some(at) = buffer.windows(4).position(|window| window == b"\r\n\r\n") {
                break at + 4;
            }
            if stream.read_buf(&mut buffer).await.ok()? == 0 {
                return None;
            }
        };
        let head = String::from_utf8_lossy(&buffer.drain(..end).collect::<Vec<u8>>()).into_owned();
        let is_last = head.to_ascii_lowercase().contains("connection: close");
        heads.lock().expect("not poisoned").push(head);
        let now = *behaviour.borrow_and_update();
        match now {
            Behaviour::Answers(status) => {
                let response = format!("HTTP/1.1 {status} Flaky\r\nContent-Length: 4\r\n\r\nmood");
                stream.write_all(response.as_bytes()).await.ok()?;
            }
            Behaviour::Hangs => {
                behaviour.changed().await.ok()?;
                return None;
            }
            Behaviour::HangsUp => return None,
        }
        if is_last {
            return None;
        }
    }
}
