//! Helpers for messages: the nearest known name, and quoted values that do not reveal a password.

/// Returns the known name with the fewest edits, if the difference can be a typing error.
pub(crate) fn nearest<'a>(written: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // Two edits turn almost any three-letter word into another, so short names get one.
    let max_edits = if written.chars().count() <= 4 { 1 } else { 2 };
    let lowered = written.to_ascii_lowercase().replace('-', "_");
    known
        .into_iter()
        .map(|name| (edits(&lowered, &name.replace('-', "_")), name))
        .filter(|&(edits, _)| edits <= max_edits)
        .min()
        .map(|(_, name)| name)
}

/// Number of insertions, deletions, substitutions and transpositions between two words.
fn edits(left: &str, right: &str) -> usize {
    let left: Vec<char> = left.chars().collect();
    let right: Vec<char> = right.chars().collect();
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=right.len()).collect();
    for (row, &l) in left.iter().enumerate() {
        let mut current = vec![row + 1];
        for (column, &r) in right.iter().enumerate() {
            let replaced = above[column] + usize::from(l != r);
            let mut least = replaced.min(above[column + 1] + 1).min(current[column] + 1);
            if row > 0 && column > 0 && l == right[column - 1] && left[row - 1] == r {
                least = least.min(before[column - 1] + 1);
            }
            current.push(least);
        }
        before = std::mem::replace(&mut above, current);
    }
    above[right.len()]
}

/// A value in quotes, escaped and cut; an address with a password in it is not repeated.
pub(crate) fn quoted(text: &str) -> String {
    // Long enough for a host name and a path, short enough for one line of a log.
    const MAX_LENGTH: usize = 80;
    if text.contains('@') && text.contains(':') {
        return "this value (not shown: it may hold a password)".to_owned();
    }
    match text.char_indices().nth(MAX_LENGTH) {
        Some((end, _)) => format!("{:?}...", &text[..end]),
        None => format!("{text:?}"),
    }
}

/// `"a", "b" or "c"`
pub(crate) fn any_of<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let mut names: Vec<String> = names.into_iter().map(|name| format!("{name:?}")).collect();
    let last = names.pop().unwrap_or_default();
    if names.is_empty() { last } else { format!("{} or {last}", names.join(", ")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn typing_error_finds_the_name() {
        let known = ["listen", "public_urls", "threads", "url"];
        for (written, meant) in [
            ("lsiten", Some("listen")),
            ("listn", Some("listen")),
            ("public-urls", Some("public_urls")),
            ("Threads", Some("threads")),
            ("uri", Some("url")),
            ("urns", None),
            ("nothing", None),
            ("", None),
        ] {
            assert_eq!(nearest(written, known), meant, "{written:?}");
        }
    }

    #[test]
    fn password_in_an_address_is_not_quoted() {
        assert!(!quoted("http://ada:hunter2@example.org").contains("hunter2"));
        assert_eq!(quoted("a\"\n"), r#""a\"\n""#);
        assert_eq!(quoted(&"x".repeat(81)), format!("\"{}\"...", "x".repeat(80)));
    }
}
