//! TLS on the public listener: certificate selection, handshake limits, HSTS and plaintext requests.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::support::gateway::{SOON, Tokens};
use crate::support::tls::{self, Trust, Tunnel};
use crate::support::{Client, PASSWORD, Setup, Socket, TestGateway, assert_eventually, http, measured};

/// Certificates for `gateway.test` and, as a wildcard, for `*.other.test`.
pub(crate) struct House {
    pub(crate) gateway: TestGateway,
    pub(crate) trust: Trust,
}

pub(crate) async fn house(server: &str, tls: &str) -> House {
    let folder = Arc::new(tempfile::tempdir().expect("a folder"));
    let app = tls::make(folder.path(), "app", &["gateway.test"]);
    let other = tls::make(folder.path(), "other", &["*.other.test"]);
    let trust = Trust::of(&[&app, &other]);
    let server = format!(
        "{server}\n[server.tls]\ncertificates = [{{ cert_file = \"app.crt\", key_file = \"app.key\" }}, \
         {{ cert_file = \"other.crt\", key_file = \"other.key\" }}]\n{tls}"
    );
    let setup = Setup {
        public_url: "https://gateway.test".to_owned(),
        server,
        folder: Some(folder),
        ..Setup::default()
    };
    House { gateway: TestGateway::with(setup).await, trust }
}

impl House {
    pub(crate) async fn client(&self, host: &str) -> Client<tokio_rustls::client::TlsStream<TcpStream>> {
        Client::over(self.trust.connect(self.gateway.address(), host).await.expect("a handshake"))
    }

    async fn handshakes(&self, result: &str) -> f64 {
        self.gateway.metric(&format!("doorward_tls_handshakes_total{{result=\"{result}\"}}")).await
    }
}

const LOGIN: &[(&str, &str)] = &[("Content-Type", "application/json"), ("Origin", "https://gateway.test")];

fn credentials() -> Vec<u8> {
    serde_json::json!({ "username": "ada", "password": PASSWORD }).to_string().into_bytes()
}

#[tokio::test(flavor = "multi_thread")]
async fn session_works_over_tls_and_app_sees_https() {
    let house = house("", "").await;
    house.gateway.user("ada", &[]).await;
    let mut client = house.client("gateway.test").await;
    let tokens = Tokens::of(&client.request("POST", "/auth/login", LOGIN, &credentials()).await);
    let bearer = format!("Bearer {}", tokens.access);
    let headers = [("Authorization", bearer.as_str())];
    assert_eq!(client.request("GET", "/notes", &headers, b"").await.status, 200);
    assert_eq!(house.gateway.app.last().all("x-forwarded-proto"), ["https"]);

    let tunnel = Tunnel::start(house.trust.clone(), house.gateway.address(), "gateway.test");
    let mut socket = Socket::open(tunnel.address(), "/ws", &tokens.access).await;
    socket.echo("over TLS").await;
    assert_eq!(client.request("POST", "/auth/logout", &headers, b"").await.status, 200);
    socket.until_closed().await;
    assert_eq!(client.request("GET", "/notes", &headers, b"").await.status, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn sni_selects_the_certificate() {
    let house = house("", "").await;
    let app = tls::certificate(&house.gateway.folder.path().join("app.crt"));
    let other = tls::certificate(&house.gateway.folder.path().join("other.crt"));
    for (host, expected) in [("gateway.test", &app), ("x.other.test", &other), ("X.Other.Test", &other)] {
        let stream = house.trust.connect(house.gateway.address(), host).await.expect("a handshake");
        assert_eq!(&tls::shown(&stream), expected, "{host}");
    }
    for host in ["other.test", "x.y.other.test", "stranger.test"] {
        let error = house.trust.connect(house.gateway.address(), host).await.expect_err(host);
        assert!(error.to_string().contains("not valid for name"), "it is shown the first: {error}");
    }
    assert_eventually("they are counted", SOON, async || {
        house.handshakes("ok").await >= 3.0 && house.handshakes("failed").await == 3.0
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn failed_or_slow_handshake_releases_its_connection_slot() {
    let house = house("[server.limits]\nheader_deadline = \"1s\"", "").await;
    let mut clear = Client::connect(house.gateway.address()).await;
    assert!(clear.try_send(b"GET /public HTTP/1.1\r\nHost: gateway.test\r\n\r\n").await);
    clear.until_closed().await;
    assert_eq!(house.gateway.app.heads(), 0);
    assert_eventually("it is counted", SOON, async || house.handshakes("failed").await == 1.0).await;

    let begun = Instant::now();
    let mut slow = TcpStream::connect(house.gateway.address()).await.expect("the gateway listens");
    // The beginning of a TLS record.
    slow.write_all(&[22, 3, 1]).await.expect("sent");
    Client::over(slow).until_closed().await;
    let took = begun.elapsed();
    measured(format_args!("a handshake that does not go on is cut after {took:?}"));
    assert!(took > Duration::from_millis(900) && took < SOON, "{took:?}");
    assert_eventually("it is counted", SOON, async || house.handshakes("late").await == 1.0).await;
    assert_eventually("no place is kept", SOON, async || {
        house.gateway.metric("doorward_connections_open").await == 0.0
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn hsts_is_sent_over_tls_only() {
    let house = house("redirect_listen = [\"127.0.0.1:0\"]", "hsts = \"365d\"").await;
    let mut client = house.client("gateway.test").await;
    let value = Some("max-age=31536000");
    for (method, path, status) in
        [("GET", "/public", 200), ("GET", "/notes", 401), ("PUT", "/auth/login", 405)]
    {
        let response = client.request(method, path, &[], b"").await;
        assert_eq!(
            (response.status, response.header("strict-transport-security")),
            (status, value),
            "{path}"
        );
        assert_eq!(response.all("x-request-id").len(), 1);
    }
    let clear = http::request(house.gateway.redirect(), "GET", "/notes?x=1", &[], b"").await;
    assert_eq!((clear.status, clear.header("location")), (308, Some("https://gateway.test/notes?x=1")));
    assert_eq!(clear.header("strict-transport-security"), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn plain_http_redirects_browsers_and_refuses_programs() {
    let house = house("redirect_listen = [\"127.0.0.1:0\"]", "").await;
    let ask = async |method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]| {
        http::request(house.gateway.redirect(), method, path, headers, body).await
    };
    // For app, endpoint and refusal responses alike.
    for path in ["/", "/auth/me", "/public/a%2Fb"] {
        let response = ask("GET", path, &[], b"").await;
        let to = format!("https://gateway.test{path}");
        assert_eq!((response.status, response.header("location")), (308, Some(to.as_str())));
    }
    for (method, path, headers, body) in [
        ("POST", "/auth/login", LOGIN, &credentials()[..]),
        ("GET", "/", &[("Authorization", "Bearer x")][..], b"".as_slice()),
        ("GET", "/", &[("Host", "evil.test")][..], b"".as_slice()),
        ("GET", "/ws", &[("Connection", "Upgrade"), ("Upgrade", "websocket")][..], b"".as_slice()),
    ] {
        let response = ask(method, path, headers, body).await;
        assert_eq!(
            (response.status, response.code().as_str()),
            (403, "https_required"),
            "{method} {path} {headers:?}"
        );
        assert_eq!(response.header("location"), None);
    }
    assert_eq!(house.gateway.app.heads(), 0, "nothing in clear goes on");
    // Over TLS the rules for plaintext do not apply.
    let mut client = house.client("gateway.test").await;
    assert_eq!(client.request("GET", "/public", &[], b"").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn certificate_reloads_without_restart_unless_broken() {
    let mut house = house("", "").await;
    house.gateway.follow();
    let folder = house.gateway.folder.path().to_owned();
    let ends = async || {
        house
            .gateway
            .metric("doorward_certificate_expiry_timestamp_seconds{certificate=\"gateway.test\"}")
            .await
    };
    assert!(ends().await > 1.7e9);
    let mut kept = house.client("gateway.test").await;
    let shown = async |trust: &Trust| {
        let stream = trust.connect(house.gateway.address(), "gateway.test").await;
        stream.map(|stream| tls::shown(&stream)).map_err(|error| error.to_string())
    };
    let old = tls::certificate(&folder.join("app.crt"));
    assert_eq!(shown(&house.trust).await, Ok(old.clone()));

    // A failed renewal: the key does not match the certificate.
    let key = std::fs::read(folder.join("app.key")).expect("the key");
    std::fs::copy(folder.join("other.key"), folder.join("app.key")).expect("copied");
    let rejected = async || house.gateway.metric("doorward_config_rejected").await == 1.0;
    assert_eventually("it is refused", SOON, rejected).await;
    assert_eq!(shown(&house.trust).await, Ok(old.clone()));
    let ready = house.gateway.probe("/readyz").await;
    assert!(
        ready.status == 200 && ready.text().contains("server.tls.certificates[0].key_file"),
        "{}",
        ready.text()
    );
    std::fs::write(folder.join("app.key"), key).expect("put back");
    assert_eventually("all is well again", SOON, async || !rejected().await).await;

    let new = tls::make(&folder, "app", &["gateway.test"]);
    let trust = Trust::of(&[&new]);
    let renewed = Ok(tls::certificate(&new));
    assert_eventually("the new one is shown", SOON, async || shown(&trust).await == renewed).await;
    assert!(shown(&house.trust).await.is_err(), "and the old one to nobody");
    assert_eq!(kept.request("GET", "/public", &[], b"").await.status, 200, "connections stay");
    assert!(ends().await > 1.7e9);

    // One certificate is gone, and its series with it.
    house.gateway.reconfigure(|text| text.replace("other.", "app.")).await;
    let all = house.gateway.probe("/metrics").await.text();
    assert!(!all.contains("certificate=\"*.other.test\""), "{all}");
}
