//! Arbitrary answers of a provider: every one is an error or a result, and none a panic.

use proptest::prelude::*;

use super::*;
use crate::config::SignatureAlgorithm;
use crate::provider::oidc::discovery::Metadata;
use crate::provider::oidc::jws::Jws;
use crate::provider::oidc::keys::Keys;

fn settings() -> crate::config::Provider {
    let text = "[[providers]]\nid = \"a\"\nissuer = \"https://a\"\nclient_id = \"c\"\nclient_secret = \"s\"\n\
                allowed_domains = [\"a.example\"]\nroles = [{ claim = \"a.b\", value = \"c\", role = \"d\" }]";
    let config = Config::parse(text, std::path::Path::new("gateway.toml"), &|_| None);
    config.unwrap().providers.remove(0)
}

/// JSON of the names that the documents use, nested at random.
fn json_value() -> impl Strategy<Value = Value> {
    let name = prop::sample::select(vec![
        "keys",
        "kty",
        "crv",
        "x",
        "y",
        "n",
        "e",
        "alg",
        "use",
        "key_ops",
        "kid",
        "issuer",
        "jwks_uri",
        "token_endpoint",
        "authorization_endpoint",
        "iss",
        "sub",
        "aud",
        "exp",
        "iat",
        "email",
        "email_verified",
        "a",
        "b",
        "groups",
        "error",
        "_claim_names",
        "access_token",
        "token_type",
        "id_token_signing_alg_values_supported",
        "events",
        "tid",
    ]);
    let text = prop::sample::select(vec![
        "RSA",
        "EC",
        "OKP",
        "oct",
        "P-256",
        "Ed25519",
        "RS256",
        "sig",
        "https://a",
        "AQAB",
        "",
    ]);
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        text.prop_map(Value::from),
        "\\PC{0,12}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 48, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::hash_map(name.clone().prop_map(str::to_owned), inner, 0..8)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

fn read_everything(body: &[u8]) {
    let settings = settings();
    let algorithms = SignatureAlgorithm::ALL.map(|(_, algorithm)| algorithm);
    let _ = Metadata::parse(body, &settings);
    let keys = Keys::parse(body);
    let _ = crate::provider::token_endpoint::grant_for_tests(body);
    if let Ok(text) = std::str::from_utf8(body) {
        let _ = Callback::parse(text);
        if let (Ok(jws), Ok(keys)) = (Jws::parse(text, &algorithms, &["jwt"]), &keys) {
            let _ = jws.verify(keys);
        }
    }
    if let Ok(Value::Object(members)) = serde_json::from_slice(body) {
        let claims = crate::provider::claims::Claims::new(members);
        let _ =
            (claims.roles(&settings), claims.admission(&settings), claims.username(&settings), claims.amr());
        let _ = (claims.email(settings.preset), claims.name(), claims.time("exp"), claims.lack(&settings));
    }
}

proptest! {
    #[test]
    fn arbitrary_bytes_cause_no_panic(body in prop::collection::vec(any::<u8>(), 0..400)) {
        read_everything(&body);
    }

    #[test]
    fn arbitrary_json_causes_no_panic(value in json_value()) {
        read_everything(value.to_string().as_bytes());
    }

    #[test]
    fn arbitrary_tokens_cause_no_panic(header in json_value(), claims in json_value(), kid in "\\PC{0,8}") {
        let encode = |value: &Value| crate::id::base64url(value.to_string());
        let mut header = header;
        if let Value::Object(members) = &mut header {
            members.insert("alg".to_owned(), json!("ES256"));
            members.insert("kid".to_owned(), json!(kid));
        }
        read_everything(format!("{}.{}.AAAA", encode(&header), encode(&claims)).as_bytes());
    }

    #[test]
    fn key_sets_of_arbitrary_keys_cause_no_panic(keys in prop::collection::vec(json_value(), 0..6)) {
        read_everything(json!({ "keys": keys }).to_string().as_bytes());
    }
}
