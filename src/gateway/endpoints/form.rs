//! Strict parser of forms and queries (WHATWG URL, `application/x-www-form-urlencoded`).

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use zeroize::Zeroizing;

use crate::error::Refusal;
use crate::gateway::authorize::form_encoding;
use crate::secret::Secret;

/// Maximum number of fields of a form or query. The largest form has eight, and trackers add a few to links to the login page. A
/// thousand would still be cheap, but has no use.
const MAX_FIELDS: usize = 64;

/// Fields of a form, each at most once.
#[derive(Debug, Default)]
pub(super) struct Form(BTreeMap<String, Secret<String>>);

impl Form {
    /// Parses a body or a query in one pass, up to [`MAX_FIELDS`] fields.
    ///
    /// # Errors
    /// `RequestInvalid` for more fields, for text that is not UTF-8, or for a repeated name: the intended value is unknown (E3).
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, Refusal> {
        Self::collect(bytes.split(|&byte| byte == b'&'))
    }

    /// Collects `name=value` pairs. Empty pairs are skipped.
    fn collect<'a>(pairs: impl Iterator<Item = &'a [u8]>) -> Result<Self, Refusal> {
        let mut fields = BTreeMap::new();
        for pair in pairs.filter(|pair| !pair.is_empty()) {
            if fields.len() == MAX_FIELDS {
                return Err(Refusal::RequestInvalid("form: too many fields".into()));
            }
            let at = pair.iter().position(|&byte| byte == b'=').unwrap_or(pair.len());
            let value = pair.get(at + 1..).unwrap_or_default();
            match fields.entry(decode(&pair[..at])?) {
                Entry::Vacant(new) => new.insert(Secret::new(decode(value)?)),
                Entry::Occupied(_) => return Err(Refusal::RequestInvalid("form: repeated field".into())),
            };
        }
        Ok(Self(fields))
    }

    /// Returns a field; `None` if it is missing or empty.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        let value = self.0.get(name)?;
        Some(value.expose().as_str()).filter(|value| !value.is_empty())
    }
}

fn decode(bytes: &[u8]) -> Result<String, Refusal> {
    let invalid = || Refusal::RequestInvalid("form: not text in percent-encoding".into());
    // Zeroized on every path, except the returned copy.
    let mut out = Zeroizing::new(Vec::with_capacity(bytes.len()));
    form_encoding::decode(bytes, &mut out).ok_or_else(invalid)?;
    let text = str::from_utf8(&out).map_err(|_| invalid())?;
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_decoded_and_repeated_names_refused() {
        let form = Form::parse(b"username=a%40b&password=+x%2By%C3%A9+&empty=&flag&").unwrap();
        assert_eq!(form.get("username"), Some("a@b"));
        assert_eq!(form.get("password"), Some(" x+y\u{e9} "));
        assert_eq!((form.get("empty"), form.get("flag"), form.get("other")), (None, None, None));
        for bad in [&b"a=1&a=2"[..], b"a=%", b"a=%4", b"a=%zz", b"a=%ff", b"%ff=a", b"a=1&%61=2"] {
            assert!(Form::parse(bad).is_err(), "{}", String::from_utf8_lossy(bad));
        }
    }

    #[test]
    fn form_reader_stops_at_the_field_limit() {
        let fields = |count: usize| (0..count).map(|at| format!("field{at}=x")).collect::<Vec<_>>();
        assert!(Form::parse(fields(MAX_FIELDS).join("&").as_bytes()).is_ok());
        // The largest number that fits a header or a body: fields beyond the limit are not read.
        let many = fields(9_000);
        let mut read = 0;
        let refused = Form::collect(many.iter().map(String::as_bytes).inspect(|_| read += 1));
        assert_eq!(refused.unwrap_err(), Refusal::RequestInvalid("form: too many fields".into()));
        assert_eq!(read, MAX_FIELDS + 1);
        // Empty pairs are skipped, each read once.
        let mut read = 0;
        let empty = std::iter::repeat_n(&b""[..], 32 << 10).inspect(|_| read += 1);
        assert!(Form::collect(empty).unwrap().0.is_empty());
        assert_eq!(read, 32 << 10);
    }
}
