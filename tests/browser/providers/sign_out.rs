//! Sign-out here and at the provider, and the end of a session amid the work.

use std::time::Duration;

use serde_json::json;

use super::{AT_BUTTON, ONLY, OPEN, THERE, World, choose, sign_in_there};
use crate::chromium::Browser;
use crate::flows::is_kept;

#[tokio::test(flavor = "multi_thread")]
async fn only_provider_is_gone_to_at_once_except_after_a_sign_out() {
    let (world, browser) = (World::with(OPEN, ONLY).await, Browser::start().await);
    let profile = browser.profile().await;
    let tab = profile.tab().await;
    // Nobody presses a button.
    tab.open(&world.site.url("/page/one")).await;
    sign_in_there(&tab, "grace").await;
    tab.until("document.title === 'The app'").await;
    assert_eq!(tab.url().await, world.site.url("/page/one"));
    world.sign_out(&tab).await;
    for page in ["/page/two", "/auth/login"] {
        tab.open(&world.site.url(page)).await;
        assert_eq!(tab.run(AT_BUTTON).await, true, "{page}: {}", tab.url().await);
        assert_eq!(tab.run("!!document.querySelector('#password')").await, false);
    }
    // One click, since she is signed in at the provider.
    tab.open(&world.site.url("/page/two")).await;
    choose(&tab).await;
    tab.until("document.title === 'The app'").await;
    assert_eq!(tab.url().await, world.site.url("/page/two"));
}

#[tokio::test(flavor = "multi_thread")]
async fn sign_out_ends_at_the_provider_and_comes_back() {
    let world = World::with(&format!("{OPEN}\nlogout = true"), ONLY).await;
    let browser = Browser::start().await;
    let profile = browser.profile().await;
    let tab = profile.tab().await;
    tab.open(&world.site.url("/page")).await;
    sign_in_there(&tab, "grace").await;
    tab.until("document.title === 'The app'").await;
    world.sign_out(&tab).await;
    assert_eq!(tab.run("location.pathname").await, "/auth/providers/sso/signed-out");
    let ours = profile.cookies().await;
    let mut ours = ours.iter().filter(|cookie| cookie["domain"] == "localhost" && !is_kept(cookie));
    assert!(ours.all(|cookie| cookie["name"] == "__Host-doorward-hold"), "{:?}", profile.cookies().await);
    // The button of the page leads to one that asks, and the provider has forgotten her.
    tab.click("a.button.main").await;
    choose(&tab).await;
    tab.until(THERE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sign_out_at_the_provider_ends_the_session_here() {
    let (world, browser) = (World::with(OPEN, "").await, Browser::start().await);
    let profile = browser.profile().await;
    let tab = world.signed_in(&profile, "/page").await;
    assert_eq!(tab.run("fetch('/notes').then((r) => r.status)").await, 200);
    // Another tab, in which she signs out there. Its page submits itself.
    let other = profile.tab().await;
    other.open(&format!("{}/session/end", world.provider.issuer())).await;
    tab.until("fetch('/notes').then((r) => r.status === 401)").await;
    tab.open(&world.site.url("/page")).await;
    choose(&tab).await;
    tab.until(THERE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn form_post_after_session_end_survives_a_sign_in_at_the_provider() {
    let (world, browser) = (World::with(OPEN, ONLY).await, Browser::start().await);
    let profile = browser.profile().await;
    let tab = profile.tab().await;
    tab.open(&world.site.url("/page")).await;
    sign_in_there(&tab, "grace").await;
    tab.until("document.title === 'The app'").await;
    let span = Duration::from_hours(13);
    world.provider.advance(span).await;
    world.site.later(span).await;
    tab.run("document.querySelector('textarea').value = 'an hour of work'; null").await;
    tab.click("button").await;
    tab.until("location.pathname === '/page/saved' && !!document.querySelector('a.button.main')").await;
    let link = tab.run("document.querySelector('a.button.main').href").await;
    // The button opens a new tab, which the provider signs in without a question.
    let new = profile.tab().await;
    new.open(link.as_str().expect("an address")).await;
    new.until("location.hostname === 'localhost' && !location.pathname.startsWith('/auth/providers')").await;
    assert_eq!(new.run("fetch('/notes').then((r) => r.status)").await, 200, "{}", new.url().await);
    tab.run("history.back(); null").await;
    tab.until("document.title === 'The app'").await;
    assert_eq!(tab.run("document.querySelector('textarea').value").await, json!("an hour of work"));
    tab.click("button").await;
    tab.until("location.pathname === '/page/saved' && document.title === 'The app'").await;
    let saved =
        world.site.gateway.app.seen().into_iter().find(|seen| seen.line().starts_with("POST /page/saved"));
    assert_eq!(saved.expect("the form").body, b"text=an+hour+of+work");
}
