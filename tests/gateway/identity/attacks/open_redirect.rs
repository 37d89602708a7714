//! Open redirects (T49): no parameter of any step leads to another origin.

use crate::browser::ORIGIN;
use crate::identity::{OPEN, World};

/// Targets that browsers, proxies and libraries have taken for another origin.
const PAYLOADS: [&str; 44] = [
    "//evil.example",
    "///evil.example",
    "////evil.example",
    "/\\evil.example",
    "\\evil.example",
    "\\\\evil.example",
    "/\\/evil.example",
    "/%5Cevil.example",
    "%5C%5Cevil.example",
    "%2F%2Fevil.example",
    "%252F%252Fevil.example",
    "/%2Fevil.example",
    "/%09/evil.example",
    "%09//evil.example",
    "/%0A/evil.example",
    "%0A//evil.example",
    "/%0D%0ALocation:https://evil.example",
    "/%0d%0aSet-Cookie:a=b",
    "https:evil.example",
    "https:/evil.example",
    "https://evil.example",
    "HTTPS://evil.example",
    "http://evil.example",
    "https:%2F%2Fevil.example",
    "//evil.example%2F..",
    "/..//evil.example",
    "/.//evil.example",
    "./%2Fevil.example",
    "@evil.example",
    "/@evil.example",
    "//gateway.test@evil.example",
    "https://gateway.test@evil.example",
    "https://gateway.test.evil.example",
    "//gateway.test:80%23@evil.example",
    "javascript:alert(1)",
    "JaVaScRiPt:alert(1)",
    "javascript:%2F%2Fevil.example%0Aalert(1)",
    "data:text/html,x",
    "vbscript:x",
    "//e%76il.example",
    "//%E2%93%94vil.example",
    "//evil%E3%80%82example",
    "/%00//evil.example",
    "%20//evil.example",
];

/// Names under which applications take a place to return to.
const NAMES: [&str; 8] = [
    "return_to",
    "rd",
    "next",
    "redirect",
    "redirect_uri",
    "post_logout_redirect_uri",
    "RelayState",
    "state",
];

#[tokio::test(flavor = "multi_thread")]
async fn no_parameter_of_any_step_leads_elsewhere() {
    let world = World::with(&format!("{OPEN}\nlogout = true")).await;
    let mut surfer = world.signed_in("ada").await;
    let mut stranger = world.surfer();
    let expected_redirect = "redirect_uri=http%3A%2F%2Fgateway.test%2Fauth%2Fproviders%2Fsso%2Fcallback&";
    for payload in PAYLOADS.into_iter().chain(["/", ""]) {
        for name in NAMES {
            let query = format!("?{name}={payload}");
            // Signed in, `start` and the sign-in page go on to the target at once.
            for path in ["/auth/providers/sso/start", "/auth/login", "/auth/logout", "/auth/account"] {
                let response = surfer.visit(&format!("{ORIGIN}{path}{query}")).await;
                let to = response.header("location").unwrap_or("/");
                assert_eq!(to, "/", "{path}{query}: {}", response.status);
                assert!(matches!(response.status, 200 | 303 | 400), "{path}{query}: {}", response.status);
            }
            let back = surfer.visit(&format!("{ORIGIN}/auth/providers/sso/signed-out{query}")).await;
            let to = back.header("location").unwrap_or("/auth/logout");
            assert_eq!(to, "/auth/logout", "{query}: {}", back.status);
            let back =
                surfer.visit(&format!("{ORIGIN}/auth/providers/sso/callback{query}&code=c&iss=x")).await;
            let to = back.header("location").unwrap_or("/");
            assert_eq!(to, "/", "{query}: {}", back.status);
        }
    }
    // A stranger is sent to the provider, with the registered address and nothing of the payload.
    for payload in PAYLOADS {
        for name in ["return_to", "redirect_uri", "post_logout_redirect_uri"] {
            let url = format!("{ORIGIN}/auth/providers/sso/start?{name}={payload}");
            let to = stranger.visit(&url).await;
            if to.status == 400 {
                continue;
            }
            let to = to.header("location").expect("a redirect").to_owned();
            assert!(to.starts_with(&format!("{}/auth?", world.provider.issuer())), "{url}: {to}");
            assert!(to.contains(expected_redirect) && !to.contains("evil"), "{url}: {to}");
            stranger.here.cookies.clear();
        }
    }
    // Nor does the form of the sign-in page.
    let page = stranger.go(&format!("{ORIGIN}/auth/login")).await;
    world.gateway.user("bob", &[]).await;
    for payload in ["//evil.example", "https://evil.example", "/\\evil.example"] {
        let mut browser = stranger.here.clone();
        let fields = crate::browser::with(&crate::browser::hidden(&page), "return_to", payload);
        let fields = crate::browser::with(&fields, "username", "bob");
        let fields = crate::browser::with(&fields, "password", crate::support::PASSWORD);
        let signed_in = browser.post("/auth/login", &fields).await;
        assert_eq!((signed_in.status, signed_in.header("location")), (303, Some("/")), "{payload}");
    }
    assert!(!surfer.trail.is_empty() && surfer.here.cookies.contains_key("__Host-doorward-access"));
}
