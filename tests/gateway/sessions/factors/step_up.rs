//! Routes that need a second factor or a recent proof.

use std::time::Duration;

use super::{A_STEP, strict, with_app};
use crate::browser::{Browser, ORIGIN, hidden, later, with};
use crate::support::PASSWORD;

#[tokio::test(flavor = "multi_thread")]
async fn page_view_without_second_factor_is_asked_for_a_code_and_comes_back() {
    let gateway = strict().await;
    gateway.user("ada", &[]).await;
    let mut before = Browser::signed_in(&gateway, "ada").await;
    let (_, app, _) = with_app(&gateway, "ada").await;
    let leaving = before.go("/vault/1?x=%20y").await;
    let location = leaving.header("location").unwrap_or_default().to_owned();
    assert!(
        leaving.status == 303 && location.starts_with("/auth/step-up?factor=mfa&return_to="),
        "{location}"
    );
    let page = before.go(&location).await;
    assert_eq!(page.status, 200, "{}", page.text());
    assert!(!page.text().contains("name=\"password\""), "a password is no second factor: {}", page.text());
    let old = before.access().to_owned();
    let wrong = before.post("/auth/step-up", &with(&hidden(&page), "code", &app.wrong(&gateway))).await;
    assert_eq!(wrong.status, 403, "{}", wrong.text());
    let done = before.post("/auth/step-up", &with(&hidden(&page), "code", &app.code(&gateway))).await;
    assert_eq!((done.status, done.header("location")), (303, Some("/vault/1?x=%20y")), "{}", done.text());
    assert_eq!(before.go("/vault/1?x=%20y").await.status, 200);
    // Session, access token and refresh token are others; the old ones have ended.
    let cookie = format!("__Host-doorward-access={old}");
    assert_eq!(gateway.get("/", &[("Cookie", cookie.as_str())]).await.status, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn program_without_second_factor_gets_the_challenge() {
    let gateway = strict().await;
    gateway.user("ada", &["admin"]).await;
    let tokens = gateway.login("ada").await;
    let refused = gateway.call("GET", "/vault", &tokens.access).await;
    assert_eq!(refused.status, 401, "{}", refused.text());
    let challenge = refused.header("www-authenticate").unwrap_or_default().to_owned();
    assert!(
        challenge.starts_with("Bearer error=\"insufficient_user_authentication\"")
            && challenge.contains("acr_values=\"urn:doorward:acr:mfa\"")
            && !challenge.contains("max_age"),
        "{challenge}"
    );
    assert!(refused.text().contains("\"code\":\"proof_missing\""), "{}", refused.text());
    assert_eq!(gateway.call("GET", "/payroll", &tokens.access).await.status, 200, "signed in just now");
    later(&gateway, Duration::from_secs(901)).await;
    let tokens = crate::support::gateway::Tokens::of(&gateway.refresh(&tokens.refresh).await);
    let refused = gateway.call("GET", "/payroll", &tokens.access).await;
    let challenge = refused.header("www-authenticate").unwrap_or_default().to_owned();
    assert!(
        refused.status == 401 && challenge.contains("max_age=\"900\""),
        "a refresh proves nothing: {challenge}"
    );
    // Whoever lacks the role is not asked for more.
    gateway.user("bob", &[]).await;
    let bob = gateway.login("bob").await;
    later(&gateway, Duration::from_secs(901)).await;
    let bob = crate::support::gateway::Tokens::of(&gateway.refresh(&bob.refresh).await);
    assert_eq!(gateway.call("GET", "/payroll", &bob.access).await.status, 403);
}

#[tokio::test(flavor = "multi_thread")]
async fn old_sign_in_is_renewed_with_the_password() {
    let gateway = strict().await;
    gateway.user("ada", &["admin"]).await;
    let mut here = Browser::signed_in(&gateway, "ada").await;
    assert_eq!(here.go("/payroll").await.status, 200);
    later(&gateway, Duration::from_secs(901)).await;
    let leaving = here.go("/payroll/may").await;
    let location = leaving.header("location").unwrap_or_default().to_owned();
    assert!(leaving.status == 303 && location.starts_with("/auth/step-up?return_to="), "{location}");
    let page = here.go(&location).await;
    let wrong = here.post("/auth/step-up", &with(&hidden(&page), "password", "not it at all, no")).await;
    assert!(wrong.status == 400 && wrong.text().contains("role=\"alert\""), "{}", wrong.text());
    let done = here.post("/auth/step-up", &with(&hidden(&page), "password", PASSWORD)).await;
    assert_eq!((done.status, done.header("location")), (303, Some("/payroll/may")), "{}", done.text());
    assert_eq!(here.go("/payroll/may").await.status, 200);
    // A renewal of the cookie does not move the time.
    later(&gateway, Duration::from_secs(901)).await;
    assert_eq!(here.go("/app").await.status, 200);
    assert_eq!(here.go("/payroll/may").await.status, 303);
}

#[tokio::test(flavor = "multi_thread")]
async fn form_that_needs_more_proof_is_kept_in_its_tab() {
    let gateway = strict().await;
    gateway.user("ada", &[]).await;
    let mut here = Browser::signed_in(&gateway, "ada").await;
    let page = here.post("/vault/transfer", &[("amount".into(), "5".into())]).await;
    assert_eq!(page.status, 401, "{}", page.text());
    let text = page.text();
    assert!(
        text.contains("href=\"/auth/step-up?factor=mfa\"") && text.contains("still in this tab"),
        "{text}"
    );
    assert!(
        gateway.app.seen().iter().all(|seen| !seen.target().starts_with("/vault")),
        "nothing was forwarded"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn user_without_second_factor_enrols_one_and_comes_back() {
    let gateway = strict().await;
    gateway.user("ada", &[]).await;
    let mut here = Browser::signed_in(&gateway, "ada").await;
    let location = here.go("/vault").await.header("location").unwrap_or_default().to_owned();
    let page = here.go(&location).await;
    let text = page.text();
    assert!(text.contains("Set up an authenticator app") && !text.contains("name=\"code\""), "{text}");
    let enrol = text.split("class=\"button main\" href=\"").nth(1).expect("a link");
    let enrol = enrol.split('"').next().unwrap_or_default().replace("&#38;", "&");
    let page = here.go(&enrol).await;
    let app = super::App::set_up(&page);
    let done = here.post("/auth/totp", &with(&hidden(&page), "code", &app.code(&gateway))).await;
    assert!(done.status == 200 && done.text().contains("href=\"/vault\""), "{}", done.text());
    assert_eq!(here.go("/vault").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn step_up_is_guarded_like_every_form() {
    let gateway = strict().await;
    gateway.user("ada", &[]).await;
    let (mut here, app, _) = with_app(&gateway, "ada").await;
    later(&gateway, A_STEP).await;
    let page = here.go("/auth/step-up").await;
    let fields = with(&hidden(&page), "code", &app.code(&gateway));
    let other = [("Origin", "http://evil.example"), ("Sec-Fetch-Site", "cross-site")];
    let refused = here.post_with("/auth/step-up", &fields, &other).await;
    assert_eq!(refused.status, 403, "{}", refused.text());
    let no_token = [("code".to_owned(), app.code(&gateway))];
    let refused = here.post("/auth/step-up", &no_token).await;
    assert_eq!(refused.status, 403, "{}", refused.text());
    for target in ["https://evil.example/", "//evil.example", "/\\evil.example", "javascript:alert(1)"] {
        let page = here.go("/auth/step-up").await;
        let fields = with(&with(&hidden(&page), "code", &app.code(&gateway)), "return_to", target);
        let done = here.post("/auth/step-up", &fields).await;
        assert_eq!(done.header("location").unwrap_or("/"), "/", "{target}: {}", done.text());
        later(&gateway, A_STEP).await;
    }
    assert!(ORIGIN.starts_with("http"));
}
