//! The form in which passwords and names are judged.

use unicode_normalization::UnicodeNormalization as _;

/// Characters that commonly replace letters.
const STAND_INS: [(char, char); 9] = [
    ('0', 'o'),
    ('1', 'i'),
    ('3', 'e'),
    ('4', 'a'),
    ('5', 's'),
    ('7', 't'),
    ('@', 'a'),
    ('$', 's'),
    ('!', 'i'),
];

/// Folds a text: NFKD without diacritical marks, in lower case. Marks of scripts where they are vowels stay.
pub(super) fn folded(text: &str) -> String {
    let is_diacritical = |c: &char| ('\u{300}'..='\u{36f}').contains(c);
    text.nfkd().filter(|c| !is_diacritical(c)).collect::<String>().to_lowercase()
}

/// Returns the letter that a character commonly replaces.
pub(super) fn stand_in(c: char) -> Option<char> {
    STAND_INS.iter().find(|(from, _)| *from == c).map(|&(_, to)| to)
}

/// Replaces signs and digits with the letters they stand for.
pub(super) fn plain(c: char) -> char {
    stand_in(c).unwrap_or(c)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn case_accents_and_width_do_not_matter() {
        for (text, same) in [
            ("Ｐässwörd", "password"),
            ("PA\u{301}SSWORD", "password"),
            ("𝐏𝐚𝐬𝐬𝐰𝐨𝐫𝐝", "password"),
            ("ﬁsh", "fish"),
            ("ПАРОЛЬ", "пароль"),
            ("İstanbul", "istanbul"),
            ("हिन्दी", "हिन्दी"),
        ] {
            assert_eq!(folded(text), same, "{text}");
        }
        assert_eq!("p@55w0rd".chars().map(plain).collect::<String>(), "password");
    }
}
