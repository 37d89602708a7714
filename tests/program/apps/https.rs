//! An app behind TLS: requests and health checks trust the same CAs.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use crate::eventually::assert_eventually;
use crate::house::House;
use crate::http;
use crate::process::Running;
use crate::serving::Serving;
use crate::tls;

/// `openssl s_server`, which answers every path with a page; stopped when dropped.
struct App {
    _process: Running,
    port: u16,
}

impl App {
    /// With a self-signed certificate for `localhost` in `folder`.
    fn start(house: &House) -> Self {
        Self::asking(house, &[])
    }

    /// With extra options, for example to request a client certificate.
    fn asking(house: &House, options: &[&std::ffi::OsStr]) -> Self {
        tls::make(&house.path(""), "app", &["localhost"]);
        let (certificate, key) = Self::files(house);
        // OpenSSL picks the port and prints it. A port found free beforehand may be taken by an outgoing connection
        // before it starts.
        let mut command = Command::new("openssl");
        command.args(["s_server", "-www", "-4", "-accept", "127.0.0.1:0"]);
        command.arg("-cert").arg(&certificate).arg("-key").arg(&key).args(options);
        let process = Running::start(&mut command);
        let port = loop {
            let line = process.line().unwrap_or_else(|| panic!("it ended: {}", process.complaint_with("")));
            if let Some(address) = line.strip_prefix("ACCEPT ") {
                break address.rsplit(':').next().and_then(|port| port.parse().ok()).expect("a port");
            }
        };
        Self { _process: process, port }
    }

    fn files(house: &House) -> (PathBuf, PathBuf) {
        (house.path("app.crt"), house.path("app.key"))
    }
}

/// Starts a gateway that trusts the certificates in `trusted` and connects to the app by this name.
fn serve(house: &House, name: &str, port: u16, trusted: &PathBuf) -> Serving {
    serve_with(house, name, port, trusted, "")
}

/// Like [`serve`], with extra lines for the upstream.
fn serve_with(house: &House, name: &str, port: u16, trusted: &PathBuf, more: &str) -> Serving {
    let text = format!(
        r#"
[server]
listen = ["127.0.0.1:0"]
[admin]
listen = ["127.0.0.1:0"]
[upstreams.app]
servers = ["https://{name}:{port}"]
{more}
[upstreams.app.health]
path = "/"
interval = "1s"
[[routes]]
name = "app"
path = "/"
access = "public"
upstream = "app"
"#
    );
    house.write("gateway.toml", &text);
    let mut command = house.command(&["serve"]);
    Serving::start(command.env("SSL_CERT_FILE", trusted).env_remove("SSL_CERT_DIR"))
}

async fn checks(gateway: &Serving, result: &str) -> f64 {
    let text = http::request(gateway.admin, "GET", "/metrics", &[], b"").await.text();
    let line = text
        .lines()
        .find(|line| line.starts_with(&format!("doorward_upstream_checks_total{{result=\"{result}\"")));
    line.and_then(|line| line.rsplit(' ').next()?.parse().ok()).expect("there from the start")
}

const SOON: Duration = Duration::from_secs(30);

#[tokio::test(flavor = "multi_thread")]
async fn health_checks_trust_the_same_authorities_as_requests() {
    let house = House::empty();
    let app = App::start(&house);
    let (certificate, _) = App::files(&house);
    let gateway = serve(&house, "localhost", app.port, &certificate);
    let get = async |gateway: &Serving| http::request(gateway.public, "GET", "/", &[], b"").await.status;
    assert_eventually("the check is good", SOON, async || checks(&gateway, "ok").await >= 1.0).await;
    assert_eq!(get(&gateway).await, 200);
    gateway.stop();

    // A name that the certificate does not contain.
    let gateway = serve(&house, "127.0.0.1", app.port, &certificate);
    assert_eventually("the check fails", SOON, async || checks(&gateway, "failed").await >= 1.0).await;
    assert_eq!(get(&gateway).await, 502);
    assert_eq!(checks(&gateway, "ok").await, 0.0);
    gateway.stop();

    // A different CA.
    let stranger = House::empty();
    drop(App::start(&stranger));
    let gateway = serve(&house, "localhost", app.port, &App::files(&stranger).0);
    assert_eventually("the check fails", SOON, async || checks(&gateway, "failed").await >= 1.0).await;
    assert_eq!(get(&gateway).await, 502);
    assert_eq!(checks(&gateway, "ok").await, 0.0);
    gateway.stop();
}

#[test]
fn check_and_log_warn_about_certificates() {
    let house = House::empty();
    tls::make(&house.path(""), "app", &["app.test"]);
    let text = std::fs::read_to_string(house.path("gateway.toml")).expect("the file");
    let tls = "[server.tls]\ncertificates = [{ cert_file = \"app.crt\", key_file = \"app.key\" }]\n[admin]\n";
    house.write(
        "gateway.toml",
        &text.replace("[admin]\n", tls).replace("http://gateway.test", "https://gateway.test"),
    );
    let key = std::fs::metadata(house.path("app.key")).expect("the key").permissions();
    std::fs::set_permissions(house.path("app.key"), PermissionsExt::from_mode(0o644)).expect("opened");
    let output = house.run(&["check"]).good();
    let warnings: Vec<&str> = output.lines().filter_map(|line| line.strip_prefix("warning: ")).collect();
    let (open, uncovered) = (
        "server.tls.certificates[0].key_file: every user of this machine can read the private key: chmod 600 it",
        "server.public_urls[0]: no certificate of server.tls covers \"gateway.test\", so browsers will reject it: add one, or correct the address",
    );
    assert_eq!(warnings, [open, uncovered], "{output}");

    std::fs::set_permissions(house.path("app.key"), key).expect("closed");
    let gateway = house.serve();
    let line = gateway.process.complaint_with("configuration_warning");
    assert!(line.contains("server.public_urls[0]") && line.contains("gateway.test"), "{line}");
    assert_eq!(gateway.stop().code(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn private_ca_and_client_certificate_work_upstream() {
    let (house, nobody) = (House::empty(), PathBuf::from("/dev/null"));
    let client = tls::make(&house.path(""), "client", &["doorward.test"]);
    tls::make(&house.path(""), "stranger", &["doorward.test"]);
    let ask = [
        "-Verify".as_ref(),
        "1".as_ref(),
        "-verify_return_error".as_ref(),
        "-CAfile".as_ref(),
        client.as_os_str(),
    ];
    let app = App::asking(&house, &ask);
    let own = "cert_file = \"client.crt\"\nkey_file = \"client.key\"\n";
    let stranger = "cert_file = \"stranger.crt\"\nkey_file = \"stranger.key\"\n";
    for (what, more, status) in [
        ("it is who it must be, and so are we", format!("ca_file = \"app.crt\"\n{own}"), 200),
        ("it asks who we are, and nobody answers", "ca_file = \"app.crt\"\n".to_owned(), 502),
        ("it does not know us", format!("ca_file = \"app.crt\"\n{stranger}"), 502),
        ("somebody else has signed it", format!("ca_file = \"stranger.crt\"\n{own}"), 502),
        ("this system trusts nobody", own.to_owned(), 502),
    ] {
        let gateway = serve_with(&house, "localhost", app.port, &nobody, &more);
        let result = if status == 200 { "ok" } else { "failed" };
        assert_eventually("the check comes to the same", SOON, async || {
            checks(&gateway, result).await >= 1.0
        })
        .await;
        assert_eq!(http::request(gateway.public, "GET", "/", &[], b"").await.status, status, "{what}");
        gateway.stop();
    }
}

#[test]
fn unusable_upstream_tls_files_are_named() {
    let house = House::empty();
    tls::make(&house.path(""), "app", &["app.test"]);
    tls::make(&house.path(""), "other", &["app.test"]);
    let upstream = |scheme: &str, more: &str| {
        format!("[upstreams.app]\nservers = [\"{scheme}://127.0.0.1:9000\"]\n{more}\n")
    };
    for (text, expected) in [
        (upstream("http", "ca_file = \"app.crt\""), "upstreams.app.ca_file: none of the servers is https"),
        (upstream("https", "ca_file = \"gone.crt\""), "gone.crt` cannot be read"),
        (upstream("https", "ca_file = \"app.key\""), "no certificate is in it"),
        (
            upstream("https", "cert_file = \"app.crt\""),
            "cert_file: without key_file: name its private key too",
        ),
        (
            upstream("https", "key_file = \"app.key\""),
            "key_file: without cert_file: name its certificate too",
        ),
        (
            upstream("https", "cert_file = \"app.crt\"\nkey_file = \"other.key\""),
            "other.key`: the private key does not belong to the first certificate",
        ),
    ] {
        house.write("gateway.toml", &text);
        let complaint = house.run(&["check"]).complaint();
        assert!(complaint.contains(expected), "{complaint}");
    }
}
