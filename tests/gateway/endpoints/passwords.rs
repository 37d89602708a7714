//! Rules for new passwords: the reason of each refusal, and look-ups of leaked passwords.

use serde_json::json;

use crate::browser::{Browser, ORIGIN, encode, hidden, with};
use crate::refusals::assert_refused;
use crate::support::range_api::{RangeApi, Ranges, range_of};
use crate::support::{PASSWORD, Response, Setup, TestGateway};

/// A password that the rules accept.
const LEAKED: &str = "gentle walrus paints a tower";

/// Body of a change from [`PASSWORD`].
fn change(new: &str) -> serde_json::Value {
    json!({ "current_password": PASSWORD, "new_password": new })
}

#[tokio::test(flavor = "multi_thread")]
async fn each_reason_has_a_code_and_a_text_in_json_and_on_the_page() {
    let setup = Setup { login: "[brand]\nname = \"Tower Clinic\"".into(), ..Setup::default() };
    let gateway = TestGateway::with(setup).await;
    let ada = gateway.user("ada.lovelace", &[]).await;
    gateway.describe(ada, "countess77@example.org", true, "Ada King").await;
    let tokens = gateway.login("ada.lovelace").await;
    let mut here = Browser::signed_in(&gateway, "ada.lovelace").await;
    let page = here.go("/auth/password").await;
    for (new, reason, english, german) in [
        ("short", "password_too_short", "is too short", "ist zu kurz"),
        ("password12345678", "password_sequence", "counts as one character", "zählt als ein Zeichen"),
        (
            "passwordpassword",
            "password_repeated",
            "a repetition counts once",
            "eine Wiederholung zählt einmal",
        ),
        (
            "doorward-doorward",
            "password_repeated",
            "a repetition counts once",
            "eine Wiederholung zählt einmal",
        ),
        (
            "Ada.Lovelace1815",
            "password_contains_name",
            "contains your user name",
            "enthält Ihren Benutzernamen",
        ),
        ("countess77harbour", "password_contains_name", "your e-mail address", "Ihre E-Mail-Adresse"),
        (
            "TowerClinic-2024!",
            "password_contains_site",
            "the address of this site",
            "die Adresse dieser Seite",
        ),
        ("passwordstandard", "password_common", "is a common one", "ist verbreitet"),
        ("Sunshine-Football-24", "password_common_words", "made of common words", "aus verbreiteten Wörtern"),
    ] {
        let refused = gateway.post("/auth/password", Some(&tokens.access), &change(new)).await;
        assert_refused(&refused, 400, "password_rejected");
        assert_eq!(refused.json()["reason"], reason, "{new}: {}", refused.text());
        assert!(refused.member("detail").starts_with("the password "), "{}", refused.text());
        let csrf: Vec<_> = hidden(&page).into_iter().filter(|(name, _)| name == "csrf").collect();
        let fields = with(&with(&csrf, "current_password", PASSWORD), "new_password", new);
        for (language, text) in [("en", english), ("de", german)] {
            let shown = submitted(&mut here, &fields, language).await;
            assert_eq!(shown.status, 400, "{new}");
            assert!(shown.text().contains(text), "{new} {language}: {}", shown.text());
        }
    }
    // In JSON a field of more than 1,024 bytes is malformed; on the page it is a password that is too long.
    let long = "violet kettle ".repeat(80);
    let refused = gateway.post("/auth/password", Some(&tokens.access), &change(&long)).await;
    assert_refused(&refused, 400, "request_invalid");
    let csrf: Vec<_> = hidden(&page).into_iter().filter(|(name, _)| name == "csrf").collect();
    let fields = with(&with(&csrf, "current_password", PASSWORD), "new_password", &long);
    for (language, text) in [("en", "is too long"), ("de", "ist zu lang")] {
        let shown = submitted(&mut here, &fields, language).await;
        assert!(shown.status == 400 && shown.text().contains(text), "{}", shown.text());
    }
    let wrong = json!({ "current_password": "not the password", "new_password": LEAKED });
    let refused = gateway.post("/auth/password", Some(&tokens.access), &wrong).await;
    assert_refused(&refused, 400, "password_rejected");
    assert_eq!(refused.json()["reason"], "current_password_wrong");
    assert_eq!(gateway.post("/auth/password", Some(&tokens.access), &change(LEAKED)).await.status, 200);
}

async fn submitted(here: &mut Browser, fields: &[(String, String)], language: &str) -> Response {
    let headers = [
        ("Content-Type", "application/x-www-form-urlencoded"),
        ("Accept", "text/html"),
        ("Accept-Language", language),
        ("Sec-Fetch-Mode", "navigate"),
        ("Sec-Fetch-Site", "same-origin"),
        ("Origin", ORIGIN),
    ];
    here.ask("POST", "/auth/password", &headers, encode(fields).as_bytes()).await
}

/// A gateway that looks passwords up, and a user's access token.
async fn looking_up(api: &RangeApi, timeout: &str) -> (TestGateway, String) {
    let gateway = TestGateway::with(Setup { login: api.settings(timeout), ..Setup::default() }).await;
    gateway.user("ada", &[]).await;
    let access = gateway.login("ada").await.access;
    (gateway, access)
}

async fn counted(gateway: &TestGateway) -> [f64; 3] {
    let of = async |result: &str| {
        gateway.metric(&format!("doorward_breached_password_lookups_total{{result=\"{result}\"}}")).await
    };
    [of("found").await, of("not_found").await, of("unavailable").await]
}

#[tokio::test(flavor = "multi_thread")]
async fn leaked_password_is_refused_and_five_digits_are_sent() {
    let api = RangeApi::with(&[LEAKED]);
    let (gateway, access) = looking_up(&api, "10s").await;
    assert_eq!(api.requests().len(), 0, "a sign-in asks nothing");
    let refused = gateway.post("/auth/password", Some(&access), &change(LEAKED)).await;
    assert_refused(&refused, 400, "password_rejected");
    assert_eq!(refused.json()["reason"], "password_breached");
    let (sent, rest) = range_of(LEAKED);
    let [request] = api.requests().try_into().expect("one request");
    assert!(request.starts_with(&format!("GET /range/{sent} HTTP/1.1\r\n")), "{request}");
    assert!(request.contains("\r\nadd-padding: true\r\n"), "{request}");
    assert!(!request.to_ascii_uppercase().contains(&rest[..5]) && !request.contains("ada"), "{request}");
    // The page has the same reason.
    let mut here = Browser::signed_in(&gateway, "ada").await;
    let page = here.go("/auth/password").await;
    let csrf: Vec<_> = hidden(&page).into_iter().filter(|(name, _)| name == "csrf").collect();
    let fields = with(&with(&csrf, "current_password", PASSWORD), "new_password", LEAKED);
    for (language, text) in [("en", "known from a data breach"), ("de", "aus einem Datenleck bekannt")] {
        let shown = submitted(&mut here, &fields, language).await;
        assert!(shown.status == 400 && shown.text().contains(text), "{}", shown.text());
    }
    // A wrong current password, and a password that the rules refuse, are not looked up.
    let before = api.requests().len();
    let wrong = json!({ "current_password": "not the password", "new_password": LEAKED });
    assert_eq!(gateway.post("/auth/password", Some(&access), &wrong).await.status, 400);
    assert_eq!(gateway.post("/auth/password", Some(&access), &change("passwordpassword")).await.status, 400);
    assert_eq!(api.requests().len(), before);
    assert_eq!(
        gateway.post("/auth/password", Some(&access), &change("another horse, another battery")).await.status,
        200
    );
    assert_eq!(counted(&gateway).await, [3.0, 1.0, 0.0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn password_is_accepted_and_counted_when_the_collection_cannot_answer() {
    let says = |text: &str| Ranges::Says(text.as_bytes().to_vec());
    let (_, rest) = range_of(LEAKED);
    let huge = format!("{rest}:1\r\n").repeat(20_000);
    let ok = |body: &str| says(&format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len()));
    for (what, reaction) in [
        ("silent", Ranges::Silent),
        ("failing", says("HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n")),
        ("too many requests", says("HTTP/1.1 429 Too Many Requests\r\nContent-Length: 0\r\n\r\n")),
        ("redirecting", says("HTTP/1.1 302 Found\r\nLocation: /range/00000\r\nContent-Length: 0\r\n\r\n")),
        ("garbage", ok(&format!("<html>{rest}:1"))),
        ("half a line", ok(&format!("{rest}:1\r\n{}", &rest[..20]))),
        ("no HTTP", says("SSH-2.0-OpenSSH_9.9\r\n")),
        ("cut off", says(&format!("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{rest}:1\r\n"))),
        ("oversized", ok(&huge)),
    ] {
        let api = RangeApi::with(&[LEAKED]);
        api.react(reaction);
        let (gateway, access) = looking_up(&api, if what == "silent" { "200ms" } else { "10s" }).await;
        let changed = gateway.post("/auth/password", Some(&access), &change(LEAKED)).await;
        assert_eq!(changed.status, 200, "{what}: {}", changed.text());
        assert_eq!(api.requests().len(), 1, "{what}");
        assert_eq!(counted(&gateway).await, [0.0, 0.0, 1.0], "{what}");
    }
    let api = RangeApi::with(&[LEAKED]);
    let (gateway, access) = looking_up(&api, "1s").await;
    drop(api);
    assert_eq!(gateway.post("/auth/password", Some(&access), &change(LEAKED)).await.status, 200, "away");
    assert_eq!(counted(&gateway).await, [0.0, 0.0, 1.0]);
}

/// Padding has the count 0, and an empty list is a list.
#[tokio::test(flavor = "multi_thread")]
async fn padding_is_not_a_leaked_password() {
    let (_, rest) = range_of(LEAKED);
    for body in [format!("{rest}:0\r\n"), String::new(), format!("{}:5\n\n", "0".repeat(35))] {
        let api = RangeApi::with(&[]);
        api.react(Ranges::Says(
            format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len()).into_bytes(),
        ));
        let (gateway, access) = looking_up(&api, "10s").await;
        assert_eq!(
            gateway.post("/auth/password", Some(&access), &change(LEAKED)).await.status,
            200,
            "{body}"
        );
        assert_eq!(counted(&gateway).await, [0.0, 1.0, 0.0], "{body}");
    }
}
