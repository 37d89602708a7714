//! The way of a mail: TLS, refusals, and a mail server or a gateway that dies.

use std::collections::BTreeMap;
use std::time::Duration;

use doorward::id::{MailId, SystemRandom};
use doorward::vault::{NewMail, Outbox};

use super::{MailServer, ask, gateway, in_clear, received, table, user, with_mail};
use crate::browser::Browser;
use crate::support::gateway::SOON;
use crate::support::{Setup, TestGateway, assert_eventually, tls};

/// Number of mails of the test with a server that dies.
const MAILS: usize = 50;

/// A CA, and a server's certificate for `localhost`.
fn certificates() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    tls::authority(folder.path(), "ca");
    let extensions = ["basicConstraints=critical,CA:FALSE", "subjectAltName=DNS:localhost"];
    tls::issue(folder.path(), "ca", "mail", &extensions);
    folder
}

async fn secured(folder: &tempfile::TempDir, how: &str) -> MailServer {
    let file = |name: &str| folder.path().join(name).display().to_string();
    let (cert, key) = (format!("cert={}", file("mail.crt")), format!("key={}", file("mail.key")));
    MailServer::start(&[&format!("tls={how}"), &cert, &key, "login=doorward:a long secret"]).await
}

fn with_login(folder: &tempfile::TempDir, password: &str) -> String {
    let ca = folder.path().join("ca.crt");
    format!("username = \"doorward\"\npassword = \"{password}\"\nca_file = \"{}\"", ca.display())
}

async fn outbox(gateway: &TestGateway) -> Outbox {
    gateway.vault.mail.outbox().await.expect("an answer")
}

#[tokio::test(flavor = "multi_thread")]
async fn mail_goes_over_tls_with_a_password() {
    let folder = certificates();
    for (how, scheme) in [("starttls", "smtp"), ("wrapped", "smtps")] {
        let server = secured(&folder, how).await;
        let url = format!("{scheme}://localhost:{}", server.port);
        let gateway = with_mail(table(&url, &with_login(&folder, "a long secret"))).await;
        user(&gateway, "ada").await;
        assert_eq!(ask(&mut Browser::new(&gateway), "ada").await.status, 200);
        let mail = &received(&server, 1).await[0];
        assert_eq!((mail.get("is_secure"), mail.get("login")), (&true.into(), &"doorward".into()), "{how}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn server_without_tls_or_with_another_certificate_gets_nothing() {
    let folder = certificates();
    let (plain, secured) = (MailServer::start(&[]).await, secured(&folder, "starttls").await);
    let trusting = with_login(&folder, "a long secret");
    let login = trusting.lines().take(2).collect::<Vec<_>>().join("\n");
    for (why, url, more) in [
        ("no STARTTLS", format!("smtp://localhost:{}", plain.port), trusting.as_str()),
        ("a CA that is not trusted", format!("smtp://localhost:{}", secured.port), &login),
        ("another name", format!("smtp://127.0.0.1:{}", secured.port), &trusting),
        ("no TLS at the beginning", format!("smtps://localhost:{}", plain.port), &trusting),
    ] {
        let gateway = with_mail(table(&url, more)).await;
        user(&gateway, "ada").await;
        assert_eq!(ask(&mut Browser::new(&gateway), "ada").await.status, 200);
        assert_eventually(why, SOON, async || {
            gateway.metric("doorward_mail_attempts_total{result=\"failed\"}").await >= 1.0
        })
        .await;
        assert_eq!(outbox(&gateway).await.waiting, 1, "{why}");
    }
    assert!(plain.received().is_empty() && secured.received().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_password_is_tried_again_until_it_is_corrected() {
    let folder = certificates();
    let server = secured(&folder, "starttls").await;
    let url = format!("smtp://localhost:{}", server.port);
    let mut gateway = with_mail(table(&url, &with_login(&folder, "wrong"))).await;
    gateway.follow();
    user(&gateway, "ada").await;
    ask(&mut Browser::new(&gateway), "ada").await;
    assert_eventually("an attempt", SOON, async || {
        gateway.metric("doorward_mail_attempts_total{result=\"failed\"}").await >= 1.0
    })
    .await;
    gateway.reconfigure(|text| text.replace("\"wrong\"", "\"a long secret\"")).await;
    received(&server, 1).await;
    assert_eventually("the vault knows", SOON, async || outbox(&gateway).await.waiting == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn refused_recipient_is_given_up_and_a_busy_server_is_not() {
    let server = MailServer::start(&[]).await;
    let gateway = gateway(&server).await;
    for name in ["refused", "later"] {
        user(&gateway, name).await;
        ask(&mut Browser::new(&gateway), name).await;
    }
    for result in ["given_up", "failed"] {
        assert_eventually(result, SOON, async || {
            gateway.metric(&format!("doorward_mail_attempts_total{{result=\"{result}\"}}")).await >= 1.0
        })
        .await;
    }
    assert_eventually("one waits", SOON, async || gateway.metric("doorward_mail_waiting").await == 1.0).await;
    let status = gateway.probe("/admin/status").await;
    assert_eq!(status.status, 404, "no token is set");
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_server_gets_each_mail_once_or_twice_with_one_message_id() {
    let mut server = MailServer::start(&[]).await;
    server.kill();
    let gateway = gateway(&server).await;
    let mut here = Browser::new(&gateway);
    // Each asks from a browser of the same office: its limit is that of failed sign-ins.
    for number in 0..MAILS {
        user(&gateway, &format!("user{number}")).await;
    }
    for number in 0..MAILS {
        loop {
            let asked = ask(&mut here, &format!("user{number}")).await;
            match asked.status {
                200 => break,
                429 => crate::browser::later(&gateway, Duration::from_secs(20)).await,
                // The work of earlier requests is going on.
                503 => tokio::task::yield_now().await,
                other => panic!("{other}: {}", asked.text()),
            }
        }
    }
    assert_eventually("all are written", SOON, async || outbox(&gateway).await.waiting == MAILS as u32).await;
    server.restart().await;
    for before in [10, 25, 40] {
        assert_eventually("some are sent", SOON, async || server.received().len() >= before).await;
        server.kill();
        // The gateway meets a dead server.
        let failed = gateway.metric("doorward_mail_attempts_total{result=\"failed\"}").await;
        assert_eventually("an attempt failed", SOON, async || {
            gateway.metric("doorward_mail_attempts_total{result=\"failed\"}").await > failed
        })
        .await;
        server.restart().await;
    }
    let all_sent = async || outbox(&gateway).await.waiting == 0;
    assert_eventually("all are sent", 4 * SOON, all_sent).await;
    let mut by_recipient: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for mail in server.received() {
        by_recipient.entry(mail.to()).or_default().push(mail.header("Message-ID"));
    }
    assert_eq!(by_recipient.len(), MAILS, "nothing is lost");
    for (to, ids) in &by_recipient {
        assert!(ids.len() <= 2 && ids.iter().all(|id| id == &ids[0]), "{to}: {ids:?}");
    }
    let repeated = by_recipient.values().filter(|ids| ids.len() == 2).count();
    assert!(repeated <= 3, "one for each kill at most: {repeated}");
}

#[tokio::test(flavor = "multi_thread")]
async fn mails_survive_a_restart_of_the_gateway() {
    let mut server = MailServer::start(&[]).await;
    server.kill();
    let gateway = gateway(&server).await;
    user(&gateway, "ada").await;
    ask(&mut Browser::new(&gateway), "ada").await;
    assert_eventually("it is written", SOON, async || outbox(&gateway).await.waiting == 1).await;
    let clock = gateway.clock.clone();
    let folder = Some(gateway.stop().await);
    server.restart().await;
    let again =
        TestGateway::with(Setup { folder, clock, login: in_clear(&server), ..Setup::default() }).await;
    // What a stopped gateway was sending is claimed until its lease ends.
    crate::browser::later(&again, Duration::from_secs(121)).await;
    received(&server, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn old_or_foreign_mail_is_given_up() {
    let mut server = MailServer::start(&[]).await;
    server.kill();
    let gateway = gateway(&server).await;
    let ada = user(&gateway, "ada").await;
    ask(&mut Browser::new(&gateway), "ada").await;
    assert_eventually("it is written", SOON, async || outbox(&gateway).await.waiting == 1).await;
    crate::browser::later(&gateway, Duration::from_secs(16 * 60)).await;
    server.restart().await;
    let given_up = async || gateway.metric("doorward_mail_attempts_total{result=\"given_up\"}").await;
    assert_eventually("its time has passed", SOON, async || given_up().await == 1.0).await;
    let id = MailId::random(&SystemRandom);
    let foreign =
        NewMail { id, kind: "reset", user: Some(ada), sealed: vec![1; 60], life: Duration::from_secs(60) };
    gateway.vault.mail.add(&foreign).await.expect("written");
    assert_eventually("it does not open", SOON, async || given_up().await == 2.0).await;
    assert_eq!((outbox(&gateway).await.waiting, server.received().len()), (0, 0));
}
