//! Text and limits of PBKDF2.

use super::common::{BadHash, base64, check_lengths, fields, number, tail};
use crate::secret::Secret;

const PBKDF2: &str = "PBKDF2";

/// Maximum iterations, times the blocks of the output: three times the default of Django 6.0, some seconds of a core without SHA
/// extensions.
const MAX_ITERATIONS: u32 = 4_000_000;

/// Parameters, salt and digest of PBKDF2.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pbkdf2Hash {
    pub(in crate::password) hmac: Hmac,
    pub(in crate::password) iterations: u32,
    pub(in crate::password) salt: Vec<u8>,
    pub(in crate::password) digest: Secret<Vec<u8>>,
}

/// HMAC of PBKDF2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::password) enum Hmac {
    Sha1,
    Sha256,
    Sha384,
    Sha512,
}

impl Hmac {
    /// Each with its name in texts and the length of its digest in bytes.
    const ALL: [(Self, &'static str, usize); 4] = [
        (Self::Sha1, "sha1", 20),
        (Self::Sha256, "sha256", 32),
        (Self::Sha384, "sha384", 48),
        (Self::Sha512, "sha512", 64),
    ];

    pub(in crate::password) fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(_, known, _)| *known == name).map(|(hmac, _, _)| *hmac)
    }

    fn entry(self) -> (&'static str, usize) {
        Self::ALL
            .iter()
            .find(|(hmac, _, _)| *hmac == self)
            .map_or(("", 1), |(_, name, length)| (name, *length))
    }
}

impl Pbkdf2Hash {
    /// Checks the limits.
    pub(in crate::password) fn checked(self) -> Result<Self, BadHash> {
        check_lengths(PBKDF2, &self.salt, self.digest.expose())?;
        if self.iterations == 0 {
            return Err(BadHash::Damaged(PBKDF2, "it has no iterations"));
        }
        let blocks = self.digest.expose().len().div_ceil(self.hmac.entry().1) as u64;
        if u64::from(self.iterations) * blocks > u64::from(MAX_ITERATIONS) {
            return Err(BadHash::TooCostly(PBKDF2, "4000000 iterations, each block of the output counted"));
        }
        Ok(self)
    }

    pub(in crate::password) fn text(&self) -> String {
        let Self { hmac, iterations, salt, digest } = self;
        let (name, length) = (hmac.entry().0, digest.expose().len());
        format!("$pbkdf2-{name}$i={iterations},l={length}${}", tail(salt, digest))
    }

    /// `i=…,l=…$salt$digest`
    pub(super) fn parse(hmac: Hmac, rest: &str) -> Result<Self, BadHash> {
        let damaged = |what| BadHash::Damaged(PBKDF2, what);
        let (parameters, salt, digest) = fields(rest).ok_or(damaged("it has no salt and digest"))?;
        let mut parameters = parameters.split(',');
        let iterations = parameters.next().and_then(|text| number(text.strip_prefix("i=")?));
        let digest = base64(digest).ok_or(damaged("its digest is no base64"))?;
        match parameters.next().map(|text| text.strip_prefix("l=").and_then(number)) {
            None => {}
            Some(length) if length.is_some_and(|length| length as usize == digest.len()) => {}
            Some(_) => return Err(damaged("its length l is not that of the digest")),
        }
        Self {
            hmac,
            iterations: iterations.ok_or(damaged("its parameter i is no number"))?,
            salt: base64(salt).ok_or(damaged("its salt is no base64"))?,
            digest: Secret::new(digest),
        }
        .checked()
    }
}
