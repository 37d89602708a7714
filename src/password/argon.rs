//! argon2id, reusing the memory of one hash for the next.

use argon2::password_hash::phc::PasswordHash;
use argon2::{Algorithm, Argon2, Block, Params, Version};
use aws_lc_rs::constant_time;
use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;

use super::Password;
use crate::id::Random;

/// Parameters of the OWASP password storage cheat sheet: m = 19 MiB, t = 2, p = 1. Lower is cheaper to attack; higher
/// starves concurrent requests.
const MEMORY_KIB: u32 = 19_456;
const PASSES: u32 = 2;
const LANES: u32 = 1;
const OUTPUT: usize = 32;

/// Memory reused by one hash after the other: fresh pages cost more than the hash (measured 67 against 22 ms for 46
/// MiB).
#[derive(Default)]
pub(super) struct Workspace(Vec<Block>);

/// Result of comparing a password with a stored hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Match {
    No,
    /// Correct, and hashed with the current parameters.
    Yes,
    /// Correct, and hashed with other parameters.
    Outdated,
}

impl Workspace {
    /// Returns a PHC string with the current parameters.
    pub(super) fn hash(&mut self, password: &Password, salt: &[u8; 16]) -> String {
        let mut out = [0; OUTPUT];
        self.fill(password, salt, current_params(), &mut out);
        encode(salt, &out)
    }

    /// Compares with a PHC string, under its parameters. A string that is not argon2id matches nothing.
    pub(super) fn verify(&mut self, password: &Password, stored: &str) -> Match {
        let Ok(phc) = PasswordHash::new(stored) else { return Match::No };
        let (Ok(params), Some(salt), Some(hash)) =
            (Params::try_from(&phc), phc.salt.as_ref(), phc.hash.as_ref())
        else {
            return Match::No;
        };
        if phc.algorithm.as_str() != "argon2id" || phc.version != Some(19) {
            return Match::No;
        }
        let mut out = vec![0; hash.as_bytes().len()];
        let current = (params.m_cost(), params.t_cost(), params.p_cost(), out.len())
            == (MEMORY_KIB, PASSES, LANES, OUTPUT);
        self.fill(password, salt, params, &mut out);
        match constant_time::verify_slices_are_equal(&out, hash.as_bytes()) {
            Err(_) => Match::No,
            Ok(()) if current => Match::Yes,
            Ok(()) => Match::Outdated,
        }
    }

    fn fill(&mut self, password: &Password, salt: &[u8], params: Params, out: &mut [u8]) {
        let blocks = params.block_count();
        if self.0.len() < blocks {
            self.0.resize(blocks, Block::default());
        }
        // The workspace may be larger than needed: exactly the required blocks are used.
        Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
            .hash_password_into_with_memory(password.bytes(), salt, out, &mut self.0[..blocks])
            .expect("lengths are within argon2's limits: 1 KiB of password, a parsed salt, a parsed output");
    }
}

/// Returns a PHC string that no password matches, with the current parameters. Its hash is all zeros, which tells it from others.
pub(super) fn unusable(random: &dyn Random) -> String {
    encode(&random.bytes(), &[0; OUTPUT])
}

/// Returns whether a PHC string was made by [`unusable`].
pub(super) fn is_unusable(stored: &str) -> bool {
    stored.rsplit_once('$').is_some_and(|(_, hash)| hash == STANDARD_NO_PAD.encode([0; OUTPUT]))
}

/// Returns a random PHC string with the current parameters. No password matches it except by chance. Comparing with it
/// costs as much as with a real hash.
pub(super) fn decoy(random: &dyn Random) -> String {
    encode(&random.bytes(), &random.bytes())
}

fn encode(salt: &[u8; 16], out: &[u8; OUTPUT]) -> String {
    let (salt, out) = (STANDARD_NO_PAD.encode(salt), STANDARD_NO_PAD.encode(out));
    format!("$argon2id$v=19$m={MEMORY_KIB},t={PASSES},p={LANES}${salt}${out}")
}

fn current_params() -> Params {
    Params::new(MEMORY_KIB, PASSES, LANES, Some(OUTPUT)).expect("OWASP's parameters are valid")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_password_is_hashed() {
        let mut space = Workspace::default();
        let long = "correct horse battery staple ".repeat(20);
        let stored = space.hash(&Password::new(&long).unwrap(), &[7; 16]);
        assert!(stored.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"));
        assert_eq!(space.verify(&Password::new(&long).unwrap(), &stored), Match::Yes);
        for wrong in [&long[..long.len() - 1], &format!("{long} "), &long[..72], &format!("{long}\0")] {
            assert_eq!(space.verify(&Password::new(wrong).unwrap(), &stored), Match::No);
        }
    }

    #[test]
    fn unusable_hash_is_told_from_others_and_costs_as_much() {
        let random = &crate::id::SystemRandom;
        let unusable = unusable(random);
        let mut space = Workspace::default();
        let password = Password::new("correct horse battery staple").unwrap();
        assert!(is_unusable(&unusable) && space.verify(&password, &unusable) == Match::No);
        assert!(
            !is_unusable(&decoy(random))
                && !is_unusable(&space.hash(&password, &[7; 16]))
                && !is_unusable("")
        );
        let cost = |phc: &str| phc.split('$').take(4).map(str::to_owned).collect::<Vec<_>>();
        assert_eq!((cost(&unusable), unusable.len()), (cost(&decoy(random)), decoy(random).len()));
    }

    #[test]
    fn decoy_has_the_current_parameters() {
        let decoy = decoy(&crate::id::SystemRandom);
        let phc = PasswordHash::new(&decoy).unwrap();
        let (params, current_params) = (Params::try_from(&phc).unwrap(), current_params());
        assert_eq!(
            (params.m_cost(), params.t_cost(), params.p_cost(), phc.hash.unwrap().as_bytes().len()),
            (current_params.m_cost(), current_params.t_cost(), current_params.p_cost(), OUTPUT)
        );
        let mut space = Workspace::default();
        let real = space.hash(&Password::new("correct horse battery").unwrap(), &[7; 16]);
        let parameters = |text: &str| text.rsplitn(3, '$').last().unwrap().to_owned();
        assert_eq!(parameters(&decoy), parameters(&real), "the same work, whatever the constants are");
        assert_eq!(space.verify(&Password::new("correct horse battery").unwrap(), &decoy), Match::No);
    }

    #[test]
    fn outdated_parameters_verify_and_request_a_new_hash() {
        let mut space = Workspace::default();
        let params = Params::new(1024, 3, 1, Some(32)).unwrap();
        let mut out = [0; 32];
        let password = Password::new("a password from long ago").unwrap();
        space.fill(&password, b"somesalt", params, &mut out);
        let stored = format!(
            "$argon2id$v=19$m=1024,t=3,p=1${}${}",
            STANDARD_NO_PAD.encode(b"somesalt"),
            STANDARD_NO_PAD.encode(out)
        );
        assert_eq!(space.verify(&password, &stored), Match::Outdated);
        assert_eq!(space.verify(&password, "$2b$12$not.argon2"), Match::No);
        assert_eq!(space.verify(&password, ""), Match::No);
    }
}
