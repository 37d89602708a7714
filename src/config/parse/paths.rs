//! Request paths in their one canonical spelling.

use crate::config::parse::hint::quoted;

/// Checks that a path is `/` or plain segments, so that it has only one spelling.
///
/// # Errors
/// A message that says what to write instead.
pub(crate) fn segments(text: &str) -> Result<(), String> {
    let Some(rest) = text.strip_prefix('/') else {
        return Err(format!("{} does not start with /: write a path such as \"/app\"", quoted(text)));
    };
    if rest.is_empty() {
        return Ok(());
    }
    if text.ends_with('/') {
        let bare = text.trim_end_matches('/');
        let bare = if bare.is_empty() { "/" } else { bare };
        return Err(format!(
            "{} ends in /: write {}, which covers what is below it",
            quoted(text),
            quoted(bare)
        ));
    }
    if let Some((sign, covering)) = pattern(text) {
        return Err(format!(
            "{} has a {sign}, but paths have no patterns: write {}, which covers what is below it",
            quoted(text),
            quoted(covering)
        ));
    }
    let allowed = |c: char| c.is_ascii_alphanumeric() || "._~!$&'()+,=:@-".contains(c);
    for segment in rest.split('/') {
        if segment.is_empty() {
            return Err(format!("{} has an empty segment: write one / between segments", quoted(text)));
        }
        if segment == "." || segment == ".." {
            return Err(format!("{} has the segment {segment:?}: write the path it leads to", quoted(text)));
        }
        if let Some(odd) = segment.chars().find(|&c| !allowed(c)) {
            return Err(format!(
                "{} has {odd:?} in it: write letters, digits and . _ ~ ! $ & ' ( ) + , = : @ -",
                quoted(text)
            ));
        }
    }
    Ok(())
}

/// Finds what would be a pattern in other servers, and the path before it. Taken literally such a path would never
/// match, and the resource it was meant to protect would be open.
fn pattern(text: &str) -> Option<(&'static str, &str)> {
    let (at, sign) = [("*", "star"), ("/:", "segment that begins with :"), ("{", "{")]
        .into_iter()
        .filter_map(|(sign, name)| text.find(sign).map(|at| (at, name)))
        .min()?;
    // `/admin*` was meant to cover /admin; `/v{n}` is covered by the path above it.
    let before = &text[..at];
    let is_whole = text[at..].trim_start_matches('*').is_empty() || text[at..].starts_with('/');
    let covering = if is_whole { before } else { &before[..before.rfind('/').unwrap_or(0)] };
    let covering = covering.trim_end_matches('/');
    Some((sign, if covering.is_empty() { "/" } else { covering }))
}
