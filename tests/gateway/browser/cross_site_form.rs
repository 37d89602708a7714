//! Cross-site forms: payments, SAML, `form_post` (F11).

use super::Browser;
use super::jar::{ORIGIN, PAGE, hidden};
use crate::support::gateway::ROUTES;
use crate::support::{PASSWORD, Response, Setup, TestGateway};

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

/// As a browser posts a form into a frame.
fn framed(origin: &'static str, site: &'static str) -> [(&'static str, &'static str); 6] {
    [PAGE[0], PAGE[1], ("Sec-Fetch-Dest", "iframe"), ("Origin", origin), ("Sec-Fetch-Site", site), FORM]
}

/// The page says what became of the form, and every link on it leads out of the frame.
fn assert_says(page: &Response, status: u16, text: &str, what: &str) {
    assert_eq!(page.status, status, "{what}");
    let html = page.text();
    assert!(html.contains(text), "{what}: {html}");
    assert!(html.contains("has received nothing") && html.contains("nothing was stored"), "{what}: {html}");
    assert!(!html.contains("cannot be used inside") && !html.contains("<form"), "{what}: {html}");
    let (links, new_tabs) = (html.matches("<a ").count(), html.matches("target=\"_blank\"").count());
    assert!(links == 1 && new_tabs == 1, "{what}: {html}");
    let policy = page.header("content-security-policy").expect("a policy");
    assert!(page.header("x-frame-options").is_none() && policy.contains("form-action 'none'"), "{what}");
}

#[tokio::test(flavor = "multi_thread")]
async fn framed_form_refusal_names_the_reason() {
    let gateway = started().await;
    let mut browser = Browser::signed_in(&gateway, "ada").await;
    let mut ended = browser.clone();
    let csrf: Vec<_> = hidden(&browser.go("/auth/logout").await).into_iter().take(1).collect();
    assert_eq!(browser.post("/auth/logout", &csrf).await.status, 200);
    // The session has ended: people sign in in a new tab, and are led to the page of the form.
    let own = framed(ORIGIN, "same-origin");
    let with_page: Vec<_> = own.into_iter().chain([("Referer", "http://gateway.test/form?x=1")]).collect();
    for path in ["/app", "/confirmed", "/allowed"] {
        let page = ended.ask("POST", path, &with_page, b"a=1").await;
        assert_says(&page, 401, "Your session had ended.", path);
        let link =
            page.text().split("href=\"").find(|part| part.starts_with("/auth/login")).map(str::to_owned);
        let link = link.expect("a link").split('"').next().expect("its end").replace("&#38;", "&");
        let back = Browser::new(&gateway).sign_in("ada", PASSWORD, &link, &[]).await;
        assert_eq!(back.header("location"), Some("/form?x=1"), "{path}");
    }
    let nobody = post(&gateway, "/app", &own, b"a=1").await;
    assert_says(&nobody, 401, "came without your sign-in", "no cookies");
    // A page of another site has the form.
    for path in ["/app", "/confirmed", "/allowed"] {
        let page = post(&gateway, path, &framed(BANK, "cross-site"), b"a=1").await;
        assert_says(&page, 401, "leave your sign-in out of forms that another site sends", path);
        assert!(page.text().contains("href=\"/\"") && page.text().contains("bank.example"), "{path}");
    }
    // Another host of the same site has it, with the cookies.
    let mut browser = Browser::signed_in(&gateway, "ada").await;
    let sibling = framed("http://b.gateway.test", "same-site");
    let page = browser.ask("POST", "/confirmed", &sibling, b"a=1").await;
    assert_says(&page, 403, "not passed on unseen", "sibling");
    let page = post(&gateway, "/confirmed", &sibling, b"a=1").await;
    assert_says(&page, 401, "You are not signed in, or your session had ended", "sibling without a session");
    assert_eq!(gateway.app.heads(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn form_of_another_origin_is_told_the_reason_that_holds() {
    let gateway = started().await;
    let mut browser = Browser::signed_in(&gateway, "ada").await;
    let left_out = "leave your sign-in out of forms";
    let sibling = [
        PAGE[0],
        PAGE[1],
        PAGE[2],
        ("Origin", "http://b.gateway.test"),
        ("Sec-Fetch-Site", "same-site"),
        FORM,
    ];
    let page = browser.ask("POST", "/confirmed", &sibling, b"a=1").await;
    assert!(
        page.text().contains("not passed on unseen") && !page.text().contains(left_out),
        "{}",
        page.text()
    );
    let page = post(&gateway, "/confirmed", &sibling, b"a=1").await;
    assert!(
        page.text().contains("You are not signed in") && !page.text().contains(left_out),
        "{}",
        page.text()
    );
    let page = post(&gateway, "/confirmed", &with_form(&CROSS_SITE), b"a=1").await;
    assert!(page.text().contains(left_out), "{}", page.text());
    // A user who confirms without any session gets no message about an ended session.
    let own = [PAGE[0], PAGE[1], PAGE[2], ("Origin", ORIGIN), ("Sec-Fetch-Site", "same-origin"), FORM];
    let page = post(&gateway, "/confirmed", &own, b"a=1").await;
    assert!(page.text().contains("You are not signed in, or your session had ended."), "{}", page.text());
    // A route without confirmation leads to the app at least.
    let page = browser.ask("POST", "/app", &sibling, b"a=1").await;
    assert_eq!(page.status, 403);
    assert!(page.text().contains("class=\"button main\" href=\"/\""), "{}", page.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn form_with_its_charset_is_sent_once_more() {
    let gateway = started().await;
    let page = post(&gateway, "/confirmed", &with_form(&CROSS_SITE), b"a=1&_charset_=utf-8").await;
    assert_eq!(hidden(&page).len(), 2, "{}", page.text());
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
        let response = browser.ask("POST", path, &sibling, b"a=1").await;
        assert_eq!((response.status, response.text().contains("<form")), (status, has_form), "{path}");
    }
}
