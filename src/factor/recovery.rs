//! Recovery codes: ten random codes that stand in for a second factor, each once.

use aws_lc_rs::digest::{SHA256, digest as hash};

use crate::id::{Random, UserId};
use crate::secret::Secret;

/// Number of codes in a set.
pub const CODES: usize = 10;

/// Characters of a code: letters and digits that are not mistaken for each other, 32 of them.
const ALPHABET: &[u8; 32] = b"ABCDEFGHJKLMNPQRSTUVWXYZ23456789";

/// Length of a code in characters, 5 bits each: 80 bits, so that a plain hash keeps it (NIST SP 800-63B-4 section 3.1.2.2
/// asks for 64).
const LENGTH: usize = 16;

/// Number of characters of a group, for people.
const GROUP: usize = 4;

/// Generates a set of codes, as they are shown.
pub fn generate(random: &dyn Random) -> Vec<Secret<String>> {
    (0..CODES).map(|_| one(random)).collect()
}

fn one(random: &dyn Random) -> Secret<String> {
    let bytes: [u8; LENGTH] = random.bytes();
    let mut code = String::with_capacity(LENGTH + LENGTH / GROUP);
    for (at, byte) in bytes.iter().enumerate() {
        if at > 0 && at % GROUP == 0 {
            code.push('-');
        }
        code.push(char::from(ALPHABET[usize::from(byte % 32)]));
    }
    Secret::new(code)
}

/// Returns the stored form of a code as typed: a SHA-256 that belongs to one user. `None` if the text is no code.
pub fn digest(user: UserId, typed: &str) -> Option<[u8; 32]> {
    let plain = typed.chars().filter(|c| !matches!(c, ' ' | '-')).take(LENGTH + 1);
    let plain: String = plain.map(|c| c.to_ascii_uppercase()).collect();
    let is_code = plain.len() == LENGTH && plain.bytes().all(|byte| ALPHABET.contains(&byte));
    is_code.then(|| {
        let text = [b"recovery code", &user.as_bytes()[..], plain.as_bytes()].concat();
        let mut digest = [0; 32];
        digest.copy_from_slice(hash(&SHA256, &text).as_ref());
        digest
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::SystemRandom;

    #[test]
    fn codes_are_different_and_read_as_people_type_them() {
        let user = UserId::from_bytes([1; 16]);
        let codes = generate(&SystemRandom);
        let digests: std::collections::HashSet<_> =
            codes.iter().map(|code| digest(user, code.expose()).unwrap()).collect();
        assert_eq!((codes.len(), digests.len()), (CODES, CODES));
        let code = codes[0].expose();
        assert_eq!(code.len(), 19, "four groups of four");
        for typed in [code.to_lowercase(), code.replace('-', ""), format!(" {} ", code.replace('-', " "))] {
            assert_eq!(digest(user, &typed), digest(user, code), "{typed:?}");
        }
        assert_ne!(digest(UserId::from_bytes([2; 16]), code), digest(user, code), "another user's");
    }

    #[test]
    fn other_text_is_no_code() {
        let user = UserId::from_bytes([1; 16]);
        let code = "ABCD-EFGH-JKLM-NPQR";
        assert!(digest(user, code).is_some());
        for bad in [
            "",
            "123456",
            "ABCD-EFGH-JKLM-NPQ",
            "ABCD-EFGH-JKLM-NPQRS",
            "0BCD-EFGH-JKLM-NPQR",
            "ÄBCD-EFGH-JKLM-NPQR",
        ] {
            assert_eq!(digest(user, bad), None, "{bad:?}");
        }
        assert_eq!(digest(user, &"A".repeat(1 << 20)), None, "no work for long text");
    }
}
