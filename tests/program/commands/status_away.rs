//! `doorward status` when stores are unreachable or the query fails.

use serde_json::Value;

use super::status::{OTHER, TOKEN, ask, serving, status};
use crate::app::TestApp;
use crate::eventually::assert_eventually;
use crate::house::{House, doorward};
use crate::process::{Done, PATIENCE, run};
use crate::redis::{RedisServer, free_port};
use crate::serving::Serving;

/// Occurs only in URLs; a message that shows it leaks the password.
const MARK: &str = "a-password-of-redis-that-nobody-is-told";

/// Runs the command with this configuration file.
fn by(house: &House, file: &str, gateway: &Serving) -> Done {
    let address = gateway.admin.to_string();
    run(doorward().arg("--config").arg(house.path(file)).args(["status", "--address", &address]), "")
}

#[tokio::test(flavor = "multi_thread")]
async fn status_lists_lost_stores_first_without_passwords() {
    let app = TestApp::start().await;
    let redis = RedisServer::start(&["--requirepass", MARK]).await;
    let good = format!("redis://default:{MARK}@127.0.0.1:{}/0", redis.port);
    let house = House::new(app.address(), &format!("[sessions]\nurl = \"{good}\"\n"));
    let text = std::fs::read_to_string(house.path("gateway.toml")).expect("the file");
    let text = text.replace("[admin]\n", &format!("[admin]\ntoken = \"{TOKEN}\"\n"));
    house.write("gateway.toml", &text);
    house.write("good.toml", &text);
    house.add("ada", &[]);
    let gateway = house.serve();
    let tokens = gateway.login("ada").await;
    let status_json = async || ask(&gateway, "GET", "/admin/status", TOKEN).await.json();
    let store_is_up = async || status_json().await["session_store"]["up"] == true;
    assert_eventually("Redis is connected to", PATIENCE, store_is_up).await;
    let page = status(&house, &gateway, &[]).good();
    assert!(page.starts_with("ready: doorward "), "{page}");

    std::fs::rename(house.path("doorward.db"), house.path("gone.db")).expect("renamed");
    let lost = async || {
        let vault = status_json().await["vault"].clone();
        vault["lease_held"] == false && vault["answers"] == false
    };
    assert_eventually("the vault is missed", PATIENCE, lost).await;
    // A file with a password in the place of the port.
    house.write("gateway.toml", &text.replace(&good, &format!("redis://default:{MARK}@127.0.0.1:port/0")));
    let rejected = async || status_json().await["configuration"]["rejected"] != Value::Array(Vec::new());
    assert_eventually("the file is refused", PATIENCE, rejected).await;
    let page = by(&house, "good.toml", &gateway).good();
    assert!(page.starts_with("! the vault is down: nobody can sign in or refresh"), "{page}");
    assert!(page.contains("! the current file is not in force: ") && page.contains("sessions.url"), "{page}");

    let body = ask(&gateway, "GET", "/admin/status", TOKEN).await.text();
    for secret in [MARK, TOKEN, "ada", &tokens.access, &tokens.refresh, &tokens.session] {
        assert!(!body.contains(secret) && !page.contains(secret), "{secret}: {body}");
    }

    redis.kill();
    let undecided = async || status_json().await["ready"] == false;
    assert_eventually("nothing vouches any more", PATIENCE, undecided).await;
    let given_up = async || status_json().await["session_store"]["given_up"]["ended"].as_u64() >= Some(1);
    assert_eventually("Redis is given up", PATIENCE, given_up).await;
    let done = by(&house, "good.toml", &gateway);
    assert_eq!(done.code, Some(1), "{done:?}");
    assert!(
        done.out.starts_with("! not ready: vault: ") && done.out.contains("\nNOT READY: "),
        "{}",
        done.out
    );
    assert!(done.out.contains("\n! the session store is down\n"), "{}", done.out);
    assert!(done.err.contains("the gateway is not ready: vault: "), "{}", done.err);
}

#[tokio::test(flavor = "multi_thread")]
async fn status_of_wildcard_listener_is_queried_on_loopback() {
    let house = House::empty();
    let text = std::fs::read_to_string(house.path("gateway.toml")).expect("the file");
    let admin = format!("[admin]\ntoken = \"{TOKEN}\"\nlisten = [\"0.0.0.0:{}\"]", free_port());
    house.write("gateway.toml", &text.replace("[admin]\nlisten = [\"127.0.0.1:0\"]", &admin));
    let _gateway = house.serve();
    let page = house.run(&["status"]).good();
    assert!(page.starts_with("ready: doorward "), "{page}");
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_or_unset_status_token_error_gives_advice() {
    let (_app, house, gateway) = serving().await;
    let text = std::fs::read_to_string(house.path("gateway.toml")).expect("the file");
    house.write("other.token", OTHER);
    house.write("other.toml", &text.replace("admin.token", "other.token"));
    let complaint = by(&house, "other.toml", &gateway).complaint();
    assert!(complaint.contains("rejects this admin.token") && complaint.contains("reload"), "{complaint}");
    assert!(!complaint.contains(OTHER), "{complaint}");

    let without = House::empty();
    let silent = without.serve();
    for token in [TOKEN, ""] {
        assert_eq!(ask(&silent, "GET", "/admin/status", token).await.code(), "route_unknown");
    }
    assert_eq!(ask(&silent, "POST", "/admin/status", TOKEN).await.status, 404);
    let complaint = by(&house, "gateway.toml", &silent).complaint();
    assert!(complaint.contains("has no admin.token") && complaint.contains("reload it"), "{complaint}");
}
