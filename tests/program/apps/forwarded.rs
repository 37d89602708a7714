//! F13: a misconfigured proxy is named in the log, once.

use serde_json::{Value, json};

use crate::app::TestApp;
use crate::house::House;
use crate::http::request;

#[tokio::test(flavor = "multi_thread")]
async fn unparsable_forwarded_field_is_logged_once() {
    let app = TestApp::start().await;
    let house = House::new(app.address(), "");
    let text = std::fs::read_to_string(house.path("gateway.toml")).expect("the file");
    let text = text.replace("[server]\n", "[server]\ntrusted_proxies = [\"127.0.0.1\"]\n");
    house.write("gateway.toml", &text.replace("\"signed-in\"", "\"public\""));
    let gateway = house.serve();
    for _ in 0..3 {
        for headers in [
            [("X-Forwarded-For", "198.51.100.7, unknown"), ("X-Forwarded-Host", "one.example")],
            [("X-Forwarded-Proto", "gopher"), ("X-Forwarded-For", "198.51.100.7")],
            [("X-Forwarded-Proto", "HTTPS"), ("X-Forwarded-For", "198.51.100.7")],
        ] {
            assert_eq!(request(gateway.public, "GET", "/", &headers, b"").await.status, 200);
        }
    }
    let log = gateway.log();
    let lines: Vec<&Value> = log.iter().filter(|line| line["reason"] == "forwarded_field_ignored").collect();
    let warnings: Vec<(&Value, &Value, &Value)> =
        lines.iter().map(|line| (&line["peer"], &line["field"], &line["value"])).collect();
    assert_eq!(
        warnings,
        [
            (&json!("127.0.0.1"), &json!("x-forwarded-for"), &json!("unknown")),
            (&json!("127.0.0.1"), &json!("x-forwarded-proto"), &json!("gopher")),
        ]
    );
}
