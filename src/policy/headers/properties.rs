//! Property tests for every header name, against a model that merges names as CGI does.

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

/// Names in and near the families in every spelling, and arbitrary names.
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

/// The name as in a CGI environment (RFC 3875 section 4.1.18), with every other separator merged too.
fn merged(name: &str) -> String {
    name.to_uppercase().chars().map(|c| if c.is_alphanumeric() { c } else { '_' }).collect()
}

/// Names combined from parts of the listed names.
fn listed() -> impl Strategy<Value = String> {
    let all = header_families::ORIGIN.iter().chain(header_families::FOREIGN).flat_map(|family| family.names);
    let names: Vec<&str> = all.copied().chain(DEFAULT_IDENTITY).chain(OWN_SPELLING).collect();
    let name = || prop::sample::select(names.clone());
    (name(), name(), 0_usize..30, 0_usize..30, "[a-z-]{0,3}").prop_map(|(one, other, head, tail, between)| {
        let (one, other) = (one.trim_end_matches('*'), other.trim_end_matches('*'));
        format!("{}{between}{}", &one[..head.min(one.len())], &other[tail.min(other.len())..])
    })
}

/// Expected kind, by the longest matching name, found by linear search.
fn expected(name: &str) -> Kind {
    let name = merged(name).replace('_', "-");
    let fits = |known: &str| {
        let known = merged(known.trim_end_matches('*')).replace('_', "-");
        let is_prefix = |long: &str| long.starts_with(&known);
        (is_prefix(&name), name == known, known.len())
    };
    let mut best = (0, Kind::Pass);
    let lists = [(header_families::ORIGIN, Kind::Drop), (header_families::FOREIGN, Kind::Foreign)];
    for (families, kind) in lists {
        for known in families.iter().flat_map(|family| family.names) {
            let (begins, is_same, length) = fits(known);
            // The exact name wins over a prefix of the same length.
            let weight = if known.ends_with('*') { 2 * length } else { 2 * length + 1 };
            if (if known.ends_with('*') { begins } else { is_same }) && weight >= best.0 {
                best = (weight, kind);
            }
        }
    }
    if DEFAULT_IDENTITY.iter().any(|known| fits(known).1) { Kind::Identity } else { best.1 }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn name_is_reserved_exactly_if_an_app_could_merge_it(name in names()) {
        let policy = policy();
        let kind = policy.kind(&HeaderName::from_bytes(name.as_bytes()).unwrap());
        let merged = merged(&name);
        let identity = ["X_AUTH_USER", "X_AUTH_USER_ID", "X_AUTH_ROLES", "X_AUTH_SESSION"];
        prop_assert_eq!(kind == Kind::Identity, identity.contains(&merged.as_str()));
        let is_reserved = merged.starts_with("FORWARDED")
            || merged.starts_with("X_FORWARDED")
            || ["CLIENT_CERT", "CLIENT_CERT_CHAIN", "X_REAL_IP", "CLIENT_IP", "X_HOST"].contains(&merged.as_str());
        prop_assert!(!is_reserved || matches!(kind, Kind::Drop | Kind::Foreign));
        // Another spelling of a name has the same kind, except for framing headers, which must be spelt exactly.
        let same = policy.kind(&HeaderName::from_bytes(merged.to_lowercase().as_bytes()).unwrap());
        prop_assert!(kind == same || ["CONTENT_LENGTH", "TRANSFER_ENCODING"].contains(&merged.as_str()));
    }

    #[test]
    fn longest_listed_name_decides(name in listed()) {
        let Ok(header) = HeaderName::from_bytes(name.as_bytes()) else { return Ok(()) };
        let lower = header.as_str();
        if lower.starts_with("http-") || OWN_SPELLING.contains(&lower) {
            return Ok(());
        }
        prop_assert_eq!(policy().kind(&header), expected(lower), "{}", name);
    }
}
