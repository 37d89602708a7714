//! Templates of the pages about second factors.

use askama::Template;

use super::{Button, Frame, rounded_up};
use crate::pages::text::Text;
use crate::pages::view::{FactorPage, FactorProblem, PasskeyPage, RecoveryCodesPage, StepUpPage, TotpPage};

#[derive(Template)]
#[template(path = "factor.html")]
pub(super) struct FactorTemplate<'a> {
    pub(super) frame: Frame<'a>,
    pub(super) page: &'a FactorPage<'a>,
}

#[derive(Template)]
#[template(path = "step_up.html")]
pub(super) struct StepUpTemplate<'a> {
    pub(super) frame: Frame<'a>,
    pub(super) page: &'a StepUpPage<'a>,
}

#[derive(Template)]
#[template(path = "totp.html")]
pub(super) struct TotpTemplate<'a> {
    pub(super) frame: Frame<'a>,
    pub(super) page: &'a TotpPage<'a>,
}

#[derive(Template)]
#[template(path = "passkey.html")]
pub(super) struct PasskeyTemplate<'a> {
    pub(super) frame: Frame<'a>,
    pub(super) page: &'a PasskeyPage<'a>,
}

#[derive(Template)]
#[template(path = "recovery_codes.html")]
pub(super) struct RecoveryCodesTemplate<'a> {
    pub(super) frame: Frame<'a>,
    pub(super) page: &'a RecoveryCodesPage<'a>,
}

impl FactorTemplate<'_> {
    const fn passkey_button(&self) -> Button {
        use_button(self.frame.t, !self.page.has_code)
    }

    fn text(&self) -> &'static str {
        let t = self.frame.t.factors;
        if self.page.has_code { t.second_step_text } else { t.second_step_passkey }
    }

    fn problem(&self) -> Option<String> {
        self.page.problem.map(|problem| text_of(self.frame.t, problem))
    }

    const fn code_wrong(&self) -> bool {
        matches!(self.page.problem, Some(FactorProblem::CodeWrong | FactorProblem::Incomplete))
    }
}

impl StepUpTemplate<'_> {
    const fn passkey_button(&self) -> Button {
        use_button(self.frame.t, !self.page.has_code)
    }

    fn problem(&self) -> Option<String> {
        self.page.problem.map(|problem| text_of(self.frame.t, problem))
    }

    const fn code_wrong(&self) -> bool {
        matches!(self.page.problem, Some(FactorProblem::CodeWrong))
    }

    const fn password_wrong(&self) -> bool {
        matches!(self.page.problem, Some(FactorProblem::PasswordWrong))
    }

    /// Returns whether there is any way to prove more here.
    const fn has_way(&self) -> bool {
        let has_passkey = self.page.passkey.is_some();
        has_passkey || self.page.has_code || self.page.has_password || !self.page.providers.is_empty()
    }

    fn text(&self) -> &'static str {
        let t = self.frame.t.factors;
        if self.page.needs_factor { t.step_up_factor } else { t.step_up_recent }
    }

    fn with(&self, label: &str) -> String {
        (self.frame.t.sign_in_with)(label)
    }
}

impl PasskeyTemplate<'_> {
    fn problem(&self) -> Option<String> {
        self.page.problem.map(|problem| text_of(self.frame.t, problem))
    }

    const fn title(&self) -> &'static str {
        let t = &self.frame.t.factors;
        if self.page.is_offer { t.passkey_offer } else { t.passkey }
    }

    const fn passkey_button(&self) -> Button {
        Button { creates: true, waits: false, is_main: true, text: self.frame.t.factors.passkey_create }
    }
}

impl TotpTemplate<'_> {
    const fn passkey_button(&self) -> Button {
        Button { creates: true, waits: false, is_main: false, text: self.frame.t.factors.passkey_create }
    }

    fn problem(&self) -> Option<String> {
        self.page.problem.map(|problem| text_of(self.frame.t, problem))
    }

    const fn code_wrong(&self) -> bool {
        matches!(self.page.problem, Some(FactorProblem::CodeWrong | FactorProblem::Incomplete))
    }

    fn text(&self) -> &'static str {
        let t = self.frame.t.factors;
        if self.page.is_needed { t.totp_needed } else { t.totp_text }
    }
}

/// Returns the button that uses a passkey of the user.
const fn use_button(t: &Text, is_main: bool) -> Button {
    Button { creates: false, waits: false, is_main, text: t.factors.passkey_use }
}

/// Returns the text of a problem.
fn text_of(t: &Text, problem: FactorProblem) -> String {
    match problem {
        FactorProblem::CodeWrong => t.factors.code_wrong.to_owned(),
        FactorProblem::PasswordWrong => t.factors.password_wrong.to_owned(),
        FactorProblem::Incomplete => t.factors.incomplete.to_owned(),
        FactorProblem::TooMany(wait) => (t.too_many)(&(t.span)(rounded_up(wait))),
        FactorProblem::Unavailable => t.unavailable.to_owned(),
        FactorProblem::PasskeyWrong => t.factors.passkey_wrong.to_owned(),
        FactorProblem::PasskeyTaken => t.factors.passkey_exists.to_owned(),
        FactorProblem::FormExpired => t.form_expired.to_owned(),
    }
}
