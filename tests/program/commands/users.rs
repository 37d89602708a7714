//! Output and errors of `doorward user` and `doorward session`.

use std::net::SocketAddr;

use crate::app::TestApp;
use crate::house::{House, PASSWORD};
use crate::process::Done;
use crate::range_api::{RangeApi, Ranges};
use crate::serving::code;

/// First line of a usage error; the usage follows.
fn misuse(done: Done) -> String {
    assert_eq!((done.code, done.out.as_str()), (Some(2), ""), "{}", done.err);
    assert!(!done.err.contains("panic"), "{}", done.err);
    done.err.lines().next().unwrap_or_default().to_owned()
}

/// `2026-01-31T12:00:00Z`.
fn is_time(text: &str) -> bool {
    text.len() == 20 && text.ends_with('Z') && text.as_bytes()[10] == b'T'
}

#[test]
fn users_are_added_listed_and_changed() {
    let house = House::empty();
    house.run(&["vault", "migrate"]).good();
    let none = house.run(&["user", "list"]).good();
    assert_eq!(none, "there are no users yet: `doorward user add NAME` adds one\n");
    house.add("bob", &[]);
    assert_eq!(
        house
            .run_with(
                &["user", "add", "Ada", "--role", "user", "--role", "admin", "--password-stdin"],
                PASSWORD
            )
            .good(),
        "added `ada`\n"
    );
    let listed = || -> Vec<Vec<String>> {
        let text = house.run(&["user", "list"]).good();
        text.lines().map(|line| line.split('\t').map(str::to_owned).collect()).collect()
    };
    let rows = listed();
    assert_eq!(rows[0][..3], ["ada", "enabled", "admin,user"]);
    assert_eq!(rows[1][..3], ["bob", "enabled", ""]);
    for row in &rows {
        assert!(row.len() == 5 && row[3].len() == 22 && is_time(&row[4]), "{row:?}");
    }

    assert_eq!(house.run(&["user", "roles", "ada", "ops", "dev"]).good(), "roles of `ada`: dev,ops\n");
    assert_eq!(house.run(&["user", "roles", "bob"]).good(), "roles of `bob`: none\n");
    assert_eq!(house.run(&["user", "disable", "bob"]).good(), "disabled `bob`; sessions ended: 0\n");
    assert_eq!(listed()[1][..3], ["bob", "disabled", ""]);
    assert_eq!(listed()[0][..3], ["ada", "enabled", "dev,ops"]);
    assert_eq!(house.run(&["user", "enable", "bob"]).good(), "enabled `bob`\n");
    let changed =
        house.run_with(&["user", "passwd", "bob", "--password-stdin"], "another battery staple\n").good();
    assert_eq!(changed, "changed the password of `bob`; sessions ended: 0\n");
    assert_eq!(house.run(&["user", "delete", "bob", "--yes"]).good(), "deleted `bob`; sessions ended: 0\n");
    assert_eq!(listed().len(), 1);
}

#[test]
fn deleting_a_user_asks_first() {
    let house = House::empty();
    house.add("ada", &[]);
    let done = house.run_with(&["user", "delete", "ada"], "no\n");
    assert_eq!(done.code, Some(1));
    assert_eq!(done.out, "This deletes `ada` and ends every session. Type yes to continue: ");
    assert_eq!(done.err, "doorward: nothing was changed (use --yes to skip this question)\n");
    assert_eq!(house.run(&["user", "list"]).good().lines().count(), 1);
    let done = house.run_with(&["user", "delete", "ada"], "yes\n").good();
    assert!(done.ends_with("deleted `ada`; sessions ended: 0\n"), "{done}");
}

#[test]
fn impossible_user_changes_name_the_cause() {
    let house = House::empty();
    house.add("ada", &[]);
    let again = house.run_with(&["user", "add", "ADA", "--password-stdin"], PASSWORD).complaint();
    assert!(again.contains("the user `ada` exists already: use `doorward user passwd ada`"), "{again}");
    for command in ["passwd", "disable", "enable", "roles", "delete"] {
        let complaint = house.run_with(&["user", command, "eve"], PASSWORD).complaint();
        assert_eq!(
            complaint, "doorward: there is no user `eve`: `doorward user list` shows them",
            "{command}"
        );
    }
    for (password, says) in [
        ("", "has 0 characters: choose one of at least 15"),
        ("too short", "has 9 characters: choose one of at least 15"),
        ("aaaaaaaaaaaaaaaaaaaa", "easily guessed: a run such as"),
        ("passwordpassword", "(password_repeated)"),
        (&"long ".repeat(2_000), "choose a shorter one"),
    ] {
        let added = house.run_with(&["user", "add", "bob", "--password-stdin"], password).complaint();
        assert!(added.contains(says), "{added}");
        let changed = house.run_with(&["user", "passwd", "ada", "--password-stdin"], password).complaint();
        assert!(changed.contains(says), "{changed}");
    }
    assert_eq!(house.run(&["user", "list"]).good().lines().count(), 1, "nobody was added");

    let role = misuse(house.run(&["user", "add", "bob", "--role", "Big Boss"]));
    assert!(role.contains("Big Boss") && role.contains("a role has 1 to 64 characters"), "{role}");
    let role = misuse(house.run(&["user", "roles", "ada", "a,b"]));
    assert!(role.contains("a,b") && role.contains("a role has 1 to 64 characters"), "{role}");
    let name = misuse(house.run(&["user", "add", "a b"]));
    assert!(name.contains("a b") && name.contains("a login name has 1 to 128 characters"), "{name}");
}

#[test]
fn password_prompt_needs_a_terminal() {
    let house = House::empty();
    // In a new session there is no terminal, however the test is run.
    let mut command = std::process::Command::new("setsid");
    let inner = house.command(&["user", "add", "ada"]);
    command.arg("--wait").arg(inner.get_program()).args(inner.get_args());
    let complaint = crate::process::run(&mut command, "").complaint();
    assert!(complaint.contains("use --password-stdin"), "{complaint}");
}

#[test]
fn password_is_read_from_the_first_line_of_a_file() {
    let house = House::empty();
    house.write("password", &format!("{PASSWORD}\r\nanother line\n"));
    let file = house.path("password").display().to_string();
    // The path is relative to the working directory, unlike paths in the configuration.
    let added = house.run(&["user", "add", "ada", "--role", "admin", "--password-file", &file]).good();
    assert_eq!(added, "added `ada`\n");
    let changed = house.run(&["user", "passwd", "ada", "--password-file", &file]).good();
    assert_eq!(changed, "changed the password of `ada`; sessions ended: 0\n");

    let missing = house.path("nowhere").display().to_string();
    house.write("short", "too short\n");
    std::fs::write(house.path("bytes"), b"\xff\xfe").expect("a file");
    for (name, says) in [
        (missing.clone(), format!("cannot read the password from `{missing}`: name a file of text")),
        (house.path("bytes").display().to_string(), "name a file of text".to_owned()),
        (house.path("short").display().to_string(), "has 9 characters".to_owned()),
    ] {
        let complaint = house.run(&["user", "add", "bob", "--password-file", &name]).complaint();
        assert!(complaint.contains(&says) && !complaint.contains("too short"), "{complaint}");
    }
    let both = misuse(house.run(&["user", "add", "bob", "--password-stdin", "--password-file", &file]));
    assert!(both.contains("cannot be used with"), "{both}");
    assert_eq!(house.run(&["user", "list"]).good().lines().count(), 1, "nobody else was added");
}

#[tokio::test(flavor = "multi_thread")]
async fn password_from_a_file_signs_in() {
    let app = TestApp::start().await;
    let house = House::new(app.address(), "");
    house.write("password", PASSWORD);
    let file = house.path("password").display().to_string();
    house.run(&["user", "add", "ada", "--password-file", &file]).good();
    assert_eq!(house.serve().sign_in("ada", PASSWORD).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn disabled_user_loses_sessions_and_cannot_log_in() {
    let app = TestApp::start().await;
    let house = House::new(app.address(), "");
    house.add("ada", &[]);
    let gateway = house.serve();
    let (one, two) = (gateway.login("ada").await, gateway.login("ada").await);
    assert_eq!(house.run(&["user", "disable", "ada"]).good(), "disabled `ada`; sessions ended: 2\n");
    crate::serving::assert_revoked(&gateway, &[&one, &two]).await;
    assert_eq!(code(&gateway.sign_in("ada", PASSWORD).await), (401, "credentials_wrong".into()));
    house.run(&["user", "enable", "ada"]).good();
    let three = gateway.login("ada").await;
    assert_eq!(gateway.get("/", &three.access).await.status, 200);
    assert_eq!(
        gateway.refusal("/", &one.access).await,
        (401, "token_revoked".into()),
        "the old ones stay dead"
    );

    let other = "another battery staple";
    let changed = house.run_with(&["user", "passwd", "ada", "--password-stdin"], other).good();
    // The two sessions that had ended are revoked again, in case a gateway missed it, and not counted again.
    assert_eq!(changed, "changed the password of `ada`; sessions ended: 1\n");
    crate::serving::assert_revoked(&gateway, &[&three]).await;
    assert_eq!(code(&gateway.sign_in("ada", PASSWORD).await), (401, "credentials_wrong".into()));
    assert_eq!(gateway.sign_in("ada", other).await.status, 200);
    assert_eq!(house.run(&["user", "delete", "ada", "--yes"]).good(), "deleted `ada`; sessions ended: 1\n");
    assert_eq!(code(&gateway.sign_in("ada", other).await), (401, "credentials_wrong".into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_are_listed_and_revoked_by_id_user_or_all() {
    let app = TestApp::start().await;
    let house = House::new(app.address(), "");
    house.add("ada", &[]);
    house.add("bob", &[]);
    let gateway = house.serve();
    let (ada, ada2) = (gateway.login("ada").await, gateway.login("ada").await);
    let (bob, bob2) = (gateway.login("bob").await, gateway.login("bob").await);
    let listed = |arguments: &[&str]| -> Vec<String> {
        let text = house.run(&[&["session", "list"], arguments].concat()).good();
        text.lines().map(str::to_owned).collect()
    };
    assert_eq!(listed(&[]).len(), 4);
    let rows = listed(&["--user", "ada"]);
    assert_eq!(rows.len(), 2);
    let mut ids: Vec<&str> = rows.iter().map(|row| row.split('\t').next().unwrap_or_default()).collect();
    ids.sort_unstable();
    let mut expected = [ada.session.as_str(), &ada2.session];
    expected.sort_unstable();
    assert_eq!(ids, expected);
    for row in &rows {
        let cells: Vec<&str> = row.split('\t').collect();
        assert!(cells.len() == 6 && is_time(cells[2]) && is_time(cells[3]), "{row}");
        assert_eq!((cells[1], cells[4], cells[5]), ("ada", "127.0.0.1", "-"));
    }

    assert_eq!(house.run(&["session", "revoke", &ada.session]).good(), "sessions ended: 1\n");
    crate::serving::assert_revoked(&gateway, &[&ada]).await;
    assert_eq!(gateway.get("/", &ada2.access).await.status, 200);
    assert_eq!(house.run(&["session", "revoke", "--user", "bob"]).good(), "sessions ended: 2\n");
    crate::serving::assert_revoked(&gateway, &[&bob, &bob2]).await;
    assert_eq!(gateway.get("/", &ada2.access).await.status, 200);

    let unconfirmed = house.run_with(&["session", "revoke", "--all"], "\n");
    assert_eq!(
        (unconfirmed.code, unconfirmed.out.as_str()),
        (Some(1), "This signs out all users. Type yes to continue: ")
    );
    assert!(unconfirmed.err.starts_with("doorward: nothing was changed"), "{}", unconfirmed.err);
    assert_eq!(gateway.get("/", &ada2.access).await.status, 200);
    let all = house.run_with(&["session", "revoke", "--all"], "yes\n").good();
    assert!(all.ends_with("sessions ended: 1\n"), "{all}");
    crate::serving::assert_revoked(&gateway, &[&ada2]).await;
    let ada3 = gateway.login("ada").await;
    let all = house.run(&["session", "revoke", "--all", "--yes"]).good();
    assert_eq!(all, "sessions ended: 1\n");
    crate::serving::assert_revoked(&gateway, &[&ada3]).await;
    assert_eq!(listed(&[]), ["there are no live sessions"]);
}

#[test]
fn revoking_an_unknown_or_malformed_session_id_fails() {
    let house = House::empty();
    house.run(&["vault", "migrate"]).good();
    let unknown = "AAAAAAAAAAAAAAAAAAAAAA";
    let complaint = house.run(&["session", "revoke", unknown]).complaint();
    assert!(
        complaint.contains(&format!("there is no session {unknown}: `doorward session list`")),
        "{complaint}"
    );
    let complaint = house.run(&["session", "revoke", "--user", "eve"]).complaint();
    assert!(complaint.contains("there is no user `eve`"), "{complaint}");
    let bad = misuse(house.run(&["session", "revoke", "mine"]));
    assert!(bad.contains("mine") && bad.contains("22 characters"), "{bad}");
    let none = misuse(house.run(&["session", "revoke"]));
    assert!(none.contains("required"), "{none}");
}

#[test]
fn leaked_password_is_refused_and_a_silent_collection_is_named() {
    let leaked = "gentle walrus paints a tower";
    let api = RangeApi::with(&[leaked]);
    let house = House::new(SocketAddr::from(([127, 0, 0, 1], 9)), &api.settings("10s"));
    let refused = house.run_with(&["user", "add", "ada", "--password-stdin"], leaked).complaint();
    assert!(refused.contains("data breach") && refused.contains("(password_breached)"), "{refused}");
    house.add("ada", &[]);
    api.react(Ranges::Says(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n".to_vec()));
    let done = house.run_with(&["user", "passwd", "ada", "--password-stdin"], leaked);
    assert_eq!(
        done.err, "warning: login.breached_passwords: status 503; the password was not looked up\n",
        "{}",
        done.out
    );
    assert_eq!(
        (done.code, done.out.as_str()),
        (Some(0), "changed the password of `ada`; sessions ended: 0\n")
    );
}

/// The name for display and the e-mail address are known as well.
#[test]
fn password_made_of_the_attributes_is_refused() {
    let house = House::empty();
    let add = [
        "user",
        "add",
        "al",
        "--email",
        "countess77@example.org",
        "--name",
        "Ada Lovelace",
        "--password-stdin",
    ];
    for password in ["Lovelace-countess-1815", "ada-lovelace-1815"] {
        let refused = house.run_with(&add, password).complaint();
        assert!(refused.contains("(password_contains_name)"), "{password}: {refused}");
    }
    assert_eq!(house.run_with(&add, PASSWORD).good(), "added `al`\n");
    let passwd = ["user", "passwd", "al", "--password-stdin"];
    let refused = house.run_with(&passwd, "countess77-at-home").complaint();
    assert!(refused.contains("(password_contains_name)"), "{refused}");
}

#[test]
fn unlock_says_what_to_do_without_a_shared_session_store() {
    let house = House::empty();
    house.run(&["vault", "migrate"]).good();
    house.add("ada", &[]);
    let said = house.run(&["user", "unlock", "ada"]).complaint();
    assert!(said.contains("restart it to forget them"), "{said}");
    let said = house.run(&["user", "unlock", "eve"]).complaint();
    assert!(said.contains("there is no user `eve`"), "{said}");
}
