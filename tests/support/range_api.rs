//! A server with the range API of Have I Been Pwned, over a few leaked passwords.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};

/// Reaction of the server to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ranges {
    /// The list with these passwords among others, padded.
    Leaked(Vec<String>),
    /// This response, whatever is asked.
    Says(Vec<u8>),
    /// No response. The connection stays open until the server is dropped.
    Silent,
}

/// The server. It ends when dropped.
pub(crate) struct RangeApi {
    address: SocketAddr,
    reaction: Arc<Mutex<Ranges>>,
    requests: Arc<Mutex<Vec<String>>>,
    has_ended: Arc<AtomicBool>,
}

impl RangeApi {
    /// A server with these leaked passwords.
    pub(crate) fn with(leaked: &[&str]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("bound");
        let leaked = leaked.iter().map(|&password| password.to_owned()).collect();
        let reaction = Arc::new(Mutex::new(Ranges::Leaked(leaked)));
        let (requests, has_ended) = (Arc::<Mutex<Vec<String>>>::default(), Arc::<AtomicBool>::default());
        let server = Self {
            address,
            reaction: Arc::clone(&reaction),
            requests: Arc::clone(&requests),
            has_ended: Arc::clone(&has_ended),
        };
        std::thread::spawn(move || {
            let mut held = Vec::new();
            for stream in listener.incoming() {
                if has_ended.load(Ordering::SeqCst) {
                    return;
                }
                let Ok(mut stream) = stream else { continue };
                let head = head(&mut stream);
                let reaction = reaction.lock().expect("no panic").clone();
                let response = match &reaction {
                    Ranges::Leaked(leaked) => list(leaked, &head),
                    Ranges::Says(response) => response.clone(),
                    Ranges::Silent => Vec::new(),
                };
                requests.lock().expect("no panic").push(head);
                // The client may be gone by now.
                let _ = stream.write_all(&response);
                held.extend(Some(stream).filter(|_| reaction == Ranges::Silent));
            }
        });
        server
    }

    /// The table of `gateway.toml` that asks this server.
    pub(crate) fn settings(&self, timeout: &str) -> String {
        format!(
            "[login.breached_passwords]\nurl = \"http://{}/range\"\ntimeout = \"{timeout}\"\n",
            self.address
        )
    }

    /// Changes the reaction to the next requests.
    pub(crate) fn react(&self, reaction: Ranges) {
        *self.reaction.lock().expect("no panic") = reaction;
    }

    /// Heads of the requests so far, in lower case except for the first line.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.requests.lock().expect("no panic").clone()
    }
}

impl Drop for RangeApi {
    fn drop(&mut self) {
        self.has_ended.store(true, Ordering::SeqCst);
        // Wakes the thread, which then closes the listener.
        let _ = TcpStream::connect(self.address);
    }
}

/// SHA-1 of a password in hexadecimal digits: the five that are asked for, and the rest.
pub(crate) fn range_of(password: &str) -> (String, String) {
    let hash = digest(&SHA1_FOR_LEGACY_USE_ONLY, password.as_bytes());
    let mut hash: String = hash.as_ref().iter().map(|byte| format!("{byte:02X}")).collect();
    let rest = hash.split_off(5);
    (hash, rest)
}

fn head(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    while !bytes.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        if !matches!(stream.read(&mut byte), Ok(1)) {
            break;
        }
        bytes.push(byte[0]);
    }
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let (line, fields) = text.split_once("\r\n").unwrap_or((&text, ""));
    format!("{line}\r\n{}", fields.to_ascii_lowercase())
}

fn list(leaked: &[String], head: &str) -> Vec<u8> {
    let asked = head.split(' ').nth(1).and_then(|path| path.strip_prefix("/range/")).unwrap_or_default();
    let mut lines: Vec<String> = (0..800).map(|n| format!("{n:035X}:{}", n % 3)).collect();
    for password in leaked {
        let (sent, rest) = range_of(password);
        lines.extend(Some(format!("{rest}:17")).filter(|_| sent == asked));
    }
    let body = lines.join("\r\n");
    format!("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n\r\n{body}", body.len())
        .into_bytes()
}
