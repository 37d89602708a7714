//! Passwords composed of common words, names, runs of one character, keyboard rows and digits, with at most two other
//! characters.
//!
//! Signs and blanks do not count, and digits that replace letters are read both ways. A password with four or more different
//! common words passes: it is a passphrase, with 59 bits if the words are random.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use super::common_list::listed_prefixes;
use super::folded::{plain, stand_in};
use super::names::Names;
use super::runs::lengths;

/// Maximum number of letters outside words and runs.
const MAX_OTHERS: usize = 2;

/// Minimum number of different common words of a passphrase.
const PASSPHRASE: usize = 4;

/// Minimum length of a run of one character, of the alphabet or of the keyboard. Many words have a run of three, such as `tree`.
const MIN_RUN: usize = 4;

/// Maximum number of digits outside runs, beside words: more are a password of their own.
const MAX_DIGITS: usize = 14;

/// The same without words. One of a hundred random numbers of twenty digits has a run of six.
const MAX_DIGITS_AND_RUNS: usize = 7;

/// Minimum number of characters in words and runs, the length of the shortest listed word. With fewer, the password is a number
/// with a few letters, unless they are half of it: `Hallo2024`.
const MIN_CORE: usize = 6;

/// Minimum length of a name: shorter ones, such as `ada`, are part of many words.
const MIN_NAME: usize = 4;

/// Common words and phrases that are missing from the list of leaked passwords, without blanks.
const PHRASES: [&str; 17] = [
    "administrator",
    "allyourbasearebelongtous",
    "changeme",
    "correcthorsebatterystaple",
    "iamyourfather",
    "jumpsoverthelazydog",
    "letmein",
    "loremipsumdolorsitamet",
    "maythefourthbewithyou",
    "maytheforcebewithyou",
    "nevergonnagiveyouup",
    "opensesame",
    "passphrase",
    "supersecret",
    "thequickbrownfox",
    "tobeornottobe",
    "winteriscoming",
];

/// Common words that are missing from the list, or shorter than its words: months, days, first names, services, in English and
/// German, folded.
#[rustfmt::skip]
const WORDS: [&str; 119] = [
    "admin", "alexander", "amanda", "andreas", "andrew", "android", "angel", "anna", "anthony", "april", "ashley", "august",
    "autumn", "baby", "backup", "bitcoin", "black", "blue", "blume", "change", "christian", "claudia", "company", "daniel",
    "database", "datenbank", "david", "december", "dienstag", "donnerstag", "elizabeth", "engel", "facebook", "february",
    "ferien", "firma", "fortnite", "freitag", "fruhling", "green", "guest", "hallo", "happy", "hello", "herbst", "house",
    "hund", "ichliebedich", "instagram", "james", "jennifer", "january", "jessica", "joseph", "joshua", "juli", "julia", "july", "june",
    "juni", "katze", "laura", "liebe", "linkedin", "login", "love", "lucky", "madrid", "manager", "march", "maria", "markus",
    "martin", "matthew", "mausi", "michael", "mittwoch", "money", "munchen", "music", "netflix", "nicole", "november",
    "october", "office", "paris", "paul", "peter", "robert", "root", "samstag", "sandra", "sarah", "saturday", "schatz",
    "sebastian", "september", "service", "sonnabend", "sonne", "sonntag", "start", "stefan", "super", "support", "system",
    "temp", "temporary", "test", "thomas", "thursday", "twitter", "user", "vater", "wednesday", "whatsapp", "william",
    "willkommen", "youtube",
];

/// Words that people put beside common words. They add nothing to a password, and alone they do not make it common.
const FILLERS: [&str; 9] =
    ["ihate", "ilove", "ismy", "mynameis", "pass", "thisis", "thisisa", "thisismy", "thisisthe"];

/// Returns whether a folded password is composed of common words, names and runs. The work is linear in its length.
pub(super) fn is_composed(password: &str, names: &Names) -> bool {
    let with_signs = Reading::of(password, |c| c.is_alphanumeric() || stand_in(c).is_some());
    let without_signs = Reading::of(password, char::is_alphanumeric);
    let names: Vec<&str> = names.own.iter().chain(&names.site).map(String::as_str).collect();
    [with_signs, without_signs].into_iter().any(|reading| reading.is_composed(&names))
}

/// Characters of a password, one byte each. A byte of 0xFF stands for a character outside ASCII, which no listed word has.
struct Reading {
    /// As typed.
    raw: Vec<u8>,
    /// Digits and signs replaced by the letters they stand for.
    plain: Vec<u8>,
    /// Length of the longest run from each character on, in both readings.
    runs: [Vec<usize>; 2],
}

/// Best composition of the characters before one position.
#[derive(Clone, Copy, Default)]
struct Best {
    others: usize,
    /// Number of characters in words and runs.
    core: usize,
    /// Number of words and runs. Fewer are better: the longer words.
    parts: usize,
    last: Part,
}

impl Best {
    /// Sort key: the smallest is the best.
    fn order(self) -> (usize, Reverse<usize>, usize) {
        (self.others, Reverse(self.core), self.parts)
    }
}

/// One part of a composition.
#[derive(Clone, Copy, Default)]
struct Part {
    length: usize,
    kind: Kind,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Kind {
    /// Digit, sign, filler, or letter outside words.
    #[default]
    Other,
    Word,
    /// Name or phrase.
    Name,
    Run,
}

impl Reading {
    fn of(password: &str, is_read: impl Fn(char) -> bool) -> Self {
        let byte = |c: char| u8::try_from(c).ok().filter(u8::is_ascii).unwrap_or(u8::MAX);
        let read = || password.chars().filter(|&c| is_read(c));
        let (raw, plain): (Vec<u8>, Vec<u8>) = read().map(|c| (byte(c), byte(plain(c)))).unzip();
        let runs = [&raw, &plain].map(|bytes| {
            let chars: Vec<char> = bytes.iter().map(|&byte| char::from(byte)).collect();
            lengths(&chars, |at| bytes[at] != u8::MAX)
        });
        Self { raw, plain, runs }
    }

    fn is_composed(&self, names: &[&str]) -> bool {
        let mut best: Vec<Option<Best>> = vec![None; self.raw.len() + 1];
        best[0] = Some(Best::default());
        for at in 0..self.raw.len() {
            // Every character can be a part of its own, so every position is reached.
            let before = best[at].unwrap_or_default();
            for (part, cost) in self.parts(at, names) {
                let is_core = part.kind != Kind::Other;
                let new = Best {
                    others: before.others + cost,
                    core: before.core + if is_core { part.length } else { 0 },
                    parts: before.parts + usize::from(is_core),
                    last: part,
                };
                let there = &mut best[at + part.length];
                if there.is_none_or(|there| new.order() < there.order()) {
                    *there = Some(new);
                }
            }
        }
        let (mut at, mut words) = (self.raw.len(), BTreeSet::new());
        let (mut digits, mut max_digits) = (0, MAX_DIGITS_AND_RUNS);
        let is_too_little = |core: usize| core < MIN_CORE && (core == 0 || core * 2 < at);
        if best[at].is_none_or(|best| best.others > MAX_OTHERS || is_too_little(best.core)) {
            return false;
        }
        while let Some(Best { last: Part { length, kind }, .. }) = best[at].filter(|_| at > 0) {
            at -= length;
            let part = &self.raw[at..at + length];
            if matches!(kind, Kind::Word | Kind::Name) {
                max_digits = MAX_DIGITS;
            }
            match kind {
                // `password1` and `password2` are one word.
                Kind::Word => {
                    words.insert(part.iter().filter(|byte| byte.is_ascii_alphabetic()).collect::<Vec<_>>());
                }
                Kind::Other if !is_letter(part[0]) => digits += 1,
                Kind::Other | Kind::Name | Kind::Run => {}
            }
        }
        words.len() < PASSPHRASE && digits <= max_digits
    }

    /// Parts that start at `at`, each with the number of letters outside words.
    fn parts(&self, at: usize, names: &[&str]) -> Vec<(Part, usize)> {
        let (raw, plain) = (&self.raw[at..], &self.plain[at..]);
        let begins = |word: &str| plain.starts_with(word.as_bytes()) || raw.starts_with(word.as_bytes());
        let part = |length: usize, kind: Kind| (Part { length, kind }, 0);
        let mut parts = vec![(Part { length: 1, kind: Kind::Other }, usize::from(is_letter(raw[0])))];
        parts.extend(FILLERS.iter().filter(|word| begins(word)).map(|word| part(word.len(), Kind::Other)));
        let names = names.iter().filter(|name| name.len() >= MIN_NAME);
        let known = PHRASES.iter().chain(names).filter(|word| begins(word));
        parts.extend(known.map(|word| part(word.len(), Kind::Name)));
        // Digits alone are no word: `5155` is a number.
        let is_written =
            |word: &&str| raw[..word.len()].iter().filter(|c| c.is_ascii_digit()).count() * 2 <= word.len();
        let words = WORDS.into_iter().filter(|word| begins(word) && is_written(word));
        parts.extend(words.map(|word| part(word.len(), Kind::Word)));
        for (text, runs) in [raw, plain].into_iter().zip(&self.runs) {
            let run = runs[at];
            // The word after a run may start with the last letter of the run.
            parts.extend((MIN_RUN..=run).rev().take(2).map(|length| part(length, Kind::Run)));
            parts.extend(listed_prefixes(text).filter(is_written).map(|word| part(word.len(), Kind::Word)));
        }
        parts
    }
}

fn is_letter(byte: u8) -> bool {
    byte == u8::MAX || byte.is_ascii_alphabetic()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn password_made_of_common_words_and_runs_is_composed() {
        for password in [
            "correcthorsebatterystaple",
            "correct horse battery staple",
            "administrator123",
            "password1password",
            "passwordpassword1!",
            "thisismypassword",
            "this is my password",
            "footballfootball1",
            "passw0rd passw0rd",
            "p@ssw0rd.p@ssw0rd.x",
            "password-password-1",
            "111111111111111a",
            "zxcvbnmasdfghjkl",
            "qwerty uiop asdf ghjkl",
            "monkey-dragon-sunshine",
            "password1password2password3password4",
            "abcdefgh12345678",
            "xsunshine2024football",
            "hallo2024",
            "root123!",
        ] {
            assert!(is_composed(password, &Names::default()), "{password}");
        }
        let names = Names { own: vec!["lovelace".into()], site: vec!["towerclinic".into()] };
        assert!(is_composed("towerclinic-admin-2024", &names));
        assert!(is_composed("lovelacefootball77", &names));
    }

    #[test]
    fn passphrase_of_other_words_is_not_composed() {
        for password in [
            "violet kettle harbour lantern",
            "purple monkey dishwasher 9",
            "monkey dragon sunshine football",
            "another password, quite a bit longer",
            "sunshine on a rainy day",
            "quite another long password",
            "tr0ub4dor&3 and friends",
            "пароль-пароль-1",
            "kx9$vq2lmz7!wrt",
            "8f14e45fceea167a",
            "4821-9375-x-2846-1937",
            "83920174650293847",
            "a tower, a clinic, a bridge",
            "20:15 abendessen bei oma",
            "",
            "a",
        ] {
            let names = Names { own: vec!["adalovelace".into()], site: vec!["towerclinic".into()] };
            assert!(!is_composed(password, &names), "{password}");
        }
    }

    #[test]
    fn number_of_parts_that_begin_at_a_character_is_bounded() {
        for text in ["a", "passwor", "qwertyuiop", "1q2w3e4r", "\u{e9}"] {
            let long = text.repeat(1024 / text.len());
            let reading = Reading::of(&long, char::is_alphanumeric);
            let most = (0..reading.raw.len()).map(|at| reading.parts(at, &["adalovelace"]).len()).max();
            assert!(most < Some(64), "{text} {most:?}");
        }
    }
}
