//! An identity provider that ends sessions: its discovery document, its key, and the logout tokens that it signs.

use std::net::SocketAddr;

use anyhow::{Context as _, ensure};
use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::RsaKeyPair;
use doorward::clock::{Clock as _, SystemClock, Timestamp};
use doorward::id::{Random, SystemRandom, base64url};
use doorward::vault::{NewProviderSession, ProviderAccount};
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::shared::http::Client;

const CLIENT: &str = "doorward";

/// A running provider; it ends with the program.
pub(crate) struct Provider {
    address: SocketAddr,
    key: EncodingKey,
    clock: SystemClock,
}

impl Provider {
    pub(crate) async fn start() -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let pair = RsaKeyPair::generate(KeySize::Rsa2048)?;
        let pkcs8 = AsDer::<Pkcs8V1Der<'_>>::as_der(&pair)?.as_ref().to_vec();
        // The inner key of 2048 bits starts after 26 bytes.
        let key = EncodingKey::from_rsa_der(&pkcs8[26..]);
        let mut jwk = serde_json::to_value(Jwk::from_encoding_key(&key, Algorithm::RS256)?)?;
        jwk["kid"] = json!("bench");
        let keys = json!({ "keys": [jwk] }).to_string();
        let url = |path: &str| format!("http://{address}{path}");
        let discovery = json!({
            "issuer": url(""),
            "authorization_endpoint": url("/auth"),
            "token_endpoint": url("/token"),
            "jwks_uri": url("/keys"),
            "response_types_supported": ["code"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256"],
        })
        .to_string();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, discovery.clone(), keys.clone()));
            }
        });
        Ok(Self { address, key, clock: SystemClock::new() })
    }

    /// Returns its table for `gateway.toml`.
    pub(crate) fn table(&self) -> String {
        format!(
            "[[providers]]\nid = \"sso\"\nissuer = \"http://{}\"\nclient_id = \"{CLIENT}\"\n\
             client_secret = \"a secret of the bench\"\nrecheck = \"0s\"\n",
            self.address
        )
    }

    /// Returns the provider's part of a session of the person `name`.
    pub(crate) fn part(&self, name: &str) -> NewProviderSession {
        NewProviderSession {
            account: ProviderAccount {
                provider: "sso".to_owned(),
                issuer: format!("http://{}", self.address),
                subject: name.to_owned(),
            },
            sid: Some(format!("session of {name}")),
            began_at: self.now(),
            refresh: None,
            id_token: None,
            recheck: None,
        }
    }

    /// Calls a gateway: the session of this person has ended, or the person was disabled, whose every session ends.
    /// Returns when the response is complete.
    pub(crate) async fn announce(
        &self,
        gateway: SocketAddr,
        name: &str,
        is_disabled: bool,
    ) -> anyhow::Result<()> {
        let now = self.now().secs();
        let random: &dyn Random = &SystemRandom;
        let mut claims = json!({
            "iss": format!("http://{}", self.address), "aud": CLIENT, "iat": now, "exp": now + 120,
            "jti": base64url(random.bytes::<12>()), "sub": name,
            "events": { "http://schemas.openid.net/event/backchannel-logout": {} },
        });
        if !is_disabled {
            claims["sid"] = json!(format!("session of {name}"));
        }
        let head = json!({ "alg": "RS256", "typ": "logout+jwt", "kid": "bench" });
        let message = format!("{}.{}", base64url(head.to_string()), base64url(claims.to_string()));
        let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &self.key, Algorithm::RS256)?;
        let body = format!("logout_token={message}.{signature}");
        let headers = [("Content-Type", "application/x-www-form-urlencoded")];
        // A provider keeps no connection: the logouts of one are minutes apart.
        let mut client = Client::connect(gateway).await;
        let target = "/auth/providers/sso/backchannel-logout";
        let response = client.request("POST", target, &headers, body.as_bytes()).await;
        ensure!(response.status == 200, "{}", response.text());
        Ok(())
    }

    fn now(&self) -> Timestamp {
        self.clock.wall()
    }

    /// Makes a gateway fetch the keys, as the first sign-in does.
    pub(crate) async fn introduce(&self, gateway: SocketAddr) -> anyhow::Result<()> {
        self.announce(gateway, "nobody", true).await.context("the provider is known")
    }
}

async fn serve(mut stream: TcpStream, discovery: String, keys: String) {
    let mut bytes = Vec::new();
    while !bytes.windows(4).any(|four| four == b"\r\n\r\n") {
        if stream.read_buf(&mut bytes).await.unwrap_or(0) == 0 {
            return;
        }
    }
    let body = if bytes.starts_with(b"GET /keys ") { keys } else { discovery };
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
    let _ = stream.write_all((head + &body).as_bytes()).await;
}
