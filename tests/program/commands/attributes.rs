//! E-mail addresses and names by `doorward user add`, `show` and `set`; lists in pages.

use serde_json::{Value, json};

use crate::app::TestApp;
use crate::house::{House, PASSWORD};

/// Adds ada with an address that is verified and a name.
fn with_ada() -> House {
    let house = House::empty();
    add_ada(&house);
    house
}

fn add_ada(house: &House) {
    let add = ["user", "add", "ada", "--role", "admin", "--email", "Ada@Example.ORG", "--email-verified"];
    let add = [&add[..], &["--name", " Ada  Lovelace ", "--password-stdin"]].concat();
    assert_eq!(house.run_with(&add, PASSWORD).good(), "added `ada`\n");
}

/// Lines of `user show`, without those that differ from run to run.
fn shown(house: &House, name: &str) -> Vec<String> {
    let text = house.run(&["user", "show", name]).good();
    let lines = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "));
    lines.filter(|line| !line.starts_with("id ") && !line.starts_with("added ")).collect()
}

fn json_of(house: &House, name: &str) -> Value {
    serde_json::from_str(&house.run(&["user", "show", name, "--json"]).good()).expect("JSON")
}

#[test]
fn user_is_shown_with_all_that_is_known() {
    let house = with_ada();
    let lines = shown(&house, "ADA");
    assert!(lines[2].starts_with("e-mail Ada@example.org (verified 20"), "{lines:?}");
    assert_eq!(lines[..2], ["login name ada", "name Ada Lovelace"]);
    assert_eq!(lines[3..], ["roles admin", "password set", "state enabled", "sessions 0"]);
    house.add("bob", &[]);
    house.run(&["user", "disable", "bob"]).good();
    let bare =
        ["login name bob", "name -", "e-mail -", "roles -", "password set", "state disabled", "sessions 0"];
    assert_eq!(shown(&house, "bob"), bare);

    let ada = json_of(&house, "ada");
    let listed: Value = serde_json::from_str(&house.run(&["user", "list", "--json"]).good()).expect("JSON");
    for object in [&ada, &listed[0]] {
        assert_eq!(object["email"], "Ada@example.org");
        assert_eq!(object["email_verified_at"], object["added_at"]);
        assert_eq!(object["display_name"], "Ada  Lovelace");
    }
    assert_eq!((&ada["sessions"], &listed[0]["sessions"]), (&json!(0), &Value::Null));
    let bob: Vec<String> = json_of(&house, "bob").as_object().expect("an object").keys().cloned().collect();
    assert_eq!(
        bob,
        ["accounts", "added_at", "has_password", "id", "name", "roles", "sessions", "state"],
        "absent is absent"
    );
    for shown in [ada.to_string(), shown(&house, "ada").join("\n")] {
        assert!(!shown.contains("argon2"), "{shown}");
    }
    let unknown = house.run(&["user", "show", "eve"]).complaint();
    assert!(unknown.contains("there is no user `eve`"), "{unknown}");
}

#[tokio::test(flavor = "multi_thread")]
async fn live_sessions_are_counted() {
    let app = TestApp::start().await;
    let house = House::new(app.address(), "");
    house.add("ada", &[]);
    let gateway = house.serve();
    let (one, _) = (gateway.login("ada").await, gateway.login("ada").await);
    assert_eq!(json_of(&house, "ada")["sessions"], 2);
    house.run(&["session", "revoke", &one.session]).good();
    assert_eq!(json_of(&house, "ada")["sessions"], 1);
}

#[test]
fn attributes_are_set_and_removed() {
    let house = with_ada();
    let set = |options: &[&str]| house.run(&[&["user", "set", "ada"], options].concat()).good();
    let attributes = || shown(&house, "ada")[1..3].join(", ");
    assert_eq!(set(&["--email", "ada@example.net"]), "changed `ada`\n");
    assert_eq!(attributes(), "name Ada Lovelace, e-mail ada@example.net (not verified)");
    assert_eq!(set(&["--email-verified"]), "changed `ada`\n");
    assert!(attributes().contains("ada@example.net (verified "), "{}", attributes());
    assert_eq!(set(&["--email", "ada@example.net", "--email-verified"]), "nothing to change for `ada`\n");
    assert_eq!(set(&["--email", "a@example.org", "--email-verified", "--name", "Ada"]), "changed `ada`\n");
    assert!(attributes().starts_with("name Ada, e-mail a@example.org (verified "), "{}", attributes());
    assert_eq!(set(&["--no-email"]), "changed `ada`\n");
    assert_eq!(attributes(), "name Ada, e-mail -");
    assert_eq!(set(&["--no-name", "--no-email"]), "changed `ada`\n");
    assert_eq!(attributes(), "name -, e-mail -");
    assert_eq!(set(&["--no-name"]), "nothing to change for `ada`\n");
    let events = house.run(&["vault", "audit"]).good();
    assert_eq!(events.matches("attributes_changed").count(), 5, "{events}");
    assert!(!events.contains("example"), "an event names nobody: {events}");
}

#[test]
fn impossible_attributes_name_the_cause() {
    let house = with_ada();
    house.add("bob", &[]);
    for options in [
        &["set", "bob", "--email", "Ada@EXAMPLE.org"][..],
        &["add", "eve", "--email", "Ada@example.org", "--password-stdin"],
    ] {
        let taken = house.run_with(&[&["user"], options].concat(), PASSWORD).complaint();
        assert!(taken.contains("another user has the e-mail address `Ada@example.org`"), "{taken}");
        assert!(taken.contains("doorward user list --json"), "{taken}");
    }
    let unverifiable = house.run(&["user", "set", "bob", "--email-verified"]).complaint();
    assert!(unverifiable.contains("`bob` has no e-mail address") && unverifiable.contains("--email"));
    let unknown = house.run(&["user", "set", "eve", "--no-name"]).complaint();
    assert!(unknown.contains("there is no user `eve`"), "{unknown}");

    for (options, says) in [
        (&["set", "bob"][..], "required"),
        (&["set", "bob", "--email", "bob"], "an e-mail address has at most 254 bytes"),
        (&["set", "bob", "--email", "bob@exämple.org"], "xn--"),
        (&["set", "bob", "--name", "a\u{1b}[31mb"], "a name has 1 to 200 characters"),
        (&["set", "bob", "--name", "  "], "a name has 1 to 200 characters"),
        (&["set", "bob", "--email", "b@example.org", "--no-email"], "cannot be used with"),
        (&["set", "bob", "--no-email", "--email-verified"], "cannot be used with"),
        (&["set", "bob", "--name", "Bob", "--no-name"], "cannot be used with"),
        (&["add", "eve", "--email-verified", "--password-stdin"], "--email <ADDRESS>"),
    ] {
        let done = house.run(&[&["user"], options].concat());
        assert!(done.code == Some(2) && done.err.contains(says), "{options:?}: {}", done.err);
    }
    assert_eq!(shown(&house, "bob")[1..3], ["name -", "e-mail -"], "nothing was changed");
    assert_eq!(house.run(&["user", "list"]).good().lines().count(), 2, "nobody was added");
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_are_printed_in_pages_on_request() {
    let app = TestApp::start().await;
    let house = House::new(app.address(), "");
    for name in ["dora", "ada", "carl", "bob"] {
        house.add(name, &[]);
    }
    let names = |options: &[&str]| -> Vec<String> {
        let text = house.run(&[&["user", "list"], options].concat()).good();
        text.lines().map(|line| line.split('\t').next().unwrap_or_default().to_owned()).collect()
    };
    assert_eq!(names(&[]), ["ada", "bob", "carl", "dora"]);
    assert_eq!(names(&["--limit", "2"]), ["ada", "bob"]);
    assert_eq!(names(&["--after", "Bob"]), ["carl", "dora"]);
    assert_eq!(names(&["--after", "bo", "--limit", "1"]), ["bob"], "it need not exist");
    assert!(names(&["--after", "dora"]).is_empty());
    let page: Value = serde_json::from_str(&house.run(&["user", "list", "--json", "--limit", "3"]).good())
        .expect("one array");
    assert_eq!(page.as_array().expect("an array").len(), 3);

    let gateway = house.serve();
    let mut sessions = Vec::new();
    for name in ["ada", "bob", "ada"] {
        sessions.insert(0, gateway.login(name).await.session);
    }
    let listed = |options: &[&str]| -> Vec<String> {
        let text = house.run(&[&["session", "list"], options].concat()).good();
        text.lines().map(|line| line.split('\t').next().unwrap_or_default().to_owned()).collect()
    };
    assert_eq!(listed(&[]), sessions);
    assert_eq!(listed(&["--limit", "1"]), sessions[..1]);
    assert_eq!(listed(&["--after", &sessions[0]]), sessions[1..]);
    assert_eq!(listed(&["--after", &sessions[0], "--user", "ada"]), sessions[2..]);
    let unknown = house.run(&["session", "list", "--after", "AAAAAAAAAAAAAAAAAAAAAA"]).complaint();
    assert!(
        unknown.contains("there is no session AAAAAAAAAAAAAAAAAAAAAA: start the list again"),
        "{unknown}"
    );
    for options in [&["user", "list", "--limit", "0"][..], &["session", "list", "--limit", "0"]] {
        assert_eq!(house.run(options).code, Some(2), "{options:?}");
    }
}
