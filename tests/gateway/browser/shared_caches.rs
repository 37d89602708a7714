//! Responses for one user stay out of shared caches (F09).

use std::time::Duration;

use super::Browser;
use super::jar::later;
use crate::support::gateway::ROUTES;
use crate::support::{Response, Setup, TestGateway};

const SHARED: &str = "Cache-Control=public,+max-age=60,+s-maxage=600&Expires=Thu%2C+01+Jan+2099+00:00:00+GMT&\
    CDN-Cache-Control=max-age=600&Cloudflare-CDN-Cache-Control=max-age=600&Surrogate-Control=max-age=600&X-Accel-Expires=600&\
    Vary=Accept-Encoding";
/// Cache-control headers that target specific caches.
const TARGETED: [&str; 4] =
    ["cdn-cache-control", "cloudflare-cdn-cache-control", "surrogate-control", "x-accel-expires"];

async fn started() -> TestGateway {
    let routes = "[[routes]]\nname = \"files\"\npath = \"/files\"\naccess = \"signed-in\"\nupstream = \"app\"\nshared_cache = true\n";
    let gateway = TestGateway::with(Setup { routes: format!("{ROUTES}{routes}"), ..Setup::default() }).await;
    gateway.user("ada", &["admin"]).await;
    gateway
}

fn vary(response: &Response) -> String {
    response.all("vary").join(", ").to_lowercase()
}

fn assert_private(response: &Response, what: &str) {
    assert_eq!(response.all("cache-control"), ["private, max-age=60"], "{what}");
    assert_eq!(
        response.header("expires"),
        Some("Thu, 01 Jan 2099 00:00:00 GMT"),
        "{what}: the browser may keep it"
    );
    assert_eq!(vary(response), "accept-encoding, cookie", "{what}");
    for name in TARGETED {
        assert_eq!(response.header(name), None, "{what}");
    }
}

fn assert_as_sent(response: &Response, what: &str) {
    assert_eq!(response.all("cache-control"), ["public, max-age=60, s-maxage=600"], "{what}");
    assert!(TARGETED.iter().all(|name| response.header(name).is_some()), "{what}");
}

#[tokio::test(flavor = "multi_thread")]
async fn response_to_signed_in_request_is_private() {
    let gateway = started().await;
    let mut browser = Browser::signed_in(&gateway, "ada").await;
    let bearer = format!("Bearer {}", gateway.login("ada").await.access);
    for path in ["", "/admin", "/optional"] {
        let target = format!("{path}/fields?{SHARED}");
        assert_private(&browser.fetch(&target).await, &target);
        assert_private(&browser.go(&target).await, &target);
        // RFC 9111 section 3.5: `public` and `s-maxage` would allow shared caches to store these, too.
        assert_private(&gateway.get(&target, &[("Authorization", &bearer)]).await, &target);
    }
    // A response without cache headers may be stored by a shared cache (RFC 9111 section 4.2.2).
    assert_eq!(browser.fetch("/plain").await.all("cache-control"), ["private"]);
    assert_eq!(
        browser
            .fetch("/fields?Cache-Control=no-store&CDN-Cache-Control=public")
            .await
            .header("cdn-cache-control"),
        None
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn public_response_keeps_its_cache_headers() {
    let gateway = started().await;
    let mut browser = Browser::signed_in(&gateway, "ada").await;
    for path in ["/public", "/files"] {
        let target = format!("{path}/fields?{SHARED}");
        let response = browser.fetch(&target).await;
        assert_as_sent(&response, &target);
        assert_eq!(vary(&response), "accept-encoding", "{target}");
    }
    // On an optional route even the anonymous response is private, since a signed-in user gets another.
    let target = format!("/optional/fields?{SHARED}");
    let response = gateway.get(&target, &[]).await;
    assert_as_sent(&response, &target);
    assert_eq!(vary(&response), "accept-encoding, cookie, authorization");
}

#[tokio::test(flavor = "multi_thread")]
async fn renewed_cookie_is_never_shared() {
    let gateway = started().await;
    for path in ["", "/files", "/optional"] {
        let mut browser = Browser::signed_in(&gateway, "ada").await;
        later(&gateway, Duration::from_secs(16 * 60)).await;
        let target = format!("{path}/fields?{SHARED}");
        let response = browser.fetch(&target).await;
        assert!(response.all("set-cookie").len() == 1, "{target}");
        assert_private(&response, &target);
    }
}
