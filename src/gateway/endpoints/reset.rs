//! `reset`: asks for a link to set a new password. `reset/link`: the page that the link leads to.
//!
//! `GET` uses no link up: scanners of mail servers open every link.

use http::{HeaderMap, header};
use serde_json::json;

use super::browser_page::{FORM, guard, kept_visit, page, refused_page, visit};
use super::form::Form;
use super::logout::ended;
use super::{Call, EndpointError, OwnResponse};
use crate::auth::{Letterhead, LinkUse, OpenedLink, ResetRequest};
use crate::error::{LinkRefusal, Refusal};
use crate::gateway::authorize::navigation;
use crate::pages::{
    LinkEnd, LinkEndPage, LinkPage, Page, PasswordHints, PasswordProblem, ResetPage, ResetProblem,
};
use crate::password::{MAX_BYTES, Names, Password, Person};
use crate::secret::Secret;
use crate::snapshot::Snapshot;
use crate::vault::LinkPurpose;

/// Maximum length of what is typed as a name, in bytes: more than any name or address has.
const MAX_NAME: usize = 512;

/// Returns the URL of the form that asks for a link; `None` where no mails are sent, or no passwords sign people in.
pub(super) fn url(snapshot: &Snapshot) -> Option<String> {
    let settings = &snapshot.settings;
    (settings.mail.is_some() && settings.passwords).then(|| format!("{}/reset", snapshot.server.auth_prefix))
}

/// Returns the head of a mail that this request causes. Its address is one of `server.public_urls`: that of the page, if it is one.
/// A forged `Host` therefore chooses among them at most.
pub(super) fn letterhead(headers: &HeaderMap, snapshot: &Snapshot) -> Option<Letterhead> {
    let urls = &snapshot.server.public_urls;
    let site = own_site(headers, snapshot).or_else(|| urls.first().map(String::as_str))?.to_owned();
    let base = format!("{site}{}", snapshot.server.auth_prefix);
    Some(Letterhead { site, base, language: navigation::language(headers) })
}

/// Returns the public URL that is the origin of the page with the form.
pub(super) fn own_site<'a>(headers: &HeaderMap, snapshot: &'a Snapshot) -> Option<&'a str> {
    let origin = headers.get(header::ORIGIN)?.to_str().ok()?;
    snapshot.server.public_urls.iter().map(String::as_str).find(|url| *url == origin)
}

/// `GET reset`: the form.
pub(super) async fn show(call: &mut Call<'_>) -> Result<OwnResponse, EndpointError> {
    url(call.snapshot).ok_or(Refusal::RouteUnknown)?;
    Ok(form_page(call, "", None, false))
}

/// `POST reset`: `{username}`. The response is the same for everybody.
pub(super) async fn submit_json(call: &mut Call<'_>) -> Result<OwnResponse, EndpointError> {
    let mut fields = call.fields().await?;
    let name = fields.string("username")?;
    fields.done(&["username"])?;
    if name.expose().len() > MAX_NAME {
        return Err(Refusal::RequestInvalid("username: too long".into()).into());
    }
    request(call, name.expose().trim(), None).await?;
    Ok(OwnResponse::json(&json!({})))
}

/// `POST reset`, a form: the same for everybody.
pub(super) async fn submit_form(call: &mut Call<'_>) -> Result<OwnResponse, EndpointError> {
    url(call.snapshot).ok_or(Refusal::RouteUnknown)?;
    let form = call.form().await?;
    let visit = visit(call).map(str::to_owned);
    let name = form.get("username").map(str::trim).filter(|name| !name.is_empty() && name.len() <= MAX_NAME);
    if let Err(refusal) = guard(call, &form, visit.as_deref().map(str::as_bytes)) {
        if refusal != Refusal::FormInvalid {
            return Err(refusal.into());
        }
        return Ok(form_page(
            call,
            name.unwrap_or_default(),
            Some((refusal, ResetProblem::FormExpired)),
            false,
        ));
    }
    let Some(name) = name else {
        let refusal = Refusal::RequestInvalid("username: missing".into());
        return Ok(form_page(call, "", Some((refusal, ResetProblem::Incomplete)), false));
    };
    match request(call, name, visit).await {
        Ok(()) => Ok(form_page(call, "", None, true)),
        Err(refusal) => {
            let problem = match &refusal {
                Refusal::RateLimited(wait) => ResetProblem::TooMany(*wait),
                Refusal::StoreUnavailable | Refusal::Overloaded => ResetProblem::Unavailable,
                _ => return Err(refusal.into()),
            };
            Ok(form_page(call, name, Some((refusal, problem)), false))
        }
    }
}

/// Asks for a link. A browser at an address that is not in `server.public_urls` would not have its cookie where the link leads.
async fn request(call: &Call<'_>, name: &str, browser: Option<String>) -> Result<(), Refusal> {
    let browser = browser.filter(|_| own_site(call.headers(), call.snapshot).is_some());
    let letterhead = letterhead(call.headers(), call.snapshot).ok_or(Refusal::RouteUnknown)?;
    let (address, devices) = (call.address(), call.devices());
    let request = ResetRequest { name: Secret::new(name.to_owned()), address, devices, browser, letterhead };
    call.auth.request_reset(request, &call.snapshot.settings).await
}

fn form_page(
    call: &mut Call<'_>,
    username: &str,
    problem: Option<(Refusal, ResetProblem)>,
    done: bool,
) -> OwnResponse {
    let visit = kept_visit(call);
    let csrf = call.auth.form_token(FORM, visit.as_bytes());
    let prefix = &call.snapshot.server.auth_prefix;
    let (action, sign_in) = (format!("{prefix}/reset"), format!("{prefix}/login"));
    let content = Page::Reset(ResetPage {
        action: &action,
        csrf: &csrf,
        username,
        sign_in: &sign_in,
        problem: problem.as_ref().map(|(_, problem)| *problem),
        done,
    });
    match problem {
        None => page(call, &content),
        Some((refusal, _)) => refused_page(call, &refusal, &content),
    }
}

/// `GET reset/link?token=…`: the form for the new password. It uses nothing up.
pub(super) async fn show_link(call: &mut Call<'_>) -> Result<OwnResponse, EndpointError> {
    let query = Form::parse(call.query()).unwrap_or_default();
    let token = query.get("token").unwrap_or_default().to_owned();
    let browser = visit(call).map(str::to_owned);
    let opened = call.auth.open_link(&token, browser.as_deref(), &call.snapshot.settings).await;
    let shown = match opened {
        Ok(opened) => link_page(call, &token, &opened, None),
        Err(Refusal::Link(why)) => end_page(call, why),
        Err(refusal) => return Err(refusal.into()),
    };
    Ok(shown.without_path_in_referrer())
}

/// `POST reset/link`: `{token, new_password}`; sets the password and ends every session.
pub(super) async fn use_json(call: &mut Call<'_>) -> Result<OwnResponse, EndpointError> {
    let mut fields = call.fields().await?;
    let (token, new) = (fields.string("token")?, fields.string("new_password")?);
    fields.done(&["token", "new_password"])?;
    let long = |_| Refusal::RequestInvalid("new_password: too long".to_owned());
    let new = Password::new(new.expose()).map_err(long)?;
    let letterhead = letterhead(call.headers(), call.snapshot).ok_or(Refusal::RouteUnknown)?;
    let given = LinkUse { token: token.expose(), browser: None, new, letterhead };
    let revoked = call.auth.use_link(given, &call.snapshot.settings).await?;
    Ok(ended(&revoked))
}

/// `POST reset/link`, a form: sets the password, and leads to the sign-in.
pub(super) async fn use_form(call: &mut Call<'_>) -> Result<OwnResponse, EndpointError> {
    let form = call.form().await?;
    let token = form.get("token").unwrap_or_default();
    let browser = visit(call).map(str::to_owned);
    let expired = guard(call, &form, browser.as_deref().map(str::as_bytes)).err();
    if let Some(refusal) = expired.as_ref().filter(|refusal| **refusal != Refusal::FormInvalid) {
        return Err(refusal.clone().into());
    }
    let settings = &call.snapshot.settings;
    let opened = match call.auth.open_link(token, browser.as_deref(), settings).await {
        Ok(opened) => opened,
        Err(Refusal::Link(why)) => return Ok(end_page(call, why).without_path_in_referrer()),
        Err(refusal) => return Err(refusal.into()),
    };
    let problem = if let Some(refusal) = expired {
        (refusal, PasswordProblem::FormExpired)
    } else {
        match set(call, token, browser.as_deref(), form.get("new_password")).await {
            Ok(response) => return Ok(response.without_path_in_referrer()),
            Err(Refusal::Link(why)) => return Ok(end_page(call, why).without_path_in_referrer()),
            Err(refusal) => {
                let problem = match &refusal {
                    Refusal::PasswordRejected(fault) => PasswordProblem::Rejected(*fault),
                    Refusal::RequestInvalid(_) => PasswordProblem::Incomplete,
                    Refusal::StoreUnavailable | Refusal::Overloaded => PasswordProblem::Unavailable,
                    _ => return Err(refusal.into()),
                };
                (refusal, problem)
            }
        }
    };
    Ok(link_page(call, token, &opened, Some(problem)).without_path_in_referrer())
}

async fn set(
    call: &Call<'_>,
    token: &str,
    browser: Option<&str>,
    new: Option<&str>,
) -> Result<OwnResponse, Refusal> {
    let new = new.ok_or_else(|| Refusal::RequestInvalid("new_password: missing".to_owned()))?;
    let new = Password::new(new).map_err(Refusal::PasswordRejected)?;
    let letterhead = letterhead(call.headers(), call.snapshot).ok_or(Refusal::RouteUnknown)?;
    let given = LinkUse { token, browser, new, letterhead };
    call.auth.use_link(given, &call.snapshot.settings).await?;
    let sign_in = format!("{}/login", call.snapshot.server.auth_prefix);
    Ok(page(call, &Page::LinkEnd(LinkEndPage { end: LinkEnd::PasswordSet, sign_in: &sign_in, again: None })))
}

fn link_page(
    call: &mut Call<'_>,
    token: &str,
    opened: &OpenedLink,
    problem: Option<(Refusal, PasswordProblem)>,
) -> OwnResponse {
    let visit = kept_visit(call);
    let csrf = call.auth.form_token(FORM, visit.as_bytes());
    let action = format!("{}/reset/link", call.snapshot.server.auth_prefix);
    let OpenedLink { purpose, user, min_length } = opened;
    let person = Person::with(&user.login, &user.attributes);
    let Names { own, site } = call.snapshot.settings.password_rules.names(person);
    let rules =
        PasswordHints { min_length: *min_length, max_bytes: MAX_BYTES, own_names: own, site_names: site };
    let content = Page::Link(LinkPage {
        action: &action,
        csrf: &csrf,
        token,
        user: user.login.as_str(),
        rules: &rules,
        is_invitation: *purpose == LinkPurpose::Invitation,
        problem: problem.as_ref().map(|(_, problem)| *problem),
    });
    match problem {
        None => page(call, &content),
        Some((refusal, _)) => refused_page(call, &refusal, &content),
    }
}

/// Returns the page of a link that cannot be used here.
pub(super) fn end_page(call: &Call<'_>, why: LinkRefusal) -> OwnResponse {
    let end = match why {
        LinkRefusal::Invalid => LinkEnd::Invalid,
        LinkRefusal::OtherBrowser => LinkEnd::OtherBrowser,
    };
    let (again, sign_in) = (url(call.snapshot), format!("{}/login", call.snapshot.server.auth_prefix));
    let content = Page::LinkEnd(LinkEndPage { end, sign_in: &sign_in, again: again.as_deref() });
    refused_page(call, &why.into(), &content)
}
