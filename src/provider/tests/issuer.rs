//! A provider on loopback: a small HTTP server with an answer for each path, and keys that sign anything.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, RsaKeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::id::base64url;

/// An answer of the server.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    status: u16,
    fields: Vec<String>,
    body: Vec<u8>,
    delay: Duration,
}

impl Answer {
    pub(super) fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self { status, fields: Vec::new(), body: body.into(), delay: Duration::ZERO }
    }

    pub(super) fn json(body: &Value) -> Self {
        Self::new(200, body.to_string())
    }

    /// Waits before the answer.
    pub(super) fn slow(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    pub(super) fn field(mut self, field: &str) -> Self {
        self.fields.push(field.to_owned());
        self
    }
}

/// A request that the server got.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub(super) target: String,
    pub(super) head: String,
    pub(super) body: String,
}

#[derive(Default)]
struct Shared {
    answers: Mutex<BTreeMap<String, Answer>>,
    seen: Mutex<Vec<Seen>>,
}

/// The server. It ends when dropped.
pub(super) struct Issuer {
    address: SocketAddr,
    shared: Arc<Shared>,
    _server: JoinSet<()>,
}

impl Issuer {
    pub(super) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let shared = Arc::new(Shared::default());
        let mut server = JoinSet::new();
        let state = Arc::clone(&shared);
        server.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(serve(stream, Arc::clone(&state)));
            }
        });
        Self { address, shared, _server: server }
    }

    pub(super) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Sets the answer of a target (path with query), or of a path with any query.
    pub(super) fn answer(&self, target: &str, answer: Answer) {
        self.shared.answers.lock().unwrap().insert(target.to_owned(), answer);
    }

    /// Returns the requests whose path is `path`.
    pub(super) fn seen(&self, path: &str) -> Vec<Seen> {
        let seen = self.shared.seen.lock().unwrap();
        let is_there = |seen: &&Seen| seen.target.split('?').next() == Some(path);
        seen.iter().filter(is_there).cloned().collect()
    }

    pub(super) fn count(&self) -> usize {
        self.shared.seen.lock().unwrap().len()
    }
}

async fn serve(mut stream: TcpStream, shared: Arc<Shared>) {
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(at) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break at + 4;
        }
        if stream.read_buf(&mut bytes).await.unwrap_or(0) == 0 {
            return;
        }
    };
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let length = head
        .lines()
        .find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
    while bytes.len() < end + length.unwrap_or(0) {
        if stream.read_buf(&mut bytes).await.unwrap_or(0) == 0 {
            return;
        }
    }
    let target = head.split(' ').nth(1).unwrap_or_default().to_owned();
    let body = String::from_utf8_lossy(&bytes[end..]).into_owned();
    let answer = {
        let answers = shared.answers.lock().unwrap();
        let path = target.split('?').next().unwrap_or_default();
        answers.get(&target).or_else(|| answers.get(path)).cloned().unwrap_or(Answer::new(404, "{}"))
    };
    shared.seen.lock().unwrap().push(Seen { target, head, body });
    tokio::time::sleep(answer.delay).await;
    let mut out = format!("HTTP/1.1 {} X\r\nContent-Length: {}\r\n", answer.status, answer.body.len());
    for field in &answer.fields {
        out.push_str(field);
        out.push_str("\r\n");
    }
    let mut out = (out + "\r\n").into_bytes();
    out.extend_from_slice(&answer.body);
    let _ = stream.write_all(&out).await;
}

/// A signing key.
pub(super) struct Key {
    kid: String,
    name: &'static str,
    algorithm: Algorithm,
    private: EncodingKey,
    pkcs8: Vec<u8>,
}

impl Key {
    pub(super) fn p256(kid: &str) -> Self {
        let pair =
            EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new()).unwrap();
        let pkcs8 = pair.as_ref().to_vec();
        let private = EncodingKey::from_ec_der(&pkcs8);
        Self { kid: kid.to_owned(), name: "ES256", algorithm: Algorithm::ES256, private, pkcs8 }
    }

    pub(super) fn ed25519(kid: &str) -> Self {
        let pair = Ed25519KeyPair::generate_pkcs8v1(&SystemRandom::new()).unwrap();
        let pkcs8 = pair.as_ref().to_vec();
        let private = EncodingKey::from_ed_der(&pkcs8);
        Self { kid: kid.to_owned(), name: "EdDSA", algorithm: Algorithm::EdDSA, private, pkcs8 }
    }

    pub(super) fn rsa(kid: &str) -> Self {
        let pair = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
        let pkcs8 = AsDer::<Pkcs8V1Der<'_>>::as_der(&pair).unwrap().as_ref().to_vec();
        // The inner key of 2048 bits starts after 26 bytes, as in `token/signing.rs`.
        let private = EncodingKey::from_rsa_der(&pkcs8[26..]);
        Self { kid: kid.to_owned(), name: "RS256", algorithm: Algorithm::RS256, private, pkcs8 }
    }

    /// Returns the key in PEM.
    pub(super) fn pem(&self) -> String {
        pem(&self.pkcs8)
    }

    /// Returns the public key as in a key set.
    pub(super) fn jwk(&self) -> Value {
        let mut jwk =
            serde_json::to_value(Jwk::from_encoding_key(&self.private, self.algorithm).unwrap()).unwrap();
        jwk["kid"] = json!(self.kid);
        jwk["use"] = json!("sig");
        jwk["alg"] = json!(self.name);
        jwk
    }

    /// Returns a good header.
    pub(super) fn header(&self) -> Value {
        json!({ "alg": self.name, "kid": self.kid, "typ": "JWT" })
    }

    pub(super) fn sign(&self, claims: &Value) -> String {
        self.sign_with(&self.header(), claims)
    }

    /// Signs with this key, whatever the header says.
    pub(super) fn sign_with(&self, header: &Value, claims: &Value) -> String {
        let message = format!("{}.{}", base64url(header.to_string()), base64url(claims.to_string()));
        let signature =
            jsonwebtoken::crypto::sign(message.as_bytes(), &self.private, self.algorithm).unwrap();
        format!("{message}.{signature}")
    }
}

fn pem(der: &[u8]) -> String {
    format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", STANDARD.encode(der))
}
