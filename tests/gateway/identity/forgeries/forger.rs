//! A provider that answers anything: forged tokens, and faults of each endpoint. One server is several providers, each below a path
//! of its own.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use doorward::clock::Clock as _;
use doorward::id::base64url;
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::browser::{Browser, ORIGIN};
use crate::support::gateway::ROUTES;
use crate::support::{Response, Setup, TestGateway};

/// An answer of the server.
#[derive(Clone, Debug)]
pub(super) enum Answer {
    /// A complete response: status, further fields, body.
    Whole(u16, String, Vec<u8>),
    /// These bytes, then the connection ends.
    Raw(Vec<u8>),
    /// These bytes again and again.
    Endless(&'static [u8]),
    /// One byte of an endless response every so often.
    Drip,
    /// Nothing.
    Silence,
}

impl Answer {
    pub(super) fn json(value: &Value) -> Self {
        Self::Whole(200, "Content-Type: application/json\r\n".into(), value.to_string().into())
    }

    pub(super) fn redirect(to: &str) -> Self {
        Self::Whole(307, format!("Location: {to}\r\n"), Vec::new())
    }
}

#[derive(Default)]
struct Shared {
    answers: Mutex<BTreeMap<String, Answer>>,
    seen: Mutex<Vec<String>>,
}

/// The server, and the key of its providers. It ends when dropped.
pub(super) struct Forger {
    address: SocketAddr,
    shared: Arc<Shared>,
    key: EncodingKey,
    _server: JoinSet<()>,
}

impl Forger {
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
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new());
        let key = EncodingKey::from_ec_der(pkcs8.expect("a key").as_ref());
        Self { address, shared, key, _server: server }
    }

    /// Issuer of the provider of this name.
    pub(super) fn issuer(&self, name: &str) -> String {
        format!("http://{}/{name}", self.address)
    }

    /// Makes a provider that works, and returns its table with more lines.
    pub(super) fn provider(&self, name: &str, more: &str) -> String {
        self.answer(name, "/.well-known/openid-configuration", Answer::json(&self.document(name)));
        self.answer(name, "/keys", Answer::json(&json!({ "keys": [self.jwk()] })));
        self.answer(name, "/userinfo", Answer::json(&json!({ "sub": "ada" })));
        format!(
            "\n[[providers]]\nid = \"{name}\"\nissuer = \"{}\"\nclient_id = \"doorward\"\nclient_secret = \"secret\"\n\
             algorithms = [\"ES256\", \"RS256\"]\ncreate_users = \"always\"\n{more}\n",
            self.issuer(name)
        )
    }

    /// Its discovery document.
    pub(super) fn document(&self, name: &str) -> Value {
        let at = |path: &str| format!("{}{path}", self.issuer(name));
        json!({
            "issuer": self.issuer(name),
            "authorization_endpoint": at("/auth"),
            "token_endpoint": at("/token"),
            "userinfo_endpoint": at("/userinfo"),
            "jwks_uri": at("/keys"),
            "id_token_signing_alg_values_supported": ["ES256"],
        })
    }

    /// The public key.
    pub(super) fn jwk(&self) -> Value {
        let jwk = Jwk::from_encoding_key(&self.key, Algorithm::ES256).expect("a public key");
        let mut jwk = serde_json::to_value(jwk).expect("JSON");
        jwk["kid"] = json!("k1");
        jwk
    }

    /// Sets the answer of a path of a provider.
    pub(super) fn answer(&self, name: &str, path: &str, answer: Answer) {
        let path = format!("/{name}{path}");
        self.shared.answers.lock().expect("not poisoned").insert(path, answer);
    }

    /// Number of requests for a path of a provider.
    pub(super) fn count(&self, name: &str, path: &str) -> usize {
        let path = format!("/{name}{path}");
        self.shared.seen.lock().expect("not poisoned").iter().filter(|seen| **seen == path).count()
    }

    /// Signs with the key, whatever the header says.
    pub(super) fn sign(&self, header: &Value, claims: &Value) -> String {
        let message = format!("{}.{}", base64url(header.to_string()), base64url(claims.to_string()));
        let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &self.key, Algorithm::ES256);
        format!("{message}.{}", signature.expect("a signature"))
    }

    /// Answers any code with this ID token.
    pub(super) fn grant(&self, name: &str, id_token: &str) {
        self.answer(name, "/token", tokens(id_token));
    }

    /// Answers one code with this ID token.
    pub(super) fn grant_code(&self, name: &str, code: &str, id_token: &str) {
        self.answer(name, &format!("/token code={code}"), tokens(id_token));
    }

    /// A gateway with these providers.
    pub(super) async fn gateway(&self, tables: &str) -> TestGateway {
        TestGateway::with(Setup { routes: format!("{ROUTES}{tables}"), ..Setup::default() }).await
    }
}

/// A good header, and the good claims of `ada` for a flow.
pub(super) fn good(gateway: &TestGateway, issuer: &str, nonce: &str) -> (Value, Value) {
    let now = gateway.clock.wall().secs();
    let claims = json!({
        "iss": issuer, "sub": "ada", "aud": "doorward", "exp": now + 300, "iat": now, "nonce": nonce,
        "preferred_username": "ada", "name": "Ada", "email": "ada@example.com", "email_verified": true,
    });
    (json!({ "alg": "ES256", "kid": "k1", "typ": "JWT" }), claims)
}

/// A sign-in that has begun in a browser.
pub(super) struct Begun {
    pub(super) browser: Browser,
    /// The response that begins it.
    pub(super) start: Response,
    name: String,
    pub(super) state: String,
    pub(super) nonce: String,
}

impl Begun {
    /// Begins a sign-in at a provider. Without a redirect there, state and nonce are empty.
    pub(super) async fn at(gateway: &TestGateway, name: &str) -> Self {
        let mut browser = Browser::new(gateway);
        let start = browser.go(&format!("/auth/providers/{name}/start")).await;
        let parameter = |wanted: &str| {
            let to = start.header("location").unwrap_or_default();
            let mut pairs = to.split(['?', '&', '#']).filter_map(|pair| pair.split_once('='));
            pairs.find(|(name, _)| *name == wanted).map_or(String::new(), |(_, value)| value.to_owned())
        };
        let (state, nonce) = (parameter("state"), parameter("nonce"));
        Self { browser, name: name.to_owned(), state, nonce, start }
    }

    /// Comes back with this query, beside the state.
    pub(super) async fn back(&mut self, query: &str) -> Response {
        let target = format!("/auth/providers/{}/callback?state={}&{query}", self.name, self.state);
        self.browser.go(&target).await
    }

    /// Returns whether somebody is signed in in the browser.
    pub(super) fn is_signed_in(&self) -> bool {
        let ours = ["__Host-doorward-access", "__Host-doorward-refresh"];
        ours.iter().any(|name| self.browser.cookies.contains_key(*name))
    }
}

/// Asserts that a page explains the failure, with a way back, and signs nobody in.
pub(super) fn assert_failed(begun: &Begun, page: &Response, code: &str, what: &str) {
    assert_eq!(page.status, 502, "{what}: {}", page.text());
    assert!(page.text().contains(code), "{what}: {code}: {}", page.text());
    assert!(page.text().contains("href=\"/auth/login\""), "{what}: {}", page.text());
    assert!(!begun.is_signed_in(), "{what}");
    assert!(
        begun.start.status == 502 || begun.start.header("location").is_some_and(|to| !to.starts_with(ORIGIN))
    );
}

fn tokens(id_token: &str) -> Answer {
    Answer::json(&json!({ "access_token": "access", "token_type": "Bearer", "id_token": id_token }))
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
    let head = String::from_utf8_lossy(&bytes[..end]).to_ascii_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
    while bytes.len() < end + length.unwrap_or(0) {
        if stream.read_buf(&mut bytes).await.unwrap_or(0) == 0 {
            return;
        }
    }
    let target = String::from_utf8_lossy(&bytes[..end]).split(' ').nth(1).unwrap_or_default().to_owned();
    let path = target.split('?').next().unwrap_or_default().to_owned();
    let body = String::from_utf8_lossy(&bytes[end..]).into_owned();
    let code = body.split('&').find(|pair| pair.starts_with("code=")).unwrap_or_default();
    let answer = {
        let answers = shared.answers.lock().expect("not poisoned");
        answers.get(&format!("{path} {code}")).or_else(|| answers.get(&path)).cloned()
    };
    shared.seen.lock().expect("not poisoned").push(path);
    // The gateway may close the connection at any time.
    let _ = respond(&mut stream, answer.unwrap_or(Answer::Whole(404, String::new(), b"{}".to_vec()))).await;
}

async fn respond(stream: &mut TcpStream, answer: Answer) -> std::io::Result<()> {
    match answer {
        Answer::Whole(status, fields, body) => {
            let head = format!("HTTP/1.1 {status} X\r\nContent-Length: {}\r\n{fields}\r\n", body.len());
            stream.write_all(&[head.as_bytes(), &body].concat()).await
        }
        Answer::Raw(bytes) => stream.write_all(&bytes).await,
        Answer::Endless(bytes) => {
            stream.write_all(b"HTTP/1.1 200 X\r\n").await?;
            loop {
                stream.write_all(bytes).await?;
            }
        }
        Answer::Drip => {
            stream.write_all(b"HTTP/1.1 200 X\r\nContent-Length: 1000\r\n\r\n").await?;
            loop {
                tokio::time::sleep(Duration::from_millis(200)).await;
                stream.write_all(b" ").await?;
            }
        }
        Answer::Silence => std::future::pending().await,
    }
}
