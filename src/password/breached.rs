//! Look-ups of new passwords in a collection of leaked ones, by the range API of Have I Been Pwned.
//!
//! The first five hexadecimal digits of the password's SHA-1 are sent; the response lists the other 35 of all leaked passwords that
//! share them (k-anonymity: about a thousand). Neither the password nor its hash leaves the gateway.

use std::fmt;
use std::time::Duration;

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};

use super::Password;
use crate::config;
use crate::metrics::Purpose;
use crate::outbound::{Client, Outbound, OutboundError, Request};

/// Number of hexadecimal digits that are sent.
const SENT: usize = 5;

/// Number of the other digits of a SHA-1.
const REST: usize = 35;

/// Maximum size of a response. A padded one has some 40 KiB, and collections grow.
const MAX_BODY: usize = 512 << 10;

/// A collection of leaked passwords.
pub struct BreachedPasswords {
    client: Client,
    url: String,
    timeout: Duration,
}

impl BreachedPasswords {
    /// Prepares look-ups; sends nothing.
    ///
    /// # Errors
    /// The CA file cannot be used.
    pub fn new(settings: &config::BreachedPasswords, outbound: &Outbound) -> Result<Self, OutboundError> {
        let client = outbound.client(settings.authorities.as_ref(), [settings.host()])?;
        Ok(Self { client, url: settings.url.clone(), timeout: settings.timeout })
    }

    /// Returns whether the collection has the password. Takes no longer than the configured time.
    ///
    /// # Errors
    /// The server cannot be reached, is slow, refuses, or sends something else than a list.
    pub async fn contains(&self, password: &Password) -> Result<bool, OutboundError> {
        let hash: String = digest(&SHA1_FOR_LEGACY_USE_ONLY, password.bytes())
            .as_ref()
            .iter()
            .map(|byte| format!("{byte:02X}"))
            .collect();
        let (sent, rest) = hash.split_at(SENT);
        let request = Request::get(Purpose::BreachedPasswords, &format!("{}{sent}", self.url))
            .accept("text/plain")
            // Responses then have about the same size, whatever the digits are.
            .field("add-padding", "true")
            .timeout(self.timeout)
            .max_body(MAX_BODY);
        let response = self.client.send(request).await?.success()?;
        is_listed(response.body(), rest)
    }
}

/// Returns whether a list of `<35 hexadecimal digits>:<count>` has these digits. Lines with the count 0 are padding.
fn is_listed(list: &[u8], rest: &str) -> Result<bool, OutboundError> {
    let malformed = || OutboundError::Malformed("not a list of hashes".to_owned());
    let mut found = false;
    for line in list.split(|&byte| byte == b'\n') {
        let line = line.trim_ascii();
        if line.is_empty() {
            continue;
        }
        let (digits, count) = line.split_at_checked(REST).ok_or_else(malformed)?;
        let count = count.strip_prefix(b":").filter(|count| !count.is_empty()).ok_or_else(malformed)?;
        if !digits.iter().all(u8::is_ascii_hexdigit) || !count.iter().all(u8::is_ascii_digit) {
            return Err(malformed());
        }
        found |= digits.eq_ignore_ascii_case(rest.as_bytes()) && count.iter().any(|&digit| digit != b'0');
    }
    Ok(found)
}

impl fmt::Debug for BreachedPasswords {
    /// Shows no URL: it may have a key in it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BreachedPasswords")
    }
}

#[cfg(test)]
mod tests;
