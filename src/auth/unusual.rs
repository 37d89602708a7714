//! Unusual patterns: a session that is refreshed too often, or from elsewhere than its sign-in; an address that fails at
//! many accounts; a sign-in from a new part of the world. Each is recorded, and ends the session where `[unusual]` says so.
//!
//! Patterns are looked for at sign-ins and refreshes alone: a request with a valid access token costs nothing more.
//! Counts and what was recorded before are kept in this process; a restart forgets them.

mod seen;

use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use seen::{Accounts, Once, Refreshes};

use crate::auth::{Auth, Settings, Tokens};
use crate::config::Reaction;
use crate::error::Refusal;
use crate::id::{SessionId, UserId};
use crate::metrics::{Label as _, UnusualPattern as Pattern};
use crate::pages::browser_and_system;
use crate::policy::forwarded::network_of;
use crate::vault::{EndReason, Grant, Scope, stored_user_agent};

/// Size of a network between which a session does not move while its browser stays where it is: most providers and
/// companies have one or several of these. Prefix lengths of IPv4 and IPv6.
const NETWORK: (u32, u32) = (16, 32);
/// Size of a network of which a country has one or several: a million IPv4 addresses. Without a list of countries it
/// says less than such a list, and it needs none.
const REGION: (u32, u32) = (12, 24);

/// Earlier sign-ins that are looked at, newest first.
const EARLIER: u32 = 200;

/// A client, as it is seen now.
#[derive(Clone, Copy, Debug)]
pub struct SeenClient<'a> {
    /// Its address.
    pub address: IpAddr,
    /// Its `User-Agent`.
    pub user_agent: Option<&'a str>,
}

/// A session and the client that signed in, for comparison with the client that refreshes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedInFrom {
    session: SessionId,
    user: UserId,
    address: Option<IpAddr>,
    user_agent: Option<String>,
    /// True if this refresh is one too many.
    is_frequent: bool,
}

impl SignedInFrom {
    pub(crate) fn of(grant: &Grant) -> Self {
        Self {
            session: grant.session_id,
            user: grant.user_id,
            address: grant.address,
            user_agent: grant.user_agent.clone(),
            is_frequent: false,
        }
    }

    #[cfg(test)]
    pub(crate) fn unknown() -> Self {
        let (session, user) = (SessionId::from_bytes([0; 16]), UserId::from_bytes([0; 16]));
        Self { session, user, address: None, user_agent: None, is_frequent: false }
    }

    /// Returns the patterns of a refresh by `client`.
    fn patterns(&self, client: SeenClient<'_>) -> impl Iterator<Item = Pattern> {
        let frequent = self.is_frequent.then_some(Pattern::FrequentRefresh);
        let is_elsewhere = |then| network_of(then, NETWORK) != network_of(client.address, NETWORK);
        let network = self.address.is_some_and(is_elsewhere).then_some(Pattern::OtherNetwork);
        let browser = is_other_browser(self.user_agent.as_deref(), client.user_agent);
        [frequent, network, browser.then_some(Pattern::OtherBrowser)].into_iter().flatten()
    }
}

/// Returns whether a browser is of another kind than the one that signed in. Versions change without the user.
fn is_other_browser(then: Option<&str>, now: Option<&str>) -> bool {
    // The vault keeps the beginning.
    let kind = |agent: Option<&str>| agent.map(stored_user_agent).map(browser_and_system).unwrap_or_default();
    kind(then) != kind(now)
}

/// Memory of refreshes and failures.
#[derive(Default)]
pub(crate) struct Watch(Mutex<Watched>);

#[derive(Default)]
struct Watched {
    refreshes: Refreshes,
    accounts: Accounts,
    recorded: Once,
}

impl Watch {
    fn watched(&self) -> MutexGuard<'_, Watched> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Auth {
    /// Records the patterns of a refresh by `client`. The session has ended, or is going to, when this returns an error.
    ///
    /// # Errors
    /// `RefreshInvalid` if a pattern ended the session; `StoreUnavailable` if it should have, and the vault is away.
    pub async fn watch_refresh(
        self: &Arc<Self>,
        opened: &SignedInFrom,
        client: SeenClient<'_>,
        settings: &Settings,
    ) -> Result<(), Refusal> {
        let mut ends = false;
        for pattern in opened.patterns(client) {
            ends |= self.record_unusual(pattern, opened, client, settings);
        }
        if !ends {
            return Ok(());
        }
        self.revoke(Scope::Session(opened.session, None), EndReason::Unusual).await?;
        Err(Refusal::RefreshInvalid)
    }

    /// Counts a refresh, and notes in its tokens whether it is one too many.
    pub(crate) fn count_refresh(&self, tokens: &mut Tokens, settings: &Settings) {
        let (now, life) = (self.parts.clock.monotonic(), settings.profile.ttl);
        if self.watch.watched().refreshes.count(tokens.session_id, life, now) {
            Arc::make_mut(&mut tokens.from).is_frequent = true;
        }
    }

    /// Counts a failed sign-in.
    pub(crate) fn watch_failure(&self, address: IpAddr, account: &str) {
        self.watch.watched().accounts.count(address, account, self.parts.clock.monotonic());
    }

    /// Records the patterns of a sign-in. `is_guess` is true for a password in a browser that has not signed in to the account
    /// before: failures of others at its address say nothing of other proofs, and of known browsers.
    ///
    /// # Errors
    /// `CredentialsWrong` if a pattern ended the session, as for a wrong password; `StoreUnavailable`.
    pub(crate) async fn watch_sign_in(
        self: &Arc<Self>,
        grant: &Grant,
        client: SeenClient<'_>,
        is_guess: bool,
        settings: &Settings,
    ) -> Result<(), Refusal> {
        let opened = SignedInFrom::of(grant);
        let is_guesser =
            is_guess && self.watch.watched().accounts.are_many(client.address, self.parts.clock.monotonic());
        let mut ends = is_guesser && self.record_unusual(Pattern::ManyAccounts, &opened, client, settings);
        let is_new = self.is_first_from_region(grant, client.address).await;
        match is_new {
            Ok(true) => ends |= self.record_unusual(Pattern::NewNetwork, &opened, client, settings),
            Ok(false) => {}
            // Nothing depends on it.
            Err(_) if settings.unusual.new_network == Reaction::Observe => {}
            Err(refusal) => return Err(refusal),
        }
        if !ends {
            return Ok(());
        }
        self.revoke(Scope::Session(opened.session, None), EndReason::Unusual).await?;
        Err(Refusal::CredentialsWrong)
    }

    /// Returns whether a user has signed in before, and never from this part of the world.
    async fn is_first_from_region(&self, grant: &Grant, address: IpAddr) -> Result<bool, Refusal> {
        let logins = self.at_vault(self.parts.vault.trail.logins(grant.user_id, EARLIER)).await?;
        let here = network_of(address, REGION);
        let earlier = logins.into_iter().filter(|login| login.session != Some(grant.session_id));
        let mut addresses = earlier.filter_map(|login| login.address?.parse::<IpAddr>().ok()).peekable();
        Ok(addresses.peek().is_some() && addresses.all(|address| network_of(address, REGION) != here))
    }

    /// Records a pattern unless it was recorded of this session and this network before. Returns whether it ends the session.
    fn record_unusual(
        &self,
        pattern: Pattern,
        opened: &SignedInFrom,
        client: SeenClient<'_>,
        settings: &Settings,
    ) -> bool {
        let reaction = match pattern {
            Pattern::FrequentRefresh => settings.unusual.frequent_refresh,
            Pattern::OtherNetwork => settings.unusual.other_network,
            Pattern::OtherBrowser => settings.unusual.other_browser,
            Pattern::ManyAccounts => settings.unusual.many_accounts,
            Pattern::NewNetwork => settings.unusual.new_network,
        };
        let ends = reaction == Reaction::EndSession;
        let place = network_of(client.address, NETWORK);
        if self.watch.watched().recorded.is_first((opened.session, pattern.as_str(), place)) {
            self.parts.metrics.tokens.unusual.of(pattern).inc();
            self.record_pattern(pattern.as_str(), opened.user, opened.session, client.address);
            tracing::warn!(
                reason = "unusual_pattern",
                pattern = pattern.as_str(),
                reaction = reaction.as_str(),
                user = %opened.user,
                session = %opened.session,
                "something unusual was seen of a session; [unusual] says what happens then"
            );
        }
        ends
    }
}

#[cfg(test)]
mod tests;
