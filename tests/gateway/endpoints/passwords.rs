//! Rules for new passwords: the reason of each refusal.

use serde_json::json;

use crate::browser::{Browser, ORIGIN, encode, hidden, with};
use crate::refusals::assert_refused;
use crate::support::{PASSWORD, Response, Setup, TestGateway};

/// A password that the rules accept.
const ACCEPTED: &str = "gentle walrus paints a tower";

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
    let wrong = json!({ "current_password": "not the password", "new_password": ACCEPTED });
    let refused = gateway.post("/auth/password", Some(&tokens.access), &wrong).await;
    assert_refused(&refused, 400, "password_rejected");
    assert_eq!(refused.json()["reason"], "current_password_wrong");
    assert_eq!(gateway.post("/auth/password", Some(&tokens.access), &change(ACCEPTED)).await.status, 200);
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
