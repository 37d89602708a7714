//! View data of the pages about links in mails.

use std::time::Duration;

use super::{PasswordHints, PasswordProblem};

/// Form that asks for a link to set a new password. It posts `csrf` and `username`.
#[derive(Debug)]
pub struct ResetPage<'a> {
    /// URL the form is posted to.
    pub action: &'a str,
    /// The form token (CSRF).
    pub csrf: &'a str,
    /// Name or address typed before; empty the first time.
    pub username: &'a str,
    /// URL of the sign-in form.
    pub sign_in: &'a str,
    /// Reason why the form is shown again.
    pub problem: Option<ResetProblem>,
    /// Whether a mail was promised. It is, whoever asks for whomever.
    pub done: bool,
}

/// Reason why no mail was promised. None reveals whether the user exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResetProblem {
    /// The name is empty.
    Incomplete,
    /// Too many requests, with the time to wait.
    TooMany(Duration),
    /// Cannot be done now.
    Unavailable,
    /// The form token is invalid or has expired.
    FormExpired,
}

/// Form for a new password, to which a link leads. It posts `csrf`, `token` and `new_password`.
#[derive(Debug)]
pub struct LinkPage<'a> {
    /// URL the form is posted to.
    pub action: &'a str,
    /// The form token (CSRF).
    pub csrf: &'a str,
    /// Token of the link.
    pub token: &'a str,
    /// Login name of the user.
    pub user: &'a str,
    /// Hints about the rules.
    pub rules: &'a PasswordHints,
    /// Whether it is the first password of an invited user.
    pub is_invitation: bool,
    /// Reason why the form is shown again.
    pub problem: Option<PasswordProblem>,
}

/// Form that confirms an address, to which a link leads. It posts `csrf` and `token`.
#[derive(Debug)]
pub struct VerifyPage<'a> {
    /// URL the form is posted to.
    pub action: &'a str,
    /// The form token (CSRF).
    pub csrf: &'a str,
    /// Token of the link.
    pub token: &'a str,
    /// Login name of the user.
    pub user: &'a str,
    /// The address.
    pub email: &'a str,
    /// Whether the form token was invalid or had expired.
    pub is_expired: bool,
}

/// End of a link.
#[derive(Debug)]
pub struct LinkEndPage<'a> {
    /// End of it.
    pub end: LinkEnd,
    /// URL of the sign-in form, or of the account page after the end of a verification.
    pub sign_in: &'a str,
    /// URL of the form that asks for a link; `None` if no mails are sent.
    pub again: Option<&'a str>,
}

/// End of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkEnd {
    /// The password was set.
    PasswordSet,
    /// It was sent to the address that it verifies.
    VerificationSent,
    /// The address is verified.
    AddressVerified,
    /// It was used, has expired, or is void.
    Invalid,
    /// Another browser asked for it.
    OtherBrowser,
}
