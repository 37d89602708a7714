//! Client certificates: admission, headers sent to the app, reload and expiry.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::HandshakeKind;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use crate::support::gateway::{ROUTES, SOON};
use crate::support::http2::Http2;
use crate::support::tls::{self, Trust};
use crate::support::{Client, Setup, TestGateway, assert_eventually, http};

/// A gateway that requests certificates signed by `club`: `ada` has one, `eve` has one of `others`.
struct House {
    gateway: TestGateway,
    server: PathBuf,
    folder: PathBuf,
    trust: Trust,
}

const TOLD: &str = "[[routes]]\nname = \"told\"\npath = \"/told\"\naccess = \"public\"\nupstream = \"app\"\n\
                    forward_client_cert = true\n";

async fn house(certificates: &str) -> House {
    house_with(&format!("client_ca_file = \"club.crt\"\nclient_certificates = \"{certificates}\"\n"), TOLD)
        .await
}

async fn house_with(clients: &str, routes: &str) -> House {
    let folder = Arc::new(tempfile::tempdir().expect("a folder"));
    let server = tls::make(folder.path(), "app", &["gateway.test", "other.test"]);
    for (authority, member) in [("club", "ada"), ("others", "eve")] {
        tls::authority(folder.path(), authority);
        tls::client(folder.path(), authority, member);
    }
    let trust = Trust::of(&[&server]);
    let setup = Setup {
        public_url: "https://gateway.test".to_owned(),
        server: format!(
            "redirect_listen = [\"127.0.0.1:0\"]\n[server.tls]\n{clients}\
             certificates = [{{ cert_file = \"app.crt\", key_file = \"app.key\" }}]\n"
        ),
        routes: format!("{ROUTES}{routes}"),
        folder: Some(Arc::clone(&folder)),
        ..Setup::default()
    };
    let gateway = TestGateway::with(setup).await;
    House { gateway, server, folder: folder.path().to_owned(), trust }
}

impl House {
    fn showing(&self, stem: &str) -> Trust {
        self.trust.showing(&self.folder, stem)
    }

    async fn client(&self, trust: &Trust) -> Client<TlsStream<TcpStream>> {
        Client::over(trust.connect(self.gateway.address(), "gateway.test").await.expect("a handshake"))
    }

    /// Status of a page request. In TLS 1.3 the client learns of a refusal after its own handshake is complete.
    async fn ask(&self, trust: &Trust) -> io::Result<u16> {
        let mut stream = trust.connect(self.gateway.address(), "gateway.test").await?;
        // A refused client may fail even earlier.
        let _ =
            stream.write_all(b"GET /told HTTP/1.1\r\nHost: gateway.test\r\nConnection: close\r\n\r\n").await;
        let mut response = Vec::new();
        stream.read_to_end(&mut response).await?;
        Ok(String::from_utf8_lossy(&response)[9..12].parse().expect("a status"))
    }

    async fn refusal(&self, trust: &Trust) -> String {
        let error = self.ask(trust).await.expect_err("a refusal");
        error.to_string()
    }

    async fn handshakes(&self, result: &str) -> f64 {
        self.gateway.metric(&format!("doorward_tls_handshakes_total{{result=\"{result}\"}}")).await
    }
}

/// Correct `Client-Cert` value (RFC 9440 section 2.2).
fn field(file: &Path) -> String {
    format!(":{}:", STANDARD.encode(tls::certificate(file)))
}

#[tokio::test(flavor = "multi_thread")]
async fn required_client_certificate_is_enforced_in_the_handshake() {
    let house = house("required").await;
    tls::issue(
        &house.folder,
        "club",
        "server",
        &["basicConstraints=critical,CA:FALSE", "extendedKeyUsage=serverAuth"],
    );
    tls::issue(&house.folder, "self", "self", &["basicConstraints=critical,CA:FALSE"]);
    // Signed by a member, which is not a CA.
    tls::client(&house.folder, "ada", "friend");
    let alert = |name: &str| format!("received fatal alert: {name}");
    assert_eq!(house.refusal(&house.trust).await, alert("CertificateRequired"));
    for (stem, expected) in [
        ("eve", "UnknownCA"),
        ("self", "UnknownCA"),
        ("friend", "UnknownCA"),
        ("server", "UnsupportedCertificate"),
    ] {
        assert_eq!(house.refusal(&house.showing(stem)).await, alert(expected), "{stem}");
    }
    let old = Trust::speaking(&[&house.server], true);
    assert!(house.refusal(&old).await.starts_with("received fatal alert"));
    assert!(house.refusal(&old.showing(&house.folder, "eve")).await.starts_with("received fatal alert"));
    assert_eq!(house.gateway.app.heads(), 0, "the app heard of none of them");
    assert_eventually("they are counted", SOON, async || house.handshakes("failed").await == 7.0).await;

    for old in [false, true] {
        let ada = Trust::speaking(&[&house.server], old).showing(&house.folder, "ada");
        assert_eq!(house.ask(&ada).await.expect("she is let in"), 200);
    }
    assert_eq!(house.handshakes("ok").await, 2.0);
    // A plaintext listener requests no certificate.
    let clear = http::request(house.gateway.redirect(), "GET", "/notes", &[], b"").await;
    assert_eq!(clear.header("location"), Some("https://gateway.test/notes"));
    assert_eq!(house.gateway.probe("/readyz").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn optional_certificate_may_be_missing_but_not_invalid() {
    let house = house("optional").await;
    let forged = [("Client-Cert", ":AAAA:"), ("Client-Cert-Chain", ":AAAA:"), ("client_cert", ":AAAA:")];
    let mut nobody = house.client(&house.trust).await;
    assert_eq!(nobody.request("GET", "/told", &forged, b"").await.status, 200);
    let seen = house.gateway.app.last();
    for name in ["client-cert", "client-cert-chain", "client_cert"] {
        assert_eq!(seen.header(name), None, "{name}");
    }
    let mut ada = house.client(&house.showing("ada")).await;
    assert_eq!(ada.request("GET", "/told", &forged, b"").await.status, 200);
    assert_eq!(house.gateway.app.last().header("client-cert"), Some(field(&house.folder.join("ada.crt"))));
    assert_eq!(house.refusal(&house.showing("eve")).await, "received fatal alert: UnknownCA");
    // The certificate is not a sign-in.
    assert_eq!(ada.request("GET", "/notes", &[], b"").await.code(), "token_missing");
}

#[tokio::test(flavor = "multi_thread")]
async fn certificate_headers_reach_routed_apps_and_cannot_be_spoofed() {
    let house = house("required").await;
    let ada = house.showing("ada");
    let expected = field(&house.folder.join("ada.crt"));
    let forged = [
        ("client-cert", ":AAAA:"),
        ("client-cert-chain", ":AAAA:"),
        ("client_cert", ":AAAA:"),
        ("client.cert", "x"),
    ];
    let mut old = house.client(&ada).await;
    let mut new = Http2::connect(&ada, house.gateway.address(), "gateway.test").await;
    for (path, told) in [("/told", Some(&expected)), ("/public", None)] {
        for version in [1, 2] {
            let response = match version {
                1 => old.request("POST", path, &forged, b"a body").await,
                _ => new.request("POST", path, &forged, b"a body").await,
            };
            assert_eq!(response.status, 200, "{path} over HTTP/{version}");
            let seen = house.gateway.app.last();
            assert_eq!(seen.header("client-cert").as_ref(), told, "{path} over HTTP/{version}");
            for name in ["client-cert-chain", "client_cert", "client.cert"] {
                assert_eq!(seen.header(name), None, "{path} over HTTP/{version}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn reloaded_client_ca_applies_to_open_connections() {
    let mut house = house("required").await;
    house.gateway.follow();
    let both = std::fs::read_to_string(house.folder.join("club.crt")).expect("PEM")
        + &std::fs::read_to_string(house.folder.join("others.crt")).expect("PEM");
    let (ada, eve) = (house.showing("ada"), house.showing("eve"));
    let mut kept = house.client(&ada).await;
    let mut kept2 = Http2::connect(&ada, house.gateway.address(), "gateway.test").await;
    assert_eq!(kept.request("GET", "/told", &[], b"").await.status, 200);
    assert_eq!(kept2.request("GET", "/told", &[], b"").await.status, 200);

    // An unreadable file changes nothing.
    std::fs::write(
        house.folder.join("broken.crt"),
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    )
    .expect("written");
    house.gateway.rewrite(|text| text.replace("club.crt", "broken.crt"));
    assert_eventually("it is refused", SOON, async || {
        house.gateway.metric("doorward_config_rejected").await == 1.0
    })
    .await;
    let ready = house.gateway.probe("/readyz").await.text();
    assert!(
        ready.contains("server.tls.client_ca_file: ") && ready.contains("a CA certificate cannot be used"),
        "{ready}"
    );
    assert_eq!(house.ask(&ada).await.expect("as before"), 200);
    assert_eq!(house.refusal(&eve).await, "received fatal alert: UnknownCA");

    // One more CA: all clients stay accepted.
    std::fs::write(house.folder.join("both.crt"), both).expect("written");
    house.gateway.reconfigure(|text| text.replace("broken.crt", "both.crt")).await;
    assert_eq!(house.ask(&eve).await.expect("she is believed now"), 200);
    assert_eq!(house.ask(&ada).await.expect("as before"), 200);
    assert_eq!(kept.request("GET", "/told", &[], b"").await.status, 200, "it still counts");
    assert_eq!(kept2.request("GET", "/told", &[], b"").await.status, 200, "it still counts");

    // The removed CA is no longer accepted.
    let before = house.gateway.app.heads();
    house.gateway.reconfigure(|text| text.replace("both.crt", "others.crt")).await;
    assert_eq!(house.refusal(&ada).await, "received fatal alert: UnknownCA");
    let response = kept.request("GET", "/told", &[], b"").await;
    assert_eq!((response.status, response.code().as_str()), (421, "connection_outdated"));
    kept.until_closed().await;
    let response = kept2.request("GET", "/told", &[], b"").await;
    assert_eq!((response.status, response.code().as_str()), (421, "connection_outdated"));
    assert_eq!(kept2.until_closed().await, None, "it is told to connect anew, in order");
    assert_eq!(house.gateway.app.heads(), before, "the app heard of neither");
    assert_eq!(house.ask(&eve).await.expect("as before"), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_before_client_ca_setting_must_reconnect() {
    let mut house = house_with("", "").await;
    house.gateway.follow();
    let mut kept = house.client(&house.trust).await;
    assert_eq!(kept.request("GET", "/public", &[], b"").await.status, 200);
    let asking = |text: &str| text.replace("[server.tls]", "[server.tls]\nclient_ca_file = \"club.crt\"");
    house.gateway.reconfigure(asking).await;
    assert_eq!(
        house.refusal(&house.trust).await,
        "received fatal alert: CertificateRequired",
        "required by default"
    );
    assert_eq!(kept.request("GET", "/public", &[], b"").await.code(), "connection_outdated");
    let mut ada = house.client(&house.showing("ada")).await;
    assert_eq!(ada.request("GET", "/public", &[], b"").await.status, 200);
    // Certificates are no longer requested; one already presented does no harm.
    house.gateway.reconfigure(|text| text.replace("client_ca_file = \"club.crt\"", "")).await;
    assert_eq!(ada.request("GET", "/public", &[], b"").await.status, 200);
    assert_eq!(house.gateway.app.last().header("client-cert"), None);
}

/// F7: a verified session is not resumed, neither by tickets nor by session ids, nor under another name.
#[tokio::test(flavor = "multi_thread")]
async fn every_connection_presents_its_own_certificate() {
    let mut house = house_with("", "").await;
    house.gateway.follow();
    let connect = async |trust: &Trust, host: &str| {
        let stream = trust.connect(house.gateway.address(), host).await.expect("a handshake");
        let mut client = Client::over(stream);
        // TLS 1.3 tickets arrive with the response.
        let status = client.request("GET", "/public", &[], b"").await.status;
        (status, client.into_stream().get_ref().1.handshake_kind())
    };
    for old in [true, false] {
        let nobody = Trust::speaking(&[&house.server], old);
        assert_eq!(connect(&nobody, "gateway.test").await, (200, Some(HandshakeKind::Full)));
        assert_eq!(
            connect(&nobody, "gateway.test").await,
            (200, Some(HandshakeKind::Resumed)),
            "the test can see it"
        );
    }
    let [early, early_old] = [false, true].map(|old| Trust::speaking(&[&house.server], old));
    for trust in [&early, &early_old] {
        assert_eq!(connect(trust, "gateway.test").await, (200, Some(HandshakeKind::Full)));
    }
    let asking = |text: &str| text.replace("[server.tls]", "[server.tls]\nclient_ca_file = \"club.crt\"");
    house.gateway.reconfigure(asking).await;
    for trust in [&early, &early_old] {
        assert!(
            house.refusal(trust).await.starts_with("received fatal alert"),
            "what it had before is worth nothing"
        );
    }
    for old in [true, false] {
        let ada = Trust::speaking(&[&house.server], old).showing(&house.folder, "ada");
        for host in ["gateway.test", "gateway.test", "other.test"] {
            assert_eq!(connect(&ada, host).await, (200, Some(HandshakeKind::Full)), "{host}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn connection_ends_when_its_certificate_expires() {
    let house = house("required").await;
    let ada = house.showing("ada");
    let mut kept = house.client(&ada).await;
    assert_eq!(kept.request("GET", "/told", &[], b"").await.status, 200);
    house.gateway.clock.advance(Duration::from_hours(91 * 24));
    let response = kept.request("GET", "/told", &[], b"").await;
    assert_eq!((response.status, response.code().as_str()), (421, "connection_outdated"));
    kept.until_closed().await;
}
