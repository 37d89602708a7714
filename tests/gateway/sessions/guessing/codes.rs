//! Wrong codes of second factors.

use std::time::Duration;

use doorward::clock::Clock;
use doorward::factor::totp::STEP;
use serde_json::json;

use crate::browser::{Browser, hidden, later, with};
use crate::sessions::factors::{App, at_second_step, enter, with_app};
use crate::support::gateway::Tokens;
use crate::support::{PASSWORD, TestGateway};

/// Somebody who knows the password tries a code. Returns the status.
async fn guess(gateway: &TestGateway, code: &str) -> u16 {
    let body = json!({ "username": "ada", "password": PASSWORD, "code": code });
    gateway.post("/auth/login", None, &body).await.status
}

/// The browser without its session, as after signing out.
fn signed_out(mut browser: Browser) -> Browser {
    browser.cookies.retain(|name, _| !name.ends_with("access") && !name.ends_with("refresh"));
    browser
}

/// Signs in with password and code in a browser that is known. Returns the status.
async fn with_code(known: &Browser, code: &str) -> u16 {
    let mut here = signed_out(known.clone());
    let response = here.sign_in("ada", PASSWORD, "/auth/login", &[]).await;
    assert_eq!(response.header("location"), Some("/auth/login/factor"), "{}", response.text());
    enter(&mut here, code).await.status
}

async fn next_code(gateway: &TestGateway, app: &App) -> String {
    later(gateway, Duration::from_secs(STEP as u64)).await;
    app.code(gateway)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_wrong_codes_in_a_row_are_the_last_of_strangers_and_not_of_the_owner() {
    // NIST SP 800-63B-4 section 3.2.2; N22, N26: each guess is a sign-in of its own.
    let gateway = TestGateway::start().await;
    gateway.user("ada", &[]).await;
    let (known, app, recovery) = with_app(&gateway, "ada").await;
    let began = gateway.clock.wall();
    let mut tried = 0;
    for _ in 0..130 {
        match guess(&gateway, &app.wrong(&gateway)).await {
            403 => tried += 1,
            status => assert_eq!(status, 429),
        }
        later(&gateway, Duration::from_mins(15)).await;
    }
    assert_eq!(tried, 100);
    assert!(gateway.clock.wall().since(began) > Duration::from_hours(24), "they are spaced out");
    later(&gateway, Duration::from_hours(48)).await;
    assert_eq!(guess(&gateway, &app.code(&gateway)).await, 429, "not even the right one");
    let refused = r#"doorward_throttled_attempts_total{scope="code"}"#;
    assert_eq!(gateway.metric(refused).await, 31.0);
    // The owner, in a browser that has signed in before.
    assert_eq!(with_code(&known, &next_code(&gateway, &app).await).await, 303);
    assert_eq!(
        guess(&gateway, &next_code(&gateway, &app).await).await,
        429,
        "which tells nothing about others"
    );
    // A recovery code ends the row.
    assert_eq!(guess(&gateway, &recovery[0]).await, 200);
    assert_eq!(guess(&gateway, &next_code(&gateway, &app).await).await, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn known_browser_and_session_have_their_own_wrong_codes() {
    let gateway = TestGateway::start().await;
    gateway.user("ada", &[]).await;
    let (known, app, _) = with_app(&gateway, "ada").await;
    let tokens = Tokens::of(&{
        let body = json!({ "username": "ada", "password": PASSWORD, "code": app.code(&gateway) });
        gateway.post("/auth/login", None, &body).await
    });
    later(&gateway, Duration::from_secs(STEP as u64)).await;
    let mut statuses = Vec::new();
    for _ in 0..12 {
        statuses.push(guess(&gateway, &app.wrong(&gateway)).await);
    }
    assert_eq!(statuses, [[403; 10].as_slice(), &[429; 2]].concat());
    assert_eq!(gateway.metric(r#"doorward_throttled_attempts_total{scope="code"}"#).await, 2.0);
    assert_eq!(gateway.metric(r#"doorward_security_events_total{pattern="code_guessing"}"#).await, 2.0);
    // Twelve wrong ones in the browser: ten at once as well.
    let mut statuses = Vec::new();
    for _ in 0..12 {
        statuses.push(with_code(&known, &app.wrong(&gateway)).await);
    }
    assert_eq!(statuses, [[403; 10].as_slice(), &[429; 2]].concat());
    // And in the session.
    let mut statuses = Vec::new();
    for _ in 0..12 {
        let code = json!({ "code": app.wrong(&gateway) });
        statuses.push(gateway.post("/auth/step-up", Some(&tokens.access), &code).await.status);
    }
    assert_eq!(statuses, [[403; 10].as_slice(), &[429; 2]].concat());
    // A code's time later the browser may try again.
    assert_eq!(with_code(&known, &next_code(&gateway, &app).await).await, 303);
}

#[tokio::test(flavor = "multi_thread")]
async fn new_password_begins_a_new_count_of_codes() {
    let gateway = TestGateway::start().await;
    gateway.user("ada", &[]).await;
    let (known, app, _) = with_app(&gateway, "ada").await;
    for _ in 0..100 {
        assert_eq!(guess(&gateway, &app.wrong(&gateway)).await, 403);
        later(&gateway, Duration::from_mins(15)).await;
    }
    assert_eq!(guess(&gateway, &app.code(&gateway)).await, 429);
    let mut here = signed_out(known);
    here.sign_in("ada", PASSWORD, "/auth/login", &[]).await;
    assert_eq!(enter(&mut here, &next_code(&gateway, &app).await).await.status, 303);
    let page = here.go("/auth/password").await;
    let new = "a new long password";
    let fields = with(&with(&hidden(&page), "current_password", PASSWORD), "new_password", new);
    let changed = here.post("/auth/password", &fields).await;
    assert_eq!(changed.status, 200, "{}", changed.text());
    later(&gateway, Duration::from_mins(15)).await;
    let body = json!({ "username": "ada", "password": new, "code": app.code(&gateway) });
    assert_eq!(gateway.post("/auth/login", None, &body).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn recovery_codes_are_limited_for_each_address() {
    // N23: a limit on queries, not on chances.
    let gateway = TestGateway::start().await;
    gateway.user("ada", &[]).await;
    let (_, _, recovery) = with_app(&gateway, "ada").await;
    let mut here = at_second_step(&gateway, "ada", "/auth/login").await;
    let (since, mut wrong) = (gateway.clock.monotonic(), 0);
    while enter(&mut here, "ABCD-EFGH-JKLM-NPQR").await.status == 403 {
        wrong += 1;
        // One more each second.
        assert!(wrong <= 300 + gateway.clock.monotonic().since(since).as_secs(), "{wrong}");
    }
    assert!(wrong >= 300, "{wrong}");
    later(&gateway, Duration::from_secs(1)).await;
    assert_eq!(enter(&mut here, &recovery[0]).await.status, 303);
}
