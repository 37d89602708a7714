//! Authorization request and callback: state, PKCE, mix-up, client authentication, UserInfo, gates and rules.

use super::*;
use crate::config::SignatureAlgorithm;
use crate::identity::Roles;
use crate::outbound::OutboundError;
use crate::provider::authorization::authorization_url;
use crate::provider::oidc::jws::Jws;
use crate::provider::oidc::keys::Keys;
use crate::provider::{Admission, Endpoint, MappedRoles, NotAdmitted, Prompt, UndecidedClaim};

#[tokio::test]
async fn authorization_url_has_every_defence_and_no_secret() {
    let setup = Setup::new("").await;
    let flow = setup.flow_with_max_age(Some(Duration::from_secs(60)));
    let request = AuthorizationRequest { login_hint: Some("ada@example.com"), prompt: Some(Prompt::Login) };
    let url = setup.provider.authorization_url(&flow, CALLBACK, &request).await.unwrap();
    assert!(url.starts_with(&setup.issuer.url("/authorize?")), "{url}");
    let sent = parameters(&url);
    for (name, value) in [
        ("response_type", "code"),
        ("client_id", "app"),
        ("redirect_uri", CALLBACK),
        ("scope", "openid profile email offline_access"),
        ("state", flow.state()),
        ("nonce", flow.nonce()),
        ("code_challenge_method", "S256"),
        ("prompt", "login"),
        ("max_age", "60"),
        ("login_hint", "ada@example.com"),
    ] {
        assert_eq!(sent.get(name).map(String::as_str), Some(value), "{name} in {url}");
    }
    // N8: neither the verifier nor the client secret.
    assert!(!url.contains(flow.verifier()) && !url.contains("hunter2"), "{url}");
    assert_ne!(sent["code_challenge"], flow.verifier());
}

#[test]
fn only_a_sign_in_asks_for_a_refresh_token() {
    let clock = Arc::new(TravelClock::new());
    let session = crate::id::SessionId::from_bytes([1; 16]);
    let sent = |preset: &str, more: &str, purpose, prompt| {
        let text = format!(
            "[[providers]]\nid = \"sso\"\npreset = \"{preset}\"\nclient_id = \"app\"\nclient_secret = \"hunter2\"\n{more}"
        );
        let provider = provider(&text, &clock);
        let start = FlowStart {
            provider: provider.id(),
            issuer: &provider.settings().issuer,
            return_to: "/",
            purpose,
            max_age: None,
            remember: false,
        };
        let flow = Flow::begin(&start, clock.wall(), &SystemRandom);
        let request = AuthorizationRequest { login_hint: None, prompt };
        let url = authorization_url("https://a", provider.settings(), &flow, CALLBACK, &request);
        let sent = parameters(&url);
        ["scope", "prompt", "access_type"].map(|name| sent.get(name).cloned().unwrap_or_default())
    };
    let (link, choose) = (FlowPurpose::Link(session), Some(Prompt::SelectAccount));
    let scopes = "openid profile email";
    let offline = "openid profile email offline_access";
    let recheck = "recheck = \"1h\"";
    let google = sent("google", recheck, FlowPurpose::SignIn, None);
    assert_eq!(google, [scopes, "consent", "offline"]);
    assert_eq!(sent("google", recheck, link, choose), [scopes, "select_account", ""]);
    assert_eq!(sent("google", "", FlowPurpose::SignIn, None), [scopes, "", ""]);
    let entra = "tenants = [\"72f988bf-86f1-41af-91ab-2d7cd011db47\"]\nconsent = true";
    assert_eq!(sent("microsoft", entra, FlowPurpose::SignIn, None), [offline, "consent", ""]);
    assert_eq!(sent("microsoft", entra, link, choose), [scopes, "select_account", ""]);
    assert_eq!(sent("gitlab", "consent = true", link, None), [scopes, "", ""]);
}

#[tokio::test]
async fn code_becomes_a_person() {
    let setup = Setup::new("roles = [{ claim = \"groups\", value = \"platform\", role = \"admin\" }]").await;
    let person = setup.sign_in(|claims| claims["auth_time"] = json!(1_700_000_000)).await.unwrap();
    assert_eq!(
        (person.account.issuer.as_str(), person.account.subject.as_str()),
        (setup.issuer.url("").as_str(), "0-Ada")
    );
    assert_eq!(person.username.unwrap().as_str(), "ada");
    assert_eq!((person.email.unwrap().as_str(), person.is_email_verified), ("ada@example.com", true));
    assert_eq!(person.name.unwrap().as_str(), "Ada Lovelace");
    assert_eq!(person.roles, MappedRoles::Decided(Roles::parse(["admin"]).unwrap()));
    assert_eq!((person.admission, person.sid.as_deref()), (Admission::Admitted, Some("s1")));
    assert_eq!(person.auth_time.unwrap().secs(), 1_700_000_000);
    assert_eq!(person.refresh_token.unwrap().expose(), "refresh-1");
    let [request] = setup.issuer.seen("/token").try_into().unwrap();
    let sent = parameters(&request.body);
    assert_eq!((sent["grant_type"].as_str(), sent["code"].as_str()), ("authorization_code", "c"));
    assert_eq!((sent["redirect_uri"].as_str(), sent["code_verifier"].len()), (CALLBACK, 43));
    assert!(
        request.head.to_ascii_lowercase().contains("\r\nauthorization: basic yxbwomh1bnrlcji=\r\n"),
        "{}",
        request.head
    );
    assert_eq!(setup.issuer.seen("/userinfo").len(), 0, "every claim was there");
}

#[tokio::test]
async fn flow_of_another_provider_or_state_is_refused() {
    let setup = Setup::new("").await;
    let good = setup.flow();
    let callback = |state: &str| Callback::parse(&format!("code=c&state={state}")).unwrap();
    let other = setup.flow();
    let refused = setup.provider.redeem(&callback(other.state()), &good, CALLBACK).await;
    assert_eq!(refused.err(), Some(ProviderError::OtherProvider));
    for change in [
        (|flow: &mut Flow| flow.provider = "other".parse().unwrap()) as fn(&mut Flow),
        |flow| flow.issuer = "https://other.example".to_owned(),
        |flow| flow.issuer.push('/'),
    ] {
        let mut flow = setup.flow();
        change(&mut flow);
        let refused = setup.provider.redeem(&callback(flow.state()), &flow, CALLBACK).await;
        assert_eq!(refused.err(), Some(ProviderError::OtherProvider));
        let request = AuthorizationRequest::default();
        assert!(setup.provider.authorization_url(&flow, CALLBACK, &request).await.is_err());
    }
    assert_eq!(setup.issuer.count(), 0, "no code was sent anywhere");
}

/// N13
#[tokio::test]
async fn response_of_another_issuer_is_refused() {
    let setup = Setup::new("").await;
    let flow = setup.flow();
    let own = setup.issuer.url("").replace(':', "%3A");
    for query in [
        "code=c&iss=https%3A%2F%2Fevil.example",
        "error=access_denied&iss=https%3A%2F%2Fevil.example",
        "code=c&iss=",
    ] {
        assert_eq!(setup.redeem(&flow, query).await.err(), Some(ProviderError::MixUp), "{query}");
    }
    let denied = Some(ProviderError::Denied("access_denied"));
    assert_eq!(setup.redeem(&flow, &format!("error=access_denied&iss={own}")).await.err(), denied);
    assert_eq!(setup.redeem(&flow, "error=access_denied").await.err(), denied);
    assert_eq!(setup.redeem(&flow, "error=%3Cscript%3E").await.err(), Some(ProviderError::Denied("other")));
    assert!(setup.issuer.seen("/token").is_empty());
}

/// N13
#[tokio::test]
async fn missing_issuer_is_refused_where_it_is_announced() {
    let setup = Setup::new("").await;
    let mut document = setup.document();
    document["authorization_response_iss_parameter_supported"] = json!(true);
    setup.issuer.answer("/.well-known/openid-configuration", Answer::json(&document));
    let flow = setup.flow();
    for query in ["code=c", "error=access_denied"] {
        assert_eq!(setup.redeem(&flow, query).await.err(), Some(ProviderError::MixUp), "{query}");
    }
    setup.token(&setup.key.sign(&setup.claims(&flow)));
    let own = setup.issuer.url("").replace(':', "%3A");
    assert!(setup.redeem(&flow, &format!("code=c&iss={own}")).await.is_ok());
}

#[tokio::test]
async fn client_authenticates_in_each_way() {
    let setup = Setup::new("token_auth = \"post\"").await;
    setup.sign_in(|_| {}).await.unwrap();
    let request = setup.issuer.seen("/token").remove(0);
    let sent = parameters(&request.body);
    assert_eq!((sent["client_id"].as_str(), sent["client_secret"].as_str()), ("app", "hunter2"));
    assert!(!request.head.to_ascii_lowercase().contains("authorization:"));

    for key in [Key::p256("x"), Key::ed25519("x"), Key::rsa("x")] {
        let pem = key.pem().replace('\n', "\\n");
        let setup = Setup::new("").await;
        let text = format!(
            "[[providers]]\nid = \"sso\"\nissuer = \"{}\"\nclient_id = \"app\"\nprivate_key = \"{pem}\"\n\
             private_key_id = \"mine\"\nalgorithms = [\"ES256\"]\n",
            setup.issuer.url("")
        );
        let setup = Setup { provider: provider(&text, &setup.clock), ..setup };
        setup.sign_in(|_| {}).await.unwrap();
        let sent = parameters(&setup.issuer.seen("/token").remove(0).body);
        assert_eq!(sent["client_assertion_type"], "urn:ietf:params:oauth:client-assertion-type:jwt-bearer");
        // The provider's side: the assertion verifies under the public key, and says what RFC 7523 asks for.
        let mut jwk = key.jwk();
        jwk["kid"] = json!("mine");
        let keys = Keys::parse(json!({ "keys": [jwk] }).to_string().as_bytes()).unwrap();
        let all = SignatureAlgorithm::ALL.map(|(_, algorithm)| algorithm);
        let jws = Jws::parse(&sent["client_assertion"], &all, &["jwt"]).unwrap();
        let claims = jws.verify(&keys).unwrap();
        assert_eq!((&claims["iss"], &claims["sub"]), (&json!("app"), &json!("app")));
        assert_eq!(claims["aud"], json!(setup.issuer.url("")));
        let lifetime = claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap();
        assert!(lifetime == 60 && claims["jti"].as_str().unwrap().len() == 22);
    }
}

#[tokio::test]
async fn missing_claims_come_from_userinfo_of_the_same_subject() {
    let rules = "roles = [{ claim = \"realm.roles\", value = \"ops\", role = \"ops\" }]";
    let setup = Setup::new(rules).await;
    let userinfo =
        json!({ "sub": "0-Ada", "realm": { "roles": ["ops"] }, "email": "evil@example.com", "iss": "evil" });
    setup.issuer.answer("/userinfo", Answer::json(&userinfo));
    let person = setup.sign_in(|_| {}).await.unwrap();
    assert_eq!(person.roles, MappedRoles::Decided(Roles::parse(["ops"]).unwrap()));
    assert_eq!(person.email.unwrap().as_str(), "ada@example.com", "the signed claim counts");
    let request = setup.issuer.seen("/userinfo").remove(0);
    assert!(
        request.head.to_ascii_lowercase().contains("authorization: bearer access-1\r\n"),
        "{}",
        request.head
    );

    for (answer, error) in [
        (Answer::json(&json!({ "sub": "0-ada" })), ProviderError::OtherSubject),
        (Answer::json(&json!({ "realm": {} })), ProviderError::OtherSubject),
        (
            Answer::new(200, "e30.e30."),
            ProviderError::Malformed(Endpoint::UserInfo, "the answer is not a JSON object"),
        ),
        (Answer::new(503, ""), ProviderError::Away(Endpoint::UserInfo, OutboundError::Status(503))),
        (
            Answer::new(307, "").field(&format!("Location: {}", setup.issuer.url("/elsewhere"))),
            ProviderError::Away(Endpoint::UserInfo, OutboundError::Status(307)),
        ),
    ] {
        setup.issuer.answer("/userinfo", answer);
        assert_eq!(setup.sign_in(|_| {}).await.err(), Some(error));
    }
    assert!(setup.issuer.seen("/elsewhere").is_empty(), "N14: redirects are not followed");
}

/// N3, N11, N15
#[tokio::test]
async fn only_verified_addresses_of_the_domain_are_admitted() {
    let setup = Setup::new("allowed_domains = [\"example.com\"]").await;
    let refused = Admission::Refused(NotAdmitted::Domain);
    for (email, verified, admission) in [
        (json!("ada@example.com"), json!(true), Admission::Admitted),
        (json!("ada@EXAMPLE.com"), json!(true), Admission::Admitted),
        (json!("ada@example.com"), json!(false), refused),
        (json!("ada@example.com"), json!(null), refused),
        (json!("ada@example.com"), json!("true"), refused),
        (json!("ada@example.com"), json!(1), refused),
        (json!("ada@sub.example.com"), json!(true), refused),
        (json!("ada@example.com.evil.org"), json!(true), refused),
        (json!("a@evil.org@example.com"), json!(true), refused),
        (json!("\"a@evil.org\"@example.com"), json!(true), refused),
        (json!("ada@example.com."), json!(true), refused),
        (json!("ada@example.com\u{0}"), json!(true), refused),
        (json!("ada@example.com\r\n"), json!(true), refused),
        (json!("ada@ex\u{e4}mple.com"), json!(true), refused),
        (json!("ada@\u{ff45}xample.com"), json!(true), refused),
        (json!("@example.com"), json!(true), refused),
        (json!("example.com"), json!(true), refused),
        (json!(["ada@example.com"]), json!(true), refused),
        (json!({}), json!(true), refused),
    ] {
        let person = setup.sign_in(|claims| {
            claims["email"] = email.clone();
            claims["email_verified"] = verified.clone();
        });
        let person = person.await.unwrap();
        assert_eq!(person.admission, admission, "{email} {verified}");
        assert!(!person.is_email_verified || verified == json!(true), "{verified}");
    }
    setup.issuer.answer("/userinfo", Answer::json(&json!({ "sub": "0-Ada" })));
    let person = setup.sign_in(|claims| drop(claims.as_object_mut().unwrap().remove("email"))).await.unwrap();
    assert_eq!(person.admission, Admission::Undecided(UndecidedClaim::Missing));
    assert_eq!((person.email, person.is_email_verified), (None, false));
}

#[tokio::test]
async fn failure_of_the_token_endpoint_is_told_apart() {
    let setup = Setup::new("").await;
    let flow = setup.flow();
    for (answer, error, reason) in [
        (
            Answer::new(400, r#"{"error":"invalid_grant"}"#),
            ProviderError::InvalidGrant,
            "provider_invalid_grant",
        ),
        (
            Answer::new(401, r#"{"error":"invalid_client"}"#),
            ProviderError::ClientRefused("invalid_client"),
            "provider_client_refused",
        ),
        (
            Answer::new(502, ""),
            ProviderError::Away(Endpoint::Token, OutboundError::Status(502)),
            "provider_status",
        ),
        (
            Answer::json(&json!({ "access_token": "a", "token_type": "bearer" })),
            ProviderError::Malformed(Endpoint::Token, "the answer has no ID token"),
            "provider_response_malformed",
        ),
        (
            Answer::new(200, vec![b' '; 300 << 10]),
            ProviderError::Away(Endpoint::Token, OutboundError::TooLarge(256 << 10)),
            "provider_response_too_large",
        ),
    ] {
        setup.issuer.answer("/token", answer);
        let failure = setup.redeem(&flow, "code=c").await.unwrap_err();
        assert_eq!((failure.reason(), &failure), (reason, &error));
    }
    assert_eq!(setup.issuer.seen("/token").len(), 5, "each code is sent once");
}

#[tokio::test]
async fn end_session_url_returns_here() {
    let setup = Setup::new("").await;
    let token = crate::secret::Secret::new("h.c.s".to_owned());
    let long = crate::secret::Secret::new("x".repeat(4000));
    let url = |id_token| crate::provider::EndSession {
        id_token: Some(id_token),
        logout_hint: Some("ada"),
        return_to: "http://127.0.0.1:8080/auth/bye",
        state: "s",
    };
    let there = setup.provider.end_session(&url(&token)).await;
    let end = there.url.unwrap();
    assert!(
        there.is_reachable
            && end.starts_with(&setup.issuer.url("/logout?x=1&id_token_hint=h.c.s&client_id=app&")),
        "{end}"
    );
    assert_eq!(parameters(&end)["post_logout_redirect_uri"], "http://127.0.0.1:8080/auth/bye");
    let end = setup.provider.end_session(&url(&long)).await.url.unwrap();
    assert!(!end.contains("id_token_hint") && end.contains("client_id=app&logout_hint=ada"), "{end}");
    setup.issuer.answer("/revoke", Answer::new(200, ""));
    setup.provider.revoke(&token).await.unwrap();
    let sent = parameters(&setup.issuer.seen("/revoke").remove(0).body);
    assert_eq!((sent["token"].as_str(), sent["token_type_hint"].as_str()), ("h.c.s", "refresh_token"));
}

/// The gateway's request futures move between threads.
#[tokio::test]
async fn futures_of_a_provider_are_send() {
    fn is_send(future: impl Send) {
        drop(future);
    }
    let setup = Setup::new("").await;
    let (flow, token) = (setup.flow(), crate::secret::Secret::new("t".to_owned()));
    let callback = Callback::parse("state=s&code=c").unwrap();
    let account = crate::provider::Account {
        provider: "sso".parse().unwrap(),
        issuer: String::new(),
        subject: String::new(),
    };
    let end = crate::provider::EndSession { id_token: None, logout_hint: None, return_to: "", state: "" };
    is_send(setup.provider.authorization_url(&flow, CALLBACK, &AuthorizationRequest::default()));
    is_send(setup.provider.redeem(&callback, &flow, CALLBACK));
    is_send(setup.provider.recheck(&token, &account));
    is_send(setup.provider.verify_logout_token("t"));
    is_send(setup.provider.end_session(&end));
    is_send(setup.provider.revoke(&token));
    is_send(setup.provider.test());
}

/// N3: the address of one response and the proof of another.
#[tokio::test]
async fn proof_of_another_address_admits_nobody() {
    let setup = Setup::new("allowed_domains = [\"example.com\"]").await;
    let userinfo = json!({ "sub": "0-Ada", "email": "ada@evil.example", "email_verified": true });
    setup.issuer.answer("/userinfo", Answer::json(&userinfo));
    let person = setup.sign_in(|claims| {
        let claims = claims.as_object_mut().unwrap();
        claims.remove("email_verified");
        claims.remove("name");
    });
    let person = person.await.unwrap();
    assert_eq!(setup.issuer.seen("/userinfo").len(), 1);
    assert_eq!(person.admission, Admission::Refused(NotAdmitted::Domain));
    assert!(!person.is_email_verified);
}
