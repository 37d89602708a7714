//! ID tokens: N1, N9 to N12. Each case is a token that must be refused, and differs from a good one in one thing.

use serde_json::Map;

use super::*;
use crate::id::base64url;
use crate::provider::oidc::id_token::{self, Expected, Occasion};
use crate::provider::oidc::issuer::Issuers;
use crate::provider::{Admission, MappedRoles, UndecidedClaim};

/// N1
#[tokio::test]
async fn claims_must_be_there_and_of_their_type() {
    let setup = Setup::new("").await;
    for name in ["iss", "sub", "aud", "exp", "iat"] {
        let error = setup.token_error(|claims| drop(claims.as_object_mut().unwrap().remove(name))).await;
        assert_eq!(error, Some(TokenError::Malformed), "no {name}");
    }
    let far = "9999999999";
    for (name, value, error) in [
        ("exp", json!(far), TokenError::Malformed),
        ("exp", json!(null), TokenError::Malformed),
        ("exp", json!([9_999_999_999_i64]), TokenError::Malformed),
        ("iat", json!(far), TokenError::Malformed),
        ("nbf", json!(far), TokenError::Malformed),
        ("nbf", json!(9_999_999_999_i64), TokenError::Time),
        ("iat", json!(9_999_999_999_i64), TokenError::Time),
        ("iat", json!(1_000_000_000), TokenError::Time),
        ("exp", json!(1_000_000_000), TokenError::Expired),
        ("exp", json!(-1), TokenError::Expired),
        ("sub", json!(""), TokenError::Malformed),
        ("sub", json!(7), TokenError::Malformed),
        ("sub", json!("a\u{0}b"), TokenError::Malformed),
        ("sub", json!("x".repeat(256)), TokenError::Malformed),
        ("aud", json!("other"), TokenError::Audience),
        ("aud", json!("APP"), TokenError::Audience),
        ("aud", json!([]), TokenError::Audience),
        ("aud", json!(["app", "stranger"]), TokenError::Audience),
        ("aud", json!(["app", 7]), TokenError::Malformed),
        ("aud", json!({ "app": 1 }), TokenError::Malformed),
        ("azp", json!("other"), TokenError::Audience),
        ("azp", json!(["app"]), TokenError::Audience),
        ("iss", json!("https://self-issued.me"), TokenError::Issuer),
        ("iss", json!(7), TokenError::Malformed),
        ("nonce", json!("other"), TokenError::Nonce),
        ("nonce", json!(""), TokenError::Nonce),
        ("nonce", json!(null), TokenError::Nonce),
        ("at_hash", json!("other"), TokenError::AccessTokenHash),
        ("at_hash", json!(""), TokenError::AccessTokenHash),
        ("at_hash", json!(null), TokenError::AccessTokenHash),
    ] {
        let refused = setup.token_error(|claims| claims[name] = value.clone()).await;
        assert_eq!(refused, Some(error), "{name} = {value}");
    }
    // N9
    let error = setup.token_error(|claims| drop(claims.as_object_mut().unwrap().remove("nonce"))).await;
    assert_eq!(error, Some(TokenError::Nonce));
    for (name, value) in [
        ("aud", json!(["app"])),
        ("azp", json!("app")),
        ("exp", json!(9_999_999_999_i64)),
        ("exp", json!(9_999_999_999.5)),
        ("sub", json!("x".repeat(255))),
    ] {
        assert!(setup.sign_in(|claims| claims[name] = value.clone()).await.is_ok(), "{name} = {value}");
    }
}

#[tokio::test]
async fn configured_audiences_may_stand_beside_the_client() {
    let setup = Setup::new("audiences = [\"project\"]").await;
    assert!(setup.sign_in(|claims| claims["aud"] = json!(["app", "project"])).await.is_ok());
    assert_eq!(
        setup.token_error(|claims| claims["aud"] = json!("project")).await,
        Some(TokenError::Audience)
    );
}

#[tokio::test]
async fn clocks_may_differ_by_a_minute() {
    let setup = Setup::new("").await;
    let now = setup.clock.wall().secs();
    for (name, ahead, is_good) in [
        ("exp", -50, true),
        ("exp", -70, false),
        ("iat", 50, true),
        ("iat", 70, false),
        ("iat", -650, true),
        ("iat", -670, false),
        ("nbf", 50, true),
        ("nbf", 70, false),
    ] {
        let signed_in = setup.sign_in(|claims| claims[name] = json!(now + ahead)).await;
        assert_eq!(signed_in.is_ok(), is_good, "{name} {ahead}");
    }
}

#[tokio::test]
async fn recent_sign_in_must_be_proven_where_asked_for() {
    let setup = Setup::new("").await;
    let now = setup.clock.wall().secs();
    for (auth_time, error) in [
        (json!(now - 20), None),
        (json!(now - 500), Some(ProviderError::Token(TokenError::AuthTime))),
        (json!(null), Some(ProviderError::Token(TokenError::Malformed))),
        (json!("now"), Some(ProviderError::Token(TokenError::Malformed))),
    ] {
        let flow = setup.flow_with_max_age(Some(Duration::from_secs(60)));
        let mut claims = setup.claims(&flow);
        claims["auth_time"] = auth_time;
        setup.token(&setup.key.sign(&claims));
        assert_eq!(setup.redeem(&flow, "code=c").await.err(), error);
    }
    let flow = setup.flow_with_max_age(Some(Duration::from_secs(60)));
    setup.token(&setup.key.sign(&setup.claims(&flow)));
    assert_eq!(setup.redeem(&flow, "code=c").await.err(), Some(ProviderError::Token(TokenError::AuthTime)));
}

/// N1
#[tokio::test]
async fn header_chooses_neither_algorithm_nor_key() {
    let setup = Setup::new("").await;
    let flow = setup.flow();
    let claims = setup.claims(&flow);
    let (good, other) = (setup.key.header(), Key::p256("k1"));
    let header = |name: &str, value: Value| {
        let mut header = good.clone();
        header[name] = value;
        header
    };
    let encode = |value: &Value| base64url(value.to_string());
    let unsigned = |header: &Value| format!("{}.{}.", encode(header), encode(&claims));
    let hmac = |secret: &[u8]| {
        let message = format!("{}.{}", encode(&header("alg", json!("HS256"))), encode(&claims));
        let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, secret);
        format!("{message}.{}", base64url(aws_lc_rs::hmac::sign(&key, message.as_bytes())))
    };
    let public = setup.key.jwk().to_string();
    let signed = setup.key.sign(&claims);
    let stripped = signed.rsplit_once('.').unwrap().0;
    let with_other_claims = {
        let mut parts: Vec<&str> = signed.split('.').collect();
        let mut other = claims.clone();
        other["sub"] = json!("eve");
        let other = encode(&other);
        parts[1] = &other;
        parts.join(".")
    };
    for (token, error) in [
        (unsigned(&header("alg", json!("none"))), TokenError::Algorithm),
        (unsigned(&header("alg", json!("None"))), TokenError::Algorithm),
        (unsigned(&good), TokenError::Signature),
        (hmac(public.as_bytes()), TokenError::Symmetric),
        (hmac(b"hunter2"), TokenError::Symmetric),
        (hmac(b""), TokenError::Symmetric),
        (setup.key.sign_with(&header("alg", json!("RS256")), &claims), TokenError::UnknownKey),
        (setup.key.sign_with(&header("alg", json!("ES384")), &claims), TokenError::Algorithm),
        (setup.key.sign_with(&header("alg", json!("PS256")), &claims), TokenError::Algorithm),
        (setup.key.sign_with(&header("alg", json!(7)), &claims), TokenError::Malformed),
        (setup.key.sign_with(&header("kid", json!("k2")), &claims), TokenError::UnknownKey),
        (setup.key.sign_with(&header("typ", json!("at+jwt")), &claims), TokenError::Kind),
        (setup.key.sign_with(&header("typ", json!("application/at+JWT")), &claims), TokenError::Kind),
        (setup.key.sign_with(&header("typ", json!("logout+jwt")), &claims), TokenError::Kind),
        (setup.key.sign_with(&header("crit", json!(["exp"])), &claims), TokenError::Malformed),
        (other.sign(&claims), TokenError::Signature),
        (with_other_claims, TokenError::Signature),
        (stripped.to_owned(), TokenError::Malformed),
        (format!("{signed}.x"), TokenError::Malformed),
        (format!("{signed}="), TokenError::Signature),
        (signed.replace('.', ".."), TokenError::Malformed),
        (String::new(), TokenError::Malformed),
        (setup.key.sign(&json!([])), TokenError::Malformed),
        (setup.key.sign(&json!({ "big": "x".repeat(70 << 10) })), TokenError::Malformed),
    ] {
        setup.token(&token);
        let refused = setup.redeem(&flow, "code=c").await.err();
        assert_eq!(refused, Some(ProviderError::Token(error)), "{}", &token[..token.len().min(80)]);
    }
    for good in [
        header("typ", json!("jwt")),
        header("typ", json!(null)),
        header("jku", json!("https://evil.example")),
    ] {
        setup.token(&setup.key.sign_with(&good, &claims));
        assert!(setup.redeem(&flow, "code=c").await.is_ok(), "{good}");
    }
}

#[tokio::test]
async fn each_kind_of_key_verifies() {
    for key in [Key::p256("a"), Key::ed25519("b"), Key::rsa("c")] {
        let setup = Setup::with_key(key, "").await;
        let hash = id_token::half_hash_for_tests("access-1", &setup.key.header()["alg"]);
        assert!(
            setup.sign_in(|claims| claims["at_hash"] = json!(hash)).await.is_ok(),
            "{}",
            setup.key.header()
        );
    }
}

/// N1: keys that must not verify anything.
#[tokio::test]
async fn unfit_keys_are_left_out_of_the_set() {
    let key = Key::rsa("k");
    let (good, p256) = (key.jwk(), Key::p256("k").jwk());
    let with = |jwk: &Value, name: &str, value: Value| {
        let mut jwk = jwk.clone();
        jwk[name] = value;
        jwk
    };
    let usable = |keys: Vec<Value>| {
        let body = json!({ "keys": keys }).to_string();
        let all = crate::config::SignatureAlgorithm::ALL.map(|(_, algorithm)| algorithm);
        crate::provider::oidc::keys::Keys::parse(body.as_bytes()).unwrap().usable(&all)
    };
    assert_eq!(usable(vec![good.clone(), p256.clone()]), 2);
    for unfit in [
        json!({ "kty": "oct", "k": "aHVudGVyMg", "kid": "k", "alg": "HS256" }),
        json!({ "kty": "oct", "k": "", "kid": "k", "alg": "RS256" }),
        json!({ "kty": "RSA" }),
        json!(null),
        json!("RSA"),
        with(&good, "n", json!("")),
        with(&good, "n", json!(base64url([0_u8; 256]))),
        with(&good, "n", json!(base64url([255_u8; 128]))),
        with(&good, "n", json!(base64url(vec![255_u8; 2048]))),
        with(&good, "n", json!(7)),
        with(&good, "e", json!("")),
        with(&good, "use", json!("enc")),
        with(&good, "use", json!(null)),
        with(&good, "key_ops", json!(["encrypt"])),
        with(&good, "key_ops", json!("verify")),
        with(&good, "alg", json!("RSA-OAEP")),
        with(&good, "alg", json!("ES256")),
        with(&good, "alg", json!("HS256")),
        with(&p256, "crv", json!("P-384")),
        with(&p256, "crv", json!("secp256k1")),
        with(&p256, "x", json!("AA")),
        with(&p256, "kty", json!("OKP")),
        with(&good, "issuer", json!(7)),
    ] {
        assert_eq!(usable(vec![unfit.clone()]), 0, "{unfit}");
    }
    let setup = Setup::with_key(Key::p256("k"), "").await;
    let twice = json!({ "keys": [setup.key.jwk(), Key::p256("k").jwk()] });
    setup.issuer.answer("/keys", Answer::json(&twice));
    assert_eq!(setup.token_error(|_| {}).await, Some(TokenError::UnknownKey), "two keys of one name");
}

#[tokio::test]
async fn rotated_key_is_fetched_once_a_minute() {
    let setup = Setup::new("").await;
    setup.sign_in(|_| {}).await.unwrap();
    let setup = Setup { key: Key::ed25519("k2"), ..setup };
    setup.issuer.answer("/keys", Answer::json(&json!({ "keys": [setup.key.jwk()] })));
    for _ in 0..3 {
        assert_eq!(setup.token_error(|_| {}).await, Some(TokenError::UnknownKey));
    }
    assert_eq!(setup.issuer.seen("/keys").len(), 1);
    setup.clock.advance(Duration::from_secs(61));
    setup.sign_in(|_| {}).await.unwrap();
    assert_eq!(setup.issuer.seen("/keys").len(), 2);
    setup.clock.advance(Duration::from_secs(61));
    setup.issuer.answer("/keys", Answer::new(500, ""));
    let setup = Setup { key: Key::ed25519("k3"), ..setup };
    for _ in 0..3 {
        assert_eq!(setup.token_error(|_| {}).await, Some(TokenError::UnknownKey));
    }
    assert_eq!(setup.issuer.seen("/keys").len(), 3, "a failed fetch counts too");
}

const TENANT: &str = "11111111-1111-1111-1111-11111111aaaa";
const OTHER: &str = "22222222-2222-2222-2222-22222222bbbb";

fn entra(claims: &[(&str, Value)]) -> Result<(), TokenError> {
    let issuers = Issuers::new("https://login.example/{tenantid}/v2.0".to_owned(), vec![TENANT.to_owned()]);
    let now = crate::clock::Timestamp::from_secs(1_800_000_000);
    let expected = Expected { issuers: &issuers, client_id: "app", audiences: &[], now };
    let claims: Map<String, Value> =
        claims.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
    let occasion = Occasion::Code { nonce: "n", max_age: None };
    id_token::check(&claims, &expected, &occasion, ("a", crate::config::SignatureAlgorithm::Rs256))
}

/// N11, N12
#[test]
fn token_of_another_tenant_is_refused() {
    let claims = |issuer: &str, tenant: &str| {
        [
            ("iss", json!(format!("https://login.example/{issuer}/v2.0"))),
            ("tid", json!(tenant)),
            ("sub", json!("s")),
            ("aud", json!("app")),
            ("nonce", json!("n")),
            ("iat", json!(1_800_000_000)),
            ("exp", json!(1_800_000_300)),
            ("email", json!("ada@example.com")),
        ]
    };
    assert_eq!(entra(&claims(TENANT, TENANT)), Ok(()));
    assert_eq!(entra(&claims(OTHER, OTHER)), Err(TokenError::Tenant));
    assert_eq!(entra(&claims(TENANT, OTHER)), Err(TokenError::Issuer));
    assert_eq!(entra(&claims(OTHER, TENANT)), Err(TokenError::Issuer));
}

#[tokio::test]
async fn missing_groups_are_undecided() {
    let rules = "roles = [{ claim = \"groups\", value = \"platform\", role = \"admin\" }]";
    let setup = Setup::new(rules).await;
    setup.issuer.answer("/userinfo", Answer::json(&json!({ "sub": "0-Ada" })));
    let names = json!({ "groups": "src1" });
    let sources = json!({ "src1": { "endpoint": setup.issuer.url("/graph") } });
    for (change, reason) in [
        (json!({}), UndecidedClaim::Missing),
        (json!({ "_claim_names": names, "_claim_sources": sources }), UndecidedClaim::Overage),
        (json!({ "hasgroups": true }), UndecidedClaim::Overage),
        (json!({ "groups": [1] }), UndecidedClaim::Malformed),
        (json!({ "groups": { "platform": true } }), UndecidedClaim::Malformed),
        (json!({ "groups": null }), UndecidedClaim::Malformed),
    ] {
        let person = setup.sign_in(|claims| {
            claims.as_object_mut().unwrap().remove("groups");
            for (name, value) in change.as_object().unwrap() {
                claims[name] = value.clone();
            }
        });
        let person = person.await.unwrap();
        assert_eq!(person.roles, MappedRoles::Undecided(reason), "{change}");
        assert_eq!(person.admission, Admission::Admitted);
    }
    assert!(setup.issuer.seen("/graph").is_empty(), "N14: text of a token is never fetched");
}
