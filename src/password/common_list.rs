//! The list of common passwords, runs along keyboards, and characters that replace letters.

/// Sorted lines; the first ones, empty or with a leading space, are its licence.
pub(super) const LIST: &str = include_str!("common.txt");

/// Runs along a keyboard. A password that is part of one, forwards or backwards, counts as common.
pub(super) const RUNS: [&str; 9] = [
    "qwertyuiopasdfghjklzxcvbnm",
    "qwertzuiopasdfghjklyxcvbnm",
    "azertyuiopqsdfghjklmwxcvbn",
    "qwertyuiop[]asdfghjkl;'zxcvbnm,./",
    "1qaz2wsx3edc4rfv5tgb6yhn7ujm8ik9ol0p",
    "qazwsxedcrfvtgbyhnujmikolp",
    "1q2w3e4r5t6y7u8i9o0p",
    "q1w2e3r4t5y6u7i8o9p0",
    "zaq1xsw2cde3vfr4bgt5nhy6mju7",
];

/// Characters that commonly replace letters.
pub(super) const STAND_INS: [(char, char); 9] = [
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
