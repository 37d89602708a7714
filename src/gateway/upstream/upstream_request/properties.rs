//! Properties of the request that the app sees: the exact target, and every header that the gateway does not own.

use std::path::Path;

use proptest::prelude::*;

use super::*;
use crate::config::Config;

fn route(strip_prefix: bool, path: &str) -> Route {
    let text = format!(
        "[upstreams.app]\nservers = [\"http://127.0.0.1:9\"]\n[[routes]]\nname = \"app\"\npath = \"{path}\"\naccess = \"public\"\n\
         upstream = \"app\"\nstrip_prefix = {strip_prefix}\n"
    );
    Config::parse(&text, Path::new("gateway.toml"), &|_| None).expect("valid").routes.remove(0)
}

const NAMES: &[&str] = &[
    "X-Auth-User",
    "x_auth.user",
    "X-Auth_Roles",
    "x-forwarded-for",
    "Client-Cert",
    "client_cert",
    "Accept",
    "X-Custom",
    "X-Auth-Users",
    "Content-Type",
    "Via",
    "cookie2",
    "X.Custom",
];

fn header() -> impl Strategy<Value = (String, String)> {
    (
        prop_oneof![prop::sample::select(NAMES).prop_map(str::to_owned), "[a-zA-Z][a-z0-9_.-]{0,12}"],
        "[!-~]{0,8}",
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn target_is_forwarded_byte_for_byte_in_origin_form(
        path in "/[!-\"$->@-\\[\\]-~]{0,40}",
        query in prop::option::of("[!-\"$-~]{0,20}"),
        absolute in prop::option::of("(http|HTTPS)://[a-z]{1,8}(:[0-9]{1,4})?"),
    ) {
        let whole = format!("{path}{}", query.map_or_else(String::new, |query| format!("?{query}")));
        let sent = format!("{}{whole}", absolute.as_deref().unwrap_or_default());
        // Pingora refuses other targets before the gateway sees them.
        let Ok(mut request) = RequestHeader::build("GET", sent.as_bytes(), None) else { return Ok(()) };
        let result = target(&mut request, &route(false, "/"));
        if absolute.is_some() && whole.starts_with("//") {
            // Without its authority, the path would be read as another authority.
            prop_assert_eq!(result, Err(Refusal::TargetAmbiguous));
        } else {
            prop_assert_eq!(result, Ok(()));
            prop_assert_eq!(request.raw_path(), whole.as_bytes());
        }
        // With a stripped prefix: the rest of the path, or a refusal if the rest could be read as an authority.
        let mut request = RequestHeader::build("GET", format!("/app{whole}").as_bytes(), None).unwrap();
        let stripped = target(&mut request, &route(true, "/app"));
        if whole.starts_with("//") {
            prop_assert_eq!(stripped, Err(Refusal::TargetAmbiguous));
        } else {
            prop_assert_eq!(stripped, Ok(()));
            prop_assert_eq!(request.raw_path(), whole.as_bytes());
        }
    }

    #[test]
    fn identity_headers_are_removed_and_others_kept_in_order(
        headers in prop::collection::vec(header(), 0..16),
    ) {
        let policy = HeaderPolicy::new(&Config::defaults(Path::new("")).identity_headers, [].into_iter());
        let of_app = RequestHeaders::default();
        let mut fields = HeaderMap::new();
        for (name, value) in &headers {
            let name: HeaderName = name.parse().unwrap();
            fields.append(name, value.parse().unwrap());
        }
        let client_sent_identity = strip(&mut fields, &policy, &of_app, &[]);
        let merged = |name: &str| name.to_lowercase().replace(|c: char| !c.is_alphanumeric(), "-");
        let ours = ["x-auth-user", "x-auth-user-id", "x-auth-roles", "x-auth-session"];
        let is_ours = |name: &str| ours.contains(&merged(name).as_str());
        prop_assert_eq!(client_sent_identity, headers.iter().any(|(name, _)| is_ours(name)));
        for name in fields.keys() {
            prop_assert!(!is_ours(name.as_str()) && !merged(name.as_str()).starts_with("client-cert"), "{}", name);
        }
        for (name, _) in &headers {
            let key: HeaderName = name.parse().unwrap();
            let all: Vec<&str> = headers
                .iter()
                .filter(|(other, _)| other.eq_ignore_ascii_case(name))
                .map(|(_, value)| value.as_str())
                .collect();
            let left: Vec<&str> = fields.get_all(&key).iter().map(|value| value.to_str().unwrap()).collect();
            let expected = if policy.kind(&key) == Kind::Pass { all } else { Vec::new() };
            prop_assert_eq!(left, expected, "{}", name);
        }
    }
}
