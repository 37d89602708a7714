//! TLS for tests: self-signed certificates, a client that trusts selected certificates, and a tunnel that adds TLS to
//! the other helpers.

use std::fs;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// Creates `stem`.crt, self-signed for these hosts, and `stem`.key. Returns the path of the certificate.
pub(crate) fn make(folder: &Path, stem: &str, hosts: &[&str]) -> PathBuf {
    let (certificate, key) = (folder.join(format!("{stem}.crt")), folder.join(format!("{stem}.key")));
    // Written beside them and renamed: another process may be reading.
    let [new_certificate, new_key] = [&certificate, &key].map(|file| file.with_extension("new"));
    let new_key = new_key.with_extension("newkey");
    let names: Vec<String> = hosts.iter().map(|host| format!("DNS:{host}")).collect();
    let made = Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-days",
            "90",
        ])
        .args(["-subj", "/CN=doorward test", "-addext", &format!("subjectAltName={}", names.join(","))])
        // rustls refuses a CA certificate as a server certificate.
        .args(["-addext", "basicConstraints=critical,CA:FALSE", "-keyout"])
        .arg(&new_key)
        .arg("-out")
        .arg(&new_certificate)
        .output()
        .expect("`openssl` is missing: `make test` installs it");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    fs::rename(new_key, key).expect("renamed");
    fs::rename(new_certificate, &certificate).expect("renamed");
    certificate
}

/// Creates the CA certificate `stem`.crt and `stem`.key. Returns the path of the certificate.
pub(crate) fn authority(folder: &Path, stem: &str) -> PathBuf {
    let extensions = ["basicConstraints=critical,CA:TRUE", "keyUsage=critical,keyCertSign"];
    issue(folder, stem, stem, &extensions)
}

/// Creates `stem`.crt, a client certificate signed by the CA `by`, and `stem`.key.
pub(crate) fn client(folder: &Path, by: &str, stem: &str) -> PathBuf {
    issue(folder, by, stem, &["basicConstraints=critical,CA:FALSE", "extendedKeyUsage=clientAuth"])
}

/// Creates a certificate with these extensions, self-signed unless a CA is given.
pub(crate) fn issue(folder: &Path, by: &str, stem: &str, extensions: &[&str]) -> PathBuf {
    let file = |stem: &str, kind: &str| folder.join(format!("{stem}.{kind}"));
    let mut command = Command::new("openssl");
    command.args(["req", "-x509", "-nodes", "-days", "90", "-newkey", "ec"]);
    command.args(["-pkeyopt", "ec_paramgen_curve:P-256", "-subj", &format!("/CN={stem}")]);
    if by != stem {
        command.arg("-CA").arg(file(by, "crt")).arg("-CAkey").arg(file(by, "key"));
    }
    for extension in extensions {
        command.args(["-addext", extension]);
    }
    command.arg("-keyout").arg(file(stem, "key")).arg("-out").arg(file(stem, "crt"));
    let made = command.output().expect("`openssl` is missing: `make test` installs it");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    file(stem, "crt")
}

/// The certificate in a file.
pub(crate) fn certificate(file: &Path) -> CertificateDer<'static> {
    CertificateDer::from_pem_file(file).expect("a certificate")
}

/// A client that trusts only the given certificates.
#[derive(Clone)]
pub(crate) struct Trust(Arc<ClientConfig>);

impl Trust {
    /// Trusts the current content of these files; later replacements are not trusted.
    pub(crate) fn of(files: &[&Path]) -> Self {
        Self::with_versions(files, rustls::DEFAULT_VERSIONS)
    }

    fn with_versions(files: &[&Path], versions: &[&'static rustls::SupportedProtocolVersion]) -> Self {
        let mut roots = RootCertStore::empty();
        for file in files {
            roots.add(certificate(file)).expect("a root");
        }
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(versions)
            .expect("versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        Self(Arc::new(config))
    }

    /// The same client with these ALPN protocols (RFC 7301).
    pub(crate) fn offering(&self, protocols: &[&[u8]]) -> Self {
        let mut config = ClientConfig::clone(&self.0);
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        Self(Arc::new(config))
    }

    /// The same client with a client certificate and without session resumption.
    pub(crate) fn showing(&self, folder: &Path, stem: &str) -> Self {
        let key = PrivateKeyDer::from_pem_file(folder.join(format!("{stem}.key"))).expect("a key");
        let key = ring::sign::any_supported_type(&key).expect("a key that signs");
        let chain = vec![certificate(&folder.join(format!("{stem}.crt")))];
        let mut config = ClientConfig::clone(&self.0);
        config.client_auth_cert_resolver = Arc::new(SingleCertAndKey::from(CertifiedKey::new(chain, key)));
        config.resumption = rustls::client::Resumption::default();
        Self(Arc::new(config))
    }

    /// The same client limited to TLS 1.2 or 1.3.
    pub(crate) fn speaking(files: &[&Path], old: bool) -> Self {
        Self::with_versions(files, &[if old { &TLS12 } else { &TLS13 }])
    }

    /// Connects to a gateway whose certificate must match `host`.
    pub(crate) async fn connect(&self, address: SocketAddr, host: &str) -> io::Result<TlsStream<TcpStream>> {
        self.over(TcpStream::connect(address).await?, host).await
    }

    /// Performs the handshake on an existing connection.
    pub(crate) async fn over(&self, stream: TcpStream, host: &str) -> io::Result<TlsStream<TcpStream>> {
        let host = ServerName::try_from(host.to_owned()).expect("a name");
        TlsConnector::from(Arc::clone(&self.0)).connect(host, stream).await
    }
}

/// The server certificate of a connection.
pub(crate) fn shown(stream: &TlsStream<TcpStream>) -> CertificateDer<'static> {
    let certificates = stream.get_ref().1.peer_certificates().expect("a handshake");
    certificates[0].clone().into_owned()
}

/// Connects from one of this machine's addresses.
pub(crate) async fn connect_from(from: IpAddr, to: SocketAddr) -> io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::new(from, 0))?;
    socket.connect(to).await
}

/// A plaintext listener that forwards each connection to a gateway over TLS, from the same source address. Closed when
/// dropped.
pub(crate) struct Tunnel {
    address: SocketAddr,
    running: JoinHandle<()>,
}

impl Tunnel {
    pub(crate) fn start(trust: Trust, to: SocketAddr, host: &'static str) -> Self {
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a port");
        listener.set_nonblocking(true).expect("a socket");
        let listener = TcpListener::from_std(listener).expect("a socket");
        let address = listener.local_addr().expect("an address");
        let running = tokio::spawn(async move {
            while let Ok((mut near, client)) = listener.accept().await {
                let trust = trust.clone();
                tokio::spawn(async move {
                    // A refused upstream connection closes the client connection.
                    let Ok(far) = connect_from(client.ip(), to).await else { return };
                    let Ok(mut far) = trust.over(far, host).await else { return };
                    let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
                });
            }
        });
        Self { address, running }
    }

    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Tunnel {
    fn drop(&mut self) {
        self.running.abort();
    }
}
