//! An app that records every byte, parses requests as strictly as the RFC allows, and responds with the name of each
//! request.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// Name of a request, echoed in its response.
pub(crate) const NAME: &str = "x-case";

/// Hexadecimal `Set-Cookie` value for the response.
pub(crate) const SET: &str = "x-set";

/// A received request.
#[derive(Debug, Clone)]
pub(crate) struct Record {
    /// Request line and fields, with the empty line.
    pub(crate) head: Vec<u8>,
    /// Decoded content; empty until it is complete.
    pub(crate) body: Vec<u8>,
}

impl Record {
    fn lines(&self) -> impl Iterator<Item = &[u8]> {
        self.head.split(|&b| b == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line))
    }

    /// `METHOD target HTTP/1.1`.
    pub(crate) fn line(&self) -> &[u8] {
        self.lines().next().unwrap_or_default()
    }

    pub(crate) fn target(&self) -> &[u8] {
        let line = self.line();
        let from = line.iter().position(|&b| b == b' ').map_or(line.len(), |at| at + 1);
        let to = line.iter().rposition(|&b| b == b' ').unwrap_or(line.len());
        line.get(from..to).unwrap_or_default()
    }

    /// Names as received, and values.
    pub(crate) fn fields(&self) -> Vec<(String, String)> {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes.trim_ascii()).into_owned();
        let field = |line: &[u8]| {
            let colon = line.iter().position(|&b| b == b':')?;
            Some((text(&line[..colon]), text(&line[colon + 1..])))
        };
        self.lines().skip(1).filter_map(field).collect()
    }

    /// All values of a field.
    pub(crate) fn all(&self, name: &str) -> Vec<String> {
        let of = |(known, value): (String, String)| known.eq_ignore_ascii_case(name).then_some(value);
        self.fields().into_iter().filter_map(of).collect()
    }

    /// Name of the request.
    pub(crate) fn name(&self) -> String {
        self.all(NAME).pop().unwrap_or_default()
    }
}

#[derive(Default)]
struct Shared {
    records: Vec<Record>,
    /// Violations of HTTP in received requests.
    faults: Vec<String>,
}

pub(crate) struct Recorder {
    address: SocketAddr,
    shared: Arc<Mutex<Shared>>,
    accepting: JoinHandle<()>,
}

impl Recorder {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let shared: Arc<Mutex<Shared>> = Arc::default();
        let serving = Arc::clone(&shared);
        let accepting = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let shared = Arc::clone(&serving);
                tokio::spawn(async move {
                    if let Err(fault) = serve(stream, &shared).await {
                        shared.lock().expect("not poisoned").faults.push(fault);
                    }
                });
            }
        });
        Self { address, shared, accepting }
    }

    /// Table of `gateway.toml` that defines it as an upstream.
    pub(crate) fn upstream(&self) -> String {
        format!("[upstreams.recorder]\nservers = [\"http://{}\"]\n", self.address)
    }

    /// Requests received since the last call.
    pub(crate) fn take(&self) -> Vec<Record> {
        std::mem::take(&mut self.shared.lock().expect("not poisoned").records)
    }

    /// Violations of HTTP in received requests.
    pub(crate) fn faults(&self) -> Vec<String> {
        self.shared.lock().expect("not poisoned").faults.clone()
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// Serves one connection; returns a message when a request violates HTTP.
async fn serve(mut stream: TcpStream, shared: &Mutex<Shared>) -> Result<(), String> {
    let mut buffer = Vec::new();
    loop {
        let Some(head) = until(&mut stream, &mut buffer, b"\r\n\r\n").await else { return Ok(()) };
        let mut record = Record { head, body: Vec::new() };
        let at = {
            let mut shared = shared.lock().expect("not poisoned");
            shared.records.push(record.clone());
            shared.records.len() - 1
        };
        check(&record)?;
        let Some(body) = body(&mut stream, &mut buffer, &record).await? else { return Ok(()) };
        record.body = body;
        let name = record.name();
        let set = record.all(SET).pop().map(|hex| [&b"Set-Cookie: "[..], &unhex(&hex), b"\r\n"].concat());
        let head_only = record.line().starts_with(b"HEAD ");
        // The record may have been taken meanwhile; then its body is not needed.
        if let Some(kept) = shared.lock().expect("not poisoned").records.get_mut(at)
            && kept.head == record.head
        {
            kept.body = record.body;
        }
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n", name.len());
        let mut response = [head.as_bytes(), &set.unwrap_or_default(), b"\r\n"].concat();
        if !head_only {
            response.extend_from_slice(name.as_bytes());
        }
        if stream.write_all(&response).await.is_err() {
            return Ok(());
        }
    }
}

/// RFC 9112: CRLF line ends only; one Host; one framing; no folds, no white space in names.
fn check(record: &Record) -> Result<(), String> {
    let fault = |what: &str| Err(format!("{what}: {}", record.head.escape_ascii()));
    let text = &record.head[..record.head.len() - 4];
    let bare = |at: usize| match text[at] {
        b'\n' => at == 0 || text[at - 1] != b'\r',
        b'\r' => text.get(at + 1) != Some(&b'\n'),
        byte => byte == 0,
    };
    if (0..text.len()).any(bare) {
        return fault("a bare CR, LF or NUL");
    }
    let words: Vec<&[u8]> = record.line().split(|&b| b == b' ').collect();
    if words.len() != 3 || !words[1].starts_with(b"/") || words[2] != b"HTTP/1.1" {
        return fault("the request line");
    }
    let token = |name: &[u8]| {
        !name.is_empty() && name.iter().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(b))
    };
    let names = record
        .lines()
        .skip(1)
        .filter(|line| !line.is_empty())
        .map(|line| line.iter().position(|&b| b == b':').map(|colon| &line[..colon]).unwrap_or_default());
    for name in names {
        if !token(name) {
            return fault("a field name");
        }
    }
    if record.all("host").len() != 1 {
        return fault("not one Host");
    }
    let (lengths, codings) = (record.all("content-length"), record.all("transfer-encoding"));
    if lengths.len() + codings.len() > 1 {
        return fault("two framings");
    }
    if lengths.iter().any(|length| length.is_empty() || !length.bytes().all(|b| b.is_ascii_digit())) {
        return fault("Content-Length");
    }
    if codings.iter().any(|coding| !coding.eq_ignore_ascii_case("chunked")) {
        return fault("Transfer-Encoding");
    }
    Ok(())
}

async fn body(
    stream: &mut TcpStream,
    buffer: &mut Vec<u8>,
    record: &Record,
) -> Result<Option<Vec<u8>>, String> {
    if record.all("transfer-encoding").is_empty() {
        let length = record.all("content-length").pop().map_or(Ok(0), |length| length.parse());
        let length = length.map_err(|_| format!("Content-Length: {}", record.head.escape_ascii()))?;
        return Ok(exactly(stream, buffer, length).await);
    }
    let mut whole = Vec::new();
    loop {
        let Some(line) = until(stream, buffer, b"\r\n").await else { return Ok(None) };
        let digits = std::str::from_utf8(&line[..line.len() - 2]).unwrap_or_default();
        let plain = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_hexdigit());
        let size = plain.then(|| usize::from_str_radix(digits, 16).ok()).flatten();
        let size = size.ok_or_else(|| format!("a chunk size: {}", line.escape_ascii()))?;
        let Some(chunk) = exactly(stream, buffer, size + 2).await else { return Ok(None) };
        if !chunk.ends_with(b"\r\n") {
            return Err(format!("the end of a chunk, or a trailer: {}", chunk.escape_ascii()));
        }
        if size == 0 {
            return Ok(Some(whole));
        }
        whole.extend_from_slice(&chunk[..size]);
    }
}

async fn until(stream: &mut TcpStream, buffer: &mut Vec<u8>, end: &[u8]) -> Option<Vec<u8>> {
    loop {
        if let Some(at) = buffer.windows(end.len()).position(|window| window == end) {
            return Some(buffer.drain(..at + end.len()).collect());
        }
        more(stream, buffer).await?;
    }
}

async fn exactly(stream: &mut TcpStream, buffer: &mut Vec<u8>, length: usize) -> Option<Vec<u8>> {
    while buffer.len() < length {
        more(stream, buffer).await?;
    }
    Some(buffer.drain(..length).collect())
}

async fn more(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Option<()> {
    let read = stream.read_buf(buffer).await.ok()?;
    (read > 0).then_some(())
}

fn unhex(text: &str) -> Vec<u8> {
    let digits = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    text.as_bytes().chunks(2).filter_map(digits).collect()
}
