//! The characters of a password that count towards its length.
//!
//! Length without the parts that are guessed at once: a run counts as one character, a repetition counts once, and names of
//! the user and of the site do not count. `assets/strength.js` has the same rules; a test compares the two.

use std::collections::BTreeSet;
use std::ops::Range;

use super::folded::{plain, stand_in};
use super::names::Names;
use super::runs::{is_next, lengths};
use crate::error::PasswordFault;

/// Minimum length of a run that counts as one character. Among 1,000 random passwords of 16 hexadecimal digits, 5 would have one
/// of five characters; words have none of six.
const MIN_RUN: usize = 6;

/// The same of a run that repeats each of its characters: `11223344`.
const MIN_STUTTERED: usize = 8;

/// Minimum length of two interleaved runs, such as `a1b2c3d4e5`, which count as two characters.
const MIN_INTERLEAVED: usize = 10;

/// Minimum length of a repeated word.
const MIN_WORD: usize = 4;

/// Minimum length of a name that is looked for inside words, and with signs in it. A shorter one, such as `ada`, is a name as a word
/// of its own alone: one of a hundred passwords of 16 hexadecimal digits has it somewhere.
const MIN_INSIDE: usize = 4;

/// Checks that enough of a password counts. `text` is folded, and has `length` characters as typed. The work is linear in its
/// length.
///
/// # Errors
/// The first rule that leaves fewer than `needs` characters.
pub(super) fn check(text: &str, length: usize, names: &Names, needs: usize) -> Result<(), PasswordFault> {
    let text: Vec<char> = text.chars().collect();
    let folded_length = text.len();
    let enough = |left: &[char], fault: PasswordFault| {
        let counted = length.saturating_sub(folded_length - left.len());
        if counted < needs { Err(fault) } else { Ok(()) }
    };
    let left = without_runs(&without_interleaved_runs(&text));
    enough(&left, PasswordFault::Sequence { needs })?;
    let left = without_repeats(&without_repeated_words(&left));
    enough(&left, PasswordFault::Repeated { needs })?;
    let left = without_names(&left, &names.own);
    enough(&left, PasswordFault::ContainsName { needs })?;
    let left = without_names(&left, &names.site);
    enough(&left, PasswordFault::ContainsSite { needs })
}

fn without_interleaved_runs(text: &[char]) -> Vec<char> {
    let mut longest = vec![1; text.len()];
    let steps: [fn(char, char) -> bool; 3] = [|a, b| a == b, is_next, |a, b| is_next(b, a)];
    for follows in steps {
        let mut lengths = vec![1; text.len()];
        for at in (0..text.len().saturating_sub(2)).rev() {
            if follows(text[at], text[at + 2]) {
                lengths[at] = lengths[at + 2] + 1;
            }
            longest[at] = lengths[at].max(longest[at]);
        }
    }
    let (mut left, mut at) = (Vec::with_capacity(text.len()), 0);
    while at < text.len() {
        let (first, second) = (longest[at], longest.get(at + 1).copied().unwrap_or(0));
        let length = if first > second { 2 * second + 1 } else { 2 * first };
        let (kept, skipped) = if length >= MIN_INTERLEAVED { (2, length) } else { (1, 1) };
        left.extend(&text[at..at + kept]);
        at += skipped;
    }
    left
}

/// A run may also repeat each of its characters equally often: `111222333444`.
fn without_runs(text: &[char]) -> Vec<char> {
    let groups: Vec<&[char]> = text.chunk_by(|one, next| one == next).collect();
    let chars: Vec<char> = groups.iter().map(|group| group[0]).collect();
    let runs = lengths(&chars, |at| groups[at].len() == groups[at + 1].len());
    let (mut left, mut at) = (Vec::with_capacity(text.len()), 0);
    while at < groups.len() {
        let (run, each) = (runs[at], groups[at].len());
        let is_stuttered = run > 1 && each > 1;
        if run * each >= if is_stuttered { MIN_STUTTERED } else { MIN_RUN } {
            left.push(chars[at]);
            at += run;
        } else {
            left.extend(groups[at]);
            at += 1;
        }
    }
    left
}

/// Removes every word that was there before, with the character before it. Digits at its end stay.
fn without_repeated_words(text: &[char]) -> Vec<char> {
    let (mut left, mut seen) = (Vec::with_capacity(text.len()), BTreeSet::new());
    for part in text.chunk_by(|one, next| one.is_alphanumeric() == next.is_alphanumeric()) {
        let digits = part.iter().rev().take_while(|c| c.is_numeric()).count();
        let (word, digits) = part.split_at(part.len() - digits);
        let is_word = word.len() >= MIN_WORD && word[0].is_alphanumeric();
        if is_word && !seen.insert(word) {
            left.pop();
        } else {
            left.extend(word);
        }
        left.extend(digits);
    }
    left
}

/// Removes the repetitions of a block that makes up at least half of the text, at its start or its end. Blocks are also found among
/// its letters and digits, and among its letters if these are most of it.
fn without_repeats(text: &[char]) -> Vec<char> {
    let places =
        |is_read: fn(char) -> bool| (0..text.len()).filter(|&at| is_read(text[at])).collect::<Vec<_>>();
    let mut readings = vec![places(|_| true), places(char::is_alphanumeric)];
    readings.extend(Some(places(char::is_alphabetic)).filter(|letters| letters.len() * 3 >= text.len() * 2));
    let mut removed: &[usize] = &[];
    for places in &readings {
        let reading: Vec<char> = places.iter().map(|&at| text[at]).collect();
        let backwards: Vec<char> = reading.iter().rev().copied().collect();
        let at_end = repetition(&backwards);
        let at_end = reading.len() - at_end.end..reading.len() - at_end.start;
        for range in [repetition(&reading), at_end] {
            if range.len() > removed.len() {
                removed = &places[range];
            }
        }
    }
    // Less than a third is a syllable that repeats by chance.
    if removed.len() * 3 < text.len() {
        return text.to_vec();
    }
    text.iter().enumerate().filter(|(at, _)| removed.binary_search(at).is_err()).map(|(_, &c)| c).collect()
}

/// Returns the part of a prefix that repeats its start, for the prefix where that part is longest. The prefix is at least half of the
/// text, and its block stands there at least twice. Borders are found as in Knuth, Morris and Pratt.
fn repetition(text: &[char]) -> Range<usize> {
    let mut border = vec![0; text.len()];
    let mut found = 0..0;
    for at in 1..text.len() {
        let mut length: usize = border[at - 1];
        while length > 0 && text[at] != text[length] {
            length = border[length - 1];
        }
        border[at] = length + usize::from(text[at] == text[length]);
        let (prefix, period) = (at + 1, at + 1 - border[at]);
        if period * 2 <= prefix && prefix * 2 >= text.len() && border[at] > found.len() {
            found = period..prefix;
        }
    }
    found
}

/// Removes names, also where signs stand between or in place of their letters.
fn without_names(text: &[char], names: &[String]) -> Vec<char> {
    let names: Vec<Vec<char>> = names.iter().map(|name| name.chars().collect()).collect();
    let removed = [true, false].map(|with_signs| {
        let is_read = |c: char| c.is_alphanumeric() || (with_signs && stand_in(c).is_some());
        let places: Vec<usize> = (0..text.len()).filter(|&at| is_read(text[at])).collect();
        let reading: Vec<char> = places.iter().map(|&at| plain(text[at])).collect();
        let is_inside =
            |at: Option<usize>| at.and_then(|at| text.get(at)).is_some_and(|c| c.is_alphanumeric());
        let (mut removed, mut at) = (vec![false; text.len()], 0);
        while at < places.len() {
            let is_word = |name: &[char]| {
                let (start, end) = (places[at], places[at] + name.len());
                text[start..].starts_with(name) && !is_inside(start.checked_sub(1)) && !is_inside(Some(end))
            };
            let begins = |name: &&Vec<char>| {
                reading[at..].starts_with(name) && (name.len() >= MIN_INSIDE || is_word(name))
            };
            let length = names.iter().filter(begins).map(Vec::len).max().unwrap_or(0);
            for &place in &places[at..at + length] {
                removed[place] = true;
            }
            at += length.max(1);
        }
        removed
    });
    let count = |removed: &[bool]| removed.iter().filter(|&&is_removed| is_removed).count();
    let [one, other] = removed;
    let removed = if count(&one) >= count(&other) { one } else { other };
    text.iter().zip(removed).filter(|(_, is_removed)| !is_removed).map(|(&c, _)| c).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::password::rules::folded::folded;

    /// Code of the fault, for 15 characters.
    fn code(password: &str, names: &Names) -> Option<&'static str> {
        let checked = check(&folded(password), password.chars().count(), names, 15);
        checked.err().map(PasswordFault::code)
    }

    #[test]
    fn runs_count_as_one_character() {
        for password in [
            "123456789012345",
            "aaaaaaaaaaaaaaaaaaaa",
            "abcdefghijklmnopq",
            "qwertyuiopasdfgh",
            "hgfdsapoiuytrewq",
            "1qaz2wsx3edc4rfv",
            "1q2w3e4r5t6y7u8i",
            "111222333444555",
            "112233445566778899",
            "a1b2c3d4e5f6g7h8",
            "1a2a3a4a5a6a7a8a9a",
            "12121212121212121212",
            "kartoffel12345678",
            "------------------kartoffel",
            "12345678 87654321",
        ] {
            assert_eq!(code(password, &Names::default()), Some("password_sequence"), "{password}");
        }
    }

    #[test]
    fn repetition_counts_once() {
        for password in [
            "kartoffelkartoffel",
            "Kartoffel-kartoffel",
            "kartoffelkartoffelx",
            "xkartoffelkartoffel",
            "kartoffel1kartoffel2",
            "kartoffel1 kartoffel2",
            "1kartoffelkartoffel99",
            "Kartoffel!Kartöffel?",
            "abcabcabcabcabc",
            "пароль-пароль-1",
            "ab1 ab1 ab1 ab1 ab1",
            "doorward-doorward",
            "passwordpassword",
        ] {
            assert_eq!(code(password, &Names::default()), Some("password_repeated"), "{password}");
        }
    }

    #[test]
    fn names_do_not_count() {
        let person = Names::of_person("ada.lovelace", Some("Ada King"), Some("countess77@example.org"));
        let names = Names { site: Names::of_site("Tower Clinic", ["www.example.org"]), ..person };
        for (password, expected) in [
            ("Ada.Lovelace1815", Some("password_contains_name")),
            ("ada_lovelace_2024", Some("password_contains_name")),
            ("l0vel@ce-harbour", Some("password_contains_name")),
            ("countess77harbour", Some("password_contains_name")),
            ("ada-harbour-kettle", None),
            ("ada king harbour", Some("password_contains_name")),
            ("towerclinic-harbour", Some("password_contains_site")),
            ("Tower/Clinic/2024", Some("password_contains_site")),
            ("example.org-kettle", Some("password_contains_site")),
            // `ada` inside a word is no name.
            ("canadaharbour12", None),
            ("a tower, a clinic, a bridge", None),
        ] {
            assert_eq!(code(password, &names), expected, "{password}");
        }
    }

    #[test]
    fn ordinary_passwords_count_whole() {
        for password in [
            "violet kettle harbour lantern",
            "kX9$vq2LmZ7!wRt",
            "8f14e45fceea167a",
            "4821-9375-x-2846-1937",
            "property-poverty",
            "aardvark-bison1",
            "नमस्ते दुनिया कैसी है",
            "the cat, the dog, the cow",
        ] {
            assert_eq!(code(password, &Names::default()), None, "{password}");
        }
    }
}
