//! `password` as a page: form to change the password.

use std::sync::Arc;

use super::{Call, FORM, Links, OwnResponse, page, rendered, session_mark, submitted};
use crate::auth::PasswordChange;
use crate::error::Refusal;
use crate::identity::Identity;
use crate::pages::{Page, PasswordPage, PasswordProblem};
use crate::password::{Password, PasswordRejected};

/// `GET password`: the page.
pub(in super::super) async fn show(call: &mut Call<'_>) -> Result<OwnResponse, Refusal> {
    let identity = call.browser_user().await?;
    form_page(call, &identity, None, false)
}

/// `POST password`, a form: changes the password and shows the page again.
pub(in super::super) async fn submit(call: &mut Call<'_>) -> pingora::Result<Result<OwnResponse, Refusal>> {
    let form = match submitted(call).await? {
        Ok(form) => form,
        Err(refusal) => return Ok(Err(refusal)),
    };
    let identity = match call.browser_user().await {
        Ok(identity) => identity,
        Err(refusal) => return Ok(Err(refusal)),
    };
    let rejected = |what: &str| Refusal::PasswordRejected(what.to_owned());
    let (Some(current), Some(new)) = (form.get("current_password"), form.get("new_password")) else {
        let problem = (rejected("missing"), PasswordProblem::Incomplete);
        return Ok(form_page(call, &identity, Some(problem), false));
    };
    let Ok(current) = Password::new(current) else {
        let problem = (rejected("too long"), PasswordProblem::CurrentWrong);
        return Ok(form_page(call, &identity, Some(problem), false));
    };
    let Ok(new) = Password::new(new) else {
        let problem = (rejected("too long"), PasswordProblem::TooLong);
        return Ok(form_page(call, &identity, Some(problem), false));
    };
    let settings = &call.snapshot.settings;
    let acceptable = new.acceptable(identity.login(), &settings.brand, settings.min_password_length);
    let (address, registration) = (call.address(), call.registration.as_ref());
    let change = PasswordChange { current, new, address, registration };
    let changed = call.auth.change_password(&identity, change, settings).await;
    Ok(match changed {
        Ok(changed) => {
            let device = call.auth.device_cookie_after_change(&identity, &changed, &call.devices());
            call.set.set_device(&device, call.snapshot);
            form_page(call, &identity, None, true)
        }
        Err(refusal) => {
            let problem = match &refusal {
                Refusal::PasswordRejected(_) => match acceptable {
                    Ok(()) => PasswordProblem::CurrentWrong,
                    Err(PasswordRejected::TooLong) => PasswordProblem::TooLong,
                    Err(PasswordRejected::TooShort { .. }) => PasswordProblem::TooShort,
                    Err(PasswordRejected::Guessable) => PasswordProblem::Guessable,
                },
                Refusal::RateLimited(wait) => PasswordProblem::TooMany(*wait),
                Refusal::StoreUnavailable | Refusal::Overloaded => PasswordProblem::Unavailable,
                _ => return Ok(Err(refusal)),
            };
            form_page(call, &identity, Some((refusal, problem)), false)
        }
    })
}

fn form_page(
    call: &Call<'_>,
    identity: &Arc<Identity>,
    problem: Option<(Refusal, PasswordProblem)>,
    done: bool,
) -> Result<OwnResponse, Refusal> {
    let mark = session_mark(call.headers(), call.auth, call.snapshot).ok_or(Refusal::TokenMissing)?;
    let prefix = &call.snapshot.server.auth_prefix;
    let (links, csrf) = (Links::new(prefix), call.auth.form_token(FORM, &mark));
    let action = format!("{prefix}/password");
    let content = Page::Password(PasswordPage {
        account: links.account(identity.login().as_str(), &csrf),
        action: &action,
        min_length: call.snapshot.settings.min_password_length,
        problem: problem.as_ref().map(|(_, problem)| *problem),
        done,
    });
    Ok(match problem {
        None => page(call, &content),
        Some((refusal, _)) => {
            OwnResponse::refused_page(&refusal, call.account.request_id.as_ref(), rendered(call, &content))
        }
    })
}
