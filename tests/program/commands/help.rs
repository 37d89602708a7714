//! `--help` exists for every command and describes that command.

use crate::house::doorward;
use crate::process;

/// Each command with a text its help must contain.
const COMMANDS: &[(&str, &str)] = &[
    ("", "reverse-proxy authentication gateway"),
    ("serve", "Start the gateway"),
    ("demo", "small app"),
    ("check", "every problem"),
    ("status", "running gateway"),
    ("completions", "completion script"),
    ("user", "Users"),
    ("user add", "Add a user"),
    ("user invite", "a link with which the user sets one"),
    ("user list", "List users"),
    ("user show", "Show all that is known about a user"),
    ("user set", "e-mail address and name"),
    ("user passwd", "password"),
    ("user reset", "forgotten it"),
    ("user disable", "ends every session"),
    ("user enable", "Enable"),
    ("user roles", "Replace a user's roles"),
    ("user link", "sign in as this user"),
    ("user unlink", "Remove an account"),
    ("user factors", "second factors"),
    ("user unlock", "failed sign-ins"),
    ("user import", "Create users from a file"),
    ("user export", "Write all users"),
    ("user delete", "Delete a user"),
    ("session", "Sessions"),
    ("session list", "List live sessions"),
    ("session revoke", "End sessions"),
    ("provider", "Identity providers"),
    ("provider list", "order of their buttons"),
    ("provider test", "what to register"),
    ("mail", "Mails"),
    ("mail test", "what the mail server says"),
    ("key", "Signing keys"),
    ("key rotate", "new signing keys"),
    ("vault", "The vault"),
    ("vault migrate", "schema"),
    ("vault backup", "copy"),
    ("vault restored", "restoring a backup"),
    ("vault passwords", "Count users by the hash"),
    ("vault audit", "newest first"),
];

fn help(command: &str) -> String {
    process::run(doorward().args(command.split_whitespace()).arg("--help"), "").good()
}

#[test]
fn every_command_explains_itself() {
    for (command, mentions) in COMMANDS {
        let text = help(command);
        assert!(text.contains(mentions), "`doorward {command} --help` has no `{mentions}`: {text}");
        assert!(
            text.contains(&format!("Usage: doorward {command}").trim_end().to_owned()),
            "{command}: {text}"
        );
        assert!(text.contains("--config <FILE>"), "{command}: {text}");
    }
}

#[test]
fn every_listing_offers_json() {
    for command in [
        "user list",
        "user show",
        "user import",
        "session list",
        "provider list",
        "vault audit",
        "vault passwords",
        "status",
    ] {
        assert!(help(command).contains("--json"), "{command}");
    }
}

#[test]
fn help_test_covers_every_command() {
    for (command, _) in COMMANDS {
        let text = help(command);
        let Some((_, listed)) = text.split_once("\nCommands:\n") else { continue };
        let lines = listed.lines().take_while(|line| !line.is_empty());
        let names = lines.filter(|line| line.starts_with("  ") && !line.starts_with("   "));
        for name in names.filter_map(|line| line.split_whitespace().next()).filter(|name| *name != "help") {
            let whole = format!("{command} {name}");
            assert!(COMMANDS.iter().any(|(known, _)| *known == whole.trim()), "`{whole}` is not tested");
        }
    }
}

#[test]
fn no_arguments_shows_help_and_does_nothing() {
    let done = process::run(&mut doorward(), "");
    assert_eq!((done.code, done.out.as_str()), (Some(2), ""));
    assert!(done.err.contains("Usage: doorward") && done.err.contains("doorward demo"), "{}", done.err);
    let version = process::run(doorward().arg("--version"), "").good();
    assert_eq!(version, format!("doorward {}\n", env!("CARGO_PKG_VERSION")));
}
