use std::fs;

use super::made::make;
use super::*;

fn read(folder: &std::path::Path, chain: &str, key: &str) -> Result<Certificate, CertificateError> {
    Certificate::read(&fs::read(folder.join(chain)).unwrap(), &fs::read(folder.join(key)).unwrap())
}

#[test]
fn every_kind_of_key_that_certificates_have_is_understood() {
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
fn a_star_stands_for_one_label() {
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
fn what_cannot_be_used_is_said() {
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
        // The two taken for each other.
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
fn a_chain_is_kept_in_its_order() {
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
