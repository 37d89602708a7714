//! View data of each page.

mod factors;
mod links;

use std::net::IpAddr;
use std::time::Duration;

use crate::clock::Timestamp;
use crate::error::PasswordFault;

pub use factors::{
    FactorItem, FactorPage, FactorProblem, FactorSection, PasskeyPage, RecoveryCodesPage, StepUpPage,
    TotpPage,
};

pub use links::{LinkEnd, LinkEndPage, LinkPage, ResetPage, ResetProblem, VerifyPage};

/// A page for a user.
#[derive(Debug)]
pub enum Page<'a> {
    /// Sign-in form.
    SignIn(SignIn<'a>),
    /// Account overview, shown by the sign-in address to a signed-in user.
    SignedIn(SignedIn<'a>),
    /// Confirmation of a sign-out.
    SignOut(SignOut<'a>),
    /// Result of a sign-out.
    SignedOut(SignedOut<'a>),
    /// Password form, and its result.
    Password(PasswordPage<'a>),
    /// The user's data, devices, programs and password form.
    Account(AccountPage<'a>),
    /// Second step of a sign-in.
    Factor(FactorPage<'a>),
    /// More proof for a session.
    StepUp(StepUpPage<'a>),
    /// Enrolment of an authenticator app.
    Totp(TotpPage<'a>),
    /// Recovery codes.
    RecoveryCodes(RecoveryCodesPage<'a>),
    /// Enrolment of a passkey.
    Passkey(PasskeyPage<'a>),
    /// Form that asks for a link to set a new password.
    Reset(ResetPage<'a>),
    /// Form to which such a link leads.
    Link(LinkPage<'a>),
    /// Form that confirms an address.
    Verify(VerifyPage<'a>),
    /// End of a link.
    LinkEnd(LinkEndPage<'a>),
    /// Error page.
    Error(ErrorPage<'a>),
    /// A form sent with an expired session; it was not forwarded.
    FormInterrupted(Interrupted<'a>),
    /// Page in a frame of another page, where no form is shown.
    Framed(Framed<'a>),
    /// A form from another site that arrived without cookies; it was not forwarded.
    CrossSite(CrossSite<'a>),
    /// Confirmation to send such a form again from this origin.
    Resend(Resend<'a>),
}

/// A button of the sign-in form that leads to an identity provider. It posts `provider`.
#[derive(Clone, Debug)]
pub struct ProviderButton {
    /// Its text.
    pub label: String,
    /// Name of the provider.
    pub id: String,
}

/// Fields of the sign-in form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignInFields {
    /// No field: only providers sign people in.
    None,
    /// The name, which chooses a provider or leads to the password.
    Name,
    /// Name and password.
    NameAndPassword,
}

/// Sign-in form. It posts `csrf`, `return_to` (if present), `username`, `password` and, if ticked, `remember=on`; where it
/// has the name alone, `step=name` instead of the password. A provider's button posts `provider` besides.
#[derive(Debug)]
pub struct SignIn<'a> {
    /// Fields of the form.
    pub fields: SignInFields,
    /// The providers, in the order of the file.
    pub providers: &'a [ProviderButton],
    /// URL the form is posted to.
    pub action: &'a str,
    /// The form token (CSRF).
    pub csrf: &'a str,
    /// Packed return URL, posted back with the form.
    pub return_to: Option<&'a str>,
    /// User name typed before; empty the first time.
    pub username: &'a str,
    /// URL of the form for people who have forgotten their password; `None` if no mails are sent.
    pub forgot: Option<&'a str>,
    /// Reason why the form is shown again.
    pub problem: Option<SignInProblem>,
    /// Whether "remember me" is ticked.
    pub remember: bool,
    /// Whether "remember me" is offered.
    pub remember_offered: bool,
    /// Whether the return URL was dropped because it is too long.
    pub is_return_lost: bool,
    /// Options and state of a request to a passkey, which signs in alone. A script posts `passkey` and `passkey_state`.
    pub passkey: Option<(&'a str, &'a str)>,
    /// Passkey that is not set up here any more, for the browser's password manager, as JSON.
    pub forgotten_passkey: Option<&'a str>,
    /// Whether the `#fragment` of the address is of another page than the one that people go to afterwards.
    pub drops_fragment: bool,
}

/// Reason why the sign-in failed. None reveals whether the user exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignInProblem {
    /// The user name or the password is wrong.
    CredentialsWrong,
    /// The user name or the password is empty.
    Incomplete,
    /// Too many attempts, with the time to wait.
    TooMany(Duration),
    /// Cannot be decided now.
    Unavailable,
    /// The form token is invalid or has expired.
    FormExpired,
    /// The browser does not return cookies.
    CookiesRefused,
    /// No provider is responsible for this address, and passwords sign nobody in.
    NoProvider,
    /// The passkey was not accepted.
    PasskeyWrong,
    /// The user signs in with a provider; the passkey comes after that.
    PasskeyNotAlone,
}

/// A signed-in user and the actions on the account. The forms post `csrf`.
#[derive(Clone, Copy, Debug)]
pub struct Account<'a> {
    /// The login name.
    pub user: &'a str,
    /// The form token (CSRF).
    pub csrf: &'a str,
    /// URL of the app.
    pub home: &'a str,
    /// URL of the account page.
    pub page: &'a str,
    /// URL to post for signing out here.
    pub sign_out: &'a str,
    /// URL to post for signing out everywhere.
    pub sign_out_everywhere: &'a str,
}

/// Account overview.
#[derive(Debug)]
pub struct SignedIn<'a> {
    /// The signed-in user.
    pub account: Account<'a>,
}

/// Confirmation of a sign-out.
#[derive(Debug)]
pub struct SignOut<'a> {
    /// The signed-in user.
    pub account: Account<'a>,
}

/// Result of a sign-out.
#[derive(Debug)]
pub struct SignedOut<'a> {
    /// URL of the sign-in form.
    pub sign_in: &'a str,
    /// Whether every session of the user has ended, not only this one.
    pub everywhere: bool,
    /// Whether the vault is away: signed out in this browser now, and in the vault once it is back.
    pub pending: bool,
    /// Provider where the person may still be signed in, since it cannot be reached.
    pub still_at: Option<StillSignedIn<'a>>,
}

/// Provider that could not be told of a sign-out.
#[derive(Clone, Copy, Debug)]
pub struct StillSignedIn<'a> {
    /// Its name.
    pub provider: &'a str,
    /// URL of its own sign-out, which the browser may reach.
    pub sign_out: Option<&'a str>,
}

/// Password form. It posts `csrf`, `current_password` and `new_password`.
#[derive(Debug)]
pub struct PasswordPage<'a> {
    /// The signed-in user.
    pub account: Account<'a>,
    /// URL the form is posted to.
    pub action: &'a str,
    /// Hints about the rules.
    pub rules: &'a PasswordHints,
    /// Reason why the form is shown again.
    pub problem: Option<PasswordProblem>,
    /// Whether the password was changed and the other sessions ended.
    pub done: bool,
}

/// Hints of a password form about the rules for new passwords, in words and to the script that checks them while they are typed.
#[derive(Clone, Debug, Default)]
pub struct PasswordHints {
    /// Minimum length in characters.
    pub min_length: usize,
    /// Maximum length in bytes.
    pub max_bytes: usize,
    /// Names of the user that do not count, without blanks.
    pub own_names: Vec<String>,
    /// Names of the site that do not count, without blanks.
    pub site_names: Vec<String>,
}

/// Reason why the password was not changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PasswordProblem {
    /// One of the two is not accepted.
    Rejected(PasswordFault),
    /// The current or the new password is empty.
    Incomplete,
    /// Too many attempts, with the time to wait.
    TooMany(Duration),
    /// Cannot be decided now.
    Unavailable,
    /// The form token is invalid or has expired.
    FormExpired,
}

/// Account page. Ending a session posts `csrf` and `session_id`; the password form posts what [`PasswordPage`] posts.
#[derive(Debug)]
pub struct AccountPage<'a> {
    /// The signed-in user.
    pub account: Account<'a>,
    /// Display name.
    pub name: Option<&'a str>,
    /// E-mail address.
    pub email: Option<&'a str>,
    /// Whether the address is known to belong to the user.
    pub email_verified: bool,
    /// URL to post for a mail that verifies the address; `None` if it is verified, or no mails are sent.
    pub verify: Option<&'a str>,
    /// Names of the roles.
    pub roles: &'a [&'a str],
    /// Second factors.
    pub factors: &'a FactorSection,
    /// Accounts at providers: linked ones, and providers without one.
    pub accounts: &'a [LinkedAccount],
    /// Whether the user can sign in with a password.
    pub has_password: bool,
    /// URL the password form is posted to.
    pub change_password: &'a str,
    /// Hints of the password form about the rules.
    pub rules: &'a PasswordHints,
    /// URL to post for ending one session.
    pub end: &'a str,
    /// URL to post for ending all sessions except this one.
    pub end_others: &'a str,
    /// URL to post for ending all sessions of programs.
    pub end_programs: &'a str,
    /// Browsers of this page, in display order.
    pub list: &'a [Device],
    /// URL of the page with older ones; `None` on the last one.
    pub older_devices: Option<&'a str>,
    /// Programs that have signed in, each listed once on a page.
    pub programs: &'a [Program],
    /// URL of the page with older sign-ins of programs; `None` on the last one.
    pub older_programs: Option<&'a str>,
    /// Whether this is the first page of both lists.
    pub is_first: bool,
    /// Current time, for ages such as "5 minutes ago".
    pub now: Timestamp,
}

/// An account at a provider, or a provider without one. It posts `csrf` and, for a linked account, `issuer` and `subject`.
#[derive(Clone, Debug)]
pub struct LinkedAccount {
    /// Text of the provider's button.
    pub label: String,
    /// URL to post for linking or unlinking; `None` for a linked account that is the only way to sign in.
    pub action: Option<String>,
    /// Issuer of a linked account.
    pub issuer: Option<String>,
    /// Subject of a linked account.
    pub subject: Option<String>,
    /// Time of its last sign-in or recheck.
    pub used_at: Option<Timestamp>,
}

/// One session.
#[derive(Clone, Debug)]
pub struct Device {
    /// Id of the session.
    pub session_id: String,
    /// The `User-Agent` of the browser.
    pub user_agent: Option<String>,
    /// Network address of the device.
    pub address: Option<IpAddr>,
    /// Time of the sign-in.
    pub signed_in: Timestamp,
    /// Time of the last renewal.
    pub renewed: Timestamp,
    /// Whether it is the session of this request.
    pub this: bool,
}

/// Sessions of one program, as far as `User-Agent` distinguishes programs.
#[derive(Clone, Debug)]
pub struct Program {
    /// Its sessions on this page, at least one, newest first.
    pub sessions: Vec<Device>,
}

/// Error page.
#[derive(Debug)]
pub struct ErrorPage<'a> {
    /// Status code of the response.
    pub status: u16,
    /// Stable code of the refusal.
    pub code: &'a str,
    /// Request id, as in the log.
    pub request_id: Option<&'a str>,
    /// URL of the sign-in form, if signing in would help.
    pub sign_in: Option<&'a str>,
    /// Time to wait, in seconds.
    pub retry_after: Option<u64>,
    /// The signed-in user, if another user would get another response.
    pub person: Option<Person<'a>>,
    /// The app, where people should open it by themselves.
    pub home: Option<&'a str>,
    /// Whether it is shown in a frame: that link opens a new tab.
    pub is_framed: bool,
}

/// A user who may want to sign in as another user.
#[derive(Clone, Copy, Debug)]
pub struct Person<'a> {
    /// The login name.
    pub user: &'a str,
    /// URL for signing out.
    pub sign_out: &'a str,
}

/// A form sent with an expired session, or without one.
#[derive(Debug)]
pub struct Interrupted<'a> {
    /// URL of the sign-in form; opened in a new tab, so that the form stays in this one.
    pub sign_in: &'a str,
    /// Whether the browser sent the credential of a session.
    pub had_session: bool,
    /// Whether the session is alive, and more proof is needed: `sign_in` is the URL of that form.
    pub needs_proof: bool,
    /// Whether the form was posted into a frame: it is still on the page around it.
    pub is_framed: bool,
}

/// Page in a frame: a link that leads out of it.
#[derive(Debug)]
pub struct Framed<'a> {
    /// URL of the sign-in form, opened in place of the outer page; `None` in a frame of another site.
    pub sign_in: Option<&'a str>,
    /// URL opened in a new tab otherwise.
    pub open: &'a str,
}

/// Reason why a form from another origin was not forwarded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotForwarded {
    /// It is from another site, so the browser omitted the cookies.
    CookiesOmitted,
    /// It is from another host of the same site, and the user is not signed in.
    NotSignedIn,
    /// It carries the cookies of a signed-in user (CSRF).
    OtherOrigin,
}

/// A form from another origin that was not forwarded.
#[derive(Debug)]
pub struct CrossSite<'a> {
    /// Origin of the page with the form, if the browser sent it.
    pub origin: Option<&'a str>,
    /// Reason why it was not forwarded.
    pub reason: NotForwarded,
    /// URL of the app.
    pub home: &'a str,
    /// Whether it was posted into a frame: the link opens a new tab.
    pub is_framed: bool,
}

/// A form from another site, to be posted with the same fields from this origin.
#[derive(Debug)]
pub struct Resend<'a> {
    /// Origin of the page with the form, if the browser sent it.
    pub origin: Option<&'a str>,
    /// Reason why it was not forwarded.
    pub reason: NotForwarded,
    /// URL to post it to again.
    pub action: &'a str,
    /// URL of the app.
    pub home: &'a str,
    /// Fields of the form, in order.
    pub fields: &'a [(String, String)],
}
