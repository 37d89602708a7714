//! Who may: the one place where a [`Permit`] is made.

use std::sync::Arc;

use crate::config::{Access, Cors, Route};
use crate::error::Refusal;
use crate::identity::Identity;

use super::route::Second;

/// Proof that a request may be forwarded on a route, and as whom. Only [`decide`] makes one, and an upstream is
/// chosen only with one in hand.
#[derive(Debug, Clone)]
pub struct Permit {
    route: Arc<Route>,
    identity: Option<Arc<Identity>>,
    needed_more: bool,
}

impl Permit {
    /// The route it is for.
    pub const fn route(&self) -> &Arc<Route> {
        &self.route
    }

    /// Whom the app is told about.
    pub const fn identity(&self) -> Option<&Arc<Identity>> {
        self.identity.as_ref()
    }

    /// Whether the access of other routes was needed too: then the response is for those who have it.
    pub const fn needed_more(&self) -> bool {
        self.needed_more
    }
}

/// Lets a preflight (Fetch standard) through to an app that answers preflights itself: it carries no credential, and is
/// forwarded for nobody. `None` where the route does not say so.
pub fn preflight(route: &Arc<Route>) -> Option<Permit> {
    (route.cors == Cors::Pass).then(|| Permit {
        route: Arc::clone(route),
        identity: None,
        needed_more: false,
    })
}

/// Decides. `identity` is whom the check found, if it was made.
///
/// # Errors
/// [`Refusal::TokenMissing`] where somebody must be signed in and nobody is; [`Refusal::RoleMissing`].
pub fn decide(route: &Arc<Route>, identity: Option<Arc<Identity>>) -> Result<Permit, Refusal> {
    let identity = match &route.access {
        Access::Public => None,
        Access::Optional => identity,
        Access::SignedIn => Some(identity.ok_or(Refusal::TokenMissing)?),
        Access::Roles(any_of) => {
            let identity = identity.ok_or(Refusal::TokenMissing)?;
            if !any_of.iter().any(|role| identity.roles().contains(role)) {
                return Err(Refusal::RoleMissing);
            }
            Some(identity)
        }
    };
    Ok(Permit { route: Arc::clone(route), identity, needed_more: false })
}

/// Decides about a request that needs the access of other routes `also`.
///
/// # Errors
/// As [`decide`]; [`Refusal::OtherResource`].
pub fn decide_also(
    route: &Arc<Route>,
    also: &[Second],
    identity: Option<Arc<Identity>>,
) -> Result<Permit, Refusal> {
    for second in also {
        decide(&second.route, identity.clone()).map_err(|refusal| match refusal {
            Refusal::RoleMissing => second.why.refusal(),
            refusal => refusal,
        })?;
    }
    Ok(Permit { needed_more: !also.is_empty(), ..decide(route, identity)? })
}
