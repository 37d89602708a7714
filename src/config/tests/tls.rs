//! `[server.tls]`: valid settings, problems and warnings.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use super::*;
use crate::certificate::made::{make, make_for_days};
use crate::clock::Timestamp;
use crate::config::change::Change;

/// Creates a directory with certificates for `app.test`, `other.test` and `*.below.test`.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    make(folder.path(), "app", "ec", &["DNS:app.test"]);
    make(folder.path(), "other", "ec", &["DNS:other.test", "DNS:*.below.test", "IP:192.0.2.1"]);
    folder
}

const HTTPS: &str = "[server]\npublic_urls = [\"https://app.test\"]\n[server.tls]\n";
const APP_PAIR: &str = r#"{ cert_file = "app.crt", key_file = "app.key" }"#;
const OTHER_PAIR: &str = r#"{ cert_file = "other.crt", key_file = "other.key" }"#;

fn tls(folder: &tempfile::TempDir, text: &str) -> Result<Config, String> {
    let text = format!("{HTTPS}{text}");
    Config::parse(&text, &folder.path().join("gateway.toml"), &environment)
        .map_err(|problems| problems.to_string().replace(&format!("{}/", folder.path().display()), ""))
}

#[test]
fn certificates_are_read_with_their_names() {
    let folder = folder();
    let config =
        tls(&folder, &format!("certificates = [{APP_PAIR}, {OTHER_PAIR}]\nhsts = \"365d\"")).unwrap();
    let tls = config.server.tls.unwrap();
    let hosts: Vec<_> = tls.certificates.iter().map(|shown| shown.hosts.join(" ")).collect();
    assert_eq!(hosts, ["app.test", "other.test *.below.test"], "no client asks for an address");
    assert_eq!(tls.hsts, Duration::from_hours(365 * 24));
    assert!(good("").server.tls.is_none());
}

#[test]
fn unusable_certificates_are_reported_at_their_line() {
    let folder = folder();
    fs::write(folder.path().join("empty"), "").unwrap();
    let open = r#"certificates = [{ cert_file = "app.crt", key_file = "app.key" }]"#;
    for (text, expected) in [
        (
            "",
            r#"3: server.tls.certificates: missing: write certificates = [{ cert_file = "tls/app.crt", key_file = "tls/app.key" }]"#,
        ),
        (
            "certificates = []",
            r#"4: server.tls.certificates: empty, so there is no certificate to serve: write certificates = [{ cert_file = "tls/app.crt", key_file = "tls/app.key" }]"#,
        ),
        (
            "certificates = [{ cert_file = \"app.crt\" }]",
            r#"4: server.tls.certificates[0].key_file: missing: write key_file = "tls/app.key""#,
        ),
        (
            "certificates = [{ cert_file = \"app.crt\", key_file = \"other.key\" }]",
            "4: server.tls.certificates[0].key_file: `other.key`: the private key does not belong to the first \
             certificate of cert_file: name the key it was made for, and put the server's own certificate first",
        ),
        (
            "certificates = [{ cert_file = \"gone.crt\", key_file = \"app.key\" }]",
            "4: server.tls.certificates[0].cert_file: `gone.crt` cannot be read: No such file or directory (os error \
             2); name a PEM file that this user can read",
        ),
        (
            "certificates = [{ cert_file = \"empty\", key_file = \"app.key\" }]",
            "4: server.tls.certificates[0].cert_file: `empty`: no certificate is in it: write PEM, the server's own \
             first, then those that signed it",
        ),
        (
            "certificates = [{ cert_file = \"app.crt\", key_file = \"app.key\", hosts = [] }]",
            "4: server.tls.certificates[0].hosts: empty: name a host, or remove this to use the names of the \
             certificate",
        ),
        (
            "certificates = [{ cert_file = \"app.crt\", key_file = \"app.key\", hosts = [\"wrong.test\"] }]",
            r#"4: server.tls.certificates[0].hosts[0]: no client would accept this certificate for "wrong.test": it is for app.test"#,
        ),
        (
            "certificates = [\n{ cert_file = \"app.crt\", key_file = \"app.key\", hosts = [\"app.test\"] },\n{ \
             cert_file = \"app.crt\", key_file = \"app.key\", hosts = [\"app.test\"] }]",
            r#"6: server.tls.certificates[1].hosts[0]: "app.test" has the certificate at line 5 already: keep one of the two"#,
        ),
        (
            "certificates = [{ cert_file = \"other.crt\", key_file = \"other.key\", hosts = [\"192.0.2.1\"] }]",
            r#"4: server.tls.certificates[0].hosts[0]: "192.0.2.1" is not a name that clients can request: write app.example.com, or *.example.com for all names one label below; clients that connect by address get the first certificate"#,
        ),
        (
            &format!("{open}\nhsts = \"3000d\""),
            r#"5: server.tls.hsts: "3000d" is out of range: write "0s" to "730d" (0s sends no header; browsers obey it for this long)"#,
        ),
        (
            &format!("{open}\nciphers = \"all\""),
            "5: server.tls.ciphers: unknown key: remove it, or see gateway.toml for every key",
        ),
    ] {
        let output = tls(&folder, text).err().unwrap_or_default();
        assert_eq!(output.replace("gateway.toml:", ""), expected.replace("gateway.toml:", ""), "\n{text}");
    }
}

#[test]
fn client_certificates_are_required_by_default_once_requested() {
    let folder = folder();
    fs::write(folder.path().join("empty"), "").unwrap();
    fs::write(folder.path().join("broken"), "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
        .unwrap();
    let shown = format!("certificates = [{APP_PAIR}]\n");
    let asked = |text: &str| tls(&folder, &format!("{shown}{text}")).unwrap().server.tls.unwrap().clients;
    assert_eq!(asked(""), None);
    for (text, required) in [
        ("client_ca_file = \"other.crt\"", true),
        ("client_ca_file = \"other.crt\"\nclient_certificates = \"required\"", true),
        ("client_ca_file = \"other.crt\"\nclient_certificates = \"optional\"", false),
    ] {
        assert_eq!(asked(text).map(|clients| clients.are_required()), Some(required), "{text}");
    }
    let route = "[upstreams.app]\nservers = [\"http://127.0.0.1:9\"]\n[[routes]]\nname = \"app\"\npath = \"/\"\naccess = \"public\"\n\
                 upstream = \"app\"\nforward_client_cert = true\n";
    let config = tls(&folder, &format!("{shown}client_ca_file = \"other.crt\"\n{route}")).unwrap();
    assert!(config.routes[0].forward_client_cert);
    let pem = "write the CA certificates in PEM";
    for (text, expected) in [
        (
            "client_certificates = \"required\"".to_owned(),
            "5: server.tls.client_certificates: without client_ca_file no client certificate can be verified: name \
             the PEM file of its CAs".to_owned(),
        ),
        (
            "client_ca_file = \"app.crt\"\nclient_certificates = \"maybe\"".to_owned(),
            r#"6: server.tls.client_certificates: "maybe" is neither "required" nor "optional": write one of them"#.to_owned(),
        ),
        (
            "client_ca_file = \"gone.crt\"".to_owned(),
            "5: server.tls.client_ca_file: `gone.crt` cannot be read: No such file or directory (os error 2); name a \
             PEM file that this user can read".to_owned(),
        ),
        (
            "client_ca_file = \"empty\"".to_owned(),
            format!("5: server.tls.client_ca_file: `empty`: no certificate is in it: {pem}"),
        ),
        (
            "client_ca_file = \"app.key\"".to_owned(),
            format!("5: server.tls.client_ca_file: `app.key`: no certificate is in it: {pem}"),
        ),
        (
            // The route gets no second problem: its setting is not wrong.
            format!("client_ca_file = \"empty\"\n{route}"),
            format!("5: server.tls.client_ca_file: `empty`: no certificate is in it: {pem}"),
        ),
        (
            route.to_owned(),
            "12: routes[0].forward_client_cert: client certificates are not requested: set server.tls.client_ca_file, \
             or remove this".to_owned(),
        ),
    ] {
        let output = tls(&folder, &format!("{shown}{text}")).err().unwrap_or_default();
        assert_eq!(output.replace("gateway.toml:", ""), expected, "\n{text}");
    }
    let output = tls(&folder, &format!("{shown}client_ca_file = \"broken\"")).unwrap_err();
    assert!(
        output.starts_with(
            "gateway.toml:5: server.tls.client_ca_file: `broken`: a CA certificate cannot be used ("
        ) && output.ends_with(&format!("): {pem}")),
        "{output}"
    );
}

#[test]
fn tls_addresses_need_https_urls() {
    let folder = folder();
    let text =
        format!("[server]\npublic_urls = [\"http://app.test\"]\n[server.tls]\ncertificates = [{APP_PAIR}]");
    let output =
        Config::parse(&text, &folder.path().join("gateway.toml"), &environment).unwrap_err().to_string();
    assert_eq!(
        output.split_once("gateway.toml:").unwrap().1,
        "2: server.public_urls: \"http://app.test\" is http, but the addresses use TLS (server.tls): write the URL \
         that browsers show, such as \"https://app.test\""
    );
}

#[test]
fn certificate_files_are_sources_and_a_renewal_is_a_change() {
    let folder = folder();
    let file = folder.path().join("gateway.toml");
    fs::write(&file, format!("{HTTPS}certificates = [{APP_PAIR}]")).unwrap();
    let before = Reading::of(&file, &environment);
    let keys: Vec<_> = before.sources.iter().map(|source| source.key.clone()).collect();
    assert_eq!(
        keys,
        [
            "",
            "server.tls.certificates[0].cert_file",
            "server.tls.certificates[0].key_file",
            "vault.master_key_file"
        ]
    );
    make(folder.path(), "app", "ec", &["DNS:app.test"]);
    let after = Reading::of(&file, &environment);
    assert!(after.sources != before.sources);
    let (before, after) = (before.config.unwrap(), after.config.unwrap());
    let change = Change::between(&before, after.clone());
    assert_eq!((change.restart, change.config), (Vec::new(), after), "taken while it runs");
}

/// Checks changes from plain HTTP to TLS and back; returns the keys that need a restart.
pub(super) fn staying() -> Vec<&'static str> {
    let folder = folder();
    let parse = |text: &str| {
        Config::parse(text, &folder.path().join("gateway.toml"), &environment)
            .unwrap_or_else(|e| panic!("{e}"))
    };
    let (clear, encrypted) = (parse(""), parse(&format!("{HTTPS}certificates = [{APP_PAIR}]")));
    for (running, new) in [(&clear, &encrypted), (&encrypted, &clear)] {
        let change = Change::between(running, new.clone());
        assert_eq!(
            (change.restart, change.config.server.tls),
            (vec!["server.tls"], running.server.tls.clone())
        );
    }
    let redirect = "[server]\nredirect_listen = [\"127.0.0.1:0\"]\n";
    let redirecting =
        parse(&format!("{}certificates = [{APP_PAIR}]", HTTPS.replacen("[server]\n", redirect, 1)));
    let change = Change::between(&encrypted, redirecting);
    assert_eq!((&change.restart[..], &change.config), (&["server.redirect_listen"][..], &encrypted));
    [vec!["server.tls"], change.restart].concat()
}

#[test]
fn certificates_that_need_attention_get_warnings() {
    let folder = folder();
    make_for_days(folder.path(), "app", "ec", &["DNS:app.test"], 60);
    let key = folder.path().join("app.key");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    let config = tls(&folder, &format!("certificates = [{APP_PAIR}]")).unwrap();
    let shown = &config.server.tls.as_ref().unwrap().certificates[0].certificate;
    let (begins, ends) = (shown.begins(), shown.ends());
    let day = 86_400_000;
    let warnings_at = |config: &Config, now: i64| {
        let warnings = config.warnings(Timestamp::from_millis(now));
        warnings.iter().map(|warning| format!("{}: {}", warning.key, warning.message)).collect::<Vec<_>>()
    };
    let first = "server.tls.certificates[0]";
    assert_eq!(warnings_at(&config, begins.millis() + day), [""; 0]);
    assert_eq!(warnings_at(&config, ends.millis() - 11 * day), [""; 0], "a sixth of 60 days is 10");
    let renew = "renew it and replace the file; the new one is loaded without a restart";
    assert_eq!(
        warnings_at(&config, ends.millis() - 9 * day),
        [format!("{first}.cert_file: it expires at {ends}: {renew}")]
    );
    assert_eq!(
        warnings_at(&config, ends.millis() + day),
        [format!("{first}.cert_file: it expired at {ends}, and clients reject it: {renew}")]
    );
    assert_eq!(
        warnings_at(&config, begins.millis() - day),
        [format!(
            "{first}.cert_file: it is not valid before {begins}, and clients reject it until then; check the clock"
        )]
    );
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    let open = tls(&folder, &format!("certificates = [{APP_PAIR}]")).unwrap();
    assert_eq!(
        warnings_at(&open, begins.millis() + day),
        [format!("{first}.key_file: every user of this machine can read the private key: chmod 600 it")]
    );
    let other = tls(&folder, &format!("certificates = [{OTHER_PAIR}]")).unwrap();
    assert!(
        warnings_at(&other, begins.millis() + day).contains(&
            "server.public_urls[0]: no certificate of server.tls covers \"app.test\", so browsers will reject it: add one, \
             or correct the address".to_owned()
        )
    );
}
