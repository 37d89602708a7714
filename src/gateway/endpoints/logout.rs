//! `logout` and `logout-all`: end of the caller's session, or of all sessions of its user, as JSON and by the form of a page.

use serde_json::json;

use super::browser_page::{
    Links, form_token, is_from_our_page, page, refused_page, session_digest, submitted,
};
use super::form::Form;
use super::{Accept, Call, EndpointError, OwnResponse, providers};
use crate::auth::{OpenedBy, Propagation, Revoked, SignOutAtProvider};
use crate::error::Refusal;
use crate::gateway::authorize::authentication::refresh_cookie;
use crate::gateway::authorize::credential::cookie_fields;
use crate::gateway::authorize::navigation;
use crate::pages::{Page, SignOut, SignedOut, StillSignedIn};
use crate::policy::cookies::{self, Found};
use crate::vault::EndReason;

/// `POST logout`: ends the session of the bearer token; with `{refresh_token}`, the session of that token, for clients with an
/// expired access token.
pub(super) async fn submit_json(call: &mut Call<'_>) -> Result<OwnResponse, EndpointError> {
    let mut fields = call.fields().await?;
    let token = fields.optional("refresh_token")?;
    fields.done(&["refresh_token"])?;
    let revoked = if let Some(token) = token {
        call.auth.logout_by_refresh(token.expose(), &call.snapshot.settings).await?
    } else {
        let caller = call.caller(Accept::Bearer).await?;
        call.unregister();
        call.auth
            .end_session(caller.session_id(), caller.user_id(), EndReason::Logout, &call.snapshot.settings)
            .await?
    };
    Ok(ended(&revoked))
}

/// `POST logout-all`: ends every session of the bearer's user.
pub(super) async fn everywhere_json(call: &mut Call<'_>) -> Result<OwnResponse, EndpointError> {
    let caller = call.caller(Accept::Bearer).await?;
    call.unregister();
    Ok(ended(&call.auth.end_all(caller.user_id(), &call.snapshot.settings).await?))
}

/// Returns the response after sessions were ended.
pub(super) fn ended(revoked: &Revoked) -> OwnResponse {
    let propagation = match revoked.propagation {
        Propagation::Complete => "complete",
        Propagation::Vault => "vault",
    };
    OwnResponse::json(&json!({ "ended": revoked.sessions, "propagation": propagation }))
}

/// `GET logout`: confirmation page.
pub(super) async fn show(call: &mut Call<'_>) -> Result<OwnResponse, EndpointError> {
    match call.browser_user().await {
        Ok(identity) => {
            let links = Links::new(&call.snapshot.server.auth_prefix);
            let csrf = form_token(call).unwrap_or_default();
            let account = links.account(identity.login().as_str(), &csrf);
            Ok(page(call, &Page::SignOut(SignOut { account })))
        }
        Err(undecided @ (Refusal::StoreUnavailable | Refusal::Overloaded | Refusal::Internal)) => {
            Err(undecided.into())
        }
        Err(_) => Ok(signed_out(call, false, None, None)),
    }
}

/// Returns the redirect after a sign-out, if one is set. Only for navigation, not for scripts.
fn redirect_after(call: &Call<'_>) -> Option<OwnResponse> {
    let to = call.snapshot.browser.after_sign_out.as_deref()?;
    navigation::is_navigation(call.session.req_header()).then(|| OwnResponse::see_other(to))
}

/// `POST logout` and `POST logout-all`, forms. This browser's cookies are deleted in any case. If the vault is unavailable, this
/// gateway ends the session as soon as the vault is back, unless it stops before.
pub(super) async fn submit_form(call: &mut Call<'_>, everywhere: bool) -> Result<OwnResponse, EndpointError> {
    match submitted(call).await {
        Ok(_) => {}
        Err(EndpointError::Refused(Refusal::FormInvalid))
            if is_from_our_page(call) && has_no_session(call) =>
        {
            call.cookies.forget(call.snapshot);
            return Ok(redirect_after(call).unwrap_or_else(|| signed_out(call, false, None, None)));
        }
        Err(error) => return Err(error),
    }
    let cookie = refresh_cookie(call.headers(), &call.snapshot.cookies).map(str::to_owned);
    let opened_by = opened_by(call).await;
    let ended = if everywhere {
        match call.browser_user().await {
            Ok(identity) => {
                call.unregister();
                call.auth.end_all(identity.user_id(), &call.snapshot.settings).await.map(drop)
            }
            Err(refusal) => Err(refusal),
        }
    } else {
        end_own_session(call, cookie.as_deref()).await
    };
    call.cookies.forget(call.snapshot);
    providers::hold(call);
    let kinds = call.snapshot.browser.clear_site_data.iter().map(|kind| kind.directive());
    let kinds = kinds.collect::<Vec<_>>().join(", ");
    let response = match ended {
        Err(refusal @ (Refusal::StoreUnavailable | Refusal::Overloaded | Refusal::Internal)) => {
            if let Some(cookie) = cookie {
                call.auth.logout_browser_later(&cookie);
            }
            signed_out(call, false, Some(refusal), None)
        }
        // A session that had ended before counts as ended.
        ended => {
            let everywhere = everywhere && ended.is_ok();
            match at_provider(call, opened_by).await {
                Some(SignOutAtProvider::To(url)) => OwnResponse::see_other(&url),
                Some(SignOutAtProvider::Unavailable { label, url }) => {
                    let still = StillSignedIn { provider: &label, sign_out: url.as_deref() };
                    signed_out(call, everywhere, None, Some(still))
                }
                None => redirect_after(call).unwrap_or_else(|| signed_out(call, everywhere, None, None)),
            }
        }
    };
    Ok(response.clearing(&kinds))
}

/// Returns whether this browser has signed out before, in another tab. With two cookies of one name that is unknown.
fn has_no_session(call: &Call<'_>) -> bool {
    let names = call.snapshot.cookies;
    let several = |name: &str| cookies::find(cookie_fields(call.headers()), name) == Found::Several;
    !several(names.access) && !several(names.refresh) && session_digest(call).is_none()
}

/// Ends the session of this browser: by the refresh cookie, which is valid for longer, otherwise by the access cookie.
async fn end_own_session(call: &mut Call<'_>, cookie: Option<&str>) -> Result<(), Refusal> {
    if let Some(cookie) = cookie {
        match call.auth.logout_browser(cookie, &call.snapshot.settings).await {
            Err(Refusal::RefreshInvalid) => {}
            ended => return ended.map(drop),
        }
    }
    let identity = call.browser_user().await?;
    let (session, user) = (identity.session_id(), identity.user_id());
    call.unregister();
    call.auth.end_session(session, user, EndReason::Logout, &call.snapshot.settings).await.map(drop)
}

/// Returns the provider of this browser's session, if the session is to be signed out there as well.
async fn opened_by(call: &mut Call<'_>) -> Option<OpenedBy> {
    if call.snapshot.settings.providers.iter().all(|provider| !provider.settings().logout) {
        return None;
    }
    let identity = call.browser_user().await.ok()?;
    let opened_by = call.auth.opened_by(identity.session_id(), &call.snapshot.settings).await;
    // The end of its session must not cut this request.
    call.unregister();
    opened_by
}

/// Returns where this browser signs out at the provider. Asked after the session has ended, which waits for no provider.
async fn at_provider(call: &mut Call<'_>, opened_by: Option<OpenedBy>) -> Option<SignOutAtProvider> {
    let opened_by = opened_by?;
    let return_to = providers::address(call, opened_by.provider(), "signed-out");
    let state = call.auth.form_token(SIGN_OUT, b"");
    Some(opened_by.sign_out(&return_to, &state).await)
}

/// Purpose of the state of a sign-out at a provider.
const SIGN_OUT: &str = "sign-out at a provider";

/// `GET providers/{id}/signed-out`: the browser comes back from the provider's sign-out. Without the state that it was sent
/// there with, nothing was signed out here: it goes to the page that asks. So does a browser that is signed in: the state may be
/// that of another one, whose user would have this one believe the session had ended.
pub(super) async fn signed_out_there(call: &mut Call<'_>) -> Result<OwnResponse, EndpointError> {
    let query = Form::parse(call.query())?;
    let state = query.get("state").unwrap_or_default();
    if !call.auth.is_form_token_valid(state, SIGN_OUT, b"") || call.browser_user().await.is_ok() {
        return Ok(OwnResponse::see_other(&format!("{}/logout", call.snapshot.server.auth_prefix)));
    }
    // Again: a person may have taken a while there.
    providers::hold(call);
    Ok(redirect_after(call).unwrap_or_else(|| signed_out(call, false, None, None)))
}

fn signed_out(
    call: &Call<'_>,
    everywhere: bool,
    pending: Option<Refusal>,
    still_at: Option<StillSignedIn<'_>>,
) -> OwnResponse {
    let sign_in = format!("{}/login", call.snapshot.server.auth_prefix);
    let content =
        Page::SignedOut(SignedOut { sign_in: &sign_in, everywhere, pending: pending.is_some(), still_at });
    match pending {
        None => page(call, &content),
        Some(refusal) => refused_page(call, &refusal, &content),
    }
}
