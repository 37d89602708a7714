//! `providers/{id}/…`: sign-in at identity providers.
//!
//! ```text
//! GET  start               flow sealed into a cookie -> 303 to the provider
//! GET  callback            flow opened by its state -> person -> session and its cookies -> 303 to where they came from
//! POST link, unlink        forms of the account page
//! POST backchannel-logout  sessions of a logout token end everywhere
//! GET  signed-out          back from the provider's own sign-out
//! ```

use std::sync::Arc;
use std::time::Duration;

use http::Method;

use super::{Call, EndpointError, OwnResponse};
use crate::config::Preset;
use crate::error::{ProviderRefusal, Refusal};
use crate::gateway::authorize::credential::cookie_fields;
use crate::gateway::request::client;
use crate::gateway::request::request_target::origin_form;
use crate::policy::cookies;
use crate::provider::{Prompt, Provider};

mod accounts;
mod backchannel;
mod callback;
mod start;

pub(super) use accounts::{linked, step_up};
pub(super) use start::{Start, only_provider, provider_of_address, start_url};

/// Time after a sign-out or a failed sign-in during which nobody is sent to a provider without asking: otherwise the
/// provider would sign them in again at once, or fail again.
const HOLD: Duration = Duration::from_secs(60);

/// Value of that mark when the account was refused: the provider must offer another one. Otherwise it would send the
/// browser back with the same account, again and again.
const ACCOUNT_REFUSED: &str = "account";

/// Serves a path below `providers/`.
pub(super) async fn serve(
    call: &mut Call<'_>,
    method: &Method,
    path: &str,
) -> Result<OwnResponse, EndpointError> {
    let only = |allowed: &str| Err(Refusal::MethodNotAllowed(allowed.to_owned()).into());
    let (id, step) = path.split_once('/').ok_or(Refusal::RouteUnknown)?;
    let provider = call.snapshot.settings.providers.find(id).map(Arc::clone).ok_or(Refusal::RouteUnknown)?;
    match (step, method) {
        ("start", &Method::GET) => start::start(call, &provider).await,
        ("callback", &Method::GET) => callback::callback(call, &provider).await,
        ("signed-out", &Method::GET) => super::logout::signed_out_there(call).await,
        ("link", &Method::POST) => accounts::link(call, &provider).await,
        ("unlink", &Method::POST) => accounts::unlink(call, &provider).await,
        ("backchannel-logout", &Method::POST) => backchannel::log_out(call, &provider).await,
        ("start" | "callback" | "signed-out", _) => only("GET, HEAD"),
        ("link" | "unlink" | "backchannel-logout", _) => only("POST"),
        _ => Err(Refusal::RouteUnknown.into()),
    }
}

/// Returns the address of one of the provider's paths, as the browser writes it: at the public URL of the request's host,
/// or at the first one. Never at a host that only the request names.
pub(super) fn address(call: &Call<'_>, provider: &Provider, step: &str) -> String {
    let urls = &call.snapshot.server.public_urls;
    let request = call.session.req_header();
    let host = match request.uri.authority() {
        Some(authority) => Some(authority.as_str()),
        None => request.headers.get(http::header::HOST).and_then(|host| host.to_str().ok()),
    };
    let origin = client::origin(call.session, call.snapshot);
    let host = origin.host.or(host).unwrap_or_default().to_ascii_lowercase();
    let is_of_host = |url: &&String| {
        let authority = url.split_once("://").map_or("", |(_, authority)| authority);
        authority == host || host.strip_suffix(":443") == Some(authority)
    };
    let base = urls.iter().find(is_of_host).or(urls.first()).map_or("", String::as_str);
    format!("{base}{}/providers/{}/{step}", call.snapshot.server.auth_prefix, provider.id())
}

/// Returns the name of a flow's cookie.
fn flow_cookie(call: &Call<'_>, suffix: &str) -> String {
    format!("{}{suffix}", call.snapshot.cookies.flow)
}

/// Returns the names of the flows' cookies that the browser sent, the oldest first (RFC 6265 section 5.4).
fn flow_cookies(call: &Call<'_>) -> Vec<String> {
    let prefix = call.snapshot.cookies.flow;
    cookies::names_with(cookie_fields(call.headers()), prefix).map(str::to_owned).collect()
}

/// Whether this browser has just signed out, or failed to sign in.
pub(super) fn is_held(call: &Call<'_>) -> bool {
    cookies::find(cookie_fields(call.headers()), call.snapshot.cookies.hold) != cookies::Found::None
}

/// Marks the browser as one that has just signed out, or failed to sign in.
pub(super) fn hold(call: &mut Call<'_>) {
    mark(call, "1");
}

/// Marks the browser as one whose sign-in has just been refused with this.
fn hold_after(call: &mut Call<'_>, refusal: &Refusal) {
    use ProviderRefusal::{AccountDisabled, LoginTaken, NoAccount, NoUsername, NotAllowed};
    let is_of_account = matches!(
        refusal,
        Refusal::Provider(AccountDisabled | LoginTaken | NoAccount | NoUsername | NotAllowed)
    );
    mark(call, if is_of_account { ACCOUNT_REFUSED } else { "1" });
}

/// Whether the account that the browser has just signed in with at a provider was refused here.
fn is_account_refused(call: &Call<'_>) -> bool {
    let mark = cookies::find(cookie_fields(call.headers()), call.snapshot.cookies.hold);
    mark == cookies::Found::One(ACCOUNT_REFUSED)
}

fn mark(call: &mut Call<'_>, value: &str) {
    if !call.snapshot.settings.providers.is_empty() {
        call.cookies.push(call.snapshot.cookies.hold, value, call.snapshot, Some(HOLD));
    }
}

/// Returns what a provider asks people who need another account than the one that it knows them by. A value that a
/// provider does not know is an error there, so each gets one that it documents.
const fn other_account(preset: Preset) -> Option<Prompt> {
    match preset {
        Preset::Google | Preset::Microsoft | Preset::GitHub => Some(Prompt::SelectAccount),
        Preset::GitLab => None,
        Preset::Oidc | Preset::Keycloak | Preset::Okta | Preset::Authentik => Some(Prompt::Login),
    }
}

/// Returns the query of the request as text.
fn query<'a>(call: &'a Call<'_>) -> Result<&'a str, Refusal> {
    let whole = origin_form(call.session.req_header());
    let query = whole.iter().position(|&byte| byte == b'?').map_or(&[][..], |at| &whole[at + 1..]);
    std::str::from_utf8(query).map_err(|_| ProviderRefusal::FlowLost.into())
}
