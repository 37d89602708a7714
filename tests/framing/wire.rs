//! HTTP/1 messages, parsed as strictly as RFC 9112 allows.

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

/// Reason for an incomplete read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Stop {
    /// The connection ended or was reset.
    Closed,
    /// A violation of the RFC.
    Fault(String),
}

/// Start line and fields of a message.
#[derive(Debug, Clone, Default)]
pub(crate) struct Head {
    pub(crate) line: String,
    pub(crate) fields: Vec<(String, String)>,
}

impl Head {
    /// All values of a field.
    pub(crate) fn all(&self, name: &str) -> Vec<&str> {
        let named = self.fields.iter().filter(|(known, _)| known.eq_ignore_ascii_case(name));
        named.map(|(_, value)| value.as_str()).collect()
    }

    /// The first value of a field.
    pub(crate) fn first(&self, name: &str) -> Option<&str> {
        self.all(name).first().copied()
    }
}

/// A connection with read-ahead bytes.
pub(crate) struct Wire<S> {
    pub(crate) stream: S,
    buffer: Vec<u8>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Wire<S> {
    pub(crate) fn over(stream: S) -> Self {
        Self { stream, buffer: Vec::new() }
    }

    /// Writes; the reader notices a closed peer.
    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes).await;
        let _ = self.stream.flush().await;
    }

    /// Shuts down the write side and reads to the end.
    pub(crate) async fn close(mut self) {
        let _ = self.stream.shutdown().await;
        while self.more().await.is_ok() {
            self.buffer.clear();
        }
    }

    /// Reads a head: lines end in CRLF, names are tokens.
    pub(crate) async fn head(&mut self) -> Result<Head, Stop> {
        let bytes = self.until(b"\r\n\r\n").await?;
        let fault = |what: &str| Stop::Fault(format!("{what}: {}", bytes.escape_ascii()));
        let text = std::str::from_utf8(&bytes).map_err(|_| fault("no text"))?;
        let mut lines = text.trim_end_matches("\r\n").split("\r\n");
        let line = lines.next().unwrap_or_default().to_owned();
        if text.replace("\r\n", "").contains(['\r', '\n', '\0']) {
            return Err(fault("a bare CR, LF or NUL"));
        }
        let mut fields = Vec::new();
        for field in lines {
            let (name, value) = field.split_once(':').ok_or_else(|| fault("no colon"))?;
            let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
            if name.is_empty() || !name.bytes().all(is_token) {
                return Err(fault("a field name"));
            }
            fields.push((name.to_owned(), value.trim_matches([' ', '\t']).to_owned()));
        }
        Ok(Head { line, fields })
    }

    /// Reads this many bytes.
    pub(crate) async fn exactly(&mut self, length: usize) -> Result<Vec<u8>, Stop> {
        while self.buffer.len() < length {
            self.more().await?;
        }
        Ok(self.buffer.drain(..length).collect())
    }

    /// Reads chunks without extensions and trailers, up to the last chunk.
    pub(crate) async fn chunks(&mut self, whole: &mut Vec<u8>) -> Result<(), Stop> {
        loop {
            let line = self.until(b"\r\n").await?;
            let digits = std::str::from_utf8(&line[..line.len() - 2]).unwrap_or_default();
            let is_size = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
            let size = is_size.then(|| usize::from_str_radix(digits, 16).ok()).flatten();
            let size = size.ok_or_else(|| Stop::Fault(format!("a chunk size: {}", line.escape_ascii())))?;
            let chunk = self.exactly(size + 2).await?;
            if !chunk.ends_with(b"\r\n") {
                return Err(Stop::Fault(format!("a chunk's end: {}", chunk.escape_ascii())));
            }
            if size == 0 {
                return Ok(());
            }
            whole.extend_from_slice(&chunk[..size]);
        }
    }

    /// Reads to the end of the connection.
    pub(crate) async fn rest(&mut self) -> Vec<u8> {
        while self.more().await.is_ok() {}
        std::mem::take(&mut self.buffer)
    }

    /// Bytes received but not yet consumed.
    pub(crate) fn unread(&self) -> &[u8] {
        &self.buffer
    }

    async fn until(&mut self, end: &[u8]) -> Result<Vec<u8>, Stop> {
        loop {
            if let Some(at) = self.buffer.windows(end.len()).position(|window| window == end) {
                return Ok(self.buffer.drain(..at + end.len()).collect());
            }
            self.more().await?;
        }
    }

    async fn more(&mut self) -> Result<(), Stop> {
        match self.stream.read_buf(&mut self.buffer).await {
            Ok(read) if read > 0 => Ok(()),
            _ => Err(Stop::Closed),
        }
    }
}
