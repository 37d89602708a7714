//! Common passwords: those of public leaks, and their usual variations.
//!
//! NIST SP 800-63B section 3.1.1.2 asks for a comparison with a list of passwords that are commonly used, expected or
//! compromised, and for no rules about characters. The list is a sorted file of some 28,000 lines, 230 KiB of the
//! program. A lookup is a binary search and needs no other memory.

use super::common_list::{MIN_LENGTH, RUNS, STAND_INS, is_listed};
use super::composition::is_composed;

/// Returns whether a password is common: on the list, a listed word with digits or signs around it or in place of
/// letters, a repetition of one, a run of characters, or composed of these and of `names` (in lower case). The work is linear
/// in its length.
pub(super) fn is_common(password: &str, names: &[&str]) -> bool {
    let lower = password.to_lowercase();
    let whole = unit(&lower);
    if whole.chars().count() < MIN_LENGTH && whole.len() < lower.len() {
        return true;
    }
    let is_decoration = |c: char| !c.is_alphabetic();
    let core = whole.trim_matches(is_decoration);
    // Digits at the end count as decoration before they count as letters: `p4ssw0rd2024!`.
    let (all_plain, plain_start) = (plain(whole), plain(whole.trim_end_matches(is_decoration)));
    let words = [lower.as_str(), whole, core, &all_plain, &plain_start];
    words.into_iter().any(|word| is_listed(word) || is_run(word)) || is_composed(&lower, names)
}

/// Replaces signs and digits with the letters they stand for.
fn plain(text: &str) -> String {
    let letter = |c| STAND_INS.iter().find(|(from, _)| *from == c).map_or(c, |&(_, to)| to);
    text.chars().map(letter).collect()
}

/// Returns the unit that a text repeats, or the whole text. The shortest period is found as in Knuth, Morris and Pratt.
fn unit(text: &str) -> &str {
    let chars: Vec<(usize, char)> = text.char_indices().collect();
    if chars.is_empty() {
        return text;
    }
    let mut border = vec![0; chars.len()];
    for at in 1..chars.len() {
        let mut length: usize = border[at - 1];
        while length > 0 && chars[at].1 != chars[length].1 {
            length = border[length - 1];
        }
        border[at] = length + usize::from(chars[at].1 == chars[length].1);
    }
    let period = chars.len() - border.last().copied().unwrap_or(0);
    // The last repetition may be incomplete.
    if period * 2 <= chars.len() { &text[..chars[period].0] } else { text }
}

/// Returns whether a text is a run of consecutive characters, or a run along the keyboard.
fn is_run(text: &str) -> bool {
    let chars: Vec<char> = text.chars().collect();
    if chars.len() < MIN_LENGTH {
        return false;
    }
    let step = |pair: &[char]| {
        // 0 follows 9.
        let after = |c: char| if c == '9' { '0' } else { char::from_u32(c as u32 + 1).unwrap_or(c) };
        if after(pair[0]) == pair[1] {
            1
        } else if after(pair[1]) == pair[0] {
            -1
        } else {
            0
        }
    };
    let first = step(&chars[..2]);
    if first != 0 && chars.windows(2).all(|pair| step(pair) == first) {
        return true;
    }
    let backwards: String = chars.iter().rev().collect();
    RUNS.iter().any(|run| run.contains(text) || run.contains(&backwards))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::password::common_list::LIST;

    #[test]
    fn every_listed_word_is_common() {
        let words: Vec<&str> =
            LIST.lines().filter(|line| !line.is_empty() && !line.starts_with(' ')).collect();
        assert!(words.len() > 25_000 && words.is_sorted(), "{}", words.len());
        for word in words {
            assert!(is_listed(word) && is_common(word, &[]), "{word}");
            assert!(is_common(&word.to_uppercase(), &[]), "{word}");
        }
    }

    #[test]
    fn variations_of_common_words_are_common() {
        for password in [
            "password",
            "Password1234567",
            "123sunshine456",
            "passwordpassword",
            "P4ssw0rd",
            "P@ssw0rd2024!",
            "p4$$w0rd",
            "sunshine!!!!!!!!",
            "iloveyouiloveyou",
            "qwertyuiopasdfgh",
            "hgfdsapoiuytrewq",
            "1qaz2wsx3edc4rfv",
            "123456789012345",
            "9876543210987654321",
            "abcdefghijklmnop",
            "abcabcabcabcabc",
            "xyzxyzxyzxyzxyzxyz",
            "111222333444555",
            "aaaaaaaaaaaaaaaaaaaa",
            "!!!!!!!!!!!!!!!!",
        ] {
            assert!(is_common(password, &[]), "{password}");
        }
    }

    #[test]
    fn passphrases_and_random_passwords_are_not_common() {
        for password in [
            "violet kettle harbour lantern",
            "another password, quite a bit longer",
            "пароль-пароль-1",
            "kX9$vq2LmZ7!wRt",
            "8f14e45fceea167a",
            "4821-9375-x-2846-1937",
            "83920174650293847",
            "",
            "the quick brown foxtrot dancers",
            "Tr0ub4dor&3 and friends",
            "sunshine on a rainy day",
            "20:15 Abendessen bei Oma",
        ] {
            assert!(!is_common(password, &[]), "{password}");
        }
    }
}
