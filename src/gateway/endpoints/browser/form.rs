//! A form as browsers send it (WHATWG URL, `application/x-www-form-urlencoded`), read strictly.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use zeroize::Zeroizing;

use crate::error::Refusal;
use crate::secret::Secret;

/// Maximum number of fields of a form or query. Our largest form has eight, and links to the login page gain a few from
/// whoever tracks them; a thousand would still be cheap, and nobody needs them.
const MAX_FIELDS: usize = 64;

/// The fields of a form, each at most once.
#[derive(Debug, Default)]
pub(in super::super) struct Form(BTreeMap<String, Secret<String>>);

impl Form {
    /// Reads a body or a query, in one pass, and no further than its 64th field.
    ///
    /// # Errors
    /// `RequestInvalid` for more fields, for what is not UTF-8, or for a name that is there twice: which of the two was
    /// meant is not ours to guess (E3).
    pub(in super::super) fn parse(bytes: &[u8]) -> Result<Self, Refusal> {
        Self::collect(bytes.split(|&byte| byte == b'&'))
    }

    /// Reads `name=value` pairs. Empty ones are none.
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

    /// A field; what was left empty is not there.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        let value = self.0.get(name)?;
        Some(value.expose().as_str()).filter(|value| !value.is_empty())
    }
}

fn decode(bytes: &[u8]) -> Result<String, Refusal> {
    let invalid = || Refusal::RequestInvalid("form: not text in percent-encoding".into());
    // Wiped wherever this ends, but for what is returned.
    let mut out = Zeroizing::new(Vec::with_capacity(bytes.len()));
    let mut rest = bytes.iter();
    while let Some(&byte) = rest.next() {
        out.push(match byte {
            b'+' => b' ',
            b'%' => {
                let mut digit = || char::from(*rest.next()?).to_digit(16);
                let (high, low) = (digit().ok_or_else(invalid)?, digit().ok_or_else(invalid)?);
                u8::try_from(high * 16 + low).map_err(|_| invalid())?
            }
            other => other,
        });
    }
    let text = str::from_utf8(&out).map_err(|_| invalid())?;
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_decoded_and_none_is_there_twice() {
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
        let of = |count: usize| (0..count).map(|at| format!("field{at}=x")).collect::<Vec<_>>();
        assert!(Form::parse(of(MAX_FIELDS).join("&").as_bytes()).is_ok());
        // The worst that fits a header or a body: what is behind the limit is not looked at.
        let many = of(9_000);
        let mut read = 0;
        let refused = Form::collect(many.iter().map(String::as_bytes).inspect(|_| read += 1));
        assert_eq!(refused.unwrap_err(), Refusal::RequestInvalid("form: too many fields".into()));
        assert_eq!(read, MAX_FIELDS + 1);
        // Empty pairs are passed over, each once.
        let mut read = 0;
        let empty = std::iter::repeat_n(&b""[..], 32 << 10).inspect(|_| read += 1);
        assert!(Form::collect(empty).unwrap().0.is_empty());
        assert_eq!(read, 32 << 10);
    }
}
