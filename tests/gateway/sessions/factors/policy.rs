//! `login.factor`: users who need a second factor.

use std::time::Duration;

use serde_json::json;

use super::{A_STEP, App, codes_on, enrol};
use crate::browser::{Browser, hidden, later, with};
use crate::support::gateway::Setup;
use crate::support::{PASSWORD, Response, TestGateway};

async fn needing(login: &str) -> TestGateway {
    TestGateway::with(Setup { login: login.into(), ..Setup::default() }).await
}

#[tokio::test(flavor = "multi_thread")]
async fn user_without_second_factor_enrols_at_the_next_sign_in() {
    let gateway = needing("factor = \"mfa\"\nfactor_grace = \"0s\"").await;
    gateway.user("ada", &[]).await;
    let mut here = Browser::new(&gateway);
    let response = here.sign_in("ada", PASSWORD, "/auth/login", &[]).await;
    assert_eq!((response.status, response.header("location")), (303, Some("/auth/login/enrol")));
    assert!(!here.cookies.contains_key("__Host-doorward-access"));
    let page = here.go("/auth/login/factor").await;
    assert_eq!(page.header("location"), Some("/auth/login/enrol"), "there is no code to enter");
    let page = here.go("/auth/login/enrol").await;
    let app = App::set_up(&page);
    let fields = hidden(&page);
    let wrong = here.post("/auth/login/enrol", &with(&fields, "code", &app.wrong(&gateway))).await;
    assert_eq!(wrong.status, 403, "{}", wrong.text());
    assert_eq!(App::set_up(&wrong).code(&gateway), app.code(&gateway), "the same key again");
    let done = here.post("/auth/login/enrol", &with(&fields, "code", &app.code(&gateway))).await;
    assert_eq!((done.status, codes_on(&done).len()), (200, 10), "{}", done.text());
    assert_eq!(here.fetch("/").await.status, 200);
    assert!(here.fetch("/auth/me").await.text().contains("\"mfa\""));
    later(&gateway, A_STEP).await;
    let mut again = super::at_second_step(&gateway, "ada", "/auth/login").await;
    assert_eq!(super::enter(&mut again, &app.code(&gateway)).await.status, 303);
    // The last factor stays.
    let account = here.go("/auth/account").await;
    let csrf: Vec<_> = hidden(&account).into_iter().filter(|(name, _)| name == "csrf").take(1).collect();
    let id = account.text().split("name=\"id\" value=\"").nth(1).expect("a factor").to_owned();
    let id = id.split('"').next().unwrap_or_default();
    let refused = here.post("/auth/totp/remove", &with(&csrf, "id", id)).await;
    assert!(refused.status == 403 && refused.text().contains("factor_last"), "{}", refused.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn grace_period_offers_the_enrolment_first() {
    let gateway = needing("factor = \"mfa\"\nfactor_grace = \"7d\"").await;
    gateway.user("ada", &[]).await;
    let mut here = Browser::new(&gateway);
    let response = here.sign_in("ada", PASSWORD, "/auth/login", &[]).await;
    let location = response.header("location").unwrap_or_default().to_owned();
    assert!(location.starts_with("/auth/totp?return_to="), "{location}");
    assert_eq!(here.fetch("/").await.status, 200, "signed in all the same");
    let page = here.go(&location).await;
    assert!(page.text().contains("href=\"/\">Not now"), "{}", page.text());
    later(&gateway, Duration::from_hours(24 * 7)).await;
    let mut late = Browser::new(&gateway);
    let response = late.sign_in("ada", PASSWORD, "/auth/login", &[]).await;
    assert_eq!(response.header("location"), Some("/auth/login/enrol"));
}

#[tokio::test(flavor = "multi_thread")]
async fn only_holders_of_the_roles_need_a_second_factor() {
    let gateway = needing("factor = \"mfa\"\nfactor_roles = [\"admin\"]\nfactor_grace = \"0s\"").await;
    gateway.user("ada", &["admin", "staff"]).await;
    gateway.user("bob", &["staff"]).await;
    Browser::signed_in(&gateway, "bob").await;
    let mut here = Browser::new(&gateway);
    let response = here.sign_in("ada", PASSWORD, "/auth/login", &[]).await;
    assert_eq!(response.header("location"), Some("/auth/login/enrol"));
    let body = json!({ "username": "ada", "password": PASSWORD });
    let refused = gateway.post("/auth/login", None, &body).await;
    assert!(refused.status == 403 && refused.text().contains("factor_not_enrolled"), "{}", refused.text());
}

/// Changes the password on its page, from [`PASSWORD`], and returns the page.
async fn change(here: &mut Browser, new: &str) -> Response {
    let page = here.go("/auth/password").await;
    let csrf: Vec<_> = hidden(&page).into_iter().filter(|(name, _)| name == "csrf").take(1).collect();
    here.post("/auth/password", &with(&with(&csrf, "current_password", PASSWORD), "new_password", new)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn eight_characters_suffice_beside_a_second_factor_that_is_needed() {
    const SHORT: &str = "kX9$vq2L";
    let gateway = needing("factor = \"mfa\"\nfactor_roles = [\"admin\"]\nfactor_grace = \"7d\"").await;
    gateway.user("ada", &["admin"]).await;
    gateway.user("bob", &["staff"]).await;
    let mut ada = Browser::new(&gateway);
    ada.sign_in("ada", PASSWORD, "/auth/login", &[]).await;
    // Until she has one, the password alone signs her in.
    for page in ["/auth/password", "/auth/account"] {
        let page = ada.go(page).await;
        assert!(page.text().contains("minlength=\"15\""), "{}", page.text());
    }
    let refused = change(&mut ada, SHORT).await;
    assert!(refused.status == 400 && refused.text().contains("at least 15 characters"), "{}", refused.text());
    enrol(&gateway, &mut ada).await;
    for page in ["/auth/password", "/auth/account"] {
        let page = ada.go(page).await;
        assert!(page.text().contains("minlength=\"8\""), "{}", page.text());
        assert!(page.text().contains("data-min-length=\"8\""), "{}", page.text());
    }
    for (guessable, reason) in [
        ("kX9$vq2", "at least 8 characters"),
        ("password1", "is a common one"),
        ("Sunshine-7", "made of common words"),
        ("12345678", "counts as one character"),
        ("ada-kx9$q", "contains your user name"),
    ] {
        let refused = change(&mut ada, guessable).await;
        assert!(refused.status == 400 && refused.text().contains(reason), "{guessable}: {}", refused.text());
    }
    let changed = change(&mut ada, SHORT).await;
    assert!(
        changed.status == 200 && changed.text().contains("Your password is changed"),
        "{}",
        changed.text()
    );
    // Bob may remove his, so his password may be alone tomorrow.
    let mut bob = Browser::signed_in(&gateway, "bob").await;
    enrol(&gateway, &mut bob).await;
    let refused = change(&mut bob, SHORT).await;
    assert!(refused.status == 400 && refused.text().contains("at least 15 characters"), "{}", refused.text());
}
