//! Text and limits of bcrypt.

use std::ops::RangeInclusive;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};

use super::common::{BadHash, fields, number};
use crate::secret::Secret;

const BCRYPT: &str = "bcrypt";

/// Costs: 4 is the minimum of the algorithm; 14 takes a second of a core, and each more doubles it.
const BCRYPT_COSTS: RangeInclusive<u32> = 4..=14;

/// Alphabet of bcrypt. Other programs leave bits behind the last character.
const BCRYPT_BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::BCRYPT,
    GeneralPurposeConfig::new()
        .with_encode_padding(false)
        .with_decode_padding_mode(DecodePaddingMode::RequireNone)
        .with_decode_allow_trailing_bits(true),
);

/// Parameters, salt and digest of bcrypt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BcryptHash {
    /// `a`, `b` or `y`: the three mean the same for passwords of at most 72 bytes.
    pub(in crate::password) version: char,
    pub(in crate::password) cost: u32,
    pub(in crate::password) input: BcryptInput,
    pub(in crate::password) salt: [u8; 16],
    pub(in crate::password) digest: Secret<Vec<u8>>,
}

/// Text that bcrypt hashes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::password) enum BcryptInput {
    /// The password itself: at most 72 bytes.
    Password,
    /// Its SHA-256 in hexadecimal digits.
    HexSha256,
    /// Its HMAC-SHA-256 in base64; the key is the salt as text.
    HmacSha256,
}

impl BcryptHash {
    /// `$2b$12$` with 22 characters of salt and 31 of digest.
    pub(in crate::password) fn parse(text: &str, input: BcryptInput) -> Result<Self, BadHash> {
        let damaged = |what| BadHash::Damaged(BCRYPT, what);
        let mut parts = text.split('$');
        let (Some(""), Some(version), Some(cost), Some(tail), None) =
            (parts.next(), parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(damaged("it is not $2b$, cost, $ and 53 characters"));
        };
        let version = match version {
            "2a" => 'a',
            "2b" => 'b',
            "2y" => 'y',
            // 2x: the hashes of a faulty crypt_blowfish, for which several passwords match.
            "2x" => return Err(BadHash::Weak("bcrypt 2x")),
            _ => return Err(damaged("its version is not 2a, 2b or 2y")),
        };
        let Some((salt, digest)) = tail.split_at_checked(22) else {
            return Err(damaged("it is cut off"));
        };
        let cost = (cost.len() == 2).then(|| number(cost)).flatten();
        Self::new(version, cost.ok_or(damaged("its cost is not two digits"))?, input, salt, digest)
    }

    /// `v=2,t=2b,r=12$salt$digest`
    pub(super) fn parse_hmac(rest: &str) -> Result<Self, BadHash> {
        let damaged = |what| BadHash::Damaged(BCRYPT, what);
        let (parameters, salt, digest) = fields(rest).ok_or(damaged("it has no salt and digest"))?;
        let parameters = parameters.strip_prefix("v=2,t=2").and_then(|rest| rest.split_once(",r="));
        let (version, cost) = parameters.ok_or(BadHash::Unsupported("bcrypt-sha256 of version 1"))?;
        let version = match version {
            "a" => 'a',
            "b" => 'b',
            "y" => 'y',
            _ => return Err(damaged("its type is not 2a, 2b or 2y")),
        };
        let cost = number(cost).ok_or(damaged("its cost is no number"))?;
        Self::new(version, cost, BcryptInput::HmacSha256, salt, digest)
    }

    pub(in crate::password) fn new(
        version: char,
        cost: u32,
        input: BcryptInput,
        salt: &str,
        digest: &str,
    ) -> Result<Self, BadHash> {
        let damaged = |what| BadHash::Damaged(BCRYPT, what);
        let salt = BCRYPT_BASE64.decode(salt).ok().and_then(|salt| salt.try_into().ok());
        let digest = BCRYPT_BASE64.decode(digest).ok().filter(|digest| digest.len() == 23);
        if cost > *BCRYPT_COSTS.end() {
            return Err(BadHash::TooCostly(BCRYPT, "a cost of 14"));
        }
        if !BCRYPT_COSTS.contains(&cost) {
            return Err(damaged("its cost is below 4"));
        }
        Ok(Self {
            version,
            cost,
            input,
            salt: salt.ok_or(damaged("its salt is not 22 characters of base64"))?,
            digest: Secret::new(digest.ok_or(damaged("its digest is not 31 characters of base64"))?),
        })
    }

    /// Returns the salt in the alphabet of bcrypt.
    pub(in crate::password) fn salt_text(&self) -> String {
        BCRYPT_BASE64.encode(self.salt)
    }

    pub(super) fn text(&self) -> String {
        let Self { version, cost, input, digest, .. } = self;
        let (salt, digest) = (self.salt_text(), BCRYPT_BASE64.encode(digest.expose()));
        match input {
            BcryptInput::Password => format!("$2{version}${cost:02}${salt}{digest}"),
            BcryptInput::HexSha256 => format!("bcrypt_sha256$$2{version}${cost:02}${salt}{digest}"),
            BcryptInput::HmacSha256 => format!("$bcrypt-sha256$v=2,t=2{version},r={cost}${salt}${digest}"),
        }
    }
}
