//! Authenticator apps and recovery codes on the account page.

use std::time::Duration;

use super::{App, codes_on, enrol, with_app};
use crate::browser::{Browser, hidden, later, with};
use crate::support::TestGateway;

#[tokio::test(flavor = "multi_thread")]
async fn app_is_enrolled_with_a_code_of_it() {
    let gateway = TestGateway::start().await;
    let ada = gateway.user("ada", &[]).await;
    let mut here = Browser::signed_in(&gateway, "ada").await;
    let before = here.access().to_owned();
    let page = here.go("/auth/totp").await;
    let app = App::set_up(&page);
    assert!(page.text().contains("<svg class=\"qr\"") && !page.text().contains("style="), "{}", page.text());
    let fields = hidden(&page);
    for wrong in [app.wrong(&gateway), String::new(), "hello".into()] {
        let refused = here.post("/auth/totp", &with(&fields, "code", &wrong)).await;
        assert!(refused.status == 403 || refused.status == 400, "{wrong:?}: {}", refused.text());
        assert_eq!(App::set_up(&refused).code(&gateway), app.code(&gateway), "the same key again");
    }
    assert!(gateway.vault.factors.of_user(ada).await.expect("factors").totp.is_empty());
    let done = here.post("/auth/totp", &with(&fields, "code", &app.code(&gateway))).await;
    assert_eq!((done.status, codes_on(&done).len()), (200, 10), "{}", done.text());
    assert_eq!(done.header("cache-control"), Some("no-store"));
    // The browser has a session with both factors; the one before has ended.
    assert_ne!(here.access(), before);
    let me = here.fetch("/auth/me").await.text();
    assert!(me.contains("\"mfa\""), "{me}");
    let cookie = format!("__Host-doorward-access={before}");
    assert_eq!(gateway.get("/", &[("Cookie", cookie.as_str())]).await.status, 401);
    // A second app shows no codes again.
    later(&gateway, super::A_STEP).await;
    let (_, codes) = enrol(&gateway, &mut here).await;
    assert!(codes.is_empty());
    let account = here.go("/auth/account").await.text();
    assert_eq!(account.matches("id=\"factor-").count(), 2, "{account}");
    assert!(account.contains("My phone") && account.contains("10 recovery codes are left."), "{account}");
}

#[tokio::test(flavor = "multi_thread")]
async fn secret_of_another_session_or_user_is_not_enrolled() {
    let gateway = TestGateway::start().await;
    gateway.user("ada", &[]).await;
    let bob = gateway.user("bob", &[]).await;
    let mut of_ada = Browser::signed_in(&gateway, "ada").await;
    let page = of_ada.go("/auth/totp").await;
    let app = App::set_up(&page);
    let secret = hidden(&page).into_iter().find(|(name, _)| name == "secret").expect("the secret").1;
    let mut of_bob = Browser::signed_in(&gateway, "bob").await;
    let page = of_bob.go("/auth/totp").await;
    for sealed in [secret.as_str(), "", "AAAA", &"A".repeat(5000)] {
        let fields = with(&with(&hidden(&page), "secret", sealed), "code", &app.code(&gateway));
        let refused = of_bob.post("/auth/totp", &fields).await;
        assert!(refused.status == 403 || refused.status == 400, "{}", refused.text());
    }
    assert!(gateway.vault.factors.of_user(bob).await.expect("factors").totp.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn old_proof_enrols_and_removes_nothing() {
    let gateway = TestGateway::start().await;
    let ada = gateway.user("ada", &[]).await;
    let (mut here, _, _) = with_app(&gateway, "ada").await;
    later(&gateway, Duration::from_secs(601)).await;
    let page = here.go("/auth/totp").await;
    let location = page.header("location").unwrap_or_default().to_owned();
    assert!(page.status == 303 && location.starts_with("/auth/step-up?factor=mfa&return_to="), "{location}");
    let account = here.go("/auth/account").await;
    let csrf: Vec<_> = hidden(&account).into_iter().filter(|(name, _)| name == "csrf").take(1).collect();
    let id = gateway.vault.factors.of_user(ada).await.expect("factors").totp[0].id.to_string();
    for (path, fields) in
        [("/auth/totp/remove", with(&csrf, "id", &id)), ("/auth/recovery-codes", csrf.clone())]
    {
        let asked = here.post(path, &fields).await;
        let location = asked.header("location").unwrap_or_default().to_owned();
        assert!(asked.status == 303 && location.starts_with("/auth/step-up"), "{path}: {}", asked.text());
    }
    let left = gateway.vault.factors.of_user(ada).await.expect("factors");
    assert_eq!((left.totp.len(), left.recovery_codes), (1, 10));
}

#[tokio::test(flavor = "multi_thread")]
async fn removed_app_ends_the_other_sessions_and_its_codes() {
    let gateway = TestGateway::start().await;
    let ada = gateway.user("ada", &[]).await;
    let mut elsewhere = Browser::signed_in(&gateway, "ada").await;
    let (mut here, _, _) = with_app(&gateway, "ada").await;
    let account = here.go("/auth/account").await;
    let csrf: Vec<_> = hidden(&account).into_iter().filter(|(name, _)| name == "csrf").take(1).collect();
    let id = gateway.vault.factors.of_user(ada).await.expect("factors").totp[0].id.to_string();
    let other = here.post("/auth/totp/remove", &with(&csrf, "id", "AAAAAAAAAAAAAAAAAAAAAA")).await;
    assert_eq!(other.status, 404, "{}", other.text());
    let removed = here.post("/auth/totp/remove", &with(&csrf, "id", &id)).await;
    assert_eq!((removed.status, removed.header("location")), (303, Some("/auth/account#factors")));
    assert_eq!((here.fetch("/").await.status, elsewhere.fetch("/").await.status), (200, 401));
    assert_eq!(gateway.vault.factors.of_user(ada).await.expect("factors").recovery_codes, 0);
    // The password alone signs in again.
    Browser::signed_in(&gateway, "ada").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn new_recovery_codes_void_the_old_ones() {
    let gateway = TestGateway::start().await;
    gateway.user("ada", &[]).await;
    let (mut here, _, old) = with_app(&gateway, "ada").await;
    let account = here.go("/auth/account").await;
    let csrf: Vec<_> = hidden(&account).into_iter().filter(|(name, _)| name == "csrf").take(1).collect();
    let page = here.post("/auth/recovery-codes", &csrf).await;
    let new = codes_on(&page);
    assert!(page.status == 200 && new.len() == 10 && new.iter().all(|code| !old.contains(code)));
    let mut there = super::at_second_step(&gateway, "ada", "/auth/login").await;
    assert_eq!(super::enter(&mut there, &old[0]).await.status, 403);
    assert_eq!(super::enter(&mut there, &new[0]).await.status, 303);
    // Without a factor there is nothing to recover.
    gateway.user("bob", &[]).await;
    let mut of_bob = Browser::signed_in(&gateway, "bob").await;
    let account = of_bob.go("/auth/account").await;
    let csrf: Vec<_> = hidden(&account).into_iter().filter(|(name, _)| name == "csrf").take(1).collect();
    assert_eq!(of_bob.post("/auth/recovery-codes", &csrf).await.status, 403);
}

#[tokio::test(flavor = "multi_thread")]
async fn old_session_and_password_change_no_factor_of_its_owner() {
    let gateway = super::strict().await;
    let ada = gateway.user("ada", &["admin"]).await;
    // Signed in before the owner has a second factor.
    let mut thief = Browser::signed_in(&gateway, "ada").await;
    let (_, app, codes) = with_app(&gateway, "ada").await;
    let page = thief.go("/auth/step-up").await;
    assert!(!page.text().contains("name=\"password\""), "{}", page.text());
    let asked =
        thief.post("/auth/step-up", &with(&hidden(&page), "password", crate::support::PASSWORD)).await;
    assert!(asked.status == 403 && asked.text().contains("factor_required"), "{}", asked.text());
    // Its sign-in is recent; that is not enough.
    for path in ["/auth/totp", "/auth/passkey"] {
        let asked = thief.go(path).await;
        let location = asked.header("location").unwrap_or_default().to_owned();
        assert!(asked.status == 303 || path == "/auth/passkey", "{path}: {}", asked.text());
        assert!(
            location.is_empty() || location.starts_with("/auth/step-up?factor=mfa"),
            "{path}: {location}"
        );
    }
    let account = thief.go("/auth/account").await;
    let csrf: Vec<_> = hidden(&account).into_iter().filter(|(name, _)| name == "csrf").take(1).collect();
    let id = gateway.vault.factors.of_user(ada).await.expect("factors").totp[0].id.to_string();
    for (path, fields) in [
        ("/auth/totp", with(&with(&csrf, "secret", "AAAA"), "code", "123456")),
        ("/auth/totp/remove", with(&csrf, "id", &id)),
        ("/auth/recovery-codes", csrf.clone()),
    ] {
        let asked = thief.post(path, &fields).await;
        let location = asked.header("location").unwrap_or_default().to_owned();
        assert!(
            asked.status == 303 && location.starts_with("/auth/step-up?factor=mfa"),
            "{path}: {}",
            asked.text()
        );
    }
    let factors = gateway.vault.factors.of_user(ada).await.expect("factors");
    assert_eq!((factors.totp.len(), factors.recovery_codes), (1, 10));
    assert_eq!(thief.go("/vault").await.status, 303);
    // The owner proves the app, and can do it all.
    let done = thief.post("/auth/step-up", &with(&hidden(&page), "code", &app.code(&gateway))).await;
    assert_eq!(done.status, 303, "{}", done.text());
    assert_eq!(thief.go("/auth/totp").await.status, 200);
    assert_eq!(codes.len(), 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn form_sent_twice_enrols_one_app() {
    let gateway = TestGateway::start().await;
    let ada = gateway.user("ada", &[]).await;
    let mut here = Browser::signed_in(&gateway, "ada").await;
    let page = here.go("/auth/totp").await;
    let fields = with(&hidden(&page), "code", &App::set_up(&page).code(&gateway));
    let (mut one, mut two) = (here.clone(), here.clone());
    let (first, second) = tokio::join!(one.post("/auth/totp", &fields), two.post("/auth/totp", &fields));
    let enrolled = [&first, &second].iter().filter(|response| response.status == 200).count();
    assert_eq!(enrolled, 1, "{} {}", first.text(), second.text());
    assert_eq!(gateway.vault.factors.of_user(ada).await.expect("factors").totp.len(), 1);
}
