//! From the header section of a request to a permit, one typed step after the other. Each step consumes the one before it, so none
//! can be left out or repeated. The one exception is a preflight on a route whose app answers preflights (`cors = "pass"`).
//!
//! ```text
//! ParsedTarget -> RoutedRequest -> AuthenticatedRequest -> Admitted (holds the Permit)
//!     |  |              |                  |
//!     |  |              |                  `- authorize(): the policy; 401, 403
//!     |  |              `- authenticate(): credential, cross-origin rule (CSRF), session, silent renewal; 401, 403, 503
//!     |  `- route(): routes of the host, path and method, and other resources; 400, 404, 405. Or an endpoint of the gateway
//!     `- preflight(): the response to a CORS preflight, or Admitted without a user
//! ```

use std::net::IpAddr;
use std::sync::Arc;

use http::Method;
use pingora::http::RequestHeader;

use crate::auth::{Admission, Auth, Control, Registration};
use crate::clock::Timestamp;
use crate::config::{Access, CrossOrigin, Route};
use crate::error::Refusal;
use crate::gateway::authorize::authentication;
use crate::gateway::authorize::cors;
use crate::gateway::authorize::credential;
use crate::gateway::authorize::set_cookies::SetCookies;
use crate::gateway::request::request_target::{authority_of, canonical, path_of};
use crate::gateway::response::OwnResponse;
use crate::identity::Identity;
use crate::metrics::Pattern;
use crate::policy::route::{Destination, Resources};
use crate::policy::target::{Target, Unreadable};
use crate::policy::{self, Match, Permit};
use crate::snapshot::Snapshot;

/// A request whose host and path can be read in one way only.
pub(crate) struct ParsedTarget<'r> {
    request: &'r RequestHeader,
    /// Canonical host; empty in HTTP/1.0 without `Host`.
    host: String,
    /// Host and port as received.
    authority: &'r str,
    target: Target<'r>,
}

/// Match of a target.
pub(crate) enum Routed<'r> {
    /// An endpoint of the gateway, with its path.
    Endpoint(String),
    /// A route.
    Route(RoutedRequest<'r>),
}

/// A request with its route.
pub(crate) struct RoutedRequest<'r> {
    request: &'r RequestHeader,
    route: Arc<Route>,
    resources: Resources,
}

/// A request whose user is known, if it has one.
pub(crate) struct AuthenticatedRequest {
    route: Arc<Route>,
    resources: Resources,
    /// The authenticated user, registered under their session. `None` without a credential, and on public routes.
    admission: Option<Admission>,
    own_token: Option<OwnToken>,
    /// Cookies of a silent renewal.
    cookies: SetCookies,
}

/// Kind of a token of the gateway in `Authorization`, which is then not the app's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OwnToken {
    /// An access token: the app sees it only where its route says so.
    Access,
    /// A refresh token: no app sees it.
    Refresh,
}

/// A request that may be forwarded.
pub(crate) struct Admitted {
    pub(crate) permit: Permit,
    /// Token of the gateway that `Authorization` holds.
    pub(crate) own_token: Option<OwnToken>,
    /// Checked `Destination` to forward.
    pub(crate) destination: Option<Destination>,
}

/// A refusal by the policy, and the user whom it refuses.
pub(crate) struct Denied {
    pub(crate) refusal: Refusal,
    pub(crate) user: Option<Arc<Identity>>,
}

/// Handling of a preflight, and its route.
pub(crate) enum Preflight {
    /// The gateway sends this response.
    Respond(Arc<Route>, OwnResponse),
    /// The app answers preflights itself.
    Forward(Admitted),
}

impl<'r> ParsedTarget<'r> {
    /// Reads host and path.
    ///
    /// # Errors
    /// `MethodNotAllowed`, `RequestInvalid`, `TargetAmbiguous`, `TargetTooLong`.
    pub(crate) fn parse(request: &'r RequestHeader) -> Result<Self, Refusal> {
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
        Ok(Self { request, host, authority, target })
    }

    /// Returns the handling of a preflight by the route of the method that it asks for. `None` if it is handled like any other
    /// request.
    pub(crate) fn preflight(&self, snapshot: &Snapshot) -> Option<Preflight> {
        let method = cors::preflight_method(self.request)?;
        let Match::Route(route) = snapshot.routes.find(&self.host, &self.target, &method).ok()? else {
            return None;
        };
        // The resources of the preflight itself: the headers of the request to come, such as Destination, are unknown here.
        let resources = self.resources(&route, snapshot).ok()?;
        // Every route that is needed must handle preflights in the same way.
        if resources.also.iter().any(|second| second.route.cors != route.cors) {
            return None;
        }
        match cors::preflight(self.request, &method, &route) {
            cors::Preflight::Authorize => None,
            cors::Preflight::Respond(response) => Some(Preflight::Respond(route, response)),
            cors::Preflight::Forward => {
                let permit = policy::access::preflight(&route)?;
                Some(Preflight::Forward(Admitted { permit, own_token: None, destination: None }))
            }
        }
    }

    /// Finds the endpoint or the route, and the other resources that the request names.
    ///
    /// # Errors
    /// `RouteUnknown`, `MethodNotAllowed`, `TargetAmbiguous`; those of the other resources.
    pub(crate) fn route(self, snapshot: &Snapshot) -> Result<Routed<'r>, Refusal> {
        match snapshot.routes.find(&self.host, &self.target, &self.request.method)? {
            Match::Own => Ok(Routed::Endpoint(self.target.raw().to_owned())),
            Match::Route(route) => {
                let resources = self.resources(&route, snapshot)?;
                Ok(Routed::Route(RoutedRequest { request: self.request, route, resources }))
            }
        }
    }

    fn resources(&self, route: &Arc<Route>, snapshot: &Snapshot) -> Result<Resources, Refusal> {
        let message = (&self.request.method, &self.request.headers);
        snapshot.routes.resources((&self.host, self.authority), &self.target, message, route)
    }
}

impl RoutedRequest<'_> {
    pub(crate) const fn route(&self) -> &Arc<Route> {
        &self.route
    }

    /// Authenticates the user, if the route needs or wants one. `is_cross_origin`: a page of another origin sent the request, and
    /// its method changes something.
    ///
    /// # Errors
    /// `CredentialsConflict`, `OriginNotAllowed`; those of [`Auth::authenticate`], except for a missing credential, about which
    /// the policy decides.
    pub(crate) async fn authenticate(
        self,
        is_cross_origin: bool,
        peer: IpAddr,
        auth: &Arc<Auth>,
        snapshot: &Snapshot,
        control: &Arc<Control>,
    ) -> Result<AuthenticatedRequest, Refusal> {
        let Self { request, route, resources } = self;
        let issuer = &snapshot.settings.profile.issuer;
        let credential = credential::read(&request.headers, issuer, &snapshot.cookies)?;
        if credential.planted {
            auth.metrics().requests.unusual.of(Pattern::PlantedCookie).inc();
        }
        // Browsers send cookies for pages of other origins too (CSRF); a bearer token is sent by a script that holds it.
        let guards =
            |route: &Route| route.access != Access::Public && route.cross_origin != CrossOrigin::Allow;
        if is_cross_origin
            && (guards(&route) || resources.also.iter().any(|second| guards(&second.route)))
            && authentication::is_by_cookie(&request.headers, &credential, issuer, &snapshot.cookies)
        {
            return Err(Refusal::OriginNotAllowed);
        }
        let mut cookies = SetCookies::default();
        let admission = if route.access == Access::Public && resources.also.is_empty() {
            None
        } else {
            let needs_fresh_check =
                route.always_revalidate || resources.also.iter().any(|second| second.route.always_revalidate);
            let authenticated = authentication::authenticate(
                (request, peer),
                &credential,
                needs_fresh_check,
                auth,
                snapshot,
                control,
            );
            match authenticated.await {
                Ok((admission, renewed)) => {
                    if let Some(renewed) = renewed {
                        cookies.set_tokens(&renewed.tokens, snapshot);
                    }
                    Some(admission)
                }
                // The policy refuses it, unless nobody has to be signed in.
                Err(Refusal::TokenMissing) => None,
                // The token is certainly not valid. A check that could not be decided is refused here too.
                Err(Refusal::TokenInvalid | Refusal::TokenExpired | Refusal::TokenRevoked)
                    if route.access == Access::Optional && resources.also.is_empty() =>
                {
                    None
                }
                Err(refusal) => return Err(refusal),
            }
        };
        // A bearer that was just accepted is an access token, without decoding it again; where a cookie was renewed, the cookie was
        // accepted.
        let is_accepted_bearer =
            admission.is_some() && cookies.is_empty() && credential.token.is_some() && !credential.by_cookie;
        let own_token = if is_accepted_bearer {
            Some(OwnToken::Access)
        } else if credential::mentions_refresh_token(&request.headers, |word| auth.is_refresh_token(word)) {
            Some(OwnToken::Refresh)
        } else {
            credential.authorization_is_ours(issuer).then_some(OwnToken::Access)
        };
        Ok(AuthenticatedRequest { route, resources, admission, own_token, cookies })
    }
}

impl AuthenticatedRequest {
    /// Takes the cookies that the response has to set, also that of a refusal.
    pub(crate) fn take_cookies(&mut self) -> SetCookies {
        std::mem::take(&mut self.cookies)
    }

    /// Applies the policy at `now`. Returns the permit, and the registration of the request under its session.
    ///
    /// # Errors
    /// `TokenMissing`, `RoleMissing`, `ProofMissing`, `OtherResource`.
    pub(crate) fn authorize(self, now: Timestamp) -> Result<(Admitted, Option<Registration>), Denied> {
        let Self { route, resources: Resources { also, destination }, admission, own_token, .. } = self;
        let (identity, registration) =
            admission.map(|Admission { identity, registration }| (identity, registration)).unzip();
        match policy::decide_also(&route, &also, identity.clone(), now) {
            Ok(permit) => Ok((Admitted { permit, own_token, destination }, registration)),
            Err(refusal) => Err(Denied { refusal, user: identity }),
        }
    }
}
