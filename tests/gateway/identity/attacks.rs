//! Attacks on the flow: its state, its cookie, its provider, and the target after it.

mod open_redirect;

use doorward::clock::Clock as _;
use serde_json::json;

use super::{OPEN, Surfer, World};
use crate::browser::ORIGIN;
use crate::support::http;

const CALLBACK: &str = "http://gateway.test/auth/providers/sso/callback";

/// Visits a callback that must not sign anybody in.
async fn assert_lost(surfer: &mut Surfer, url: &str) {
    let page = surfer.visit(url).await;
    assert_eq!(page.status, 400, "{url}: {}", page.text());
    assert!(page.text().contains("provider_flow_lost"), "{url}: {}", page.text());
    assert!(!page.all("set-cookie").iter().any(|cookie| cookie.contains("-access=")), "{url}: {page:?}");
    assert!(!surfer.here.cookies.contains_key("__Host-doorward-access"), "{url}");
}

/// The value of a parameter of a URL.
fn parameter<'a>(url: &'a str, name: &str) -> &'a str {
    let found = url.split(['?', '&', '#']).find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
    found.unwrap_or_else(|| panic!("no {name}: {url}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn callback_without_its_own_state_is_lost() {
    let world = World::with(OPEN).await;
    let mut surfer = world.surfer();
    let callback = surfer.up_to_callback("ada", "/").await;
    let (code, state) = (parameter(&callback, "code"), parameter(&callback, "state"));
    let issuer = parameter(&callback, "iss");
    let other = {
        let mut other = surfer.clone();
        let url = other.up_to_callback("ada", "/").await;
        parameter(&url, "state").to_owned()
    };
    let long = "x".repeat(20 << 10);
    for query in [
        String::new(),
        "?".to_owned(),
        format!("?code={code}"),
        format!("?code={code}&state="),
        format!("?code={code}&state=x"),
        format!("?code={code}&state={other}&iss={issuer}"),
        format!("?code={code}&state={state}&state={state}"),
        format!("?code={code}&code={code}&state={state}"),
        format!("?state={state}"),
        format!("?code={code}&error=access_denied&state={state}"),
        format!("?code={code}&state={state}%00"),
        format!("?code={code}&state=%ff"),
        format!("?code={code}&state={long}"),
    ] {
        assert_lost(&mut surfer.clone(), &format!("{CALLBACK}{query}")).await;
    }
    assert_eq!(world.provider.count("token:authorization_code").await, 0, "no code was sent to the provider");
    assert_eq!(world.provider.count("refused:invalid_grant").await, 0);
    // As a form, with fields that name another account (N17).
    for method in ["POST", "PUT", "DELETE"] {
        let body = b"code=x&state=y&sub=ada&username=ada&email=ada%40example.com";
        let headers = [("Origin", ORIGIN), ("Content-Type", "application/x-www-form-urlencoded")];
        let response = surfer.here.clone().ask(method, "/auth/providers/sso/callback", &headers, body).await;
        assert_eq!(response.status, 405, "{method}");
    }
    let extra = format!(
        "{callback}&sub=root&username=root&user=root&email=root%40example.com&return_to=%2F%2Fevil.example"
    );
    let page = surfer.go(&extra).await;
    assert_eq!((page.status, surfer.at.as_str()), (200, "http://gateway.test/"), "{}", page.text());
    assert_eq!(world.gateway.app.last().header("x-auth-user").as_deref(), Some("ada"));
}

#[tokio::test(flavor = "multi_thread")]
async fn callback_in_another_browser_is_lost() {
    let world = World::with(OPEN).await;
    let mut victim = world.surfer();
    // Login CSRF: an attacker's own callback, opened by the victim.
    let mut attacker = world.surfer();
    let callback = attacker.up_to_callback("ada", "/").await;
    assert_lost(&mut victim, &callback).await;
    // The victim has a sign-in in progress; the attacker's state under its cookie's name.
    victim.choose("/").await;
    let (name, value) = victim.here.cookies.iter().find(|(name, _)| name.contains("-flow-")).expect("a flow");
    let (name, value) = (name.clone(), value.clone());
    let (of_attacker, sealed) =
        attacker.here.cookies.iter().find(|(name, _)| name.contains("-flow-")).expect("a flow");
    let (of_attacker, sealed) = (of_attacker.clone(), sealed.clone());
    for (name, value) in
        [(of_attacker.clone(), value), (name, sealed.clone()), (of_attacker, "x".repeat(300))]
    {
        let mut surfer = victim.clone();
        surfer.here.cookies.insert(name, value);
        assert_lost(&mut surfer, &callback).await;
    }
    // Two cookies of one name: one was planted.
    let target = callback.strip_prefix(ORIGIN).expect("ours").to_owned();
    let suffix = attacker.here.cookies.keys().find(|name| name.contains("-flow-")).expect("a flow").clone();
    let cookie = format!("{suffix}={sealed}; {suffix}={sealed}");
    let headers = [("Accept", "text/html"), ("Cookie", cookie.as_str())];
    let page = http::request(world.gateway.address(), "GET", &target, &headers, b"").await;
    assert_eq!(page.status, 400, "{}", page.text());
    assert_eq!(world.provider.count("token:authorization_code").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn flow_and_code_are_used_once() {
    let world = World::with(OPEN).await;
    let mut surfer = world.surfer();
    let callback = surfer.up_to_callback("ada", "/").await;
    let before = surfer.clone();
    assert_eq!(surfer.visit(&callback).await.status, 303);
    // A thief who has copied the cookies, and the browser after its sign-out.
    assert_lost(&mut before.clone(), &callback).await;
    surfer.here.cookies.clear();
    assert_lost(&mut surfer, &callback).await;
    assert_eq!(world.provider.count("refused:invalid_grant").await, 1, "the thief's");
    // The provider has seen its code twice, and voids what came of it (RFC 6749 section 4.1.2): a recheck ends the session.
}

#[tokio::test(flavor = "multi_thread")]
async fn response_of_another_issuer_is_refused() {
    // Mix-up (RFC 9207, RFC 9700 section 4.4).
    let world = World::with(OPEN).await;
    for change in [None, Some("https%3A%2F%2Fsso.evil.example"), Some("")] {
        let mut surfer = world.surfer();
        let callback = surfer.up_to_callback("ada", "/").await;
        let issuer = format!("&iss={}", parameter(&callback, "iss"));
        let forged = change.map_or_else(String::new, |issuer| format!("&iss={issuer}"));
        let page = surfer.visit(&callback.replace(&issuer, &forged)).await;
        assert_eq!(page.status, 502, "{change:?}: {}", page.text());
        // On an error as well.
        let mut surfer = world.surfer();
        let callback = surfer.up_to_callback("ada", "/").await;
        let denied =
            format!("{CALLBACK}?error=access_denied&state={}{forged}", parameter(&callback, "state"));
        assert_eq!(surfer.visit(&denied).await.status, 502, "{change:?}");
    }
    assert_eq!(world.provider.count("token:authorization_code").await, 0, "no code went to a stranger");
}

#[tokio::test(flavor = "multi_thread")]
async fn callback_of_one_provider_with_the_flow_of_another_is_lost() {
    let provider = super::Provider::start(ORIGIN, crate::support::port::free_port()).await;
    provider.put("ada", &super::ada()).await;
    let other = provider.table("other", OPEN).replace("client_id = \"doorward\"", "client_id = \"another\"");
    let routes = format!("{}{}{other}", crate::support::gateway::ROUTES, provider.table("sso", OPEN));
    let gateway = crate::support::TestGateway::with(crate::support::Setup {
        routes,
        ..crate::support::Setup::default()
    })
    .await;
    let mut surfer = Surfer::new(&gateway, provider.address());
    let there = surfer.visit(&format!("{ORIGIN}/auth/providers/other/start")).await;
    let to = there.header("location").expect("a redirect").to_owned();
    let state = parameter(&to, "state").to_owned();
    let callback = surfer.up_to_callback("ada", "/").await;
    let (code, issuer) = (parameter(&callback, "code"), parameter(&callback, "iss"));
    assert_lost(&mut surfer.clone(), &format!("{CALLBACK}?code={code}&state={state}&iss={issuer}")).await;
    let own =
        format!("{ORIGIN}/auth/providers/other/callback?code={code}&state={}", parameter(&callback, "state"));
    assert_lost(&mut surfer.clone(), &own).await;
    let unknown = surfer.visit(&callback.replace("/sso/", "/none/")).await;
    assert_eq!(unknown.status, 404);
    assert_eq!(provider.count("token:authorization_code").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn sign_in_returns_only_to_signed_targets() {
    // T49.
    let world = World::with(OPEN).await;
    for target in [
        "/reports",
        "%2Freports",
        "//evil.example",
        "%2F%2Fevil.example",
        "/%5Cevil.example",
        "https://evil.example",
        "javascript:alert(1)",
        "%09//evil.example",
        "/%0d%0aSet-Cookie:a=b",
        "@evil.example",
        "data:text/html,x",
        ".%2F%2Fevil.example",
        "x.y.z",
    ] {
        let mut surfer = world.surfer();
        let page = surfer.go(&format!("{ORIGIN}/auth/providers/sso/start?return_to={target}")).await;
        assert!(page.text().contains("<title>Provider</title>"), "{target}: {}", page.text());
        surfer.sign_in_there("ada").await;
        assert_eq!(surfer.at, "http://gateway.test/", "{target}");
        // Signed in already: the same.
        let again = surfer.visit(&format!("{ORIGIN}/auth/providers/sso/start?return_to={target}")).await;
        assert_eq!((again.status, again.header("location")), (303, Some("/")), "{target}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn registered_address_does_not_follow_the_host_header() {
    let world = World::with(OPEN).await;
    for host in ["evil.example", "gateway.test.evil.example", "gateway.test:99", "127.0.0.1"] {
        let headers = [("Accept", "text/html"), ("Host", host), ("X-Forwarded-Host", "evil.example")];
        let start =
            http::request(world.gateway.address(), "GET", "/auth/providers/sso/start", &headers, b"").await;
        if let Some(to) = start.header("location") {
            let expected = "redirect_uri=http%3A%2F%2Fgateway.test%2Fauth%2Fproviders%2Fsso%2Fcallback";
            assert!(to.contains(expected), "{host}: {to}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn scripts_and_frames_begin_no_sign_in() {
    // A page with a hundred requests in the background must not fill the browser with cookies.
    let world = World::with(OPEN).await;
    for headers in [
        &[("Accept", "*/*"), ("Sec-Fetch-Mode", "cors"), ("Sec-Fetch-Dest", "empty")][..],
        &[("Accept", "image/*"), ("Sec-Fetch-Mode", "no-cors"), ("Sec-Fetch-Dest", "image")],
        &[("Accept", "text/html"), ("Sec-Fetch-Mode", "navigate"), ("Sec-Fetch-Dest", "iframe")],
        &[("Accept", "application/json")],
        &[],
    ] {
        let response = world.gateway.get("/auth/providers/sso/start", headers).await;
        assert_eq!(response.status, 400, "{headers:?}");
        assert!(!response.all("set-cookie").iter().any(|cookie| cookie.contains("-flow-")), "{headers:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn void_codes_of_one_address_are_limited() {
    // A flow costs a stranger nothing; each callback would cost the provider a request.
    let world = World::with_login(OPEN, "attempts_per_address = 10").await;
    let mut statuses = Vec::new();
    let since = world.gateway.clock.monotonic();
    for _ in 0..12 {
        let mut surfer = world.surfer();
        let there = surfer.visit(&format!("{ORIGIN}/auth/providers/sso/start")).await;
        let to = there.header("location").expect("a redirect");
        let issuer = world.provider.issuer().replace(':', "%3A").replace('/', "%2F");
        let url = format!("{CALLBACK}?code=guess&state={}&iss={issuer}", parameter(to, "state"));
        statuses.push(surfer.visit(&url).await.status);
    }
    // One more each second.
    let most = 10 + world.gateway.clock.monotonic().since(since).as_secs() as usize;
    let count = |wanted: u16| statuses.iter().filter(|&&status| status == wanted).count();
    assert!((10..=most).contains(&count(400)), "{most}: {statuses:?}");
    assert_eq!(count(400) + count(429), 12, "{statuses:?}");
    assert_eq!(world.provider.count("refused:invalid_grant").await as usize, count(400));
    // Passwords have a limit of their own.
    world.gateway.user("bob", &[]).await;
    world.gateway.login("bob").await;
    let json = json!({ "username": "bob", "password": "wrong" });
    assert_eq!(world.gateway.post("/auth/login", None, &json).await.status, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn code_of_another_browser_is_void_in_this_one() {
    // Injection of a code (RFC 9700 section 4.5): the provider binds it to the PKCE challenge of the other flow.
    let world = World::with(OPEN).await;
    world.provider.put("eve", &super::ada_with(&json!({ "preferred_username": "eve" }))).await;
    for (own, injected) in [("ada", "eve"), ("eve", "ada")] {
        let (mut victim, mut other) = (world.surfer(), world.surfer());
        let callback = victim.up_to_callback(own, "/").await;
        let stolen = other.up_to_callback(injected, "/").await;
        let url = callback.replace(parameter(&callback, "code"), parameter(&stolen, "code"));
        assert_lost(&mut victim, &url).await;
    }
    assert_eq!(world.provider.count("token:authorization_code").await, 0);
    assert!(world.gateway.vault.users.list(None, 9).await.expect("a page").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn flow_that_began_before_the_provider_changed_is_lost() {
    // Its code would go to another client or issuer (RFC 9700 section 4.4).
    let mut world = World::with(OPEN).await;
    let mut surfer = world.surfer();
    let callback = surfer.up_to_callback("ada", "/").await;
    let _reloads = world.gateway.follow();
    let (here, there) = (world.provider.issuer(), world.provider.issuer().replace("127.0.0.1", "localhost"));
    world.gateway.reconfigure(|text| text.replace(&here, &there)).await;
    assert_lost(&mut surfer.clone(), &callback).await;
    world
        .gateway
        .reconfigure(|text| text.split("\n[[providers]]").next().expect("a beginning").to_owned())
        .await;
    assert_eq!(surfer.visit(&callback).await.status, 404);
    assert_eq!(world.provider.count("token:authorization_code").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn user_who_is_disabled_or_deleted_meanwhile_gets_no_session() {
    let world = World::with("create_users = \"never\"").await;
    let bob = world.gateway.user("bob", &[]).await;
    world.gateway.command(&["user", "link", "bob", "--provider", "sso", "--subject", "ada"]).await;
    let mut surfer = world.surfer();
    let (one, two) = (surfer.up_to_callback("ada", "/").await, surfer.up_to_callback("ada", "/").await);
    world.gateway.command(&["user", "disable", "bob"]).await;
    let page = surfer.visit(&one).await;
    assert!(page.status == 403 && page.text().contains("account_disabled"), "{}", page.text());
    world.gateway.command(&["user", "delete", "bob", "--yes"]).await;
    let page = surfer.visit(&two).await;
    assert!(page.status == 403 && page.text().contains("provider_no_account"), "{}", page.text());
    assert!(!surfer.here.cookies.contains_key("__Host-doorward-access"));
    assert!(world.gateway.vault.identities.of_user(bob).await.expect("links").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn address_of_the_provider_has_no_secret_of_ours() {
    // N8: neither the session nor a token, nor what binds the flow to the browser.
    let world = World::with(OPEN).await;
    world.gateway.user("bob", &[]).await;
    let mut surfer = world.surfer();
    surfer.here.sign_in("bob", crate::support::PASSWORD, "/auth/login", &[]).await;
    let session = surfer.here.fetch("/auth/me").await.member("session_id");
    let account = surfer.here.go("/auth/account").await;
    let leaving = surfer
        .here
        .post("/auth/providers/sso/link", &super::link::form(&account, "/auth/providers/sso/link"))
        .await;
    let mut stranger = world.surfer();
    let start = stranger.visit(&format!("{ORIGIN}/auth/providers/sso/start")).await;
    for (response, browser) in [(&leaving, &surfer.here), (&start, &stranger.here)] {
        let to = response.header("location").expect("a redirect");
        assert!(to.starts_with(&world.provider.issuer()), "{to}");
        assert!(!to.contains(&session) && !to.contains("csrf"), "{to}");
        for (name, value) in &browser.cookies {
            assert!(!to.contains(value.as_str()) && !to.contains(name.as_str()), "{name}: {to}");
        }
    }
    assert!(surfer.here.cookies.len() > 2 && stranger.here.cookies.len() == 1);
}
