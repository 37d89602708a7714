//! The account page: personal data, devices and programs in pages, the password form.

use std::time::Duration;

use doorward::id::{Random, SessionId, SystemRandom, UserId};
use doorward::identity::{ClientKind, Epoch, Methods};
use doorward::vault::{NewSession, SessionPage};

use super::Browser;
use super::jar::{hidden, with};
use crate::support::{PASSWORD, Response, TestGateway};

const SPAN: Duration = Duration::from_secs(3600);

/// The links on a page whose text is `text`, unescaped.
fn links(page: &Response, text: &str) -> Vec<String> {
    let html = page.text();
    let ends = html.match_indices(&format!("\">{text}</a>")).map(|(at, _)| at).collect::<Vec<_>>();
    let link = |at: usize| html[..at].rsplit("href=\"").next().unwrap_or_default().replace("&#38;", "&");
    ends.into_iter().map(link).collect()
}

/// Opens a session without the time that a password takes.
async fn open(gateway: &TestGateway, user_id: UserId, kind: ClientKind, agent: &str) {
    let random: &dyn Random = &SystemRandom;
    let session = NewSession {
        id: SessionId::random(random),
        user_id,
        epoch: Epoch(0),
        client_id: kind.client_id().to_owned(),
        family: random.bytes(),
        refresh_kid: 0,
        idle: SPAN,
        absolute: SPAN,
        address: None,
        user_agent: Some(agent.to_owned()),
        methods: Methods::PASSWORD,
        proven_ago: Duration::ZERO,
    };
    gateway.vault.sessions.open(&session).await.expect("a session");
}

#[tokio::test(flavor = "multi_thread")]
async fn account_page_shows_own_data_devices_and_password_form() {
    let gateway = TestGateway::start().await;
    let ada = gateway.user("ada", &["admin", "staff"]).await;
    gateway.describe(ada, "ada@example.org", true, "Ada <b>Lovelace</b>").await;
    let mut here = Browser::signed_in(&gateway, "ada").await;
    Browser::signed_in(&gateway, "ada").await;
    for path in [
        "/auth/account",
        "/auth/sessions",
        "/auth/account?devices_after=x&programs_after=",
        "/auth/account?x=%ff",
    ] {
        let page = here.go(path).await;
        assert_eq!((page.status, page.header("content-type")), (200, Some("text/html; charset=utf-8")));
        let text = page.text();
        for part in ["<title>My account", "<dd>ada</dd>", "ada@example.org", ">verified<", "admin, staff"] {
            assert!(text.contains(part), "{path} {part}: {text}");
        }
        assert!(text.contains("Lovelace") && !text.contains("<b>"), "{text}");
        assert_eq!(text.matches("id=\"device-").count(), 2, "{path}: {text}");
        assert!(text.contains("action=\"/auth/password\"") && !text.contains("autofocus"), "{text}");
    }
    let without = Browser::new(&gateway).go("/auth/account").await;
    assert_eq!(without.status, 303, "sign in first");

    // The other pages of the account lead there.
    for path in ["/auth/login", "/auth/logout", "/auth/password"] {
        let page = here.go(path).await;
        assert_eq!(links(&page, "My account"), ["/auth/account"], "{path}: {}", page.text());
    }
    // Its password form is the one of the password page.
    let page = here.go("/auth/account").await;
    let csrf: Vec<_> = hidden(&page).into_iter().filter(|(name, _)| name == "csrf").take(1).collect();
    let fields = |new: &str| with(&with(&csrf, "current_password", PASSWORD), "new_password", new);
    let refused = here.post("/auth/password", &fields("short")).await;
    assert!(refused.status == 400 && refused.text().contains("role=\"alert\""), "{}", refused.text());
    let done = here.post("/auth/password", &fields("quite another long password")).await;
    assert_eq!(done.status, 200, "{}", done.text());
    let page = here.go("/auth/account").await;
    assert!(page.text().contains("You are signed in nowhere else."), "{}", page.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn account_page_without_attributes_leaves_them_out() {
    let gateway = TestGateway::start().await;
    let ada = gateway.user("ada", &[]).await;
    let mut here = Browser::signed_in(&gateway, "ada").await;
    let text = here.go("/auth/account").await.text();
    for label in ["<dt>Name<", "E-mail address", "<dt>Roles<", "verified"] {
        assert!(!text.contains(label), "{label}: {text}");
    }
    gateway.describe(ada, "ada@example.org", false, "").await;
    let mut here = Browser::signed_in(&gateway, "ada").await;
    assert!(here.go("/auth/account").await.text().contains(">not verified<"));
    let german = [("Accept", "text/html"), ("Accept-Language", "de"), ("Sec-Fetch-Mode", "navigate")];
    let page = here.ask("GET", "/auth/account", &german, b"").await.text();
    for part in ["Mein Konto", "E-Mail-Adresse", "nicht bestätigt"] {
        assert!(page.contains(part), "{part}: {page}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn both_lists_of_the_account_page_have_pages() {
    let gateway = TestGateway::start().await;
    let ada = gateway.user("ada", &[]).await;
    for at in 0..24 {
        let kind = if at % 2 == 0 { ClientKind::Browser } else { ClientKind::RememberedBrowser };
        open(&gateway, ada, kind, "Mozilla/5.0 (X11; Linux x86_64) Firefox/140.0").await;
    }
    for at in 0..55 {
        open(&gateway, ada, ClientKind::Program, if at < 5 { "old-tool/1" } else { "curl/8" }).await;
    }
    let mut here = Browser::signed_in(&gateway, "ada").await;
    let counts = |page: &Response| {
        let text = page.text();
        (text.matches("id=\"device-").count(), text.matches("id=\"program-").count())
    };
    let first = here.go("/auth/account").await;
    assert_eq!(counts(&first), (20, 1));
    assert!(first.text().contains("50 sign-ins") && first.text().contains("This one"), "{}", first.text());
    let older = links(&first, "Show older sign-ins");
    let [devices, programs] = &older[..] else { panic!("{older:?}") };
    assert!(devices.ends_with("#devices") && programs.ends_with("#programs"), "{older:?}");
    let follow = |link: &str| link.split('#').next().unwrap_or_default().to_owned();

    let last = here.go(&follow(devices)).await;
    assert_eq!(counts(&last), (5, 1), "{}", last.text());
    assert!(!last.text().contains("This one") && last.text().contains("Sign out all others"));
    assert_eq!(links(&last, "Show older sign-ins"), [programs.as_str()], "the devices have no more pages");
    assert_eq!(links(&last, "Back to the newest"), ["/auth/account"]);
    let second = here.go(&follow(programs)).await;
    assert_eq!(counts(&second), (20, 1));
    assert!(second.text().contains("5 sign-ins") && second.text().contains("old-tool"), "{}", second.text());
    assert_eq!(links(&second, "Show older sign-ins"), [devices.as_str()]);

    // Both pages together list every session once.
    let all = gateway.vault.sessions.list(Some(ada), SessionPage::first(1000)).await.expect("rows");
    assert_eq!(all.len(), 25 + 55);
    // The first form of the last page of devices ends the first of them.
    let end = here.post("/auth/sessions/end", &hidden(&last)).await;
    assert_eq!((end.status, end.header("location")), (303, Some("/auth/account")));
    let left = gateway.vault.sessions.list(Some(ada), SessionPage::first(1000)).await.expect("rows");
    let ended: Vec<_> = all.iter().map(|row| row.grant.session_id).collect();
    let left: Vec<_> = left.iter().map(|row| row.grant.session_id).collect();
    let ended: Vec<_> = ended.into_iter().filter(|id| !left.contains(id)).collect();
    assert!(ended.len() == 1 && last.text().contains(&ended[0].to_string()), "{ended:?}");
}
