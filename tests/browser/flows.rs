//! User journeys in a browser, from the login page to the Back button, in front of an unaware app.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::{Value, json};

use crate::chromium::{Browser, Profile, Tab};
use crate::support::gateway::SOON;
use crate::support::port::free_port;
use crate::support::{PASSWORD, Setup, TestGateway, assert_eventually};

/// A gateway at `http://localhost:<port>`, where a browser accepts `__Host-` cookies, with the user `ada`.
pub(crate) struct Site {
    pub(crate) gateway: TestGateway,
    pub(crate) origin: String,
}

impl Site {
    pub(crate) async fn start() -> Self {
        Self::at("localhost").await
    }

    /// Under another name of this machine.
    pub(crate) async fn at(host: &str) -> Self {
        Self::like(host, |setup| setup).await
    }

    /// With a changed setup.
    pub(crate) async fn like(host: &str, change: impl FnOnce(Setup) -> Setup) -> Self {
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let origin = format!("http://{host}:{}", address.port());
        // Browser tests keep a machine busy, so a late lease renewal must not matter here.
        let vault = "lease = \"30s\"".to_owned();
        let setup =
            Setup { listen: address.to_string(), public_url: origin.clone(), vault, ..Setup::default() };
        Self::with(origin, change(setup)).await
    }

    pub(crate) async fn with(origin: String, setup: Setup) -> Self {
        let gateway = TestGateway::with(setup).await;
        gateway.user("ada", &[]).await;
        Self { gateway, origin }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.origin)
    }

    /// Advances both clocks. The lease ends with it, and its renewal is awaited.
    pub(crate) async fn later(&self, span: Duration) {
        self.gateway.clock.advance(span);
        let ready = async || self.gateway.probe("/readyz").await.status == 200;
        assert_eventually("it can decide again", SOON, ready).await;
    }

    /// A tab on the app's page, signed in.
    pub(crate) async fn signed_in(&self, profile: &Profile<'_>) -> Tab {
        let tab = profile.tab().await;
        tab.open(&self.url("/page")).await;
        sign_in(&tab, PASSWORD).await;
        tab.until("document.title === 'The app'").await;
        tab
    }
}

/// Fills in the login form and submits it.
pub(crate) async fn sign_in(tab: &Tab, password: &str) {
    // A click finds a button at its final position only once the style sheet is loaded.
    tab.until("document.readyState === 'complete' && !!document.querySelector('#password')").await;
    tab.fill("#username", "ada").await;
    tab.fill("#password", password).await;
    tab.click("button.main").await;
}

/// Returns true for the cookies that a sign-out keeps; neither grants access.
pub(crate) fn is_kept(cookie: &Value) -> bool {
    ["__Host-doorward-visit", "__Secure-doorward-device"].iter().any(|name| cookie["name"] == **name)
}

/// Script that tests whether a tab shows the login page.
pub(crate) const AT_LOGIN: &str =
    "location.pathname === '/auth/login' && !!document.querySelector('#password')";

/// Sends `count` concurrent requests. Returns for each its status and whether it was redirected.
async fn fetches(tab: &Tab, count: usize) -> Vec<(u64, bool)> {
    let script = format!(
        "Promise.all([...Array({count}).keys()].map((at) => fetch('/notes/' + at)\
         .then((r) => [r.status, r.redirected])))"
    );
    let responses: Vec<(u64, bool)> = serde_json::from_value(tab.run(&script).await).expect("statuses");
    assert_eq!(responses.len(), count);
    responses
}

#[tokio::test(flavor = "multi_thread")]
async fn sign_in_returns_to_the_requested_page() {
    let (site, browser) = (Site::start().await, Browser::start().await);
    let profile = browser.profile().await;
    let tab = profile.tab().await;
    tab.open(&site.url("/page/deep?x=1&y=%2F")).await;
    assert_eq!(tab.run(AT_LOGIN).await, true, "{}", tab.url().await);
    sign_in(&tab, PASSWORD).await;
    tab.until("document.title === 'The app'").await;
    assert_eq!(tab.url().await, site.url("/page/deep?x=1&y=%2F"));
    let cookies = profile.cookies().await;
    for cookie in cookies.iter().filter(|cookie| !is_kept(cookie)) {
        assert_eq!((&cookie["httpOnly"], &cookie["secure"]), (&json!(true), &json!(true)), "{cookie}");
        assert_eq!((&cookie["sameSite"], &cookie["path"]), (&json!("Lax"), &json!("/")), "{cookie}");
        assert!(cookie["value"].as_str().is_some_and(|value| value.len() < 4096));
    }
    // The device cookie is limited to the gateway's endpoints, which `__Host-` does not allow.
    let is_ours = |cookie: &Value| {
        let is_host = cookie["name"].as_str().is_some_and(|name| name.starts_with("__Host-"));
        is_host || (cookie["name"] == "__Secure-doorward-device" && cookie["path"] == "/auth")
    };
    assert!(cookies.iter().all(is_ours), "{cookies:?}");
    assert!(cookies.len() >= 2, "{cookies:?}");
    // Scripts of the app see none of them.
    assert_eq!(tab.run("document.cookie").await, "");
    assert_eq!(site.gateway.app.last().all("cookie"), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_password_message_does_not_reveal_user_existence() {
    let (site, browser) = (Site::start().await, Browser::start().await);
    let profile = browser.profile().await;
    let tab = profile.tab().await;
    let mut problems = Vec::new();
    for name in ["ada", "nobody"] {
        tab.open(&site.url("/page")).await;
        tab.fill("#username", name).await;
        tab.fill("#password", "not the password at all").await;
        tab.click("button.main").await;
        tab.until("!!document.querySelector('#problem')").await;
        problems.push((tab.title().await, tab.text("#problem").await));
        assert_eq!(tab.run("document.querySelector('#username').value").await, name, "typed once is enough");
        assert_eq!(tab.run("document.querySelector('#password').value").await, "");
    }
    assert_eq!(problems[0], problems[1]);
    // The correct password still leads to the requested page.
    sign_in(&tab, PASSWORD).await;
    tab.until("document.title === 'The app'").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn access_token_expiry_amid_thirty_requests_goes_unnoticed() {
    let (site, browser) = (Site::start().await, Browser::start().await);
    let profile = browser.profile().await;
    let tab = site.signed_in(&profile).await;
    for round in 0..3 {
        // The access token has expired, and thirty requests notice it at once.
        site.later(Duration::from_mins(16)).await;
        let responses = fetches(&tab, 30).await;
        assert!(responses.iter().all(|response| *response == (200, false)), "round {round}: {responses:?}");
    }
    assert_eq!(tab.url().await, site.url("/page"), "nobody was sent anywhere");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_tabs_share_a_session_and_its_end() {
    let (site, browser) = (Site::start().await, Browser::start().await);
    let profile = browser.profile().await;
    let first = site.signed_in(&profile).await;
    let second = profile.tab().await;
    second.open(&site.url("/page/second")).await;
    assert_eq!(second.title().await, "The app", "it need not sign in");
    // Both tabs continue while tokens expire, one after the other and together.
    for _ in 0..3 {
        site.later(Duration::from_mins(16)).await;
        let (one, other) = tokio::join!(fetches(&first, 10), fetches(&second, 10));
        assert!(one.iter().chain(&other).all(|response| *response == (200, false)), "{one:?} {other:?}");
    }
    first.open(&site.url("/auth/logout")).await;
    first.click("form[action='/auth/logout'] button").await;
    first.until("document.title.startsWith('You are signed out')").await;
    assert!(fetches(&second, 3).await.iter().all(|response| *response == (401, false)));
    second.open(&site.url("/page/second")).await;
    assert_eq!(second.run(AT_LOGIN).await, true);
}

#[tokio::test(flavor = "multi_thread")]
async fn sleeping_laptop_resumes_until_the_idle_timeout() {
    let (site, browser) = (Site::start().await, Browser::start().await);
    let profile = browser.profile().await;
    let tab = site.signed_in(&profile).await;
    site.later(Duration::from_hours(3)).await;
    assert_eq!(fetches(&tab, 5).await, [(200, false); 5]);
    tab.open(&site.url("/page/after")).await;
    assert_eq!(tab.title().await, "The app");
    // Longer than [browser] idle_timeout: 12 hours.
    site.later(Duration::from_hours(13)).await;
    assert_eq!(fetches(&tab, 5).await, [(401, false); 5], "a script is told, not sent to a page");
    tab.open(&site.url("/page/late?x=1")).await;
    assert_eq!(tab.run(AT_LOGIN).await, true);
    sign_in(&tab, PASSWORD).await;
    tab.until("document.title === 'The app'").await;
    assert_eq!(tab.url().await, site.url("/page/late?x=1"));
}

#[tokio::test(flavor = "multi_thread")]
async fn form_post_after_session_end_explains_itself() {
    let (site, browser) = (Site::start().await, Browser::start().await);
    let profile = browser.profile().await;
    let tab = site.signed_in(&profile).await;
    site.later(Duration::from_hours(13)).await;
    tab.run("document.querySelector('textarea').value = 'an hour of work'; null").await;
    tab.click("button").await;
    tab.until("location.pathname === '/page/saved' && document.readyState === 'complete'").await;
    assert_ne!(tab.title().await, "The app");
    let seen = site.gateway.app.seen();
    assert!(seen.iter().all(|seen| !seen.line().starts_with("POST")), "it was not let through");
    // Going back finds the typed text: the page explained itself first.
    assert!(tab.text("main").await.to_lowercase().contains("sign in"), "{}", tab.text("main").await);
    tab.run("history.back(); null").await;
    tab.until("document.title === 'The app'").await;
    let written = tab.run("document.querySelector('textarea').value").await;
    assert_eq!(written, "an hour of work");
}

#[tokio::test(flavor = "multi_thread")]
async fn session_of_another_device_is_ended_and_refused() {
    let (site, browser) = (Site::start().await, Browser::start().await);
    let (mine, other) = (browser.profile().await, browser.profile().await);
    let (laptop, phone) = (site.signed_in(&mine).await, site.signed_in(&other).await);
    assert_eq!(fetches(&phone, 1).await, [(200, false)]);
    laptop.open(&site.url("/auth/sessions")).await;
    assert_eq!(laptop.run("document.querySelectorAll('.devices li').length").await, 2);
    assert_eq!(laptop.run("document.querySelectorAll('.badge').length").await, 1, "one is this one");
    laptop.click("form[action='/auth/sessions/end'] button").await;
    laptop.until("document.querySelectorAll('.devices li').length === 1").await;
    assert_eq!(fetches(&phone, 3).await, [(401, false); 3]);
    phone.open(&site.url("/page")).await;
    assert_eq!(phone.run(AT_LOGIN).await, true);
    laptop.open(&site.url("/page")).await;
    assert_eq!(fetches(&laptop, 1).await, [(200, false)], "this one goes on");
}

#[tokio::test(flavor = "multi_thread")]
async fn account_page_works_with_and_without_scripts() {
    let (site, browser) = (Site::start().await, Browser::start().await);
    let (mine, other) = (browser.profile().await, browser.profile().await);
    let ada = site.gateway.user("Ada2", &["staff"]).await;
    site.gateway.describe(ada, "ada@example.org", true, "Ada Lovelace").await;
    let (mut current, passwords) = (PASSWORD, ["quite another password", "violets under the harbour"]);
    for (scripts, new) in [(true, passwords[0]), (false, passwords[1])] {
        let mut tabs = Vec::new();
        for profile in [&mine, &other] {
            let tab = profile.tab().await;
            tab.open(&site.url("/page")).await;
            tab.until("document.readyState === 'complete' && !!document.querySelector('#password')").await;
            tab.fill("#username", "ada2").await;
            tab.fill("#password", current).await;
            tab.click("button.main").await;
            tab.until("document.title === 'The app'").await;
            tabs.push(tab);
        }
        let tab = &tabs[0];
        tab.scripts(scripts).await;
        tab.open(&site.url("/auth/account")).await;
        let shown = tab.text("main").await;
        for part in ["My account", "Ada Lovelace", "ada@example.org", "verified", "staff", "This one"] {
            assert!(shown.contains(part), "{part}: {shown}");
        }
        let shows = "[...document.querySelectorAll('button.show')].map((button) => !button.hidden)";
        assert_eq!(tab.run(shows).await, json!([scripts, scripts]), "the button needs a script");
        tab.fill("#current", current).await;
        tab.fill("#new", new).await;
        tab.click("form[action='/auth/password'] button.main").await;
        tab.until("document.title.startsWith('Your password is changed')").await;
        assert_eq!(fetches(&tabs[1], 1).await, [(401, false)], "the other device is signed out");
        tab.scripts(true).await;
        tab.open(&site.url("/auth/logout")).await;
        tab.click("form[action='/auth/logout'] button").await;
        tab.until("document.title.startsWith('You are signed out')").await;
        current = new;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn back_button_after_sign_out_shows_nothing() {
    let (site, browser) = (Site::start().await, Browser::start().await);
    let profile = browser.profile().await;
    let tab = site.signed_in(&profile).await;
    tab.open(&site.url("/page/two")).await;
    tab.open(&site.url("/auth/sessions")).await;
    assert!(tab.text("main").await.contains("This one"), "{}", tab.text("main").await);
    tab.open(&site.url("/auth/logout")).await;
    tab.click("form[action='/auth/logout'] button").await;
    tab.until("document.title.startsWith('You are signed out')").await;
    assert!(profile.cookies().await.iter().all(is_kept));
    // The pages before it: the confirmation page, the account page, and two pages of the app.
    for (shown, arrived) in [
        ("the page that asked", "location.pathname === '/auth/logout' && performance.timeOrigin > since"),
        ("my account", AT_LOGIN),
        ("the app", AT_LOGIN),
        ("the app", AT_LOGIN),
    ] {
        let since = tab.run("performance.timeOrigin").await;
        let here = tab.run("navigation.currentEntry.index").await.as_i64().expect("an index");
        tab.run("history.back(); null").await;
        let moved = format!("navigation.currentEntry.index === {}", here - 1);
        let arrived = arrived.replace("since", &since.to_string());
        tab.until(&format!("{moved} && document.readyState === 'complete'")).await;
        let seen = tab.text("body").await;
        assert!(!seen.contains("secret notes") && !seen.contains("This one"), "back to {shown}: {seen}");
        assert_eq!(tab.run(&arrived).await, true, "back to {shown}: {} {seen}", tab.url().await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn readme_script_signs_out_from_the_app_menu() {
    let page = include_str!("../../README.md");
    let script = page.split("```js\n").nth(1).and_then(|rest| rest.split("```").next()).expect("a script");
    // Its last line leaves the page, on which the fetches below are made.
    let (script, leaving) = script.trim_end().rsplit_once('\n').expect("several lines");
    assert_eq!(leaving, "location = \"/\";");
    let (site, browser) = (Site::start().await, Browser::start().await);
    let profile = browser.profile().await;
    let tab = site.signed_in(&profile).await;
    // The token belongs to the session and stays valid after a rotation.
    let refresh = script.replace("/auth/logout", "/auth/refresh");
    assert_ne!(refresh, script);
    let before = profile.cookies().await;
    tab.run(&format!("(async () => {{ {refresh} return null; }})()")).await;
    assert_eq!(fetches(&tab, 1).await, [(200, false)]);
    assert_ne!(profile.cookies().await, before, "both were replaced");
    tab.run(&format!("(async () => {{ {script} return null; }})()")).await;
    assert!(profile.cookies().await.iter().all(is_kept));
    assert_eq!(fetches(&tab, 1).await, [(401, false)]);
    tab.run(&format!("{leaving} null")).await;
    tab.until(AT_LOGIN).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn browser_without_cookies_gets_a_message_and_no_redirect_loop() {
    // Over http, `__Host-` cookies work only on localhost.
    let (site, browser) = (Site::at("gateway.test").await, Browser::start().await);
    let profile = browser.profile().await;
    let tab = profile.tab().await;
    tab.open(&site.url("/page")).await;
    sign_in(&tab, PASSWORD).await;
    tab.until("!!document.querySelector('#problem')").await;
    let problem = tab.text("#problem").await;
    assert!(problem.to_lowercase().contains("cookie"), "{problem}");
    assert_eq!(profile.cookies().await, [Value::Null; 0]);
}
