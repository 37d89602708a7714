//! The list of common passwords.

/// Sorted lines; the first ones, empty or with a leading space, are its licence.
pub(super) const LIST: &str = include_str!("common.txt");

/// Minimum length of a word on the list. A shorter rest of a password is not looked up.
pub(super) const MIN_LENGTH: usize = 6;

/// Minimum number of letters in a listed word that counts as one: `monkey1` has them, `19840101` is a number.
const MIN_LETTERS: usize = 4;

/// Returns whether `word` is a line of the list.
pub(super) fn is_listed(word: &str) -> bool {
    let is_line = word.len() >= MIN_LENGTH && !word.starts_with(' ') && !word.contains('\n');
    is_line && lines_from(word.as_bytes()).next().is_some_and(|line| line == word)
}

/// Listed words with letters that `text` starts with. A few at most: they share their first six characters.
pub(super) fn listed_prefixes(text: &[u8]) -> impl Iterator<Item = &'static str> {
    let first = text.get(..MIN_LENGTH).filter(|first| first[0] != b' ' && !first.contains(&b'\n'));
    let lines = first
        .into_iter()
        .flat_map(|first| lines_from(first).take_while(move |line| line.as_bytes().starts_with(first)));
    let is_word = |line: &&str| line.bytes().filter(u8::is_ascii_alphabetic).count() >= MIN_LETTERS;
    lines.filter(|line| text.starts_with(line.as_bytes())).filter(is_word)
}

/// Lines of the list from `word` on, found by binary search.
fn lines_from(word: &[u8]) -> impl Iterator<Item = &'static str> {
    let list = LIST.as_bytes();
    let (mut low, mut high) = (0, list.len());
    while low < high {
        let middle = low + (high - low) / 2;
        let start = list[..middle].iter().rposition(|&byte| byte == b'\n').map_or(0, |end| end + 1);
        let length = list[start..].iter().position(|&byte| byte == b'\n');
        let end = length.map_or(list.len(), |length| start + length);
        if &list[start..end] < word { low = end + 1 } else { high = start }
    }
    LIST.get(low..).unwrap_or_default().lines()
}
