//! What characters beyond ASCII become where they are compared or converted: by file systems and databases that fold case and
//! marks, and by code pages that have a best fit for what they lack.

use unicode_normalization::UnicodeNormalization as _;
use unicode_normalization::char::is_combining_mark;

/// The text with each character beyond ASCII as the ASCII it may be taken for; where there is none, folded.
pub(super) fn ascii(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_ascii() {
            out.push(character);
            continue;
        }
        // Compatibility forms: full-width letters, slashes and dots, ligatures; and marks apart from their letters.
        let parts =
            std::iter::once(character).nfkd().filter(|&part| !is_combining_mark(part) && !is_invisible(part));
        for part in parts.map(best_fit) {
            if part.is_ascii() {
                out.push(part);
            } else {
                // U+0131 is I in capitals, and U+00DF is SS: then i and ss to who compares so.
                out.extend(part.to_uppercase().flat_map(char::to_lowercase));
            }
        }
    }
    out
}

/// Unicode's Default_Ignorable_Code_Point, marks aside: comparisons skip it.
const fn is_invisible(character: char) -> bool {
    matches!(character,
        '\u{ad}' | '\u{61c}' | '\u{115f}'..='\u{1160}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fff8}' | '\u{1bca0}'..='\u{1bca3}'
        | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

/// What Windows' code pages have for characters that no normalisation takes apart.
const fn best_fit(character: char) -> char {
    match character {
        // `strip` and `trim` of most languages drop all white space, of which only some has a compatibility form.
        _ if character.is_whitespace() => ' ',
        '\u{2044}' | '\u{2215}' | '\u{29f8}' => '/',
        '\u{2216}' | '\u{29f5}' | '\u{29f9}' => '\\',
        '\u{110}' | '\u{111}' => 'd',
        '\u{126}' | '\u{127}' => 'h',
        '\u{141}' | '\u{142}' => 'l',
        '\u{166}' | '\u{167}' => 't',
        '\u{180}' => 'b',
        '\u{d8}' | '\u{f8}' => 'o',
        _ => character,
    }
}

#[cfg(test)]
mod tests {
    use super::ascii;

    #[test]
    fn each_is_what_it_may_be_taken_for() {
        for (text, taken_for) in [
            ("/plain", "/plain"),
            ("\u{ff0f}\u{ff41}dmin\u{ff0e}", "/admin."),
            ("a\u{200b}d\u{ad}m\u{301}\u{ef}n", "admin"),
            ("adm\u{131}n adm\u{130}n", "admin admIn"),
            ("stra\u{df}e \u{fb03}", "strasse ffi"),
            ("\u{2215}\u{2216}\u{2025}\u{212a}\u{142}", "/\\..Kl"),
            ("\u{a0}a\u{1680}b\u{2028}c\u{2029}d\u{3000}\u{85}", " a b c d  "),
            ("\u{65e5}\u{672c}", "\u{65e5}\u{672c}"),
        ] {
            assert_eq!(ascii(text), taken_for, "{text}");
        }
    }
}
