//! `doorward user import` and `doorward user export`: formats, refusals, repetition.

use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use serde_json::{Value, json};

use crate::house::House;
use crate::process::{self, Done};

/// A bcrypt hash with a low cost.
const BCRYPT: &str = "$2b$04$bEQ8wUkr2xQsJOLX9kdv7.D2Uoq1xwAxsfzxXVC05EeT2B.Sx40p2";

/// Imports a file of this text.
fn import(house: &House, text: &str, from: &str, more: &[&str]) -> Done {
    house.write("users", text);
    let file = house.path("users").display().to_string();
    house.run(&[&["user", "import", &file, "--from", from], more].concat())
}

/// What `user show --json` says, without what differs from run to run.
fn shown(house: &House, name: &str) -> Value {
    let text = house.run(&["user", "show", name, "--json"]).good();
    let mut user: Value = serde_json::from_str(&text).expect("JSON");
    for key in ["id", "added_at"] {
        user.as_object_mut().expect("an object").remove(key);
    }
    if user.get("email_verified_at").is_some() {
        user["email_verified_at"] = json!("some time");
    }
    user
}

fn names(house: &House) -> Vec<String> {
    let text = house.run(&["user", "list", "--json"]).good();
    let users: Vec<Value> = serde_json::from_str(&text).expect("JSON");
    users.iter().map(|user| user["name"].as_str().expect("a name").to_owned()).collect()
}

/// Result of a user with a password that was imported with everything that its format has.
fn user(name: &str, roles: &[&str], email: Option<&str>, display_name: Option<&str>, state: &str) -> Value {
    let mut user = json!({
        "name": name, "has_password": true, "roles": roles, "state": state, "sessions": 0, "accounts": []
    });
    if let Some(email) = email {
        user["email"] = email.into();
    }
    if let Some(name) = display_name {
        user["display_name"] = name.into();
    }
    user
}

/// The same without a password.
fn without_password(mut user: Value) -> Value {
    user["has_password"] = json!(false);
    user
}

const CSV: &str = "\u{feff}login,password_hash,email,email_verified,name,roles,disabled\r\n\
    Ada,\"$argon2id$v=19$m=256,t=2,p=2$QNiVuVZVIJLE8wkyfc6Mug$1drayrD6Ajj/2Ro/J05vNyjy9fHgbgIZN6nb83bKtpI\",\
    ada@Example.org,true,\"Lovelace, \"\"Ada\"\"\",admin user,false\r\n\
    \r\n\
    bob,,,,,,true\r\n";

#[test]
fn csv_users_have_attributes_roles_and_state() {
    let house = House::empty();
    let report = import(&house, CSV, "csv", &[]).good();
    assert_eq!(
        report,
        "users read: 2; created: 2; updated: 0; unchanged: 0; refused: 0; skipped: 0\n\
         hashes of these: argon2id 1, no password 1\n"
    );
    let ada = user("ada", &["admin", "user"], Some("ada@example.org"), Some("Lovelace, \"Ada\""), "enabled");
    assert_eq!(shown(&house, "ada"), ada, "not verified unless the operator trusts the file");
    assert_eq!(shown(&house, "bob"), without_password(user("bob", &[], None, None, "disabled")));
    let other = House::empty();
    import(&other, CSV, "csv", &["--trust-verified", "--role", "all"]).good();
    assert_eq!(shown(&other, "ada")["email_verified_at"], "some time");
    assert_eq!(shown(&other, "bob")["roles"], json!(["all"]));
}

#[test]
fn htpasswd_lines_are_users() {
    let house = House::empty();
    // Real ones, of Apache's program.
    let made = |option: &str, name: &str| {
        let made = Command::new("htpasswd").args(["-nb", option, name, "violet kettle"]).output();
        String::from_utf8(made.expect("htpasswd of apache2-utils").stdout).expect("UTF-8").trim().to_owned()
    };
    let good = format!("# people\n\n{}\n{}\n", made("-B", "ada"), made("-B", "Bob"));
    assert_eq!(
        import(&house, &good, "htpasswd", &["--role", "user"]).good(),
        "users read: 2; created: 2; updated: 0; unchanged: 0; refused: 0; skipped: 0\nhashes of these: bcrypt 2\n"
    );
    assert_eq!(shown(&house, "bob"), user("bob", &["user"], None, None, "enabled"));

    let weak = format!("{}\n{}\n{}\nnobody\n", made("-m", "carol"), made("-s", "dan"), made("-d", "eve"));
    let done = import(&house, &weak, "htpasswd", &[]);
    assert_eq!(done.code, Some(1));
    let lines: Vec<&str> = done.out.lines().collect();
    for (line, says) in lines.iter().zip([
        "line 1: refused \"carol\": apr1 (MD5) hashes are too weak to be kept: leave the hash empty",
        "line 2: refused \"dan\": unsalted SHA-1 hashes are too weak",
        "line 3: refused \"eve\": DES-crypt hashes are too weak",
        "line 4: refused \"\": the line is not name:hash",
    ]) {
        assert!(line.starts_with(says), "{line}");
    }
    assert_eq!(names(&house), ["ada", "bob"], "nothing was written");
}

const AUTHELIA: &str = "\
---
theme: dark
users:
  ada:
    disabled: false
    displayname: \"Ada Lovelace\"
    password: \"$argon2id$v=19$m=256,t=2,p=2$QNiVuVZVIJLE8wkyfc6Mug$1drayrD6Ajj/2Ro/J05vNyjy9fHgbgIZN6nb83bKtpI\"
    email: ada@example.org
    groups: [admins, dev]
    extra: { department: { name: engines } }
  'bob':
    displayname: >-
      Bob
      the Builder
    password: $pbkdf2-sha512$1000$ttYao3TOGaO0du4957zXWg$PNvNKp6QdnRTiOcFP7J6ysWZuduQ5Y2XWs6cuA93FhG8W32JARP7m.MBptuxYO0v97qerSg0AHoRHwIchIvSUg
    email: bob@example.org # the builder
    disabled: true
    groups:
      - dev
  eve:
    displayname: Eve
    password: \"$6$rounds=50000$BpLnfgDsc2WD8F2q$Zis.ixdg9s/UOJYrs56b5QEZFiZECu0qZVNsIYxBaNJ7ucIL.nlxVCT5tqh8KHG8X4tlwCFm5r6NTOZZ5qRFN/\"
";

#[test]
fn authelia_users_have_groups_and_state() {
    let house = House::empty();
    let done = import(&house, AUTHELIA, "authelia", &["--map", "admins=admin"]);
    assert_eq!(done.code, Some(1));
    assert!(
        done.out.starts_with("line 20: refused \"eve\": doorward does not verify SHA-512-crypt hashes"),
        "{}",
        done.out
    );
    assert_eq!(names(&house), [""; 0]);
    let done = import(&house, AUTHELIA, "authelia", &["--map", "admins=admin", "--skip-refused"]).good();
    let lines: Vec<&str> = done.lines().skip(1).collect();
    assert_eq!(
        lines,
        [
            "users read: 3; created: 2; updated: 0; unchanged: 0; refused: 1; skipped: 0",
            "hashes of these: argon2id 1, pbkdf2 1",
            "groups that give no role (see --map and --groups-as-roles), with users: \"dev\" 2",
        ]
    );
    let ada = user("ada", &["admin"], Some("ada@example.org"), Some("Ada Lovelace"), "enabled");
    assert_eq!(shown(&house, "ada"), ada);
    let bob = user("bob", &[], Some("bob@example.org"), Some("Bob the Builder"), "disabled");
    assert_eq!(shown(&house, "bob"), bob);
}

fn realm() -> Value {
    json!({
        "id": "x",
        "realm": "main",
        "clients": [{ "clientId": "app", "attributes": { "large": "x".repeat(3 << 20) } }],
        "users": [
            {
                "id": "1", "username": "ada", "email": "ada@example.org", "emailVerified": true, "enabled": true,
                "firstName": "Ada", "lastName": "Lovelace", "createdTimestamp": 1_700_000_000_000_u64, "totp": true,
                "credentials": [
                    {
                        "type": "password", "userLabel": "mine",
                        "secretData": "{\"value\":\"QZPrm5y5b9TORSgCGSCxESvxIXAw2ogU397hFs5VUGk=\",\"salt\":\"DydDi6eK2+U944EuCkSKvQ==\",\"additionalParameters\":{}}",
                        "credentialData": "{\"hashIterations\":5,\"algorithm\":\"argon2\",\"additionalParameters\":{\"hashLength\":[\"32\"],\"memory\":[\"1024\"],\"type\":[\"id\"],\"version\":[\"1.3\"],\"parallelism\":[\"1\"]}}"
                    },
                    { "type": "otp", "secretData": "{\"value\":\"x\"}", "credentialData": "{\"subType\":\"totp\"}" }
                ],
                "realmRoles": ["default-roles-main"], "clientRoles": { "app": ["editor"] }, "groups": ["/staff", "/staff/dev"]
            },
            { "username": "bob", "enabled": false, "credentials": [], "requiredActions": ["UPDATE_PASSWORD"] },
            { "username": "service-account-app", "serviceAccountClientId": "app", "enabled": true }
        ],
        "components": {}
    })
}

#[test]
fn keycloak_users_have_groups_roles_and_state() {
    let house = House::empty();
    let options =
        ["--map", "app/editor=editor", "--map", "/staff/dev=dev", "--groups-as-roles", "--trust-verified"];
    let report = import(&house, &realm().to_string(), "keycloak", &options).good();
    assert_eq!(
        report,
        "user 3: skipped \"service-account-app\": a service account is not a person\n\
         users read: 3; created: 2; updated: 0; unchanged: 0; refused: 0; skipped: 1\n\
         hashes of these: argon2id 1, no password 1\n\
         users whose second factor was left out: 1; they sign in with the password alone\n"
    );
    let mut ada = user(
        "ada",
        &["default-roles-main", "dev", "editor", "staff"],
        Some("ada@example.org"),
        Some("Ada Lovelace"),
        "enabled",
    );
    ada["email_verified_at"] = json!("some time");
    assert_eq!(shown(&house, "ada"), ada);
    assert_eq!(shown(&house, "bob"), without_password(user("bob", &[], None, None, "disabled")));
}

#[test]
fn file_of_another_format_is_refused_as_a_whole() {
    let house = House::empty();
    let wrong = |text: &str, from: &str| {
        let complaint = import(&house, text, from, &[]).complaint();
        let start = format!("doorward: cannot import `{}`: ", house.path("users").display());
        complaint.strip_prefix(&start).unwrap_or_else(|| panic!("{complaint}")).to_owned()
    };
    for (text, from, says) in [
        ("", "csv", "line 1: the column `login` is missing"),
        ("user,hash\n", "csv", "line 1: unknown column `user`: the columns are login, password_hash"),
        ("login,password\n", "csv", "passwords in clear are not imported"),
        ("login,login\n", "csv", "the column `login` is there twice"),
        ("", "authelia", "the file ends too soon"),
        ("people:\n  ada: {}\n", "authelia", "the file has no mapping `users`"),
        ("users:\n  ada: {\n", "authelia", "this is no YAML"),
        ("users:\n  a: &x {}\n  b: *x\n", "authelia", "line 3: aliases (*name) are not read"),
        ("users: [ada]\n", "authelia", "line 1: `users` is no mapping"),
        ("{}", "keycloak", "the realm has no users: export it with them"),
        ("[{}]", "keycloak", "it has several realms: export one"),
        ("{\"users\":[{\"username\":1}]}", "keycloak", "this is no realm export of Keycloak"),
        ("{\"users\":[{\"username\":\"ada\"}", "keycloak", "this is no realm export of Keycloak"),
        ("{\"users\":[]} x", "keycloak", "more follows after the realm"),
    ] {
        let complaint = wrong(text, from);
        assert!(complaint.contains(says), "{from} {text}: {complaint}");
    }
    let endless = "x".repeat(3 << 20);
    for (text, from) in [
        (format!("login\n\"{endless}"), "csv"),
        (endless.clone(), "htpasswd"),
        (format!("users:\n  ada:\n    displayname: {endless}"), "authelia"),
        (format!("{{\"users\":[{{\"username\":\"{endless}\"}}]}}"), "keycloak"),
    ] {
        let complaint = wrong(&text, from);
        assert!(complaint.contains("one user has more than 1 MiB of text"), "{from}: {complaint}");
    }
    assert_eq!(names(&house), [""; 0]);
    let folder = house.path("").display().to_string();
    let complaint = house.run(&["user", "import", &folder, "--from", "csv"]).complaint();
    assert!(complaint.contains("is no file"), "{complaint}");
}

#[test]
fn refused_users_name_line_and_remedy_and_nothing_is_written() {
    let house = House::empty();
    house
        .run_with(
            &["user", "add", "zoe", "--email", "zoe@example.org", "--password-stdin"],
            crate::house::PASSWORD,
        )
        .good();
    let text = format!(
        "login,password_hash,email,roles,disabled\n\
         ada,{BCRYPT},,,\n\
         a b,{BCRYPT},,,\n\
         bob,hunter2,,,\n\
         bea,{BCRYPT},no address,,\n\
         ADA,{BCRYPT},,,\n\
         cat,{BCRYPT},,Big,\n\
         dan,{BCRYPT},,,maybe\n\
         eve,{BCRYPT},zoe@example.org,,\n\
         \"f\u{1b}[2J\",{BCRYPT},,,\n\
         gil,{BCRYPT}\n\
         hal,\"$argon2id$v=19$m=19456,t=2,p=1,keyid=YQ$QNiVuVZVIJLE8wkyfc6Mug$1drayrD6Ajj/2Ro/J05vNyjy9fHgbgIZN6nb83bKtpI\",,,\n"
    );
    let expected = [
        "line 3: refused \"a b\": login name: a login name has 1 to 128 characters",
        "line 4: refused \"bob\": this is no hash that doorward can verify",
        "line 5: refused \"bea\": e-mail address: an e-mail address has at most 254 bytes",
        "line 6: refused \"ADA\": the login name is already that of line 2: remove one of them",
        "line 7: refused \"cat\": role `Big`: a role has 1 to 64 characters",
        "line 8: refused \"dan\": disabled is neither true nor false",
        "line 9: refused \"eve\": another user has the e-mail address: change it, or leave it empty",
        "line 10: refused \"f\\u{1b}[2J\": login name",
        "line 11: refused \"gil\": the line has 2 fields and the header 5: put quotes around a field with a comma",
        "line 12: refused \"hal\": the hash needs the pepper `a`, which login.peppers does not have",
        "users read: 11; would be created: 1; would be updated: 0; unchanged: 0; refused: 10; skipped: 0",
    ];
    for more in [&[][..], &["--dry-run"]] {
        let done = import(&house, &text, "csv", more);
        assert_eq!(done.code, Some(1));
        for (line, says) in done.out.lines().zip(expected) {
            assert!(line.starts_with(says), "{line}\n{says}");
        }
        assert!(done.out.ends_with("nothing was written\n"), "{}", done.out);
        assert!(!done.out.contains("hunter2"), "{}", done.out);
        let says = "doorward: refused users: 10; nothing was written: correct them in the file, or import the others with \
                    --skip-refused\n";
        assert_eq!(done.err, says);
        assert_eq!(names(&house), ["zoe"]);
    }
    let done = import(&house, &text, "csv", &["--skip-refused", "--json"]).good();
    let lines: Vec<Value> = serde_json::from_str(&done).expect("JSON");
    assert_eq!(lines.len(), 11);
    assert_eq!(
        (&lines[1]["place"], &lines[1]["name"], &lines[1]["result"]),
        (&json!("line 4"), &json!("bob"), &json!("refused"))
    );
    let summary = &lines[10];
    assert_eq!(
        (&summary["created"], &summary["refused"], &summary["dry_run"]),
        (&json!(1), &json!(10), &json!(false))
    );
    assert_eq!(names(&house), ["ada", "zoe"]);
}

#[test]
fn second_import_changes_nothing_and_update_leaves_passwords_alone() {
    let house = House::empty();
    let dry = import(&house, CSV, "csv", &["--dry-run"]).good();
    assert_eq!(
        dry,
        "users read: 2; would be created: 2; would be updated: 0; unchanged: 0; refused: 0; skipped: 0\n\
         hashes of these: argon2id 1, no password 1\nnothing was written\n"
    );
    assert_eq!(names(&house), [""; 0]);
    import(&house, CSV, "csv", &[]).good();
    let export = || house.run(&["user", "export", "-"]).good();
    let before = (export(), house.run(&["vault", "audit"]).good());
    for more in [&[][..], &["--update"]] {
        let again = import(&house, CSV, "csv", more).good();
        assert_eq!(again, "users read: 2; created: 0; updated: 0; unchanged: 2; refused: 0; skipped: 0\n");
        assert_eq!((export(), house.run(&["vault", "audit"]).good()), before);
    }

    let changed = format!(
        "login,password_hash,email,email_verified,name,roles,disabled\n\
         ada,{BCRYPT},ada@example.net,true,Ada,ops,true\n\
         bob,{BCRYPT},,,,,\n"
    );
    let left = import(&house, &changed, "csv", &[]).good();
    assert!(left.contains("updated: 0; unchanged: 2"), "{left}");
    assert_eq!(export(), before.0);
    let trial = import(&house, &changed, "csv", &["--update", "--dry-run", "--trust-verified"]).good();
    assert!(trial.contains("would be updated: 1; unchanged: 1"), "{trial}");
    assert_eq!(export(), before.0);
    let done = import(&house, &changed, "csv", &["--update", "--trust-verified"]).good();
    assert!(done.contains("updated: 1; unchanged: 1"), "{done}");
    let mut ada = user("ada", &["ops"], Some("ada@example.net"), Some("Ada"), "disabled");
    ada["email_verified_at"] = json!("some time");
    assert_eq!(shown(&house, "ada"), ada);
    assert!(!export().contains(BCRYPT), "passwords stay");
    let again = import(&house, &changed, "csv", &["--update", "--trust-verified"]).good();
    assert!(again.contains("updated: 0; unchanged: 2"), "{again}");
}

#[test]
fn export_is_private_and_can_be_imported() {
    let house = House::empty();
    import(&house, CSV, "csv", &["--trust-verified"]).good();
    let file = house.path("export.csv").display().to_string();
    let written = house.run(&["user", "export", &file]).good();
    let says = format!("users written to `{file}`: 2; whoever reads it can try to guess their passwords\n");
    assert_eq!(written, says);
    let mode = std::fs::metadata(&file).expect("a file").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let text = std::fs::read_to_string(&file).expect("text");
    assert_eq!(
        text,
        "login,password_hash,email,email_verified,name,roles,disabled\n\
         ada,\"$argon2id$v=19$m=256,t=2,p=2$QNiVuVZVIJLE8wkyfc6Mug$1drayrD6Ajj/2Ro/J05vNyjy9fHgbgIZN6nb83bKtpI\",\
         ada@example.org,true,\"Lovelace, \"\"Ada\"\"\",admin user,false\n\
         bob,,,,,,true\n"
    );
    let complaint = house.run(&["user", "export", &file]).complaint();
    assert!(complaint.contains("name a file that does not exist"), "{complaint}");
    assert!(!house.run(&["user", "export", "-", "--no-hashes"]).good().contains("argon2"));

    let other = House::empty();
    other.run(&["user", "import", &file, "--from", "csv", "--trust-verified"]).good();
    assert_eq!(other.run(&["user", "export", "-"]).good(), text);
}

#[test]
fn progress_bar_appears_on_a_terminal_only() {
    let house = House::empty();
    let rows: String = (0..3000).map(|number| format!("user{number},{BCRYPT}\n")).collect();
    let text = format!("login,password_hash\n{rows}");
    let piped = import(&house, &text, "csv", &["--dry-run"]);
    assert_eq!((piped.code, piped.err.as_str()), (Some(0), ""));
    let file = house.path("users").display().to_string();
    let inner = house.command(&["user", "import", &file, "--from", "csv"]);
    let words = [inner.get_program()].into_iter().chain(inner.get_args());
    let line: Vec<String> = words.map(|word| format!("'{}'", word.to_string_lossy())).collect();
    // `script` of util-linux gives it a terminal.
    let mut script = Command::new("script");
    script.args(["--quiet", "--return", "--command", &line.join(" "), "/dev/null"]);
    let shown = process::run(&mut script, "");
    assert_eq!(shown.code, Some(0), "{}", shown.out);
    for part in ["\rchecking [", "\rimporting [", " %  500 users ", "\r\u{1b}[K", "created: 3000"] {
        assert!(shown.out.contains(part), "{part:?}: {}", shown.out);
    }
}
