//! Passkeys in Chromium, with a virtual authenticator: set-up, sign-in, second step, step-up, removal.

use std::time::Duration;

use serde_json::{Value, json};

use crate::chromium::{Browser, Tab};
use crate::flows::{AT_LOGIN, Site, sign_in};
use crate::support::PASSWORD;
use crate::support::gateway::ROUTES;

const STRICT: &str = r#"
[[routes]]
name = "vault"
path = "/page/vault"
access = { factor = "mfa", max_age = "15m" }
upstream = "app"
"#;

async fn site() -> Site {
    Site::like("localhost", |mut setup| {
        setup.routes = format!("{ROUTES}{STRICT}");
        setup
    })
    .await
}

/// Sets a passkey up on the account page, with the name "My laptop".
async fn set_up(site: &Site, tab: &Tab) {
    tab.open(&site.url("/auth/account")).await;
    tab.click("a[href='/auth/passkey']").await;
    tab.until("location.pathname === '/auth/passkey' && document.querySelector('button.passkey')?.offsetParent != null").await;
    tab.fill("#name", "My laptop").await;
    tab.click("button.passkey").await;
    tab.until("document.querySelectorAll('li code').length === 10").await;
    tab.click("a.button.main").await;
    tab.until("location.pathname === '/auth/account' && document.body.innerText.includes('My laptop')").await;
}

async fn sign_out(site: &Site, tab: &Tab) {
    tab.open(&site.url("/auth/logout")).await;
    tab.click("main button").await;
    tab.until("document.title.startsWith('You are signed out')").await;
}

async fn methods(tab: &Tab) -> Value {
    tab.run("fetch('/auth/me').then((r) => r.json()).then((me) => me.amr)").await
}

async fn credentials(tab: &Tab, authenticator: &str) -> Vec<Value> {
    let found = tab.web_authn("WebAuthn.getCredentials", authenticator, json!({})).await;
    found["credentials"].as_array().expect("a list").clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn passkey_is_set_up_and_signs_in_without_a_name() {
    let (site, browser) = (site().await, Browser::start().await);
    let profile = browser.profile().await;
    let tab = site.signed_in(&profile).await;
    let authenticator = tab.authenticator().await;
    set_up(&site, &tab).await;
    tab.open(&site.url("/page")).await;
    assert_eq!(methods(&tab).await, json!(["pwd", "hwk", "user", "mfa"]));
    let made = credentials(&tab, &authenticator).await;
    assert_eq!((made.len(), &made[0]["rpId"]), (1, &json!("localhost")), "{made:?}");
    // The button: without presence the conditional request waits.
    let presence = async |enabled: bool| {
        tab.web_authn(
            "WebAuthn.setAutomaticPresenceSimulation",
            &authenticator,
            json!({ "enabled": enabled }),
        )
        .await;
    };
    presence(false).await;
    sign_out(&site, &tab).await;
    tab.open(&site.url("/page/deep?x=1#there")).await;
    tab.until(AT_LOGIN).await;
    tab.until("document.querySelector('button.passkey')?.offsetParent != null").await;
    presence(true).await;
    tab.click("button.passkey").await;
    tab.until("document.title === 'The app'").await;
    assert_eq!(tab.url().await, site.url("/page/deep?x=1#there"));
    assert_eq!(methods(&tab).await, json!(["hwk", "user", "mfa"]));
    // Conditional: the browser offers it in the field of the name; here its user accepts at once.
    sign_out(&site, &tab).await;
    tab.open(&site.url("/page/again")).await;
    tab.until("document.title === 'The app'").await;
    assert_eq!(tab.url().await, site.url("/page/again"));
}

#[tokio::test(flavor = "multi_thread")]
async fn passkey_is_the_second_factor_and_the_proof_of_a_step_up() {
    let (site, browser) = (site().await, Browser::start().await);
    let profile = browser.profile().await;
    let tab = site.signed_in(&profile).await;
    let authenticator = tab.authenticator().await;
    set_up(&site, &tab).await;
    tab.web_authn("WebAuthn.setAutomaticPresenceSimulation", &authenticator, json!({ "enabled": false }))
        .await;
    sign_out(&site, &tab).await;
    tab.open(&site.url("/page/after")).await;
    sign_in(&tab, PASSWORD).await;
    tab.until("location.pathname === '/auth/login/factor' && document.querySelector('button.passkey')?.offsetParent != null").await;
    tab.web_authn("WebAuthn.setAutomaticPresenceSimulation", &authenticator, json!({ "enabled": true }))
        .await;
    tab.click("button.passkey").await;
    tab.until("document.title === 'The app'").await;
    assert_eq!(tab.url().await, site.url("/page/after"));
    assert_eq!(methods(&tab).await, json!(["pwd", "hwk", "user", "mfa"]));
    site.later(Duration::from_mins(16)).await;
    tab.open(&site.url("/page/vault/x")).await;
    tab.until("location.pathname === '/auth/step-up' && document.querySelector('button.passkey')?.offsetParent != null").await;
    tab.click("button.passkey").await;
    tab.until("document.title === 'The app'").await;
    assert_eq!(tab.url().await, site.url("/page/vault/x"));
}

#[tokio::test(flavor = "multi_thread")]
async fn bogus_signature_is_refused_on_the_page() {
    let (site, browser) = (site().await, Browser::start().await);
    let profile = browser.profile().await;
    let tab = site.signed_in(&profile).await;
    let authenticator = tab.authenticator().await;
    set_up(&site, &tab).await;
    tab.web_authn("WebAuthn.setAutomaticPresenceSimulation", &authenticator, json!({ "enabled": false }))
        .await;
    sign_out(&site, &tab).await;
    // The virtual authenticator answers a waiting request at once, and a page that is shown again would send another form.
    tab.before_pages("PublicKeyCredential.isConditionalMediationAvailable = async () => false").await;
    for bits in [json!({ "isBogusSignature": true }), json!({ "isBadUV": true }), json!({ "isBadUP": true })]
    {
        tab.open(&site.url("/auth/login")).await;
        tab.until("document.querySelector('button.passkey')?.offsetParent != null").await;
        let mut all = json!({ "isBogusSignature": false, "isBadUV": false, "isBadUP": false });
        all.as_object_mut().expect("an object").extend(bits.as_object().expect("an object").clone());
        tab.web_authn("WebAuthn.setResponseOverrideBits", &authenticator, all).await;
        tab.web_authn("WebAuthn.setAutomaticPresenceSimulation", &authenticator, json!({ "enabled": true }))
            .await;
        tab.click("button.passkey").await;
        tab.until("!!document.querySelector('[role=alert]')").await;
        tab.web_authn("WebAuthn.setAutomaticPresenceSimulation", &authenticator, json!({ "enabled": false }))
            .await;
        assert!(tab.text("[role=alert]").await.contains("was not accepted"), "{bits}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn passkey_is_offered_after_a_password_and_removed_on_the_account_page() {
    let (site, browser) = (site().await, Browser::start().await);
    let profile = browser.profile().await;
    let tab = profile.tab().await;
    let authenticator = tab.authenticator().await;
    tab.open(&site.url("/page/first")).await;
    tab.until("document.querySelector('input[name=can_passkey]')?.value === '1'").await;
    sign_in(&tab, PASSWORD).await;
    tab.until("location.pathname === '/auth/passkey' && document.querySelector('button.passkey')?.offsetParent != null").await;
    tab.click("button.passkey").await;
    tab.until("document.querySelectorAll('li code').length === 10").await;
    tab.click("a.button.main").await;
    tab.until("document.title === 'The app'").await;
    assert_eq!(tab.url().await, site.url("/page/first"));
    tab.open(&site.url("/auth/account")).await;
    tab.until("!!document.querySelector(\"form[action='/auth/passkey/remove'] button\")").await;
    assert_eq!(credentials(&tab, &authenticator).await.len(), 1);
    tab.click("form[action='/auth/passkey/remove'] button").await;
    tab.until("location.pathname === '/auth/account' && !document.querySelector(\"form[action='/auth/passkey/remove']\")").await;
    // The passkey that is left on the device is unknown here; password and page work.
    tab.web_authn("WebAuthn.setAutomaticPresenceSimulation", &authenticator, json!({ "enabled": false }))
        .await;
    sign_out(&site, &tab).await;
    tab.open(&site.url("/page/second")).await;
    tab.until("document.querySelector('button.passkey')?.offsetParent != null").await;
    tab.web_authn("WebAuthn.setAutomaticPresenceSimulation", &authenticator, json!({ "enabled": true }))
        .await;
    tab.click("button.passkey").await;
    tab.until("!!document.querySelector('[role=alert]')").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_scripts_there_is_no_passkey_and_the_password_works() {
    let (site, browser) = (site().await, Browser::start().await);
    let profile = browser.profile().await;
    let tab = profile.tab().await;
    tab.authenticator().await;
    tab.scripts(false).await;
    tab.open(&site.url("/page/plain")).await;
    assert_eq!(tab.run("document.querySelector('button.passkey').offsetParent === null").await, true);
    sign_in(&tab, PASSWORD).await;
    tab.until("document.title === 'The app'").await;
}
