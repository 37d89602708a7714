//! Passwords composed of common words, names, runs of one character, keyboard rows and digits, with at most two other
//! characters.
//!
//! Signs and blanks do not count, and digits that replace letters are read both ways. A password with four or more different
//! common words passes: it is a passphrase, with 59 bits if the words are random.

use std::cmp::Reverse;

use super::common_list::{RUNS, STAND_INS, listed_prefixes};

/// Maximum number of letters outside words and runs.
const MAX_OTHERS: usize = 2;

/// Minimum number of different common words of a passphrase.
const PASSPHRASE: usize = 4;

/// Minimum length of a run of one character, of the alphabet or of the keyboard. Many words have a run of three, such as `tree`.
const MIN_RUN: usize = 4;

/// Minimum number of characters in words and runs, the length of the shortest listed word. With fewer, the password is a number
/// with a few letters.
const MIN_CORE: usize = 6;

/// Minimum length of a name: shorter ones, such as `al`, are part of many words.
const MIN_NAME: usize = 3;

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

/// Words that people put beside common words. They add nothing to a password, and alone they do not make it common.
const FILLERS: [&str; 12] = [
    "admin",
    "ihate",
    "ilove",
    "login",
    "mynameis",
    "pass",
    "root",
    "thisis",
    "thisisa",
    "thisismy",
    "thisisnotmy",
    "thisisthe",
];

/// Returns whether `password`, in lower case, is composed of common words, `names` and runs. The work is linear in its length.
pub(super) fn is_composed(password: &str, names: &[&str]) -> bool {
    let with_signs = Reading::of(password, |c| c.is_alphanumeric() || stand_in(c).is_some());
    let without_signs = Reading::of(password, char::is_alphanumeric);
    [with_signs, without_signs].into_iter().any(|reading| reading.is_composed(names))
}

fn stand_in(c: char) -> Option<char> {
    STAND_INS.iter().find(|(from, _)| *from == c).map(|&(_, to)| to)
}

/// Characters of a password, one byte each. A byte of 0xFF stands for a character outside ASCII, which no listed word has.
struct Reading {
    /// As typed.
    raw: Vec<u8>,
    /// Digits and signs replaced by the letters they stand for.
    plain: Vec<u8>,
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
    /// Run, name or phrase.
    Run,
}

impl Reading {
    fn of(password: &str, is_read: impl Fn(char) -> bool) -> Self {
        let byte = |c: char| u8::try_from(c).ok().filter(u8::is_ascii).unwrap_or(u8::MAX);
        let read = || password.chars().filter(|&c| is_read(c));
        let plain = read().map(|c| byte(stand_in(c).unwrap_or(c))).collect();
        Self { raw: read().map(byte).collect(), plain }
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
        let (mut at, mut words) = (self.raw.len(), Vec::new());
        if best[at].is_none_or(|best| best.others > MAX_OTHERS || best.core < MIN_CORE) {
            return false;
        }
        while let Some(Best { last: Part { length, kind }, .. }) = best[at].filter(|_| at > 0) {
            at -= length;
            if kind == Kind::Word {
                // `password1` and `password2` are one word.
                words.push(
                    self.raw[at..at + length]
                        .iter()
                        .filter(|byte| byte.is_ascii_alphabetic())
                        .collect::<Vec<_>>(),
                );
            }
        }
        words.sort_unstable();
        words.dedup();
        words.len() < PASSPHRASE
    }

    /// Parts that start at `at`, each with the number of letters outside words.
    fn parts(&self, at: usize, names: &[&str]) -> Vec<(Part, usize)> {
        let (raw, plain) = (&self.raw[at..], &self.plain[at..]);
        let begins = |word: &str| plain.starts_with(word.as_bytes()) || raw.starts_with(word.as_bytes());
        let is_letter = raw[0] == u8::MAX || raw[0].is_ascii_alphabetic();
        let part = |length: usize, kind: Kind| (Part { length, kind }, 0);
        let mut parts = vec![(Part { length: 1, kind: Kind::Other }, usize::from(is_letter))];
        parts.extend(FILLERS.iter().filter(|word| begins(word)).map(|word| part(word.len(), Kind::Other)));
        let names = names.iter().filter(|name| name.len() >= MIN_NAME);
        let known = PHRASES.iter().chain(names).filter(|word| begins(word));
        parts.extend(known.map(|word| part(word.len(), Kind::Run)));
        for text in [raw, plain] {
            let run = run_length(text);
            // The word after a run may start with the last letter of the run.
            parts.extend((MIN_RUN..=run).rev().take(2).map(|length| part(length, Kind::Run)));
            parts.extend(listed_prefixes(text).map(|word| part(word.len(), Kind::Word)));
        }
        parts
    }
}

/// Length of the run at the start of `text`: of one character, of the alphabet, of digits or along the keyboard.
fn run_length(text: &[u8]) -> usize {
    let steps = |step: i16| {
        let follows = |pair: &&[u8]| i16::from(pair[1]) - i16::from(pair[0]) == step && pair[0] != u8::MAX;
        1 + text.windows(2).take_while(follows).count()
    };
    let straight = [0, 1, -1].map(steps).into_iter().max().unwrap_or_default();
    let along = |run: &str| {
        let run = run.as_bytes();
        let Some(at) = run.iter().position(|&c| c == text[0]) else { return 0 };
        let same = |(a, b): &(&u8, &u8)| a == b;
        let forwards = run[at..].iter().zip(text).take_while(same).count();
        let backwards = run[..=at].iter().rev().zip(text).take_while(same).count();
        forwards.max(backwards)
    };
    RUNS.into_iter().map(along).max().unwrap_or_default().max(straight)
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
        ] {
            assert!(is_composed(password, &[]), "{password}");
        }
        assert!(is_composed("towerclinic-admin-2024", &["towerclinic"]));
        assert!(is_composed("lovelacefootball77", &["lovelace"]));
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
            assert!(!is_composed(password, &["adalovelace", "towerclinic"]), "{password}");
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
