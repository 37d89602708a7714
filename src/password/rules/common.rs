//! Common passwords: those of public leaks, and their usual variations.
//!
//! NIST SP 800-63B section 3.1.1.2 asks for a comparison with a list of passwords that are commonly used, expected or
//! compromised, and for no rules about characters. The list is a sorted file of some 28,000 lines, 230 KiB of the
//! program. A lookup is a binary search and needs no other memory.

use super::common_list::is_listed;
use super::composition::is_composed;
use super::folded::plain;
use super::names::Names;
use crate::error::PasswordFault;

/// Checks that a folded password is not common: not on the list, not a listed word with digits or signs around it or in place of
/// letters, and not composed of these, of runs and of names. The work is linear in its length.
///
/// # Errors
/// [`PasswordFault::Common`], [`PasswordFault::CommonWords`].
pub(super) fn check(text: &str, names: &Names) -> Result<(), PasswordFault> {
    let letters = |text: &str| text.chars().map(plain).collect::<String>();
    if is_listed(text) || is_listed(&letters(text)) {
        return Err(PasswordFault::Common);
    }
    let is_decoration = |c: char| !c.is_alphabetic();
    // Digits at the end count as decoration before they count as letters: `p4ssw0rd2024!`.
    let start = letters(text.trim_end_matches(is_decoration));
    let is_decorated = is_listed(text.trim_matches(is_decoration)) || is_listed(&start);
    if is_decorated || is_composed(text, names) { Err(PasswordFault::CommonWords) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::password::rules::common_list::LIST;

    fn is_common(text: &str) -> bool {
        check(text, &Names::default()).is_err()
    }

    #[test]
    fn every_listed_word_is_common() {
        let words: Vec<&str> =
            LIST.lines().filter(|line| !line.is_empty() && !line.starts_with(' ')).collect();
        assert!(words.len() > 25_000 && words.is_sorted(), "{}", words.len());
        for word in words {
            assert_eq!(check(word, &Names::default()), Err(PasswordFault::Common), "{word}");
        }
    }

    #[test]
    fn variations_of_common_words_are_common() {
        for password in [
            "password1234567",
            "123sunshine456",
            "p@ssw0rd2024!",
            "sunshine!!!!!!!!",
            "xsunshine2024football",
        ] {
            assert_eq!(check(password, &Names::default()), Err(PasswordFault::CommonWords), "{password}");
        }
        for password in ["p4ssw0rd", "p4$$w0rd"] {
            assert_eq!(check(password, &Names::default()), Err(PasswordFault::Common), "{password}");
        }
    }

    #[test]
    fn passphrases_and_random_passwords_are_not_common() {
        for password in [
            "violet kettle harbour lantern",
            "another password, quite a bit longer",
            "kx9$vq2lmz7!wrt",
            "8f14e45fceea167a",
            "4821-9375-x-2846-1937",
            "83920174650293847",
            "",
            "the quick brown foxtrot dancers",
            "tr0ub4dor&3 and friends",
            "sunshine on a rainy day",
            "20:15 abendessen bei oma",
        ] {
            assert!(!is_common(password), "{password}");
        }
    }
}
