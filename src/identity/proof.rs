//! Proof of a sign-in: the authentication methods of a session (RFC 8176), and the time of the last one.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::clock::Timestamp;

/// Authentication methods of a session: the `amr` claim (RFC 8176).
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Methods(u8);

impl Methods {
    /// No method: a session that an earlier release opened.
    pub const NONE: Self = Self(0);
    /// `pwd`: the password.
    pub const PASSWORD: Self = Self(1);
    /// `otp`: a one-time code of an authenticator app, or a recovery code.
    pub const CODE: Self = Self(1 << 1);
    /// `hwk`: a passkey that cannot leave its device.
    pub const HARDWARE_KEY: Self = Self(1 << 2);
    /// `swk`: a passkey that is synced between devices.
    pub const SOFTWARE_KEY: Self = Self(1 << 3);
    /// `user`: the device has verified its user, by a PIN, a finger or a face.
    pub const USER_VERIFIED: Self = Self(1 << 4);
    /// `fed`: an identity provider. RFC 8176 has no name for it; Entra ID uses this one.
    pub const PROVIDER: Self = Self(1 << 5);
    /// `mfa`: two factors of different kinds, or a passkey whose device has verified its user.
    pub const MULTI_FACTOR: Self = Self(1 << 6);

    const NAMES: [(&str, Self); 7] = [
        ("pwd", Self::PASSWORD),
        ("otp", Self::CODE),
        ("hwk", Self::HARDWARE_KEY),
        ("swk", Self::SOFTWARE_KEY),
        ("user", Self::USER_VERIFIED),
        ("fed", Self::PROVIDER),
        ("mfa", Self::MULTI_FACTOR),
    ];

    /// Returns the methods of both.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Returns whether all of `other` are included.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Iterates over the names, in a fixed order.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        Self::NAMES.into_iter().filter(move |(_, method)| self.contains(*method)).map(|(name, _)| name)
    }

    /// Returns the authentication context class (`acr`) of sessions with these methods.
    pub const fn acr(self) -> &'static str {
        if self.contains(Self::MULTI_FACTOR) { ACR_MULTI_FACTOR } else { ACR_SINGLE_FACTOR }
    }
}

/// `acr` of sessions with two factors.
pub const ACR_MULTI_FACTOR: &str = "urn:doorward:acr:mfa";

/// `acr` of other sessions.
pub const ACR_SINGLE_FACTOR: &str = "urn:doorward:acr:single";

impl fmt::Display for Methods {
    /// Formats the names joined by commas.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, name) in self.names().enumerate() {
            if at > 0 {
                f.write_str(",")?;
            }
            f.write_str(name)?;
        }
        Ok(())
    }
}

impl fmt::Debug for Methods {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Methods({self})")
    }
}

impl FromStr for Methods {
    type Err = std::convert::Infallible;

    /// Parses names joined by commas. Names that only a later release knows are left out.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let of = |name: &str| Self::NAMES.iter().find(|(known, _)| *known == name).map(|(_, method)| *method);
        Ok(text.split(',').filter_map(of).fold(Self::NONE, Self::with))
    }
}

/// Proof behind a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Proof {
    /// Methods of the sign-in and of every proof since.
    pub methods: Methods,
    /// Time of the last active proof: the `auth_time` claim. A refresh or renewal does not move it.
    pub at: Timestamp,
}

impl Proof {
    /// Proof of a token of an earlier release, which states none: nothing newer than the beginning of time.
    pub const NONE: Self = Self { methods: Methods::NONE, at: Timestamp::from_secs(0) };
}

/// Proof that a route or an action needs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RequiredProof {
    /// True if two factors are needed.
    pub multi_factor: bool,
    /// Maximum time since the last active proof.
    pub max_age: Option<Duration>,
}

impl RequiredProof {
    /// Returns whether nothing is required beyond a session.
    pub const fn is_none(&self) -> bool {
        !self.multi_factor && self.max_age.is_none()
    }

    /// Returns whether `proof` suffices at `now`.
    pub fn is_met_by(&self, proof: &Proof, now: Timestamp) -> bool {
        (!self.multi_factor || proof.methods.contains(Methods::MULTI_FACTOR))
            && self.max_age.is_none_or(|max_age| now.since(proof.at) <= max_age)
    }

    /// Returns whether every proof that meets this one meets `other` too.
    pub fn implies(&self, other: &Self) -> bool {
        let as_recent = match (self.max_age, other.max_age) {
            (_, None) => true,
            (None, Some(_)) => false,
            (Some(own), Some(other)) => own <= other,
        };
        as_recent && (self.multi_factor || !other.multi_factor)
    }

    /// Returns the stricter of both.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            multi_factor: self.multi_factor || other.multi_factor,
            max_age: match (self.max_age, other.max_age) {
                (Some(one), Some(other)) => Some(one.min(other)),
                (one, other) => one.or(other),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: Timestamp = Timestamp::from_secs(1_800_000_000);

    #[test]
    fn methods_round_trip_and_unknown_ones_are_left_out() {
        let methods = Methods::PASSWORD.with(Methods::CODE).with(Methods::MULTI_FACTOR);
        assert_eq!(methods.to_string(), "pwd,otp,mfa");
        assert_eq!("pwd,otp,mfa".parse(), Ok(methods));
        assert_eq!("otp,retina,pwd".parse(), Ok(Methods::PASSWORD.with(Methods::CODE)));
        assert_eq!(("".parse(), Methods::NONE.to_string()), (Ok(Methods::NONE), String::new()));
        let all = Methods::NAMES.iter().fold(Methods::NONE, |all, (_, method)| all.with(*method));
        assert_eq!(all.to_string().parse(), Ok(all));
    }

    #[test]
    fn only_two_factors_and_a_recent_proof_meet_what_needs_them() {
        let required = |multi_factor, max_age: Option<u64>| RequiredProof {
            multi_factor,
            max_age: max_age.map(Duration::from_secs),
        };
        let password = Proof { methods: Methods::PASSWORD, at: AT };
        let both = Proof { methods: Methods::PASSWORD.with(Methods::MULTI_FACTOR), at: AT };
        let after = |seconds| AT + Duration::from_secs(seconds);
        assert!(required(false, None).is_met_by(&Proof::NONE, AT) && required(false, None).is_none());
        assert!(!required(true, None).is_met_by(&password, AT) && required(true, None).is_met_by(&both, AT));
        assert!(required(false, Some(60)).is_met_by(&password, after(60)));
        assert!(!required(false, Some(60)).is_met_by(&password, after(61)));
        assert!(!required(false, Some(60)).is_met_by(&Proof::NONE, AT));
        assert!(!required(true, Some(60)).is_met_by(&password, AT));
        assert!(required(true, Some(60)).implies(&required(false, Some(90))));
        assert!(!required(true, Some(90)).implies(&required(false, Some(60))));
        assert!(!required(false, Some(60)).implies(&required(true, None)));
        assert!(!required(true, None).implies(&required(true, Some(60))));
        assert_eq!(required(true, None).and(required(false, Some(60))), required(true, Some(60)));
        assert_eq!(required(false, Some(90)).and(required(false, Some(60))), required(false, Some(60)));
    }
}
