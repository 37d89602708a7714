//! Identity providers: the defaults of each preset, secrets, and reloads.

use super::*;
use crate::config::change::Change;

/// A provider in five lines, and the start of another after two.
const P: &str = "[[providers]]|id = \"a\"|issuer = \"https://a\"|client_id = \"c\"|client_secret = \"s\"";
const Q: &str = "||[[providers]]|issuer = \"https://a\"|client_secret = \"s\"";

fn provider(preset: &str, more: &str) -> Provider {
    let text = format!(
        "[[providers]]\nid = \"a\"\npreset = \"{preset}\"\nclient_id = \"c\"\nclient_secret = \"hunter2\"\n{more}"
    );
    good(&text).providers.remove(0)
}

#[test]
fn providers_that_cannot_work_are_rejected() {
    let cases: Vec<(String, &str)> = bad_providers::PROVIDERS
        .iter()
        .map(|(text, expected)| (text.replace("{p}", P).replace("{q}", Q), *expected))
        .collect();
    let cases: Vec<(&str, &str)> = cases.iter().map(|(text, expected)| (text.as_str(), *expected)).collect();
    check_cases(&cases);
}

const ISSUER: &str = "issuer = \"https://sso.example.com/\"\n";
const A: &str = "11111111-1111-1111-1111-11111111aaaa";

#[test]
fn preset_gives_issuer_scopes_and_claims() {
    for (preset, more, issuer, username, scopes) in [
        (
            "oidc",
            ISSUER,
            "https://sso.example.com/",
            "preferred_username",
            "openid profile email offline_access",
        ),
        ("keycloak", ISSUER, "https://sso.example.com/", "preferred_username", "openid profile email"),
        (
            "okta",
            ISSUER,
            "https://sso.example.com/",
            "preferred_username",
            "openid profile email offline_access",
        ),
        (
            "authentik",
            ISSUER,
            "https://sso.example.com/",
            "preferred_username",
            "openid profile email offline_access",
        ),
        ("google", "", "https://accounts.google.com", "email", "openid profile email"),
        ("gitlab", "", "https://gitlab.com", "preferred_username", "openid profile email"),
        ("github", "", "https://github.com", "login", "read:user user:email"),
        (
            "github",
            "allowed_teams = [\"A/b\"]",
            "https://github.com",
            "login",
            "read:user user:email read:org",
        ),
        (
            "oidc",
            "issuer = \"https://a\"\nrecheck = \"0s\"",
            "https://a",
            "preferred_username",
            "openid profile email",
        ),
    ] {
        let provider = provider(preset, more);
        assert_eq!(provider.issuer, issuer, "{preset}");
        assert_eq!(provider.username.parts(), [username], "{preset}");
        assert_eq!(provider.scopes.join(" "), scopes, "{preset}");
        assert_eq!(provider.algorithms, [SignatureAlgorithm::Rs256]);
        assert_eq!((provider.create_users, provider.trust_email), (CreateUsers::Never, false));
    }
    assert_eq!(provider("github", "allowed_teams = [\"A/b\"]").allowed_teams, ["a/b"]);
    let own = provider("github", ISSUER);
    assert_eq!(own.api_url.as_deref(), Some("https://sso.example.com/api/v3"));
    assert!(provider("google", "recheck = \"1h\"").consent && !provider("google", "").consent);
}

#[test]
fn tenants_and_issuer_of_entra_complete_each_other() {
    let issuer = |authority: &str| format!("https://login.microsoftonline.com/{authority}/v2.0");
    let (b, consumers) = (A.replace('a', "b"), "9188040d-6c67-4c5b-b112-36a304b66dad");
    for (more, expected, tenants) in [
        (format!("tenants = [\"{}\"]", A.to_uppercase()), issuer(A), vec![A]),
        (format!("tenants = [\"{A}\", \"{b}\"]"), issuer("organizations"), vec![A, &b]),
        (format!("tenants = [\"{A}\", \"{consumers}\"]"), issuer("common"), vec![A, consumers]),
        (format!("issuer = \"{}\"", issuer(A)), issuer(A), vec![A]),
        (
            format!("issuer = \"https://login.microsoftonline.us/common/v2.0\"\ntenants = [\"{A}\"]"),
            "https://login.microsoftonline.us/common/v2.0".to_owned(),
            vec![A],
        ),
    ] {
        let provider = provider("microsoft", &more);
        assert_eq!(provider.issuer, expected, "{more}");
        assert_eq!(provider.tenants, tenants, "{more}");
    }
}

#[test]
fn secrets_of_providers_are_not_shown() {
    let shown = format!("{:?}", provider("google", ""));
    assert!(!shown.contains("hunter2") && shown.contains("SecretBasic([secret])"), "{shown}");
    let problems =
        problems_of("[[providers]]\nid = \"a\"\nclient_secret_env = \"hunter 2\"\nclient_secret = 5\n");
    assert!(!problems.contains("hunter"), "{problems}");
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("s"), "a secret\n").unwrap();
    let text = "[[providers]]\nid = \"a\"\npreset = \"google\"\nclient_id = \"c\"\nclient_secret_file = \"s\"\ntoken_auth = \"post\"";
    let config = Config::parse(text, &folder.path().join("gateway.toml"), &|_| None).unwrap();
    let expected = ClientAuthentication::SecretPost(Secret::new("a secret".to_owned()));
    assert_eq!(config.providers[0].authentication, expected);
}

#[test]
fn providers_and_passwords_change_with_a_reload() {
    let text = "[login]\npassword = false\n[[providers]]\nid = \"a\"\npreset = \"google\"\nclient_id = \"c\"\n\
                client_secret = \"s\"\n";
    let (running, new) = (good(""), good(text));
    let change = Change::between(&running, new.clone());
    assert_eq!((change.config, change.restart), (new, Vec::new()));
}
