//! T68: the log contains no secret, whatever fails.

use serde_json::json;

use crate::app::TestApp;
use crate::house::{House, PASSWORD};
use crate::http::{Client, message, request};
use crate::serving::{Serving, Tokens, credentials, post};

/// Prefix of every secret chosen by a client.
const MARK: &str = "MARKED";

/// Key of encrypted claims, 32 bytes.
const CLAIMS_KEY: &str = "Y2xhaW1zY2xhaW1zY2xhaW1zY2xhaW1zY2xhaW1zLi4";

/// Sends cookies, queries, malformed credentials, and headers that carry keys in other systems.
async fn send_everything(gateway: &Serving, tokens: &Tokens) {
    let garbage = [
        format!("Bearer {MARK}"),
        format!("Bearer {}.{MARK}", tokens.access),
        format!("Basic {MARK}"),
        format!("{MARK} {MARK}"),
        format!("Bearer\t{}", tokens.access),
        format!("DPoP {}", tokens.access),
        MARK.to_owned(),
    ];
    let cookie = format!("__Host-doorward-access={MARK}; __Host-doorward-refresh={MARK}; app={MARK}");
    let twice = format!("__Host-doorward-access={MARK}1; __Host-doorward-access={MARK}2");
    let query = format!("access_token={MARK}&refresh_token={}&password={MARK}", tokens.refresh);
    let paths = [
        "/",
        "/public",
        "/status",
        "/auth/me",
        "/auth/sessions",
        "/auth/login",
        "/auth/refresh",
        "/auth/logout",
        "/auth/logout-all",
        "/auth/password",
        "/auth/nothing",
        "/.well-known/jwks.json",
        "/a/..%2fadmin",
        "/cookie",
        "/away",
    ];
    for path in paths {
        for method in ["GET", "POST", "DELETE", "TRACE", "OPTIONS", MARK] {
            let target = format!("{path}?{query}");
            for authorization in &garbage {
                let headers = [
                    ("Authorization", authorization.as_str()),
                    ("Cookie", &cookie),
                    ("Proxy-Authorization", MARK),
                    ("X-Api-Key", MARK),
                    ("X-Auth-User", MARK),
                    ("X-Forwarded-For", MARK),
                    ("Origin", MARK),
                    ("Referer", MARK),
                    ("User-Agent", MARK),
                ];
                send(gateway, &message(method, &target, &headers, b"")).await;
            }
            send(gateway, &message(method, &target, &[("Cookie", &twice)], b"")).await;
            send(gateway, &message(method, &format!("http://gateway.test{target}"), &[], b"")).await;
        }
    }
    // Malformed requests.
    for raw in [
        format!("GET /?{MARK} HTTP/1.1\r\nAuthorization: {MARK}\r\n\r\n"),
        format!("{MARK}\r\n\r\n"),
        format!("GET /public?{MARK}#{MARK} HTTP/1.1\r\nHost: gateway.test\r\n\r\n"),
        format!("GET / HTTP/1.1\r\nHost: gateway.test\r\nContent-Length: {MARK}\r\nCookie: {MARK}\r\n\r\n"),
        format!("GET / HTTP/1.1\r\nHost: gateway.test\r\nX: {}\r\n\r\n", MARK.repeat(10_000)),
        format!("POST / HTTP/1.1\r\nHost: gateway.test\r\nTransfer-Encoding: {MARK}\r\n\r\n{MARK}"),
    ] {
        send(gateway, raw.as_bytes()).await;
    }
}

/// Sends raw bytes and ignores the response.
async fn send(gateway: &Serving, bytes: &[u8]) {
    let mut client = Client::connect(gateway.public).await;
    client.send(bytes).await;
    client.shut().await;
    client.response("GET").await;
}

/// Sends valid and invalid bodies with secrets.
async fn post_everything(gateway: &Serving, tokens: &Tokens) {
    let marked = json!(MARK);
    let bodies = [
        json!({ "username": "ada", "password": MARK }),
        // A password typed into the wrong field.
        json!({ "username": PASSWORD, "password": PASSWORD }),
        json!({ "username": MARK, "password": MARK, MARK: MARK }),
        json!({ "refresh_token": MARK }),
        json!({ "refresh_token": format!("{}{MARK}", tokens.refresh) }),
        json!({ "refresh_token": { "x": MARK } }),
        json!({ "current_password": MARK, "new_password": MARK }),
        json!({ "current_password": PASSWORD, "new_password": MARK }),
        json!({ "current_password": MARK, "new_password": PASSWORD }),
        json!([MARK]),
        marked,
    ];
    for path in ["/auth/login", "/auth/refresh", "/auth/logout", "/auth/password"] {
        let bearer = format!("Bearer {}", tokens.access);
        for body in &bodies {
            let headers = [("Content-Type", "application/json"), ("Authorization", bearer.as_str())];
            request(gateway.public, "POST", path, &headers, body.to_string().as_bytes()).await;
            let form = [("Content-Type", "application/x-www-form-urlencoded"), ("Sec-Fetch-Site", "none")];
            request(gateway.public, "POST", path, &form, format!("password={MARK}").as_bytes()).await;
            let other = [("Content-Type", "application/xml")];
            request(gateway.public, "POST", path, &other, format!("<password>{MARK}</password>").as_bytes())
                .await;
        }
    }
}

/// Fails when a line contains a secret, plain or JSON-escaped.
fn assert_clean(lines: &[String], secrets: &[&str]) {
    for line in lines {
        for secret in secrets {
            assert!(!line.contains(secret), "a secret is in the log: {line}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_endpoint_or_failure_logs_a_secret() {
    let app = TestApp::start().await;
    for format in ["json", "text"] {
        let more = format!(
            "[log]\nformat = \"{format}\"\n[tokens]\nrefresh_grace = \"0s\"\n\
             encrypted_claims = {{ claims = [\"login\"], key = \"{CLAIMS_KEY}\" }}\n[sessions]\n\
             url = \"redis://somebody:{MARK}@127.0.0.1:1/0\"\n[upstreams.away]\nservers = [\"http://127.0.0.1:1\"]\n\
             [[routes]]\nname = \"away\"\npath = \"/away\"\naccess = \"public\"\nupstream = \"away\"\n"
        );
        let house = House::new(app.address(), &more);
        for name in ["ada", "eve"] {
            house.add(name, &[]);
        }
        let gateway = house.serve();
        let (tokens, eve) = (gateway.login("ada").await, gateway.login("eve").await);
        assert_eq!(gateway.get("/notes", &tokens.access).await.status, 200);
        send_everything(&gateway, &tokens).await;
        post_everything(&gateway, &tokens).await;
        // Token reuse, which is logged.
        let renewed = Tokens::of(&gateway.refresh(&eve.refresh).await);
        assert_eq!(gateway.refresh(&eve.refresh).await.code(), "refresh_reused");
        assert_eq!(gateway.get("/", &renewed.access).await.status, 401);
        // From now on nothing can be decided.
        std::fs::rename(house.path("doorward.db"), house.path("gone.db")).expect("renamed");
        let undecided = async || {
            let login = post(gateway.public, "/auth/login", &credentials("ada", PASSWORD)).await;
            login.is_some_and(|response| response.status == 503)
        };
        crate::eventually::assert_eventually("the vault is missed", crate::process::PATIENCE, undecided)
            .await;
        post_everything(&gateway, &tokens).await;
        // A request may fail before the log reader notices that the vault is lost; that line is awaited.
        let mut lines = gateway.process.complaints_until("vault_lost");

        gateway.signal("TERM");
        let (_, printed, rest) = gateway.process.end();
        lines.extend(rest);
        let master_key = std::fs::read_to_string(house.path("master.key")).expect("the key");
        let signature = |token: &str| token.rsplit('.').next().unwrap_or_default().to_owned();
        let (first, second) = (signature(&tokens.access), signature(&renewed.access));
        let secrets = [
            MARK,
            PASSWORD,
            &tokens.access,
            &first,
            &second,
            &tokens.refresh,
            &renewed.refresh,
            &eve.refresh,
            master_key.trim(),
            CLAIMS_KEY,
        ];
        assert_clean(&lines, &secrets);
        assert_clean(&printed, &secrets);
        // The log was not clean merely because lines are missing.
        for reason in [
            "session_store_lost",
            "session_ended_by_reuse",
            "upstream_connect_failed",
            "credentials_wrong",
            "token_invalid",
            "credentials_conflict",
            "refresh_invalid",
            "method_not_allowed",
            "header_too_large",
            "request_invalid",
            "media_type_unsupported",
            "form_invalid",
            "store_unavailable",
            "vault_lost",
            "forwarded",
        ] {
            assert!(lines.iter().any(|line| line.contains(reason)), "{format}: no line with `{reason}`");
        }
    }
}

#[test]
fn url_password_never_appears_in_error_messages() {
    for (table, url) in [
        ("vault", format!("postgres://somebody:{MARK}@127.0.0.1:1/doorward")),
        ("vault", format!("postgres://somebody:{MARK}@nowhere.invalid/doorward?x={MARK}")),
        ("vault", format!("postgres://somebody:{MARK}@127.0.0.1:port/doorward")),
        ("vault", format!("mysql://somebody:{MARK}@127.0.0.1/doorward")),
        ("sessions", format!("redis://somebody:{MARK}@127.0.0.1:port/0")),
        ("sessions", format!("http://somebody:{MARK}@127.0.0.1/0")),
        ("upstreams.app", format!("http://somebody:{MARK}@127.0.0.1/")),
    ] {
        let key = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
        let text = match table {
            "vault" => format!("[vault]\nurl = \"{url}\"\nmaster_key = \"{key}\"\n"),
            "sessions" => format!("[sessions]\nurl = \"{url}\"\n"),
            _ => format!("[{table}]\nservers = [\"{url}\"]\n"),
        };
        let house = House::empty();
        house.write("gateway.toml", &text);
        let done = house.run(&["serve"]);
        assert_eq!(done.code, Some(1), "{url}: {}", done.err);
        assert!(!done.err.is_empty());
        for secret in [MARK, key] {
            assert!(!done.err.contains(secret) && !done.out.contains(secret), "{}", done.err);
        }
    }
}

#[test]
fn planted_secrets_would_be_found() {
    let line = json!({ "path": format!("/?{MARK}") }).to_string();
    let found = std::panic::catch_unwind(|| assert_clean(&[line], &[MARK]));
    assert!(found.is_err());
}
