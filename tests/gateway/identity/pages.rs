//! The way to the provider: buttons, the address first, a single provider, and a provider that is away.

use serde_json::json;

use super::surfer::{BUTTON, link};
use super::{OPEN, World};
use crate::browser::{Browser, ORIGIN, hidden, with};
use crate::support::PASSWORD;

#[tokio::test(flavor = "multi_thread")]
async fn sign_in_page_offers_password_and_provider() {
    let world = World::with(OPEN).await;
    let mut surfer = world.surfer();
    let page = surfer.go(&format!("{ORIGIN}/reports")).await;
    let text = page.text();
    assert!(text.contains("name=\"password\"") && text.contains("Sign in with Example SSO"), "{text}");
    assert!(text.contains(BUTTON) && hidden(&page).iter().any(|(name, _)| name == "return_to"), "{text}");
    world.gateway.user("bob", &[]).await;
    let by_password = Browser::signed_in(&world.gateway, "bob").await;
    assert!(by_password.cookies.contains_key("__Host-doorward-access"));
}

#[tokio::test(flavor = "multi_thread")]
async fn single_provider_without_passwords_is_gone_to_at_once() {
    let world = World::with_login(OPEN, "password = false").await;
    let mut surfer = world.surfer();
    let page = surfer.go(&format!("{ORIGIN}/reports")).await;
    assert!(page.text().contains("<title>Provider</title>"), "{} {}", surfer.at, page.text());
    let page = surfer.sign_in_there("ada").await;
    assert_eq!((page.status, surfer.at.as_str()), (200, "http://gateway.test/reports"));

    // After a sign-out nobody is signed in again at once.
    let account = surfer.here.go("/auth/account").await;
    assert!(!account.text().contains("name=\"current_password\""), "{}", account.text());
    let confirm = surfer.here.go("/auth/logout").await;
    let out = surfer.submit(&confirm, "/auth/logout", &[]).await;
    assert_eq!(out.status, 200, "{}", out.text());
    let page = surfer.go(&format!("{ORIGIN}/reports")).await;
    assert_eq!((page.status, surfer.at.starts_with(&format!("{ORIGIN}/auth/login"))), (200, true));
    assert!(!page.text().contains("name=\"username\""), "no password: {}", page.text());
    let page = surfer.press(&page).await;
    assert_eq!((page.status, surfer.at.as_str()), (200, "http://gateway.test/reports"), "{}", page.text());
    assert!(!surfer.here.cookies.contains_key("__Host-doorward-hold"));
}

#[tokio::test(flavor = "multi_thread")]
async fn provider_that_always_refuses_is_asked_once() {
    // N2.
    let world = World::with_login(OPEN, "password = false").await;
    let mut surfer = world.surfer();
    surfer.go(&format!("{ORIGIN}/reports")).await;
    let page = surfer.sign_in_there("nobody").await;
    assert_eq!(page.status, 403, "{}", page.text());
    assert!(page.text().contains("provider_denied"), "{}", page.text());
    // `error_description` is a stranger's text.
    assert!(!page.text().contains("nobody of that name"), "{}", page.text());
    surfer.trail.clear();
    let page = surfer.go(&link(&page, "/auth/login")).await;
    assert_eq!((page.status, surfer.trail.len()), (200, 1), "{:?}", surfer.trail);
    let page = surfer.go(&format!("{ORIGIN}/reports")).await;
    assert_eq!((page.status, surfer.trail.iter().any(|url| url.contains("/start"))), (200, false));
    assert!(page.text().contains(BUTTON), "{}", page.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn button_of_a_provider_keeps_the_choice_to_stay_signed_in() {
    let world = World::with(OPEN).await;
    for (chosen, lives) in
        [(&[("provider", "sso")][..], false), (&[("provider", "sso"), ("remember", "on")], true)]
    {
        let mut surfer = world.surfer();
        let page = surfer.go(&format!("{ORIGIN}/reports")).await;
        surfer.submit(&page, "/auth/login", chosen).await;
        surfer.stop_at = Some("/callback?");
        surfer.sign_in_there("ada").await;
        let callback = surfer.at.clone();
        let signed_in = surfer.visit(&callback).await;
        let set = signed_in.all("set-cookie");
        let refresh = set.iter().find(|cookie| cookie.starts_with("__Host-doorward-refresh=")).expect("set");
        assert_eq!(refresh.contains("Max-Age="), lives, "{refresh}");
    }
    // A provider that a reload has removed, and a form of somebody else's page.
    let mut surfer = world.surfer();
    let page = surfer.go(&format!("{ORIGIN}/reports")).await;
    let expired = surfer.submit(&page, "/auth/login", &[("provider", "old")]).await;
    assert!(expired.status == 403 && expired.text().contains("role=\"alert\""), "{}", expired.text());
    let forged = surfer.submit(&page, "/auth/login", &[("provider", "sso"), ("csrf", "x")]).await;
    assert!(forged.status == 403 && surfer.at == ORIGIN, "{}", forged.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn refused_account_can_be_changed_for_another() {
    // The provider knows the browser as eve, and asks nothing by itself.
    for login in ["password = false", "password = true"] {
        let world = World::with_login(&format!("{OPEN}\nallowed_domains = [\"example.com\"]"), login).await;
        world.provider.put("eve", &super::ada_with(&json!({ "email": "eve@evil.example" }))).await;
        let mut surfer = world.surfer();
        let mut page = surfer.go(&format!("{ORIGIN}/reports")).await;
        if !surfer.at.starts_with(&world.provider.issuer()) {
            page = surfer.press(&page).await;
        }
        assert!(page.text().contains("<title>Provider</title>"), "{login}: {}", page.text());
        let page = surfer.sign_in_there("eve").await;
        assert_eq!(page.status, 403, "{login}: {}", page.text());
        assert!(page.text().contains("provider_not_allowed"), "{login}: {}", page.text());
        let page = surfer.go(&link(&page, "/auth/login")).await;
        let page = surfer.press(&page).await;
        assert!(page.text().contains("<title>Provider</title>"), "{login}: {} {}", surfer.at, page.text());
        // It ends the session of eve first.
        let ending = surfer.sign_in_there("ada").await;
        let page = surfer.confirm_there(&ending).await;
        assert_eq!((page.status, surfer.at.as_str()), (200, "http://gateway.test/reports"), "{login}");
        assert!(!surfer.here.cookies.contains_key("__Host-doorward-hold"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sign_in_after_a_failure_leads_to_the_same_page() {
    let world = World::with(OPEN).await;
    let mut surfer = world.surfer();
    // At the start, before anything is known of the provider; then at the callback.
    world.provider.away(true).await;
    let page = surfer.choose("/reports?year=1843").await;
    assert_eq!(page.status, 502, "{}", page.text());
    world.provider.away(false).await;
    // A failure is remembered for a moment.
    world.later(std::time::Duration::from_secs(61)).await;
    let page = surfer.go(&link(&page, "/auth/login")).await;
    surfer.press(&page).await;
    let page = surfer.sign_in_there("nobody").await;
    assert_eq!(page.status, 403, "{}", page.text());
    let page = surfer.go(&link(&page, "/auth/login")).await;
    surfer.press(&page).await;
    let page = surfer.sign_in_there("ada").await;
    assert_eq!((page.status, surfer.at.as_str()), (200, "http://gateway.test/reports?year=1843"));
}

#[tokio::test(flavor = "multi_thread")]
async fn failure_of_the_provider_asks_nobody_for_another_account() {
    let world = World::with(OPEN).await;
    world.signed_in("ada").await;
    let mut surfer = world.surfer();
    let callback = surfer.up_to_callback("ada", "/").await;
    world.provider.away(true).await;
    assert_eq!(surfer.go(&callback).await.status, 502);
    world.provider.away(false).await;
    let page = surfer.choose("/").await;
    assert_eq!(page.status, 200, "the provider knows ada still: {}", page.text());
    assert!(surfer.trail.iter().all(|url| !url.contains("prompt=")), "{:?}", surfer.trail);
}

#[tokio::test(flavor = "multi_thread")]
async fn passwords_are_off_for_forms_and_programs() {
    let mut world = World::with_login(OPEN, "password = true").await;
    world.gateway.user("bob", &[]).await;
    let _reloads = world.gateway.follow();
    let mut browser = Browser::new(&world.gateway);
    let page = browser.go("/auth/login").await;
    world.gateway.reconfigure(|text| text.replace("password = true", "password = false")).await;
    let json = json!({ "username": "bob", "password": PASSWORD });
    let refused = world.gateway.post("/auth/login", None, &json).await;
    assert_eq!((refused.status, refused.code().as_str()), (403, "passwords_off"));
    let fields = with(&with(&hidden(&page), "username", "bob"), "password", PASSWORD);
    let refused = browser.post("/auth/login", &fields).await;
    assert_eq!(refused.status, 403, "{}", refused.text());
    assert!(refused.text().contains("role=\"alert\""), "{}", refused.text());
    assert!(!browser.cookies.contains_key("__Host-doorward-access"));
}

#[tokio::test(flavor = "multi_thread")]
async fn address_chooses_the_provider_before_any_password() {
    let world = World::with(&format!("{OPEN}\nemail_domains = [\"example.com\"]")).await;
    world.gateway.user("bob", &[]).await;
    world.provider.put("ada@EXAMPLE.com", &super::ada()).await;
    let mut surfer = world.surfer();
    let page = surfer.go(&format!("{ORIGIN}/reports")).await;
    assert!(!page.text().contains("name=\"password\""), "{}", page.text());
    assert!(page.text().contains(">User name or e-mail address</label>"), "{}", page.text());
    // The provider is told the address, and asks nothing.
    let page = surfer.submit(&page, "/auth/login", &[("username", "ada@EXAMPLE.com")]).await;
    assert_eq!((page.status, surfer.at.as_str()), (200, "http://gateway.test/reports"), "{}", page.text());
    assert!(
        surfer.trail.iter().any(|url| url.contains("login_hint=ada%40EXAMPLE.com")),
        "{:?}",
        surfer.trail
    );

    let mut surfer = world.surfer();
    let page = surfer.go(&format!("{ORIGIN}/reports")).await;
    let page = surfer.submit(&page, "/auth/login", &[("username", "bob")]).await;
    assert!(page.status == 200 && page.text().contains("name=\"password\""), "{}", page.text());
    assert!(page.text().contains(">User name</label>"), "{}", page.text());
    assert!(page.text().contains("value=\"bob\""), "{}", page.text());
    let page = surfer.submit(&page, "/auth/login", &[("username", "bob"), ("password", PASSWORD)]).await;
    assert_eq!((page.status, surfer.at.as_str()), (200, "http://gateway.test/reports"), "{}", page.text());
    // A look-alike domain chooses nothing.
    for other in [
        "ada@example.com.evil",
        "ada@sub.example.com",
        "example.com",
        "ada@example.org",
        // N15: texts that are no address anywhere else.
        "ada@example.com.",
        "ada@evil.example@example.com",
        "\"ada@evil.example\"@example.com",
        "@example.com",
        "ada @example.com",
        "ada@\u{ff45}xample.com",
        "ada@example.c\u{43e}m",
    ] {
        let mut surfer = world.surfer();
        let page = surfer.go(&format!("{ORIGIN}/auth/login")).await;
        let page = surfer.submit(&page, "/auth/login", &[("username", other)]).await;
        assert!(page.text().contains("name=\"password\""), "{other}: {}", page.text());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn provider_that_is_away_blocks_nothing_but_its_button() {
    let mut world = World::with(OPEN).await;
    world.gateway.user("bob", &[]).await;
    let away = async |world: &World, what: &str| {
        let page = world.surfer().choose("/").await;
        assert_eq!(page.status, 502, "{what}: {}", page.text());
        assert!(page.text().contains("provider_away"), "{what}: {}", page.text());
        Browser::signed_in(&world.gateway, "bob").await;
    };
    world.provider.away(true).await;
    away(&world, "its discovery document fails").await;
    world.provider.away(false).await;
    // A failure is remembered for a moment.
    world.later(std::time::Duration::from_secs(61)).await;
    let mut surfer = world.surfer();
    let callback = surfer.up_to_callback("ada", "/").await;
    world.provider.away(true).await;
    let page = surfer.go(&callback).await;
    assert_eq!(page.status, 502, "the token endpoint fails: {}", page.text());
    world.provider.away(false).await;
    world.signed_in("ada").await;
    world.provider.stop();
    // What is known of it stays known for a while; the browser finds out.
    world.gateway.clock.advance(std::time::Duration::from_secs(48 * 3600));
    crate::browser::later(&world.gateway, std::time::Duration::from_secs(1)).await;
    away(&world, "nothing listens").await;
}
