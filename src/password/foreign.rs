//! Digests of the algorithms of other programs.

use std::num::NonZeroU32;

use aws_lc_rs::{digest, hmac, pbkdf2};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use super::budget::Budget;
use super::stored::{BcryptHash, BcryptInput, Hmac, Pbkdf2Hash, ScryptHash};

/// Maximum length of a password that bcrypt hashes whole.
const BCRYPT_BYTES: usize = 72;

/// A digest, and whether it stands for the whole password.
pub(super) struct Digest {
    pub(super) bytes: Zeroizing<Vec<u8>>,
    /// False if bcrypt would ignore a part of the password: then it must match nothing.
    pub(super) is_whole: bool,
}

impl Digest {
    fn whole(bytes: Vec<u8>) -> Self {
        Self { bytes: Zeroizing::new(bytes), is_whole: true }
    }
}

impl BcryptHash {
    /// Hashes a password. One that bcrypt cannot hash whole costs the same.
    pub(super) fn digest(&self, password: &[u8]) -> Digest {
        let text = match self.input {
            BcryptInput::Password => Zeroizing::new(password.to_vec()),
            BcryptInput::HexSha256 => {
                let hex =
                    |byte: &u8| [byte >> 4, byte & 15].map(|four| b"0123456789abcdef"[usize::from(four)]);
                let sha256 = digest::digest(&digest::SHA256, password);
                Zeroizing::new(sha256.as_ref().iter().flat_map(hex).collect())
            }
            BcryptInput::HmacSha256 => {
                let key = hmac::Key::new(hmac::HMAC_SHA256, self.salt_text().as_bytes());
                Zeroizing::new(STANDARD.encode(hmac::sign(&key, password)).into_bytes())
            }
        };
        // bcrypt ends the password with a zero byte and repeats it up to 72 bytes, so "a\0a" would be the same as "a". From 72
        // bytes on there is no zero byte.
        let is_whole = text.len() <= BCRYPT_BYTES && !text.contains(&0);
        let mut key = Zeroizing::new([0; BCRYPT_BYTES]);
        let length = text.len().min(BCRYPT_BYTES);
        key[..length].copy_from_slice(&text[..length]);
        let end = (length + 1).min(BCRYPT_BYTES);
        let bytes = bcrypt::bcrypt(self.cost, self.salt, &key[..end]);
        // The texts of bcrypt leave out the last byte.
        Digest { bytes: Zeroizing::new(bytes[..23].to_vec()), is_whole }
    }
}

impl ScryptHash {
    /// Hashes a password, with memory of the budget.
    pub(super) fn digest(&self, password: &[u8], budget: &Budget) -> Digest {
        let _share = budget.take(self.memory());
        let params = scrypt::Params::new(self.log_n, self.r, self.p).expect("checked when it was read");
        let mut out = vec![0; self.digest.expose().len()];
        scrypt::scrypt(password, &self.salt, &params, &mut out).expect("a digest has 16 to 64 bytes");
        Digest::whole(out)
    }
}

impl Pbkdf2Hash {
    /// Hashes a password.
    pub(super) fn digest(&self, password: &[u8]) -> Digest {
        let algorithm = match self.hmac {
            Hmac::Sha1 => pbkdf2::PBKDF2_HMAC_SHA1,
            Hmac::Sha256 => pbkdf2::PBKDF2_HMAC_SHA256,
            Hmac::Sha384 => pbkdf2::PBKDF2_HMAC_SHA384,
            Hmac::Sha512 => pbkdf2::PBKDF2_HMAC_SHA512,
        };
        let iterations = NonZeroU32::new(self.iterations).unwrap_or(NonZeroU32::MIN);
        let mut out = vec![0; self.digest.expose().len()];
        pbkdf2::derive(algorithm, iterations, &self.salt, password, &mut out);
        Digest::whole(out)
    }
}
