//! Text and limits of scrypt.

use super::common::{
    BadHash, MAX_LANES, MAX_MEMORY, MAX_TRAFFIC, base64, check_lengths, fields, number, tail,
};
use crate::secret::Secret;

const SCRYPT: &str = "scrypt";

/// Maximum block size.
const MAX_R: u32 = 32;

/// Parameters, salt and digest of scrypt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScryptHash {
    pub(in crate::password) log_n: u8,
    pub(in crate::password) r: u32,
    pub(in crate::password) p: u32,
    pub(in crate::password) salt: Vec<u8>,
    pub(in crate::password) digest: Secret<Vec<u8>>,
}

impl ScryptHash {
    /// Checks the limits.
    pub(in crate::password) fn checked(self) -> Result<Self, BadHash> {
        let Self { log_n, r, p, .. } = self;
        check_lengths(SCRYPT, &self.salt, self.digest.expose())?;
        if log_n == 0 || r == 0 || p == 0 {
            return Err(BadHash::Damaged(SCRYPT, "ln, r and p must be at least 1"));
        }
        let too_costly = BadHash::TooCostly(SCRYPT, "128·N·r = 256 MiB, 128·N·r·p = 1 GiB, r=32 and p=16");
        if log_n > 30 || r > MAX_R || p > MAX_LANES {
            return Err(too_costly);
        }
        if self.memory() > MAX_MEMORY || self.memory() * u64::from(p) > MAX_TRAFFIC {
            return Err(too_costly);
        }
        if scrypt::Params::new(log_n, r, p).is_err() {
            return Err(BadHash::Damaged(SCRYPT, "its parameters do not fit together"));
        }
        Ok(self)
    }

    /// Memory of the computation in bytes.
    pub(in crate::password) const fn memory(&self) -> u64 {
        (128 * self.r as u64) << self.log_n
    }

    /// `ln=…,r=…,p=…$salt$digest`
    pub(in crate::password) fn text(&self) -> String {
        let Self { log_n, r, p, salt, digest } = self;
        format!("$scrypt$ln={log_n},r={r},p={p}${}", tail(salt, digest))
    }

    pub(super) fn parse(rest: &str) -> Result<Self, BadHash> {
        let damaged = |what| BadHash::Damaged(SCRYPT, what);
        let (parameters, salt, digest) = fields(rest).ok_or(damaged("it has no salt and digest"))?;
        let mut parameters = parameters.split(',');
        let mut next = |name| number(parameters.next()?.strip_prefix(name)?);
        let (Some(log_n), Some(r), Some(p)) = (next("ln="), next("r="), next("p=")) else {
            return Err(damaged("its parameters are not ln, r and p"));
        };
        Self {
            log_n: u8::try_from(log_n).unwrap_or(u8::MAX),
            r,
            p,
            salt: base64(salt).ok_or(damaged("its salt is no base64"))?,
            digest: Secret::new(base64(digest).ok_or(damaged("its digest is no base64"))?),
        }
        .checked()
    }
}
