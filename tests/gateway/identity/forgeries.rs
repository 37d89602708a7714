//! Forged tokens and faults of each endpoint, over HTTP: nobody is signed in, and the page says why.

mod forger;

use aws_lc_rs::hmac;
use doorward::clock::Clock as _;
use doorward::id::base64url;
use doorward::vault::UserKey;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::browser::Browser;
use crate::support::{Setup, TestGateway};
use forger::{Answer, Begun, Forger, assert_failed, good};

async fn nobody_was_created(gateway: &TestGateway) {
    assert!(gateway.vault.users.list(None, 9).await.expect("a page").is_empty());
    assert!(gateway.app.seen().is_empty());
}

/// Changes members; null removes one.
fn changed(mut value: Value, changes: &Value) -> Value {
    for (name, change) in changes.as_object().expect("an object") {
        match change {
            Value::Null => drop(value.as_object_mut().expect("an object").remove(name)),
            change => value[name] = change.clone(),
        }
    }
    value
}

#[tokio::test(flavor = "multi_thread")]
async fn forged_id_token_signs_nobody_in() {
    // N1, N9, N10, N11, T31 to T37.
    let forger = Forger::start().await;
    let gateway = forger.gateway(&forger.provider("sso", "")).await;
    let issuer = forger.issuer("sso");
    let now = gateway.clock.wall().secs();
    let event = json!({ "http://schemas.openid.net/event/backchannel-logout": {} });
    let forged: Vec<(&str, Value, Value)> = vec![
        ("another issuer", json!({}), json!({ "iss": "https://sso.evil.example" })),
        ("an issuer with a slash", json!({}), json!({ "iss": format!("{issuer}/") })),
        ("an issuer in capitals", json!({}), json!({ "iss": issuer.to_uppercase() })),
        ("no issuer", json!({}), json!({ "iss": null })),
        ("a self-issued token", json!({}), json!({ "iss": "https://self-issued.me" })),
        ("the gateway as issuer", json!({}), json!({ "iss": "http://gateway.test" })),
        ("token of another client", json!({}), json!({ "aud": "another client" })),
        ("a stranger among the audiences", json!({}), json!({ "aud": ["doorward", "another client"] })),
        ("no audience", json!({}), json!({ "aud": null })),
        ("an empty audience", json!({}), json!({ "aud": [] })),
        ("an audience that is a number", json!({}), json!({ "aud": 1 })),
        ("an audience in capitals", json!({}), json!({ "aud": "DOORWARD" })),
        ("another party", json!({}), json!({ "azp": "another client" })),
        ("a party that is a list", json!({}), json!({ "azp": ["doorward"] })),
        ("no nonce", json!({}), json!({ "nonce": null })),
        ("another nonce", json!({}), json!({ "nonce": "of another flow" })),
        ("an empty nonce", json!({}), json!({ "nonce": "" })),
        ("a nonce that is a list", json!({}), json!({ "nonce": ["x"] })),
        ("no subject", json!({}), json!({ "sub": null })),
        ("an empty subject", json!({}), json!({ "sub": "" })),
        ("a subject with a line break", json!({}), json!({ "sub": "ada\nroot" })),
        ("a subject that is a number", json!({}), json!({ "sub": 7 })),
        ("a long subject", json!({}), json!({ "sub": "x".repeat(256) })),
        ("expired", json!({}), json!({ "exp": now - 61 })),
        ("no expiry", json!({}), json!({ "exp": null })),
        ("an expiry in text", json!({}), json!({ "exp": "9999999999" })),
        ("an expiry of long ago", json!({}), json!({ "exp": i64::MIN })),
        ("of the future", json!({}), json!({ "iat": now + 120 })),
        ("of long ago", json!({}), json!({ "iat": now - 3600 })),
        ("no time", json!({}), json!({ "iat": null })),
        ("not valid yet", json!({}), json!({ "nbf": now + 120 })),
        ("of another access token", json!({}), json!({ "at_hash": "AAAAAAAAAAAAAAAAAAAAAA" })),
        ("an access token", json!({ "typ": "at+jwt" }), json!({})),
        ("a logout token", json!({ "typ": "logout+jwt" }), json!({ "events": event, "nonce": null })),
        ("a logout token of no kind", json!({ "typ": null }), json!({ "events": event, "nonce": null })),
        ("a DPoP proof", json!({ "typ": "dpop+jwt" }), json!({})),
        ("no algorithm", json!({ "alg": null }), json!({})),
        ("none", json!({ "alg": "none" }), json!({})),
        ("nOnE", json!({ "alg": "nOnE" }), json!({})),
        ("a symmetric algorithm", json!({ "alg": "HS256" }), json!({})),
        ("another kind of key", json!({ "alg": "RS256" }), json!({})),
        ("an algorithm that is not accepted", json!({ "alg": "ES384" }), json!({})),
        ("a list of algorithms", json!({ "alg": ["ES256"] }), json!({})),
        ("an unknown key", json!({ "kid": "of a stranger" }), json!({})),
        ("a key that is a path", json!({ "kid": "../../dev/null" }), json!({})),
        ("a critical extension", json!({ "crit": ["b64"], "b64": false }), json!({})),
    ];
    for (what, header, claims) in forged {
        let mut begun = Begun::at(&gateway, "sso").await;
        let (good_header, good_claims) = good(&gateway, &issuer, &begun.nonce);
        forger.grant("sso", &forger.sign(&changed(good_header, &header), &changed(good_claims, &claims)));
        let page = begun.back("code=c").await;
        assert_failed(&begun, &page, "provider_failed", what);
    }
    nobody_was_created(&gateway).await;
    // None of it was wrong with the good token.
    let mut begun = Begun::at(&gateway, "sso").await;
    let (header, claims) = good(&gateway, &issuer, &begun.nonce);
    forger.grant("sso", &forger.sign(&header, &claims));
    let signed_in = begun.back("code=c").await;
    assert_eq!((signed_in.status, begun.is_signed_in()), (303, true), "{}", signed_in.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn signature_is_verified_by_a_published_key() {
    let (forger, stranger) = (Forger::start().await, Forger::start().await);
    let gateway = forger.gateway(&forger.provider("sso", "")).await;
    let issuer = forger.issuer("sso");
    // The address of a key in a header is never fetched (T33).
    stranger.answer("evil", "/keys", Answer::json(&json!({ "keys": [stranger.jwk()] })));
    let jku = format!("{}/keys", stranger.issuer("evil"));
    let public = forger.jwk();
    for round in 0..8 {
        let mut begun = Begun::at(&gateway, "sso").await;
        let (header, claims) = good(&gateway, &issuer, &begun.nonce);
        let own = forger.sign(&header, &claims);
        let (message, signature) = own.rsplit_once('.').expect("three parts");
        let (what, token) = match round {
            0 => ("the key of a stranger", stranger.sign(&header, &claims)),
            1 => {
                let embedded = changed(header, &json!({ "jwk": stranger.jwk(), "kid": null }));
                ("a key in the header", stranger.sign(&embedded, &claims))
            }
            2 => {
                let named = changed(header, &json!({ "jku": jku, "x5u": jku }));
                ("the address of a key", stranger.sign(&named, &claims))
            }
            3 => ("no signature", format!("{message}.")),
            4 => ("zeros", format!("{message}.{}", base64url([0; 64]))),
            5 => ("a longer signature", format!("{own}AA")),
            6 => {
                let other = forger.sign(&header, &changed(claims, &json!({ "sub": "root" })));
                let (message, _) = other.rsplit_once('.').expect("three parts");
                ("other claims", format!("{message}.{signature}"))
            }
            _ => {
                // HS256 with the public key as the secret.
                let header = changed(header, &json!({ "alg": "HS256" }));
                let message = format!("{}.{}", base64url(header.to_string()), base64url(claims.to_string()));
                let key = hmac::Key::new(hmac::HMAC_SHA256, public.to_string().as_bytes());
                let tag = hmac::sign(&key, message.as_bytes());
                ("the public key as a secret", format!("{message}.{}", base64url(tag)))
            }
        };
        forger.grant("sso", &token);
        let page = begun.back("code=c").await;
        assert_failed(&begun, &page, "provider_failed", what);
    }
    assert_eq!(stranger.count("evil", "/keys"), 0);
    nobody_was_created(&gateway).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn fault_of_any_endpoint_blocks_nothing_but_its_button() {
    // N14, and the provider away at each step: slow, oversized, redirecting, malformed, closing.
    let forger = Forger::start().await;
    let elsewhere = format!("{}/keys", forger.issuer("elsewhere"));
    forger.answer("elsewhere", "/keys", Answer::json(&json!({ "keys": [forger.jwk()] })));
    let html =
        || Answer::Whole(200, "Content-Type: text/html\r\n".into(), b"<script>alert(1)</script>".to_vec());
    let faults: Vec<(&str, Answer, &str)> = vec![
        ("503", Answer::Whole(503, String::new(), Vec::new()), "provider_away"),
        ("429", Answer::Whole(429, "Retry-After: 1\r\n".into(), Vec::new()), "provider_away"),
        ("redirect", Answer::redirect(&elsewhere), ""),
        ("html", html(), "provider_failed"),
        ("endless", Answer::Endless(b"X-Pad: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n"), ""),
        ("large", Answer::Whole(200, String::new(), vec![b' '; 2 << 20]), ""),
        ("closed", Answer::Raw(b"HTTP/1.1 200 X\r\nContent-Length: 9\r\n\r\n{".to_vec()), "provider_away"),
        ("silent", Answer::Silence, "provider_away"),
    ];
    let (endpoints, drip) = (["/.well-known/openid-configuration", "/keys", "/token"], "drip");
    let mut cases = vec![(drip.to_owned(), "/token", Answer::Drip, "provider_away")];
    for (at, path) in endpoints.into_iter().enumerate() {
        cases.extend(
            faults.iter().map(|(name, answer, code)| (format!("{name}{at}"), path, answer.clone(), *code)),
        );
    }
    // UserInfo is asked where a claim of the ID token is missing.
    for (name, answer, code) in [&faults[0], &faults[2], &faults[3], &faults[5]] {
        cases.push((format!("{name}3"), "/userinfo", answer.clone(), code));
    }
    let tables: String = cases.iter().map(|(name, ..)| forger.provider(name, "")).collect();
    let gateway = std::sync::Arc::new(forger.gateway(&tables).await);
    let forger = std::sync::Arc::new(forger);
    gateway.user("bob", &[]).await;
    let mut attempts = JoinSet::new();
    for (name, path, answer, code) in cases {
        let (gateway, forger) = (std::sync::Arc::clone(&gateway), std::sync::Arc::clone(&forger));
        attempts.spawn(async move {
            if path != "/token" {
                forger.answer(&name, path, answer.clone());
            }
            let mut begun = Begun::at(&gateway, &name).await;
            if path.starts_with("/.well-known") {
                let page = begun.start.clone();
                assert_failed(&begun, &page, code, &format!("{name} {path}"));
                assert!(!begun.browser.cookies.keys().any(|name| name.contains("-flow-")), "{name}");
                return;
            }
            let (header, claims) = good(&gateway, &forger.issuer(&name), &begun.nonce);
            forger.grant(&name, &forger.sign(&header, &changed(claims, &json!({ "name": null }))));
            if path == "/token" {
                forger.answer(&name, path, answer);
            }
            let page = begun.back("code=c").await;
            assert_failed(&begun, &page, code, &format!("{name} {path}"));
            assert!(!page.text().contains("<script>alert"), "{name}: {}", page.text());
            assert_eq!(forger.count(&name, "/token"), 1, "{name}: a code is sent once");
        });
    }
    // Meanwhile others sign in.
    Browser::signed_in(&gateway, "bob").await;
    while let Some(attempt) = attempts.join_next().await {
        attempt.expect("as expected");
    }
    assert_eq!(forger.count("elsewhere", "/keys"), 0, "redirects are not followed");
    assert_eq!(gateway.vault.users.list(None, 9).await.expect("a page").len(), 1, "bob");
}

#[tokio::test(flavor = "multi_thread")]
async fn discovery_that_points_elsewhere_is_refused() {
    // N14: a document that points into the internal network, to another issuer, or to what is no server.
    let forger = Forger::start().await;
    let other = forger.issuer("other");
    let changes = [
        json!({ "issuer": other }),
        json!({ "issuer": "https://sso.evil.example" }),
        json!({ "issuer": null }),
        json!({ "authorization_endpoint": "javascript:alert(1)" }),
        json!({ "authorization_endpoint": "//evil.example/auth" }),
        json!({ "authorization_endpoint": "http://evil.example/auth" }),
        json!({ "authorization_endpoint": "https://user:password@evil.example/" }),
        json!({ "authorization_endpoint": "https://evil.example/\r\nSet-Cookie: a=b" }),
        json!({ "authorization_endpoint": null }),
        json!({ "token_endpoint": "file:///etc/passwd" }),
        json!({ "token_endpoint": "http://10.0.0.1/token" }),
        json!({ "token_endpoint": "http://169.254.169.254/latest/meta-data/" }),
        json!({ "jwks_uri": "http://[fd00::1]/keys" }),
        json!({ "jwks_uri": null }),
        json!({ "userinfo_endpoint": "gopher://127.0.0.1:25/" }),
        json!({ "id_token_signing_alg_values_supported": ["none"] }),
        json!({ "id_token_signing_alg_values_supported": ["HS256"] }),
    ];
    let name = |at: usize| format!("p{at}");
    let tables: String = (0..changes.len()).map(|at| forger.provider(&name(at), "")).collect();
    // An https address that resolves to this machine's network is refused when it is connected to.
    let private = ["https://10.0.0.1/token", "https://127.0.0.2/token", "https://[::ffff:127.0.0.2]/token"];
    let tables =
        (0..private.len()).fold(tables, |tables, at| tables + &forger.provider(&format!("q{at}"), ""));
    let gateway = forger.gateway(&tables).await;
    for (at, change) in changes.iter().enumerate() {
        let document = changed(forger.document(&name(at)), change);
        forger.answer(&name(at), "/.well-known/openid-configuration", Answer::json(&document));
        let begun = Begun::at(&gateway, &name(at)).await;
        let page = begun.start.clone();
        assert_failed(&begun, &page, "provider_failed", &change.to_string());
    }
    for (at, url) in private.into_iter().enumerate() {
        let name = format!("q{at}");
        let document = changed(forger.document(&name), &json!({ "token_endpoint": url }));
        forger.answer(&name, "/.well-known/openid-configuration", Answer::json(&document));
        let mut begun = Begun::at(&gateway, &name).await;
        let page = begun.back("code=c").await;
        assert_failed(&begun, &page, "provider_failed", url);
    }
    nobody_was_created(&gateway).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn text_of_claims_is_shown_as_text() {
    // T52, T67: names are text of strangers, on pages and in the log.
    let forger = Forger::start().await;
    let gateway = forger.gateway(&forger.provider("sso", "")).await;
    let mut begun = Begun::at(&gateway, "sso").await;
    let (header, claims) = good(&gateway, &forger.issuer("sso"), &begun.nonce);
    let evil = "<script>alert(1)</script>\"'><img src=x>";
    let changes = json!({
        "sub": evil, "preferred_username": format!("ada{evil}"), "name": evil, "sid": evil, "email": evil, "amr": [evil],
    });
    forger.grant("sso", &forger.sign(&header, &changed(claims, &changes)));
    assert_eq!(begun.back("code=c").await.status, 303);
    let page = begun.browser.go("/auth/account").await;
    let text = page.text();
    assert!(page.status == 200 && text.contains("You have no other way to sign in"), "{text}");
    assert!(!text.contains("<script>alert") && !text.contains("<img src=x>"), "{text}");
    assert!(text.contains("&#60;script&#62;alert(1)") || text.contains("&lt;script&gt;alert(1)"), "{text}");
    assert_eq!(begun.browser.fetch("/").await.status, 200);
    let user = gateway.app.last().header("x-auth-user").expect("a user");
    assert!(user.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-'), "{user}");
    let key = UserKey::Login(user.parse().expect("a login name"));
    let user = gateway.vault.users.find(&key).await.expect("an answer").expect("the user");
    assert_eq!(user.attributes.email(), None, "no address");
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_callbacks_of_a_new_person_make_one_user() {
    let forger = Forger::start().await;
    let gateway = forger.gateway(&forger.provider("sso", "")).await;
    let mut tabs = Vec::new();
    for tab in 0..8 {
        let begun = Begun::at(&gateway, "sso").await;
        let (header, claims) = good(&gateway, &forger.issuer("sso"), &begun.nonce);
        forger.grant_code("sso", &format!("c{tab}"), &forger.sign(&header, &claims));
        tabs.push(begun);
    }
    let mut callbacks = JoinSet::new();
    for (tab, mut begun) in tabs.into_iter().enumerate() {
        callbacks.spawn(async move {
            let back = begun.back(&format!("code=c{tab}")).await;
            (back.status, begun.browser.fetch("/").await.status)
        });
    }
    assert_eq!(callbacks.join_all().await, [(303, 200); 8]);
    assert_eq!(gateway.vault.users.list(None, 9).await.expect("a page").len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn parallel_void_codes_are_counted_exactly() {
    // N25: the limit holds to the last one, whatever arrives at once.
    let forger = Forger::start().await;
    let routes = format!("{}{}", crate::support::gateway::ROUTES, forger.provider("sso", ""));
    let login = "attempts_per_address = 10".to_owned();
    let gateway = TestGateway::with(Setup { routes, login, ..Setup::default() }).await;
    let void = Answer::Whole(400, String::new(), br#"{"error":"invalid_grant"}"#.to_vec());
    forger.answer("sso", "/token", void);
    let mut flows = Vec::new();
    for _ in 0..60 {
        flows.push(Begun::at(&gateway, "sso").await);
    }
    let since = gateway.clock.monotonic();
    let mut callbacks = JoinSet::new();
    for mut begun in flows {
        callbacks.spawn(async move { begun.back("code=guess").await.status });
    }
    let statuses = callbacks.join_all().await;
    // One more each second.
    let most = 10 + gateway.clock.monotonic().since(since).as_secs() as usize;
    let count = |wanted: u16| statuses.iter().filter(|&&status| status == wanted).count();
    assert!((10..=most).contains(&count(400)), "{most}: {statuses:?}");
    assert_eq!((count(400) + count(429), forger.count("sso", "/token")), (60, count(400)), "{statuses:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_of_a_stranger_cost_one_fetch_a_minute() {
    // A token that names an unknown key makes the gateway fetch the set once a minute at most, and only the set counts.
    let (forger, stranger) = (Forger::start().await, Forger::start().await);
    let gateway = forger.gateway(&forger.provider("sso", "")).await;
    for round in 0..5 {
        let mut begun = Begun::at(&gateway, "sso").await;
        let (header, claims) = good(&gateway, &forger.issuer("sso"), &begun.nonce);
        let header = changed(header, &json!({ "kid": format!("k{}", round + 2) }));
        forger.grant("sso", &stranger.sign(&header, &claims));
        let page = begun.back("code=c").await;
        assert_failed(&begun, &page, "provider_failed", "a key of a stranger");
    }
    assert!(forger.count("sso", "/keys") <= 2, "{}", forger.count("sso", "/keys"));
    nobody_was_created(&gateway).await;
}
