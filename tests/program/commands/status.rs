//! `doorward status` and its endpoint: available to the operator only.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::app::TestApp;
use crate::eventually::assert_eventually;
use crate::house::House;
use crate::http;
use crate::process::{Done, PATIENCE};
use crate::serving::Serving;

pub(crate) const TOKEN: &str = "a-token-of-more-than-32-characters-xyz";
pub(crate) const OTHER: &str = "another-token-of-more-than-32-characters";

/// A gateway with a token file and an app with one dead server.
pub(crate) async fn serving() -> (TestApp, House, Serving) {
    let app = TestApp::start().await;
    let house = House::new(app.address(), "");
    let text = std::fs::read_to_string(house.path("gateway.toml")).expect("the file");
    house.write("admin.token", &format!("{TOKEN}\n"));
    house.write(
        "gateway.toml",
        &text
            .replace("[admin]\n", "[admin]\ntoken_file = \"admin.token\"\n")
            .replace("servers = [", "servers = [\"http://127.0.0.1:1\", "),
    );
    house.add("ada", &[]);
    let gateway = house.serve();
    (app, house, gateway)
}

pub(crate) fn status(house: &House, gateway: &Serving, more: &[&str]) -> Done {
    let address = gateway.admin.to_string();
    house.run(&[&["status", "--address", &address][..], more].concat())
}

pub(crate) async fn ask(gateway: &Serving, method: &str, path: &str, token: &str) -> http::Response {
    let bearer = format!("Bearer {token}");
    http::request(gateway.admin, method, path, &[("Authorization", &bearer)], b"").await
}

/// All members in the notation of docs/operations.md.
fn members(value: &Value, path: &str, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(map) if !map.is_empty() => {
            for (name, value) in map {
                members(value, &if path.is_empty() { name.clone() } else { format!("{path}.{name}") }, found);
            }
        }
        Value::Array(items) if items.iter().any(Value::is_object) => {
            for item in items {
                members(item, &format!("{path}[]"), found);
            }
        }
        _ => {
            found.insert(path.to_owned());
        }
    }
}

/// Members listed on the page. A code that starts with a dot continues the previous one at their common prefix.
fn documented() -> BTreeSet<String> {
    let page = include_str!("../../../docs/operations.md");
    let (_, table) = page.split_once("| member | what it is |").expect("the table");
    let mut all = BTreeSet::new();
    for row in table.lines().skip(2).take_while(|line| line.starts_with('|')) {
        let cell = row.split('|').nth(1).expect("a cell");
        let mut last = String::new();
        for code in cell.split('`').skip(1).step_by(2) {
            let whole = match code.strip_prefix('.') {
                None => code.to_owned(),
                // `.b.c` replaces as many segments as it has.
                Some(rest) => {
                    let parts: Vec<&str> = last.rsplitn(rest.split('.').count() + 1, '.').collect();
                    format!("{}.{rest}", parts.last().expect("a parent"))
                }
            };
            all.insert(whole.clone());
            last = whole;
        }
    }
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn status_needs_the_admin_token() {
    let (_app, house, gateway) = serving().await;
    let tokens = gateway.login("ada").await;
    // Enough requests to eject the dead server.
    for _ in 0..12 {
        assert_eq!(gateway.get("/", &tokens.access).await.status, 200);
    }
    for (token, code) in
        [(OTHER, "token_invalid"), ("", "token_invalid"), (tokens.access.as_str(), "token_invalid")]
    {
        let refused = ask(&gateway, "GET", "/admin/status", token).await;
        assert_eq!((refused.status, refused.code().as_str()), (401, code));
        assert!(refused.header("www-authenticate").is_some_and(|value| value.starts_with("Bearer")));
    }
    let bare = http::request(gateway.admin, "GET", "/admin/status", &[], b"").await;
    assert_eq!((bare.status, bare.code().as_str()), (401, "token_missing"));
    assert_eq!(ask(&gateway, "GET", "/admin/nothing", TOKEN).await.status, 404);
    let post = ask(&gateway, "POST", "/admin/status", TOKEN).await;
    assert_eq!((post.status, post.header("allow")), (405, Some("GET, HEAD")));
    assert_eq!(http::request(gateway.admin, "GET", "/livez", &[], b"").await.status, 200);
    // The public listener has no such endpoint.
    let bearer = format!("Bearer {TOKEN}");
    let public =
        http::request(gateway.public, "GET", "/admin/status", &[("Authorization", &bearer)], b"").await;
    assert_eq!(public.status, 401);

    let response = ask(&gateway, "GET", "/admin/status", TOKEN).await;
    assert_eq!((response.status, response.header("cache-control")), (200, Some("no-store")));
    for secret in ["ada", TOKEN, &tokens.access, &tokens.refresh, &tokens.session] {
        assert!(!response.text().contains(secret), "{secret}: {}", response.text());
    }
    let status_json = response.json();
    assert_eq!((&status_json["ready"], &status_json["why"]), (&Value::Bool(true), &Value::Null));
    assert_eq!(
        (&status_json["vault"]["kind"], &status_json["vault"]["answers"]),
        (&"sqlite".into(), &Value::Bool(true))
    );
    assert_eq!(
        (&status_json["traffic"]["sessions"], &status_json["keys_loaded"]),
        (&1.into(), &Value::Bool(true))
    );
    let addresses = status_json["upstreams"][0]["addresses"].as_array().expect("addresses");
    let away = addresses.iter().find(|at| at["address"] == "127.0.0.1:1").expect("the one that is away");
    assert_eq!((&away["in_turn"], &away["ejected"]["cause"]), (&Value::Bool(false), &"connect".into()));
    let keys = status_json["signing_keys"].as_array().expect("keys");
    assert!(keys.len() == 2 && keys.iter().all(|key| key["stage"] == "signing"), "{keys:?}");

    let page = status(&house, &gateway, &[]).good();
    assert!(page.starts_with("! app at 127.0.0.1:1: ejected (connect), retried in "), "{page}");
    assert!(page.contains("\nready: doorward "), "{page}");
    assert!(page.contains("127.0.0.1:1  ejected (connect), retried in "), "{page}");
    let json: Value = serde_json::from_str(&status(&house, &gateway, &["--json"]).good()).expect("JSON");
    assert_eq!(json["version"], status_json["version"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn status_members_and_documentation_match() {
    let house = House::empty();
    crate::tls::make(&house.path(""), "app", &["gateway.test"]);
    let text = std::fs::read_to_string(house.path("gateway.toml")).expect("the file");
    let health = "[upstreams.app.health]\ninterval = \"1s\"\n[[routes]]\n";
    let tls = format!(
        "token = \"{TOKEN}\"\n[server.tls]\ncertificates = [{{ cert_file = \"app.crt\", key_file = \"app.key\" }}]\n\
         [mail]\nurl = \"file:.\"\nfrom = \"login@gateway.test\"\n[login]\n"
    );
    house.write(
        "gateway.toml",
        &text.replace("http://gateway.test", "https://gateway.test").replacen("[login]\n", &tls, 1).replacen(
            "[[routes]]\n",
            health,
            1,
        ),
    );
    house.add("ada", &[]);
    let gateway = house.serve();
    let mut found = BTreeSet::new();
    let complete = async || {
        found.clear();
        members(&ask(&gateway, "GET", "/admin/status", TOKEN).await.json(), "", &mut found);
        found.contains("upstreams[].addresses[].last_check.failure")
    };
    assert_eventually("the app was checked", PATIENCE, complete).await;
    let mut expected = documented();
    // No request was sent to it, so it has no failures.
    for absent in ["cause", "tried_again_in_seconds"] {
        assert!(expected.remove(&format!("upstreams[].addresses[].ejected.{absent}")), "{absent}");
    }
    expected.insert("upstreams[].addresses[].ejected".to_owned());
    assert_eq!(found, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn status_lists_problems_first_and_accepts_a_changed_token() {
    let (_app, house, gateway) = serving().await;
    let text = std::fs::read_to_string(house.path("gateway.toml")).expect("the file");
    house.write("gateway.toml", &format!("{text}[log]\nlevel = \"nonsense\"\n"));
    gateway.signal("HUP");
    gateway.process.complaint_with("reload_rejected");
    // The settings the command needs are valid.
    let done = status(&house, &gateway, &[]);
    assert_eq!(done.code, Some(0), "{}", done.err);
    assert!(done.err.starts_with("warning: the gateway rejects this file: "), "{}", done.err);
    let page = done.out;
    assert!(page.starts_with("! the current file is not in force: ") && page.contains("nonsense"), "{page}");
    // A misspelled section may be one that the command needs.
    house.write("gateway.toml", &format!("{text}[adnim]\n"));
    let complaint = status(&house, &gateway, &[]).complaint();
    assert!(complaint.contains("adnim: unknown key (did you mean \"admin\"?)"), "{complaint}");

    house.write("gateway.toml", &text);
    house.write("admin.token", OTHER);
    gateway.signal("HUP");
    let is_accepted = async || ask(&gateway, "GET", "/admin/status", OTHER).await.status == 200;
    assert_eventually("the new token opens it", PATIENCE, is_accepted).await;
    assert_eq!(ask(&gateway, "GET", "/admin/status", TOKEN).await.status, 401);

    house.write("gateway.toml", &text.replace("token_file = \"admin.token\"\n", ""));
    gateway.signal("HUP");
    let closed = async || ask(&gateway, "GET", "/admin/status", OTHER).await.status == 404;
    assert_eventually("without a token there is nothing", PATIENCE, closed).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn status_failure_names_the_cause() {
    let house = House::empty();
    let complaint = house.run(&["status"]).complaint();
    assert!(
        complaint.contains("admin.token_file is not set") && complaint.contains("openssl rand"),
        "{complaint}"
    );

    let (_app, house, gateway) = serving().await;
    let complaint = house.run(&["status"]).complaint();
    assert!(complaint.contains("port 0") && complaint.contains("--address"), "{complaint}");
    house.write("admin.token", "short");
    let complaint = house.run(&["status"]).complaint();
    assert!(
        complaint.contains("admin.token_file") && complaint.contains("openssl rand -base64 32"),
        "{complaint}"
    );
    assert!(!complaint.contains("`short`"), "{complaint}");
    // The running gateway keeps its old token.
    house.write("admin.token", OTHER);
    house.write("gateway.toml.off", "");
    let nobody = house.run(&["status", "--address", "127.0.0.1:1"]).complaint();
    assert!(
        nobody.contains("no gateway answers on 127.0.0.1:1")
            && nobody.contains("is it running?: Connection refused"),
        "{nobody}"
    );
    drop(gateway);
}
