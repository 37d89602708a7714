//! Templates of the pages about links in mails, and of the mails.

use askama::Template;

use super::{Frame, rounded_up};
use crate::pages::text::Text;
use crate::pages::view::{
    LinkEnd, LinkEndPage, LinkPage, PasswordProblem, ResetPage, ResetProblem, VerifyPage,
};

#[derive(Template)]
#[template(path = "reset.html")]
pub(super) struct ResetTemplate<'a> {
    pub(super) frame: Frame<'a>,
    pub(super) page: &'a ResetPage<'a>,
}

#[derive(Template)]
#[template(path = "link.html")]
pub(super) struct LinkTemplate<'a> {
    pub(super) frame: Frame<'a>,
    pub(super) page: &'a LinkPage<'a>,
}

#[derive(Template)]
#[template(path = "link_end.html")]
pub(super) struct LinkEndTemplate<'a> {
    pub(super) frame: Frame<'a>,
    pub(super) page: &'a LinkEndPage<'a>,
}

#[derive(Template)]
#[template(path = "verify.html")]
pub(super) struct VerifyTemplate<'a> {
    pub(super) frame: Frame<'a>,
    pub(super) page: &'a VerifyPage<'a>,
}

impl VerifyTemplate<'_> {
    /// Returns the reason why the form is shown again.
    fn problem(&self) -> Option<String> {
        self.page.is_expired.then(|| self.frame.t.form_expired.to_owned())
    }

    fn text(&self) -> String {
        (self.frame.t.links.verify_text)(self.page.email, self.page.user)
    }
}

impl ResetTemplate<'_> {
    /// Returns the reason why the form is shown again.
    fn problem(&self) -> Option<String> {
        let t = self.frame.t;
        Some(match self.page.problem? {
            ResetProblem::Incomplete => t.links.incomplete.to_owned(),
            ResetProblem::TooMany(wait) => (t.too_many)(&(t.span)(rounded_up(wait))),
            ResetProblem::Unavailable => t.unavailable.to_owned(),
            ResetProblem::FormExpired => t.form_expired.to_owned(),
        })
    }

    fn name_wrong(&self) -> bool {
        self.page.problem == Some(ResetProblem::Incomplete)
    }
}

impl LinkTemplate<'_> {
    /// Returns the reason why the form is shown again.
    fn problem(&self) -> Option<String> {
        self.page.problem.map(|problem| password_problem(self.frame.t, problem))
    }

    fn new_wrong(&self) -> bool {
        matches!(self.page.problem, Some(PasswordProblem::Rejected(_) | PasswordProblem::Incomplete))
    }

    const fn title(&self) -> &'static str {
        let t = self.frame.t.links;
        if self.page.is_invitation { t.invited } else { t.new_password }
    }

    const fn text(&self) -> &'static str {
        let t = self.frame.t.links;
        if self.page.is_invitation { t.invited_text } else { t.new_password_text }
    }
}

fn password_problem(t: &Text, problem: PasswordProblem) -> String {
    match problem {
        PasswordProblem::Rejected(fault) => (t.password_fault)(fault),
        PasswordProblem::Incomplete => t.links.password_missing.to_owned(),
        PasswordProblem::TooMany(wait) => (t.too_many)(&(t.span)(rounded_up(wait))),
        PasswordProblem::Unavailable => t.unavailable.to_owned(),
        PasswordProblem::FormExpired => t.form_expired.to_owned(),
    }
}

impl LinkEndTemplate<'_> {
    const fn says(&self) -> (&'static str, &'static str) {
        let t = self.frame.t.links;
        match self.page.end {
            LinkEnd::PasswordSet => (t.password_set, t.password_set_text),
            LinkEnd::VerificationSent => (t.verify_sent, t.verify_sent_text),
            LinkEnd::AddressVerified => (t.verified, t.verified_text),
            LinkEnd::Invalid => (t.invalid, t.invalid_text),
            LinkEnd::OtherBrowser => (t.other_browser, t.other_browser_text),
        }
    }

    fn is_good(&self) -> bool {
        !matches!(self.page.end, LinkEnd::Invalid | LinkEnd::OtherBrowser)
    }

    const fn onward(&self) -> &'static str {
        let t = self.frame.t.links;
        match self.page.end {
            LinkEnd::VerificationSent | LinkEnd::AddressVerified => t.to_account,
            LinkEnd::PasswordSet | LinkEnd::Invalid | LinkEnd::OtherBrowser => t.to_sign_in,
        }
    }
}
