//! `email`: sends a link that verifies the user's address. `email/link`: the page that the link leads to.
//!
//! `GET` uses no link up: scanners of mail servers open every link.

use serde_json::json;

use super::browser_page::{FORM, guard, kept_visit, page, refused_page, submitted, visit};
use super::form::Form;
use super::reset::{end_page, letterhead, own_site};
use super::{Accept, Call, EndpointError, OwnResponse};
use crate::auth::{OpenedVerification, VerificationRequest};
use crate::error::Refusal;
use crate::identity::Attributes;
use crate::pages::{LinkEnd, LinkEndPage, Page, VerifyPage};
use crate::snapshot::Snapshot;

/// Returns the URL to post for a link; `None` where no mails are sent, or if there is nothing to verify.
pub(super) fn url(snapshot: &Snapshot, attributes: &Attributes) -> Option<String> {
    let is_open = attributes.email().is_some() && !attributes.email_verified();
    (is_open && snapshot.settings.mail.is_some()).then(|| format!("{}/email", snapshot.server.auth_prefix))
}

/// `POST email`, a form of the account page: sends a link.
pub(super) async fn request_form(call: &mut Call<'_>) -> Result<OwnResponse, EndpointError> {
    let identity = call.browser_user().await?;
    submitted(call).await?;
    // A browser at an address that is not in `server.public_urls` would not have its cookie where the link leads.
    let browser = Some(kept_visit(call)).filter(|_| own_site(call.headers(), call.snapshot).is_some());
    let letterhead = letterhead(call.headers(), call.snapshot).ok_or(Refusal::RouteUnknown)?;
    let request = VerificationRequest { browser, letterhead };
    call.auth.request_verification(&identity, request, &call.snapshot.settings).await?;
    Ok(end(call, LinkEnd::VerificationSent))
}

/// `POST email`: sends a link, which any browser can use.
pub(super) async fn request_json(call: &mut Call<'_>) -> Result<OwnResponse, EndpointError> {
    let identity = call.caller(Accept::Bearer).await?;
    call.fields().await?.done(&[])?;
    let letterhead = letterhead(call.headers(), call.snapshot).ok_or(Refusal::RouteUnknown)?;
    let request = VerificationRequest { browser: None, letterhead };
    call.auth.request_verification(&identity, request, &call.snapshot.settings).await?;
    Ok(OwnResponse::json(&json!({})))
}

/// `GET email/link?token=…`: the form that confirms the address. It uses nothing up.
pub(super) async fn show_link(call: &mut Call<'_>) -> Result<OwnResponse, EndpointError> {
    let query = Form::parse(call.query()).unwrap_or_default();
    let token = query.get("token").unwrap_or_default();
    let browser = visit(call).map(str::to_owned);
    let shown = match call.auth.open_verification(token, browser.as_deref()).await {
        Ok(opened) => form_page(call, token, &opened, None),
        Err(Refusal::Link(why)) => end_page(call, why),
        Err(refusal) => return Err(refusal.into()),
    };
    Ok(shown.without_path_in_referrer())
}

/// `POST email/link`, a form: verifies the address.
pub(super) async fn use_form(call: &mut Call<'_>) -> Result<OwnResponse, EndpointError> {
    let form = call.form().await?;
    let token = form.get("token").unwrap_or_default();
    let browser = visit(call).map(str::to_owned);
    if let Err(refusal) = guard(call, &form, browser.as_deref().map(str::as_bytes)) {
        if refusal != Refusal::FormInvalid {
            return Err(refusal.into());
        }
        let shown = match call.auth.open_verification(token, browser.as_deref()).await {
            Ok(opened) => form_page(call, token, &opened, Some(refusal)),
            Err(Refusal::Link(why)) => end_page(call, why),
            Err(refusal) => return Err(refusal.into()),
        };
        return Ok(shown.without_path_in_referrer());
    }
    let shown = match call.auth.verify_address(token, browser.as_deref()).await {
        Ok(()) => end(call, LinkEnd::AddressVerified),
        Err(Refusal::Link(why)) => end_page(call, why),
        Err(refusal) => return Err(refusal.into()),
    };
    Ok(shown.without_path_in_referrer())
}

fn form_page(
    call: &mut Call<'_>,
    token: &str,
    opened: &OpenedVerification,
    expired: Option<Refusal>,
) -> OwnResponse {
    let csrf = kept_visit(call);
    let csrf = call.auth.form_token(FORM, csrf.as_bytes());
    let action = format!("{}/email/link", call.snapshot.server.auth_prefix);
    let content = Page::Verify(VerifyPage {
        action: &action,
        csrf: &csrf,
        token,
        user: opened.user.login.as_str(),
        email: &opened.email,
        is_expired: expired.is_some(),
    });
    match expired {
        None => page(call, &content),
        Some(refusal) => refused_page(call, &refusal, &content),
    }
}

fn end(call: &Call<'_>, end: LinkEnd) -> OwnResponse {
    let account = format!("{}/account", call.snapshot.server.auth_prefix);
    page(call, &Page::LinkEnd(LinkEndPage { end, sign_in: &account, again: None }))
}
