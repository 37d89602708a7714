//! The decision on a request: from its header section to an own endpoint, a permit, or a refusal.

use std::sync::Arc;

use http::{HeaderValue, Method};
use pingora::http::RequestHeader;

use crate::auth::{Auth, Control, Registration};
use crate::config::{Access, CrossOrigin, Route};
use crate::error::Refusal;
use crate::gateway::authorize::cors;
use crate::gateway::authorize::cors::Preflight;
use crate::gateway::authorize::credential;
use crate::gateway::authorize::credential::Credential;
use crate::gateway::authorize::silent_renewal;
use crate::gateway::authorize::silent_renewal::SetCookies;
use crate::gateway::request::request_target::{authority_of, canonical, path_of};
use crate::gateway::response::OwnResponse;
use crate::identity::Identity;
use crate::metrics::Pattern;
use crate::policy::route::{Destination, RequiredRoute, Resources};
use crate::policy::target::{Target, Unreadable};
use crate::policy::{self, Match, Permit};
use crate::snapshot::Snapshot;

/// What answers for a request's host and path.
#[derive(Debug, PartialEq)]
pub(crate) enum Found {
    /// One of our endpoints: this path.
    Own(String),
    /// A route, and what the request needs beside its access.
    Route(Arc<Route>, Resources),
}

/// What is to be done with a request.
pub(crate) enum Decision {
    /// It is for one of our endpoints: this path.
    Own(String),
    /// It is to be forwarded.
    Forward(Forward),
    /// It is to be sent there.
    Redirect(HeaderValue),
    /// It is a load balancer's health check.
    Health,
    /// It is a preflight, and has this answer.
    Preflight(OwnResponse),
}

/// A request that may be forwarded.
pub(crate) struct Forward {
    pub(crate) permit: Permit,
    /// Keeps it entered under its session, where it has one.
    pub(crate) registration: Option<Registration>,
    /// Whether `Authorization` is not the app's business.
    pub(crate) bearer_is_ours: bool,
    /// The checked `Destination`.
    pub(crate) destination: Option<Destination>,
}

/// Finds what answers.
///
/// # Errors
/// Why it is refused.
pub(crate) fn find(request: &RequestHeader, snapshot: &Snapshot) -> Result<Found, Refusal> {
    find_for(request, &request.method, snapshot)
}

/// The same for another method than the request's own.
fn find_for(request: &RequestHeader, method: &Method, snapshot: &Snapshot) -> Result<Found, Refusal> {
    // RFC 9110 section 9.3.8 would have the app send our headers back; section 9.3.6 would make a tunnel of the connection.
    if matches!(request.method, Method::TRACE | Method::CONNECT) {
        return Err(Refusal::MethodNotAllowed("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS".into()));
    }
    let authority = authority_of(request)?;
    let host = canonical(authority)?;
    let target = Target::read(path_of(request)).map_err(|unreadable| match unreadable {
        Unreadable::Ambiguous => Refusal::TargetAmbiguous,
        Unreadable::TooLong => Refusal::TargetTooLong,
    })?;
    match snapshot.routes.find(&host, &target, method)? {
        Match::Own => Ok(Found::Own(target.raw().to_owned())),
        Match::Route(route) => {
            let asked = (&request.method, &request.headers);
            let resources = snapshot.routes.resources((&host, authority), &target, asked, &route)?;
            Ok(Found::Route(route, resources))
        }
    }
}

/// Decides on a preflight by the route of the method it asks for. Returns `None` if it is handled like any other request. Stores the
/// route in `found`.
pub(crate) fn preflight(
    request: &RequestHeader,
    snapshot: &Snapshot,
    found: &mut Option<Arc<Route>>,
) -> Option<Decision> {
    let method = cors::preflight_method(request)?;
    let Ok(Found::Route(route, resources)) = find_for(request, &method, snapshot) else { return None };
    // What a stricter route protects is let through by that route alone.
    if resources.also.iter().any(|second| second.route.cors != route.cors) {
        return None;
    }
    let judgement = match cors::preflight(request, &method, &route) {
        Preflight::Judge => return None,
        Preflight::Answer(answer) => Decision::Preflight(answer),
        Preflight::Pass => Decision::Forward(Forward {
            permit: policy::access::preflight(&route)?,
            registration: None,
            bearer_is_ours: false,
            destination: None,
        }),
    };
    *found = Some(route);
    Some(judgement)
}

/// Judges a request for a route; of who is known and has not the roles that it asks for, `who` is told. `is_cross_origin`:
/// a page of another origin sent it, and it could do harm.
///
/// # Errors
/// Why it is refused.
pub(crate) async fn judge(
    (request, is_cross_origin): (&RequestHeader, bool),
    (route, resources): (&Arc<Route>, Resources),
    auth: &Arc<Auth>,
    snapshot: &Snapshot,
    control: &Arc<Control>,
    (set, who): (&mut SetCookies, &mut Option<Arc<Identity>>),
) -> Result<Decision, Refusal> {
    let credential =
        credential::read(&request.headers, &snapshot.settings.profile.issuer, &snapshot.cookies)?;
    if credential.planted {
        auth.metrics().requests.unusual.of(Pattern::PlantedCookie).inc();
    }
    // Cookies are sent for the pages of other origins too (CSRF); a bearer is sent by who holds it.
    let issuer = &snapshot.settings.profile.issuer;
    let Resources { also, destination } = resources;
    let mut routes = also.iter().map(|second| &second.route).chain([route]);
    if is_cross_origin
        && routes.any(|route| route.access != Access::Public && route.cross_origin != CrossOrigin::Allow)
        && silent_renewal::is_by_cookie(&request.headers, &credential, issuer, &snapshot.cookies)
    {
        return Err(Refusal::OriginNotAllowed);
    }
    let forward = admit((request, &credential), (route, &also), auth, snapshot, control, (set, who)).await?;
    Ok(Decision::Forward(Forward { destination, ..forward }))
}

/// Who it is, and whether they may.
async fn admit(
    (request, credential): (&RequestHeader, &Credential<'_>),
    (route, also): (&Arc<Route>, &[RequiredRoute]),
    auth: &Arc<Auth>,
    snapshot: &Snapshot,
    control: &Arc<Control>,
    (set, who): (&mut SetCookies, &mut Option<Arc<Identity>>),
) -> Result<Forward, Refusal> {
    let anonymous = || {
        let bearer_is_ours = credential.authorization_is_ours(&snapshot.settings.profile.issuer);
        let permit = policy::decide_also(route, also, None)?;
        Ok(Forward { permit, registration: None, bearer_is_ours, destination: None })
    };
    // What is needed beside a public route, somebody must be signed in for.
    if route.access == Access::Public && also.is_empty() {
        return anonymous();
    }
    let fresh = route.always_revalidate || also.iter().any(|second| second.route.always_revalidate);
    let checked =
        silent_renewal::authenticate((request, credential), fresh, auth, snapshot, control, set).await;
    match checked {
        Ok(admission) => {
            let asks = matches!(route.access, Access::Roles(_)) || !also.is_empty();
            let asked = asks.then(|| Arc::clone(&admission.identity));
            let permit = policy::decide_also(route, also, Some(admission.identity));
            let permit = permit.inspect_err(|_| *who = asked)?;
            // A bearer that has just been found good is ours; so is none where a cookie was renewed.
            let bearer_is_ours = (set.is_empty() && credential.token.is_some() && !credential.by_cookie)
                || credential.authorization_is_ours(&snapshot.settings.profile.issuer);
            let registration = Some(admission.registration);
            Ok(Forward { permit, registration, bearer_is_ours, destination: None })
        }
        // Decided: not a good credential. Undecided stays undecided even here.
        Err(Refusal::TokenInvalid | Refusal::TokenExpired | Refusal::TokenRevoked)
            if route.access == Access::Optional && also.is_empty() =>
        {
            anonymous()
        }
        // Nobody, where somebody is needed: the policy says so.
        Err(Refusal::TokenMissing) => anonymous(),
        Err(refusal) => Err(refusal),
    }
}
