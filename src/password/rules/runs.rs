//! Runs of characters: of one character, of the alphabet or of digits, and along a keyboard.

/// Rows, columns and zigzags of keyboards. A run is part of one, forwards or backwards. No character stands twice in one.
const KEYBOARDS: [&str; 9] = [
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

/// Length of the longest run that starts at each character. `joined` tells whether a run may go on from one position to the next.
/// The work is linear in the length.
pub(super) fn lengths(text: &[char], joined: impl Fn(usize) -> bool) -> Vec<usize> {
    let mut longest = vec![1; text.len()];
    let mut add = |follows: &dyn Fn(char, char) -> bool| {
        let mut length = 1;
        for at in (0..text.len().saturating_sub(1)).rev() {
            length = if joined(at) && follows(text[at], text[at + 1]) { length + 1 } else { 1 };
            longest[at] = longest[at].max(length);
        }
    };
    add(&|one, next| one == next);
    add(&is_next);
    add(&|one, next| is_next(next, one));
    for keys in KEYBOARDS {
        let place = |c: char| keys.bytes().position(|key| char::from(key) == c);
        let follows = |one, next| place(next).is_some_and(|at| at > 0 && place(one) == Some(at - 1));
        add(&follows);
        add(&|one, next| follows(next, one));
    }
    longest
}

/// Returns whether `next` comes after `one` in its script, or is the 0 after 9.
pub(super) fn is_next(one: char, next: char) -> bool {
    (one == '9' && next == '0') || (one as u32 + 1 == next as u32 && one.is_alphanumeric())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn longest(text: &str) -> usize {
        let chars: Vec<char> = text.chars().collect();
        lengths(&chars, |_| true).first().copied().unwrap_or_default()
    }

    #[test]
    fn runs_are_followed_forwards_and_backwards() {
        for (text, length) in [
            ("", 0),
            ("a", 1),
            ("aaaab", 4),
            ("abcdex", 5),
            ("7890123", 7),
            ("3210987", 7),
            ("абвгд", 5),
            ("qwertzx", 6),
            ("poiuytrewq1", 10),
            ("1q2w3e4r", 8),
            ("qaz", 3),
            ("word", 1),
        ] {
            assert_eq!(longest(text), length, "{text}");
        }
        let chars: Vec<char> = "abcdef".chars().collect();
        assert_eq!(lengths(&chars, |at| at != 2), [3, 2, 1, 3, 2, 1]);
    }

    #[test]
    fn keyboards_have_each_key_once() {
        for keys in KEYBOARDS {
            let mut sorted = keys.as_bytes().to_vec();
            sorted.sort_unstable();
            sorted.dedup();
            assert_eq!(sorted.len(), keys.len(), "{keys}");
        }
    }
}
