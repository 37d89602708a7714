//! An app whose mood changes: well, failing, silent, or not there at all.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// What it does with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mood {
    /// Answers with this status.
    Answers(u16),
    /// Does not answer until its mood changes, and then hangs up.
    Hangs,
    /// Hangs up at once.
    HangsUp,
}

/// The app.
pub(crate) struct Moody {
    address: SocketAddr,
    mood: watch::Sender<Mood>,
    heads: Arc<Mutex<Vec<String>>>,
    /// Where nobody listens yet.
    asleep: Option<TcpSocket>,
    serving: Option<JoinHandle<()>>,
}

impl Moody {
    /// Well.
    pub(crate) fn start() -> Self {
        let mut moody = Self::asleep();
        moody.wake();
        moody
    }

    /// At an address that refuses connections and nobody else can take.
    pub(crate) fn asleep() -> Self {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.bind(SocketAddr::from(([127, 0, 0, 1], 0))).expect("a free port");
        Self {
            address: socket.local_addr().expect("an address"),
            mood: watch::Sender::new(Mood::Answers(200)),
            heads: Arc::default(),
            asleep: Some(socket),
            serving: None,
        }
    }

    /// From now on it listens.
    pub(crate) fn wake(&mut self) {
        let listener = self.asleep.take().expect("asleep").listen(1024).expect("a listener");
        self.serving = Some(tokio::spawn(accept(listener, self.mood.clone(), Arc::clone(&self.heads))));
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn set(&self, mood: Mood) {
        self.mood.send_replace(mood);
    }

    /// The heads of all requests so far.
    pub(crate) fn heads(&self) -> Vec<String> {
        self.heads.lock().expect("not poisoned").clone()
    }

    /// How many requests for this path have come.
    pub(crate) fn asked(&self, path: &str) -> usize {
        self.heads().iter().filter(|head| head.split(' ').nth(1) == Some(path)).count()
    }
}

impl Drop for Moody {
    fn drop(&mut self) {
        if let Some(serving) = &self.serving {
            serving.abort();
        }
    }
}

async fn accept(listener: TcpListener, mood: watch::Sender<Mood>, heads: Arc<Mutex<Vec<String>>>) {
    while let Ok((stream, _)) = listener.accept().await {
        tokio::spawn(serve(stream, mood.subscribe(), Arc::clone(&heads)));
    }
}

async fn serve(
    mut stream: TcpStream,
    mut mood: watch::Receiver<Mood>,
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
        let now = *mood.borrow_and_update();
        match now {
            Mood::Answers(status) => {
                let answer = format!("HTTP/1.1 {status} Mood\r\nContent-Length: 4\r\n\r\nmood");
                stream.write_all(answer.as_bytes()).await.ok()?;
            }
            Mood::Hangs => {
                mood.changed().await.ok()?;
                return None;
            }
            Mood::HangsUp => return None,
        }
        if is_last {
            return None;
        }
    }
}
