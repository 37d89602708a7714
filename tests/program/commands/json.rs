//! F32: machine-readable output of `doorward`.

use serde_json::{Value, json};

use crate::app::TestApp;
use crate::house::House;
use crate::process::Running;

fn array(text: &str) -> Vec<Value> {
    let parsed: Value = serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"));
    parsed.as_array().unwrap_or_else(|| panic!("no array: {text}")).clone()
}

fn keys(object: &Value) -> Vec<&str> {
    object.as_object().expect("an object").keys().map(String::as_str).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn listings_are_one_json_array_on_request() {
    let app = TestApp::start().await;
    let house = House::new(app.address(), "");
    house.run(&["vault", "migrate"]).good();
    for listing in
        [&["user", "list", "--json"][..], &["session", "list", "--json"], &["vault", "audit", "--json"]]
    {
        assert_eq!(house.run(listing).good(), "[]\n", "{listing:?}");
    }
    house.add("bob", &[]);
    house.add("ada", &["user", "admin"]);
    house.run(&["user", "disable", "bob"]).good();
    let users = array(&house.run(&["user", "list", "--json"]).good());
    assert_eq!(users.len(), 2);
    assert_eq!(
        (&users[0]["name"], &users[0]["state"], &users[0]["roles"]),
        (&json!("ada"), &json!("enabled"), &json!(["admin", "user"]))
    );
    assert_eq!(
        (&users[1]["name"], &users[1]["state"], &users[1]["roles"]),
        (&json!("bob"), &json!("disabled"), &json!([]))
    );
    assert_eq!(keys(&users[0]), ["added_at", "id", "name", "roles", "state"]);

    let serving = house.serve();
    let session = serving.login("ada").await.session;
    for listing in [&["session", "list", "--json"][..], &["session", "list", "--json", "--user", "ada"]] {
        let sessions = array(&house.run(listing).good());
        assert_eq!(sessions.len(), 1);
        assert_eq!(
            keys(&sessions[0]),
            ["address", "client", "renewed_at", "session", "signed_in_at", "user", "user_id"]
        );
        assert_eq!((&sessions[0]["session"], &sessions[0]["user"]), (&json!(session), &json!("ada")));
        assert_eq!(
            (&sessions[0]["user_id"], &sessions[0]["address"]),
            (&users[0]["id"], &json!("127.0.0.1"))
        );
    }
    let events = array(&house.run(&["vault", "audit", "--json", "--limit", "2", "--user", "ada"]).good());
    assert_eq!(events.len(), 2);
    assert_eq!(
        keys(&events[0]),
        [
            "actor",
            "address",
            "at",
            "cause",
            "event",
            "name_digest",
            "outcome",
            "position",
            "request_id",
            "session",
            "times",
            "user_id"
        ]
    );
    serving.stop();
}

#[test]
fn serve_output_follows_the_log_format() {
    for (format, is_json) in [("json", true), ("text", false)] {
        let app = std::net::SocketAddr::from(([127, 0, 0, 1], 9));
        let house = House::new(app, &format!("[log]\nformat = \"{format}\"\n"));
        let process = Running::start(&mut house.command(&["serve"]));
        process.complaint_with("serving");
        crate::process::signal(process.id(), "TERM");
        let (status, lines, _) = process.end();
        assert!(status.success());
        assert_eq!(lines.len(), 2, "{lines:?}");
        let parsed: Vec<Option<Value>> = lines.iter().map(|line| serde_json::from_str(line).ok()).collect();
        assert!(parsed.iter().all(|line| line.is_some() == is_json), "{lines:?}");
        let Some(Some(first)) = parsed.first().filter(|_| is_json) else {
            assert!(lines[0].starts_with("doorward serves http://127.0.0.1:"), "{lines:?}");
            continue;
        };
        assert_eq!(
            (&first["reason"], &first["listener"], &first["level"]),
            (&json!("listening"), &json!("public"), &json!("INFO"))
        );
        let address: std::net::SocketAddr =
            first["address"].as_str().expect("text").parse().expect("an address");
        assert_eq!(first["message"], json!(format!("doorward serves http://{address}")));
        assert!(first["timestamp"].as_str().is_some_and(|at| at.ends_with('Z')));
    }
}
