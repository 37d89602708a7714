//! T06, T07, T40: gateway credentials and app credentials.

use crate::refusals::assert_refused;
use crate::support::{Setup, TestGateway};

/// A bearer of another issuer: `{"alg":"none"}.{"iss":"https://other.example"}.x`.
const FOREIGN: &str = "Bearer eyJhbGciOiJub25lIn0.eyJpc3MiOiJodHRwczovL290aGVyLmV4YW1wbGUifQ.x";

async fn gateway_with_a_route_that_forwards_bearers() -> TestGateway {
    let more = "[[routes]]\nname = \"api\"\npath = \"/api\"\naccess = \"signed-in\"\nupstream = \"app\"\nforward_bearer = true\n";
    let gateway =
        TestGateway::with(Setup { routes: Setup::default().routes + more, ..Setup::default() }).await;
    gateway.user("ada", &[]).await;
    gateway
}

#[tokio::test(flavor = "multi_thread")]
async fn bearer_is_stripped_unless_the_route_forwards_it() {
    // T06: an app that never receives the token cannot leak it.
    let gateway = gateway_with_a_route_that_forwards_bearers().await;
    let tokens = gateway.login("ada").await;
    let bearer = format!("Bearer {}", tokens.access);
    for path in ["/", "/public", "/optional"] {
        for scheme in ["Bearer ", "bearer ", "BEARER  "] {
            let value = format!("{scheme}{}", tokens.access);
            assert_eq!(gateway.get(path, &[("Authorization", &value)]).await.status, 200);
            assert_eq!(gateway.app.last().header("authorization"), None, "{path} {scheme}");
        }
    }
    assert_eq!(gateway.get("/api", &[("Authorization", &bearer)]).await.status, 200);
    assert_eq!(gateway.app.last().header("authorization"), Some(bearer));
}

#[tokio::test(flavor = "multi_thread")]
async fn refresh_token_reaches_no_app() {
    // A refresh token gives a whole session away: by mistake in place of the access token, in any form, on any route.
    let gateway = gateway_with_a_route_that_forwards_bearers().await;
    let tokens = gateway.login("ada").await;
    let (refresh, other) = (tokens.refresh, gateway.login("ada").await);
    let cookie = format!("__Host-doorward-access={}", other.access);
    let values = [
        format!("Bearer {refresh}"),
        format!("bearer  {refresh}"),
        format!("Bearer\t{refresh}"),
        // The value of the cookie of a remembered session.
        format!("Bearer {refresh}.r"),
        format!("Bearer {refresh} x"),
        format!("Token {refresh}"),
        format!("Custom id=\"a\", token=\"{refresh}\""),
        refresh.clone(),
    ];
    for value in &values {
        for path in ["/public", "/optional"] {
            assert_eq!(gateway.get(path, &[("Authorization", value)]).await.status, 200, "{path} {value}");
            assert_eq!(gateway.app.last().header("authorization"), None, "{path} {value}");
        }
        for path in ["/", "/api", "/public", "/optional"] {
            let headers = [("Authorization", value.as_str()), ("Cookie", cookie.as_str())];
            assert_eq!(gateway.get(path, &headers).await.status, 200, "{path} {value}");
            assert_eq!(gateway.app.last().header("authorization"), None, "{path} {value}");
        }
    }
    // Alone it signs nobody in.
    let count = gateway.app.seen().len();
    assert_refused(&gateway.get("/", &[("Authorization", &values[0])]).await, 401, "token_invalid");
    assert_eq!(gateway.app.seen().len(), count);
    // An app's own token that looks like one is the app's.
    let last = if refresh.ends_with('A') { "E" } else { "A" };
    let theirs = format!("Bearer {}{last}", &refresh[..refresh.len() - 1]);
    assert_eq!(gateway.get("/public", &[("Authorization", &theirs)]).await.status, 200);
    assert_eq!(gateway.app.last().header("authorization"), Some(theirs));
    // The token of a session that has ended is removed as well.
    gateway.command(&["session", "revoke", "--user", "ada"]).await;
    assert_eq!(gateway.get("/public", &[("Authorization", &values[0])]).await.status, 200);
    assert_eq!(gateway.app.last().header("authorization"), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn revoked_bearer_is_not_forwarded_to_public_apps() {
    let gateway = gateway_with_a_route_that_forwards_bearers().await;
    let tokens = gateway.login("ada").await;
    gateway.clock.advance(std::time::Duration::from_secs(3600));
    for path in ["/public", "/optional"] {
        let response = gateway.call("GET", path, &tokens.access).await;
        assert_eq!(response.status, 200);
        assert_eq!(gateway.app.last().header("authorization"), None, "{path}");
        assert_eq!(gateway.app.last().header("x-auth-user"), None, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn app_credential_passes_beside_gateway_cookie() {
    let gateway = gateway_with_a_route_that_forwards_bearers().await;
    let cookie = format!("__Host-doorward-access={}", gateway.login("ada").await.access);
    for theirs in ["Basic YWRhOnNlY3JldA==", FOREIGN, "Bearer opaque", "Digest username=\"ada\"", "Bearer"] {
        for path in ["/", "/public", "/optional"] {
            let headers = [("Authorization", theirs), ("Cookie", cookie.as_str())];
            assert_eq!(gateway.get(path, &headers).await.status, 200, "{path} {theirs}");
            let seen = gateway.app.last();
            assert_eq!(seen.header("authorization").as_deref(), Some(theirs), "{path}");
            assert_eq!(seen.header("x-auth-user").is_some(), path != "/public", "{path}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn foreign_credential_alone_is_not_a_sign_in() {
    let gateway = gateway_with_a_route_that_forwards_bearers().await;
    assert_refused(&gateway.get("/", &[("Authorization", "Basic YWRhOg==")]).await, 401, "token_missing");
    assert_refused(&gateway.get("/", &[("Authorization", FOREIGN)]).await, 401, "token_invalid");
    assert_eq!(gateway.app.seen().len(), 0);
    for theirs in ["Basic YWRhOg==", FOREIGN] {
        assert_eq!(gateway.get("/public", &[("Authorization", theirs)]).await.status, 200);
        assert_eq!(gateway.app.last().header("authorization").as_deref(), Some(theirs));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_different_credentials_are_refused_on_every_route() {
    // T40.
    let gateway = gateway_with_a_route_that_forwards_bearers().await;
    let (one, other) = (gateway.login("ada").await, gateway.login("ada").await);
    let (bearer, cookie) =
        (format!("Bearer {}", one.access), format!("__Host-doorward-access={}", other.access));
    for path in ["/", "/api", "/optional", "/public"] {
        let refused = gateway.get(path, &[("Authorization", &bearer), ("Cookie", &cookie)]).await;
        assert_refused(&refused, 400, "credentials_conflict");
        let refused = gateway.get(path, &[("Authorization", "Basic YTpi"), ("Authorization", &bearer)]).await;
        assert_refused(&refused, 400, "credentials_conflict");
    }
    assert_eq!(gateway.app.seen().len(), 0);
    let same = format!("__Host-doorward-access={}", one.access);
    assert_eq!(gateway.get("/", &[("Authorization", &bearer), ("Cookie", &same)]).await.status, 200);
    assert_eq!(gateway.app.last().header("authorization"), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn gateway_cookies_are_stripped_and_app_cookies_joined_in_order() {
    // T06.
    let gateway = gateway_with_a_route_that_forwards_bearers().await;
    let first = format!("a=1; __Host-doorward-access={};b=2", gateway.login("ada").await.access);
    let headers =
        [("Cookie", first.as_str()), ("Cookie", "__Host-doorward-refresh=r; c=\"x y\""), ("Cookie", "d")];
    for path in ["/", "/public", "/optional", "/api"] {
        assert_eq!(gateway.get(path, &headers).await.status, 200, "{path}");
        assert_eq!(gateway.app.last().header("cookie").as_deref(), Some("a=1; b=2; c=\"x y\"; d"), "{path}");
    }
    let planted =
        [("Cookie", "__Host-doorward-access=x; __HOST-DOORWARD-ACCESS=y; __host-doorward-refresh=z")];
    assert_eq!(gateway.get("/public", &planted).await.status, 200);
    assert_eq!(gateway.app.last().header("cookie"), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn non_ascii_app_cookie_does_not_affect_others() {
    // RFC 6265 section 5.2: clients return cookie values byte for byte.
    let gateway = gateway_with_a_route_that_forwards_bearers().await;
    let cookie =
        format!("name=Ren\u{e9}e; __Host-doorward-access={}; b=2", gateway.login("ada").await.access);
    for path in ["/", "/public"] {
        assert_eq!(gateway.get(path, &[("Cookie", &cookie)]).await.status, 200, "{path}");
        assert_eq!(gateway.app.last().header("cookie").as_deref(), Some("name=Ren\u{e9}e; b=2"), "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn app_can_set_only_its_own_cookies() {
    // T07.
    let gateway = gateway_with_a_route_that_forwards_bearers().await;
    let tokens = gateway.login("ada").await;
    let response = gateway.call("GET", "/cookie", &tokens.access).await;
    assert_eq!((response.status, response.all("set-cookie")), (200, vec!["app=1; Path=/"]));
}
