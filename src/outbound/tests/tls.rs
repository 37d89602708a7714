//! TLS: the certificate and the name are verified.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

use super::*;
use crate::certificate::Authorities;
use crate::certificate::made::{make, make_server};

fn acceptor(folder: &Path, stem: &str) -> TlsAcceptor {
    let file = |kind: &str| std::fs::read(folder.join(format!("{stem}.{kind}"))).unwrap();
    let chain = CertificateDer::pem_slice_iter(&file("crt")).collect::<Result<Vec<_>, _>>().unwrap();
    let key = PrivateKeyDer::from_pem_slice(&file("key")).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config =
        rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let mut config = config.with_no_client_auth().with_single_cert(chain, key).unwrap();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    TlsAcceptor::from(Arc::new(config))
}

/// A folder with a CA, and two server certificates of it: for this machine, and for another host.
fn certificates() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    make(folder.path(), "ca", "ec", &[]);
    make_server(folder.path(), "ca", "good", &["IP:127.0.0.1", "DNS:localhost"]);
    make_server(folder.path(), "ca", "other", &["DNS:other.example"]);
    folder
}

async fn server(acceptor: TlsAcceptor) -> Server {
    Server::start(move |stream| {
        let acceptor = acceptor.clone();
        async move {
            let Ok(mut stream) = acceptor.accept(stream).await else { return };
            head(&mut stream).await;
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
            let _ = stream.shutdown().await;
        }
    })
    .await
}

fn trusting(pem: Option<&[u8]>) -> Client {
    let authorities = pem.map(|pem| Authorities::read(pem).unwrap());
    let outbound = Outbound::new(&|_| None, Arc::new(SystemClock::new()), Arc::new(Metrics::new()));
    outbound.client(authorities.as_ref(), ["127.0.0.1", "localhost"]).unwrap()
}

#[tokio::test]
async fn certificate_and_name_are_verified() {
    let folder = certificates();
    let ca = std::fs::read(folder.path().join("ca.crt")).unwrap();
    let (good, other) =
        (server(acceptor(folder.path(), "good")).await, server(acceptor(folder.path(), "other")).await);
    let get = |client: Client, host: &str, server: &Server| {
        let url = format!("https://{host}:{}/", server.address.port());
        async move { client.send(Request::get(Purpose::Keys, &url)).await }
    };
    for host in ["127.0.0.1", "localhost"] {
        assert_eq!(get(trusting(Some(&ca)), host, &good).await.unwrap().body(), b"ok");
        let wrong_name = get(trusting(Some(&ca)), host, &other).await.unwrap_err();
        assert!(matches!(wrong_name, OutboundError::Tls(_)), "{wrong_name}");
        let unknown_ca = get(trusting(None), host, &good).await.unwrap_err();
        assert!(matches!(unknown_ca, OutboundError::Tls(_)), "{unknown_ca}");
    }
}

#[tokio::test]
async fn server_without_tls_and_half_open_handshake_are_errors() {
    let plain = Server::answering("HTTP/1.1 400 Bad Request\r\n\r\n").await;
    let half_open = Server::start(|stream| async move {
        std::future::pending::<()>().await;
        drop(stream);
    })
    .await;
    let closing = Server::start(|stream| async move { drop(stream) }).await;
    let client = trusting(None);
    let get = |server: &Server| {
        let url = format!("https://{}/", server.address);
        let request = Request::get(Purpose::Keys, &url).timeout(Duration::from_millis(500));
        let client = client.clone();
        async move { client.send(request).await.unwrap_err() }
    };
    let error = get(&closing).await;
    assert!(matches!(error, OutboundError::Unreachable(_)), "{error}");
    assert_eq!(get(&half_open).await, OutboundError::Timeout);
    let error = get(&plain).await;
    assert!(
        matches!(error, OutboundError::Tls(_) | OutboundError::Unreachable(_) | OutboundError::Timeout),
        "{error}"
    );
}

#[tokio::test]
async fn tls_goes_through_the_tunnel_of_a_proxy() {
    let folder = certificates();
    let ca = std::fs::read(folder.path().join("ca.crt")).unwrap();
    let good = server(acceptor(folder.path(), "good")).await;
    let (server_of_proxy, mut requests) = proxy::tunnelling(good.address).await;
    let variable = format!("http://ada:secret@{}", server_of_proxy.address);
    let env = move |name: &str| (name == "https_proxy").then(|| variable.clone());
    let outbound = Outbound::new(&env, Arc::new(SystemClock::new()), Arc::new(Metrics::new()));
    let authorities = Authorities::read(&ca).unwrap();
    // The name does not exist here: the proxy resolves it.
    let client = outbound.client(Some(&authorities), ["localhost"]).unwrap();
    let url = format!("https://localhost:{}/", good.address.port());
    assert_eq!(client.send(Request::get(Purpose::Keys, &url)).await.unwrap().body(), b"ok");
    let request = requests.recv().await.unwrap();
    assert!(
        request.starts_with(&format!("CONNECT localhost:{} HTTP/1.1\r\n", good.address.port())),
        "{request}"
    );
    assert!(
        request.to_ascii_lowercase().contains("\r\nproxy-authorization: basic ywrhonnly3jlda==\r\n"),
        "{request}"
    );
}
