//! Identity providers, made of the configuration. A provider whose settings stay keeps what it has fetched.

use std::fmt;
use std::sync::Arc;

use crate::auth::Providers;
use crate::clock::Clock;
use crate::config::{self, Env, Provider as Settings};
use crate::id::Random;
use crate::metrics::Metrics;
use crate::outbound::{Outbound, OutboundError};
use crate::password::BreachedPasswords;
use crate::provider::Provider;

/// Parts that providers are made with.
#[derive(Clone)]
pub struct ProviderParts {
    outbound: Arc<Outbound>,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
}

impl fmt::Debug for ProviderParts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ProviderParts")
    }
}

impl ProviderParts {
    /// Collects the parts. `env` looks up the variables of proxies.
    pub fn new(env: Env<'_>, clock: Arc<dyn Clock>, random: Arc<dyn Random>, metrics: Arc<Metrics>) -> Self {
        let outbound = Arc::new(Outbound::new(env, Arc::clone(&clock), metrics));
        Self { outbound, clock, random }
    }

    /// Makes the providers.
    ///
    /// # Errors
    /// A CA file, or the system trust store, cannot be used.
    pub(super) fn make(
        &self,
        settings: &[Settings],
        previous: Option<&Providers>,
    ) -> Result<Providers, OutboundError> {
        let same = |one: &Settings| {
            let known = previous.into_iter().flat_map(Providers::iter);
            known.filter(|known| known.settings() == one).map(Arc::clone).next()
        };
        let make = |one: &Settings| match same(one) {
            Some(known) => Ok(known),
            None => {
                let (clock, random) = (Arc::clone(&self.clock), Arc::clone(&self.random));
                Provider::new(one.clone(), &self.outbound, clock, random).map(Arc::new)
            }
        };
        Ok(Providers::new(settings.iter().map(make).collect::<Result<Vec<_>, _>>()?))
    }

    /// Prepares look-ups of leaked passwords.
    ///
    /// # Errors
    /// The CA file cannot be used.
    pub(super) fn breached_passwords(
        &self,
        settings: Option<&config::BreachedPasswords>,
    ) -> Result<Option<Arc<BreachedPasswords>>, OutboundError> {
        let make = |settings| BreachedPasswords::new(settings, &self.outbound).map(Arc::new);
        settings.map(make).transpose()
    }
}
