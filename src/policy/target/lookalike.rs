//! Mapping of non-ASCII characters to the ASCII they may become when compared or converted: by file systems and
//! databases that fold case and marks, and by code pages with best-fit tables.

use unicode_normalization::UnicodeNormalization as _;
use unicode_normalization::char::is_combining_mark;

/// Replaces each non-ASCII character with the ASCII it may be taken for; without one, with its folded form.
pub(super) fn ascii(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_ascii() {
            out.push(character);
            continue;
        }
        // Compatibility forms: full-width letters, slashes and dots, ligatures. Marks are separated from their letters.
        let parts =
            std::iter::once(character).nfkd().filter(|&part| !is_combining_mark(part) && !is_invisible(part));
        for part in parts.map(best_fit) {
            if part.is_ascii() {
                out.push(part);
            } else {
                // U+0131 is I in capitals, and U+00DF is SS: comparisons in capitals take them for i and ss.
                out.extend(part.to_uppercase().flat_map(char::to_lowercase));
            }
        }
    }
    out
}

/// Returns whether comparisons skip a character: Unicode's Default_Ignorable_Code_Point, without marks.
const fn is_invisible(character: char) -> bool {
    matches!(character,
        '\u{ad}' | '\u{61c}' | '\u{115f}'..='\u{1160}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fff8}' | '\u{1bca0}'..='\u{1bca3}'
        | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

/// Returns the best fit of Windows code pages for characters that normalization keeps (tables of 1252, 932, 949 and
/// US-ASCII above all). It covers letters and signs that a route's path may have, or that change how a path is read.
const fn best_fit(character: char) -> char {
    match character {
        // `strip` and `trim` of most languages drop all white space; only some of it has a compatibility form.
        _ if character.is_whitespace() => ' ',
        '\u{2044}' | '\u{2215}' | '\u{29f8}' => '/',
        // The yen and won signs have the backslash's code in Japanese and Korean code pages.
        '\u{2216}' | '\u{29f5}' | '\u{29f9}' | '\u{a5}' | '\u{20a9}' => '\\',
        '\u{2010}'..='\u{2015}' | '\u{2212}' | '\u{2500}' => '-',
        '\u{2cd}' | '\u{2581}' => '_',
        '\u{3002}' | '\u{2219}' => '.',
        '\u{589}' | '\u{2d0}' | '\u{2236}' | '\u{a789}' => ':',
        '\u{66a}' => '%',
        '\u{2b9}' | '\u{2bc}' | '\u{2c8}' | '\u{2018}' | '\u{2019}' | '\u{2032}' => '\'',
        '\u{1c3}' => '!',
        '\u{2c4}' | '\u{2303}' => '^',
        '\u{223c}' => '~',
        '\u{c6}' | '\u{e6}' | '\u{3b1}' => 'a',
        '\u{180}' => 'b',
        '\u{a2}' => 'c',
        '\u{d0}' | '\u{f0}' | '\u{110}' | '\u{111}' | '\u{189}' | '\u{3b4}' => 'd',
        '\u{3b5}' => 'e',
        '\u{191}' | '\u{192}' | '\u{3a6}' | '\u{3c6}' => 'f',
        '\u{1e4}' | '\u{1e5}' | '\u{393}' | '\u{261}' => 'g',
        '\u{126}' | '\u{127}' | '\u{4bb}' => 'h',
        '\u{197}' => 'i',
        '\u{141}' | '\u{142}' | '\u{19a}' => 'l',
        '\u{2229}' => 'n',
        '\u{d8}' | '\u{f8}' | '\u{152}' | '\u{153}' | '\u{19f}' | '\u{3a9}' => 'o',
        '\u{2118}' | '\u{3c0}' => 'p',
        '\u{3a3}' | '\u{3c3}' => 's',
        '\u{166}' | '\u{167}' | '\u{1ab}' | '\u{1ae}' | '\u{de}' | '\u{fe}' | '\u{398}' | '\u{3c4}' => 't',
        '\u{3bc}' => 'u',
        '\u{221a}' => 'v',
        '\u{d7}' => 'x',
        '\u{1b5}' | '\u{1b6}' => 'z',
        '\u{221e}' => '8',
        _ => character,
    }
}

#[cfg(test)]
mod tests {
    use super::ascii;

    #[test]
    fn characters_map_to_their_lookalikes() {
        for (text, taken_for) in [
            ("/plain", "/plain"),
            ("\u{ff0f}\u{ff41}dmin\u{ff0e}", "/admin."),
            ("a\u{200b}d\u{ad}m\u{301}\u{ef}n", "admin"),
            ("adm\u{131}n adm\u{130}n", "admin admIn"),
            ("stra\u{df}e \u{fb03}", "strasse ffi"),
            ("\u{2215}\u{2216}\u{2025}\u{212a}\u{142}", "/\\..Kl"),
            ("\u{a0}a\u{1680}b\u{2028}c\u{2029}d\u{3000}\u{85}", " a b c d  "),
            ("\u{3b1}\u{3b4}m\u{131}\u{2229} \u{207f}\u{3c3}\u{3c4}\u{221e}", "admin nst8"),
            ("\u{a5}\u{20a9}\u{ffe5}a\u{2013}b\u{2011}c\u{2212}d\u{2236}", "\\\\\\a-b-c-d:"),
            ("\u{e6}\u{153}\u{fe}\u{f0}\u{d7}\u{b5}", "aotdxu"),
            ("\u{65e5}\u{672c}", "\u{65e5}\u{672c}"),
        ] {
            assert_eq!(ascii(text), taken_for, "{text}");
        }
    }
}
