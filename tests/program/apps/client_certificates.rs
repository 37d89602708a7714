//! Client certificates with `curl`, over both versions of HTTP.

use std::path::Path;
use std::process::Command;

use crate::app::TestApp;
use crate::house::House;
use crate::process::{self, Done};
use crate::serving::Serving;
use crate::tls;

fn serve(house: &House, app: &TestApp) -> Serving {
    for (authority, member) in [("club", "ada"), ("others", "eve")] {
        tls::authority(&house.path(""), authority);
        tls::client(&house.path(""), authority, member);
    }
    tls::make(&house.path(""), "app", &["gateway.test"]);
    let text = format!(
        r#"
[server]
listen = ["127.0.0.1:0"]
public_urls = ["https://gateway.test"]
[server.tls]
certificates = [{{ cert_file = "app.crt", key_file = "app.key" }}]
client_ca_file = "club.crt"
[admin]
listen = ["127.0.0.1:0"]
[upstreams.app]
servers = ["http://{}"]
[[routes]]
name = "app"
path = "/"
access = "public"
upstream = "app"
forward_client_cert = true
"#,
        app.address()
    );
    house.write("gateway.toml", &text);
    house.serve()
}

/// Output of `curl`: status and HTTP version.
fn curl(gateway: &Serving, folder: &Path, more: &[&str]) -> Done {
    let port = gateway.public.port();
    let mut command = Command::new("curl");
    command.current_dir(folder).args(["-sS", "-o", "/dev/null", "-w", "%{http_code} over %{http_version}"]);
    command.args(["--max-time", "30", "--cacert", "app.crt", "--noproxy", "*"]);
    command.arg("--resolve").arg(format!("gateway.test:{port}:127.0.0.1")).args(more);
    command.arg(format!("https://gateway.test:{port}/notes"));
    process::run(&mut command, "")
}

#[tokio::test(flavor = "multi_thread")]
async fn curl_needs_a_certificate_and_gets_the_reason_without() {
    let (house, app) = (House::empty(), TestApp::start().await);
    let gateway = serve(&house, &app);
    let folder = house.path("");
    for (version, expected) in [("--http1.1", "200 over 1.1"), ("--http2", "200 over 2")] {
        let ada = ["--cert", "ada.crt", "--key", "ada.key", version, "-H", "Client-Cert: :AAAA:"];
        assert_eq!(curl(&gateway, &folder, &ada).good(), expected);
        let field = app.last().header("client-cert").expect("the app is told");
        let pem = std::fs::read_to_string(folder.join("ada.crt")).expect("PEM");
        let lines: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
        assert_eq!(field, format!(":{lines}:"), "{version}");

        // In TLS 1.3 curl has sent its request before it is refused, and may see only a reset.
        let nobody = curl(&gateway, &folder, &[version, "--tls-max", "1.2"]);
        assert!(nobody.code != Some(0) && nobody.err.contains("alert"), "{nobody:?}");
        let eve =
            curl(&gateway, &folder, &["--cert", "eve.crt", "--key", "eve.key", version, "--tls-max", "1.2"]);
        assert!(eve.code != Some(0) && eve.err.contains("unknown ca"), "{eve:?}");
        assert_ne!(curl(&gateway, &folder, &[version]).code, Some(0));
    }
    assert_eq!(app.heads(), 2);
    let own = ["--cert", "club.crt", "--key", "club.key", "--tls-max", "1.2"];
    assert_ne!(curl(&gateway, &folder, &own).code, Some(0));
    let plain = crate::http::request(gateway.public, "GET", "/", &[], b"").await;
    assert!(plain.status == 400 && plain.text().contains("write https://"), "{}", plain.text());
    let failed = |line: &&serde_json::Value| line["reason"] == "tls_handshake_failed";
    let log = gateway.log();
    let causes: Vec<&str> =
        log.iter().filter(failed).map(|line| line["cause"].as_str().expect("a cause")).collect();
    let [none, unknown] = ["peer sent no certificates", "invalid peer certificate: UnknownIssuer"];
    let authority = "its certificate is an authority's own: have the authority sign one for it";
    assert_eq!(causes, [none, unknown, none, none, unknown, none, authority]);
}
