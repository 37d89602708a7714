//! Our own endpoints: one `match` on path and method, one function each.

use std::net::IpAddr;
use std::sync::Arc;

use http::{HeaderMap, Method, header};
use pingora::proxy::Session;

use super::account::Account;
use super::context::Context;
use super::respond::Answer;
use super::{cors, credential, downstream};
use crate::auth::{Admission, Auth, Control};
use crate::error::Refusal;
use crate::policy::route::WELL_KNOWN;
use crate::snapshot::Snapshot;
use crate::token::keyring::JWKS_MAX_AGE;
use body::Fields;

mod account;
mod body;
mod sign_in;

/// A request to one of our endpoints.
struct Call<'a> {
    session: &'a mut Session,
    auth: &'a Arc<Auth>,
    snapshot: &'a Snapshot,
    control: &'a Arc<Control>,
    account: &'a Account,
}

/// Serves a path of ours. The outer error is the transport's: the client is gone.
pub(super) async fn serve(
    session: &mut Session,
    path: &str,
    auth: &Arc<Auth>,
    Context { snapshot, control, account, .. }: &Context,
) -> pingora::Result<Result<Answer, Refusal>> {
    if cors::is_preflight(session.req_header()) {
        let allowed = cors::allowed(&session.req_header().headers, &snapshot.server.cors_origins).is_some();
        return Ok(if allowed { Ok(Answer::preflight()) } else { Err(Refusal::OriginNotAllowed) });
    }
    let method = session.req_header().method.clone();
    if !method.is_safe() && cors::is_foreign(&session.req_header().headers, &snapshot.server) {
        return Ok(Err(Refusal::OriginNotAllowed));
    }
    let call = Call { session, auth, snapshot, control, account };
    // What is ours outside the prefix is not below it as well.
    let below =
        path.strip_prefix(snapshot.server.auth_prefix.as_str()).filter(|below| !WELL_KNOWN.contains(below));
    let below = if WELL_KNOWN.contains(&path) { path } else { below.unwrap_or_default() }.to_owned();
    Box::pin(route(call, &method, &below)).await
}

async fn route(mut call: Call<'_>, method: &Method, path: &str) -> pingora::Result<Result<Answer, Refusal>> {
    let only = |allowed: &str| Ok(Err(Refusal::MethodNotAllowed(allowed.to_owned())));
    // RFC 9110 section 9.3.2: HEAD is GET without the content.
    let method = if method == Method::HEAD { &Method::GET } else { method };
    match (path, method) {
        ("/login", &Method::POST) => sign_in::login(&mut call).await,
        ("/refresh", &Method::POST) => sign_in::refresh(&mut call).await,
        ("/logout", &Method::POST) => sign_in::logout(&mut call).await,
        ("/logout-all", &Method::POST) => Ok(sign_in::logout_all(&call).await),
        ("/password", &Method::POST) => account::password(&mut call).await,
        ("/me", &Method::GET) => Ok(account::me(&call).await),
        ("/sessions", &Method::GET) => Ok(account::sessions(&call).await),
        ("/.well-known/jwks.json", &Method::GET) => {
            Ok(Ok(Answer::jwks(&call.auth.jwks(), JWKS_MAX_AGE.as_secs())))
        }
        ("/login" | "/refresh" | "/logout" | "/logout-all" | "/password", _) => only("POST"),
        ("/me" | "/sessions" | "/.well-known/jwks.json", _) => only("GET, HEAD"),
        _ => match (path.strip_prefix("/sessions/"), method) {
            (Some(id), &Method::DELETE) => Ok(account::end_session(&call, id).await),
            (Some(_), _) => only("DELETE"),
            (None, _) => Ok(Err(Refusal::RouteUnknown)),
        },
    }
}

/// Whether cookies count as a credential.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Accept {
    /// Reading changes nothing: a cookie will do.
    CookieOrBearer,
    /// What changes something must be asked for by a caller who holds the token: a browser sends cookies for
    /// anybody (T51).
    Bearer,
}

impl Call<'_> {
    fn headers(&self) -> &HeaderMap {
        &self.session.req_header().headers
    }

    /// The client's address, through trusted proxies.
    fn address(&self) -> IpAddr {
        downstream::client(self.session, self.snapshot)
    }

    fn user_agent(&self) -> Option<String> {
        self.headers().get(header::USER_AGENT).and_then(|v| v.to_str().ok()).map(str::to_owned)
    }

    /// Who is calling, through the same check as every request.
    async fn caller(&self, accept: Accept) -> Result<Admission, Refusal> {
        let credential = credential::read(self.headers(), &self.snapshot.settings.profile.issuer)?;
        let token = credential.token.filter(|_| !credential.by_cookie || accept == Accept::CookieOrBearer);
        let token = token.ok_or(Refusal::TokenMissing)?;
        let admission = self.auth.authenticate(token, true, self.control, &self.snapshot.settings).await?;
        self.account.belongs_to(&admission.identity);
        Ok(admission)
    }

    /// The JSON object in the body.
    async fn fields(&mut self) -> pingora::Result<Result<Fields, Refusal>> {
        body::read(self.session).await
    }
}
