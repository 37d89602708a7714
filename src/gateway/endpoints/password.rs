//! `password`: change of the password, as JSON and by the form of its page.

use std::sync::Arc;

use super::account::has_password;
use super::browser_page::{FORM, Links, page, password_rules, refused_page, session_digest, submitted};
use super::logout::ended;
use super::{Accept, Call, EndpointError, OwnResponse, reset};
use crate::auth::PasswordChange;
use crate::error::{PasswordFault, Refusal};
use crate::identity::Identity;
use crate::pages::{Page, PasswordPage, PasswordProblem};
use crate::password::Password;

/// `POST password`: `{current_password, new_password}`; changes the password and ends the other sessions.
pub(super) async fn submit_json(call: &mut Call<'_>) -> Result<OwnResponse, EndpointError> {
    let identity = call.caller(Accept::Bearer).await?;
    let mut fields = call.fields().await?;
    let (current, new) = (fields.string("current_password")?, fields.string("new_password")?);
    fields.done(&["current_password", "new_password"])?;
    let long = |name: &str| Refusal::RequestInvalid(format!("{name}: too long"));
    let current = Password::new(current.expose()).map_err(|_| long("current_password"))?;
    let new = Password::new(new.expose()).map_err(|_| long("new_password"))?;
    let letterhead = reset::letterhead(call.headers(), call.snapshot);
    let (address, registration) = (call.address(), call.registration.as_ref());
    let change = PasswordChange { current, new, address, letterhead, registration };
    let changed = call.auth.change_password(&identity, change, &call.snapshot.settings).await?;
    Ok(ended(&changed.revoked))
}

/// `GET password`: the page. A user without a password goes on to the account page.
pub(super) async fn show(call: &mut Call<'_>) -> Result<OwnResponse, EndpointError> {
    let identity = call.browser_user().await?;
    if !has_password(call, &identity).await? {
        return Ok(OwnResponse::see_other(&format!("{}/account", call.snapshot.server.auth_prefix)));
    }
    Ok(form_page(call, &identity, None, false).await?)
}

/// `POST password`, a form: changes the password and shows the page again.
pub(super) async fn submit_form(call: &mut Call<'_>) -> Result<OwnResponse, EndpointError> {
    let form = submitted(call).await?;
    let identity = call.browser_user().await?;
    let rejected = |fault| Some((Refusal::PasswordRejected(fault), PasswordProblem::Rejected(fault)));
    let (Some(current), Some(new)) = (form.get("current_password"), form.get("new_password")) else {
        let refusal = Refusal::RequestInvalid("a password is missing".to_owned());
        return Ok(form_page(call, &identity, Some((refusal, PasswordProblem::Incomplete)), false).await?);
    };
    let Ok(current) = Password::new(current) else {
        return Ok(form_page(call, &identity, rejected(PasswordFault::CurrentWrong), false).await?);
    };
    let new = match Password::new(new) {
        Ok(new) => new,
        Err(fault) => return Ok(form_page(call, &identity, rejected(fault), false).await?),
    };
    let letterhead = reset::letterhead(call.headers(), call.snapshot);
    let (address, registration) = (call.address(), call.registration.as_ref());
    let change = PasswordChange { current, new, address, letterhead, registration };
    let changed = call.auth.change_password(&identity, change, &call.snapshot.settings).await;
    let page = match changed {
        Ok(changed) => {
            let device = call.auth.device_cookie_after_change(&identity, &changed, &call.devices());
            call.cookies.set_device(&device, call.snapshot);
            form_page(call, &identity, None, true).await
        }
        Err(refusal) => {
            let problem = match &refusal {
                Refusal::PasswordRejected(fault) => PasswordProblem::Rejected(*fault),
                Refusal::RateLimited(wait) => PasswordProblem::TooMany(*wait),
                Refusal::StoreUnavailable | Refusal::Overloaded => PasswordProblem::Unavailable,
                _ => return Err(refusal.into()),
            };
            form_page(call, &identity, Some((refusal, problem)), false).await
        }
    };
    Ok(page?)
}

async fn form_page(
    call: &Call<'_>,
    identity: &Arc<Identity>,
    problem: Option<(Refusal, PasswordProblem)>,
    done: bool,
) -> Result<OwnResponse, Refusal> {
    let digest = session_digest(call).ok_or(Refusal::TokenMissing)?;
    let prefix = &call.snapshot.server.auth_prefix;
    let (links, csrf) = (Links::new(prefix), call.auth.form_token(FORM, &digest));
    let action = format!("{prefix}/password");
    let rules = password_rules(call, identity).await?;
    let content = Page::Password(PasswordPage {
        account: links.account(identity.login().as_str(), &csrf),
        action: &action,
        rules: &rules,
        problem: problem.as_ref().map(|(_, problem)| *problem),
        done,
    });
    Ok(match problem {
        None => page(call, &content),
        Some((refusal, _)) => refused_page(call, &refusal, &content),
    })
}
