//! Access decisions: the only place where a [`Permit`] is created.

use std::sync::Arc;

use crate::clock::Timestamp;
use crate::config::{Access, Cors, Route};
use crate::error::Refusal;
use crate::identity::{Identity, RequiredProof};

use super::route::RequiredRoute;

/// Proof that a request may be forwarded on a route, and the user it is forwarded for. Only this module creates one, and
/// selecting an upstream requires one.
#[derive(Debug, Clone)]
pub struct Permit {
    route: Arc<Route>,
    identity: Option<Arc<Identity>>,
    needs_other_routes: bool,
}

impl Permit {
    /// Returns the route of the permit.
    pub const fn route(&self) -> &Arc<Route> {
        &self.route
    }

    /// Returns the user whose identity headers the app gets.
    pub const fn identity(&self) -> Option<&Arc<Identity>> {
        self.identity.as_ref()
    }

    /// Returns whether the access of other routes was needed too. The response is then restricted to users with that
    /// access.
    pub const fn needs_other_routes(&self) -> bool {
        self.needs_other_routes
    }
}

/// Permits a preflight (Fetch standard) for an app that answers preflights itself. It carries no credential and is
/// forwarded without a user. `None` where the route does not configure it.
pub fn preflight(route: &Arc<Route>) -> Option<Permit> {
    (route.cors == Cors::Pass).then(|| Permit {
        route: Arc::clone(route),
        identity: None,
        needs_other_routes: false,
    })
}

/// Decides about a request at `now`. `identity` is the authenticated user, if there is one.
///
/// # Errors
/// [`Refusal::TokenMissing`] when the route needs a signed-in user and there is none; [`Refusal::RoleMissing`];
/// [`Refusal::ProofMissing`] when the user must prove more first.
pub fn decide(
    route: &Arc<Route>,
    identity: Option<Arc<Identity>>,
    now: Timestamp,
) -> Result<Permit, Refusal> {
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
    // After the roles: whoever lacks one would prove more for nothing.
    if let Some(identity) = &identity
        && !route.proof.is_met_by(&identity.proof(), now)
    {
        let RequiredProof { multi_factor, max_age } = route.proof;
        return Err(Refusal::ProofMissing { multi_factor, max_age });
    }
    Ok(Permit { route: Arc::clone(route), identity, needs_other_routes: false })
}

/// Decides about a request that also needs the access of the routes `also`.
///
/// # Errors
/// As [`decide`]; [`Refusal::OtherResource`].
pub fn decide_also(
    route: &Arc<Route>,
    also: &[RequiredRoute],
    identity: Option<Arc<Identity>>,
    now: Timestamp,
) -> Result<Permit, Refusal> {
    for required in also {
        decide(&required.route, identity.clone(), now).map_err(|refusal| match refusal {
            Refusal::RoleMissing => required.reason.refusal(),
            refusal => refusal,
        })?;
    }
    Ok(Permit { needs_other_routes: !also.is_empty(), ..decide(route, identity, now)? })
}
