//! The endpoints for the current user, sessions and password.

use doorward::clock::Clock;
use serde_json::json;

use crate::refusals::assert_refused;
use crate::support::gateway::SOON;
use crate::support::{Client, Faults, Op, PASSWORD, Setup, TestGateway, assert_eventually, http};

const OTHER_PASSWORD: &str = "another horse, another battery";

fn is_time(value: &serde_json::Value) -> bool {
    value.as_str().is_some_and(|text| text.len() == 20 && text.ends_with('Z'))
}

#[tokio::test(flavor = "multi_thread")]
async fn me_endpoint_returns_the_signed_in_user() {
    let gateway = TestGateway::start().await;
    let id = gateway.user("ada", &["user", "admin"]).await;
    let tokens = gateway.login("ada").await;
    let response = gateway.call("GET", "/auth/me", &tokens.access).await;
    assert_eq!(response.status, 200);
    assert_eq!(response.all("cache-control"), ["no-store"]);
    let mut me = response.json();
    let expires_at = me.as_object_mut().expect("an object").remove("expires_at").expect("its end");
    assert!(is_time(&expires_at), "{expires_at}");
    let auth_time = me.as_object_mut().expect("an object").remove("auth_time").expect("its proof");
    let since = gateway.clock.wall().secs() - auth_time.as_i64().expect("seconds");
    assert!((-1..60).contains(&since), "{since}");
    assert_eq!(
        me,
        json!({
            "user": "ada", "user_id": id.to_string(), "roles": ["admin", "user"], "session_id": tokens.session,
            "amr": ["pwd"], "acr": "urn:doorward:acr:single",
        })
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn only_own_live_sessions_are_listed_newest_first() {
    // T62.
    let gateway = TestGateway::start().await;
    gateway.user("ada", &[]).await;
    gateway.user("bob", &[]).await;
    let (old, ended) = (gateway.login("ada").await, gateway.login("ada").await);
    gateway.login("bob").await;
    let body = json!({ "username": "ada", "password": PASSWORD }).to_string();
    let agent = format!("curl/8 {}", "x".repeat(400));
    let headers = [("Content-Type", "application/json"), ("User-Agent", agent.as_str())];
    let new = http::request(gateway.address(), "POST", "/auth/login", &headers, body.as_bytes()).await;
    let new = crate::support::gateway::Tokens::of(&new);
    assert_eq!(gateway.post("/auth/logout", Some(&ended.access), &json!(null)).await.status, 200);
    let response = gateway.call("GET", "/auth/sessions", &new.access).await;
    assert_eq!(response.status, 200);
    assert_eq!(response.all("cache-control"), ["no-store"]);
    let body = response.json();
    assert_eq!(body.as_object().expect("an object").len(), 1);
    let rows = body["sessions"].as_array().expect("sessions");
    let ids: Vec<_> = rows.iter().map(|row| (&row["session_id"], &row["current"])).collect();
    assert_eq!(ids, [(&json!(new.session), &json!(true)), (&json!(old.session), &json!(false))]);
    for row in rows {
        let mut members: Vec<_> = row.as_object().expect("an object").keys().map(String::as_str).collect();
        members.sort_unstable();
        let expected =
            ["address", "created_at", "current", "ends_at", "renewed_at", "session_id", "user_agent"];
        assert_eq!(members, expected);
        assert_eq!(row["address"], "127.0.0.1");
        assert!(["created_at", "ends_at", "renewed_at"].iter().all(|name| is_time(&row[name])), "{row}");
    }
    assert_eq!(rows[0]["user_agent"], agent[..256]);
    assert_eq!(rows[1]["user_agent"], json!(null));
}

#[tokio::test(flavor = "multi_thread")]
async fn any_own_session_can_be_ended() {
    let gateway = TestGateway::start().await;
    gateway.user("ada", &[]).await;
    let (mine, other) = (gateway.login("ada").await, gateway.login("ada").await);
    for ended in [&other, &mine] {
        let out = gateway.call("DELETE", &format!("/auth/sessions/{}", ended.session), &mine.access).await;
        assert_eq!((out.status, out.json()), (200, json!({ "ended": 1, "propagation": "complete" })));
        assert_refused(&gateway.call("GET", "/", &ended.access).await, 401, "token_revoked");
        assert_refused(&gateway.refresh(&ended.refresh).await, 401, "refresh_invalid");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn session_of_another_user_is_not_found_and_continues() {
    // T62.
    let gateway = TestGateway::start().await;
    gateway.user("ada", &["admin"]).await;
    gateway.user("bob", &[]).await;
    let (ada, bob) = (gateway.login("ada").await, gateway.login("bob").await);
    let bobs = bob.session.clone();
    for id in [
        bobs.as_str(),
        "AAAAAAAAAAAAAAAAAAAAAA",
        "short",
        "",
        "*",
        "%2a",
        "' OR 1=1",
        "a/b",
        &"A".repeat(4000),
    ] {
        let id = id.replace(' ', "%20");
        let refused = gateway.call("DELETE", &format!("/auth/sessions/{id}"), &ada.access).await;
        assert_refused(&refused, 404, "session_unknown");
    }
    assert_eq!(gateway.call("GET", "/", &bob.access).await.status, 200);
    assert_eq!(gateway.call("GET", "/", &ada.access).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn password_change_ends_other_sessions_and_keeps_this_one() {
    let gateway = TestGateway::start().await;
    gateway.user("ada", &[]).await;
    gateway.user("bob", &[]).await;
    let (mine, other, bob) =
        (gateway.login("ada").await, gateway.login("ada").await, gateway.login("bob").await);
    let body = json!({ "current_password": PASSWORD, "new_password": OTHER_PASSWORD });
    let out = gateway.post("/auth/password", Some(&mine.access), &body).await;
    assert_eq!((out.status, out.json()), (200, json!({ "ended": 1, "propagation": "complete" })));
    assert_eq!(out.all("cache-control"), ["no-store"]);
    assert_refused(&gateway.call("GET", "/", &other.access).await, 401, "token_revoked");
    assert_refused(&gateway.refresh(&other.refresh).await, 401, "refresh_invalid");
    for kept in [&mine, &bob] {
        assert_eq!(gateway.call("GET", "/", &kept.access).await.status, 200);
        assert_eq!(gateway.refresh(&kept.refresh).await.status, 200);
    }
    let login = async |password: &str| {
        gateway.post("/auth/login", None, &json!({ "username": "ada", "password": password })).await.status
    };
    assert_eq!((login(PASSWORD).await, login(OTHER_PASSWORD).await), (401, 200));
}

#[tokio::test(flavor = "multi_thread")]
async fn password_change_needs_current_password_and_acceptable_new_one() {
    let gateway = TestGateway::start().await;
    gateway.user("ada", &[]).await;
    let (mine, other) = (gateway.login("ada").await, gateway.login("ada").await);
    let change = async |current: &str, new: &str| {
        let body = json!({ "current_password": current, "new_password": new });
        let response = gateway.post("/auth/password", Some(&mine.access), &body).await;
        assert!(!response.text().contains(current) && !response.text().contains(new), "{}", response.text());
        response
    };
    assert_refused(&change("wrong battery staple", OTHER_PASSWORD).await, 400, "password_rejected");
    for bad in ["fourteen chars", "zzzzzzzzzzzzzzzzzzzz", "adaadaadaadaadaada"] {
        let refused = change(PASSWORD, bad).await;
        assert_refused(&refused, 400, "password_rejected");
        assert!(refused.member("detail").starts_with("the password "), "{}", refused.text());
    }
    assert_eq!(gateway.call("GET", "/", &other.access).await.status, 200);
    gateway.login("ada").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn guessing_the_current_password_is_throttled() {
    // T56: a stolen access token is not a way around the throttle.
    let gateway =
        TestGateway::with(Setup { login: "attempts_per_account = 2".into(), ..Setup::default() }).await;
    gateway.user("ada", &[]).await;
    let mine = gateway.login("ada").await;
    let guess = json!({ "current_password": "a wrong password", "new_password": OTHER_PASSWORD });
    for _ in 0..2 {
        assert_refused(
            &gateway.post("/auth/password", Some(&mine.access), &guess).await,
            400,
            "password_rejected",
        );
    }
    let limited = gateway.post("/auth/password", Some(&mine.access), &guess).await;
    assert_refused(&limited, 429, "rate_limited");
    assert!(limited.header("retry-after").is_some());
    let login = gateway.post("/auth/login", None, &json!({ "username": "ada", "password": PASSWORD })).await;
    assert_refused(&login, 429, "rate_limited");
}

#[tokio::test(flavor = "multi_thread")]
async fn session_revoked_while_waiting_cannot_change_password() {
    let faults = Faults::new();
    let gateway = TestGateway::with(Setup { stores: faults.wrap(), ..Setup::default() }).await;
    gateway.user("ada", &[]).await;
    let (mine, other) = (gateway.login("ada").await, gateway.login("ada").await);
    let gate = faults.hold_before(Op::FindUser);
    let body = json!({ "current_password": PASSWORD, "new_password": OTHER_PASSWORD }).to_string();
    let bearer = format!("Bearer {}", mine.access);
    let headers = [("Content-Type", "application/json"), ("Authorization", bearer.as_str())];
    let mut client = Client::connect(gateway.address()).await;
    client.send(&http::message("POST", "/auth/password", &headers, body.as_bytes())).await;
    gate.until_reached().await;
    let ended = gateway.call("DELETE", &format!("/auth/sessions/{}", mine.session), &other.access).await;
    assert_eq!(ended.status, 200);
    gate.open();
    // Either refused with a response, or cut after the grace period: on a busy machine hashing may take longer.
    if let Some(response) = client.response("POST").await {
        assert_refused(&response, 401, "token_revoked");
    }
    assert_eventually("nothing was changed", SOON, async || {
        faults.calls(Op::FindUser) > 0 && faults.calls(Op::ChangeUser) == 0
    })
    .await;
    gateway.login("ada").await;
    assert_eq!(gateway.call("GET", "/", &other.access).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn owner_changes_password_while_strangers_throttle_the_account() {
    let gateway =
        TestGateway::with(Setup { login: "attempts_per_account = 2".into(), ..Setup::default() }).await;
    gateway.user("ada", &[]).await;
    let mine = gateway.login("ada").await;
    let guess = json!({ "username": "ada", "password": "a wrong password" });
    while gateway.post("/auth/login", None, &guess).await.status != 429 {}
    let body = json!({ "current_password": PASSWORD, "new_password": OTHER_PASSWORD });
    assert_eq!(gateway.post("/auth/password", Some(&mine.access), &body).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn common_and_app_name_passwords_are_refused() {
    let setup = Setup {
        login: "min_password_length = 8\n[brand]\nname = \"Tower Clinic\"".into(),
        ..Setup::default()
    };
    let gateway = TestGateway::with(setup).await;
    gateway.user("ada", &[]).await;
    let mine = gateway.login("ada").await;
    for bad in [
        "password",
        "iloveyou1",
        "Football2024",
        "1qaz2wsx3edc",
        "TowerClinic",
        "tower clinic1",
        "ada-ada-ada",
    ] {
        let body = json!({ "current_password": PASSWORD, "new_password": bad });
        let refused = gateway.post("/auth/password", Some(&mine.access), &body).await;
        assert_refused(&refused, 400, "password_rejected");
        assert!(refused.member("detail").contains("easily guessed"), "{bad}: {}", refused.text());
        assert!(refused.member("reason").starts_with("password_"), "{bad}: {}", refused.text());
    }
}
