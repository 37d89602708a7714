//! Endpoints of the gateway: one `match` on path and method, one function each. A path has one file, with its JSON (`*_json`), its
//! page (`show`) and its form (`*_form`).
//!
//! In: a request for a path below `server.auth_prefix`, and its context. Out: a response or a refusal, and cookies to set. Must
//! not know: routes, upstreams.

use std::net::IpAddr;
use std::sync::Arc;

use http::{HeaderMap, Method, header};
use pingora::proxy::Session;

use crate::auth::{Admission, Auth, Control, Registration, SeenClient};
use crate::error::Refusal;
use crate::gateway::authorize::authentication;
use crate::gateway::authorize::navigation::Audience;
use crate::gateway::authorize::set_cookies::SetCookies;
use crate::gateway::authorize::{cors, credential, cross_origin, navigation};
use crate::gateway::request::access_log::RequestLog;
use crate::gateway::request::client;
use crate::gateway::request::context::Context;
use crate::gateway::request::request_target::origin_form;
use crate::gateway::response::OwnResponse;
use crate::identity::Identity;
use crate::policy::cookies as cookie_names;
use crate::policy::route::WELL_KNOWN;
use crate::snapshot::Snapshot;
use crate::token::keyring::JWKS_MAX_AGE;
use form::Form;
use json_body::Fields;
use sessions::Which;

mod account;
mod browser_page;
mod email;
mod factors;
mod form;
pub(crate) mod health;
pub(crate) mod https_redirect;
mod json_body;
mod login;
mod logout;
mod me;
mod password;
mod providers;
mod refresh;
mod reset;
mod sessions;

/// Paths that are HTML pages on `GET`.
const PAGES: [&str; 13] = [
    "/account",
    "/email/link",
    "/login",
    "/login/enrol",
    "/login/factor",
    "/logout",
    "/passkey",
    "/password",
    "/reset",
    "/reset/link",
    "/sessions",
    "/step-up",
    "/totp",
];

/// A request to an endpoint.
struct Call<'a> {
    session: &'a mut Session,
    auth: &'a Arc<Auth>,
    snapshot: &'a Snapshot,
    control: &'a Arc<Control>,
    log: &'a RequestLog,
    /// Registration of the request under the caller's session, until the response is built.
    registration: &'a mut Option<Registration>,
    /// Cookies that the response sets.
    cookies: &'a mut SetCookies,
    /// Target that a sign-in at a provider leads to.
    return_to: &'a mut Option<String>,
}

/// Failure of an endpoint.
#[derive(Debug)]
pub(crate) enum EndpointError {
    /// The request is refused.
    Refused(Refusal),
    /// The request cannot be read or answered: its client has gone.
    Transport(Box<pingora::Error>),
}

impl From<Refusal> for EndpointError {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<Box<pingora::Error>> for EndpointError {
    fn from(error: Box<pingora::Error>) -> Self {
        Self::Transport(error)
    }
}

/// Serves an endpoint.
///
/// # Errors
/// Any refusal; the transport's error when the client has gone.
pub(super) async fn serve(
    session: &mut Session,
    path: &str,
    auth: &Arc<Auth>,
    Context { snapshot, control, log, cookies, registration, return_to, .. }: &mut Context,
) -> Result<OwnResponse, EndpointError> {
    if cors::is_preflight(session.req_header()) {
        let allowed = cors::allowed(&session.req_header().headers, &snapshot.server.cors_origins).is_some();
        return if allowed { Ok(OwnResponse::preflight()) } else { Err(Refusal::OriginNotAllowed.into()) };
    }
    let method = session.req_header().method.clone();
    // A page of a listed origin may call with a bearer token. Forms require the gateway's own origin besides.
    let is_listed = cors::allowed(&session.req_header().headers, &snapshot.server.cors_origins).is_some();
    if !method.is_safe() && !is_listed && cross_origin::is_cross_origin(session, snapshot) {
        return Err(Refusal::OriginNotAllowed.into());
    }
    let registration = &mut *registration;
    let call = Call { session, auth, snapshot, control, log, registration, cookies, return_to };
    // Well-known paths exist only outside the prefix, not below it.
    let endpoint = path
        .strip_prefix(snapshot.server.auth_prefix.as_str())
        .filter(|endpoint| !WELL_KNOWN.contains(endpoint));
    let endpoint = if WELL_KNOWN.contains(&path) { path } else { endpoint.unwrap_or_default() }.to_owned();
    let response = Box::pin(route(call, &method, &endpoint)).await?;
    // Revoked meanwhile: the response must not be sent.
    if registration.as_ref().is_some_and(Registration::is_revoked) {
        return Err(Refusal::TokenRevoked.into());
    }
    Ok(response)
}

async fn route(mut call: Call<'_>, method: &Method, path: &str) -> Result<OwnResponse, EndpointError> {
    let only = |allowed: &str| Err(Refusal::MethodNotAllowed(allowed.to_owned()).into());
    let audience = navigation::audience(call.session.req_header());
    let wants_page = audience != Audience::Program;
    let is_form = browser_page::is_form(call.headers());
    // RFC 9110 section 9.3.2: HEAD is GET without the content.
    let method = if method == Method::HEAD { &Method::GET } else { method };
    if audience == Audience::Frame && method == Method::GET && PAGES.contains(&path) {
        return Ok(navigation::in_frame(call.session.req_header(), call.snapshot));
    }
    match (path, method) {
        ("/login", &Method::GET) => login::show(&mut call).await,
        ("/login", &Method::POST) if is_form => login::submit_form(&mut call).await,
        ("/login", &Method::POST) => login::submit_json(&mut call).await,
        ("/login/factor", &Method::GET) => factors::factor(&mut call).await,
        ("/login/factor", &Method::POST) => factors::factor_form(&mut call).await,
        ("/login/enrol", &Method::GET) => factors::enrol(&mut call).await,
        ("/login/enrol", &Method::POST) => factors::enrol_form(&mut call).await,
        ("/step-up", &Method::GET) => factors::show_step_up(&mut call).await,
        ("/step-up", &Method::POST) if is_form => factors::step_up_form(&mut call).await,
        ("/step-up", &Method::POST) => factors::step_up_json(&mut call).await,
        ("/totp", &Method::GET) => factors::show_totp(&mut call).await,
        ("/totp", &Method::POST) => factors::submit_totp(&mut call).await,
        ("/totp/remove", &Method::POST) => factors::remove(&mut call).await,
        ("/passkey", &Method::GET) => factors::show_passkey(&mut call).await,
        ("/passkey", &Method::POST) => factors::submit_passkey(&mut call).await,
        ("/passkey/remove", &Method::POST) => factors::remove_passkey(&mut call).await,
        ("/recovery-codes", &Method::POST) => factors::new_codes(&mut call).await,
        ("/refresh", &Method::POST) if is_form => refresh::submit_form(&mut call).await,
        ("/refresh", &Method::POST) => refresh::submit_json(&mut call).await,
        ("/logout", &Method::GET) => logout::show(&mut call).await,
        ("/logout", &Method::POST) if is_form => logout::submit_form(&mut call, false).await,
        ("/logout", &Method::POST) => logout::submit_json(&mut call).await,
        ("/logout-all", &Method::POST) if is_form => logout::submit_form(&mut call, true).await,
        ("/logout-all", &Method::POST) => logout::everywhere_json(&mut call).await,
        ("/password", &Method::GET) => password::show(&mut call).await,
        ("/password", &Method::POST) if is_form => password::submit_form(&mut call).await,
        ("/password", &Method::POST) => password::submit_json(&mut call).await,
        ("/reset", &Method::GET) => reset::show(&mut call).await,
        ("/reset", &Method::POST) if is_form => reset::submit_form(&mut call).await,
        ("/reset", &Method::POST) => reset::submit_json(&mut call).await,
        ("/reset/link", &Method::GET) => reset::show_link(&mut call).await,
        ("/reset/link", &Method::POST) if is_form => reset::use_form(&mut call).await,
        ("/reset/link", &Method::POST) => reset::use_json(&mut call).await,
        ("/email", &Method::POST) if is_form => email::request_form(&mut call).await,
        ("/email", &Method::POST) => email::request_json(&mut call).await,
        ("/email/link", &Method::GET) => email::show_link(&mut call).await,
        ("/email/link", &Method::POST) if is_form => email::use_form(&mut call).await,
        ("/email/link", &Method::POST) => Err(Refusal::MediaTypeUnsupported.into()),
        ("/me", &Method::GET) => me::show(&mut call).await,
        ("/account", &Method::GET) => account::show(&mut call).await,
        ("/sessions", &Method::GET) if wants_page => account::show(&mut call).await,
        ("/sessions", &Method::GET) => sessions::list_json(&mut call).await,
        ("/sessions/end", &Method::POST) if is_form => sessions::end_form(&mut call, Which::One).await,
        ("/sessions/end-others", &Method::POST) if is_form => {
            sessions::end_form(&mut call, Which::Others).await
        }
        ("/sessions/end-programs", &Method::POST) if is_form => {
            sessions::end_form(&mut call, Which::Programs).await
        }
        ("/sessions/end" | "/sessions/end-others" | "/sessions/end-programs", &Method::POST) => {
            Err(Refusal::MediaTypeUnsupported.into())
        }
        ("/sessions/end" | "/sessions/end-others" | "/sessions/end-programs", _) => only("POST"),
        ("/.well-known/jwks.json", &Method::GET) => {
            Ok(OwnResponse::jwks(&call.auth.jwks(), JWKS_MAX_AGE.as_secs()))
        }
        (
            "/email" | "/refresh" | "/logout-all" | "/totp/remove" | "/passkey/remove" | "/recovery-codes",
            _,
        ) => only("POST"),
        (
            "/email/link" | "/login" | "/login/factor" | "/login/enrol" | "/logout" | "/passkey"
            | "/password" | "/reset" | "/reset/link" | "/step-up" | "/totp",
            _,
        ) => only("GET, HEAD, POST"),
        ("/account" | "/me" | "/sessions" | "/.well-known/jwks.json", _) => only("GET, HEAD"),
        _ if path.starts_with("/providers/") => {
            providers::serve(&mut call, method, &path["/providers/".len()..]).await
        }
        _ => match (path.strip_prefix("/sessions/"), method) {
            (Some(id), &Method::DELETE) => sessions::end_json(&mut call, id).await,
            (Some(_), _) => only("DELETE"),
            (None, &Method::GET) if path.starts_with("/assets/") => {
                let whole = format!("{}{path}", call.snapshot.server.auth_prefix);
                let asset = call.snapshot.brand.asset(&whole).ok_or(Refusal::RouteUnknown)?;
                Ok(OwnResponse::asset(asset))
            }
            (None, _) => Err(Refusal::RouteUnknown.into()),
        },
    }
}

/// Accepted kinds of credential.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Accept {
    /// Pages and forms: only the cookie.
    Cookie,
    /// Endpoints that change nothing: either one.
    CookieOrBearer,
    /// Endpoints that change something: only a bearer token, since browsers send cookies for any page.
    Bearer,
}

impl Call<'_> {
    fn headers(&self) -> &HeaderMap {
        &self.session.req_header().headers
    }

    /// Address of the client, through trusted proxies.
    fn address(&self) -> IpAddr {
        client::client(self.session, self.snapshot)
    }

    fn user_agent(&self) -> Option<String> {
        self.seen().user_agent.map(str::to_owned)
    }

    /// The client, for the patterns of a refresh.
    fn seen(&self) -> SeenClient<'_> {
        let user_agent = self.headers().get(header::USER_AGENT).and_then(|agent| agent.to_str().ok());
        SeenClient { address: self.address(), user_agent }
    }

    /// Device cookies of a browser that has signed in before. Up to two: a planted one does no harm.
    fn devices(&self) -> Vec<String> {
        let fields = credential::cookie_fields(self.headers());
        cookie_names::all(fields, self.snapshot.cookies.device, 2).map(str::to_owned).collect()
    }

    /// Query of the request, as received.
    fn query(&self) -> &[u8] {
        let whole = origin_form(self.session.req_header());
        whole.iter().position(|&byte| byte == b'?').map_or(&[], |at| &whole[at + 1..])
    }

    /// Reads the form in the body.
    async fn form(&mut self) -> Result<Form, EndpointError> {
        Ok(Form::parse(&json_body::bytes(self.session).await?)?)
    }

    /// Authenticates the user by cookie only.
    async fn browser_user(&mut self) -> Result<Arc<Identity>, Refusal> {
        self.caller(Accept::Cookie).await
    }

    /// Authenticates the caller like every other request, and registers the request under its session: a revocation cuts it.
    async fn caller(&mut self, accept: Accept) -> Result<Arc<Identity>, Refusal> {
        let Admission { identity, registration } = self.admit(accept).await?;
        *self.registration = Some(registration);
        self.log.set_identity(&identity);
        Ok(identity)
    }

    /// Unregisters the request before it ends its own session, which would cut it.
    fn unregister(&mut self) {
        *self.registration = None;
    }

    async fn admit(&mut self, accept: Accept) -> Result<Admission, Refusal> {
        let issuer = &self.snapshot.settings.profile.issuer;
        let request = self.session.req_header();
        let credential = credential::read(&request.headers, issuer, &self.snapshot.cookies)?;
        if accept == Accept::Cookie && credential.token.is_some() && !credential.by_cookie {
            return Err(Refusal::TokenMissing);
        }
        let (auth, snapshot, control) = (self.auth, self.snapshot, self.control);
        if accept != Accept::Bearer {
            let peer = client::client_ip(self.session);
            let authenticated =
                authentication::authenticate((request, peer), &credential, true, auth, snapshot, control);
            let (admission, renewed) = authenticated.await?;
            if let Some(renewed) = renewed {
                self.cookies.set_tokens(&renewed.tokens, snapshot);
            }
            return Ok(admission);
        }
        let token = credential.token.filter(|_| !credential.by_cookie);
        let token = token.ok_or(Refusal::TokenMissing)?;
        auth.authenticate(token, true, control, &snapshot.settings).await
    }

    /// Reads the JSON object in the body.
    async fn fields(&mut self) -> Result<Fields, EndpointError> {
        json_body::read(self.session).await
    }
}
