//! `[unusual]`: what happens when something unusual is seen.

use crate::config::parse::reader::Table;

/// `[unusual]`: a reaction for each pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unusual {
    /// A session that is refreshed far more often than its tokens expire.
    pub frequent_refresh: Reaction,
    /// A refresh from another network than the sign-in.
    pub other_network: Reaction,
    /// A refresh by another kind of browser than the sign-in.
    pub other_browser: Reaction,
    /// A sign-in from an address that has failed at many accounts.
    pub many_accounts: Reaction,
    /// A sign-in from a network of the size of a country in which the user has not signed in before.
    pub new_network: Reaction,
}

/// Reaction to an unusual pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reaction {
    /// It is recorded: an audit event, a line of the log, a count.
    Observe,
    /// It is recorded, and the session ends.
    EndSession,
}

impl Reaction {
    /// Returns the configured name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Observe => "observe",
            Self::EndSession => "end-session",
        }
    }
}

/// Reads `[unusual]`.
pub(crate) fn unusual(table: Table<'_>, default: Unusual) -> Unusual {
    let choices = [Reaction::Observe, Reaction::EndSession].map(|reaction| (reaction.as_str(), reaction));
    let read = |name| table.value(name).and_then(|value| value.choice(&choices));
    let unusual = Unusual {
        frequent_refresh: read("frequent_refresh").unwrap_or(default.frequent_refresh),
        other_network: read("other_network").unwrap_or(default.other_network),
        other_browser: read("other_browser").unwrap_or(default.other_browser),
        many_accounts: read("many_accounts").unwrap_or(default.many_accounts),
        new_network: read("new_network").unwrap_or(default.new_network),
    };
    table.finish();
    unusual
}
