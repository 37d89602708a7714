//! The shipped `gateway.toml` compared with the code.

use std::collections::BTreeSet;

use toml::de::{DeTable, DeValue};

use super::*;
use crate::certificate::made::make;

const SHIPPED: &str = include_str!("../../../gateway.toml");
const EXAMPLE: &str = "#[upstreams.app]";
const TLS: &str = "#[server.tls]";
const AFTER_TLS: &str = "[admin]";
const CLAIMS: &str = "#[tokens.encrypted_claims]";
const AFTER_CLAIMS: &str = "[login]";
const PEPPERS: &str = "#[[login.peppers]]";
const AFTER_PEPPERS: &str = "# Mails:";
const MAIL: &str = "#[mail]";
const AFTER_MAIL: &str = "# Identity providers";
const BREACHED: &str = "#[login.breached_passwords]";
const AFTER_BREACHED: &str = "# Peppers:";
const PROVIDERS: &str = "#[[providers]]";
const AFTER_PROVIDERS: &str = "[browser]";
/// Start of the part that is not needed to get started.
const OPTIONAL: &str = "# The rest is optional";
const HEALTH: &str = "#[upstreams.app.health]";

/// Uncomments every line of the shipped file that has no space after its `#`.
fn uncommented(text: &str) -> String {
    let live = |line: &str| match line.strip_prefix('#') {
        Some(rest) if !rest.starts_with(' ') => rest.to_owned(),
        _ => line.to_owned(),
    };
    text.lines().map(live).collect::<Vec<_>>().join("\n")
}

/// Collects every key below `table`, with `*` for the names of upstreams and the indices of routes. The keys of `set` are names of
/// headers.
fn collect(table: &DeTable<'_>, parent: &str, keys: &mut BTreeSet<String>) {
    for (name, value) in table {
        let name = if parent == "upstreams" { "*" } else { name.get_ref() };
        let key = if parent.is_empty() { name.to_owned() } else { format!("{parent}.{name}") };
        match value.get_ref() {
            DeValue::Table(_) if key.ends_with("_headers.set") => {}
            DeValue::Table(table) => collect(table, &key, keys),
            DeValue::Array(items) => {
                for table in items.iter().filter_map(|item| item.get_ref().as_table()) {
                    collect(table, &format!("{key}.*"), keys);
                }
            }
            _ => {}
        }
        keys.insert(key);
    }
}

#[test]
fn shipped_file_sets_everything_to_its_default() {
    assert_eq!(good(SHIPPED), good(""));
}

#[test]
fn shipped_file_shows_every_known_key() {
    let (settings, example) = SHIPPED.split_once(EXAMPLE).unwrap();
    let live = format!("{settings}{}", uncommented(&format!("{EXAMPLE}{example}")));
    let (folder, live) = with_tls(&live);
    let live = with_providers(folder.path(), &with_claims(folder.path(), &live));
    let live = with_breached_passwords(folder.path(), &with_peppers(folder.path(), &live));
    let live = with_mail(folder.path(), &live);
    let file = folder.path().join("gateway.toml");
    let (_, problems, known) = read(&live, &file, &environment, &mut Sources::default());
    assert_eq!(problems, None);

    let mut shown = BTreeSet::new();
    collect(DeTable::parse(&uncommented(SHIPPED)).unwrap().get_ref(), "", &mut shown);
    assert!(known.len() > 50, "{known:?}");
    assert_eq!(known, shown);
}

/// Uncomments the lines about TLS, and creates a directory with the files they name.
fn with_tls(text: &str) -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("tls")).unwrap();
    for stem in ["app", "clients-ca", "inner-ca", "inner-client"] {
        make(&folder.path().join("tls"), stem, "ec", &["DNS:app.example.com"]);
    }
    let (before, tls) = text.split_once(TLS).unwrap();
    let (tls, after) = tls.split_once(AFTER_TLS).unwrap();
    let live = format!("{before}{}{AFTER_TLS}{after}", uncommented(&format!("{TLS}{tls}")));
    (
        folder,
        live.replace(
            "public_urls = [\"http://127.0.0.1:8080\", \"http://localhost:8080\"]",
            "public_urls = [\"https://app.example.com\"]",
        ),
    )
}

/// Uncomments the lines about encrypted claims, of several keys the first, and creates the file it names in `folder`.
fn with_claims(folder: &Path, text: &str) -> String {
    std::fs::write(folder.join("claims.key"), KEY).unwrap();
    let (before, claims) = text.split_once(CLAIMS).unwrap();
    let (claims, after) = claims.split_once(AFTER_CLAIMS).unwrap();
    let claims = uncommented(&format!("{CLAIMS}{claims}"));
    let others = ["key =", "key_env", "recipient_key"];
    let lines = claims.lines().filter(|line| !others.iter().any(|other| line.starts_with(other)));
    format!("{before}{}\n{AFTER_CLAIMS}{after}", lines.collect::<Vec<_>>().join("\n"))
}

#[test]
fn claims_lines_of_the_shipped_file_work_uncommented() {
    let folder = tempfile::tempdir().unwrap();
    let live = with_claims(folder.path(), SHIPPED);
    let config = Config::parse(&live, &folder.path().join("gateway.toml"), &environment).unwrap();
    let claims = config.tokens.encrypted_claims.unwrap();
    assert_eq!(claims.claims, [EncryptedClaim::Email, EncryptedClaim::Name]);
}

/// Uncomments the lines about leaked passwords, and creates the file they name in `folder`.
fn with_breached_passwords(folder: &Path, text: &str) -> String {
    make(&folder.join("tls"), "mirror-ca", "ec", &[]);
    let (before, breached) = text.split_once(BREACHED).unwrap();
    let (breached, after) = breached.split_once(AFTER_BREACHED).unwrap();
    format!("{before}{}\n{AFTER_BREACHED}{after}", uncommented(&format!("{BREACHED}{breached}")))
}

#[test]
fn lines_about_leaked_passwords_have_the_defaults() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("tls")).unwrap();
    let live = with_breached_passwords(folder.path(), SHIPPED);
    let parse = |text: &str| {
        let config = Config::parse(text, &folder.path().join("gateway.toml"), &environment).unwrap();
        config.login.breached_passwords.unwrap()
    };
    let shown = parse(&live);
    assert!(shown.authorities.is_some());
    let plain = parse("[login.breached_passwords]\nurl = \"https://api.pwnedpasswords.com/range/\"");
    assert_eq!(BreachedPasswords { authorities: None, ..shown }, plain);
    assert_eq!(
        (plain.url.as_str(), plain.host()),
        ("https://api.pwnedpasswords.com/range/", "api.pwnedpasswords.com")
    );
    for (url, base, host) in [
        ("http://127.0.0.1:8000", "http://127.0.0.1:8000/", "127.0.0.1"),
        ("http://[::1]:8000/a/b", "http://[::1]:8000/a/b/", "::1"),
        ("https://mirror.internal/range/", "https://mirror.internal/range/", "mirror.internal"),
    ] {
        let read = parse(&format!("[login.breached_passwords]\nurl = \"{url}\""));
        assert_eq!((read.url.as_str(), read.host()), (base, host));
    }
}

/// Uncomments the lines about providers, of several credentials the first, and creates the files they name in `folder`.
fn with_providers(folder: &Path, text: &str) -> String {
    for name in ["sso", "github", "microsoft"] {
        std::fs::write(folder.join(format!("{name}.secret")), "hunter2").unwrap();
    }
    make(&folder.join("tls"), "sso-ca", "ec", &[]);
    let (before, providers) = text.split_once(PROVIDERS).unwrap();
    let (providers, after) = providers.split_once(AFTER_PROVIDERS).unwrap();
    let others = ["client_secret =", "client_secret_env", "private_key"];
    let providers = uncommented(&format!("{PROVIDERS}{providers}"));
    let lines = providers.lines().filter(|line| !others.iter().any(|other| line.starts_with(other)));
    format!("{before}{}\n{AFTER_PROVIDERS}{after}", lines.collect::<Vec<_>>().join("\n"))
}

/// Uncomments the lines about mails, of several forms of the password the first, and creates the files they name in `folder`.
fn with_mail(folder: &Path, text: &str) -> String {
    std::fs::write(folder.join("mail.password"), "hunter2").unwrap();
    make(&folder.join("tls"), "mail-ca", "ec", &[]);
    let (before, mail) = text.split_once(MAIL).unwrap();
    let (mail, after) = mail.split_once(AFTER_MAIL).unwrap();
    let mail = uncommented(&format!("{MAIL}{mail}"));
    let is_other = |line: &str| line.starts_with("password =") || line.starts_with("password_env");
    let lines: Vec<&str> = mail.lines().filter(|line| !is_other(line)).collect();
    format!("{before}{}\n{AFTER_MAIL}{after}", lines.join("\n"))
}

#[test]
fn lines_about_mails_have_the_defaults() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("tls")).unwrap();
    let parse = |text: &str| {
        let config = Config::parse(text, &folder.path().join("gateway.toml"), &environment).unwrap();
        config.mail.unwrap()
    };
    let shown = parse(&with_mail(folder.path(), SHIPPED));
    assert!(shown.authorities.is_some() && shown.login.is_some());
    let plain = parse("[mail]\nurl = \"smtp://mail.example.com:587\"\nfrom = \"noreply@example.com\"");
    assert_eq!(Mail { authorities: None, login: None, ..shown }, plain);
}

/// Uncomments the lines about peppers, of several forms of the key the first, and creates the file they name in `folder`.
fn with_peppers(folder: &Path, text: &str) -> String {
    std::fs::write(folder.join("pepper-2026.key"), KEY).unwrap();
    let (before, peppers) = text.split_once(PEPPERS).unwrap();
    let (peppers, after) = peppers.split_once(AFTER_PEPPERS).unwrap();
    let peppers = uncommented(&format!("{PEPPERS}{peppers}"));
    let lines = peppers.lines().filter(|line| !line.starts_with("key =") && !line.starts_with("key_env"));
    format!("{before}{}\n{AFTER_PEPPERS}{after}", lines.collect::<Vec<_>>().join("\n"))
}

/// Values that are examples or belong to the preset; all others are the defaults.
#[test]
fn provider_lines_of_the_shipped_file_have_the_defaults() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("tls")).unwrap();
    let parse = |text: &str| {
        let config = Config::parse(text, &folder.path().join("gateway.toml"), &environment).unwrap();
        config.providers
    };
    let live = with_providers(folder.path(), SHIPPED);
    let [sso, github, microsoft] = parse(&live).try_into().unwrap();
    let base = "[[providers]]\nid = \"sso\"\npreset = \"keycloak\"\nissuer = \"https://sso.example.com/realms/main\"\n\
                client_id = \"doorward\"\nclient_secret_file = \"sso.secret\"\n";
    let plain = parse(base).remove(0);
    let shown = Provider {
        label: plain.label.clone(),
        roles: Vec::new(),
        factor_values: Vec::new(),
        authorities: None,
        ..sso
    };
    assert_eq!(shown, plain);
    assert_eq!(github.api_url.as_deref(), Some("https://api.github.com"));
    assert_eq!(
        microsoft.issuer,
        "https://login.microsoftonline.com/11111111-1111-1111-1111-111111111111/v2.0"
    );
}

#[test]
fn tls_lines_of_the_shipped_file_work_uncommented() {
    let (folder, live) = with_tls(SHIPPED);
    let mut config = Config::parse(&live, &folder.path().join("gateway.toml"), &environment).unwrap();
    let tls = config.server.tls.take().unwrap();
    assert!(tls.clients.is_some_and(|clients| clients.are_required()));
    assert_eq!((tls.hsts, &tls.certificates[0].hosts), (Duration::ZERO, &vec!["app.example.com".to_owned()]));
    let default = Config::parse("", &folder.path().join("gateway.toml"), &environment).unwrap();
    config.server.public_urls.clone_from(&default.server.public_urls);
    assert_eq!(config, default);
}

#[test]
fn settings_of_the_shipped_file_take_effect() {
    let mut shown = BTreeSet::new();
    collect(DeTable::parse(SHIPPED).unwrap().get_ref(), "", &mut shown);
    let (_, _, known) = read("", Path::new("gateway.toml"), &environment, &mut Sources::default());
    let absent: Vec<&String> = known.difference(&shown).collect();
    assert_eq!(
        absent,
        [
            "admin.token",
            "admin.token_env",
            "admin.token_file",
            "brand.css_file",
            "brand.logo_file",
            "browser.after_sign_out",
            "browser.cookie_domain",
            "login.breached_passwords",
            "login.factor_grace",
            "login.factor_min_password_length",
            "login.factor_roles",
            "login.passkey_rp_id",
            "login.peppers",
            "mail",
            "providers",
            "routes",
            "server.tls",
            "sessions.ca_file",
            "sessions.url_env",
            "sessions.url_file",
            "tokens.encrypted_claims",
            "upstreams",
            "vault.ca_file",
            "vault.master_key",
            "vault.master_key_env",
            "vault.url_env",
            "vault.url_file",
        ]
    );
}

#[test]
fn example_of_the_shipped_file_works_uncommented() {
    let (settings, example) = SHIPPED.split_once(EXAMPLE).unwrap();
    let (example, _) = example.split_once(OPTIONAL).unwrap();
    let config = good(&format!("{settings}{}", uncommented(&format!("{EXAMPLE}{example}"))));
    let plain = good(&format!("{APP}{ROUTE}"));
    assert_eq!(config.upstreams, plain.upstreams);
    assert_eq!(config.routes[0], plain.routes[0]);
    assert_eq!(config.routes[1].access, Access::Roles(Roles::parse(["admin"]).unwrap()));
    assert_eq!(Config { upstreams: Vec::new(), routes: Vec::new(), ..config }, good(""));
}

#[test]
fn optional_part_of_the_shipped_file_has_the_defaults() {
    let (_, optional) = SHIPPED.split_once(HEALTH).unwrap();
    let health =
        |text: &str| good(&format!("{APP}[upstreams.app.health]\n{text}")).upstreams.remove(0).health;
    let shown = health(&uncommented(optional));
    let checks = shown.checks.clone().unwrap();
    assert_eq!((checks.path.as_deref(), checks.host.as_deref()), (Some("/healthz"), Some("app.example.com")));
    // For these three no value means the same as leaving them out.
    let plain = Checks { path: None, host: None, statuses: Vec::new(), ..checks };
    assert_eq!(Health { checks: Some(plain), ..shown }, health(""));
}
