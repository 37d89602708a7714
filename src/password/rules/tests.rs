//! The rules as a whole: reasons, and how many good and bad passwords they refuse (`docs/passwords.md` has the figures).

mod figures;

use proptest::prelude::*;
use unicode_normalization::UnicodeNormalization as _;

use super::*;
use crate::clock::{Clock as _, SystemClock};
use crate::password::MAX_BYTES;

/// Words of passphrases: those of the EFF's list, 7,776.
fn words() -> Vec<&'static str> {
    include_str!("eff_words.txt").lines().filter(|line| !line.is_empty() && !line.starts_with(' ')).collect()
}

/// The check at a site called Tower Clinic for Ada Lovelace, for a number of characters.
fn check(text: &str, min_length: usize) -> Result<(), PasswordFault> {
    let person =
        Person { login: "ada.lovelace", name: Some("Ada King"), email: Some("countess77@mail.example") };
    let rules = PasswordRules::new(15, "Tower Clinic", ["app.doorward.example", "localhost"]);
    rules.check(&Password::new(text)?, person, min_length)
}

/// Prints a figure, visible with `--nocapture`.
#[expect(clippy::print_stdout, reason = "for people who run the tests")]
fn measured(what: std::fmt::Arguments<'_>) {
    println!("measured: {what}");
}

fn code(text: &str) -> &'static str {
    check(text, 15).err().map_or("accepted", PasswordFault::code)
}

#[test]
fn each_reason_is_given() {
    for (text, expected) in [
        ("fourteen chars", "password_too_short"),
        ("aaaaaaaaaaaaaaaaaaaa", "password_sequence"),
        ("password12345678", "password_sequence"),
        ("passwordpassword", "password_repeated"),
        ("doorward-doorward", "password_repeated"),
        ("doorward-harbour", "password_contains_site"),
        ("Tower Clinic 2024", "password_contains_site"),
        ("TowerClinic-2024", "password_contains_site"),
        ("Ada.Lovelace1234", "password_contains_name"),
        ("AdaLovelace @ Tower-Clinic", "password_contains_site"),
        ("Countess77-harbour", "password_contains_name"),
        ("1qaz2wsx3edc4rfv5tgb", "password_sequence"),
        ("videogames123456", "password_sequence"),
        ("Password1234", "password_too_short"),
        ("P@ssw0rd2024!!!", "password_common_words"),
        ("Sunshine-Football-24", "password_common_words"),
        ("thisismypassword", "password_common_words"),
        ("correct horse battery staple", "password_common_words"),
        ("violet kettle harbour lantern", "accepted"),
        ("a tower, a clinic, a bridge", "accepted"),
        ("another password, quite a bit longer", "accepted"),
        ("kX9$vq2LmZ7!wRt", "accepted"),
        ("горшок-фиалка-маяк", "accepted"),
        ("नमस्ते दुनिया कैसी है", "accepted"),
    ] {
        assert_eq!(code(text), expected, "{text}");
    }
}

#[test]
fn every_long_entry_of_the_list_is_refused() {
    let listed: Vec<&str> =
        common_list::LIST.lines().filter(|line| line.len() >= 15 && !line.starts_with(' ')).collect();
    assert!(listed.len() > 30, "{}", listed.len());
    for text in listed {
        assert!(check(text, 15).is_err() && check(&text.to_uppercase(), 15).is_err(), "{text}");
    }
}

#[test]
fn minimum_length_is_a_parameter_and_counts_characters() {
    assert_eq!(check("kX9$vq2L", 8), Ok(()));
    assert_eq!(check("kX9$vq2", 8), Err(PasswordFault::TooShort { has: 7, needs: 8 }));
    for text in ["password", "Sommer2024", "1qaz2wsx3edc", "tower-clinic1", "ada-ada-ada", "12345678"] {
        assert!(check(text, 8).is_err(), "{text}");
    }
    // Characters, not bytes, in Unicode NFC: 15 of each.
    for text in [
        "\u{e9}\u{df}\u{e4}w\u{f8}qzx\u{f1}k\u{fc}hdbt",
        "e\u{301}\u{df}\u{e4}w\u{f8}qzx\u{f1}k\u{fc}hdbt",
        "窓猫橋茶雨石門花鳥風月犬山川空",
    ] {
        assert_eq!(check(text, 15), Ok(()), "{text}");
        assert!(matches!(check(text, 16), Err(PasswordFault::TooShort { has: 15, .. })), "{text}");
    }
}

/// Kinds of text on which a rule could take more than linear time.
fn worst() -> Vec<String> {
    let mut texts: Vec<String> = [
        "a",
        "ab",
        "aab",
        "a1",
        "abcdef",
        "qwerty",
        "password",
        "passwor",
        "1q2w3e4r",
        "12",
        "123456",
        "ada",
        "adalovelac",
        "adalovelace",
        "towerclinic",
        "monkey dragon ",
        "aaaaab",
        "\u{e9}",
        "\u{fdfa}",
        "👩‍👩‍👧‍👧",
        "e\u{301}\u{302}\u{303}",
        " ",
        "!",
        "0o",
        "correcthorsebatterystapl",
    ]
    .iter()
    .map(|part| part.repeat(MAX_BYTES / part.len()))
    .collect();
    // Fibonacci words have the most repetitions.
    let (mut one, mut next) = ("a".to_owned(), "ab".to_owned());
    while next.len() <= MAX_BYTES {
        (one, next) = (next.clone(), next + &one);
    }
    texts.push(one);
    texts
}

/// A loose bound on a busy machine and without optimization: a check of 1 KiB takes some milliseconds.
#[test]
fn work_for_the_longest_passwords_is_bounded() {
    let clock = SystemClock::new();
    let begun = clock.monotonic();
    let texts = worst();
    for text in &texts {
        let _ = check(text, 15);
    }
    let each = clock.monotonic().since(begun) / u32::try_from(texts.len()).unwrap();
    measured(format_args!("longest passwords: {each:?} each"));
    assert!(each < std::time::Duration::from_secs(2), "{each:?}");
}

proptest! {
    #[test]
    fn random_passphrase_is_accepted(
        picks in prop::collection::vec(prop::sample::select(words()), 4..7),
        separator in prop::sample::select(vec![" ", "-", ".", "_", "", ", "]),
        capitals in any::<bool>(),
    ) {
        let mut distinct = picks.clone();
        distinct.sort_unstable();
        distinct.dedup();
        prop_assume!(distinct.len() == picks.len());
        let capital = |word: &&str| word[..1].to_uppercase() + &word[1..];
        let picks: Vec<String> = picks.iter().map(|word| if capitals { capital(word) } else { (*word).to_owned() }).collect();
        let text = picks.join(separator);
        prop_assume!(text.chars().count() >= 15);
        prop_assert_eq!(check(&text, 15), Ok(()), "{}", text);
    }

    #[test]
    fn any_text_has_a_verdict(text in "\\PC{0,80}|[a-d1-3 !@]{0,200}", min_length in 8usize..40) {
        let verdict = check(&text, min_length);
        // NFC is not always shorter: U+0A59 is two characters there.
        if text.nfc().count() < min_length {
            prop_assert!(verdict.is_err());
        }
    }
}
