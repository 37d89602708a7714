//! Authentication of a request: by its bearer token or its cookie, and by silent renewal when the access cookie has expired.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, Method, header};
use pingora::http::RequestHeader;

use crate::auth::{Admission, Auth, Control, Renewed, SeenClient};
use crate::error::Refusal;
use crate::gateway::authorize::credential::{Credential, cookie_fields};
use crate::gateway::authorize::navigation;
use crate::identity::Identity;
use crate::policy::cookies::{self, Found, Names};
use crate::policy::forwarded;
use crate::snapshot::Snapshot;

/// Remaining lifetime below which a token is renewed early, so that it does not expire during a slow request. At most a quarter of
/// its lifetime, so that short-lived tokens are not renewed with every request.
const ENDS_SOON: Duration = Duration::from_secs(30);

/// Returns the refresh cookie. `None` if there are several.
pub(crate) fn refresh_cookie<'a>(headers: &'a HeaderMap, names: &Names) -> Option<&'a str> {
    match cookies::find(cookie_fields(headers), names.refresh) {
        Found::One(value) => Some(value),
        Found::None | Found::Several => None,
    }
}

/// Whether cookies would admit the request: the access cookie, or the refresh cookie without a bearer of the gateway.
pub(crate) fn is_by_cookie(
    headers: &HeaderMap,
    credential: &Credential<'_>,
    issuer: &str,
    names: &Names,
) -> bool {
    let has_refresh = || !credential.planted && refresh_cookie(headers, names).is_some();
    let is_bearer = || credential.token.is_some() && credential.authorization_is_ours(issuer);
    credential.by_cookie || (has_refresh() && !is_bearer())
}

/// Authenticates a request of this peer, which may be a trusted proxy. Returns also the silent renewal, if there was one: the
/// response has to set its cookies.
///
/// # Errors
/// As [`Auth::authenticate`]; `TokenMissing`.
pub(crate) async fn authenticate(
    (request, peer): (&RequestHeader, IpAddr),
    credential: &Credential<'_>,
    needs_fresh_check: bool,
    auth: &Arc<Auth>,
    snapshot: &Snapshot,
    control: &Arc<Control>,
) -> Result<(Admission, Option<Arc<Renewed>>), Refusal> {
    let settings = &snapshot.settings;
    let unrenewed = match credential.token {
        Some(token) => auth.authenticate(token, needs_fresh_check, control, settings).await,
        None => Err(Refusal::TokenMissing),
    };
    let cookie = match refresh_cookie(&request.headers, &snapshot.cookies) {
        Some(cookie) if !credential.planted => cookie,
        _ => return unrenewed.map(|admission| (admission, None)),
    };
    let needs_renewal = match &unrenewed {
        Ok(admission) => ends_soon(auth, &admission.identity, settings.profile.ttl),
        Err(refusal) => {
            matches!(refusal, Refusal::TokenMissing | Refusal::TokenInvalid | Refusal::TokenExpired)
        }
    };
    // Evaluated last: decoding the bearer's issuer costs half as much as the whole verification.
    if !needs_renewal || credential.is_bearer_of(&settings.profile.issuer) {
        return unrenewed.map(|admission| (admission, None));
    }
    let page_view = request.method == Method::GET && navigation::is_navigation(request);
    let mut is_registered_otherwise = false;
    for force_new in [false, true] {
        let renewed = match auth.renew(cookie, page_view, force_new, settings).await {
            Ok(renewed) => renewed,
            // The unrenewed token is still valid.
            Err(_) if unrenewed.is_ok() => break,
            Err(Refusal::RefreshInvalid) => break,
            Err(Refusal::RefreshReused) => return Err(Refusal::TokenRevoked),
            Err(undecided) => return Err(undecided),
        };
        let address = forwarded::client(peer, &request.headers, &snapshot.server.trusted_proxies);
        let user_agent = request.headers.get(header::USER_AGENT).and_then(|agent| agent.to_str().ok());
        let client = SeenClient { address, user_agent };
        match auth.watch_refresh(&renewed.tokens.from, client, settings).await {
            Ok(()) => {}
            Err(Refusal::RefreshInvalid) => return Err(Refusal::TokenRevoked),
            Err(undecided) => return Err(undecided),
        }
        let access = renewed.tokens.access.expose();
        match auth.authenticate(access, needs_fresh_check, control, settings).await {
            // This token comes from the renewal of a concurrent request, and the user's roles have changed since.
            Err(Refusal::TokenExpired) if !force_new => is_registered_otherwise = true,
            Ok(admission) => return Ok((admission, Some(renewed))),
            Err(refusal) => return Err(refusal),
        }
    }
    match credential.token.filter(|_| is_registered_otherwise && unrenewed.is_ok()) {
        // The request is registered with the user and the rights of the renewed token, which may be another user's.
        Some(token) => {
            let again = auth.authenticate(token, needs_fresh_check, control, settings).await;
            again.map(|admission| (admission, None))
        }
        None => unrenewed.map(|admission| (admission, None)),
    }
}

fn ends_soon(auth: &Auth, identity: &Identity, life: Duration) -> bool {
    auth.until(identity.expires_at()) < ENDS_SOON.min(life / 4)
}
