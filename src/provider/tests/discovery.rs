//! Discovery document: what is refused, what is kept, and the report of a test.

use super::*;
use crate::outbound::OutboundError;
use crate::provider::{ClockDifference, DiscoveryError, Endpoint};

const PATH: &str = "/.well-known/openid-configuration";

async fn error(setup: &Setup, document: &Value) -> Option<ProviderError> {
    setup.issuer.answer(PATH, Answer::json(document));
    setup.clock.advance(Duration::from_secs(10));
    let flow = setup.flow();
    setup.provider.authorization_url(&flow, CALLBACK, &AuthorizationRequest::default()).await.err()
}

#[tokio::test]
async fn document_must_be_of_the_configured_issuer() {
    let setup = Setup::new("").await;
    let own = setup.issuer.url("");
    for issuer in
        [format!("{own}/"), own.replace("127.0.0.1", "localhost"), own.to_uppercase(), String::new()]
    {
        let mut document = setup.document();
        document["issuer"] = json!(issuer);
        let expected = ProviderError::Discovery(DiscoveryError::OtherIssuer(issuer.clone()));
        assert_eq!(error(&setup, &document).await, Some(expected), "{issuer}");
    }
    let mut document = setup.document();
    document.as_object_mut().unwrap().remove("issuer");
    assert!(matches!(error(&setup, &document).await, Some(ProviderError::Malformed(Endpoint::Discovery, _))));
    assert_eq!(error(&setup, &setup.document()).await, None);
}

#[tokio::test]
async fn endpoint_that_cannot_be_used_is_refused() {
    let setup = Setup::new("").await;
    for name in
        ["authorization_endpoint", "token_endpoint", "jwks_uri", "userinfo_endpoint", "end_session_endpoint"]
    {
        for url in [
            "http://sso.example.com/x",
            "http://10.0.0.1/x",
            "ftp://sso.example.com",
            "/relative",
            "javascript:alert(1)",
            "https://user@sso.example.com/",
            "https://sso.example.com/#x",
            "https://sso.example.com/a b",
            "https://sso.example.com/\u{e4}",
            "",
        ] {
            let mut document = setup.document();
            document[name] = json!(url);
            let expected = ProviderError::Discovery(DiscoveryError::BadEndpoint(name));
            assert_eq!(error(&setup, &document).await, Some(expected), "{name} = {url}");
        }
    }
    for name in ["authorization_endpoint", "token_endpoint", "jwks_uri"] {
        let mut document = setup.document();
        document.as_object_mut().unwrap().remove(name);
        let expected = ProviderError::Discovery(DiscoveryError::NoEndpoint(name));
        assert_eq!(error(&setup, &document).await, Some(expected));
    }
}

#[tokio::test]
async fn algorithms_that_are_not_accepted_are_named() {
    let setup = Setup::new("").await;
    for (announced, expected) in [
        (json!(["HS256"]), DiscoveryError::Symmetric),
        (json!(["PS512", "ES384", "<b>"]), DiscoveryError::NoAlgorithm("PS512, ES384".to_owned())),
        (json!(["ES256K"]), DiscoveryError::NoAlgorithm("others".to_owned())),
    ] {
        let mut document = setup.document();
        document["id_token_signing_alg_values_supported"] = announced;
        assert_eq!(error(&setup, &document).await, Some(ProviderError::Discovery(expected)));
    }
}

/// N14: the document of a public issuer cannot point into the private network.
#[tokio::test]
async fn private_host_that_is_not_named_is_refused() {
    let setup = Setup::new("").await;
    let elsewhere = Issuer::start().await;
    let mut document = setup.document();
    document["token_endpoint"] = json!(elsewhere.url("/token").replace("127.0.0.1", "localhost"));
    setup.issuer.answer(PATH, Answer::json(&document));
    let flow = setup.flow();
    let refused = setup.redeem(&flow, "code=c").await.unwrap_err();
    let ProviderError::Away(Endpoint::Token, OutboundError::Refused { host, address }) = &refused else {
        panic!("{refused}")
    };
    assert!(host == "localhost" && address.is_loopback());
    assert_eq!(
        (refused.reason(), refused.is_away(), elsewhere.count()),
        ("provider_address_refused", false, 0)
    );
}

#[tokio::test]
async fn last_good_document_serves_while_the_provider_is_away() {
    let setup = Setup::new("").await;
    setup.sign_in(|_| {}).await.unwrap();
    setup.issuer.answer(PATH, Answer::new(503, ""));
    setup.issuer.answer("/keys", Answer::new(503, ""));
    setup.clock.advance(Duration::from_hours(1));
    setup.sign_in(|_| {}).await.unwrap();
    assert_eq!(setup.issuer.seen(PATH).len(), 2, "it was tried");
    setup.clock.advance(Duration::from_hours(24));
    let away = ProviderError::Away(Endpoint::Discovery, OutboundError::Status(503));
    assert_eq!(setup.sign_in(|_| {}).await.err(), Some(away));
}

#[tokio::test]
async fn report_shows_what_the_provider_publishes() {
    let setup = Setup::new("").await;
    let mut document = setup.document();
    document["scopes_supported"] = json!(["openid", "email"]);
    document["code_challenge_methods_supported"] = json!(["plain", "S256"]);
    let behind = setup.clock.wall().secs() - 90;
    let date = std::time::UNIX_EPOCH + Duration::from_secs(u64::try_from(behind).unwrap());
    let field = format!("Date: {}", httpdate::fmt_http_date(date));
    setup.issuer.answer(PATH, Answer::json(&document).field(&field));
    let report = setup.provider.test().await.unwrap();
    assert_eq!(report.token_endpoint, setup.issuer.url("/token"));
    assert_eq!(report.jwks_uri, Some(setup.issuer.url("/keys")));
    assert_eq!((report.usable_keys, report.announced_algorithms.len()), (1, 3));
    assert_eq!(report.unknown_scopes, ["profile", "offline_access"]);
    assert!(report.announces_pkce && report.has_backchannel_logout && !report.announces_issuer);
    let Some(ClockDifference::Behind(difference)) = report.clock else { panic!("{:?}", report.clock) };
    assert!((89..=92).contains(&difference.as_secs()), "{difference:?}");
}
