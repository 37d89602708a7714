//! Proof of a sign-in: the authentication methods of a session (RFC 8176), and the time of the sign-in.

use std::convert::Infallible;
use std::fmt;
use std::str::FromStr;

use crate::clock::Timestamp;

/// Authentication methods of a session: the `amr` claim (RFC 8176).
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Methods(u8);

impl Methods {
    /// No method: a session that an earlier release opened.
    pub const NONE: Self = Self(0);
    /// `pwd`: the password.
    pub const PASSWORD: Self = Self(1);
    /// `fed`: an identity provider. RFC 8176 has no name for it; Entra ID uses this one.
    pub const PROVIDER: Self = Self(1 << 1);

    const NAMES: [(&str, Self); 2] = [("pwd", Self::PASSWORD), ("fed", Self::PROVIDER)];

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
}

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
    type Err = Infallible;

    /// Parses names joined by commas. Names that only a later release knows are left out.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let of = |name: &str| Self::NAMES.iter().find(|(known, _)| *known == name).map(|(_, method)| *method);
        Ok(text.split(',').filter_map(of).fold(Self::NONE, Self::with))
    }
}

/// Proof behind a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Proof {
    /// Methods of the sign-in.
    pub methods: Methods,
    /// Time of the last active sign-in, here or at the provider: the `auth_time` claim. A refresh or renewal does not move
    /// it.
    pub at: Timestamp,
}

impl Proof {
    /// Proof of a token of an earlier release, which states none.
    pub const NONE: Self = Self { methods: Methods::NONE, at: Timestamp::from_secs(0) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods_round_trip_and_unknown_ones_are_left_out() {
        let both = Methods::PASSWORD.with(Methods::PROVIDER);
        assert_eq!((both.to_string().as_str(), "pwd,fed".parse()), ("pwd,fed", Ok(both)));
        assert_eq!("fed,retina,pwd".parse(), Ok(both));
        assert_eq!(("".parse(), Methods::NONE.to_string()), (Ok(Methods::NONE), String::new()));
    }
}
