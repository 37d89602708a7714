//! argon2, reusing the memory of one hash for the next, and the comparison with stored hashes of any kind.

use std::sync::Arc;

use argon2::{Algorithm, Argon2, Block, Params, Version};
use aws_lc_rs::constant_time;
use zeroize::Zeroizing;

use super::Password;
use super::budget::Budget;
use super::foreign::Digest;
use super::pepper::Peppers;
use super::stored::{Argon2Hash, StoredHash};
use crate::config::PepperId;
use crate::id::Random;
use crate::metrics::HashKind;
use crate::secret::Secret;

/// Parameters of the OWASP password storage cheat sheet: m = 19 MiB, t = 2, p = 1. Lower is cheaper to attack; higher
/// starves concurrent requests.
const MEMORY_KIB: u32 = 19_456;
const PASSES: u32 = 2;
const LANES: u32 = 1;
const OUTPUT: usize = 32;

/// Memory reused by one hash after the other: fresh pages cost more than the hash (measured 67 against 22 ms for 46
/// MiB). A hash with more memory than the current parameters takes it from the budget, and returns it.
#[derive(Default)]
pub(super) struct Workspace {
    blocks: Vec<Block>,
    budget: Arc<Budget>,
}

/// Result of comparing a password with a stored hash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Match {
    No,
    /// Correct, and hashed with the current parameters and the newest pepper.
    Yes,
    /// Correct, and hashed in another way.
    Outdated(HashKind),
    /// Unknown: the hash needs a pepper that is not configured.
    PepperMissing(PepperId),
    /// Unknown: bcrypt would ignore a part of this password.
    TooLong,
}

impl Workspace {
    /// Returns a workspace that takes further memory from `budget`.
    pub(super) const fn new(budget: Arc<Budget>) -> Self {
        Self { blocks: Vec::new(), budget }
    }

    /// Returns a PHC string with the current parameters and the newest pepper.
    pub(super) fn hash(&mut self, password: &Password, salt: &[u8; 16], peppers: &Peppers) -> Secret<String> {
        let (pepper, key) = peppers.current().unzip();
        let mut hash = Argon2Hash { pepper: pepper.cloned(), ..blank(salt.to_vec()) };
        hash.digest = Secret::new(self.argon2(&hash, password.bytes(), key).bytes.to_vec());
        StoredHash::Argon2(hash).to_text()
    }

    /// Compares with a stored hash, under its parameters. A text that is none matches nothing, at the cost of a current hash.
    pub(super) fn verify(&mut self, password: &Password, stored: &str, peppers: &Peppers) -> Match {
        let Ok(stored) = StoredHash::parse(stored) else {
            self.argon2(&blank(vec![0; 16]), password.bytes(), None);
            return Match::No;
        };
        let key = match stored.pepper() {
            None => None,
            Some(id) => match peppers.key(id) {
                None => return Match::PepperMissing(id.clone()),
                key => key,
            },
        };
        let (mut outcome, can_match) = (Match::No, !stored.is_no_password());
        // Other programs hash the bytes as typed, doorward hashes NFC.
        for bytes in password.forms() {
            let found = self.digest(&stored, bytes, key);
            let is_equal = constant_time::verify_slices_are_equal(&found.bytes, stored.digest()).is_ok();
            match (is_equal && can_match, found.is_whole) {
                (true, true) if is_current(&stored, peppers) => return Match::Yes,
                (true, true) => return Match::Outdated(stored.kind()),
                (_, false) => outcome = Match::TooLong,
                (false, true) => {}
            }
        }
        outcome
    }

    fn digest(&mut self, stored: &StoredHash, password: &[u8], key: Option<&[u8]>) -> Digest {
        match stored {
            StoredHash::Argon2(hash) => self.argon2(hash, password, key),
            StoredHash::Bcrypt(hash) => hash.digest(password),
            StoredHash::Scrypt(hash) => hash.digest(password, &self.budget),
            StoredHash::Pbkdf2(hash) => hash.digest(password),
        }
    }

    /// Hashes with the parameters and the salt of `hash`.
    fn argon2(&mut self, hash: &Argon2Hash, password: &[u8], key: Option<&[u8]>) -> Digest {
        let length = match hash.digest.expose().len() {
            0 => OUTPUT,
            length => length,
        };
        let params = Params::new(hash.memory_kib, hash.passes, hash.lanes, Some(length));
        let params = params.expect("the parameters are checked when a hash is read");
        let blocks = params.block_count();
        let budget = Arc::clone(&self.budget);
        let own = current_blocks();
        let _share = (blocks > own).then(|| budget.take((blocks - own) as u64 * Block::SIZE as u64));
        if self.blocks.len() < blocks {
            self.blocks.resize(blocks, Block::default());
        }
        let context = match key {
            Some(key) => Argon2::new_with_secret(key, hash.algorithm, hash.version, params),
            None => Ok(Argon2::new(hash.algorithm, hash.version, params)),
        };
        let mut out = Zeroizing::new(vec![0; length]);
        // The workspace may be larger than needed: exactly the required blocks are used.
        context
            .and_then(|context| {
                context.hash_password_into_with_memory(
                    password,
                    &hash.salt,
                    &mut out,
                    &mut self.blocks[..blocks],
                )
            })
            .expect(
                "lengths are within argon2's limits: 1 KiB of password, a checked salt, digest and pepper",
            );
        if self.blocks.len() > own {
            self.blocks.truncate(own);
            self.blocks.shrink_to_fit();
        }
        Digest { bytes: out, is_whole: true }
    }
}

/// Returns a hash of zeros that no password matches, with the current parameters and a mark. Comparing with it costs as much as
/// with any other.
pub(super) fn unusable(random: &dyn Random) -> Secret<String> {
    let (salt, digest) = (random.bytes::<16>().to_vec(), Secret::new(vec![0; OUTPUT]));
    StoredHash::Argon2(Argon2Hash { is_no_password: true, digest, ..blank(salt) }).to_text()
}

/// Returns a random hash with the current parameters. No password matches it except by chance. Comparing with it costs as much
/// as with a real hash.
pub(super) fn decoy(random: &dyn Random) -> Secret<String> {
    let (salt, digest) = (random.bytes::<16>().to_vec(), random.bytes::<OUTPUT>().to_vec());
    StoredHash::Argon2(Argon2Hash { digest: Secret::new(digest), ..blank(salt) }).to_text()
}

/// Returns whether a new hash would have other parameters or another pepper.
pub(super) fn is_current(stored: &StoredHash, peppers: &Peppers) -> bool {
    let StoredHash::Argon2(hash) = stored else { return false };
    let current = blank(hash.salt.clone());
    let digest = hash.digest.clone();
    hash.digest.expose().len() == OUTPUT
        && Argon2Hash { pepper: peppers.current().map(|(id, _)| id.clone()), digest, ..current } == *hash
}

/// The current parameters without a digest.
fn blank(salt: Vec<u8>) -> Argon2Hash {
    Argon2Hash {
        algorithm: Algorithm::Argon2id,
        version: Version::V0x13,
        memory_kib: MEMORY_KIB,
        passes: PASSES,
        lanes: LANES,
        pepper: None,
        is_no_password: false,
        salt,
        digest: Secret::new(Vec::new()),
    }
}

/// Blocks of a hash with the current parameters.
const fn current_blocks() -> usize {
    MEMORY_KIB as usize * 1024 / Block::SIZE
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Pepper;
    use crate::id::{SystemRandom, base64url};
    use crate::password::stored::Argon2Hash;

    fn password(text: &str) -> Password {
        Password::new(text).unwrap()
    }

    fn hash(space: &mut Workspace, text: &str) -> String {
        space.hash(&password(text), &[7; 16], &Peppers::default()).expose().clone()
    }

    fn verify(space: &mut Workspace, text: &str, stored: &str) -> Match {
        space.verify(&password(text), stored, &Peppers::default())
    }

    /// Peppers with these ids; the key of each is its first letter, 32 times.
    fn peppers(ids: &[&str]) -> Peppers {
        let pepper = |id: &&str| Pepper {
            id: id.parse().unwrap(),
            key: Secret::new(base64url([id.as_bytes()[0]; 32])),
        };
        Peppers::new(&ids.iter().map(pepper).collect::<Vec<_>>())
    }

    #[test]
    fn whole_password_is_hashed() {
        let mut space = Workspace::default();
        let long = "correct horse battery staple ".repeat(20);
        let stored = hash(&mut space, &long);
        assert!(stored.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"));
        assert_eq!(verify(&mut space, &long, &stored), Match::Yes);
        for wrong in [&long[..long.len() - 1], &format!("{long} "), &long[..72], &format!("{long}\0")] {
            assert_eq!(verify(&mut space, wrong, &stored), Match::No);
        }
    }

    #[test]
    fn hashes_without_a_password_have_the_current_parameters_and_match_nothing() {
        let mut space = Workspace::default();
        let real = hash(&mut space, "correct horse battery");
        let Ok(StoredHash::Argon2(real)) = StoredHash::parse(&real) else { panic!("{real}") };
        let work = |hash: &Argon2Hash| {
            (hash.algorithm, hash.memory_kib, hash.passes, hash.lanes, hash.digest.expose().len())
        };
        for (text, is_marked) in [(decoy(&SystemRandom), false), (unusable(&SystemRandom), true)] {
            let text = text.expose();
            let Ok(StoredHash::Argon2(parsed)) = StoredHash::parse(text) else { panic!("{text}") };
            assert_eq!(parsed.is_no_password, is_marked, "{text}");
            assert_eq!(work(&parsed), work(&real), "the same work, whatever the constants are");
            assert_eq!(verify(&mut space, "correct horse battery", text), Match::No);
        }
        // Not even a hash with the mark that is right.
        let marked = StoredHash::Argon2(Argon2Hash { is_no_password: true, ..real }).to_text();
        assert_eq!(verify(&mut space, "correct horse battery", marked.expose()), Match::No);
        // Earlier builds wrote the zeros alone.
        let zeros = format!("$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHQ${}", "A".repeat(43));
        assert!(StoredHash::parse(&zeros).is_ok_and(|hash| hash.is_no_password()));
    }

    #[test]
    fn outdated_parameters_verify_and_request_a_new_hash() {
        let mut space = Workspace::default();
        let stored = "$argon2id$v=19$m=1024,t=3,p=1$c29tZXNhbHQ$";
        let Ok(StoredHash::Argon2(empty)) = StoredHash::parse(&format!("{stored}{}", "Q".repeat(43))) else {
            panic!("a hash")
        };
        let digest = space.argon2(&empty, b"a password from long ago", None).bytes.to_vec();
        let stored = StoredHash::Argon2(Argon2Hash { digest: Secret::new(digest), ..empty }).to_text();
        let found = verify(&mut space, "a password from long ago", stored.expose());
        assert_eq!(found, Match::Outdated(HashKind::Argon2id));
        for no_hash in ["$2b$12$not.argon2", "", "hash of ada"] {
            assert_eq!(verify(&mut space, "a password from long ago", no_hash), Match::No);
        }
    }

    #[test]
    fn pepper_enters_the_hash_and_an_older_one_requests_a_new_hash() {
        let mut space = Workspace::default();
        let text = "violet kettle harbour lantern";
        let plain = hash(&mut space, text);
        let (old, both) = (peppers(&["a"]), peppers(&["b", "a"]));
        let peppered = space.hash(&password(text), &[7; 16], &old);
        assert!(peppered.expose().starts_with("$argon2id$v=19$m=19456,t=2,p=1,keyid=YQ$"));
        assert_eq!(space.verify(&password(text), peppered.expose(), &old), Match::Yes);
        assert_eq!(space.verify(&password("another"), peppered.expose(), &old), Match::No);
        let outdated = Match::Outdated(HashKind::Argon2id);
        for (stored, peppers) in [(peppered.expose(), &both), (&plain, &both), (&plain, &old)] {
            assert_eq!(space.verify(&password(text), stored, peppers), outdated);
        }
        let missing = Match::PepperMissing("a".parse().unwrap());
        for other in [Peppers::default(), peppers(&["b"])] {
            assert_eq!(space.verify(&password(text), peppered.expose(), &other), missing);
        }
        let renamed = Pepper { id: "a".parse().unwrap(), key: Secret::new(base64url([1; 32])) };
        assert_eq!(space.verify(&password(text), peppered.expose(), &Peppers::new(&[renamed])), Match::No);
    }

    #[test]
    fn keyed_argon2id_is_that_of_rfc_9106() {
        // RFC 9106 section 5.3, without its associated data: computed with the reference implementation (argon2-cffi-bindings
        // 26.2.0, `argon2_ctx`).
        let hash = Argon2Hash {
            memory_kib: 32,
            passes: 3,
            lanes: 4,
            digest: Secret::new(vec![0; 32]),
            ..blank(vec![2; 16])
        };
        let found = Workspace::default().argon2(&hash, &[1; 32], Some(&[3; 8])).bytes.to_vec();
        assert_eq!(base64url(found), "ADTePIp178EUgQDq9bqbHObVC6XN9q5AGMVKT8A6wQ0");
    }

    #[test]
    fn large_hash_returns_its_memory() {
        let mut space = Workspace::default();
        let large = "$argon2d$v=19$m=65536,t=1,p=4$c29tZXNhbHQ$";
        assert_eq!(verify(&mut space, "x", &format!("{large}{}", "Q".repeat(43))), Match::No);
        assert_eq!(space.blocks.len(), current_blocks());
        assert!(space.blocks.capacity() < 2 * current_blocks());
        let whole = crate::password::stored::MAX_MEMORY;
        drop(space.budget.take(whole));
    }
}
