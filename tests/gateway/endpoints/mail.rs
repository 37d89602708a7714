//! Mails: password reset, invitations, and the outbox, with aiosmtpd as the mail server.

mod attacks;
mod delivery;
mod operator;
mod reset;
mod server;
mod verification;

use doorward::id::UserId;

use crate::browser::{Browser, ORIGIN, hidden, with};
use crate::support::gateway::SOON;
use crate::support::{Response, Setup, TestGateway, assert_eventually};
use server::{MailServer, Received};

/// A password that the rules accept.
const NEW: &str = "gentle walrus paints a tower";

/// `[mail]` for a server without TLS.
fn in_clear(server: &MailServer) -> String {
    table(&format!("smtp://127.0.0.1:{}", server.port), "starttls = false")
}

fn table(url: &str, more: &str) -> String {
    format!("[mail]\nurl = \"{url}\"\nfrom = \"noreply@gateway.test\"\n{more}\n")
}

/// A gateway that sends mails to this server.
async fn gateway(server: &MailServer) -> TestGateway {
    with_mail(in_clear(server)).await
}

async fn with_mail(mail: String) -> TestGateway {
    TestGateway::with(Setup { login: mail, ..Setup::default() }).await
}

/// A user with a verified address.
async fn user(gateway: &TestGateway, name: &str) -> UserId {
    let user = gateway.user(name, &[]).await;
    gateway.describe(user, &format!("{name}@example.org"), true, "").await;
    user
}

/// Asks for a link on the page.
async fn ask(browser: &mut Browser, name: &str) -> Response {
    let page = browser.go("/auth/reset").await;
    assert_eq!(page.status, 200, "{}", page.text());
    let fields = with(&hidden(&page), "username", name);
    browser.post("/auth/reset", &fields).await
}

/// Asks for a link, and returns its path once the mail is there.
async fn link_for(browser: &mut Browser, server: &MailServer, name: &str) -> String {
    let before = server.received().len();
    let asked = ask(browser, name).await;
    assert_eq!(asked.status, 200, "{}", asked.text());
    received(server, before + 1).await[before].link(ORIGIN)
}

/// Waits for this many mails.
async fn received(server: &MailServer, count: usize) -> Vec<Received> {
    assert_eventually("the mails are there", SOON, async || server.received().len() >= count).await;
    let received = server.received();
    assert_eq!(received.len(), count, "{received:?}");
    received
}

/// Sets a password on the page of a link.
async fn set(browser: &mut Browser, link: &str, new: &str) -> Response {
    let page = browser.go(link).await;
    assert_eq!(page.status, 200, "{}", page.text());
    let fields = with(&hidden(&page), "new_password", new);
    browser.post("/auth/reset/link", &fields).await
}
