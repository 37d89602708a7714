//! Rendering of pages to HTML.

mod factors;
mod links;

use std::time::Duration;

use askama::Template;
use bytes::Bytes;

use super::device;
use super::text::{ErrorText, Text};
use super::view::{
    AccountPage, CrossSite, Device, ErrorPage, Framed, Interrupted, LinkedAccount, Page, PasswordHints,
    PasswordPage, PasswordProblem, Program, ProviderButton, Resend, SignIn, SignInFields, SignInProblem,
    SignOut, SignedIn, SignedOut,
};
use super::{Brand, Language};
use crate::clock::Timestamp;
use crate::error::PasswordFault;
use factors::{FactorTemplate, PasskeyTemplate, RecoveryCodesTemplate, StepUpTemplate, TotpTemplate};
use links::{LinkEndTemplate, LinkTemplate, ResetTemplate, VerifyTemplate};

/// A whole page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Html(String);

impl Html {
    /// Returns the HTML text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<Html> for Bytes {
    fn from(html: Html) -> Self {
        Self::from(html.0)
    }
}

/// Renders a page in this brand and language.
pub fn render(page: &Page<'_>, brand: &Brand, language: Language) -> Html {
    let frame = Frame { brand, language, t: Text::of(language) };
    let rendered = match page {
        Page::SignIn(page) => SignInTemplate { frame, page }.render(),
        Page::SignedIn(page) => SignedInTemplate { frame, page }.render(),
        Page::SignOut(page) => SignOutTemplate { frame, page }.render(),
        Page::SignedOut(page) => SignedOutTemplate { frame, page }.render(),
        Page::Password(page) => PasswordTemplate { frame, page }.render(),
        Page::Account(page) => AccountTemplate { frame, page }.render(),
        Page::Factor(page) => FactorTemplate { frame, page }.render(),
        Page::StepUp(page) => StepUpTemplate { frame, page }.render(),
        Page::Totp(page) => TotpTemplate { frame, page }.render(),
        Page::RecoveryCodes(page) => RecoveryCodesTemplate { frame, page }.render(),
        Page::Passkey(page) => PasskeyTemplate { frame, page }.render(),
        Page::Reset(page) => ResetTemplate { frame, page }.render(),
        Page::Link(page) => LinkTemplate { frame, page }.render(),
        Page::Verify(page) => VerifyTemplate { frame, page }.render(),
        Page::LinkEnd(page) => LinkEndTemplate { frame, page }.render(),
        Page::Error(page) => ErrorTemplate { frame, page }.render(),
        Page::FormInterrupted(page) => InterruptedTemplate { frame, page }.render(),
        Page::Framed(page) => FramedTemplate { frame, page }.render(),
        Page::CrossSite(page) => CrossSiteTemplate { frame, page }.render(),
        Page::Resend(page) => ResendTemplate { frame, page }.render(),
    };
    Html(rendered.expect("writing into a string does not fail"))
}

/// Button that uses a passkey, hidden until a script shows it.
struct Button {
    /// Whether it sets one up.
    creates: bool,
    /// Whether the browser offers passkeys in the field of the user name as well.
    waits: bool,
    is_main: bool,
    text: &'static str,
}

/// Values shared by all pages.
#[derive(Clone, Copy)]
struct Frame<'a> {
    brand: &'a Brand,
    language: Language,
    t: &'static Text,
}

impl Frame<'_> {
    fn password_hint(&self, rules: &PasswordHints) -> String {
        (self.t.new_password_hint)(rules.min_length)
    }

    /// Returns code and text of the faults that the script finds while a password is typed.
    fn typed_faults(&self, rules: &PasswordHints) -> Vec<(&'static str, String)> {
        let needs = rules.min_length;
        let faults = [
            PasswordFault::TooLong { limit: rules.max_bytes },
            PasswordFault::TooShort { has: 0, needs },
            PasswordFault::Sequence { needs },
            PasswordFault::Repeated { needs },
            PasswordFault::ContainsName { needs },
            PasswordFault::ContainsSite { needs },
        ];
        faults.into_iter().map(|fault| (fault.code(), (self.t.password_fault)(fault))).collect()
    }
}

#[derive(Template)]
#[template(path = "sign_in.html")]
struct SignInTemplate<'a> {
    frame: Frame<'a>,
    page: &'a SignIn<'a>,
}

impl SignInTemplate<'_> {
    /// Returns the reason why the form is shown again.
    fn problem(&self) -> Option<String> {
        let t = self.frame.t;
        Some(match self.page.problem? {
            SignInProblem::CredentialsWrong => t.credentials_wrong.to_owned(),
            SignInProblem::Incomplete => t.sign_in_incomplete.to_owned(),
            SignInProblem::TooMany(wait) => (t.too_many)(&(t.span)(rounded_up(wait))),
            SignInProblem::Unavailable => t.unavailable.to_owned(),
            SignInProblem::FormExpired => t.form_expired.to_owned(),
            SignInProblem::CookiesRefused => t.cookies_refused.to_owned(),
            SignInProblem::NoProvider => t.no_provider.to_owned(),
            SignInProblem::PasskeyWrong => t.factors.passkey_wrong.to_owned(),
            SignInProblem::PasskeyNotAlone => t.factors.passkey_not_alone.to_owned(),
        })
    }

    fn has_name(&self) -> bool {
        self.page.fields != SignInFields::None
    }

    fn has_password(&self) -> bool {
        self.page.fields == SignInFields::NameAndPassword
    }

    fn with(&self, button: &ProviderButton) -> String {
        (self.frame.t.sign_in_with)(&button.label)
    }

    const fn passkey_button(&self) -> Button {
        Button { creates: false, waits: true, is_main: false, text: self.frame.t.factors.passkey_sign_in }
    }

    /// Returns whether the typed values are wrong.
    fn fields_wrong(&self) -> bool {
        matches!(self.page.problem, Some(SignInProblem::CredentialsWrong | SignInProblem::Incomplete))
    }
}

#[derive(Template)]
#[template(path = "signed_in.html")]
struct SignedInTemplate<'a> {
    frame: Frame<'a>,
    page: &'a SignedIn<'a>,
}

#[derive(Template)]
#[template(path = "sign_out.html")]
struct SignOutTemplate<'a> {
    frame: Frame<'a>,
    page: &'a SignOut<'a>,
}

#[derive(Template)]
#[template(path = "signed_out.html")]
struct SignedOutTemplate<'a> {
    frame: Frame<'a>,
    page: &'a SignedOut<'a>,
}

impl SignedOutTemplate<'_> {
    /// Returns the text about the provider where the person may still be signed in.
    fn still(&self) -> Option<String> {
        self.page.still_at.map(|still| (self.frame.t.still_signed_in_at)(still.provider))
    }

    /// Returns the URL and the text of the link to the sign-out there.
    fn sign_out_there(&self) -> Option<(&str, String)> {
        let still = self.page.still_at?;
        Some((still.sign_out?, (self.frame.t.sign_out_there)(still.provider)))
    }
}

#[derive(Template)]
#[template(path = "password.html")]
struct PasswordTemplate<'a> {
    frame: Frame<'a>,
    page: &'a PasswordPage<'a>,
}

impl PasswordTemplate<'_> {
    /// Returns the reason why the form is shown again.
    fn problem(&self) -> Option<String> {
        let t = self.frame.t;
        Some(match self.page.problem? {
            PasswordProblem::Rejected(fault) => (t.password_fault)(fault),
            PasswordProblem::Incomplete => t.password_incomplete.to_owned(),
            PasswordProblem::TooMany(wait) => (t.too_many)(&(t.span)(rounded_up(wait))),
            PasswordProblem::Unavailable => t.unavailable.to_owned(),
            PasswordProblem::FormExpired => t.form_expired.to_owned(),
        })
    }

    fn action(&self) -> &str {
        self.page.action
    }

    fn current_wrong(&self) -> bool {
        use PasswordProblem::{Incomplete, Rejected};
        matches!(self.page.problem, Some(Rejected(PasswordFault::CurrentWrong) | Incomplete))
    }

    fn focuses_current(&self) -> bool {
        !self.new_wrong() || self.current_wrong()
    }

    fn focuses_new(&self) -> bool {
        !self.focuses_current()
    }

    fn new_wrong(&self) -> bool {
        match self.page.problem {
            Some(PasswordProblem::Rejected(fault)) => fault != PasswordFault::CurrentWrong,
            Some(PasswordProblem::Incomplete) => true,
            _ => false,
        }
    }
}

#[derive(Template)]
#[template(path = "account_page.html")]
struct AccountTemplate<'a> {
    frame: Frame<'a>,
    page: &'a AccountPage<'a>,
}

impl AccountTemplate<'_> {
    /// Returns the text of the button that links or unlinks an account.
    fn link(&self, account: &LinkedAccount) -> String {
        let t = self.frame.t;
        if account.subject.is_some() { (t.unlink)(&account.label) } else { (t.link)(&account.label) }
    }

    fn action(&self) -> &str {
        self.page.change_password
    }

    /// The form is below the lists: it neither shows a problem nor takes the focus.
    const fn current_wrong(&self) -> bool {
        false
    }

    const fn new_wrong(&self) -> bool {
        false
    }

    const fn focuses_current(&self) -> bool {
        false
    }

    const fn focuses_new(&self) -> bool {
        false
    }

    fn codes_left(&self, count: &u32) -> String {
        (self.frame.t.factors.codes_left)(*count)
    }

    fn roles(&self) -> String {
        self.page.roles.join(", ")
    }

    /// Returns the display name of a device.
    fn name(&self, device: &Device) -> String {
        let t = self.frame.t;
        match device.user_agent.as_deref().map(device::browser_and_system) {
            Some((Some(browser), Some(system))) => (t.browser_on)(browser, system),
            Some((Some(name), None) | (None, Some(name))) => name.to_owned(),
            _ => t.unknown_device.to_owned(),
        }
    }

    fn ago(&self, then: &Timestamp) -> String {
        (self.frame.t.ago)(self.page.now.since(*then))
    }

    /// Returns the display name of a program: the first word of its `User-Agent`, without a version.
    fn program_name(&self, program: &Program) -> String {
        let first = program.sessions.first().and_then(|device| device.user_agent.as_deref());
        let word = first.and_then(|agent| agent.split(['/', ' ', '(']).next()).unwrap_or_default();
        match word.char_indices().nth(PROGRAM_NAME) {
            _ if word.is_empty() || word == "Mozilla" => self.frame.t.unknown_program.to_owned(),
            Some((end, _)) => format!("{}…", &word[..end]),
            None => word.to_owned(),
        }
    }

    fn sign_ins(&self, program: &Program) -> String {
        (self.frame.t.sign_ins)(program.sessions.len())
    }

    /// Returns whether the user has other sessions, here or on another page.
    fn has_others(&self) -> bool {
        let page = self.page;
        let is_all = page.is_first && page.older_devices.is_none() && page.older_programs.is_none();
        !is_all || !page.programs.is_empty() || page.list.iter().any(|device| !device.this)
    }
}

#[derive(Template)]
#[template(path = "error.html")]
struct ErrorTemplate<'a> {
    frame: Frame<'a>,
    page: &'a ErrorPage<'a>,
}

impl ErrorTemplate<'_> {
    fn says(&self) -> &'static ErrorText {
        self.frame.t.error(self.page.status, self.page.code)
    }

    /// Returns the text about the wait, if it is longer than 5 s. Below that, the page says "in a moment".
    fn wait(&self) -> Option<String> {
        let seconds = self.page.retry_after.filter(|&seconds| seconds > 5)?;
        Some((self.frame.t.wait)(&(self.frame.t.span)(Duration::from_secs(seconds))))
    }

    /// Returns whether the same request may succeed later.
    fn may_pass(&self) -> bool {
        self.page.status == 429 || self.page.status >= 500
    }
}

#[derive(Template)]
#[template(path = "interrupted.html")]
struct InterruptedTemplate<'a> {
    frame: Frame<'a>,
    page: &'a Interrupted<'a>,
}

impl InterruptedTemplate<'_> {
    fn text(&self) -> &'static str {
        let t = self.frame.t;
        if self.page.needs_proof {
            return t.factors.interrupted_text;
        }
        match (self.page.is_framed, self.page.had_session) {
            (false, true) => t.interrupted_text,
            (false, false) => t.interrupted_nobody,
            (true, true) => t.interrupted_framed,
            (true, false) => t.interrupted_framed_nobody,
        }
    }

    fn steps(&self) -> [&'static str; 2] {
        let t = self.frame.t;
        let [sign_in, then] =
            if self.page.is_framed { t.interrupted_framed_steps } else { t.interrupted_steps };
        [if self.page.needs_proof { t.factors.interrupted_step } else { sign_in }, then]
    }

    fn link(&self) -> &'static str {
        let t = self.frame.t;
        if self.page.needs_proof { t.factors.interrupted_link } else { t.sign_in_new_tab }
    }

    /// Further advice.
    fn or(&self) -> &'static str {
        let t = self.frame.t;
        if self.page.is_framed { t.interrupted_framed_or } else { t.interrupted_or }
    }
}

#[derive(Template)]
#[template(path = "framed.html")]
struct FramedTemplate<'a> {
    frame: Frame<'a>,
    page: &'a Framed<'a>,
}

impl FramedTemplate<'_> {
    fn says(&self) -> &'static ErrorText {
        self.frame.t.error(401, "")
    }
}

#[derive(Template)]
#[template(path = "cross_site.html")]
struct CrossSiteTemplate<'a> {
    frame: Frame<'a>,
    page: &'a CrossSite<'a>,
}

impl CrossSiteTemplate<'_> {
    fn text(&self) -> String {
        let t = self.frame.t;
        (t.cross_site_text)(self.page.origin.unwrap_or(t.another_site), t.not_forwarded(self.page.reason))
    }
}

#[derive(Template)]
#[template(path = "resend.html")]
struct ResendTemplate<'a> {
    frame: Frame<'a>,
    page: &'a Resend<'a>,
}

/// Maximum number of listed form fields, and of characters per value: more than users read.
const LISTED: (usize, usize) = (50, 200);

impl ResendTemplate<'_> {
    fn text(&self) -> String {
        let t = self.frame.t;
        (t.resend_text)(self.page.origin.unwrap_or(t.another_site), t.not_forwarded(self.page.reason))
    }

    /// Returns names and values, truncated to fit a page.
    fn listed(&self) -> Vec<(String, String)> {
        let cut = |text: &String| {
            let mut short: String = text.chars().take(LISTED.1).collect();
            if short.len() < text.len() {
                short.push('\u{2026}');
            }
            short
        };
        self.page.fields.iter().take(LISTED.0).map(|(name, value)| (cut(name), cut(value))).collect()
    }

    fn more(&self) -> Option<String> {
        let more = self.page.fields.len().saturating_sub(LISTED.0);
        (more > 0).then(|| (self.frame.t.more_fields)(more))
    }
}

/// Maximum number of characters shown of a program's name.
const PROGRAM_NAME: usize = 40;

/// Rounds up to whole seconds, at least one.
fn rounded_up(wait: Duration) -> Duration {
    Duration::from_secs((wait.as_secs() + u64::from(wait.subsec_nanos() > 0)).max(1))
}
