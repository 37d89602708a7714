//! Causes of failed connects to an app, with a hint at the remedy.

use pingora::{Error, ErrorType};

use crate::gateway::tls_error::{self, TlsError};

/// Returns the cause of a failed connect, without the context that other layers add.
///
/// Messages of an unknown kind are returned unchanged. The tests below produce each kind.
pub(crate) fn cause(error: &Error) -> String {
    match error.etype() {
        ErrorType::TLSHandshakeTimedout => {
            return "the TLS handshake did not end within connect_timeout: does the app speak TLS there?"
                .to_owned();
        }
        ErrorType::ConnectTimedout => {
            return "no connection within connect_timeout: check address, port and firewall".to_owned();
        }
        ErrorType::ConnectRefused => return "connection refused: is the app running?".to_owned(),
        _ => {}
    }
    if !matches!(error.etype(), ErrorType::TLSHandshakeFailure | ErrorType::InvalidCert) {
        return tls_error::message(&error.root_cause().to_string()).to_owned();
    }
    let message = error.context.as_ref().map_or("", |context| context.as_str());
    let message = message.strip_prefix("TLS connect() failed: ").unwrap_or(message);
    let (message, name) = message.rsplit_once(", SNI: ").unwrap_or((message, "its name"));
    let message = tls_error::message(message);
    match TlsError::of(message) {
        TlsError::NotTls | TlsError::Malformed => {
            "not TLS: the app speaks plain HTTP there, write http://".to_owned()
        }
        TlsError::CaAsEndEntity => {
            "its certificate is an authority's own: have the authority sign one for it".to_owned()
        }
        TlsError::Untrusted => {
            "its certificate is not trusted: set ca_file to the authority that has signed it".to_owned()
        }
        TlsError::OtherName => {
            format!("its certificate is not for {name}: set server_name to one of its names ({message})")
        }
        TlsError::Expired => format!("its certificate has expired: renew it ({message})"),
        TlsError::NotYetValid => {
            format!("its certificate is not valid yet: are both clocks right? ({message})")
        }
        TlsError::CertificateRequired => "it asks for a certificate: set cert_file and key_file".to_owned(),
        TlsError::OursRefused => format!("it does not accept our certificate: see cert_file ({message})"),
        TlsError::NothingInCommon => format!("it speaks no TLS 1.2 or 1.3 as we do ({message})"),
        TlsError::Other => message.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::process::Command;
    use std::sync::Arc;
    use std::time::Duration;

    use pingora::connectors::TransportConnector;
    use pingora::upstreams::peer::HttpPeer;
    use pingora::utils::tls::{WrappedX509, parse_x509};
    use rustls::pki_types::pem::PemObject as _;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer};
    use rustls::{RootCertStore, ServerConfig};
    use tokio::io::AsyncWriteExt as _;
    use tokio::net::TcpListener;

    use super::cause;

    /// Creates `stem`.crt and `stem`.key for `name`, valid for `days`, self-signed or signed by `by`.
    fn issue(folder: &Path, stem: &str, by: Option<&str>, name: &str, days: u32) {
        let file = |stem: &str, kind: &str| folder.join(format!("{stem}.{kind}"));
        let (days, subject) = (days.to_string(), format!("/CN={stem}"));
        let mut request = Command::new("openssl");
        request.args([
            "req",
            "-nodes",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-subj",
            &subject,
        ]);
        request.arg("-keyout").arg(file(stem, "key"));
        let Some(by) = by else {
            request.args(["-x509", "-days", &days, "-addext", "basicConstraints=critical,CA:TRUE"]);
            return run(request.arg("-out").arg(file(stem, "crt")));
        };
        request.args(["-addext", &format!("subjectAltName=DNS:{name}")]);
        request.args(["-addext", "basicConstraints=critical,CA:FALSE"]);
        run(request.arg("-out").arg(file(stem, "csr")));
        // `req` cannot create a certificate of zero days.
        let mut signing = Command::new("openssl");
        signing
            .args(["x509", "-req", "-days", &days, "-copy_extensions", "copy", "-in"])
            .arg(file(stem, "csr"));
        signing.arg("-CA").arg(file(by, "crt")).arg("-CAkey").arg(file(by, "key"));
        run(signing.arg("-out").arg(file(stem, "crt")));
    }

    fn run(command: &mut Command) {
        let made = command.output().expect("`openssl` is missing: `make test` installs it");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    }

    fn certificate(folder: &Path, stem: &str) -> CertificateDer<'static> {
        CertificateDer::from_pem_file(folder.join(format!("{stem}.crt"))).expect("a certificate")
    }

    /// Connects to an app that presents certificate `presented` and may require one of `client_ca`. Trusts `ca`. Returns the cause.
    async fn cause_of(folder: &Path, presented: &str, client_ca: Option<&str>, ca: &str) -> String {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .expect("versions");
        let builder = match client_ca {
            Some(stem) => {
                let mut roots = RootCertStore::empty();
                roots.add(certificate(folder, stem)).expect("a root");
                let verifier =
                    rustls::server::WebPkiClientVerifier::builder_with_provider(roots.into(), provider);
                builder.with_client_cert_verifier(verifier.build().expect("a verifier"))
            }
            None => builder.with_no_client_auth(),
        };
        let key = PrivateKeyDer::from_pem_file(folder.join(format!("{presented}.key"))).expect("a key");
        let config =
            builder.with_single_cert(vec![certificate(folder, presented)], key).expect("a certificate");
        let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let serving = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let _ = acceptor.accept(stream).await;
            }
        });
        let error = connect(address, Some(certificate(folder, ca))).await;
        serving.abort();
        error
    }

    async fn connect(address: std::net::SocketAddr, ca: Option<CertificateDer<'static>>) -> String {
        let mut peer = HttpPeer::new(address, true, "app.test".to_owned());
        peer.options.ca = ca.map(|ca| Arc::from(vec![WrappedX509::new(ca.to_vec(), parse_x509)]));
        match TransportConnector::new(None).new_stream(&peer).await {
            Ok(_) => "connected".to_owned(),
            Err(error) => cause(&error),
        }
    }

    #[tokio::test]
    async fn failed_handshake_names_cause_and_remedy() {
        let folder = tempfile::tempdir().expect("a folder");
        let folder = folder.path();
        for authority in ["ours", "theirs"] {
            issue(folder, authority, None, "", 90);
        }
        issue(folder, "good", Some("ours"), "app.test", 90);
        issue(folder, "other", Some("ours"), "other.test", 90);
        issue(folder, "old", Some("ours"), "app.test", 0);
        assert_eq!(cause_of(folder, "good", None, "ours").await, "connected");
        for (presented, ca, expected) in [
            ("good", "theirs", "its certificate is not trusted: set ca_file"),
            ("other", "ours", "its certificate is not for app.test: set server_name"),
            ("ours", "ours", "its certificate is an authority's own"),
        ] {
            let cause = cause_of(folder, presented, None, ca).await;
            assert!(cause.starts_with(expected), "{presented} with {ca}: {cause}");
        }
        // The certificate expires in the second in which it was created.
        let expired = async {
            loop {
                let cause = cause_of(folder, "old", None, "ours").await;
                if cause != "connected" {
                    return cause;
                }
            }
        };
        let cause = tokio::time::timeout(Duration::from_secs(60), expired).await.expect("it expires");
        assert!(cause.starts_with("its certificate has expired: renew it"), "{cause}");
    }

    #[tokio::test]
    async fn plain_http_is_distinguished_from_refused_connection() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let serving = tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n").await;
                let _ = stream.shutdown().await;
            }
        });
        assert_eq!(connect(address, None).await, "not TLS: the app speaks plain HTTP there, write http://");
        serving.abort();
        let _ = serving.await;
        let cause = connect(address, None).await;
        assert!(cause.contains("refused"), "{cause}");
    }
}
