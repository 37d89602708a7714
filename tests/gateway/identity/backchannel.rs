//! OpenID Connect Back-Channel Logout 1.0: the provider ends sessions.

use std::time::Duration;

use doorward::clock::Clock as _;
use doorward::vault::{SessionPage, UserKey};
use serde_json::{Value, json};

use super::{OPEN, World, ada_with};
use crate::browser::{encode, later};
use crate::support::gateway::SOON;
use crate::support::{Response, Socket, TestGateway, assert_eventually, http};

const TARGET: &str = "/auth/providers/sso/backchannel-logout";

async fn post(gateway: &TestGateway, token: &str) -> Response {
    post_form(gateway, &[("logout_token", token)], "application/x-www-form-urlencoded").await
}

async fn post_form(gateway: &TestGateway, fields: &[(&str, &str)], kind: &str) -> Response {
    let fields: Vec<_> =
        fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let headers = [("Content-Type", kind)];
    http::request(gateway.address(), "POST", TARGET, &headers, encode(&fields).as_bytes()).await
}

async fn sessions(world: &World, login: &str) -> usize {
    let key = UserKey::Login(login.parse().expect("a login name"));
    let user = world.gateway.vault.users.find(&key).await.expect("an answer").expect("the user");
    world.gateway.vault.sessions.list(Some(user.id), SessionPage::first(9)).await.expect("a page").len()
}

/// Asserts the response to a bad token (section 2.8).
fn assert_refused(response: &Response, what: &str) {
    assert_eq!(response.status, 400, "{what}: {}", response.text());
    assert_eq!(response.header("cache-control"), Some("no-store"), "{what}");
    let problem = response.json();
    assert_eq!(
        (problem["code"].as_str(), problem["error"].as_str()),
        (Some("logout_token_invalid"), Some("invalid_request")),
        "{what}: {problem}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn sign_out_at_the_provider_ends_sessions_and_streams_everywhere() {
    let world = World::with(OPEN).await;
    let other = world.elsewhere(OPEN).await;
    let mut surfer = world.signed_in("ada").await;
    let mut elsewhere = surfer.here.at(&other);
    assert_eq!(elsewhere.fetch("/").await.status, 200);
    let mut sockets = Vec::new();
    for gateway in [&world.gateway, &other] {
        let mut socket = Socket::open(gateway.address(), "/ws", surfer.here.access()).await;
        socket.echo("before").await;
        sockets.push(socket);
    }
    // The person signs out in another app: the provider itself posts the logout token, with the `sid` of this session.
    let page = surfer.go(&format!("{}/session/end", world.provider.issuer())).await;
    surfer.confirm_there(&page).await;
    for socket in &mut sockets {
        socket.until_closed().await;
    }
    assert_eq!((surfer.here.fetch("/").await.status, elsewhere.fetch("/").await.status), (401, 401));
    assert_eq!(sessions(&world, "ada").await, 0);
    let metric = "doorward_provider_logouts_total{outcome=\"ok\",provider=\"sso\"}";
    assert_eventually("the provider got its answer", SOON, async || {
        world.gateway.metric(metric).await >= 1.0
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn logout_by_subject_ends_every_session_of_the_person_once() {
    let world = World::with(OPEN).await;
    let bob = ada_with(&json!({ "preferred_username": "bob", "email": "bob@example.com" }));
    world.provider.put("bob", &bob).await;
    let (mut one, mut two) = (world.signed_in("ada").await, world.signed_in("ada").await);
    let mut bystander = world.signed_in("bob").await;
    let token = world.provider.logout_token(&json!({}), &json!({ "sub": "ada" })).await;
    let ended = post(&world.gateway, &token).await;
    assert_eq!((ended.status, ended.header("cache-control")), (200, Some("no-store")), "{}", ended.text());
    assert_eq!((one.here.fetch("/").await.status, two.here.fetch("/").await.status), (401, 401));
    assert_eq!(bystander.here.fetch("/").await.status, 200);
    // Ada signs in again; the same token, stolen on its way, does nothing any more: here and at another gateway.
    let mut again = world.signed_in("ada").await;
    let other = world.elsewhere(OPEN).await;
    assert_refused(&post(&world.gateway, &token).await, "a replay");
    assert_refused(&post(&other, &token).await, "a replay elsewhere");
    assert_eq!(again.here.fetch("/").await.status, 200);
    // A fresh one, of a person with no session, and of nobody here.
    for subject in ["bob", "bob", "nobody"] {
        let token = world.provider.logout_token(&json!({}), &json!({ "sub": subject })).await;
        assert_eq!(post(&world.gateway, &token).await.status, 200, "{subject}");
    }
    assert_eq!(bystander.here.fetch("/").await.status, 401);
    assert_eq!(again.here.fetch("/").await.status, 200);
    // A session of another session id.
    let claims = json!({ "sub": "ada", "sid": "of another session" });
    let token = world.provider.logout_token(&json!({}), &claims).await;
    assert_eq!(post(&world.gateway, &token).await.status, 200);
    assert_eq!((again.here.fetch("/").await.status, sessions(&world, "ada").await), (200, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn anything_but_a_fresh_logout_token_of_the_provider_is_refused() {
    let world = World::with(OPEN).await;
    let mut surfer = world.signed_in("ada").await;
    let now = world.gateway.clock.wall().secs();
    let event = "http://schemas.openid.net/event/backchannel-logout";
    let bad: Vec<(&str, Value, Value)> = vec![
        ("an ID token", json!({ "typ": "JWT" }), json!({ "nonce": "n", "events": null })),
        ("a nonce", json!({}), json!({ "nonce": "n" })),
        ("no event", json!({}), json!({ "events": null })),
        ("another event", json!({}), json!({ "events": { "https://example.com/event": {} } })),
        ("an event that is no object", json!({}), json!({ "events": { event: "yes" } })),
        ("another issuer", json!({}), json!({ "iss": "https://sso.example.com" })),
        ("another audience", json!({}), json!({ "aud": "another client" })),
        ("a stranger among the audiences", json!({}), json!({ "aud": ["doorward", "another client"] })),
        ("no audience", json!({}), json!({ "aud": null })),
        ("another party", json!({}), json!({ "azp": "another client" })),
        ("no subject and no session", json!({}), json!({ "sub": null })),
        ("no number", json!({}), json!({ "jti": null })),
        ("expired", json!({}), json!({ "iat": now - 700, "exp": now - 600 })),
        ("without expiry, old", json!({}), json!({ "iat": now - 700, "exp": null })),
        ("of the future", json!({}), json!({ "iat": now + 600, "exp": now + 700 })),
        ("an expiry in text", json!({}), json!({ "exp": "9999999999" })),
        ("valid for years", json!({}), json!({ "exp": now + 90_000_000 })),
        ("of another kind", json!({ "typ": "at+jwt" }), json!({})),
        ("unsigned", json!({ "alg": "none" }), json!({})),
        ("another algorithm", json!({ "alg": "HS256" }), json!({})),
        ("an unknown key", json!({ "kid": "of a stranger" }), json!({})),
    ];
    for (what, header, changes) in bad {
        let mut claims = json!({ "sub": "ada" });
        for (name, value) in changes.as_object().expect("an object") {
            claims[name] = value.clone();
        }
        let token = world.provider.logout_token(&header, &claims).await;
        assert_refused(&post(&world.gateway, &token).await, what);
    }
    let good = world.provider.logout_token(&json!({}), &json!({ "sub": "ada" })).await;
    let (start, signature) = good.rsplit_once('.').expect("three parts");
    let other = world.provider.logout_token(&json!({}), &json!({ "sub": "bob" })).await;
    let other = other.rsplit_once('.').expect("three parts").1;
    for forged in [
        format!("{start}."),
        start.to_owned(),
        format!("{start}.{other}"),
        format!("{good}.x"),
        String::new(),
    ] {
        assert_refused(&post(&world.gateway, &forged).await, &forged);
    }
    assert!(!signature.is_empty());
    for fields in [&[][..], &[("token", good.as_str())]] {
        let response = post_form(&world.gateway, fields, "application/x-www-form-urlencoded").await;
        assert_refused(&response, "no logout_token");
    }
    let twice = [("logout_token", good.as_str()), ("logout_token", good.as_str())];
    assert_eq!(post_form(&world.gateway, &twice, "application/x-www-form-urlencoded").await.status, 400);
    assert_eq!(post_form(&world.gateway, &twice[..1], "application/json").await.status, 415);
    assert_eq!(world.gateway.get(TARGET, &[]).await.status, 405);
    assert_eq!(surfer.here.fetch("/").await.status, 200, "none of these ended it");
    // Other fields are ignored (section 2.5).
    let fields = [("state", "x"), ("logout_token", good.as_str())];
    assert_eq!(post_form(&world.gateway, &fields, "application/x-www-form-urlencoded").await.status, 200);
    assert_eq!(surfer.here.fetch("/").await.status, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_keys_make_the_gateway_fetch_keys_once_a_minute() {
    let world = World::with(OPEN).await;
    world.signed_in("ada").await;
    let before = world.fetches_of_keys().await;
    assert!(before >= 1.0, "{before}");
    for round in 0..20 {
        let header = json!({ "kid": format!("stranger-{round}") });
        let token = world.provider.logout_token(&header, &json!({ "sub": "ada" })).await;
        assert_refused(&post(&world.gateway, &token).await, "an unknown key");
    }
    assert!(world.fetches_of_keys().await <= before + 1.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn sign_in_that_was_in_progress_at_a_logout_is_not_completed() {
    let world = World::with(OPEN).await;
    let mut surfer = world.surfer();
    let callback = surfer.up_to_callback("ada", "/").await;
    let mut other_tab = surfer.clone();
    let page = other_tab.go(&format!("{}/session/end", world.provider.issuer())).await;
    other_tab.confirm_there(&page).await;
    let page = surfer.go(&callback).await;
    assert_eq!(page.status, 400, "{}", page.text());
    assert_eq!(surfer.here.fetch("/").await.status, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn sign_in_that_was_in_progress_at_a_logout_by_subject_is_not_completed() {
    let world = World::with(OPEN).await;
    let mut surfer = world.surfer();
    let callback = surfer.up_to_callback("ada", "/").await;
    // An administrator ends all sessions of ada: the token names no session, and the code stays valid.
    let token = world.provider.logout_token(&json!({}), &json!({ "sub": "ada" })).await;
    assert_eq!(post(&world.gateway, &token).await.status, 200);
    let page = surfer.go(&callback).await;
    assert_eq!(page.status, 400, "{}", page.text());
    assert_eq!(surfer.here.fetch("/").await.status, 401);
    // The provider vouches for ada again, by the session that she still has there: that is a sign-in of now.
    let page = surfer.sign_in("ada", "/").await;
    assert_eq!(page.status, 200, "{} {}", surfer.at, page.text());
    assert_eq!(surfer.here.fetch("/").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn logout_is_not_acknowledged_while_the_provider_cannot_be_asked() {
    let mut world = World::with(OPEN).await;
    let token = world.provider.logout_token(&json!({}), &json!({ "sub": "ada" })).await;
    world.provider.stop();
    // Its keys are unknown here: it is to send the token again.
    let response = post(&world.gateway, &token).await;
    assert_eq!((response.status, response.code().as_str()), (503, "store_unavailable"));
}

#[tokio::test(flavor = "multi_thread")]
async fn forged_logout_tokens_of_one_address_are_limited() {
    // Each costs the check of a signature and a line of the log.
    let world = World::with_login(OPEN, "attempts_per_address = 10").await;
    let mut surfer = world.signed_in("ada").await;
    let good =
        async |subject: &str| world.provider.logout_token(&json!({}), &json!({ "sub": subject })).await;
    // Good ones are not: a provider announces thousands.
    for _ in 0..12 {
        assert_eq!(post(&world.gateway, &good("nobody").await).await.status, 200);
    }
    let token = good("ada").await;
    let (start, _) = token.rsplit_once('.').expect("three parts");
    let (_, other) = token.split_at(token.len() - 4);
    let forged = format!("{start}.{}", other.repeat(86));
    let since = world.gateway.clock.monotonic();
    let mut refused = 0;
    let limited = loop {
        let response = post(&world.gateway, &forged).await;
        if response.status == 429 {
            break response;
        }
        assert_refused(&response, "forged");
        refused += 1;
        // One more each second.
        assert!(refused <= 10 + world.gateway.clock.monotonic().since(since).as_secs(), "{refused}");
    };
    assert!(refused >= 10 && limited.header("retry-after").is_some(), "{refused}: {}", limited.text());
    assert_eq!(surfer.here.fetch("/").await.status, 200);
    // The provider sends its token again after that.
    later(&world.gateway, Duration::from_secs(6)).await;
    assert_eq!(post(&world.gateway, &token).await.status, 200);
    assert_eq!(surfer.here.fetch("/").await.status, 401);
}
