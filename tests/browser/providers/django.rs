//! django-oauth-toolkit: it asks for consent, and before a sign-out.

use serde_json::json;

use super::{choose, site};
use crate::chromium::Browser;
use crate::identity::Django;
use crate::support::port::free_port;

#[tokio::test(flavor = "multi_thread")]
async fn person_consents_and_signs_out_at_django() {
    let port = free_port();
    let provider = Django::start(&format!("http://localhost:{port}")).await;
    let claims = json!({ "name": "Grace Hopper", "email": "grace@example.com", "groups": [] });
    provider.put("grace", &claims).await;
    let site = site(port, &provider.table("sso", "create_users = \"always\"\nlogout = true"), "").await;
    let browser = Browser::start().await;
    let profile = browser.profile().await;
    let tab = profile.tab().await;
    tab.open(&site.url("/page/deep?x=1")).await;
    choose(&tab).await;
    tab.until("location.hostname === '127.0.0.1' && !!document.querySelector('#id_username')").await;
    tab.fill("#id_username", "grace").await;
    tab.fill("#id_password", "grace").await;
    tab.click("button").await;
    tab.until("!!document.querySelector('input[name=allow]')").await;
    tab.click("input[name=allow]").await;
    tab.until("document.title === 'The app'").await;
    assert_eq!(tab.url().await, site.url("/page/deep?x=1"));
    assert_eq!(site.gateway.app.last().header("x-auth-user").as_deref(), Some("grace"));

    tab.open(&site.url("/auth/logout")).await;
    tab.click("form[action='/auth/logout'] button").await;
    // The form's redirect goes to another site, whose own form comes back.
    tab.until("location.hostname === '127.0.0.1' && !!document.querySelector('input[name=allow]')").await;
    tab.click("input[name=allow]").await;
    tab.until("location.hostname === 'localhost' && document.title.startsWith('You are signed out')").await;
    tab.open(&site.url("/page")).await;
    choose(&tab).await;
    tab.until("location.hostname === '127.0.0.1' && !!document.querySelector('#id_username')").await;
}
