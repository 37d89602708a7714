//! Known browsers can sign in while their account is under attack.

use std::time::Duration;

use doorward::vault::{UserChange, UserKey};
use serde_json::json;

use super::Browser;
use super::jar::{hidden, later, with};
use crate::support::{PASSWORD, Setup, TestGateway};

const DEVICE: &str = "__Secure-doorward-device";
const NEW: &str = "quite another long password";

/// A gateway with two login attempts per address and twenty in total. Ada and Eve have accounts.
async fn gateway() -> TestGateway {
    let setup = Setup { login: "attempts_per_account = 2".into(), ..Setup::default() };
    let gateway = TestGateway::with(setup).await;
    gateway.user("ada", &[]).await;
    gateway.user("eve", &[]).await;
    gateway
}

/// Guesses passwords until the account is throttled.
async fn attack(gateway: &TestGateway) {
    let guess = json!({ "username": "ada", "password": "a wrong password" });
    while gateway.post("/auth/login", None, &guess).await.status != 429 {}
}

/// Exhausts the login attempts, then immediately signs in on a page loaded before. One attempt is free again after six
/// seconds, and a busy machine may take longer than that.
async fn under_attack(gateway: &TestGateway, browser: &mut Browser, name: &str, password: &str) -> u16 {
    let page = browser.go("/auth/login").await;
    assert_eq!(page.status, 200, "{}", page.text());
    let fields = with(&with(&hidden(&page), "username", name), "password", password);
    attack(gateway).await;
    browser.post("/auth/login", &fields).await.status
}

/// The browser without its session, as after signing out.
fn signed_out(browser: &Browser) -> Browser {
    let mut browser = browser.clone();
    browser.cookies.retain(|name, _| !name.ends_with("access") && !name.ends_with("refresh"));
    browser
}

async fn sign_in(browser: &mut Browser, name: &str, password: &str) -> u16 {
    browser.sign_in(name, password, "/auth/login", &[]).await.status
}

#[tokio::test(flavor = "multi_thread")]
async fn known_browser_signs_in_while_strangers_guess_passwords() {
    let gateway = gateway().await;
    let known = Browser::signed_in(&gateway, "ada").await;
    for _ in 0..3 {
        assert_eq!(under_attack(&gateway, &mut signed_out(&known), "ada", PASSWORD).await, 303);
        let mut new = Browser::new(&gateway);
        assert_eq!(under_attack(&gateway, &mut new, "ada", PASSWORD).await, 429, "a new one waits");
        later(&gateway, Duration::from_secs(5)).await;
    }
    // Another account in the same browser.
    let mut shared = signed_out(&known);
    assert_eq!(sign_in(&mut shared, "eve", PASSWORD).await, 303);
    let mut shared = signed_out(&shared);
    assert_eq!(under_attack(&gateway, &mut shared, "ada", PASSWORD).await, 303, "known for both");
}

#[tokio::test(flavor = "multi_thread")]
async fn known_browser_has_the_same_guess_limit() {
    let gateway = gateway().await;
    let known = Browser::signed_in(&gateway, "ada").await;
    let mut owner = signed_out(&known);
    let page = owner.go("/auth/login").await;
    let right = with(&with(&hidden(&page), "username", "ada"), "password", PASSWORD);
    let mut thief = signed_out(&known);
    while sign_in(&mut thief, "ada", "a wrong password").await != 429 {}
    assert_eq!(owner.post("/auth/login", &right).await.status, 429, "its own doing");
    assert_eq!(sign_in(&mut Browser::new(&gateway), "ada", PASSWORD).await, 303, "nobody else's");
    later(&gateway, Duration::from_secs(6)).await;
    assert_eq!(sign_in(&mut signed_out(&known), "ada", PASSWORD).await, 303);
}

#[tokio::test(flavor = "multi_thread")]
async fn foreign_or_forged_device_cookie_grants_nothing() {
    let gateway = gateway().await;
    let eves = Browser::signed_in(&gateway, "eve").await;
    assert_eq!(under_attack(&gateway, &mut signed_out(&eves), "ada", PASSWORD).await, 429);
    let good = Browser::signed_in(&gateway, "eve").await.cookies[DEVICE].clone();
    let (device, stamp) = good.split_once('.').expect("a stamp");
    for forged in
        ["", "x", "x.y", "~~~~", device, &format!("{device}."), &format!("{device}.{}", &stamp[1..])]
    {
        let mut browser = Browser::new(&gateway);
        browser.cookies.insert(DEVICE.into(), forged.into());
        assert_eq!(under_attack(&gateway, &mut browser, "ada", PASSWORD).await, 429, "{forged}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn planted_device_cookie_does_not_disable_the_real_one() {
    let gateway = gateway().await;
    let known = Browser::signed_in(&gateway, "ada").await;
    let mut browser = signed_out(&known);
    let real = browser.cookies.remove(DEVICE).expect("known");
    browser.cookies.insert(format!("{DEVICE}=planted; {DEVICE}"), real);
    assert_eq!(under_attack(&gateway, &mut browser, "ada", PASSWORD).await, 303);
}

#[tokio::test(flavor = "multi_thread")]
async fn password_change_or_disable_invalidates_device_cookies() {
    let gateway = gateway().await;
    let mut here = Browser::signed_in(&gateway, "ada").await;
    let other = Browser::signed_in(&gateway, "ada").await;
    let page = here.go("/auth/password").await;
    let csrf: Vec<_> = hidden(&page).into_iter().filter(|(name, _)| name == "csrf").collect();
    let fields = with(&with(&csrf, "current_password", PASSWORD), "new_password", NEW);
    attack(&gateway).await;
    let changed = here.post("/auth/password", &fields).await;
    assert_eq!(changed.status, 200, "in spite of the attack: {}", changed.text());
    assert_eq!(under_attack(&gateway, &mut signed_out(&other), "ada", NEW).await, 429);
    let mut again = signed_out(&here);
    assert_eq!(
        under_attack(&gateway, &mut again, "ada", NEW).await,
        303,
        "where it was changed, it is known"
    );
    let ada = UserKey::Login("ada".parse().expect("a login"));
    let ada = gateway.vault.users.find(&ada).await.expect("an answer").expect("a user").id;
    for disabled in [true, false] {
        gateway.vault.users.change(ada, &UserChange::Disabled(disabled)).await.expect("changed");
    }
    assert_eq!(under_attack(&gateway, &mut signed_out(&again), "ada", NEW).await, 429);
}

#[tokio::test(flavor = "multi_thread")]
async fn device_cookie_reaches_no_app_and_survives_sign_out() {
    let gateway = gateway().await;
    let mut browser = Browser::signed_in(&gateway, "ada").await;
    assert_eq!(browser.fetch("/").await.status, 200);
    assert_eq!(gateway.app.last().header("cookie"), None);
    let page = browser.go("/auth/logout").await;
    let csrf: Vec<_> = hidden(&page).into_iter().filter(|(name, _)| name == "csrf").collect();
    assert_eq!(browser.post("/auth/logout", &csrf).await.status, 200);
    assert!(browser.cookies.contains_key(DEVICE));
    // At most four accounts, most recent first.
    for name in ["a1", "a2", "a3", "a4", "a5"] {
        gateway.user(name, &[]).await;
        let mut next = signed_out(&browser);
        assert_eq!(sign_in(&mut next, name, PASSWORD).await, 303);
        browser = next;
    }
    assert_eq!(browser.cookies[DEVICE].split('~').count(), 4);
}
