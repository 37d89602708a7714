//! Failed TLS handshakes with clients and upstream servers.
//!
//! Pingora 0.9.1 turns the error of rustls into the text of its own error, so there is no type to match. Its texts are
//! matched here and nowhere else; the tests of `upstream/handshake.rs` have the real errors.

/// Kind of a failed handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TlsError {
    /// The peer sent no TLS record.
    NotTls,
    /// The peer sent a TLS record that cannot be read.
    Malformed,
    /// The certificate of a CA is used as that of a server or client. `openssl req -x509` creates such by default.
    CaAsEndEntity,
    /// The certificate is not issued by a trusted CA.
    Untrusted,
    OtherName,
    Expired,
    NotYetValid,
    /// The peer requires a certificate.
    CertificateRequired,
    /// The peer does not accept our certificate.
    OursRefused,
    /// No common version or cipher suite.
    NothingInCommon,
    Other,
}

impl TlsError {
    /// Returns the kind of an error from its [`message`].
    pub(crate) fn of(message: &str) -> Self {
        let kinds: [(&[&str], Self); 10] = [
            (&["InvalidContentType"], Self::NotTls),
            (&["InvalidMessage"], Self::Malformed),
            (&["CaUsedAsEndEntity"], Self::CaAsEndEntity),
            (&["UnknownIssuer", "BadSignature"], Self::Untrusted),
            (&["not valid for name", "NotValidForName"], Self::OtherName),
            (&["certificate expired", "Expired"], Self::Expired),
            (&["not valid yet", "NotValidYet"], Self::NotYetValid),
            (&["CertificateRequired"], Self::CertificateRequired),
            (&["UnknownCA", "BadCertificate", "CertificateUnknown", "DecryptError"], Self::OursRefused),
            (
                &["ProtocolVersion", "HandshakeFailure", "PeerIncompatible", "NoCipherSuites"],
                Self::NothingInCommon,
            ),
        ];
        let is_one_of = |texts: &[&str]| texts.iter().any(|text| message.contains(text));
        kinds.into_iter().find(|(texts, _)| is_one_of(texts)).map_or(Self::Other, |(_, kind)| kind)
    }
}

/// Returns the innermost message of an error, without the context that other layers add.
pub(crate) fn message(error: &str) -> &str {
    let message = error.rsplit("context: ").next().unwrap_or(error);
    message.strip_prefix("tls connect error: ").unwrap_or(message).trim()
}
