//! Cross-site forms: payments, SAML, `form_post` (F11).

use super::Browser;
use super::jar::{ORIGIN, PAGE, hidden};
use crate::support::gateway::ROUTES;
use crate::support::{Response, Setup, TestGateway};

const BANK: &str = "https://bank.example";
const CROSS_SITE: [(&str, &str); 5] =
    [PAGE[0], PAGE[1], PAGE[2], ("Origin", BANK), ("Sec-Fetch-Site", "cross-site")];
const FORM: (&str, &str) = ("Content-Type", "application/x-www-form-urlencoded");

async fn started() -> TestGateway {
    let route = |name: &str, cross_origin: &str| {
        format!(
            "[[routes]]\nname = \"{name}\"\npath = \"/{name}\"\naccess = \"signed-in\"\nupstream = \"app\"\n\
             cross_origin = \"{cross_origin}\"\n"
        )
    };
    let routes = format!("{ROUTES}{}{}", route("confirmed", "confirm"), route("allowed", "allow"));
    let gateway = TestGateway::with(Setup { routes, ..Setup::default() }).await;
    gateway.user("ada", &[]).await;
    gateway
}

/// Without cookies, as browsers send a cross-site form.
async fn post(gateway: &TestGateway, target: &str, headers: &[(&str, &str)], body: &[u8]) -> Response {
    Browser::new(gateway).ask("POST", target, headers, body).await
}

fn with_form(headers: &[(&'static str, &'static str)]) -> Vec<(&'static str, &'static str)> {
    headers.iter().copied().chain([FORM]).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn cross_site_form_is_resubmitted_after_confirmation() {
    let gateway = started().await;
    let mut browser = Browser::signed_in(&gateway, "ada").await;
    let body = b"order=17&item=a&item=b&note=%22%3Cb%3E%26%22+caf%C3%A9%0D%0A&empty=";
    for path in ["/confirmed/return?x=1&y=%2F", "/allowed/return?x=1&y=%2F"] {
        let page = post(&gateway, path, &with_form(&CROSS_SITE), body).await;
        assert_eq!((page.status, page.header("content-type")), (401, Some("text/html; charset=utf-8")));
        assert_eq!(page.header("x-frame-options"), Some("DENY"));
        let text = page.text();
        assert!(text.contains("https:&#x2f;&#x2f;bank.example") || text.contains(BANK), "{text}");
        assert!(text.contains(&format!("action=\"{}\"", path.replace('&', "&#38;"))), "{text}");
        assert_eq!(gateway.app.heads(), 0, "nothing has reached the app");
        let fields = hidden(&page);
        let names: Vec<&str> = fields.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["order", "item", "item", "note", "empty"]);
    }
    // The confirmed form is same-origin and has the cookies.
    let own = [PAGE[0], PAGE[1], PAGE[2], ("Origin", ORIGIN), ("Sec-Fetch-Site", "same-origin"), FORM];
    assert_eq!(browser.ask("POST", "/confirmed/return?x=1", &own, body).await.status, 200);
    let seen = gateway.app.last();
    assert_eq!((seen.body.as_slice(), seen.header("x-auth-user").as_deref()), (&body[..], Some("ada")));
}

#[tokio::test(flavor = "multi_thread")]
async fn cross_site_form_refusal_names_the_cause() {
    let gateway = started().await;
    let large = format!("a={}", "x".repeat(65 << 10));
    let many = "a=1&".repeat(1001);
    let multipart = "multipart/form-data; boundary=x";
    for (path, kind, body) in [
        // The default of a route.
        ("/app", FORM.1, "a=1"),
        ("/confirmed", multipart, "--x--\r\n"),
        ("/confirmed", "text/plain", "a=1"),
        ("/confirmed", FORM.1, large.as_str()),
        ("/confirmed", FORM.1, many.as_str()),
        ("/confirmed", FORM.1, "a=%ff"),
    ] {
        let headers: Vec<_> = CROSS_SITE.into_iter().chain([("Content-Type", kind)]).collect();
        for _ in 0..2 {
            let page = post(&gateway, path, &headers, body.as_bytes()).await;
            assert_eq!(page.status, 401, "{path} {kind}");
            let text = page.text();
            assert!(!text.contains("<form") && !text.contains("session had ended"), "{path} {kind} {text}");
            assert!(text.contains("bank.example") && text.contains("href=\"/\""), "{path} {kind} {text}");
        }
    }
    assert_eq!(gateway.app.heads(), 0);
    // A same-origin page with an ended session gets the session error.
    let own = [PAGE[0], PAGE[1], PAGE[2], ("Origin", ORIGIN), ("Sec-Fetch-Site", "same-origin"), FORM];
    assert!(post(&gateway, "/confirmed", &own, b"a=1").await.text().contains("session had ended"));
    // A script gets the response for scripts.
    let script = [
        ("Accept", "*/*"),
        ("Sec-Fetch-Mode", "cors"),
        ("Origin", BANK),
        ("Sec-Fetch-Site", "cross-site"),
        FORM,
    ];
    assert_eq!(post(&gateway, "/confirmed", &script, b"a=1").await.code(), "token_missing");
    // A form in a cross-site frame gets no button.
    let framed = [
        PAGE[0],
        PAGE[1],
        ("Sec-Fetch-Dest", "iframe"),
        ("Origin", BANK),
        ("Sec-Fetch-Site", "cross-site"),
        FORM,
    ];
    assert!(!post(&gateway, "/confirmed", &framed, b"a=1").await.text().contains("<form"));
}

#[tokio::test(flavor = "multi_thread")]
async fn form_of_sibling_host_needs_confirmation_despite_cookies() {
    let gateway = started().await;
    let mut browser = Browser::signed_in(&gateway, "ada").await;
    let sibling = [
        PAGE[0],
        PAGE[1],
        PAGE[2],
        ("Origin", "http://b.gateway.test"),
        ("Sec-Fetch-Site", "same-site"),
        FORM,
    ];
    for (path, status, has_form) in
        [("/app", 403, false), ("/confirmed", 403, true), ("/allowed", 200, false)]
    {
        let answer = browser.ask("POST", path, &sibling, b"a=1").await;
        assert_eq!((answer.status, answer.text().contains("<form")), (status, has_form), "{path}");
    }
}
