use std::time::Duration;

use serde_json::json;

use super::{MailServer, NEW, ask, gateway, link_for, received, set, user, with_mail};
use crate::browser::{Browser, ORIGIN, hidden, later, with};
use crate::refusals::assert_refused;
use crate::support::{PASSWORD, Setup, TestGateway};

#[tokio::test(flavor = "multi_thread")]
async fn forgotten_password_is_set_by_mail_and_ends_all_sessions() {
    let server = MailServer::start(&[]).await;
    let gateway = gateway(&server).await;
    user(&gateway, "ada").await;
    let (mut before, tokens) = (Browser::signed_in(&gateway, "ada").await, gateway.login("ada").await);
    let mut here = Browser::new(&gateway);
    let sign_in = here.go("/auth/login").await.text();
    assert!(sign_in.contains("<a href=\"/auth/reset\">Forgot your password?</a>"), "{sign_in}");
    // By address as well as by name.
    let link = link_for(&mut here, &server, "ada@example.org").await;
    let mail = &server.received()[0];
    assert_eq!(
        (mail.to().as_str(), mail.get("from").as_str()),
        ("ada@example.org", Some("noreply@gateway.test"))
    );
    assert_eq!(mail.get("helo"), "gateway.test", "not the name of this machine");
    assert!(mail.header("Message-ID").ends_with("@gateway.test>"), "{}", mail.text());
    assert_eq!(mail.header("Auto-Submitted"), "auto-generated");
    let text = mail.text();
    assert!(
        text.contains("text/plain") && text.contains("text/html") && text.contains("15 minutes"),
        "{text}"
    );
    let page = here.go(&link).await;
    assert_eq!(page.header("referrer-policy"), Some("origin"), "the link's token stays on the page");
    assert!(page.text().contains("value=\"ada\""), "{}", page.text());
    // A refused password leaves the link good.
    let short = set(&mut here, &link, "short").await;
    assert!(short.status == 400 && short.text().contains("too short"), "{}", short.text());
    let done = set(&mut here, &link, NEW).await;
    assert!(done.status == 200 && done.text().contains("Password set"), "{}", done.text());
    assert!(!here.cookies.keys().any(|name| name.ends_with("access")), "nobody is signed in by it");
    // Every session has ended, and the old password is void.
    assert_eq!(before.go("/reports").await.status, 303);
    assert_eq!(gateway.call("GET", "/", &tokens.access).await.code(), "token_revoked");
    let old = gateway.post("/auth/login", None, &json!({ "username": "ada", "password": PASSWORD })).await;
    assert_refused(&old, 401, "credentials_wrong");
    let new = gateway.post("/auth/login", None, &json!({ "username": "ada", "password": NEW })).await;
    assert_eq!(new.status, 200, "{}", new.text());
    // The owner is told.
    let mails = received(&server, 2).await;
    assert!(mails[1].header("Subject").contains("your password was changed"), "{}", mails[1].text());
    let again = here.go(&link).await;
    assert!(again.status == 400 && again.text().contains("does not work any more"), "{}", again.text());
    assert!(again.text().contains("href=\"/auth/reset\""), "a way on");
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_and_mail_are_in_the_language_of_the_browser() {
    let server = MailServer::start(&[]).await;
    let gateway = gateway(&server).await;
    user(&gateway, "ada").await;
    let mut here = Browser::new(&gateway);
    let german = [("Accept", "text/html"), ("Sec-Fetch-Mode", "navigate"), ("Accept-Language", "de")];
    let page = here.ask("GET", "/auth/reset", &german, b"").await;
    assert!(page.text().contains("Passwort vergessen?"), "{}", page.text());
    let fields = with(&hidden(&page), "username", "ada");
    let headers = [german[0], german[1], german[2], ("Origin", ORIGIN), ("Sec-Fetch-Site", "same-origin")];
    let asked = here.post_with("/auth/reset", &fields, &headers).await;
    assert!(asked.text().contains("Sehen Sie in Ihr Postfach"), "{}", asked.text());
    let mail = &received(&server, 1).await[0];
    assert!(mail.text().contains("Der Link gilt einmal"), "{}", mail.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn link_works_in_the_browser_that_asked_and_says_so_elsewhere() {
    let server = MailServer::start(&[]).await;
    let gateway = gateway(&server).await;
    user(&gateway, "ada").await;
    let mut here = Browser::new(&gateway);
    let link = link_for(&mut here, &server, "ada").await;
    let mut phone = Browser::new(&gateway);
    let page = phone.go(&link).await;
    assert!(
        page.status == 403 && page.text().contains("Open the link in the other browser"),
        "{}",
        page.text()
    );
    // Not by a form either, and not as JSON.
    let login = phone.go("/auth/reset").await;
    let token = link.split_once("token=").expect("a token").1;
    let fields = with(&with(&hidden(&login), "token", token), "new_password", NEW);
    assert_eq!(phone.post("/auth/reset/link", &fields).await.status, 403);
    let body = json!({ "token": token, "new_password": NEW });
    assert_refused(&gateway.post("/auth/reset/link", None, &body).await, 403, "link_other_browser");
    assert_eq!(set(&mut here, &link, NEW).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn second_factor_is_asked_for_after_a_reset() {
    let server = MailServer::start(&[]).await;
    let gateway = gateway(&server).await;
    let ada = user(&gateway, "ada").await;
    let sealed = doorward::vault::NewTotp {
        id: doorward::id::FactorId::from_bytes([1; 16]),
        user_id: ada,
        name: "phone".into(),
        sealed: vec![1],
        step: 0,
    };
    gateway.vault.factors.add_totp(&sealed).await.expect("enrolled");
    let mut here = Browser::new(&gateway);
    let link = link_for(&mut here, &server, "ada").await;
    assert_eq!(set(&mut here, &link, NEW).await.status, 200);
    assert!(gateway.vault.factors.of_user(ada).await.expect("an answer").is_enrolled(), "the factor stays");
    let signing_in = here.sign_in("ada", NEW, "/auth/login", &[]).await;
    assert_eq!((signing_in.status, signing_in.header("location")), (303, Some("/auth/login/factor")));
    let program = gateway.post("/auth/login", None, &json!({ "username": "ada", "password": NEW })).await;
    assert_refused(&program, 403, "factor_required");
}

#[tokio::test(flavor = "multi_thread")]
async fn link_expires_and_is_void_after_another_change() {
    let server = MailServer::start(&[]).await;
    let gateway = gateway(&server).await;
    user(&gateway, "ada").await;
    let mut here = Browser::new(&gateway);
    let (old, other) = (link_for(&mut here, &server, "ada").await, link_for(&mut here, &server, "ada").await);
    assert_eq!(set(&mut here, &other, NEW).await.status, 200);
    assert_eq!(here.go(&old).await.status, 400, "the user's other link");
    let link = {
        received(&server, 3).await;
        link_for(&mut here, &server, "ada").await
    };
    later(&gateway, Duration::from_secs(14 * 60)).await;
    assert_eq!(here.go(&link).await.status, 200);
    later(&gateway, Duration::from_secs(60)).await;
    assert_eq!(here.go(&link).await.status, 400);
}

#[tokio::test(flavor = "multi_thread")]
async fn program_asks_and_sets_as_json() {
    let server = MailServer::start(&[]).await;
    let gateway = gateway(&server).await;
    user(&gateway, "ada").await;
    let asked = gateway.post("/auth/reset", None, &json!({ "username": " ADA " })).await;
    assert_eq!((asked.status, asked.text().as_str()), (200, "{}"));
    let link = received(&server, 1).await[0].link(ORIGIN);
    let token = link.split_once("token=").expect("a token").1;
    let set = |token: &str, new: &str| json!({ "token": token, "new_password": new });
    let refused = gateway.post("/auth/reset/link", None, &set(token, "passwordpassword")).await;
    assert_refused(&refused, 400, "password_rejected");
    assert_eq!(refused.json()["reason"], "password_repeated");
    let done = gateway.post("/auth/reset/link", None, &set(token, NEW)).await;
    assert_eq!((done.status, &done.json()["ended"]), (200, &json!(0)), "{}", done.text());
    for bad in [token, "", "x"] {
        let again = gateway.post("/auth/reset/link", None, &set(bad, NEW)).await;
        let code = if bad.is_empty() { "request_invalid" } else { "link_invalid" };
        assert_refused(&again, 400, code);
    }
    for bad in [
        json!({}),
        json!({ "username": "" }),
        json!({ "username": "ada", "x": 1 }),
        json!({ "username": "a".repeat(600) }),
    ] {
        assert_refused(&gateway.post("/auth/reset", None, &bad).await, 400, "request_invalid");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_offered_where_no_mails_are_sent() {
    let gateway = TestGateway::start().await;
    user(&gateway, "ada").await;
    let mut here = Browser::new(&gateway);
    assert!(!here.go("/auth/login").await.text().contains("/auth/reset"));
    assert_eq!(here.go("/auth/reset").await.status, 404);
    let asked = gateway.post("/auth/reset", None, &json!({ "username": "ada" })).await;
    assert_refused(&asked, 404, "route_unknown");
}

#[tokio::test(flavor = "multi_thread")]
async fn reload_turns_mails_on_and_changes_the_server() {
    let server = MailServer::start(&[]).await;
    let mut gateway = TestGateway::with(Setup::default()).await;
    gateway.follow();
    user(&gateway, "ada").await;
    let mail = super::in_clear(&server);
    gateway.reconfigure(|text| format!("{text}\n{mail}")).await;
    let mut here = Browser::new(&gateway);
    link_for(&mut here, &server, "ada").await;
    let other = MailServer::start(&[]).await;
    gateway.reconfigure(|text| text.replace(&server.port.to_string(), &other.port.to_string())).await;
    link_for(&mut here, &other, "ada").await;
    assert_eq!(server.received().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn form_problems_are_shown() {
    let folder = tempfile::tempdir().expect("a folder");
    let gateway = with_mail(super::table(&format!("file:{}", folder.path().display()), "")).await;
    let mut here = Browser::new(&gateway);
    let empty = ask(&mut here, " ").await;
    assert!(empty.status == 400 && empty.text().contains("Enter your user name"), "{}", empty.text());
    let page = here.go("/auth/reset").await;
    let fields = with(&with(&hidden(&page), "csrf", "x"), "username", "ada");
    assert_eq!(here.post("/auth/reset", &fields).await.status, 403, "another page's form");
}

#[tokio::test(flavor = "multi_thread")]
async fn owner_is_told_of_a_password_changed_on_the_account_page() {
    let server = MailServer::start(&[]).await;
    let gateway = gateway(&server).await;
    user(&gateway, "ada").await;
    let tokens = gateway.login("ada").await;
    let wrong = json!({ "current_password": "not the password", "new_password": NEW });
    assert_eq!(gateway.post("/auth/password", Some(&tokens.access), &wrong).await.status, 400);
    let change = json!({ "current_password": PASSWORD, "new_password": NEW });
    assert_eq!(gateway.post("/auth/password", Some(&tokens.access), &change).await.status, 200);
    let mail = &received(&server, 1).await[0];
    assert!(mail.header("Subject").contains("your password was changed"), "{}", mail.text());
    assert!(mail.text().contains("tell whoever runs this site"), "{}", mail.text());
}
