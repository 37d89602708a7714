//! Logout tokens.

use super::*;

async fn verify(
    setup: &Setup,
    header: &Value,
    change: impl FnOnce(&mut Value),
) -> Result<super::super::LogoutToken, TokenError> {
    let now = setup.clock.wall().secs();
    let mut claims = json!({
        "iss": setup.issuer.url(""),
        "aud": "app",
        "iat": now,
        "exp": now + 120,
        "jti": "j1",
        "sub": "0-Ada",
        "sid": "s1",
        "events": { "http://schemas.openid.net/event/backchannel-logout": {} },
    });
    change(&mut claims);
    let token = setup.key.sign_with(header, &claims);
    setup.provider.verify_logout_token(&token).await.map_err(|error| match error {
        ProviderError::Token(error) => error,
        other => panic!("{other}"),
    })
}

#[tokio::test]
async fn logout_token_names_a_session_or_a_subject() {
    let setup = Setup::new("").await;
    let mut header = setup.key.header();
    for typ in
        [json!("JWT"), json!("logout+jwt"), json!("Logout+JWT"), json!("application/logout+jwt"), json!(null)]
    {
        header["typ"] = typ;
        let token = verify(&setup, &header, |_| {}).await.unwrap();
        assert_eq!((token.issuer, token.jti.as_str()), (setup.issuer.url(""), "j1"));
        assert_eq!((token.subject.as_deref(), token.sid.as_deref()), (Some("0-Ada"), Some("s1")));
        let left = token.expires_at.since(setup.clock.wall());
        assert!((170..=180).contains(&left.as_secs()), "{left:?}");
    }
    for name in ["sub", "sid"] {
        let token = verify(&setup, &header, |claims| drop(claims.as_object_mut().unwrap().remove(name)))
            .await
            .unwrap();
        assert_eq!((token.subject.is_none(), token.sid.is_none()), (name == "sub", name == "sid"));
    }
}

#[tokio::test]
async fn token_that_is_no_logout_token_is_refused() {
    let setup = Setup::new("").await;
    let now = setup.clock.wall().secs();
    let header = setup.key.header();
    for (name, value, error) in [
        ("nonce", json!("n"), TokenError::Nonce),
        ("nonce", json!(null), TokenError::Nonce),
        ("events", json!({}), TokenError::Event),
        ("events", json!({ "http://schemas.openid.net/event/backchannel-logout": true }), TokenError::Event),
        ("events", json!(["http://schemas.openid.net/event/backchannel-logout"]), TokenError::Event),
        ("events", json!("http://schemas.openid.net/event/backchannel-logout"), TokenError::Event),
        ("aud", json!("other"), TokenError::Audience),
        ("aud", json!(["app", "other"]), TokenError::Audience),
        ("iss", json!("https://other.example"), TokenError::Issuer),
        ("iat", json!(now + 70), TokenError::Time),
        ("exp", json!(now - 70), TokenError::Expired),
        ("exp", json!((now + 300).to_string()), TokenError::Malformed),
        ("exp", json!(now + 90_000), TokenError::Time),
        ("jti", json!(""), TokenError::Malformed),
        ("jti", json!(7), TokenError::Malformed),
        ("jti", json!("x".repeat(256)), TokenError::Malformed),
        ("sid", json!(7), TokenError::Malformed),
        ("sub", json!(null), TokenError::Malformed),
    ] {
        let refused = verify(&setup, &header, |claims| claims[name] = value.clone()).await;
        assert_eq!(refused, Err(error), "{name} = {value}");
    }
    for (name, error) in
        [("events", TokenError::Event), ("jti", TokenError::Malformed), ("iat", TokenError::Malformed)]
    {
        let refused =
            verify(&setup, &header, |claims| drop(claims.as_object_mut().unwrap().remove(name))).await;
        assert_eq!(refused, Err(error), "no {name}");
    }
    let neither = |claims: &mut Value| {
        let claims = claims.as_object_mut().unwrap();
        claims.remove("sub");
        claims.remove("sid");
    };
    assert_eq!(verify(&setup, &header, neither).await, Err(TokenError::Malformed));
    let access = json!({ "alg": "ES256", "kid": "k1", "typ": "at+jwt" });
    assert_eq!(verify(&setup, &access, |_| {}).await, Err(TokenError::Kind));
    // An ID token as logout token.
    let flow = setup.flow();
    let token = setup.key.sign(&setup.claims(&flow));
    let refused = setup.provider.verify_logout_token(&token).await;
    assert_eq!(refused.err(), Some(ProviderError::Token(TokenError::Event)));
}

#[tokio::test]
async fn logout_token_without_expiry_is_good_for_two_minutes() {
    let setup = Setup::new("").await;
    let (now, header) = (setup.clock.wall().secs(), setup.key.header());
    for (age, is_good) in [(0, true), (170, true), (190, false)] {
        let verified = verify(&setup, &header, |claims| {
            claims.as_object_mut().unwrap().remove("exp");
            claims["iat"] = json!(now - age);
        });
        assert_eq!(verified.await.is_ok(), is_good, "{age}");
    }
}
