//! Tests of the header classification.

use http::HeaderValue;

use super::*;
use crate::config::{Template, Variable};

pub(super) fn policy() -> HeaderPolicy {
    configured(["x-auth-user", "x-auth-user-id", "x-auth-roles", "x-auth-session"])
}

fn configured(names: [&'static str; 4]) -> HeaderPolicy {
    let [user, user_id, roles, session] = names.map(HeaderName::from_static);
    HeaderPolicy::new(&IdentityHeaders { user, user_id, roles, session }, [].into_iter())
}

/// Request headers of an upstream with these names about the user, with fixed text, and removed.
fn headers(identity: &[&'static str], fixed: &[&'static str], remove: &[&'static str]) -> RequestHeaders {
    let name = |name: &&'static str| HeaderName::from_static(name);
    RequestHeaders {
        identity: identity.iter().map(|it| (name(it), Template::Variable(Variable::Login))).collect(),
        fixed: fixed.iter().map(|it| (name(it), HeaderValue::from_static("x"))).collect(),
        remove: remove.iter().map(name).collect(),
        ..RequestHeaders::default()
    }
}

fn kind(name: &str) -> Kind {
    policy().kind(&name.parse().unwrap())
}

/// Spellings of a name that apps may merge.
fn spellings(name: &str) -> Vec<String> {
    let mut all = vec![name.to_owned(), name.to_uppercase(), name.to_lowercase()];
    all.extend(["_", ".", "~", "!"].map(|separator| name.replace('-', separator)));
    all.push(name.replacen('-', "_", 1));
    all.push(format!("HTTP_{}", name.to_uppercase().replace('-', "_")));
    all
}

#[test]
fn every_spelling_of_an_identity_header_is_classified() {
    // T02: all spellings of three separators.
    for first in ["-", "_", "."] {
        for second in ["-", "_", "."] {
            for name in ["User", "uSER", "ROLES", "session"] {
                assert_eq!(kind(&format!("X{first}Auth{second}{name}")), Kind::Identity);
            }
        }
    }
    assert_eq!(kind("x-auth-user_id"), Kind::Identity);
    assert_eq!(kind("x-auth-sessions"), Kind::Pass);
}

#[test]
fn default_identity_names_are_stripped_whatever_is_configured() {
    // F28.
    let policy = configured(["x-remote-user", "x-uid", "x-groups", "x-sid"]);
    let configured = ["X-Remote-User", "X-Uid", "X-Groups", "X-Sid"];
    for name in DEFAULT_IDENTITY.into_iter().chain(configured).flat_map(spellings) {
        assert_eq!(policy.kind(&name.parse().unwrap()), Kind::Identity, "{name}");
    }
}

#[test]
fn names_of_every_upstream_are_identity_headers_for_all() {
    let all = [
        headers(&["remote-user", "x-email"], &["x-tenant", "x-client-verify"], &["x-debug"]),
        headers(&["x-tenant-id"], &["x-email", "badge"], &["x-tenant", "remote-user"]),
    ];
    let default = crate::config::Config::defaults(std::path::Path::new("")).identity_headers;
    let policy = HeaderPolicy::new(&default, all.iter());
    for (name, kind, of_one, of_other) in [
        ("Remote-User", Kind::Identity, false, true),
        ("X-Email", Kind::Identity, false, true),
        ("X-Tenant-Id", Kind::Identity, false, false),
        ("X-Auth-User", Kind::Identity, false, false),
        ("X-Auth-Assertion", Kind::Identity, false, false),
        ("X-Tenant", Kind::OfApp, true, true),
        ("X-Debug", Kind::OfApp, true, false),
        ("Badge", Kind::OfApp, false, true),
        // A name that no app gets stays so for all.
        ("X-Client-Verify", Kind::Foreign, true, false),
        ("Remote-Email", Kind::Foreign, false, false),
        ("X-Tenants", Kind::Pass, false, false),
    ] {
        for spelling in spellings(name) {
            let name: HeaderName = spelling.parse().unwrap();
            assert_eq!(policy.kind(&name), kind, "{spelling}");
            let owns = [is_own_of(&all[0], &name), is_own_of(&all[1], &name)];
            assert_eq!(owns, [of_one, of_other], "{spelling}");
        }
    }
}

#[test]
fn every_name_of_a_family_is_stripped_in_every_spelling() {
    for (families, expected) in
        [(header_families::ORIGIN, Kind::Drop), (header_families::FOREIGN, Kind::Foreign)]
    {
        for name in families.iter().flat_map(|family| family.names) {
            for name in
                spellings(&name.replace('*', "abc")).into_iter().chain(spellings(&name.replace('*', "")))
            {
                // The longest name decides: X-Forwarded-User is within X-Forward*, and X-Auth-User within X-Auth-User*.
                let kind = kind(&name);
                assert!(kind == expected || matches!(kind, Kind::Identity), "{name}: {kind:?}");
            }
        }
    }
}

#[test]
fn headers_about_the_origin_are_stripped() {
    for name in [
        "X-Forwarded-For",
        "x_forwarded_for",
        "Forwarded",
        "X-Real-IP",
        "X-Original-URL",
        "X-HTTP-Method-Override",
        "True-Client-IP",
        "X-Forwarded-Client-Cert",
        "X_Original_Forwarded_For",
        "Remote_User",
        "Content_Length",
        "Transfer.Encoding",
        "Proxy",
        "X-Request-Id",
        "X_Request.Id",
        "Client-Cert",
        "client_cert_chain",
        "SSL-Client-Verify",
        "Client-IP",
        "X-Rewrite-URI",
        "X_Remote_User",
        "X-Scheme",
        "SM_USER",
        "$WSRU",
        "SCRIPT_NAME",
        "CF-Connecting-IPv6",
        // WebDAV's, as CGI would have named them.
        "HTTP_DESTINATION",
        "HTTP-Destination",
        "http.destination",
        "HTTP_DEPTH",
        "http-overwrite",
    ] {
        assert!(matches!(kind(name), Kind::Drop | Kind::Foreign), "{name}");
    }
}

#[test]
fn headers_of_clients_pass() {
    // Headers that browsers and clients of ordinary apps send and that are close to a family.
    for name in [
        "Accept",
        "Authorization",
        "Content-Length",
        "Content-Type",
        "Cookie",
        "Depth",
        "Destination",
        "Host",
        "HTTP-Referer",
        "If-None-Match",
        "Idempotency-Key",
        "Impersonate-User",
        "Origin",
        "Overwrite",
        "Referer",
        "Sec-Fetch-Site",
        "Sentry-Trace",
        "Traceparent",
        "Transfer-Encoding",
        "User-Agent",
        "X-Access-Token",
        "X-Amz-Date",
        "X-Amzn-Trace-Id",
        "X-Api-Key",
        "X-Auth-Key",
        "X-Auth-Token",
        "X-Client-Data",
        "X-Client-Id",
        "X-Client-Version",
        "X-CSRF-Token",
        "X-Goog-Api-Key",
        "X-Ms-Date",
        "X-Ms-Version",
        "X-Original",
        "X-Requested-With",
        "X-Sso-Token",
        "X-Trino-User",
        "X-User-Id",
        "X-User-Token",
        "X-Vault-Token",
        "X-XSRF-Token",
    ] {
        assert_eq!(kind(name), Kind::Pass, "{name}");
    }
}

#[test]
fn docs_list_every_name() {
    let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/headers.md");
    let page = std::fs::read_to_string(file).expect("the page");
    let listed: std::collections::BTreeSet<&str> = page
        .lines()
        .filter(|line| line.starts_with("| "))
        .flat_map(|line| line.split('`').skip(1).step_by(2))
        .collect();
    for family in header_families::ORIGIN.iter().chain(header_families::FOREIGN) {
        assert!(page.contains(family.source), "docs/headers.md does not have {:?}", family.source);
        for name in family.names {
            assert!(listed.contains(name), "docs/headers.md does not list `{name}`");
        }
    }
}
