//! Personal data of users: neither in Redis, nor in the log at `info`, nor in metrics.

use serde_json::json;

use crate::app::TestApp;
use crate::eventually::assert_eventually;
use crate::house::{House, PASSWORD};
use crate::http::request;
use crate::process::PATIENCE;
use crate::redis::{NONE, RedisServer};
use crate::serving::{Serving, Tokens, credentials, post};

/// Parts of the address and the name of a user, as they are and as JSON may escape them. The login name is another.
const PERSONAL: [&str; 6] =
    ["sklodowska", "radium.example", "polonium.example", "Skłodowska", "Sk\\u0142odowska", "Curie"];

/// Encodings in which `text` holds personal data.
fn found(text: &str) -> Vec<String> {
    use base64::Engine as _;
    use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
    let hex = |data: &str| data.bytes().map(|byte| format!("{byte:02x}")).collect::<String>();
    let forms = PERSONAL.iter().flat_map(|data| {
        [(*data).to_owned(), hex(data), STANDARD_NO_PAD.encode(data), URL_SAFE_NO_PAD.encode(data)]
    });
    forms.filter(|form| text.contains(form)).collect()
}

/// All keys and values of a Redis, which has only strings.
async fn dump(redis: &RedisServer) -> String {
    let mut dump = String::new();
    for key in redis.ask::<Vec<Vec<u8>>>(&["KEYS", "*"]).await {
        let key = String::from_utf8_lossy(&key).into_owned();
        let value: Vec<u8> = redis.ask(&["GET", &key]).await;
        dump.push_str(&format!("{key}\n{}\n", String::from_utf8_lossy(&value)));
    }
    dump
}

async fn me(gateway: &Serving, tokens: &Tokens) -> String {
    gateway.get("/auth/me", &tokens.access).await.text()
}

#[tokio::test(flavor = "multi_thread")]
async fn email_and_name_stay_out_of_redis_log_and_metrics() {
    let (app, redis) = (TestApp::start().await, RedisServer::start(NONE).await);
    let more = format!(
        "[log]\nlevel = \"info\"\nformat = \"json\"\n[tokens]\nrefresh_grace = \"0s\"\nrefresh_grace_unused = \"0s\"\n\
         encrypted_claims = {{ claims = [\"email\", \"name\"], key = \"{}\" }}\n\
         [sessions]\nurl = \"redis://127.0.0.1:{}/0\"\n",
        "A".repeat(43),
        redis.port
    );
    let house = House::new(app.address(), &more);
    let add = ["user", "add", "ada", "--email", "sklodowska@radium.example", "--email-verified"];
    let add = [&add[..], &["--name", "Maria Skłodowska-Curie", "--password-stdin"]].concat();
    house.run_with(&add, PASSWORD).good();
    let gateway = house.serve();
    let is_used = async || {
        gateway.login("ada").await;
        redis.ask::<i64>(&["DBSIZE"]).await > 0
    };
    assert_eventually("Redis is used", PATIENCE, is_used).await;

    let tokens = gateway.login("ada").await;
    let shown = me(&gateway, &tokens).await;
    assert!(found(&shown).len() >= 3, "the search finds what is there: {shown}");
    assert_eq!(gateway.get("/", &tokens.access).await.status, 200);
    // The page, by cookie.
    let cookie = format!("__Host-doorward-access={}", tokens.access);
    let page = request(gateway.public, "GET", "/auth/account", &[("Cookie", &cookie)], b"").await;
    assert!(page.status == 200 && page.text().contains("Maria Skłodowska-Curie"), "{}", page.text());
    // An address typed as the user name, and one that another user has.
    for name in ["sklodowska@radium.example", "Skłodowska"] {
        let refused = post(gateway.public, "/auth/login", &credentials(name, PASSWORD)).await;
        assert_eq!(refused.expect("a response").status, 401);
    }
    house.add("bob", &[]);
    house.run(&["user", "set", "bob", "--email", "sklodowska@radium.example"]).complaint();
    // A change while the gateway runs: the old token is refused.
    house.run(&["user", "set", "ada", "--email", "sklodowska@polonium.example"]).good();
    let is_refused = async || gateway.get("/auth/me", &tokens.access).await.status == 401;
    assert_eventually("the old token is refused", PATIENCE, is_refused).await;
    let renewed = Tokens::of(&gateway.refresh(&tokens.refresh).await);
    assert!(me(&gateway, &renewed).await.contains("polonium.example"));
    // Reuse, sign-out and the end of the user.
    assert_eq!(gateway.refresh(&tokens.refresh).await.code(), "refresh_reused");
    let last = gateway.login("ada").await;
    let body = json!({ "current_password": PASSWORD, "new_password": "another battery staple" }).to_string();
    let json = [("Content-Type", "application/json")];
    let changed = gateway.call("POST", "/auth/password", &last.access, &json, body.as_bytes()).await;
    assert_eq!(changed.status, 200, "{}", changed.text());

    let dumped = dump(&redis).await;
    assert!(dumped.contains(&last.session), "the dump holds sessions: {dumped}");
    let metrics = request(gateway.admin, "GET", "/metrics", &[], b"").await.text();
    assert!(metrics.contains("doorward_"), "{metrics}");
    house.run(&["user", "delete", "ada", "--yes"]).good();
    let log: Vec<String> = gateway.log().iter().map(ToString::to_string).collect();
    for reason in ["answered", "forwarded", "credentials_wrong", "refresh_reused", "token_expired"] {
        assert!(log.iter().any(|line| line.contains(reason)), "no line with {reason}: {log:#?}");
    }
    for (place, text) in [("Redis", dumped), ("the metrics", metrics), ("the log", log.join("\n"))] {
        assert_eq!(found(&text), Vec::<String>::new(), "personal data in {place}: {text}");
    }
}
