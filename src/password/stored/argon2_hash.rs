//! Text and limits of argon2.

use ::argon2::{Algorithm, Version};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;

use super::common::{
    BadHash, MAX_LANES, MAX_MEMORY, MAX_TRAFFIC, base64, check_lengths, fields, number, tail,
};
use crate::config::PepperId;
use crate::secret::Secret;

const ARGON2: &str = "argon2";

/// Associated data of a hash that no password made. It marks users without a password, and costs as much to compare.
const NO_PASSWORD: &[u8] = b"none";

/// Parameters, salt and digest of argon2.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Argon2Hash {
    pub(in crate::password) algorithm: Algorithm,
    pub(in crate::password) version: Version,
    pub(in crate::password) memory_kib: u32,
    pub(in crate::password) passes: u32,
    pub(in crate::password) lanes: u32,
    pub(in crate::password) pepper: Option<PepperId>,
    pub(in crate::password) is_no_password: bool,
    pub(in crate::password) salt: Vec<u8>,
    pub(in crate::password) digest: Secret<Vec<u8>>,
}

impl Argon2Hash {
    /// Checks the limits.
    pub(in crate::password) fn checked(self) -> Result<Self, BadHash> {
        let Self { memory_kib, passes, lanes, .. } = self;
        check_lengths(ARGON2, &self.salt, self.digest.expose())?;
        if passes == 0 || lanes == 0 || memory_kib < 8 * lanes.min(MAX_LANES) {
            return Err(BadHash::Damaged(ARGON2, "m must be at least 8 times p, and t at least 1"));
        }
        let memory = u64::from(memory_kib) << 10;
        if memory > MAX_MEMORY || memory * u64::from(passes) > MAX_TRAFFIC || lanes > MAX_LANES {
            return Err(BadHash::TooCostly(
                ARGON2,
                "m=262144 (256 MiB), m times t = 1048576 (1 GiB) and p=16",
            ));
        }
        Ok(self)
    }

    /// `[v=19$]m=…,t=…,p=…[,keyid=…][,data=…]$salt$digest`
    pub(super) fn parse(algorithm: Algorithm, rest: &str) -> Result<Self, BadHash> {
        let damaged = |what| BadHash::Damaged(ARGON2, what);
        let (version, rest) = match rest.strip_prefix("v=").and_then(|rest| rest.split_once('$')) {
            Some(("19", rest)) => (Version::V0x13, rest),
            Some(("16", rest)) => (Version::V0x10, rest),
            Some(_) => return Err(damaged("its version is neither 16 nor 19")),
            // Version 1.0 had no version in its text.
            None => (Version::V0x10, rest),
        };
        let (parameters, salt, digest) = fields(rest).ok_or(damaged("it has no salt and digest"))?;
        let mut hash = Self {
            algorithm,
            version,
            memory_kib: 0,
            passes: 0,
            lanes: 0,
            pepper: None,
            is_no_password: false,
            salt: base64(salt).ok_or(damaged("its salt is no base64"))?,
            digest: Secret::new(base64(digest).ok_or(damaged("its digest is no base64"))?),
        };
        for parameter in parameters.split(',') {
            let (name, value) = parameter.split_once('=').ok_or(damaged("a parameter has no value"))?;
            let number = || number(value).ok_or(damaged("a parameter is no number"));
            match name {
                "m" => hash.memory_kib = number()?,
                "t" => hash.passes = number()?,
                "p" => hash.lanes = number()?,
                "keyid" => {
                    let id = base64(value).and_then(|id| String::from_utf8(id).ok()?.parse().ok());
                    hash.pepper = Some(id.ok_or(damaged("its keyid is no name of a pepper"))?);
                }
                "data" if base64(value).as_deref() == Some(NO_PASSWORD) => hash.is_no_password = true,
                _ => return Err(damaged("it has an unknown parameter")),
            }
        }
        // Earlier builds marked users without a password by a digest of zeros alone, and builds of both kinds may run at once.
        hash.is_no_password |= hash.digest.expose().iter().all(|byte| *byte == 0);
        hash.checked()
    }

    pub(super) fn text(&self) -> String {
        let Self { algorithm, version, memory_kib, passes, lanes, pepper, is_no_password, salt, digest } =
            self;
        let keyid = pepper.as_ref().map(|id| format!(",keyid={}", STANDARD_NO_PAD.encode(id.as_str())));
        let data = is_no_password.then(|| format!(",data={}", STANDARD_NO_PAD.encode(NO_PASSWORD)));
        format!(
            "${}$v={}$m={memory_kib},t={passes},p={lanes}{}{}${}",
            algorithm.as_str(),
            u32::from(*version),
            keyid.unwrap_or_default(),
            data.unwrap_or_default(),
            tail(salt, digest)
        )
    }
}
