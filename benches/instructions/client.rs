//! A client on one kept connection.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use tokio::time::Instant;

/// Time for a response, and for a program to listen: under valgrind everything takes fifty times as long.
const PATIENCE: Duration = Duration::from_secs(120);

pub(crate) struct Client {
    stream: BufReader<TcpStream>,
    address: SocketAddr,
    body: Vec<u8>,
}

impl Client {
    /// Connects as soon as the program listens.
    pub(crate) fn connect(address: SocketAddr) -> anyhow::Result<Self> {
        let until = Instant::now() + PATIENCE;
        let stream = loop {
            match TcpStream::connect(address) {
                Ok(stream) => break stream,
                Err(error) => ensure!(Instant::now() < until, "nobody listens on {address}: {error}"),
            }
            std::thread::park_timeout(Duration::from_millis(20));
        };
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Self { stream: BufReader::new(stream), address, body: Vec::new() })
    }

    /// Signs in and returns the access token.
    pub(crate) fn sign_in(&mut self, user: &str, password: &str) -> anyhow::Result<String> {
        let body = serde_json::json!({ "username": user, "password": password }).to_string();
        let (address, length) = (self.address, body.len());
        self.exchange(&format!(
            "POST /auth/login HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
        ))?;
        let json: serde_json::Value = serde_json::from_slice(&self.body)?;
        Ok(json["access_token"].as_str().context("a token")?.to_owned())
    }

    /// Sends a GET with these fields, as curl does.
    pub(crate) fn get(&mut self, path: &str, fields: &str) -> anyhow::Result<()> {
        let address = self.address;
        self.exchange(&format!(
            "GET {path} HTTP/1.1\r\nHost: {address}\r\nUser-Agent: curl/8.14.1\r\nAccept: */*\r\n{fields}\r\n"
        ))
    }

    /// Sends a request, and reads the response into `body`.
    fn exchange(&mut self, request: &str) -> anyhow::Result<()> {
        self.stream.get_mut().write_all(request.as_bytes())?;
        let (mut head, mut length) = (String::new(), 0);
        loop {
            let before = head.len();
            ensure!(self.stream.read_line(&mut head)? > 0, "the connection was closed after: {head}");
            let line = head[before..].trim_end();
            if line.is_empty() {
                break;
            }
            if let Some((name, value)) = line.split_once(": ")
                && name.eq_ignore_ascii_case("content-length")
            {
                length = value.parse()?;
            }
        }
        self.body.resize(length, 0);
        self.stream.read_exact(&mut self.body)?;
        let is_ok = head.starts_with("HTTP/1.1 200 ");
        ensure!(is_ok, "not accepted:\n{head}{}", String::from_utf8_lossy(&self.body));
        Ok(())
    }
}
