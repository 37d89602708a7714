//! Known devices: a browser that has signed in to an account can still sign in while other clients guess that account's
//! password (OWASP, "Slow down online guessing attacks with device cookies").
//!
//! The device cookie carries a mark for each account that has signed in at the browser: the user's id, their epoch and
//! a random number, signed together with the login name. A mark grants no access. It only moves the browser's login
//! attempts on this account into a separate bucket, which other clients cannot fill. A password change invalidates
//! every mark by the epoch.

use std::time::Duration;

use crate::auth::Auth;
use crate::id::{UserId, base64url, from_base64url};
use crate::identity::{Epoch, Login};

/// Purpose of the signature.
const PURPOSE: &str = "known device";

/// Lifetime of the device cookie after the last sign-in. Browsers keep no cookie for longer (RFC 6265bis section 5.5).
pub(crate) const DEVICE_LIFE: Duration = Duration::from_hours(400 * 24);

/// Maximum number of accounts in one device cookie: a household. The cookie has 66 bytes for each.
const MAX_ACCOUNTS: usize = 4;

/// Maximum number of marks checked in one request: those of the cookie, and of one planted beside it.
const MAX_MARKS: usize = 4 * MAX_ACCOUNTS;

/// Separator of the marks in a cookie.
const SEPARATOR: char = '~';

/// A browser that has signed in to this account before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Device {
    pub(crate) user: UserId,
    pub(crate) epoch: Epoch,
    pub(crate) number: [u8; 8],
}

impl Device {
    fn bytes(&self) -> [u8; 28] {
        let mut bytes = [0; 28];
        bytes[..16].copy_from_slice(self.user.as_bytes());
        bytes[16..20].copy_from_slice(&self.epoch.0.to_be_bytes());
        bytes[20..].copy_from_slice(&self.number);
        bytes
    }

    fn read(text: &str) -> Option<Self> {
        let bytes = from_base64url(text)?;
        let (user, rest) = bytes.split_first_chunk()?;
        let (epoch, rest) = rest.split_first_chunk()?;
        let number = rest.try_into().ok()?;
        Some(Self { user: UserId::from_bytes(*user), epoch: Epoch(u32::from_be_bytes(*epoch)), number })
    }
}

/// Returns the signed bytes. The login name is signed and not part of the mark.
fn signed_bytes(device: &Device, login: &Login) -> Vec<u8> {
    [&device.bytes()[..], login.as_str().as_bytes()].concat()
}

fn marks(cookies: &[String]) -> impl Iterator<Item = &str> {
    cookies.iter().flat_map(|cookie| cookie.split(SEPARATOR)).take(MAX_MARKS)
}

impl Auth {
    /// Returns the device cookie after a sign-in or a password change. It keeps the marks of other accounts in
    /// `cookies`.
    pub(crate) fn mark_device(
        &self,
        login: &Login,
        user: UserId,
        epoch: Epoch,
        cookies: &[String],
    ) -> String {
        let device = Device { user, epoch, number: self.parts.random.bytes() };
        let signature =
            self.form_tokens.issue(PURPOSE, &signed_bytes(&device, login), self.vault_now(), DEVICE_LIFE);
        let mut cookie = format!("{}.{signature}", base64url(device.bytes()));
        let is_other = |mark: &&str| {
            let read = mark.split_once('.').and_then(|(device, _)| Device::read(device));
            read.is_some_and(|device| device.user != user)
        };
        for mark in marks(cookies).filter(is_other).take(MAX_ACCOUNTS - 1) {
            cookie.push(SEPARATOR);
            cookie.push_str(mark);
        }
        cookie
    }

    /// Returns the valid mark for this account among a browser's device cookies.
    pub(crate) fn known_device(&self, login: &Login, cookies: &[String]) -> Option<Device> {
        marks(cookies).find_map(|mark| {
            let (device, signature) = mark.split_once('.')?;
            let device = Device::read(device)?;
            let is_valid = self.form_tokens.is_valid(
                signature,
                PURPOSE,
                &signed_bytes(&device, login),
                self.vault_now(),
            );
            is_valid.then_some(device)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn device_round_trips_through_text() {
        let device = Device { user: UserId::from_bytes([7; 16]), epoch: Epoch(258), number: [9; 8] };
        let text = base64url(device.bytes());
        assert_eq!((text.len(), Device::read(&text)), (38, Some(device)));
        for bad in ["", "x", &text[1..], &format!("{text}AA")] {
            assert_eq!(Device::read(bad), None, "{bad}");
        }
    }

    #[test]
    fn marks_per_request_are_limited() {
        let cookies = vec!["a~".repeat(1000), "b".to_owned()];
        assert_eq!(marks(&cookies).count(), MAX_MARKS);
    }
}
