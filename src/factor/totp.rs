//! Time-based one-time passwords (RFC 6238): SHA-1, six digits, 30 seconds. Many authenticator apps ignore other parameters,
//! so there are none.

use std::fmt;

use aws_lc_rs::hmac::{self, HMAC_SHA1_FOR_LEGACY_USE_ONLY};

use crate::clock::Timestamp;
use crate::id::Random;
use crate::secret::Secret;

/// Time step, in seconds (RFC 6238 section 5.2).
pub const STEP: i64 = 30;

/// Number of steps before and after the current one whose codes are accepted: clocks of phones differ, and typing takes
/// time (RFC 6238 section 5.2). Each more gives a guess another chance in a million.
const DRIFT: i64 = 1;

/// Length of a secret in bytes: that of the hash (RFC 4226 section 4, R6).
const SECRET: usize = 20;

/// Secret of an authenticator app.
#[derive(Clone)]
pub struct TotpSecret(Secret<[u8; SECRET]>);

/// Code as typed: six digits.
#[derive(Clone, PartialEq, Eq)]
pub struct Code(u32);

impl TotpSecret {
    /// Generates a secret.
    pub fn random(random: &dyn Random) -> Self {
        Self(Secret::new(random.bytes()))
    }

    /// Reads the bytes of [`TotpSecret::bytes`].
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        Some(Self(Secret::new(bytes.try_into().ok()?)))
    }

    /// Returns the bytes, to be sealed.
    pub fn bytes(&self) -> &[u8] {
        self.0.expose()
    }

    /// Returns the secret as people type it: base32 (RFC 4648 section 6) without padding.
    pub fn base32(&self) -> Secret<String> {
        const ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
        let mut text = String::with_capacity(SECRET * 8 / 5);
        // 20 bytes are four groups of five: eight characters each, nothing left over.
        for group in self.0.expose().chunks_exact(5) {
            let bits = group.iter().fold(0_u64, |bits, byte| bits << 8 | u64::from(*byte));
            for at in (0..8).rev() {
                let index = usize::try_from(bits >> (5 * at) & 31).unwrap_or(0);
                text.push(char::from(ALPHABET[index]));
            }
        }
        Secret::new(text)
    }

    /// Returns the address that a QR code carries (Key URI format of Google Authenticator). `issuer` is the name of the
    /// app, `account` the login name.
    pub fn uri(&self, issuer: &str, account: &str) -> Secret<String> {
        let (issuer, account) = (escaped(issuer), escaped(account));
        Secret::new(format!(
            "otpauth://totp/{issuer}:{account}?secret={}&issuer={issuer}&algorithm=SHA1&digits=6&period={STEP}",
            self.base32().expose()
        ))
    }

    /// Returns the step at or near `now` with this code; the earliest after `last_step`, the newest step that was used.
    /// `None` for a wrong code, and for one that was used.
    pub fn step_of(&self, code: &Code, last_step: i64, now: Timestamp) -> Option<i64> {
        let current = now.secs().div_euclid(STEP);
        let near = current - DRIFT..=current + DRIFT;
        near.filter(|step| *step > last_step).find(|step| self.code_at(*step) == *code)
    }

    /// Returns the code of a step (RFC 4226 section 5.3).
    pub fn code_at(&self, step: i64) -> Code {
        let key = hmac::Key::new(HMAC_SHA1_FOR_LEGACY_USE_ONLY, self.0.expose());
        let tag = hmac::sign(&key, &step.to_be_bytes());
        let bytes = tag.as_ref();
        let offset = usize::from(bytes[bytes.len() - 1] & 15);
        let word = bytes[offset..offset + 4].iter().fold(0_u32, |word, byte| word << 8 | u32::from(*byte));
        Code((word & 0x7fff_ffff) % 1_000_000)
    }
}

impl fmt::Debug for TotpSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TotpSecret")
    }
}

impl Code {
    /// Reads a code as typed. Apps show it in groups, so spaces are ignored; digits of other scripts are not digits here.
    pub fn parse(typed: &str) -> Option<Self> {
        let mut digits = typed.chars().filter(|c| *c != ' ');
        let number = digits.by_ref().take(6).try_fold((0, 0), |(number, count), c| {
            let digit = c.to_digit(10).filter(|_| c.is_ascii_digit())?;
            Some((number * 10 + digit, count + 1))
        });
        match (number, digits.next()) {
            (Some((number, 6)), None) => Some(Self(number)),
            _ => None,
        }
    }
}

impl fmt::Display for Code {
    /// Formats the six digits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:06}", self.0)
    }
}

impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Code")
    }
}

/// Percent-encodes all but unreserved characters (RFC 3986 section 2.3).
fn escaped(text: &str) -> String {
    let escape = |byte: u8| match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
        byte => format!("%{byte:02X}"),
    };
    text.bytes().map(escape).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::SystemRandom;

    fn vectors() -> TotpSecret {
        TotpSecret::from_bytes(b"12345678901234567890").unwrap()
    }

    #[test]
    fn codes_are_those_of_the_rfcs() {
        // RFC 4226 appendix D.
        let counters =
            [755_224, 287_082, 359_152, 969_429, 338_314, 254_676, 287_922, 162_583, 399_871, 520_489];
        for (step, code) in (0..).zip(counters) {
            assert_eq!(vectors().code_at(step), Code(code), "{step}");
        }
        // RFC 6238 appendix B, SHA-1: the last six of eight digits.
        for (secs, code) in [
            (59, 287_082),
            (1_111_111_109, 81_804),
            (1_111_111_111, 50_471),
            (1_234_567_890, 5_924),
            (2_000_000_000, 279_037),
            (20_000_000_000, 353_130),
        ] {
            assert_eq!(vectors().code_at(secs / STEP), Code(code), "{secs}");
        }
    }

    #[test]
    fn code_works_one_step_around_its_own_and_once() {
        let secret = TotpSecret::random(&SystemRandom);
        let at = |step: i64| Timestamp::from_secs(step * STEP + 7);
        let step = 60_000_000;
        let code = secret.code_at(step);
        // Another step may have the same code by chance: then the answer is that step.
        let found = |now, last| secret.step_of(&code, last, at(now)).filter(|found| *found == step);
        for now in [step - 1, step, step + 1] {
            assert_eq!(found(now, 0), Some(step));
            assert_eq!(found(now, step), None, "used");
        }
        assert_eq!(found(step - 2, 0), None);
        assert_eq!(found(step + 2, 0), None);
    }

    #[test]
    fn code_is_six_ascii_digits() {
        assert_eq!(Code::parse("012345"), Some(Code(12_345)));
        assert_eq!(Code::parse(" 012 345 "), Some(Code(12_345)));
        assert_eq!(Code::parse("012345").map(|code| code.to_string()), Some("012345".to_owned()));
        for bad in [
            "",
            "12345",
            "1234567",
            "12345a",
            "-12345",
            "+12345",
            "１２３４５６",
            "١٢٣٤٥٦",
            "12\t3456",
            "12345\n",
        ] {
            assert_eq!(Code::parse(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn secret_is_written_in_base32_and_its_address_is_escaped() {
        assert_eq!(vectors().base32().expose(), "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ");
        assert_eq!(
            vectors().uri("Tower & Söhne", "ada@example.org").expose(),
            "otpauth://totp/Tower%20%26%20S%C3%B6hne:ada%40example.org?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ\
             &issuer=Tower%20%26%20S%C3%B6hne&algorithm=SHA1&digits=6&period=30"
        );
        assert_eq!(format!("{:?}{:?}", vectors(), Code(1)), "TotpSecretCode");
    }
}
