//! Known devices: a browser that has signed in to an account keeps a way in while strangers try that account (OWASP, "Slow
//! down online guessing attacks with device cookies").
//!
//! It carries a mark for each of the accounts it has signed in to: the user's id, their epoch and a number of its own, signed
//! together with the login name. A mark opens nothing; it only moves the attempts of this browser on this account into a
//! bucket of their own, which strangers cannot fill. A change of the password ends every mark by the epoch.

use std::time::Duration;

use crate::auth::Auth;
use crate::id::{UserId, base64url, from_base64url};
use crate::identity::{Epoch, Login};

/// What is signed.
const WHAT: &str = "known device";

/// How long a browser is known after its last sign-in. Browsers keep no cookie for longer (RFC 6265bis section 5.5).
pub(crate) const KNOWN_FOR: Duration = Duration::from_hours(400 * 24);

/// Accounts that one browser is known for: a household. The cookie has 66 bytes for each.
const ACCOUNTS: usize = 4;

/// Marks looked at in one request: those of a cookie, and of one that was planted beside it.
const LOOKED_AT: usize = 4 * ACCOUNTS;

/// Between the marks of a cookie.
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

/// What is signed for whom: the login name is not in the mark.
fn whom(device: &Device, login: &Login) -> Vec<u8> {
    [&device.bytes()[..], login.as_str().as_bytes()].concat()
}

fn marks(cookies: &[String]) -> impl Iterator<Item = &str> {
    cookies.iter().flat_map(|cookie| cookie.split(SEPARATOR)).take(LOOKED_AT)
}

impl Auth {
    /// The cookie of a browser that has just signed in, or changed the password: with the marks of other accounts that
    /// `cookies` had.
    pub(crate) fn mark_device(
        &self,
        login: &Login,
        user: UserId,
        epoch: Epoch,
        cookies: &[String],
    ) -> String {
        let device = Device { user, epoch, number: self.parts.random.bytes() };
        let stamp = self.stamps.make(WHAT, &whom(&device, login), self.vault_now(), KNOWN_FOR);
        let mut cookie = format!("{}.{stamp}", base64url(device.bytes()));
        let is_other = |mark: &&str| {
            let read = mark.split_once('.').and_then(|(device, _)| Device::read(device));
            read.is_some_and(|device| device.user != user)
        };
        for mark in marks(cookies).filter(is_other).take(ACCOUNTS - 1) {
            cookie.push(SEPARATOR);
            cookie.push_str(mark);
        }
        cookie
    }

    /// The mark for this account among a browser's cookies, if it has a good one.
    pub(crate) fn known_device(&self, login: &Login, cookies: &[String]) -> Option<Device> {
        marks(cookies).find_map(|mark| {
            let (device, stamp) = mark.split_once('.')?;
            let device = Device::read(device)?;
            let is_ours = self.stamps.is_good(stamp, WHAT, &whom(&device, login), self.vault_now());
            is_ours.then_some(device)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_is_read_as_it_was_written() {
        let device = Device { user: UserId::from_bytes([7; 16]), epoch: Epoch(258), number: [9; 8] };
        let text = base64url(device.bytes());
        assert_eq!((text.len(), Device::read(&text)), (38, Some(device)));
        for bad in ["", "x", &text[1..], &format!("{text}AA")] {
            assert_eq!(Device::read(bad), None, "{bad}");
        }
    }

    #[test]
    fn of_many_marks_only_so_many_are_looked_at() {
        let cookies = vec!["a~".repeat(1000), "b".to_owned()];
        assert_eq!(marks(&cookies).count(), LOOKED_AT);
    }
}
