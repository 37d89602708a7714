//! Path of a claim inside a token: a name, a dotted path, a JSON pointer, or a name that is a URL.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use crate::config::parse::hint::quoted;

/// Path of a claim. Three forms: `preferred_username` and `realm_access.roles` (names, joined by dots),
/// `/resource_access/my.client/roles` (JSON pointer, RFC 6901), and `https://example.com/roles` (one name that is a
/// URL).
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct ClaimPath(Arc<[String]>);

/// Maximum length of a path, and of its parts: names of claims are short, and the work of a lookup stays bounded.
const MAX_LENGTH: usize = 256;
const MAX_PARTS: usize = 16;

impl ClaimPath {
    /// A claim at the top of the token.
    pub(crate) fn name(name: &str) -> Self {
        Self(Arc::new([name.to_owned()]))
    }

    /// Returns the names from the top of the token to the claim; never empty.
    pub fn parts(&self) -> &[String] {
        &self.0
    }

    /// Returns the name at the top of the token.
    pub fn top(&self) -> &str {
        self.0.first().map_or("", String::as_str)
    }
}

impl FromStr for ClaimPath {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = |why: &str| {
            Err(format!(
                "{} {why}: write a name such as \"groups\", a path such as \"realm_access.roles\", or a JSON pointer such as \
                 \"/resource_access/my.client/roles\"",
                quoted(text)
            ))
        };
        if text.is_empty() || text.len() > MAX_LENGTH || text.chars().any(char::is_control) {
            return wrong("is not the path of a claim");
        }
        let parts: Vec<String> = if let Some(pointer) = text.strip_prefix('/') {
            match pointer.split('/').map(unescaped).collect() {
                Some(parts) => parts,
                None => return wrong("has a ~ that is neither ~0 nor ~1 (RFC 6901)"),
            }
        } else if text.contains("://") {
            vec![text.to_owned()]
        } else {
            text.split('.').map(str::to_owned).collect()
        };
        if parts.iter().any(String::is_empty) {
            return wrong("has an empty name");
        }
        if parts.len() > MAX_PARTS {
            return wrong("has more than 16 names");
        }
        Ok(Self(parts.into()))
    }
}

/// Reads one name of a JSON pointer (RFC 6901 section 4).
fn unescaped(part: &str) -> Option<String> {
    let mut out = String::with_capacity(part.len());
    let mut chars = part.chars();
    while let Some(char) = chars.next() {
        out.push(match char {
            '~' => match chars.next()? {
                '0' => '~',
                '1' => '/',
                _ => return None,
            },
            plain => plain,
        });
    }
    Some(out)
}

impl fmt::Debug for ClaimPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ClaimPath({:?})", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn claim_path_has_three_forms() {
        for (text, parts) in [
            ("groups", &["groups"][..]),
            ("realm_access.roles", &["realm_access", "roles"]),
            ("/resource_access/my.client/roles", &["resource_access", "my.client", "roles"]),
            ("/a~1b/c~0d", &["a/b", "c~d"]),
            ("https://example.com/roles", &["https://example.com/roles"]),
        ] {
            assert_eq!(text.parse::<ClaimPath>().unwrap().parts(), parts, "{text}");
        }
        for bad in
            ["", ".", "a..b", "a.", "/", "/a/", "/a~2", "/a~", "a\nb", &"a.".repeat(20), &"x".repeat(257)]
        {
            assert!(bad.parse::<ClaimPath>().is_err(), "{bad:?}");
        }
    }
}
