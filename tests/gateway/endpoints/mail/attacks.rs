//! Attacks on password reset: forged hosts (N24), names that do not exist, scanners, races, floods, and the search for secrets.

use std::collections::BTreeSet;

use serde_json::json;

use super::{MailServer, NEW, ask, gateway, in_clear, link_for, received, set, table, user};
use crate::browser::{Browser, ORIGIN, PAGE, encode, hidden, with};
use crate::identity::log;
use crate::refusals::assert_refused;
use crate::support::gateway::SOON;
use crate::support::{PASSWORD, Setup, TestGateway, assert_eventually, http};

#[tokio::test(flavor = "multi_thread")]
async fn forged_hosts_are_in_no_mail() {
    let server = MailServer::start(&[]).await;
    // Even from a proxy that is trusted.
    let trusted = "trusted_proxies = [\"127.0.0.1\"]".to_owned();
    let gateway =
        TestGateway::with(Setup { login: in_clear(&server), server: trusted, ..Setup::default() }).await;
    let mut sent = 0;
    for (at, forged) in [
        vec![("Host", "evil.test")],
        vec![("X-Forwarded-Host", "evil.test")],
        vec![("X-Forwarded-Host", "evil.test"), ("X-Forwarded-Proto", "https"), ("X-Forwarded-Port", "8443")],
        vec![("Forwarded", "host=evil.test;proto=https")],
        vec![("Host", "gateway.test@evil.test")],
        vec![("Origin", "http://evil.test"), ("Host", "evil.test")],
    ]
    .into_iter()
    .enumerate()
    {
        let name = format!("user{at}");
        user(&gateway, &name).await;
        let body = json!({ "username": name }).to_string();
        let headers: Vec<_> = [("Content-Type", "application/json")].into_iter().chain(forged).collect();
        let asked = http::request(gateway.address(), "POST", "/auth/reset", &headers, body.as_bytes()).await;
        sent += usize::from(asked.status == 200);
        let mut here = Browser::new(&gateway);
        let page = here.go("/auth/reset").await;
        let fields = with(&hidden(&page), "username", &name);
        let headers: Vec<_> = PAGE.into_iter().chain(headers.iter().copied().skip(1)).collect();
        sent += usize::from(here.post_with("/auth/reset", &fields, &headers).await.status == 200);
    }
    assert!(sent >= 3, "{sent} of the requests were taken");
    for mail in received(&server, sent).await {
        assert!(!mail.text().contains("evil"), "{}", mail.text());
        assert!(mail.link(ORIGIN).starts_with("/auth/reset/link?token="));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn response_is_the_same_for_everybody() {
    let server = MailServer::start(&[]).await;
    let gateway = gateway(&server).await;
    user(&gateway, "ada").await;
    let disabled = user(&gateway, "off").await;
    gateway
        .vault
        .users
        .change(disabled, &doorward::vault::UserChange::Disabled(true))
        .await
        .expect("changed");
    let unverified = gateway.user("new", &[]).await;
    gateway.describe(unverified, "new@example.org", false, "").await;
    gateway.user("bare", &[]).await;
    gateway.command(&["user", "invite", "eve@example.com", "--print"]).await;
    let mut seen = BTreeSet::new();
    for name in
        ["ada", "off", "new", "bare", "eve@example.com", "nobody", "nobody@example.org", "<b>", "a b", "@"]
    {
        let mut here = Browser::new(&gateway);
        let asked = ask(&mut here, name).await;
        let kept =
            |(name, _): &&(String, String)| !["date", "x-request-id"].contains(&name.to_lowercase().as_str());
        let headers: Vec<String> =
            asked.headers.iter().filter(kept).map(|pair| format!("{pair:?}")).collect();
        seen.insert((asked.status, headers, asked.text()));
        let json = gateway.post("/auth/reset", None, &json!({ "username": name })).await;
        assert_eq!((json.status, json.text().as_str()), (200, "{}"), "{name}");
    }
    assert_eq!(seen.len(), 1, "{seen:#?}");
    // Only the one user got something: by the page and by JSON.
    assert!(received(&server, 2).await.iter().all(|mail| mail.to() == "ada@example.org"));
    // The server has a mail before the vault knows that it was sent.
    let is_empty = async || gateway.vault.mail.outbox().await.expect("an answer").waiting == 0;
    assert_eventually("nothing waits", SOON, is_empty).await;
    received(&server, 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn scanner_uses_no_link_up() {
    let server = MailServer::start(&[]).await;
    let gateway = gateway(&server).await;
    user(&gateway, "ada").await;
    let mut here = Browser::new(&gateway);
    let link = link_for(&mut here, &server, "ada").await;
    for _ in 0..3 {
        for method in ["HEAD", "GET"] {
            http::request(gateway.address(), method, &link, &PAGE, b"").await;
            here.ask(method, &link, &PAGE, b"").await;
        }
        // One that presses the button without the cookie or a password.
        let fields = [("token".to_owned(), link.split_once('=').expect("a token").1.to_owned())];
        Browser::new(&gateway).post("/auth/reset/link", &fields).await;
    }
    assert_eq!(set(&mut here, &link, NEW).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn link_works_once_at_two_gateways_at_once() {
    let server = MailServer::start(&[]).await;
    let gateway = gateway(&server).await;
    let (folder, clock) = (Some(gateway.folder.clone()), gateway.clock.clone());
    let other =
        TestGateway::with(Setup { folder, clock, login: in_clear(&server), ..Setup::default() }).await;
    user(&gateway, "ada").await;
    let mut here = Browser::new(&gateway);
    let link = link_for(&mut here, &server, "ada").await;
    let page = here.go(&link).await;
    let passwords = ["gentle walrus paints a tower", "quiet badger counts seven stones"];
    let [first, second] = passwords.map(|new| with(&hidden(&page), "new_password", new));
    let (mut one, mut two) = (here.at(&gateway), here.at(&other));
    let (a, b) = tokio::join!(one.post("/auth/reset/link", &first), two.post("/auth/reset/link", &second));
    let mut statuses = [a.status, b.status];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 400], "{} {}", a.text(), b.text());
    let mut works = Vec::new();
    for new in passwords {
        let login = gateway.post("/auth/login", None, &json!({ "username": "ada", "password": new })).await;
        works.push(login.status == 200);
    }
    assert_eq!(works, [a.status == 200, b.status == 200]);
    received(&server, 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_are_bounded_and_lock_nobody_out() {
    let server = MailServer::start(&[]).await;
    let gateway = gateway(&server).await;
    user(&gateway, "ada").await;
    let mut known = Browser::signed_in(&gateway, "ada").await;
    let mut stranger = Browser::new(&gateway);
    let mut refused = 0;
    for _ in 0..12 {
        let asked = ask(&mut stranger, "ada").await;
        refused += usize::from(asked.status == 429 && asked.header("retry-after").is_some());
    }
    assert!(refused > 0, "the throttle");
    // Three links at a time, whatever was asked for.
    assert_eventually("the mails are sent", SOON, async || {
        gateway.metric("doorward_mail_attempts_total{result=\"sent\"}").await >= 3.0
    })
    .await;
    let login = gateway.post("/auth/login", None, &json!({ "username": "ada", "password": PASSWORD })).await;
    assert_eq!(login.status, 200, "requests are no failed sign-ins");
    // The owner's browser has more, once the throttle lets it ask.
    crate::browser::later(&gateway, std::time::Duration::from_secs(120)).await;
    received(&server, 3).await;
    let page = known.go("/auth/reset").await;
    let fields = with(&hidden(&page), "username", "ada");
    assert_eq!(known.post("/auth/reset", &fields).await.status, 200);
    received(&server, 4).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn known_browser_without_tries_gets_a_link_and_loses_none_by_asking() {
    let mut server = MailServer::start(&[]).await;
    let gateway = gateway(&server).await;
    user(&gateway, "ada").await;
    let mut known = Browser::signed_in(&gateway, "ada").await;
    known.cookies.retain(|name, _| !name.ends_with("access") && !name.ends_with("refresh"));
    for status in [200, 200, 200, 429] {
        assert_eq!(ask(&mut known, "ada").await.status, status);
    }
    received(&server, 3).await;
    let mut statuses = Vec::new();
    while statuses.last() != Some(&429) && statuses.len() < 20 {
        let page = known.sign_in("ada", "a wrong password", "/auth/login", &[]).await;
        statuses.push(page.status);
    }
    assert_eq!(statuses.len(), 11, "ten guesses of its own: {statuses:?}");
    crate::browser::later(&gateway, std::time::Duration::from_secs(30)).await;
    assert_eq!(ask(&mut known, "ada").await.status, 200, "who has forgotten the password may ask");
    received(&server, 4).await;
    server.kill();
}

#[tokio::test(flavor = "multi_thread")]
async fn forms_of_other_sites_are_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let mail = table(&format!("file:{}", folder.path().display()), "");
    let gateway = TestGateway::with(Setup { login: mail, ..Setup::default() }).await;
    user(&gateway, "ada").await;
    let mut here = Browser::new(&gateway);
    let page = here.go("/auth/reset").await;
    let fields = with(&hidden(&page), "username", "ada");
    let foreign = [("Origin", "http://evil.test"), ("Sec-Fetch-Site", "cross-site"), ("Accept", "text/html")];
    assert_eq!(here.post_with("/auth/reset", &fields, &foreign).await.status, 403);
    let body = encode(&fields);
    let form = [("Content-Type", "application/x-www-form-urlencoded")];
    let without = http::request(gateway.address(), "POST", "/auth/reset", &form, body.as_bytes()).await;
    assert_refused(&without, 415, "media_type_unsupported");
    assert_eq!(std::fs::read_dir(folder.path()).expect("a folder").count(), 0);
}

/// The vault of a gateway, all of its files.
fn vault_files(gateway: &TestGateway) -> Vec<u8> {
    let files = std::fs::read_dir(gateway.folder.path()).expect("a folder").flatten();
    let files = files.filter(|file| file.file_name().to_string_lossy().contains(".db"));
    files.flat_map(|file| std::fs::read(file.path()).expect("a file")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_and_addresses_stay_out_of_logs_metrics_and_the_vault() {
    // Lines of other tests of this process are in it too; this person is in none of them.
    log::capture();
    let mut server = MailServer::start(&[]).await;
    let gateway = gateway(&server).await;
    let user = gateway.user("mileva", &[]).await;
    gateway.describe(user, "mileva@museion.example", true, "").await;
    let refused = gateway.user("refused", &[]).await;
    gateway.describe(refused, "refused@museion.example", true, "").await;
    let mut here = Browser::new(&gateway);
    let link = link_for(&mut here, &server, "mileva").await;
    let token = link.split_once("token=").expect("a token").1.to_owned();
    let attempts = async |result: &str| {
        gateway.metric(&format!("doorward_mail_attempts_total{{result=\"{result}\"}}")).await
    };
    // One that waits, one that is given up, one whose link is used.
    server.kill();
    ask(&mut here, "mileva").await;
    assert_eventually("an attempt", SOON, async || attempts("failed").await >= 1.0).await;
    let waiting = vault_files(&gateway);
    server.restart().await;
    ask(&mut here, "refused").await;
    assert_eventually("it is given up", SOON, async || attempts("given_up").await >= 1.0).await;
    assert_eq!(set(&mut here, &link, "short").await.status, 400);
    assert_eq!(set(&mut here, &link, NEW).await.status, 200);
    let used = here.go(&link).await.text();
    let metrics = gateway.probe("/metrics").await.text();
    let log = log::captured();
    assert!(log.contains("mail_sent") && log.contains("mail_given_up"), "{log}");
    let has = |hay: &[u8], needle: &str| hay.windows(needle.len()).any(|part| part == needle.as_bytes());
    assert!(server.received()[0].text().contains(&token), "the mail has it");
    for (place, text) in [
        ("vault", waiting.as_slice()),
        ("vault later", &vault_files(&gateway)),
        ("log", log.as_bytes()),
        ("metrics", metrics.as_bytes()),
        ("page of a used link", used.as_bytes()),
    ] {
        assert!(!has(text, &token), "the token is in the {place}");
        assert!(!has(text, "reset/link?token"), "a link is in the {place}");
        assert!(place.starts_with("vault") || !has(text, "@museion.example"), "an address is in the {place}");
    }
}
