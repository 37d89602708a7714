use doorward::vault::SessionPage;

use crate::support::gateway::SOON;
use crate::support::{Faults, Op, Setup, TestGateway, assert_eventually};

use super::Browser;
use super::jar::{hidden, with};
use crate::support::{PASSWORD, http};

fn csrf(page: &crate::support::Response) -> Vec<(String, String)> {
    hidden(page).into_iter().filter(|(name, _)| name == "csrf").collect()
}

fn forgets(response: &crate::support::Response) {
    let set = response.all("set-cookie");
    assert_eq!(set.len(), 2, "{set:?}");
    for (cookie, name) in set.iter().zip(["__Host-doorward-access=;", "__Host-doorward-refresh=;"]) {
        assert!(cookie.starts_with(name) && cookie.ends_with("; Max-Age=0"), "{cookie}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sign_out_confirms_then_ends_session_and_cookies() {
    let gateway = TestGateway::start().await;
    gateway.user("ada", &[]).await;
    let mut browser = Browser::signed_in(&gateway, "ada").await;
    let copy = browser.clone();
    let page = browser.go("/auth/logout").await;
    assert_eq!((page.status, page.all("set-cookie").len()), (200, 0));
    assert_eq!(browser.fetch("/").await.status, 200, "asking ends nothing");
    let out = browser.post("/auth/logout", &csrf(&page)).await;
    assert_eq!((out.status, out.header("cache-control")), (200, Some("no-store")));
    forgets(&out);
    assert_eq!(browser.go("/").await.status, 303);
    assert_eq!(copy.clone().fetch("/").await.code(), "token_revoked");
    let mut renewing = copy;
    renewing.cookies.remove("__Host-doorward-access");
    assert_eq!(renewing.fetch("/").await.code(), "token_missing");
}

#[tokio::test(flavor = "multi_thread")]
async fn sign_out_without_vault_clears_cookies_and_ends_session_later() {
    let faults = Faults::new();
    let gateway = TestGateway::with(Setup { stores: faults.wrap(), ..Setup::default() }).await;
    let user = gateway.user("ada", &[]).await;
    let mut browser = Browser::signed_in(&gateway, "ada").await;
    let page = browser.go("/auth/logout").await;
    faults.fail(&[Op::Renew, Op::Revoke]);
    let out = browser.post("/auth/logout", &csrf(&page)).await;
    assert_eq!((out.status, out.header("retry-after")), (503, Some("1")));
    forgets(&out);
    assert_eq!(
        gateway.vault.sessions.list(Some(user), SessionPage::first(1000)).await.expect("rows").len(),
        1
    );
    faults.heal();
    assert_eventually("the session has ended", SOON, async || {
        gateway.vault.sessions.list(Some(user), SessionPage::first(1000)).await.expect("rows").is_empty()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn devices_page_ends_one_session_or_all_others() {
    let gateway = TestGateway::start().await;
    let user = gateway.user("ada", &[]).await;
    let mut here = Browser::signed_in(&gateway, "ada").await;
    let mut phone = Browser::signed_in(&gateway, "ada").await;
    let mut desk = Browser::signed_in(&gateway, "ada").await;
    let page = here.go("/auth/sessions").await;
    assert_eq!((page.status, page.header("content-type")), (200, Some("text/html; charset=utf-8")));
    assert_eq!(page.text().matches("id=\"device-").count(), 3, "{}", page.text());
    assert!(page.text().contains("127.0.0.1"));
    // A script receives JSON from the same URL.
    let json = phone.fetch("/auth/sessions").await.json();
    let list = json["sessions"].as_array().expect("a list").clone();
    let phone_id = list.iter().find(|s| s["current"] == true).expect("this one")["session_id"].clone();
    let form = with(&csrf(&page), "session_id", phone_id.as_str().expect("text"));
    let ended = here.post("/auth/sessions/end", &form).await;
    assert_eq!((ended.status, ended.header("location")), (303, Some("/auth/account")));
    assert_eq!(phone.fetch("/").await.code(), "token_revoked");
    assert_eq!((here.fetch("/").await.status, desk.fetch("/").await.status), (200, 200));
    assert_eq!(here.post("/auth/sessions/end-others", &csrf(&page)).await.status, 303);
    assert_eq!(desk.fetch("/").await.code(), "token_revoked");
    assert_eq!(here.fetch("/").await.status, 200);
    // Sessions of another user cannot be ended.
    gateway.user("eve", &[]).await;
    let mut eve = Browser::signed_in(&gateway, "eve").await;
    let own = gateway.vault.sessions.list(Some(user), SessionPage::first(1000)).await.expect("rows")[0]
        .grant
        .session_id
        .to_string();
    let form = with(&csrf(&eve.go("/auth/sessions").await), "session_id", &own);
    assert_eq!(eve.post("/auth/sessions/end", &form).await.status, 404);
    assert_eq!(here.fetch("/").await.status, 200);
    let everywhere = here.post("/auth/logout-all", &csrf(&page)).await;
    assert_eq!(everywhere.status, 200);
    forgets(&everywhere);
    assert!(
        gateway.vault.sessions.list(Some(user), SessionPage::first(1000)).await.expect("rows").is_empty()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn password_page_changes_password_and_names_errors() {
    let gateway = TestGateway::start().await;
    gateway.user("ada", &[]).await;
    let mut here = Browser::signed_in(&gateway, "ada").await;
    let mut other = Browser::signed_in(&gateway, "ada").await;
    let page = here.go("/auth/password").await;
    let fields = |current: &str, new: &str| {
        with(&with(&csrf(&page), "current_password", current), "new_password", new)
    };
    let new = "quite another long password";
    for (current, next) in [("wrong password of hers", new), (PASSWORD, "short"), ("", new)] {
        let refused = here.post("/auth/password", &fields(current, next)).await;
        assert_eq!(refused.status, 400, "{current} {next}");
        assert!(refused.text().contains("role=\"alert\""), "{}", refused.text());
    }
    assert_eq!(other.fetch("/").await.status, 200);
    let done = here.post("/auth/password", &fields(PASSWORD, new)).await;
    assert_eq!(done.status, 200, "{}", done.text());
    assert_eq!(other.fetch("/").await.code(), "token_revoked");
    assert_eq!(here.fetch("/").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn password_form_gives_the_reason_that_the_api_gives() {
    let gateway = TestGateway::start().await;
    gateway.user("ada", &[]).await;
    let mut here = Browser::signed_in(&gateway, "ada").await;
    let page = here.go("/auth/password").await;
    let tokens = gateway.login("ada").await;
    for (new, on_the_page, in_json) in [
        ("doorwarddoorward", "a repetition counts once", "easily guessed"),
        ("passwordpassword1!", "a repetition counts once", "easily guessed"),
        ("doorward", "too short", "characters"),
    ] {
        let fields = with(&with(&csrf(&page), "current_password", PASSWORD), "new_password", new);
        let refused = here.post("/auth/password", &fields).await;
        assert_eq!(refused.status, 400, "{new}");
        assert!(refused.text().contains(on_the_page), "{new}: {}", refused.text());
        let body = serde_json::json!({ "current_password": PASSWORD, "new_password": new });
        let refused = gateway.post("/auth/password", Some(&tokens.access), &body).await;
        let detail = refused.json()["detail"].to_string();
        assert!(refused.status == 400 && detail.contains(in_json), "{new}: {detail}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sign_out_in_a_second_tab_says_signed_out() {
    let gateway = TestGateway::start().await;
    gateway.user("ada", &[]).await;
    for path in ["/auth/logout", "/auth/logout-all"] {
        let mut browser = Browser::signed_in(&gateway, "ada").await;
        let second_tab = csrf(&browser.go("/auth/logout").await);
        assert_eq!(browser.post("/auth/logout", &second_tab).await.status, 200);
        let again = browser.post(path, &second_tab).await;
        assert_eq!(again.status, 200, "{path} {}", again.text());
        assert!(again.text().contains("This browser no longer has access."), "{path} {}", again.text());
        // A cross-site form is still refused, and so is one from a user who has signed in since.
        let foreign = [("Origin", "https://evil.example"), ("Sec-Fetch-Site", "cross-site")];
        assert_eq!(browser.post_with(path, &second_tab, &foreign).await.status, 403, "{path}");
        let mut anew = Browser::signed_in(&gateway, "ada").await;
        assert_eq!(anew.post(path, &second_tab).await.status, 403, "{path}");
        assert_eq!(anew.fetch("/").await.status, 200, "{path}");
        // Two cookies of one name say nothing about who is signed in.
        let planted = "__Host-doorward-access=a; __Host-doorward-access=b";
        let mut headers: Vec<_> = super::jar::PAGE.to_vec();
        headers.extend([
            ("Origin", super::jar::ORIGIN),
            ("Sec-Fetch-Site", "same-origin"),
            ("Cookie", planted),
        ]);
        assert_eq!(Browser::new(&gateway).post_with(path, &second_tab, &headers).await.status, 403, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn browser_missing_one_cookie_can_sign_out_without_redirect_loop() {
    let gateway = TestGateway::start().await;
    let user = gateway.user("ada", &[]).await;
    for refresh in [None, Some("none-of-ours")] {
        let mut browser = Browser::signed_in(&gateway, "ada").await;
        browser.cookies.remove("__Host-doorward-refresh");
        browser.cookies.extend(refresh.map(|value| ("__Host-doorward-refresh".into(), value.into())));
        for path in ["/auth/account", "/auth/sessions", "/auth/password", "/auth/login", "/auth/logout"] {
            let page = browser.go(path).await;
            assert_eq!((page.status, page.header("location")), (200, None), "{path} {refresh:?}");
        }
        let page = browser.go("/auth/logout").await;
        let out = browser.post("/auth/logout", &csrf(&page)).await;
        assert_eq!(out.status, 200, "{}", out.text());
        forgets(&out);
        assert!(
            gateway.vault.sessions.list(Some(user), SessionPage::first(1000)).await.expect("rows").is_empty(),
            "{refresh:?}"
        );
    }
}

/// A script that signs in on every run.
async fn script(gateway: &TestGateway, agent: &str) -> crate::support::gateway::Tokens {
    let body = serde_json::json!({ "username": "ada", "password": PASSWORD }).to_string();
    let headers = [("Content-Type", "application/json"), ("User-Agent", agent)];
    let response = http::request(gateway.address(), "POST", "/auth/login", &headers, body.as_bytes()).await;
    crate::support::gateway::Tokens::of(&response)
}

#[tokio::test(flavor = "multi_thread")]
async fn api_sessions_are_one_line_each_and_end_together() {
    let gateway = TestGateway::start().await;
    let user = gateway.user("ada", &[]).await;
    let mut here = Browser::signed_in(&gateway, "ada").await;
    let mut phone = Browser::signed_in(&gateway, "ada").await;
    let page = here.go("/auth/sessions").await;
    assert!(!page.text().contains("Programs"), "{}", page.text());
    for _ in 0..34 {
        script(&gateway, "curl/8.5.0").await;
    }
    let other = script(&gateway, "backup-tool/1 (linux)").await;
    let page = here.go("/auth/sessions").await;
    let text = page.text();
    assert_eq!(
        (text.matches("id=\"device-").count(), text.matches("id=\"program-").count()),
        (2, 2),
        "{text}"
    );
    for part in [">curl <", "34 sign-ins", ">backup-tool <", "1 sign-in<"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    // Ends one of them alone.
    let form = with(&csrf(&page), "session_id", &other.session);
    assert_eq!(here.post("/auth/sessions/end", &form).await.status, 303);
    assert_eq!(gateway.call("GET", "/", &other.access).await.code(), "token_revoked");
    let ended = here.post("/auth/sessions/end-programs", &csrf(&page)).await;
    assert_eq!((ended.status, ended.header("location")), (303, Some("/auth/account")));
    assert_eq!(
        gateway.vault.sessions.list(Some(user), SessionPage::first(1000)).await.expect("rows").len(),
        2
    );
    assert_eq!((here.fetch("/").await.status, phone.fetch("/").await.status), (200, 200));
}

#[tokio::test(flavor = "multi_thread")]
async fn all_other_sessions_end_in_one_statement() {
    let faults = Faults::new();
    let gateway = TestGateway::with(Setup { stores: faults.wrap(), ..Setup::default() }).await;
    let user = gateway.user("ada", &[]).await;
    let mut here = Browser::signed_in(&gateway, "ada").await;
    for _ in 0..12 {
        gateway.login("ada").await;
    }
    let page = here.go("/auth/sessions").await;
    let before = faults.calls(Op::Revoke);
    assert_eq!(here.post("/auth/sessions/end-others", &csrf(&page)).await.status, 303);
    assert_eq!(faults.calls(Op::Revoke), before + 1);
    assert_eq!(
        gateway.vault.sessions.list(Some(user), SessionPage::first(1000)).await.expect("rows").len(),
        1
    );
    assert_eq!(here.fetch("/").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn repeated_sign_outs_without_vault_coalesce_and_retry_at_shutdown() {
    let faults = Faults::new();
    let mut gateway = TestGateway::with(Setup { stores: faults.wrap(), ..Setup::default() }).await;
    let user = gateway.user("ada", &[]).await;
    let browser = Browser::signed_in(&gateway, "ada").await;
    let page = browser.clone().go("/auth/logout").await;
    faults.fail(&[Op::Renew, Op::Revoke]);
    for _ in 0..50 {
        assert_eq!(browser.clone().post("/auth/logout", &csrf(&page)).await.status, 503);
    }
    let before = faults.calls(Op::Renew);
    assert_eventually("it is tried again", SOON, async || faults.calls(Op::Renew) > before).await;
    // Each retry round makes one call, not fifty.
    assert!(faults.calls(Op::Renew) < before + 10, "{}", faults.calls(Op::Renew) - before);
    let gate = faults.hold_every(Op::Renew);
    faults.heal();
    gate.open();
    gateway.drain().await;
    assert!(
        gateway.vault.sessions.list(Some(user), SessionPage::first(1000)).await.expect("rows").is_empty()
    );
}
