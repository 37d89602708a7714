//! Percent-encoding of forms (WHATWG URL, `application/x-www-form-urlencoded`), decoded strictly.

/// Appends the decoded bytes of a name or value. Returns `None` for a malformed escape. `out` with room for `bytes` does not grow, so a
/// caller that wipes it leaves no copy.
pub(crate) fn decode(bytes: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let mut rest = bytes.iter();
    while let Some(&byte) = rest.next() {
        out.push(match byte {
            b'+' => b' ',
            b'%' => {
                let mut digit = || char::from(*rest.next()?).to_digit(16);
                u8::try_from(digit()? * 16 + digit()?).ok()?
            }
            other => other,
        });
    }
    Some(())
}
