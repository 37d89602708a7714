//! A user as a file describes it.

use std::fmt;

use crate::password::{BadHash, StoredHash};

/// Where a user stands in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// Line, counted from 1.
    Line(u64),
    /// Number of the user, counted from 1.
    User(u64),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line(line) => write!(f, "line {line}"),
            Self::User(number) => write!(f, "user {number}"),
        }
    }
}

/// One user of a file.
#[derive(Debug)]
pub(super) enum Item {
    User(Box<Entry>),
    /// The file has no usable text for this user.
    Refused {
        place: Place,
        login: String,
        why: String,
    },
    /// Not a person.
    Skipped {
        place: Place,
        login: String,
        why: &'static str,
    },
}

/// A user, unchecked.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) place: Place,
    pub(super) login: String,
    /// The hash; `None` without a password.
    pub(super) hash: Result<Option<StoredHash>, BadHash>,
    pub(super) email: Option<String>,
    pub(super) email_verified: bool,
    pub(super) name: Option<String>,
    /// Roles of doorward; `None` if the format has none.
    pub(super) roles: Option<Vec<String>>,
    /// Groups and roles of the other program; `None` if the format has none.
    pub(super) groups: Option<Vec<String>>,
    /// `None` if the format does not say.
    pub(super) disabled: Option<bool>,
    /// True if the user has a second factor, which is not imported.
    pub(super) has_second_factor: bool,
}

impl Entry {
    /// A user with a name and no other properties.
    pub(super) const fn new(place: Place, login: String) -> Self {
        Self {
            place,
            login,
            hash: Ok(None),
            email: None,
            email_verified: false,
            name: None,
            roles: None,
            groups: None,
            disabled: None,
            has_second_factor: false,
        }
    }
}

/// Takes a user; returns false if no more are wanted.
pub(super) type Emit<'a> = &'a mut dyn FnMut(Item) -> bool;
