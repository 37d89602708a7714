//! A form as browsers send it (WHATWG URL, `application/x-www-form-urlencoded`), read strictly.

use zeroize::Zeroizing;

use crate::error::Refusal;
use crate::secret::Secret;

/// The fields of a form, each at most once.
#[derive(Debug, Default)]
pub(in super::super) struct Form(Vec<(String, Secret<String>)>);

impl Form {
    /// Reads a body or a query.
    ///
    /// # Errors
    /// `RequestInvalid` for what is not UTF-8 or is there twice: which of the two was meant is not ours to guess (E3).
    pub(in super::super) fn parse(bytes: &[u8]) -> Result<Self, Refusal> {
        let mut fields: Vec<(String, Secret<String>)> = Vec::new();
        for pair in bytes.split(|&byte| byte == b'&').filter(|pair| !pair.is_empty()) {
            let at = pair.iter().position(|&byte| byte == b'=').unwrap_or(pair.len());
            let value = pair.get(at + 1..).unwrap_or_default();
            let (name, value) = (decode(&pair[..at])?, Secret::new(decode(value)?));
            if fields.iter().any(|(known, _)| *known == name) {
                return Err(Refusal::RequestInvalid("form: repeated field".into()));
            }
            fields.push((name, value));
        }
        Ok(Self(fields))
    }

    /// A field; what was left empty is not there.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        let (_, value) = self.0.iter().find(|(known, _)| known == name)?;
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
}
