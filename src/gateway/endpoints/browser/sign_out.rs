//! `logout` and `logout-all` from a page, and `refresh` by cookie.

use serde_json::json;

use super::{
    Call, Links, OwnResponse, form_token, is_from_our_page, page, rendered, session_mark, submitted,
};
use crate::error::Refusal;
use crate::gateway::authorize::credential::cookie_fields;
use crate::gateway::authorize::navigation;
use crate::gateway::authorize::silent_renewal::refresh_cookie;
use crate::pages::{Page, SignOut, SignedOut};
use crate::policy::cookies::{self, Found};
use crate::vault::EndReason;

/// `GET logout`: confirmation page.
pub(in super::super) async fn show(call: &mut Call<'_>) -> Result<OwnResponse, Refusal> {
    match call.browser_user().await {
        Ok(identity) => {
            let links = Links::new(&call.snapshot.server.auth_prefix);
            let csrf = form_token(call).unwrap_or_default();
            let account = links.account(identity.login().as_str(), &csrf);
            Ok(page(call, &Page::SignOut(SignOut { account })))
        }
        Err(undecided @ (Refusal::StoreUnavailable | Refusal::Overloaded | Refusal::Internal)) => {
            Err(undecided)
        }
        Err(_) => Ok(signed_out(call, false, None)),
    }
}

/// Returns the redirect after a sign-out, if one is set. Only for navigation, not for scripts.
fn redirect_after(call: &Call<'_>) -> Option<OwnResponse> {
    let to = call.snapshot.browser.after_sign_out.as_deref()?;
    navigation::is_navigation(call.session.req_header()).then(|| OwnResponse::see_other(to))
}

/// `POST logout` and `POST logout-all`, forms. This browser's cookies are deleted in any case. If the vault is unavailable, this
/// gateway ends the session as soon as the vault is back, unless it stops before.
pub(in super::super) async fn submit(
    call: &mut Call<'_>,
    everywhere: bool,
) -> pingora::Result<Result<OwnResponse, Refusal>> {
    match submitted(call).await? {
        Ok(_) => {}
        Err(Refusal::FormInvalid) if is_from_our_page(call) && has_no_session(call) => {
            call.set.forget(call.snapshot);
            return Ok(Ok(redirect_after(call).unwrap_or_else(|| signed_out(call, false, None))));
        }
        Err(refusal) => return Ok(Err(refusal)),
    }
    let cookie = refresh_cookie(call.headers(), &call.snapshot.cookies).map(str::to_owned);
    let ended = if everywhere {
        match call.browser_user().await {
            Ok(identity) => {
                call.unregister();
                call.auth.end_all(identity.user_id()).await.map(drop)
            }
            Err(refusal) => Err(refusal),
        }
    } else {
        end_this(call, cookie.as_deref()).await
    };
    call.set.forget(call.snapshot);
    let kinds = call.snapshot.browser.clear_site_data.iter().map(|kind| kind.directive());
    let kinds = kinds.collect::<Vec<_>>().join(", ");
    let response = match ended {
        Err(refusal @ (Refusal::StoreUnavailable | Refusal::Overloaded | Refusal::Internal)) => {
            if let Some(cookie) = cookie {
                call.auth.logout_browser_later(&cookie);
            }
            signed_out(call, false, Some(refusal))
        }
        // A session that had ended before counts as ended.
        ended => redirect_after(call).unwrap_or_else(|| signed_out(call, everywhere && ended.is_ok(), None)),
    };
    Ok(Ok(response.clearing(&kinds)))
}

/// Returns whether this browser has signed out before, in another tab. With two cookies of one name that is unknown.
fn has_no_session(call: &Call<'_>) -> bool {
    let names = call.snapshot.cookies;
    let several = |name: &str| cookies::find(cookie_fields(call.headers()), name) == Found::Several;
    !several(names.access)
        && !several(names.refresh)
        && session_mark(call.headers(), call.auth, call.snapshot).is_none()
}

/// Ends the session of this browser: by the refresh cookie, which is valid for longer, otherwise by the access cookie.
async fn end_this(call: &mut Call<'_>, cookie: Option<&str>) -> Result<(), Refusal> {
    if let Some(cookie) = cookie {
        match call.auth.logout_browser(cookie, &call.snapshot.settings).await {
            Err(Refusal::RefreshInvalid) => {}
            ended => return ended.map(drop),
        }
    }
    let identity = call.browser_user().await?;
    let (session, user) = (identity.session_id(), identity.user_id());
    call.unregister();
    call.auth.end_session(session, user, EndReason::Logout).await.map(drop)
}

fn signed_out(call: &Call<'_>, everywhere: bool, pending: Option<Refusal>) -> OwnResponse {
    let sign_in = format!("{}/login", call.snapshot.server.auth_prefix);
    let content = Page::SignedOut(SignedOut { sign_in: &sign_in, everywhere, pending: pending.is_some() });
    match pending {
        None => page(call, &content),
        Some(refusal) => {
            OwnResponse::refused_page(&refusal, call.account.request_id.as_ref(), rendered(call, &content))
        }
    }
}

/// `POST refresh`, a form: replaces the refresh cookie.
pub(in super::super) async fn refresh(call: &mut Call<'_>) -> pingora::Result<Result<OwnResponse, Refusal>> {
    if let Err(refusal) = submitted(call).await? {
        return Ok(Err(refusal));
    }
    let Some(cookie) = refresh_cookie(call.headers(), &call.snapshot.cookies).map(str::to_owned) else {
        return Ok(Err(Refusal::FormInvalid));
    };
    let renewed = call.auth.refresh_browser(&cookie, &call.snapshot.settings).await;
    Ok(renewed.map(|renewed| {
        call.set.set_tokens(&renewed.tokens, call.snapshot);
        OwnResponse::json(&json!({ "refreshed": true }))
    }))
}
