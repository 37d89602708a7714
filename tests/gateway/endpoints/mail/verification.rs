use std::time::Duration;

use serde_json::{Value, json};

use super::{MailServer, NEW, gateway, received, set};
use crate::browser::{Browser, ORIGIN, hidden, later};
use crate::refusals::assert_refused;
use crate::support::{Response, TestGateway};

/// A user with an address that nobody has verified.
async fn user(gateway: &TestGateway, name: &str) {
    let user = gateway.user(name, &[]).await;
    gateway.describe(user, &format!("{name}@example.org"), false, "").await;
}

/// Presses the button on the account page.
async fn ask(browser: &mut Browser) -> Response {
    let page = browser.go("/auth/account").await.text();
    let form = page.split("<form").find(|form| form.contains("action=\"/auth/email\"")).expect("the button");
    let csrf = form.split("name=\"csrf\" value=\"").nth(1).and_then(|rest| rest.split('"').next());
    browser.post("/auth/email", &[("csrf".to_owned(), csrf.expect("a token").to_owned())]).await
}

/// The path of the link in the newest of so many mails.
async fn link(server: &MailServer, mails: usize) -> String {
    received(server, mails).await[mails - 1].path(ORIGIN, "/email/link?token=")
}

async fn is_verified(gateway: &TestGateway) -> Value {
    let me = gateway.call("GET", "/auth/me", &gateway.login("ada").await.access).await;
    me.json()["email_verified"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn address_is_verified_by_a_link_once_and_not_by_opening_it() {
    let server = MailServer::start(&[]).await;
    let gateway = gateway(&server).await;
    user(&gateway, "ada").await;
    let mut here = Browser::signed_in(&gateway, "ada").await;
    let sent = ask(&mut here).await;
    assert!(sent.status == 200 && sent.text().contains("Look into your mailbox"), "{}", sent.text());
    let link = link(&server, 1).await;
    let page = here.go(&link).await;
    assert!(page.status == 200 && page.text().contains("ada@example.org"), "{}", page.text());
    assert_eq!(is_verified(&gateway).await, json!(false), "opening is not enough");
    let mut phone = Browser::new(&gateway);
    assert_eq!(phone.go(&link).await.status, 403, "another browser");
    // The token of a verification sets no password.
    let token = link.split_once("token=").expect("a token").1;
    let body = json!({ "token": token, "new_password": NEW });
    assert_refused(&gateway.post("/auth/reset/link", None, &body).await, 403, "link_other_browser");
    assert_eq!(here.go(&link.replace("/email/", "/reset/")).await.status, 400);
    let done = here.post("/auth/email/link", &hidden(&page)).await;
    assert!(done.status == 200 && done.text().contains("Address verified"), "{}", done.text());
    assert_eq!(is_verified(&gateway).await, json!(true));
    assert_eq!(here.post("/auth/email/link", &hidden(&page)).await.status, 400, "once");
    let account = here.go("/auth/account").await;
    assert!(account.status == 200 && !account.text().contains("/auth/email\""), "{}", account.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn program_asks_with_its_token_and_requests_are_bounded() {
    let server = MailServer::start(&[]).await;
    let gateway = gateway(&server).await;
    user(&gateway, "ada").await;
    let tokens = gateway.login("ada").await;
    for _ in 0..3 {
        let asked = gateway.post("/auth/email", Some(&tokens.access), &json!({})).await;
        assert_eq!((asked.status, asked.text().as_str()), (200, "{}"));
    }
    let fourth = gateway.post("/auth/email", Some(&tokens.access), &json!({})).await;
    assert_refused(&fourth, 429, "rate_limited");
    let nobody = gateway.post("/auth/email", None, &json!({})).await;
    assert_refused(&nobody, 401, "token_missing");
    let mut any = Browser::new(&gateway);
    let link = link(&server, 3).await;
    assert_eq!(any.go(&link).await.status, 200);
    later(&gateway, Duration::from_secs(900)).await;
    assert_eq!(any.go(&link).await.status, 400, "expired");
}

#[tokio::test(flavor = "multi_thread")]
async fn invitation_is_mailed_and_verifies_the_address() {
    let server = MailServer::start(&[]).await;
    let gateway = gateway(&server).await;
    let said = gateway.command(&["user", "invite", "eve@example.com", "--language", "de"]).await;
    assert!(said.contains("sends a mail") && !said.contains("token="), "{said}");
    let mail = &received(&server, 1).await[0];
    assert_eq!(mail.to(), "eve@example.com");
    assert!(mail.text().contains("7 Tage"), "{}", mail.text());
    let link = mail.link(ORIGIN);
    assert_eq!(set(&mut Browser::new(&gateway), &link, NEW).await.status, 200);
    let body = json!({ "username": "eve@example.com", "password": NEW });
    let tokens = gateway.post("/auth/login", None, &body).await;
    let me = gateway.call("GET", "/auth/me", &tokens.member("access_token")).await;
    assert_eq!(me.json()["email_verified"], json!(true));
    let printed = gateway.command(&["user", "invite", "bob@example.com", "--print"]).await;
    assert!(printed.contains("/auth/reset/link?token="), "{printed}");
}
