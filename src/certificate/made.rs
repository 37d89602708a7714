//! Certificates for tests, made by the `openssl` command.

use std::path::Path;
use std::process::Command;

/// Makes a self-signed `stem`.crt and its `stem`.key in `folder`. The kind is `ec`, `rsa` or `ed25519`; `names` are
/// `subjectAltName`s (`DNS:app.test`, `IP:192.0.2.1`), or empty for a subject only.
pub(crate) fn make(folder: &Path, stem: &str, kind: &str, names: &[&str]) {
    make_for_days(folder, stem, kind, names, 90);
}

/// As [`make`], valid for `days` days.
pub(crate) fn make_for_days(folder: &Path, stem: &str, kind: &str, names: &[&str], days: u32) {
    let mut command = Command::new("openssl");
    command.args(["req", "-x509", "-nodes", "-subj", "/CN=app.test", "-newkey"]);
    match kind {
        "ec" => command.args(["ec", "-pkeyopt", "ec_paramgen_curve:P-256"]),
        kind => command.arg(kind),
    };
    if !names.is_empty() {
        command.args(["-addext", &format!("subjectAltName={}", names.join(","))]);
    }
    command.args(["-days", &days.to_string()]);
    command.arg("-keyout").arg(folder.join(format!("{stem}.key")));
    command.arg("-out").arg(folder.join(format!("{stem}.crt")));
    let made = command.output().expect("`openssl` is missing: `make test` installs it");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
}

/// Makes `stem`.crt, a client certificate signed by the certificate `by`, and `stem`.key in `folder`.
pub(crate) fn make_client(folder: &Path, by: &str, stem: &str) {
    let file = |stem: &str, kind: &str| folder.join(format!("{stem}.{kind}"));
    let mut command = Command::new("openssl");
    command.args(["req", "-x509", "-nodes", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]);
    command.args(["-subj", &format!("/CN={stem}"), "-days", "90"]);
    command.args(["-addext", "basicConstraints=critical,CA:FALSE", "-addext", "extendedKeyUsage=clientAuth"]);
    command.arg("-CA").arg(file(by, "crt")).arg("-CAkey").arg(file(by, "key"));
    command.arg("-keyout").arg(file(stem, "key")).arg("-out").arg(file(stem, "crt"));
    let made = command.output().expect("`openssl` is missing: `make test` installs it");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
}

/// Makes `stem`.crt, a server certificate for `names` signed by the certificate `by`, and `stem`.key in `folder`.
pub(crate) fn make_server(folder: &Path, by: &str, stem: &str, names: &[&str]) {
    let file = |stem: &str, kind: &str| folder.join(format!("{stem}.{kind}"));
    let mut command = Command::new("openssl");
    command.args(["req", "-x509", "-nodes", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]);
    command.args(["-subj", &format!("/CN={stem}"), "-days", "90"]);
    command.args(["-addext", "basicConstraints=critical,CA:FALSE", "-addext", "extendedKeyUsage=serverAuth"]);
    command.args(["-addext", &format!("subjectAltName={}", names.join(","))]);
    command.arg("-CA").arg(file(by, "crt")).arg("-CAkey").arg(file(by, "key"));
    command.arg("-keyout").arg(file(stem, "key")).arg("-out").arg(file(stem, "crt"));
    let made = command.output().expect("`openssl` is missing: `make test` installs it");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
}
