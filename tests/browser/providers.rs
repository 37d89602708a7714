//! Sign-in at an identity provider in a browser. The gateway is at `localhost` and the provider at `127.0.0.1`, which are two
//! sites to it: each step between them is cross-site.

mod accounts;
mod django;
mod sign_out;

use std::time::Duration;

use serde_json::{Value, json};

use crate::chromium::{Browser, Profile, Tab};
use crate::flows::Site;
use crate::identity::Provider;
use crate::support::gateway::ROUTES;
use crate::support::port::free_port;
use crate::support::{PASSWORD, Setup};

/// Settings of a provider whose people get an account.
const OPEN: &str = "create_users = \"always\"";
/// Setting of `[login]`: nobody signs in with a password.
const ONLY: &str = "password = false";

/// Script that tests whether a tab shows the page of the provider that asks for a name.
const THERE: &str =
    "location.hostname === '127.0.0.1' && document.title === 'Provider' && !!document.querySelector('input')";
/// The button of the provider on the sign-in page.
const BUTTON: &str = "button[name=provider][value=sso]";
/// Script that tests whether a tab shows the sign-in page with the button.
const AT_BUTTON: &str =
    "location.pathname === '/auth/login' && !!document.querySelector('button[name=provider][value=sso]')";

/// A provider with a person `grace`, and a gateway with a user `ada`.
struct World {
    provider: Provider,
    site: Site,
}

impl World {
    /// Starts both. `more` are lines of the provider's table, `login` of `[login]`.
    async fn with(more: &str, login: &str) -> Self {
        let port = free_port();
        let origin = format!("http://localhost:{port}");
        let provider = Provider::start(&origin, port).await;
        let claims = json!({ "preferred_username": "grace", "name": "Grace Hopper" });
        provider.put("grace", &claims).await;
        let site = site(port, &provider.table("sso", more), login).await;
        Self { provider, site }
    }

    /// A tab on a page of the app, in which grace has signed in by the button.
    async fn signed_in(&self, profile: &Profile<'_>, page: &str) -> Tab {
        let tab = profile.tab().await;
        tab.open(&self.site.url(page)).await;
        choose(&tab).await;
        sign_in_there(&tab, "grace").await;
        tab.until("document.title === 'The app'").await;
        tab
    }

    /// Signs out on the page that asks, at the provider as well if it is so configured.
    async fn sign_out(&self, tab: &Tab) {
        tab.open(&self.site.url("/auth/logout")).await;
        tab.click("form[action='/auth/logout'] button").await;
        let back = "location.hostname === 'localhost' && document.title.startsWith('You are signed out')";
        tab.until(back).await;
    }

    /// Login name of the user whose request the app received last.
    fn user(&self) -> Option<String> {
        self.site.gateway.app.last().header("x-auth-user")
    }
}

/// A gateway at `localhost` with these providers.
async fn site(port: u16, providers: &str, login: &str) -> Site {
    let origin = format!("http://localhost:{port}");
    let setup = Setup {
        listen: format!("127.0.0.1:{port}"),
        public_url: origin.clone(),
        // Browser tests keep a machine busy, so a late lease renewal must not matter here.
        vault: "lease = \"30s\"".to_owned(),
        routes: format!("{ROUTES}{providers}"),
        login: login.to_owned(),
        ..Setup::default()
    };
    Site::with(origin, setup).await
}

/// Presses the provider's button on the sign-in page.
async fn choose(tab: &Tab) {
    tab.until(AT_BUTTON).await;
    tab.click(BUTTON).await;
}

/// Fills in the provider's form and submits it.
async fn sign_in_there(tab: &Tab, name: &str) {
    tab.until(THERE).await;
    tab.fill("input[name=login]", name).await;
    tab.click("button").await;
}

/// The profile's cookies of sign-ins in progress.
async fn flows(profile: &Profile<'_>) -> Vec<Value> {
    let mut cookies = profile.cookies().await;
    let is_flow = |cookie: &Value| {
        cookie["name"].as_str().is_some_and(|name| name.starts_with("__Host-doorward-flow-"))
    };
    cookies.retain(is_flow);
    cookies
}

#[tokio::test(flavor = "multi_thread")]
async fn button_signs_in_across_sites_and_returns_to_the_requested_page() {
    let (world, browser) = (World::with(OPEN, "").await, Browser::start().await);
    let profile = browser.profile().await;
    let tab = profile.tab().await;
    tab.open(&world.site.url("/page/deep?x=1&y=%2F")).await;
    choose(&tab).await;
    tab.until(THERE).await;
    let flows_there = flows(&profile).await;
    let [flow] = flows_there.as_slice() else { panic!("{flows_there:?}") };
    assert_eq!((&flow["httpOnly"], &flow["secure"]), (&json!(true), &json!(true)), "{flow}");
    assert_eq!((&flow["sameSite"], &flow["path"]), (&json!("Lax"), &json!("/")), "{flow}");
    sign_in_there(&tab, "grace").await;
    tab.until("document.title === 'The app'").await;
    assert_eq!(tab.url().await, world.site.url("/page/deep?x=1&y=%2F"));
    let mut seen = world.site.gateway.app.seen().into_iter();
    let seen = seen.find(|seen| seen.target() == "/page/deep?x=1&y=%2F").expect("the page");
    // The callback and this request came from another site, and the cookies came with them.
    assert_eq!(seen.header("sec-fetch-site").as_deref(), Some("cross-site"));
    assert_eq!(seen.header("x-auth-user").as_deref(), Some("grace"));
    assert_eq!(seen.all("cookie"), [""; 0]);
    assert_eq!(flows(&profile).await, [Value::Null; 0], "it is used up");
    let strict = |cookie: &Value| cookie["sameSite"] == "Strict" || cookie["sameSite"] == "None";
    assert!(!profile.cookies().await.iter().any(strict));
}

#[tokio::test(flavor = "multi_thread")]
async fn two_tabs_sign_in_at_once() {
    let (world, browser) = (World::with(OPEN, "").await, Browser::start().await);
    let profile = browser.profile().await;
    let (one, two) = (profile.tab().await, profile.tab().await);
    for (tab, page) in [(&one, "/page/one"), (&two, "/page/two")] {
        tab.open(&world.site.url(page)).await;
        choose(tab).await;
        tab.until(THERE).await;
    }
    assert_eq!(flows(&profile).await.len(), 2);
    // The later one ends first.
    for (tab, page, left) in [(&two, "/page/two", 1), (&one, "/page/one", 0)] {
        sign_in_there(tab, "grace").await;
        tab.until("document.title === 'The app'").await;
        assert_eq!((tab.url().await, flows(&profile).await.len()), (world.site.url(page), left));
    }
    for tab in [&one, &two] {
        assert_eq!(tab.run("fetch('/notes').then((r) => r.status)").await, 200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn back_button_after_sign_in_does_not_sign_in_again() {
    let (world, browser) = (World::with(OPEN, "").await, Browser::start().await);
    let profile = browser.profile().await;
    let tab = world.signed_in(&profile, "/page/first").await;
    let since = tab.run("performance.timeOrigin").await;
    let codes = world.provider.count("token:authorization_code").await;
    // Over the provider's page, to the sign-in page: the person is signed in, and goes on.
    tab.run("history.go(-2); null").await;
    tab.until(&format!("performance.timeOrigin > {since} && document.title === 'The app'")).await;
    assert_eq!(tab.url().await, world.site.url("/page/first"));
    // A callback that was kept, with a code and a state of long ago.
    tab.open(&world.site.url("/auth/providers/sso/callback?code=old&state=old")).await;
    assert_eq!(tab.url().await, world.site.url("/"), "signed in: it goes on");
    assert_eq!(world.provider.count("token:authorization_code").await, codes);
    let other = browser.profile().await;
    let stranger = other.tab().await;
    stranger.open(&world.site.url("/auth/providers/sso/callback?code=old&state=old")).await;
    let facts = stranger.text(".facts").await;
    assert!(facts.contains("400") && facts.contains("provider_flow_lost"), "{facts}");
    // Its button leads to the sign-in page, not to the provider.
    stranger.click("a.button.main").await;
    stranger.until(AT_BUTTON).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sign_in_that_took_too_long_begins_again() {
    let (world, browser) = (World::with(OPEN, ONLY).await, Browser::start().await);
    let profile = browser.profile().await;
    let tab = profile.tab().await;
    tab.open(&world.site.url("/page/late")).await;
    tab.until(THERE).await;
    let late = Duration::from_secs(11 * 60);
    world.site.later(late).await;
    sign_in_there(&tab, "grace").await;
    tab.until("!!document.querySelector('.facts')").await;
    let facts = tab.text(".facts").await;
    assert!(facts.contains("provider_flow_lost"), "{facts}");
    world.provider.advance(late).await;
    tab.click("a.button.main").await;
    choose(&tab).await;
    // The provider knows her by now, and does not ask.
    tab.until("location.hostname === 'localhost' && !location.pathname.startsWith('/auth')").await;
    assert_eq!(world.user().as_deref(), Some("grace"));
}

#[tokio::test(flavor = "multi_thread")]
async fn cancelled_sign_in_shows_a_page_and_does_not_loop() {
    let (world, browser) = (World::with(OPEN, ONLY).await, Browser::start().await);
    let profile = browser.profile().await;
    let tab = profile.tab().await;
    tab.open(&world.site.url("/page")).await;
    sign_in_there(&tab, "nobody").await;
    tab.until("!!document.querySelector('.facts')").await;
    let facts = tab.text(".facts").await;
    assert!(facts.contains("403") && facts.contains("provider_denied"), "{facts}");
    let shown = tab.text("body").await;
    assert!(!shown.contains("nobody of that name"), "a stranger's text: {shown}");
    // Neither its button nor another page goes to the provider without a click, and each is one request or two.
    tab.click("a.button.main").await;
    tab.until(AT_BUTTON).await;
    let redirects = "performance.getEntriesByType('navigation')[0].redirectCount";
    assert_eq!(tab.run(redirects).await, 0);
    tab.open(&world.site.url("/page")).await;
    assert_eq!((tab.run(AT_BUTTON).await, tab.run(redirects).await), (json!(true), json!(1)));
    assert_eq!(world.site.gateway.app.seen().len(), 0);
    choose(&tab).await;
    sign_in_there(&tab, "grace").await;
    tab.until("document.title === 'The app'").await;
    assert_eq!(tab.url().await, world.site.url("/page"));
}

#[tokio::test(flavor = "multi_thread")]
async fn address_leads_to_the_provider_without_scripts() {
    let world = World::with(&format!("{OPEN}\nemail_domains = [\"example.com\"]"), "").await;
    world.provider.put("grace@example.com", &json!({ "preferred_username": "grace" })).await;
    let browser = Browser::start().await;
    let profile = browser.profile().await;
    let tab = profile.tab().await;
    tab.scripts(false).await;
    tab.open(&world.site.url("/page")).await;
    assert_eq!(tab.run("!!document.querySelector('#password')").await, false);
    tab.fill("#username", "grace@example.com").await;
    tab.press("Enter").await;
    // The form's redirect goes to another site; the provider is told the address, and asks nothing.
    tab.until("document.title === 'The app'").await;
    assert_eq!((tab.url().await, world.user().as_deref()), (world.site.url("/page"), Some("grace")));
    // Others are asked for their password.
    let other = browser.profile().await;
    let tab = other.tab().await;
    tab.scripts(false).await;
    tab.open(&world.site.url("/page")).await;
    tab.fill("#username", "ada").await;
    tab.press("Enter").await;
    tab.until("!!document.querySelector('#password')").await;
    tab.fill("#password", PASSWORD).await;
    tab.press("Enter").await;
    tab.until("document.title === 'The app'").await;
    assert_eq!(world.user().as_deref(), Some("ada"));
}

#[tokio::test(flavor = "multi_thread")]
async fn fragment_of_the_address_stays_out_of_the_provider() {
    let (world, browser) = (World::with(OPEN, ONLY).await, Browser::start().await);
    let profile = browser.profile().await;
    let tab = profile.tab().await;
    // A browser takes the fragment through every redirect, to the scripts of the page at its end.
    tab.open(&world.site.url("/page#token=secret")).await;
    tab.until(THERE).await;
    assert_eq!(tab.run("location.hash").await, "");
    sign_in_there(&tab, "grace").await;
    tab.until("document.title === 'The app'").await;
    assert_eq!(tab.url().await, world.site.url("/page"));
}

#[tokio::test(flavor = "multi_thread")]
async fn ticked_choice_to_stay_signed_in_counts_for_the_button() {
    let (world, browser) = (World::with(OPEN, "").await, Browser::start().await);
    for (ticked, scripts) in [(true, true), (true, false), (false, true)] {
        let profile = browser.profile().await;
        let tab = profile.tab().await;
        tab.scripts(scripts).await;
        tab.open(&world.site.url("/page")).await;
        tab.until(AT_BUTTON).await;
        if ticked {
            tab.click("#remember").await;
        }
        choose(&tab).await;
        sign_in_there(&tab, "grace").await;
        tab.until("document.title === 'The app'").await;
        let cookies = profile.cookies().await;
        let refresh = cookies.iter().find(|cookie| cookie["name"] == "__Host-doorward-refresh");
        assert_eq!(refresh.expect("a session")["session"], !ticked, "{scripts}: {cookies:?}");
    }
}
