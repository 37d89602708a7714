//! Notations of other programs: Django, passlib, Authelia, htpasswd.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::stored::{BadHash, Hmac, Pbkdf2Hash, ScryptHash, StoredHash, base64, number};
use crate::secret::Secret;

/// Hashes that are refused, by their first characters.
const REFUSED: [(&str, BadHash); 15] = [
    ("$apr1$", BadHash::Weak("apr1 (MD5)")),
    ("$1$", BadHash::Weak("MD5-crypt")),
    ("$2x$", BadHash::Weak("bcrypt 2x")),
    ("$2$", BadHash::Weak("bcrypt 2")),
    ("$3$", BadHash::Weak("NTLM")),
    ("{SHA}", BadHash::Weak("unsalted SHA-1")),
    ("{SSHA}", BadHash::Weak("SHA-1")),
    ("{MD5}", BadHash::Weak("MD5")),
    ("{PLAIN}", BadHash::Weak("plain")),
    ("sha1$", BadHash::Weak("SHA-1")),
    ("md5$", BadHash::Weak("MD5")),
    ("$5$", BadHash::Unsupported("SHA-256-crypt")),
    ("$6$", BadHash::Unsupported("SHA-512-crypt")),
    ("$y$", BadHash::Unsupported("yescrypt")),
    ("$7$", BadHash::Unsupported("scrypt-crypt")),
];

const PBKDF2: &str = "PBKDF2";
const SCRYPT: &str = "scrypt";

/// Reads the hash of another program. `None`: the user has no password; the text is empty, or starts with `!` or `*`.
///
/// # Errors
/// [`BadHash`], with what to do.
pub fn read_hash(text: &str) -> Result<Option<StoredHash>, BadHash> {
    let text = text.strip_prefix("{CRYPT}").unwrap_or(text);
    if text.is_empty() || text.starts_with(['!', '*']) {
        return Ok(None);
    }
    if let Some((_, refused)) = REFUSED.iter().find(|(start, _)| text.starts_with(start)) {
        return Err(refused.clone());
    }
    let is_des = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'.' || byte == b'/';
    if text.len() == 13 && text.bytes().all(is_des) {
        return Err(BadHash::Weak("DES-crypt"));
    }
    if matches!(text.len(), 32 | 40 | 64 | 128) && text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(BadHash::Weak("unsalted hexadecimal"));
    }
    let hash = if let Some(rest) = text.strip_prefix("argon2$") {
        StoredHash::parse(&format!("${rest}"))
    } else if let Some(rest) = text.strip_prefix("bcrypt$") {
        StoredHash::parse(rest)
    } else if let Some(rest) = text.strip_prefix("pbkdf2_") {
        django_pbkdf2(rest)
    } else if let Some(rest) = text.strip_prefix("scrypt$") {
        django_scrypt(rest)
    } else if let Some(hash) = text.strip_prefix("$pbkdf2").and_then(passlib_pbkdf2) {
        hash
    } else {
        StoredHash::parse(text)
    }?;
    Ok((!hash.is_no_password()).then_some(hash))
}

/// `sha256$iterations$salt$base64`: the salt is text.
fn django_pbkdf2(text: &str) -> Result<StoredHash, BadHash> {
    let damaged = |what| BadHash::Damaged(PBKDF2, what);
    let parts: Vec<&str> = text.split('$').collect();
    let [name, iterations, salt, digest] = parts[..] else {
        return Err(damaged("it is not algorithm, iterations, salt and digest"));
    };
    let hash = Pbkdf2Hash {
        hmac: Hmac::named(name).ok_or(BadHash::Unsupported("this kind of PBKDF2"))?,
        iterations: number(iterations).ok_or(damaged("its iterations are no number"))?,
        salt: salt.as_bytes().to_vec(),
        digest: Secret::new(STANDARD.decode(digest).map_err(|_| damaged("its digest is no base64"))?),
    };
    hash.checked().map(StoredHash::Pbkdf2)
}

/// `N$salt$r$p$base64`: the salt is text.
fn django_scrypt(text: &str) -> Result<StoredHash, BadHash> {
    let damaged = |what| BadHash::Damaged(SCRYPT, what);
    let parts: Vec<&str> = text.split('$').collect();
    let [n, salt, r, p, digest] = parts[..] else {
        return Err(damaged("it is not N, salt, r, p and digest"));
    };
    let (Some(n), Some(r), Some(p)) = (number(n), number(r), number(p)) else {
        return Err(damaged("its parameters are no numbers"));
    };
    if !n.is_power_of_two() {
        return Err(damaged("its N is no power of two"));
    }
    let hash = ScryptHash {
        log_n: u8::try_from(n.trailing_zeros()).unwrap_or(u8::MAX),
        r,
        p,
        salt: salt.as_bytes().to_vec(),
        digest: Secret::new(STANDARD.decode(digest).map_err(|_| damaged("its digest is no base64"))?),
    };
    hash.checked().map(StoredHash::Scrypt)
}

/// `$iterations$salt$digest` after `$pbkdf2`, or `-sha256$…`: base64 with `.` in place of `+`. `None` in the notation of PHC, which
/// names its parameters.
fn passlib_pbkdf2(text: &str) -> Option<Result<StoredHash, BadHash>> {
    let (name, rest) = text.split_once('$')?;
    let name = if name.is_empty() { "sha1" } else { name.strip_prefix('-')? };
    if !rest.starts_with(|first: char| first.is_ascii_digit()) {
        return None;
    }
    let damaged = |what| BadHash::Damaged(PBKDF2, what);
    let read = || {
        let parts: Vec<&str> = rest.split('$').collect();
        let [iterations, salt, digest] = parts[..] else {
            return Err(damaged("it is not iterations, salt and digest"));
        };
        let decode = |text: &str| base64(&text.replace('.', "+"));
        let hash = Pbkdf2Hash {
            hmac: Hmac::named(name).ok_or(BadHash::Unsupported("this kind of PBKDF2"))?,
            iterations: number(iterations).ok_or(damaged("its iterations are no number"))?,
            salt: decode(salt).ok_or(damaged("its salt is no base64"))?,
            digest: Secret::new(decode(digest).ok_or(damaged("its digest is no base64"))?),
        };
        hash.checked().map(StoredHash::Pbkdf2)
    };
    Some(read())
}

#[cfg(test)]
mod tests;
