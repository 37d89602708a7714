//! Personal data and tokens of a provider: neither in Redis, nor in the log at `info`, nor in metrics.

use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::{Fleet, expired};
use crate::browser::hidden;
use crate::identity::log::{capture, captured};
use crate::identity::{OPEN, Surfer};
use crate::support::gateway::SOON;
use crate::support::{assert_eventually, http};

/// Parts of the claims of the person, as they are and as JSON may escape them.
const PERSONAL: [&str; 4] =
    ["kiesler@austria.example", "Kiesler-H\u{f6}rbiger", "H\\u00f6rbiger", "subject-0815"];

/// Forms of `secrets` that a text contains.
fn found(text: &str, secrets: &[String]) -> Vec<String> {
    let hex = |data: &str| data.bytes().map(|byte| format!("{byte:02x}")).collect::<String>();
    let forms = secrets.iter().flat_map(|data| {
        [data.clone(), hex(data), STANDARD_NO_PAD.encode(data), URL_SAFE_NO_PAD.encode(data)]
    });
    forms.filter(|form| text.contains(form)).collect()
}

/// Every command that a Redis receives from now on, with its keys and values.
pub(crate) async fn monitor(port: u16) -> Arc<Mutex<Vec<u8>>> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.expect("Redis listens");
    stream.write_all(b"MONITOR\r\n").await.expect("sent");
    let seen = Arc::new(Mutex::new(Vec::new()));
    let writes = Arc::clone(&seen);
    tokio::spawn(async move {
        let mut buffer = vec![0; 1 << 16];
        while let Ok(length @ 1..) = stream.read(&mut buffer).await {
            writes.lock().expect("not poisoned").extend_from_slice(&buffer[..length]);
        }
    });
    assert_eventually("it says so", SOON, async || seen.lock().expect("not poisoned").starts_with(b"+OK"))
        .await;
    seen
}

/// Signs out on the page. Returns the ID token that the browser took to the provider.
async fn sign_out(surfer: &mut Surfer) -> String {
    let confirm = surfer.here.go("/auth/logout").await;
    let to = surfer.here.post("/auth/logout", &hidden(&confirm)).await;
    let to = to.header("location").expect("the provider").to_owned();
    let hint = to.split("id_token_hint=").nth(1).expect("an ID token");
    hint.split('&').next().unwrap_or_default().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn data_of_the_provider_stay_out_of_redis_log_and_metrics() {
    capture();
    let person = json!({
        "preferred_username": "hedy", "name": "Hedwig Kiesler-H\u{f6}rbiger", "email": PERSONAL[0],
        "email_verified": true, "groups": ["platform"],
    });
    let fleet = Fleet::start(2, &json!({ "subject-0815": person }), &format!("{OPEN}\nlogout = true")).await;
    let commands = monitor(fleet.redis.port).await;
    let (mut one, two) = (fleet.signed_in("subject-0815", 0).await, fleet.signed_in("subject-0815", 1).await);
    let page = one.here.go("/auth/account").await;
    assert!(page.text().contains(PERSONAL[0]) && page.text().contains(PERSONAL[1]), "{}", page.text());
    // Rechecks: of a person without change, with other roles, and with the provider away.
    for round in 0..3 {
        let roles = if round == 1 { json!([]) } else { json!(["platform"]) };
        let mut changed = person.clone();
        changed["groups"] = roles;
        fleet.provider.put("subject-0815", &changed).await;
        fleet.provider.away(round == 2).await;
        fleet.make_due().await;
        for (browser, gateway) in [(&one.here, 1), (&two.here, 0)] {
            let mut browser = expired(browser).at(&fleet.gateways[gateway]);
            assert_eq!(browser.fetch("/").await.status, 200, "round {round}");
        }
    }
    fleet.provider.away(false).await;
    assert_eq!(fleet.provider.count("token:refresh_token").await, 4);
    let id_token = sign_out(&mut one).await;
    // The other session ends by a logout of the provider.
    let token = fleet.provider.logout_token(&json!({}), &json!({ "sub": "subject-0815" })).await;
    let headers = [("Content-Type", "application/x-www-form-urlencoded")];
    let (target, body) = ("/auth/providers/sso/backchannel-logout", format!("logout_token={token}"));
    let address = fleet.gateways[1].address();
    assert_eq!(http::request(address, "POST", target, &headers, body.as_bytes()).await.status, 200);
    assert_eq!(expired(&two.here).fetch("/").await.status, 401);

    let mut secrets = fleet.provider.secrets().await;
    // Codes, access tokens and refresh tokens of two sign-ins, and those of four rechecks.
    assert!(secrets.len() >= 14, "{secrets:?}");
    for token in [&id_token, &token] {
        let parts: Vec<&str> = token.split('.').collect();
        assert_eq!(parts.len(), 3, "{token}");
        secrets.extend(parts[1..].iter().map(|part| (*part).to_owned()));
    }
    secrets.extend(PERSONAL.map(str::to_owned));
    let mut keys = Vec::new();
    for key in fleet.redis.ask::<Vec<Vec<u8>>>(&["KEYS", "*"]).await {
        let key = String::from_utf8_lossy(&key).into_owned();
        let value: Vec<u8> = fleet.redis.ask(&["GET", &key]).await;
        keys.push(format!("{key} {}", String::from_utf8_lossy(&value)));
    }
    assert!(keys.len() == 2 && keys.iter().all(|key| key.starts_with("dw:s:")), "two sessions: {keys:?}");
    let commands = String::from_utf8_lossy(&commands.lock().expect("not poisoned")).into_owned();
    assert!(commands.to_ascii_uppercase().contains("\"SET\""), "{commands}");
    let mut metrics = String::new();
    for gateway in &fleet.gateways {
        metrics.push_str(&gateway.probe("/metrics").await.text());
    }
    let log = captured();
    for reason in ["user_created_by_provider", "logout_by_provider", "provider_recheck_failed"] {
        assert!(log.contains(reason), "no line with {reason}");
    }
    let redis = format!("{}\n{commands}", keys.join("\n"));
    for (place, text) in [("Redis", redis), ("the metrics", metrics), ("the log", log)] {
        assert_eq!(found(&text, &secrets), Vec::<String>::new(), "in {place}");
    }
    // The search finds what is there: the vault has the subject.
    assert!(!found(&fleet.sql("SELECT subject FROM identities").await, &secrets).is_empty());
}
