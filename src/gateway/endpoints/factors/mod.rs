//! Second factors: the second step of a sign-in, step-up, authenticator apps and recovery codes.
//!
//! ```text
//! GET, POST  login/factor     second step: a code
//! GET, POST  login/enrol      second step of users who must enrol a factor first
//! GET, POST  step-up          more proof for a session; POST takes JSON of programs too
//! GET, POST  totp             enrolment of an authenticator app in a session
//! POST       totp/remove      form of the account page
//! GET, POST  passkey          enrolment of a passkey in a session
//! POST       passkey/remove   form of the account page
//! POST       recovery-codes   form of the account page
//! ```

use super::{Call, EndpointError, OwnResponse};
use crate::error::Refusal;
use crate::gateway::authorize::navigation;
use crate::gateway::endpoints::Form;
use crate::pages::FactorProblem;

mod passkey_fields;
mod passkeys;
mod second_step;
mod step_up;
mod totp;

pub(super) use passkey_fields::{
    offer as passkey_offer, response as passkey_response, shown as shown_passkey,
};
pub(super) use passkeys::{remove as remove_passkey, show as show_passkey, submit as submit_passkey};
pub(super) use second_step::{begin, enrol, enrol_form, factor, factor_form};
pub(super) use step_up::{
    replace, show as show_step_up, submit_form as step_up_form, submit_json as step_up_json,
};
pub(super) use totp::{new_codes, on_account, remove, show as show_totp, submit as submit_totp};

/// Returns the problem to show in a form; the refusal itself if it is not one of a form.
fn problem(refusal: &Refusal) -> Option<FactorProblem> {
    use crate::error::FactorRefusal::{CodeWrong, PasskeyExpired, PasskeyUnknown, PasskeyWrong, Taken};
    Some(match refusal {
        Refusal::Factor(CodeWrong) => FactorProblem::CodeWrong,
        Refusal::Factor(PasskeyWrong | PasskeyUnknown) => FactorProblem::PasskeyWrong,
        Refusal::Factor(PasskeyExpired) => FactorProblem::FormExpired,
        Refusal::Factor(Taken) => FactorProblem::PasskeyTaken,
        Refusal::PasswordRejected(_) => FactorProblem::PasswordWrong,
        Refusal::RateLimited(wait) => FactorProblem::TooMany(*wait),
        Refusal::StoreUnavailable | Refusal::Overloaded => FactorProblem::Unavailable,
        _ => return None,
    })
}

/// Returns the target in a signed `return_to` of a query or form.
fn return_target<'f>(call: &Call<'_>, fields: &'f Form) -> Option<(&'f str, String)> {
    let packed = fields.get("return_to")?;
    Some((packed, navigation::return_target(packed, call.auth)?))
}

/// Sends the browser to the step-up page and back to `target`, if the session needs more proof; otherwise refuses.
pub(super) fn proven_first(
    call: &Call<'_>,
    refusal: Refusal,
    target: &str,
) -> Result<OwnResponse, EndpointError> {
    match refusal {
        Refusal::ProofMissing { multi_factor, .. } => {
            let url = navigation::step_up_url(Some(target), multi_factor, call.auth, call.snapshot);
            Ok(OwnResponse::see_other(&url))
        }
        refusal => Err(refusal.into()),
    }
}
