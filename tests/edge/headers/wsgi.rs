//! T02: a real app that merges `_` and `-` in header names: CGI rules, as implemented by Python's wsgiref.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use super::corpus::{NAMES, spellings};
use super::{IDENTITY, merged};
use crate::support::{Client, Setup, TestGateway, measured};

/// Prints its port; responds with the environment its apps receive.
const APP: &str = r#"
import json
from wsgiref.simple_server import WSGIRequestHandler, make_server

class Quiet(WSGIRequestHandler):
    def log_message(self, *_):
        pass

def app(environ, start_response):
    body = json.dumps({k: v for k, v in environ.items() if isinstance(v, str) and k.startswith(("HTTP_", "REMOTE_", "CONTENT_", "AUTH_"))}).encode()
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]

server = make_server("127.0.0.1", 0, app, handler_class=Quiet)
print(server.server_port, flush=True)
server.serve_forever()
"#;

/// The app process; killed by its id.
struct Wsgi {
    child: Child,
    port: u16,
}

impl Wsgi {
    fn start() -> Self {
        let mut child = Command::new("python3")
            .args(["-c", APP])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("python3, which `.ci/setup test` brings");
        let mut line = String::new();
        let out = child.stdout.take().expect("piped");
        BufReader::new(out).read_line(&mut line).expect("a line");
        let port = line.trim().parse().expect("a port");
        Self { child, port }
    }
}

impl Drop for Wsgi {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn wsgi_app_sees_no_spoofed_identity() {
    let app = tokio::task::spawn_blocking(Wsgi::start).await.expect("an app");
    let routes = Setup::default().routes.replace("upstream = \"app\"", "upstream = \"wsgi\"");
    let upstream = format!("[upstreams.wsgi]\nservers = [\"http://127.0.0.1:{}\"]\n", app.port);
    let gateway = TestGateway::with(Setup { routes: routes + &upstream, ..Setup::default() }).await;
    let user = gateway.user("ada", &["user"]).await.to_string();
    let tokens = gateway.login("ada").await;
    let bearer = format!("Bearer {}", tokens.access);
    let values = ["user", tokens.session.as_str(), "ada", user.as_str()];
    let others = [
        "X_Forwarded_For",
        "X_Forwarded_Proto",
        "X_Forwarded_Host",
        "X_Real_IP",
        "Remote_User",
        "Client_Cert",
        "Proxy",
        "X_HTTP_Method_Override",
    ];
    let mut sent = 0;
    let names = NAMES.into_iter().flat_map(spellings).chain(others.map(str::to_owned));
    for name in names {
        for (path, credential) in [("/public", false), ("/optional", false), ("/x", true)] {
            let mut headers = vec![(name.as_str(), "evil"), (name.as_str(), "evil2")];
            if credential {
                headers.push(("Authorization", &bearer));
            }
            let mut client = Client::connect(gateway.address()).await;
            let response = client.request("GET", path, &headers, b"").await;
            assert_eq!(response.status, 200, "{name}");
            sent += 1;
            let environ = response.json();
            assert!(!response.text().contains("evil"), "{name}: {environ}");
            for (known, truth) in IDENTITY.into_iter().zip(values) {
                let seen = environ[format!("HTTP_{}", known.to_uppercase())].as_str();
                assert_eq!(seen, credential.then_some(truth), "{path} {name} ({})", merged(&name));
            }
        }
    }
    measured(format_args!("requests to an app that merges names: {sent}"));
}
