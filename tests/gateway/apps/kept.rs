//! Reuse of upstream connections and its time limits; Unix sockets.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject as _;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UnixListener};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

use super::scene::{BOTH, Scene, Wire};
use crate::support::gateway::SOON;
use crate::support::{Socket, TestApp, TestGateway, assert_eventually, tls};

/// Starts an app that adds this field to every response. Also returns its counts of open and accepted connections.
async fn app(field: &'static str) -> (String, Arc<AtomicUsize>, Arc<AtomicUsize>, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let server = format!("http://{}", listener.local_addr().expect("an address"));
    let (open, all) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (counted, all_counted) = (Arc::clone(&open), Arc::clone(&all));
    let serving = tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let open = Arc::clone(&counted);
            open.fetch_add(1, Ordering::Relaxed);
            all_counted.fetch_add(1, Ordering::Relaxed);
            tokio::spawn(async move {
                let mut chunk = [0; 4096];
                while stream.read(&mut chunk).await.is_ok_and(|read| read > 0) {
                    let response = format!("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n{field}\r\nok");
                    if stream.write_all(response.as_bytes()).await.is_err() {
                        break;
                    }
                }
                open.fetch_sub(1, Ordering::Relaxed);
            });
        }
    });
    (server, open, all, serving)
}

async fn ask(scene: &Scene, wire: Wire) {
    let mut client = scene.ask(wire).await;
    client.begin("GET", "/", &[], true).await;
    assert_eq!(client.response().await.expect("an answer").status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn upstream_connection_is_kept_until_the_idle_timeout() {
    let (server, open, all, serving) = app("").await;
    let scene = Scene::before(&server, "idle_timeout = \"1s\"", "").await;
    for _ in 0..3 {
        ask(&scene, Wire::Http1).await;
    }
    assert!(all.load(Ordering::Relaxed) <= 3);
    assert_eventually("it is closed", SOON * 6, async || open.load(Ordering::Relaxed) == 0).await;
    serving.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn keep_alive_header_of_the_app_bounds_connection_reuse() {
    // One second less than announced, and less than without an announcement.
    let (server, open, all, serving) = app("Keep-Alive: max=100, timeout=3\r\n").await;
    let scene = Scene::before(&server, "", "").await;
    // The connection of the first announcement is kept for longer, and is not used again.
    for wire in [Wire::Http1, Wire::Http2] {
        ask(&scene, wire).await;
    }
    assert_eq!(all.load(Ordering::Relaxed), 2);
    assert_eventually("they are closed", SOON * 4, async || open.load(Ordering::Relaxed) == 0).await;
    serving.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn connection_closed_by_the_app_is_not_reused() {
    for said in ["Keep-Alive: timeout=1\r\n", "Keep-Alive: timeout=0\r\n"] {
        let (server, _, all, serving) = app(said).await;
        let scene = Scene::before(&server, "", "").await;
        // The first response announces it, and no connection serves another request, its own included.
        for at in 1..=5 {
            ask(&scene, BOTH[at % 2]).await;
            assert_eq!(all.load(Ordering::Relaxed), at, "{said}");
        }
        serving.abort();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn app_behind_unix_socket_is_served() {
    let app = TestApp::start().await;
    let folder = Arc::new(tempfile::tempdir().expect("a folder"));
    let listener = UnixListener::bind(folder.path().join("app.sock")).expect("a socket");
    let address = app.address();
    // The same app on a Unix socket; its connections end with it.
    let serving = tokio::spawn(async move {
        let mut connections = tokio::task::JoinSet::new();
        while let Ok((mut near, _)) = listener.accept().await {
            let mut far = tokio::net::TcpStream::connect(address).await.expect("the app");
            connections.spawn(async move { tokio::io::copy_bidirectional(&mut near, &mut far).await });
        }
    });
    let setup = crate::support::Setup {
        routes: "[upstreams.socket]\nservers = [\"unix:app.sock\"]\n[upstreams.socket.health]\npath = \"/public\"\ninterval = \"1s\"\ntimeout = \"1s\"\n\
                 [[routes]]\nname = \"asks\"\npath = \"/\"\naccess = \"signed-in\"\nupstream = \"socket\"\n\
                 [[routes]]\nname = \"plain\"\npath = \"/public\"\naccess = \"public\"\nupstream = \"socket\"\npreserve_host = false\n"
            .to_owned(),
        folder: Some(Arc::clone(&folder)),
        ..crate::support::Setup::default()
    };
    let gateway = TestGateway::with(setup).await;
    gateway.user("ada", &[]).await;
    let tokens = gateway.login("ada").await;
    let body = vec![b'x'; 300_000];
    let bearer = format!("Bearer {}", tokens.access);
    let response = crate::support::http::request(
        gateway.address(),
        "POST",
        "/notes",
        &[("Authorization", &bearer)],
        &body,
    )
    .await;
    assert_eq!(response.status, 200, "{}", response.text());
    assert!(app.seen().iter().any(|seen| seen.body == body && seen.all("host") == ["gateway.test"]));
    assert_eq!(gateway.get("/public/x", &[]).await.status, 200);
    assert!(app.seen().iter().any(|seen| seen.target() == "/public/x" && seen.all("host") == ["localhost"]));
    Socket::open(gateway.address(), "/ws", &tokens.access).await.echo("through it").await;
    let socket = folder.path().join("app.sock").display().to_string();
    let checks = format!("doorward_upstream_checks_total{{result=\"ok\",server=\"unix:{socket}\"");
    assert_eventually("it is checked", SOON * 6, async || gateway.metric(&checks).await >= 1.0).await;
    serving.abort();
    std::fs::remove_file(&socket).expect("it is there");
    let failures = "doorward_upstream_connect_failures_total{upstream=\"socket\"";
    assert_eventually("nobody is there any more", SOON * 6, async || {
        let status = gateway.get("/public/x", &[]).await.status;
        status == 502 && gateway.metric(failures).await >= 1.0
    })
    .await;
}

/// Starts a TLS app whose connections each answer one request, and close without `close_notify` when another arrives. Also returns
/// its count of requests.
async fn abrupt_tls_app(folder: &Path) -> (String, Arc<AtomicUsize>, JoinHandle<()>) {
    let certificate = tls::make(folder, "upstream", &["upstream.test"]);
    let key = PrivateKeyDer::from_pem_file(folder.join("upstream.key")).expect("a key");
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![tls::certificate(&certificate)], key)
        .expect("a certificate");
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let server = format!("https://{}", listener.local_addr().expect("an address"));
    let requests = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&requests);
    let serving = tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (acceptor, requests) = (acceptor.clone(), Arc::clone(&counted));
            tokio::spawn(async move {
                let Ok(mut stream) = acceptor.accept(stream).await else { return };
                for is_first in [true, false] {
                    let mut head = Vec::new();
                    while !head.windows(4).any(|bytes| bytes == b"\r\n\r\n") {
                        if stream.read_buf(&mut head).await.unwrap_or(0) == 0 {
                            return;
                        }
                    }
                    requests.fetch_add(1, Ordering::Relaxed);
                    if is_first {
                        let response = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
                        let _ = stream.write_all(response).await;
                        let _ = stream.flush().await;
                    }
                }
                // Dropped, not shut down.
            });
        }
    });
    (server, requests, serving)
}

#[tokio::test(flavor = "multi_thread")]
async fn safe_request_is_repeated_when_a_tls_app_closes_without_close_notify() {
    let folder = tempfile::tempdir().expect("a folder");
    let (server, requests, serving) = abrupt_tls_app(folder.path()).await;
    let ca_file = folder.path().join("upstream.crt");
    let upstream = format!("ca_file = \"{}\"\nserver_name = \"upstream.test\"", ca_file.display());
    let scene = Scene::before(&server, &upstream, "").await;
    for (method, status) in [("GET", 200), ("PROPFIND", 200), ("POST", 502)] {
        ask(&scene, Wire::Http1).await;
        requests.store(0, Ordering::Relaxed);
        let mut client = scene.ask(Wire::Http1).await;
        client.begin(method, "/", &[], true).await;
        assert_eq!(client.response().await.expect("a response").status, status, "{method}");
        // The kept connection had taken the first of them.
        let expected = if status == 200 { 2 } else { 1 };
        assert_eq!(requests.load(Ordering::Relaxed), expected, "{method}");
    }
    serving.abort();
}
