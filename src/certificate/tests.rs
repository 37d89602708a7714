use std::fs;

use super::made::{make, make_client};
use super::*;

fn read(folder: &std::path::Path, chain: &str, key: &str) -> Result<Certificate, CertificateError> {
    Certificate::read(&fs::read(folder.join(chain)).unwrap(), &fs::read(folder.join(key)).unwrap())
}

#[test]
fn all_common_key_types_are_supported() {
    let folder = tempfile::tempdir().unwrap();
    for kind in ["ec", "rsa:2048", "ed25519"] {
        make(folder.path(), "app", kind, &["DNS:App.test", "DNS:*.b.test", "IP:192.0.2.1", "IP:2001:db8::1"]);
        let certificate = read(folder.path(), "app.crt", "app.key").unwrap();
        assert_eq!(certificate.names(), ["app.test", "*.b.test", "192.0.2.1", "2001:db8::1"], "{kind}");
        let life = certificate.ends().since(certificate.begins());
        assert_eq!(life.as_secs(), 90 * 86_400, "{kind}");
        assert!(!format!("{certificate:?}").contains("PRIVATE"));
    }
}

#[test]
fn wildcard_covers_one_label() {
    let folder = tempfile::tempdir().unwrap();
    make(folder.path(), "app", "ec", &["DNS:app.test", "DNS:*.b.test"]);
    let certificate = read(folder.path(), "app.crt", "app.key").unwrap();
    for (host, covered) in [
        ("app.test", true),
        ("x.app.test", false),
        ("x.b.test", true),
        ("x.y.b.test", false),
        ("b.test", false),
        ("*.b.test", true),
        ("*.app.test", false),
        ("*.x.b.test", false),
    ] {
        assert_eq!(certificate.covers(host), covered, "{host}");
    }
}

#[test]
fn unusable_certificates_and_keys_are_reported() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    make(at, "app", "ec", &["DNS:app.test"]);
    make(at, "other", "ec", &["DNS:app.test"]);
    make(at, "weak", "rsa:1024", &["DNS:app.test"]);
    make(at, "nameless", "ec", &[]);
    fs::write(at.join("empty"), "").unwrap();
    fs::write(at.join("broken"), "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n").unwrap();
    let cases = [
        ("app.crt", "other.key", CertificateError::WrongKey, true),
        ("nameless.crt", "nameless.key", CertificateError::NoNames, false),
        ("empty", "app.key", CertificateError::NoCertificate, false),
        // Certificate and key swapped.
        ("app.key", "app.crt", CertificateError::NoCertificate, false),
        ("app.crt", "app.crt", CertificateError::NoKey, true),
        ("app.crt", "empty", CertificateError::NoKey, true),
    ];
    for (chain, key, error, about_the_key) in cases {
        assert_eq!(read(at, chain, key), Err(error.clone()), "{chain} {key}");
        assert_eq!(error.is_about_the_key(), about_the_key);
    }
    let damaged = read(at, "broken", "app.key").unwrap_err();
    assert!(matches!(damaged, CertificateError::DamagedCertificate(_)), "{damaged}");
    let weak = read(at, "weak.crt", "weak.key").unwrap_err();
    assert!(matches!(weak, CertificateError::UnusableKey(_)), "{weak}");
}

#[test]
fn chain_keeps_its_order() {
    let folder = tempfile::tempdir().unwrap();
    make(folder.path(), "app", "ec", &["DNS:app.test"]);
    make(folder.path(), "above", "ec", &["DNS:above.test"]);
    let file = |name: &str| fs::read(folder.path().join(name)).unwrap();
    let chain = [file("app.crt"), file("above.crt")].concat();
    let certificate = Certificate::read(&chain, &file("app.key")).unwrap();
    assert_eq!((certificate.shown().cert.len(), certificate.names()), (2, &["app.test".to_owned()][..]));
    let turned = [file("above.crt"), file("app.crt")].concat();
    assert_eq!(Certificate::read(&turned, &file("app.key")), Err(CertificateError::WrongKey));
}

#[test]
fn client_chain_is_checked_for_ca_and_validity() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    for (authority, member) in [("club", "ada"), ("others", "eve")] {
        make(at, authority, "ec", &["DNS:app.test"]);
        make_client(at, authority, member);
    }
    let file = |stem: &str| fs::read(at.join(format!("{stem}.crt"))).unwrap();
    let [ada, eve] = ["ada", "eve"].map(|stem| {
        let own = CertificateDer::from_pem_slice(&file(stem)).unwrap();
        Shown::of(&[own]).unwrap()
    });
    assert_eq!(Shown::of(&[]), None);
    let [required, optional] = [true, false].map(|required| Clients::read(&file("club"), required).unwrap());
    assert_ne!(required, optional);
    assert_eq!(required, Clients::read(&file("club"), true).unwrap());
    let [before, during, after] =
        [-91, -1, 1].map(|days| Timestamp::from_secs(ada.ends().secs() + days * 86_400));
    for (shown, now, as_required, as_optional) in [
        (None, during, false, true),
        (Some(&ada), during, true, true),
        (Some(&ada), before, false, false),
        (Some(&ada), after, false, false),
        (Some(&eve), during, false, false),
    ] {
        assert_eq!(required.admit(shown, now), as_required, "{now}");
        assert_eq!(optional.admit(shown, now), as_optional, "{now}");
    }
}

#[test]
fn client_cert_field_is_a_byte_sequence() {
    // RFC 8941 section 3.3.5: colons, and base64 with its padding.
    let folder = tempfile::tempdir().unwrap();
    make(folder.path(), "app", "ec", &["DNS:app.test"]);
    let own = CertificateDer::from_pem_slice(&fs::read(folder.path().join("app.crt")).unwrap()).unwrap();
    let field = Shown::of(std::slice::from_ref(&own)).unwrap().field();
    let inner = field.strip_prefix(':').and_then(|rest| rest.strip_suffix(':')).unwrap();
    let pem = fs::read_to_string(folder.path().join("app.crt")).unwrap();
    assert_eq!(inner, pem.lines().filter(|line| !line.starts_with('-')).collect::<String>());
}
