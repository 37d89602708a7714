//! A small app that echoes each request exactly as it arrived, to show which headers doorward forwards.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// Maximum length of a request header, in bytes.
const HEADER_LIMIT: usize = 64 * 1024;

/// A running app.
pub struct App {
    address: SocketAddr,
    accepting: JoinHandle<()>,
}

impl App {
    /// Starts the app.
    ///
    /// # Errors
    /// The address cannot be used.
    pub async fn start(address: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let accepting = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                // An error only ends that connection.
                tokio::spawn(async move { serve(stream).await.ok() });
            }
        });
        Ok(Self { address, accepting })
    }

    /// Returns the listen address.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Stops accepting connections.
    pub async fn stop(self) {
        self.accepting.abort();
        let _ = self.accepting.await;
    }
}

/// Serves the requests of a connection, one after the other.
async fn serve(mut stream: TcpStream) -> io::Result<()> {
    let (read, mut write) = stream.split();
    let mut read = BufReader::new(read);
    while let Some(request) = Request::read(&mut read).await? {
        if request.target.split('?').next() == Some("/events") {
            return events(&mut write).await;
        }
        let shown = request.shown();
        let head = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {}\r\n\r\n",
            shown.len()
        );
        // In one write: a separate body would wait 40 ms for the peer's delayed acknowledgement.
        let shown = if request.line.starts_with("HEAD ") { "" } else { &shown };
        write.write_all((head + shown).as_bytes()).await?;
    }
    Ok(())
}

/// Sends an event stream until it is closed; a revocation closes it.
async fn events(write: &mut (impl AsyncWriteExt + Unpin)) -> io::Result<()> {
    write
        .write_all(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n")
        .await?;
    for tick in 0_u64.. {
        write.write_all(format!("data: {tick}\n\n").as_bytes()).await?;
        write.flush().await?;
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    Ok(())
}

struct Request {
    line: String,
    target: String,
    header: String,
    body_bytes: u64,
}

impl Request {
    async fn read(read: &mut (impl AsyncBufReadExt + Unpin)) -> io::Result<Option<Self>> {
        let mut header = String::new();
        while !header.ends_with("\r\n\r\n") {
            if read.read_line(&mut header).await? == 0 || header.len() > HEADER_LIMIT {
                return Ok(None);
            }
        }
        let (line, fields) = header.split_once("\r\n").unwrap_or_default();
        let value = |name: &str| {
            let of = |field: &str| {
                field
                    .split_once(':')
                    .filter(|(n, _)| n.eq_ignore_ascii_case(name))
                    .map(|(_, v)| v.trim().to_owned())
            };
            fields.lines().find_map(of)
        };
        let body_bytes = if value("transfer-encoding").is_some() {
            skip_chunks(read).await?
        } else {
            let length = value("content-length").and_then(|v| v.parse().ok()).unwrap_or(0);
            tokio::io::copy(&mut (&mut *read).take(length), &mut tokio::io::sink()).await?
        };
        let target = line.split(' ').nth(1).unwrap_or_default().to_owned();
        Ok(Some(Self { line: line.to_owned(), target, header: fields.trim_end().to_owned(), body_bytes }))
    }

    fn shown(&self) -> String {
        format!(
            "{}\n{}\n\n({} bytes of body)\n",
            self.line,
            self.header.replace("\r\n", "\n"),
            self.body_bytes
        )
    }
}

/// Skips a chunked body (RFC 9112 section 7.1): sizes in hexadecimal, a zero-size chunk at the end.
async fn skip_chunks(read: &mut (impl AsyncBufReadExt + Unpin)) -> io::Result<u64> {
    let mut total = 0;
    loop {
        let mut line = String::new();
        read.read_line(&mut line).await?;
        let size = line.trim().split(';').next().unwrap_or_default();
        let size = u64::from_str_radix(size, 16).map_err(|_| io::Error::from(io::ErrorKind::InvalidData))?;
        // The chunk and the line end after it.
        tokio::io::copy(&mut (&mut *read).take(size + 2), &mut tokio::io::sink()).await?;
        if size == 0 {
            return Ok(total);
        }
        total += size;
    }
}
