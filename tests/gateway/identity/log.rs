//! Log and metrics of a sign-in: no code, state or token anywhere, and no personal data in the log or the metrics.

use std::io;
use std::sync::{Mutex, Once};

use serde_json::json;

use super::{OPEN, World, ada_with};
use crate::support::http;

static LINES: Mutex<Vec<u8>> = Mutex::new(Vec::new());
static CAPTURE: Once = Once::new();

/// Captures the log at `info` from now on, with the lines of all tests of this process.
pub(crate) fn capture() {
    CAPTURE.call_once(|| {
        let subscriber = tracing_subscriber::fmt().with_ansi(false).with_max_level(tracing::Level::INFO);
        tracing::subscriber::set_global_default(subscriber.with_writer(|| Lines).finish())
            .expect("the only one");
    });
}

/// The captured log.
pub(crate) fn captured() -> String {
    String::from_utf8_lossy(&LINES.lock().expect("not poisoned")).into_owned()
}

struct Lines;

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        LINES.lock().expect("not poisoned").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn log_and_metrics_name_no_secret_and_no_person() {
    // Lines of other tests of this process are in it too; this person is in none of them.
    capture();
    let world = World::with(&format!("{OPEN}\nlogout = true")).await;
    let private = json!({
        "preferred_username": "hypatia", "name": "Hypatia of Alexandria", "email": "hypatia@museion.example",
    });
    world.provider.put("subject-4711", &ada_with(&private)).await;
    let mut surfer = world.surfer();
    let callback = surfer.up_to_callback("subject-4711", "/reports").await;
    surfer.go(&callback).await;
    let mut secrets: Vec<String> = callback
        .split(['?', '&'])
        .filter_map(|pair| pair.split_once('='))
        .filter(|(name, _)| matches!(*name, "code" | "state"))
        .map(|(_, value)| value.to_owned())
        .collect();
    assert_eq!(secrets.len(), 2, "{callback}");
    // Failures say more than successes.
    world.surfer().go(&callback).await;
    let mut denied = world.surfer();
    denied.choose("/").await;
    let page = denied.sign_in_there("nobody").await;
    assert_eq!(page.status, 403);
    let forged = world.provider.logout_token(&json!({}), &json!({ "sub": "subject-4711", "aud": "x" })).await;
    let of_another = world.provider.logout_token(&json!({}), &json!({ "sub": "subject-4712" })).await;
    let headers = [("Content-Type", "application/x-www-form-urlencoded")];
    let target = "/auth/providers/sso/backchannel-logout";
    for (token, status) in [(&forged, 400), (&of_another, 200), (&of_another, 400)] {
        let body = format!("logout_token={token}");
        let response =
            http::request(world.gateway.address(), "POST", target, &headers, body.as_bytes()).await;
        assert_eq!(response.status, status, "{}", response.text());
    }
    secrets.extend([forged, of_another]);
    let confirm = surfer.here.go("/auth/logout").await;
    surfer.trail.clear();
    surfer.submit(&confirm, "/auth/logout", &[]).await;
    let hint = surfer.trail.first().expect("a URL").split("id_token_hint=").nth(1).expect("an ID token");
    secrets.push(hint.split('&').next().unwrap_or_default().to_owned());

    let log = captured();
    let metrics = world.gateway.probe("/metrics").await.text();
    assert!(log.contains("user_created_by_provider") && log.contains("logout_token_refused"), "{log}");
    assert!(log.contains("logout_token_replayed"), "{log}");
    let personal = ["hypatia@museion.example", "Alexandria", "subject-4711", "nobody of that name"];
    for text in secrets.iter().map(String::as_str).chain(personal) {
        for (line, what) in
            log.lines().map(|line| (line, "log")).chain(metrics.lines().map(|line| (line, "metrics")))
        {
            assert!(!line.contains(text), "{what}: {text}: {line}");
        }
    }
    assert!(!metrics.contains("hypatia"), "{metrics}");
}
