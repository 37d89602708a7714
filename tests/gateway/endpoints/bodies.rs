//! Request bodies of the gateway endpoints.

use serde_json::json;

use crate::refusals::assert_refused;
use crate::support::http::{self, Client, message};
use crate::support::{PASSWORD, Response, TestGateway};

const JSON: (&str, &str) = ("Content-Type", "application/json");
/// Stands for a secret: no response may repeat it.
const SECRET: &str = "hunter2hunter2hunter2";

async fn post(gateway: &TestGateway, path: &str, headers: &[(&str, &str)], body: &str) -> Response {
    let response = http::request(gateway.address(), "POST", path, headers, body.as_bytes()).await;
    assert!(!response.text().contains(SECRET), "{path} {body}: {}", response.text());
    response
}

async fn assert_said(gateway: &TestGateway, path: &str, headers: &[(&str, &str)], cases: &[(String, &str)]) {
    for (body, said) in cases {
        let response = post(gateway, path, headers, body).await;
        assert_refused(&response, 400, "request_invalid");
        let detail = response.member("detail");
        assert!(detail.starts_with(said), "{path} {body}: {detail}");
    }
}

fn bad_for(one: &str, two: &str) -> Vec<(String, &'static str)> {
    let missing = if one == "username" {
        ["username: missing", "password: missing"]
    } else {
        ["current_password: missing", "new_password: missing"]
    };
    let empty = if one == "username" { "password: empty" } else { "new_password: empty" };
    let typed =
        if one == "username" { "password: must be a string" } else { "new_password: must be a string" };
    let known = if one == "username" {
        "admin: unknown (known: username, password, code)"
    } else {
        "admin: unknown (known: current_password, new_password)"
    };
    vec![
        (String::new(), missing[0]),
        ("{}".into(), missing[0]),
        (format!(r#"{{"{one}":"{SECRET}"}}"#), missing[1]),
        (format!(r#"{{"{two}":"{SECRET}"}}"#), missing[0]),
        (format!(r#"{{"{one}":"{SECRET}","{two}":""}}"#), empty),
        (format!(r#"{{"{one}":"{SECRET}","{two}":["{SECRET}"]}}"#), typed),
        (format!(r#"{{"{one}":"{SECRET}","{two}":null}}"#), typed),
        (format!(r#"{{"{one}":"a","{two}":"{SECRET}","admin":"{SECRET}"}}"#), known),
        (format!(r#"{{"{one}":"a","{one}":"b","{two}":"{SECRET}"}}"#), "body: repeated member"),
        (format!(r#"{{"{one}":"a","{two}":"{SECRET}","<{SECRET}>":1}}"#), "unknown member"),
        (format!(r#"{{"{one}":"a","{two}":"{SECRET}""#), "body: not JSON, at line 1"),
        (format!(r#"{{"{one}":"a","{two}":"{SECRET}"}} {{}}"#), "body: not JSON, at line 1"),
        (format!(r#"{{'{one}':'{SECRET}'}}"#), "body: not JSON, at line 1"),
        (format!(r#"["{SECRET}"]"#), "body: must be a JSON object"),
        (format!(r#""{SECRET}""#), "body: must be a JSON object"),
        ("null".into(), "body: must be a JSON object"),
        (format!(r#"{{"{one}":{}1"#, "[".repeat(8000)), "body: not JSON, at line 1"),
        (
            format!(r#"{{"{one}":"a","{two}":"{}"}}"#, "x".repeat(1025)),
            if one == "username" { "password: too long" } else { "new_password: too long" },
        ),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn malformed_login_error_names_field_but_not_value() {
    let gateway = TestGateway::start().await;
    assert_said(&gateway, "/auth/login", &[JSON], &bad_for("username", "password")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn malformed_password_change_names_field_and_changes_nothing() {
    let gateway = TestGateway::start().await;
    gateway.user("ada", &[]).await;
    let bearer = format!("Bearer {}", gateway.login("ada").await.access);
    let headers = [JSON, ("Authorization", bearer.as_str())];
    assert_said(&gateway, "/auth/password", &headers, &bad_for("current_password", "new_password")).await;
    gateway.login("ada").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn malformed_refresh_or_logout_error_names_the_field() {
    let gateway = TestGateway::start().await;
    let cases = [
        (r#"{"refresh_token":""}"#.into(), "refresh_token: empty"),
        (r#"{"refresh_token":1}"#.into(), "refresh_token: must be a string"),
        (r#"{"refresh_token":"a","refresh_token":"b"}"#.into(), "body: repeated member"),
        (r#"{"refresh_token":"a","scope":"b"}"#.into(), "scope: unknown (known: refresh_token)"),
        (format!(r#"{{"refresh_token":"{SECRET}"#), "body: not JSON"),
    ];
    for path in ["/auth/refresh", "/auth/logout"] {
        assert_said(&gateway, path, &[JSON], &cases).await;
    }
    assert_said(&gateway, "/auth/refresh", &[JSON], &[("{}".into(), "refresh_token: missing")]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn non_utf8_body_is_refused_as_json() {
    let gateway = TestGateway::start().await;
    let response =
        http::request(gateway.address(), "POST", "/auth/login", &[JSON], b"{\"username\":\"\xff\"}").await;
    assert_refused(&response, 400, "request_invalid");
}

#[tokio::test(flavor = "multi_thread")]
async fn only_plain_json_is_accepted() {
    // T51: a cross-site form can send the first three types and one more, which is reserved for the gateway's own form.
    // T29: compressed bombs.
    let gateway = TestGateway::start().await;
    gateway.user("ada", &[]).await;
    let body = json!({ "username": "ada", "password": PASSWORD }).to_string();
    for content_type in [
        "text/plain",
        "text/plain; application/json",
        "multipart/form-data; boundary=x",
        "application/jsonp",
        "application/json, text/plain",
        "",
    ] {
        let response = post(&gateway, "/auth/login", &[("Content-Type", content_type)], &body).await;
        assert_refused(&response, 415, "media_type_unsupported");
    }
    assert_refused(&post(&gateway, "/auth/login", &[], &body).await, 415, "media_type_unsupported");
    // As `curl -d` sends it: not a browser, so the error does not mention pages. A browser sends a form (tests of
    // browsers).
    let form = ("Content-Type", "application/x-www-form-urlencoded");
    for path in ["/auth/login", "/auth/refresh", "/auth/logout"] {
        let response =
            post(&gateway, path, &[form, ("Accept", "*/*"), ("User-Agent", "curl/8")], &body).await;
        assert_refused(&response, 415, "media_type_unsupported");
        assert!(response.member("detail").contains("Content-Type: application/json"), "{}", response.text());
    }
    // From a page of its own, there is nothing to sign out of (tests of browsers).
    for (browser, status) in [
        (("Accept", "text/html"), 403),
        (("Origin", "http://gateway.test"), 200),
        (("Sec-Fetch-Site", "none"), 403),
    ] {
        assert_eq!(
            post(&gateway, "/auth/logout", &[form, browser], &body).await.status,
            status,
            "{browser:?}"
        );
    }
    for encoding in ["gzip", "br", "deflate", "gzip, identity"] {
        let response = post(&gateway, "/auth/login", &[JSON, ("Content-Encoding", encoding)], &body).await;
        assert_refused(&response, 415, "media_type_unsupported");
    }
    for headers in [
        &[("Content-Type", "application/json; charset=utf-8")][..],
        &[("Content-Type", "Application/JSON")],
        &[JSON, ("Content-Encoding", "identity")],
    ] {
        assert_eq!(post(&gateway, "/auth/login", headers, &body).await.status, 200, "{headers:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn body_beyond_the_limit_is_refused_in_any_framing() {
    // T29.
    let gateway = TestGateway::start().await;
    let fits = format!(r#"{{"username":"{}","password":"x"}}"#, "a".repeat(16 * 1024 - 32));
    let over = format!(r#"{{"username":"{}","password":"x"}}"#, "a".repeat(16 * 1024));
    assert_refused(&post(&gateway, "/auth/login", &[JSON], &fits).await, 401, "credentials_wrong");
    assert_refused(&post(&gateway, "/auth/login", &[JSON], &over).await, 413, "body_too_large");
    let mut client = Client::connect(gateway.address()).await;
    client.send(&message("POST", "/auth/login", &[JSON, ("Transfer-Encoding", "chunked")], b"")).await;
    client.send(format!("{:x}\r\n{over}\r\n0\r\n\r\n", over.len()).as_bytes()).await;
    assert_refused(&client.response("POST").await.expect("an answer"), 413, "body_too_large");
}

#[tokio::test(flavor = "multi_thread")]
async fn chunked_and_expect_continue_bodies_are_read() {
    let gateway = TestGateway::start().await;
    gateway.user("ada", &[]).await;
    let body = json!({ "username": "ada", "password": PASSWORD }).to_string();
    let mut client = Client::connect(gateway.address()).await;
    client.send(&message("POST", "/auth/login", &[JSON, ("Transfer-Encoding", "chunked")], b"")).await;
    client.send(format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len()).as_bytes()).await;
    assert_eq!(client.response("POST").await.expect("an answer").status, 200);
    // A chunked request is the last one on its connection.
    let mut client = Client::connect(gateway.address()).await;
    let length = body.len().to_string();
    let headers = [JSON, ("Expect", "100-continue"), ("Content-Length", length.as_str())];
    client.send(&message("POST", "/auth/login", &headers, b"")).await;
    assert_eq!(client.head().await.expect("an interim answer").status, 100);
    client.send(body.as_bytes()).await;
    assert_eq!(client.response("POST").await.expect("an answer").status, 200);
}
