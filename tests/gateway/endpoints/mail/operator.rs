use serde_json::json;

use super::{MailServer, NEW, gateway, set, table, with_mail};
use crate::browser::{Browser, ORIGIN};
use crate::support::{PASSWORD, TestGateway};

/// The path of the printed link.
fn printed(output: &str) -> String {
    let line = output.lines().find(|line| line.starts_with(ORIGIN));
    line.unwrap_or_else(|| panic!("no link: {output}"))[ORIGIN.len()..].to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn operator_hands_out_links_without_a_mail_server() {
    let gateway = TestGateway::start().await;
    gateway.user("ada", &[]).await;
    let link = printed(&gateway.command(&["user", "reset", "ada"]).await);
    // Any browser can use it.
    assert_eq!(set(&mut Browser::new(&gateway), &link, NEW).await.status, 200);
    let body = json!({ "username": "ada", "password": NEW });
    assert_eq!(gateway.post("/auth/login", None, &body).await.status, 200);
    let used = Browser::new(&gateway).go(&link).await;
    assert!(used.status == 400 && !used.text().contains("/auth/reset\""), "{}", used.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn invited_user_sets_the_first_password() {
    let gateway = TestGateway::start().await;
    let invite = ["user", "invite", "Eve@example.com", "--role", "staff"];
    let first = gateway.command(&invite).await;
    assert!(first.starts_with("added `eve@example.com`\n"), "{first}");
    let body = |password: &str| json!({ "username": "eve@example.com", "password": password });
    assert_eq!(gateway.post("/auth/login", None, &body(PASSWORD)).await.status, 401, "no password yet");
    // The first one got lost.
    let second = gateway.command(&invite).await;
    assert!(!second.contains("added"), "{second}");
    let mut here = Browser::new(&gateway);
    let page = here.go(&printed(&second)).await;
    assert!(page.text().contains("You were invited"), "{}", page.text());
    assert_eq!(set(&mut here, &printed(&second), NEW).await.status, 200);
    assert_eq!(here.go(&printed(&first)).await.status, 400, "it is void now");
    let tokens = gateway.post("/auth/login", None, &body(NEW)).await;
    assert_eq!(tokens.status, 200, "{}", tokens.text());
    let me = gateway.call("GET", "/auth/me", &tokens.member("access_token")).await;
    assert_eq!((&me.json()["roles"], &me.json()["email_verified"]), (&json!(["staff"]), &json!(false)));
}

#[tokio::test(flavor = "multi_thread")]
async fn test_mail_prints_what_the_server_says() {
    let server = MailServer::start(&[]).await;
    let gateway = gateway(&server).await;
    let printed = gateway.command(&["mail", "test", "ada@example.org"]).await;
    assert!(printed.starts_with("sent to `ada@example.org` by 127.0.0.1, port "), "{printed}");
    assert!(printed.contains("250 OK, it is stored"), "{printed}");
    assert_eq!(server.received()[0].to(), "ada@example.org");
}

#[tokio::test(flavor = "multi_thread")]
async fn folder_gets_one_private_file_per_mail() {
    let folder = tempfile::tempdir().expect("a folder");
    let gateway = with_mail(table(&format!("file:{}", folder.path().display()), "")).await;
    gateway.command(&["mail", "test", "ada@example.org"]).await;
    let files: Vec<_> = std::fs::read_dir(folder.path()).expect("a folder").flatten().collect();
    assert_eq!(files.len(), 1);
    let text = std::fs::read_to_string(files[0].path()).expect("text");
    assert!(text.contains("To: ada@example.org"), "{text}");
    use std::os::unix::fs::PermissionsExt as _;
    assert_eq!(files[0].metadata().expect("a file").permissions().mode() & 0o777, 0o600);
}
