//! Peppers: invalid files, in the notation of `bad`, and the order of the keys.

use super::bad::Case;
use super::*;

const PEPPERS: &[Case] = &[
    (
        "[[login.peppers]]",
        r#"1: login.peppers[0]: no key: write 32 random bytes in base64url into a file and name it in key_file, apart from the vault and its backups|1: login.peppers[0].id: missing: write a name for the hashes, such as id = "2026""#,
    ),
    (
        r#"[[login.peppers]]|id = "Pepper 1"|key_env = "KEY""#,
        r#"2: login.peppers[0].id: "Pepper 1" is not a name: a pepper has a name of 1 to 8 characters from a-z 0-9 -"#,
    ),
    (
        r#"[[login.peppers]]|id = "a"|key = "hunter2""#,
        r#"3: login.peppers[0].key: this is not a pepper: write 32 random bytes in base64url without padding, 43 characters (`openssl rand -base64 32 | tr '+/' '-_' | tr -d =` makes one)"#,
    ),
    (
        r#"[[login.peppers]]|id = "a"|key_env = "KEY"|[[login.peppers]]|id = "a"|key_env = "KEY""#,
        r#"5: login.peppers[1].id: another pepper has the name "a": a new key needs a name of its own, since hashes name their pepper"#,
    ),
    (
        r#"[[login.peppers]]|id = "a"|key_env = "KEY"|key_file = "k""#,
        r#"4: login.peppers[0].key_file: given as `key_file` and `key_env`: keep exactly one"#,
    ),
    (
        r#"[[login.peppers]]|id = "a"|key_file = "none.key""#,
        r#"3: login.peppers[0].key_file: `none.key` cannot be read: No such file or directory (os error 2); write the key into it"#,
    ),
    (r#"[login]|peppers = ["a"]"#, r#"2: login.peppers[0]: this is a string: write [[login.peppers]]"#),
];

#[test]
fn peppers_that_cannot_work_are_rejected() {
    check_cases(PEPPERS);
}

#[test]
fn peppers_are_read_in_the_order_of_the_file() {
    let text = format!(
        "[[login.peppers]]\nid = \"b-2\"\nkey_env = \"KEY\"\n[[login.peppers]]\nid = \"a\"\nkey = \"{KEY}\"\n"
    );
    let config = good(&text);
    let ids: Vec<&str> = config.login.peppers.iter().map(|pepper| pepper.id.as_str()).collect();
    assert_eq!(ids, ["b-2", "a"]);
    assert!(!format!("{config:?}").contains(&KEY[..8]));
}
