//! Sources of attempts, and the buckets of each.

use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use aws_lc_rs::hmac;

use crate::id::{SessionId, UserId};
use crate::identity::Epoch;
use crate::metrics::ThrottleScope;
use crate::policy::forwarded::network;
use crate::session::attempts::{Attempt, Bucket, BucketKey, Effect, Rule};
use crate::token::seal::MasterSecret;

/// Wait after the burst of a guesser at one account; it doubles with each further failure. Short: people mistype.
const FIRST_WAIT: Duration = Duration::from_secs(6);
/// Longest wait between two guesses of one guesser. With the burst and the doubling, one address has at most 42 of an
/// account's failures in a day by default, so it does not use up those of all addresses.
const LONGEST_WAIT: Duration = Duration::from_hours(1);
/// Time for which each failure makes the count remembered: a name that was typed once needs memory for an hour only.
const MEMORY: Duration = Duration::from_hours(1);
/// Longest such time: a night.
const LONGEST_MEMORY: Duration = Duration::from_hours(12);

/// Failures on one account from all unknown clients together, at once.
const ACCOUNT_BURST: u32 = 50;
/// Time in which one of them leaks away: 50 a day. With the burst that are at most 100 in any 24 hours (NIST SP 800-63B-4
/// section 3.2.2 allows 100 in a row).
const ACCOUNT_LEAK: Duration = Duration::from_secs(24 * 3600 / 50);
/// Ratio of an account's burst from all addresses together to its burst from one.
const ALL_ADDRESSES: u32 = 10;

/// Time in which one failure of an address leaks away: 14,400 a day. One address may stand for a whole office, whose people
/// mistype too.
const ADDRESS_LEAK: Duration = Duration::from_secs(6);
/// The same for responses, of which none is guessed: somebody at the address of a provider must not delay its logouts.
const RESPONSE_LEAK: Duration = Duration::from_secs(1);
/// Ratio of the limit of an IPv6 /48, which may have many customers or one, to that of a /64.
const SITE: u32 = 10;
/// Time in which the failures of all addresses together leak away: ten a second by default. A site with more sign-ins sets a
/// higher limit, and both its burst and its rate grow.
const OVERALL_LEAK: Duration = Duration::from_secs(1000);
/// Ratio of the limit of an address to its limit while all addresses together are over theirs.
const TIGHT: u32 = 10;

/// Maximum number of wrong codes in a row, at one guesser (NIST SP 800-63B-4 section 3.2.2).
pub(super) const MAX_CODES: u32 = 100;
/// Time for which wrong codes are remembered: that of a device cookie.
const CODES_MEMORY: Duration = Duration::from_hours(400 * 24);
/// Wrong codes at once of a known browser or a session.
const CODES_BURST: u32 = 10;
/// Wait after them: that of a code.
const CODES_FIRST_WAIT: Duration = Duration::from_secs(30);

/// Source of an attempt.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Guesser<'a> {
    /// Any client, by address.
    Unknown {
        /// The name that was typed.
        account: &'a str,
        /// The client's address.
        address: IpAddr,
    },
    /// A browser that has signed in to this account before.
    Device {
        /// Id of its account.
        user: UserId,
        /// Number of the device mark.
        number: [u8; 8],
    },
    /// A browser that has signed in to this account before, and asks for a link to set a new password.
    DeviceReset {
        /// Id of its account.
        user: UserId,
        /// Number of the device mark.
        number: [u8; 8],
    },
    /// A signed-in session of the account, which must give the current password to change it.
    Session {
        /// Id of the session.
        id: SessionId,
        /// The name of its account.
        account: &'a str,
        /// The client's address.
        address: IpAddr,
    },
    /// Any client that has proven the first factor and gives a code. A new password begins a new count: whoever guesses
    /// codes knows the old one.
    Codes {
        /// The user.
        user: UserId,
        /// The user's epoch.
        epoch: Epoch,
    },
    /// A browser that has signed in to this account before, and gives a code.
    DeviceCodes {
        /// Id of its account.
        user: UserId,
        /// Number of the device mark.
        number: [u8; 8],
    },
    /// A session that gives a code to prove more.
    SessionCodes {
        /// The user.
        user: UserId,
        /// Id of the session.
        id: SessionId,
    },
    /// A client that gives a recovery code. Nobody guesses one, but each costs a query.
    RecoveryCode {
        /// The client's address.
        address: IpAddr,
    },
    /// A callback of an identity provider: somebody who guesses codes makes this gateway ask the provider each time.
    Callback {
        /// The client's address.
        address: IpAddr,
    },
    /// A browser with a passkey: each forged response costs a lookup in the vault, the check of a signature, and a line of
    /// the log.
    Passkey {
        /// The client's address.
        address: IpAddr,
    },
    /// A sender of logout tokens: each forged one costs the check of a signature, and a line of the log.
    LogoutToken {
        /// The sender's address.
        address: IpAddr,
    },
}

/// Limits on failed logins in a burst.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attempts {
    /// Limit for one account from one address.
    pub per_account: u32,
    /// Limit for one address.
    pub per_address: u32,
    /// Limit for all addresses together, beyond which that of one is a tenth.
    pub overall: u32,
}

/// The buckets of an attempt, and the scope of each.
pub(super) struct Limits {
    pub(super) attempt: Attempt,
    pub(super) scopes: Vec<ThrottleScope>,
}

/// Key of the digests: nobody who reads the session store learns names or addresses, or can try them.
pub(super) struct Keys(hmac::Key);

impl Keys {
    pub(super) fn new(master: &MasterSecret) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, master.derive("failed attempts").expose()))
    }

    fn key(&self, name: &str) -> BucketKey {
        let whole = hmac::sign(&self.0, name.as_bytes());
        let mut key = [0; 16];
        key.copy_from_slice(&whole.as_ref()[..16]);
        BucketKey(key)
    }

    /// The counted buckets of a name that was typed.
    pub(super) fn account(&self, name: &str) -> BucketKey {
        self.key(&format!("counts of account:{name}"))
    }

    /// The counted buckets of a user's known browsers and sessions.
    pub(super) fn user(&self, user: UserId) -> BucketKey {
        self.key(&format!("counts of user:{user}"))
    }

    /// The bucket of an account for all unknown clients together.
    pub(super) fn all_strangers(&self, name: &str) -> BucketKey {
        self.key(&format!("account:{name}"))
    }

    /// The bucket of a user's codes for all unknown clients together.
    pub(super) fn codes(&self, user: UserId, epoch: Epoch) -> BucketKey {
        self.key(&format!("codes:{user}:{}", epoch.0))
    }

    pub(super) fn limits(&self, guesser: Guesser<'_>, allowed: Attempts) -> Limits {
        use ThrottleScope as Scope;
        let one = |account, key, rule, scope| Limits {
            attempt: Attempt { account, buckets: vec![Bucket { key, rule, effect: Effect::Refuses }] },
            scopes: vec![scope],
        };
        let of_address = |what: &str, address| {
            let key = self.key(&format!("{what}:{}", network(address)));
            let burst = allowed.per_address;
            one(key, key, Rule::Leaky { burst, leak: RESPONSE_LEAK, tight: burst }, Scope::Response)
        };
        let counted = guesses(allowed.per_account);
        match guesser {
            Guesser::Unknown { account, address } => self.unknown(account, address, allowed),
            Guesser::Device { user, number } => {
                let key = self.key(&format!("device:{user}:{}", u64::from_be_bytes(number)));
                one(self.user(user), key, counted, Scope::Device)
            }
            // Apart from its guesses: who has failed ten times is who needs a link.
            Guesser::DeviceReset { user, number } => {
                let key = self.key(&format!("reset device:{user}:{}", u64::from_be_bytes(number)));
                one(self.key(&format!("counts of resets:{user}")), key, counted, Scope::Device)
            }
            // Only the session's own bucket is enforced. The others count as well, so a stolen token gives no extra
            // guesses.
            Guesser::Session { id, account, address } => {
                let mut limits = self.unknown(account, address, allowed);
                for bucket in &mut limits.attempt.buckets {
                    bucket.effect = Effect::Counts;
                }
                let key = self.key(&format!("session:{id}"));
                limits.attempt.buckets.push(Bucket { key, rule: counted, effect: Effect::Refuses });
                limits.scopes.push(Scope::Session);
                limits
            }
            // The vault spaces them out; here they are only counted.
            Guesser::Codes { user, epoch } => {
                one(self.user(user), self.codes(user, epoch), codes(MAX_CODES), Scope::Code)
            }
            Guesser::DeviceCodes { user, number } => {
                let key = self.key(&format!("device codes:{user}:{}", u64::from_be_bytes(number)));
                one(self.user(user), key, codes(CODES_BURST), Scope::Code)
            }
            Guesser::SessionCodes { user, id } => one(
                self.user(user),
                self.key(&format!("session codes:{id}")),
                codes(CODES_BURST),
                Scope::Code,
            ),
            // Apart from the addresses' bucket for passwords: none of them locks another.
            Guesser::RecoveryCode { address } => of_address("recovery code", address),
            Guesser::Callback { address } => of_address("callback", address),
            Guesser::Passkey { address } => of_address("passkey", address),
            Guesser::LogoutToken { address } => of_address("logout", address),
        }
    }

    fn unknown(&self, account: &str, address: IpAddr, allowed: Attempts) -> Limits {
        use ThrottleScope as Scope;
        let Attempts { per_account, per_address, overall } = allowed;
        let network = network(address);
        let everywhere = per_account.saturating_mul(ALL_ADDRESSES).min(ACCOUNT_BURST);
        let leaky = |burst, leak| Rule::Leaky { burst, leak, tight: burst };
        let mut all = vec![
            (
                Scope::Overall,
                self.key("overall"),
                leaky(overall, OVERALL_LEAK / overall.max(1)),
                Effect::Tightens,
            ),
            (
                Scope::AccountFromAddress,
                self.key(&format!("from:{network}:{account}")),
                guesses(per_account),
                Effect::Refuses,
            ),
            (Scope::Account, self.all_strangers(account), leaky(everywhere, ACCOUNT_LEAK), Effect::Refuses),
            (
                Scope::Address,
                self.key(&format!("address:{network}")),
                address_rule(per_address, 1),
                Effect::Refuses,
            ),
        ];
        if let IpAddr::V6(v6) = network {
            let site = Ipv6Addr::from_bits(v6.to_bits() & !(u128::MAX >> 48));
            let key = self.key(&format!("site:{site}"));
            all.push((Scope::Network, key, address_rule(per_address, SITE), Effect::Refuses));
        }
        Limits {
            attempt: Attempt {
                account: self.account(account),
                buckets: all.iter().map(|&(_, key, rule, effect)| Bucket { key, rule, effect }).collect(),
            },
            scopes: all.iter().map(|(scope, ..)| *scope).collect(),
        }
    }
}

/// Returns the rule for one guesser at one account.
const fn guesses(burst: u32) -> Rule {
    Rule::Counted {
        burst,
        first: FIRST_WAIT,
        longest: LONGEST_WAIT,
        max: u32::MAX,
        memory: MEMORY,
        longest_memory: LONGEST_MEMORY,
    }
}

/// Returns the rule for wrong codes in a row.
const fn codes(burst: u32) -> Rule {
    Rule::Counted {
        burst,
        first: CODES_FIRST_WAIT,
        longest: LONGEST_WAIT,
        max: MAX_CODES,
        memory: CODES_MEMORY,
        longest_memory: CODES_MEMORY,
    }
}

/// Returns the rule for an address, or for `times` of them.
fn address_rule(per_address: u32, times: u32) -> Rule {
    let burst = per_address.saturating_mul(times);
    Rule::Leaky { burst, leak: ADDRESS_LEAK / times, tight: (burst / TIGHT).max(1) }
}
