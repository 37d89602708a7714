//! Kinds of stored hashes, told by their parameters alone: for counting without reading a digest.

use super::argon::is_current;
use super::pepper::Peppers;
use super::stored::StoredHash;
use crate::config::PepperId;
use crate::metrics::HashKind;

/// Kind of the hashes of some users.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HashGroup {
    /// The algorithm; `None` if the text is no hash that can be verified.
    pub kind: Option<HashKind>,
    /// The pepper that was hashed with the passwords.
    pub pepper: Option<PepperId>,
    /// Outcome of the next sign-in.
    pub state: HashState,
}

/// Outcome of the next sign-in for a stored hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HashState {
    /// It is as new ones are.
    Current,
    /// It is replaced.
    Renewed,
    /// The user has no password.
    NoPassword,
    /// It cannot be verified without its pepper, which is not configured.
    PepperMissing,
    /// It is no hash that can be verified.
    Unreadable,
}

impl HashState {
    /// Returns a text for people and programs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Current => "current",
            Self::Renewed => "renewed at the next sign-in",
            Self::NoPassword => "no password",
            Self::PepperMissing => "pepper missing",
            Self::Unreadable => "unreadable",
        }
    }
}

impl HashGroup {
    /// Describes hashes by their text up to the last `$` but one.
    pub fn of(parameters: &str, peppers: &Peppers) -> Self {
        let unreadable = Self { kind: None, pepper: None, state: HashState::Unreadable };
        let Some(hash) = example(parameters) else { return unreadable };
        let pepper = hash.pepper().cloned();
        let state = if hash.is_no_password() {
            HashState::NoPassword
        } else if pepper.as_ref().is_some_and(|pepper| !peppers.has(pepper)) {
            HashState::PepperMissing
        } else if is_current(&hash, peppers) {
            HashState::Current
        } else {
            HashState::Renewed
        };
        Self { kind: Some(hash.kind()), pepper, state }
    }
}

/// Completes parameters to a hash, with a digest of the most common length of 32 bytes.
fn example(parameters: &str) -> Option<StoredHash> {
    let tails = [
        format!("{}${}", "Q".repeat(22), "Q".repeat(43)),
        // bcrypt-sha256, whose digest has 23 bytes, and bcrypt, which has the cost before.
        format!("{}${}", "Q".repeat(22), "Q".repeat(31)),
        format!("04${}", "Q".repeat(53)),
        // PBKDF2 with a length l.
        format!("{}${}", "Q".repeat(22), "Q".repeat(27)),
        format!("{}${}", "Q".repeat(22), "Q".repeat(64)),
        format!("{}${}", "Q".repeat(22), "Q".repeat(86)),
    ];
    tails.iter().find_map(|tail| StoredHash::parse(&format!("{parameters}{tail}")).ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Pepper;
    use crate::id::base64url;
    use crate::secret::Secret;

    #[test]
    fn hashes_are_described_by_their_parameters() {
        let key = Secret::new(base64url([1; 32]));
        let peppers = Peppers::new(&[Pepper { id: "b".parse().unwrap(), key }]);
        let described = |parameters: &str| {
            let HashGroup { kind, pepper, state } = HashGroup::of(parameters, &peppers);
            (kind, pepper.map(|pepper| pepper.to_string()), state)
        };
        let argon2 = "$argon2id$v=19$m=19456,t=2,p=1";
        let (id, renewed) = (Some(HashKind::Argon2id), HashState::Renewed);
        assert_eq!(described(&format!("{argon2}$")), (id, None, renewed));
        assert_eq!(described(&format!("{argon2},keyid=Yg$")), (id, Some("b".to_owned()), HashState::Current));
        assert_eq!(
            described(&format!("{argon2},keyid=YQ$")),
            (id, Some("a".to_owned()), HashState::PepperMissing)
        );
        assert_eq!(described(&format!("{argon2},data=bm9uZQ$")), (id, None, HashState::NoPassword));
        assert_eq!(HashGroup::of(&format!("{argon2}$"), &Peppers::default()).state, HashState::Current);
        for (parameters, kind) in [
            ("$argon2i$v=19$m=256,t=2,p=2$", HashKind::Argon2i),
            ("$2y$", HashKind::Bcrypt),
            ("bcrypt_sha256$$2b$", HashKind::Bcrypt),
            ("$bcrypt-sha256$v=2,t=2b,r=12$", HashKind::Bcrypt),
            ("$scrypt$ln=15,r=8,p=1$", HashKind::Scrypt),
            ("$pbkdf2-sha1$i=1000,l=20$", HashKind::Pbkdf2),
            ("$pbkdf2-sha256$i=1000,l=32$", HashKind::Pbkdf2),
            ("$pbkdf2-sha384$i=1000,l=48$", HashKind::Pbkdf2),
            ("$pbkdf2-sha512$i=1000,l=64$", HashKind::Pbkdf2),
        ] {
            assert_eq!(described(parameters), (Some(kind), None, renewed), "{parameters}");
        }
        for parameters in ["", "hash of ada", "$6$", "$scrypt$ln=31,r=8,p=1$"] {
            assert_eq!(described(parameters), (None, None, HashState::Unreadable), "{parameters}");
        }
    }
}
