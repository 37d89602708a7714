//! What holds for every name: a model that merges as CGI does, in its own words.

use proptest::prelude::*;

use super::tests::policy;
use super::*;

const WORDS: &[&str] = &[
    "x",
    "auth",
    "user",
    "id",
    "roles",
    "session",
    "forwarded",
    "for",
    "real",
    "ip",
    "client",
    "cert",
    "chain",
    "original",
    "url",
    "host",
    "content",
    "length",
    "accept",
    "cookie",
];

/// Names in and around the families, in every spelling; and names at all.
fn names() -> impl Strategy<Value = String> {
    let spelt = prop::collection::vec((prop::sample::select(WORDS), "[-_.~!]", any::<u8>()), 1..5);
    let spelt = spelt.prop_map(|words| {
        let mut name = String::new();
        for (word, separator, capitals) in words {
            if !name.is_empty() {
                name += &separator;
            }
            name.extend(
                word.chars()
                    .enumerate()
                    .map(|(at, c)| if capitals >> (at % 8) & 1 == 1 { c.to_ascii_uppercase() } else { c }),
            );
        }
        name
    });
    prop_oneof![3 => spelt, 1 => "[-!#$%&'*+.^_`|~0-9A-Za-z]{1,24}"]
}

/// As an environment of CGI has it (RFC 3875 section 4.1.18), with every other separator merged too.
fn merged(name: &str) -> String {
    name.to_uppercase().chars().map(|c| if c.is_alphanumeric() { c } else { '_' }).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_name_is_ours_if_an_app_could_take_it_for_ours_and_only_then(name in names()) {
        let policy = policy();
        let kind = policy.kind(&HeaderName::from_bytes(name.as_bytes()).unwrap());
        let merged = merged(&name);
        let identity = ["X_AUTH_USER", "X_AUTH_USER_ID", "X_AUTH_ROLES", "X_AUTH_SESSION"];
        prop_assert_eq!(kind == Kind::Identity, identity.contains(&merged.as_str()));
        let told = merged.starts_with("FORWARDED")
            || merged.starts_with("X_FORWARDED")
            || ["CLIENT_CERT", "CLIENT_CERT_CHAIN", "X_REAL_IP", "CLIENT_IP", "X_HOST"].contains(&merged.as_str());
        prop_assert!(!told || matches!(kind, Kind::Drop | Kind::Foreign));
        // The same name in other clothes is of the same kind; only what frames a message must be spelt as it is.
        let same = policy.kind(&HeaderName::from_bytes(merged.to_lowercase().as_bytes()).unwrap());
        prop_assert!(kind == same || ["CONTENT_LENGTH", "TRANSFER_ENCODING"].contains(&merged.as_str()));
    }
}
