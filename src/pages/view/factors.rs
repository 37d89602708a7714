//! View data of the pages about second factors.

use std::time::Duration;

use super::Account;
use crate::clock::Timestamp;

/// Reason why a form is shown again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FactorProblem {
    /// The code is wrong, or was used before.
    CodeWrong,
    /// The password is wrong.
    PasswordWrong,
    /// A field is empty.
    Incomplete,
    /// Too many attempts, with the time to wait.
    TooMany(Duration),
    /// Cannot be decided now.
    Unavailable,
    /// The passkey was not accepted.
    PasskeyWrong,
    /// The passkey is set up already.
    PasskeyTaken,
    /// The form token is invalid or has expired.
    FormExpired,
}

/// Second step of a sign-in. It posts `csrf`, and `code` or `passkey` and `passkey_state`.
#[derive(Debug)]
pub struct FactorPage<'a> {
    /// URL the form is posted to.
    pub action: &'a str,
    /// The form token (CSRF).
    pub csrf: &'a str,
    /// The login name.
    pub user: &'a str,
    /// URL of the sign-in page, for somebody else.
    pub cancel: &'a str,
    /// Whether the user has something that gives codes, or recovery codes.
    pub has_code: bool,
    /// Options and state of a request to the user's passkeys.
    pub passkey: Option<(&'a str, &'a str)>,
    /// Reason why the form is shown again.
    pub problem: Option<FactorProblem>,
}

/// More proof for a session. It posts `csrf`, `return_to` (if present), and `code`, `password`, `provider`, or
/// `passkey` and `passkey_state`.
#[derive(Debug)]
pub struct StepUpPage<'a> {
    /// The signed-in user.
    pub account: Account<'a>,
    /// URL the forms are posted to.
    pub action: &'a str,
    /// Packed return URL, posted back with the forms.
    pub return_to: Option<&'a str>,
    /// Whether a second factor is needed.
    pub needs_factor: bool,
    /// Whether the user has one that gives codes, or recovery codes.
    pub has_code: bool,
    /// Options and state of a request to the user's passkeys.
    pub passkey: Option<(&'a str, &'a str)>,
    /// Whether the password will do.
    pub has_password: bool,
    /// Providers that can prove the user again: id and label.
    pub providers: &'a [(String, String)],
    /// URL of the enrolment.
    pub enrol: &'a str,
    /// Reason why the form is shown again.
    pub problem: Option<FactorProblem>,
}

/// Enrolment of an authenticator app. It posts `csrf`, `secret`, `code`, `name`, and `return_to` (if present).
#[derive(Debug)]
pub struct TotpPage<'a> {
    /// URL the form is posted to.
    pub action: &'a str,
    /// The form token (CSRF).
    pub csrf: &'a str,
    /// The login name.
    pub user: &'a str,
    /// The secret, in base32.
    pub secret: &'a str,
    /// The secret, sealed for the form.
    pub sealed: &'a str,
    /// Size and path of the QR code.
    pub qr: Option<(i32, &'a str)>,
    /// Packed return URL, posted back with the form.
    pub return_to: Option<&'a str>,
    /// URL to go to without an enrolment.
    pub later: &'a str,
    /// Whether nobody gets on without it.
    pub is_needed: bool,
    /// Options and state of a passkey instead.
    pub passkey: Option<(&'a str, &'a str)>,
    /// Reason why the form is shown again.
    pub problem: Option<FactorProblem>,
}

impl TotpPage<'_> {
    /// Returns the secret in groups of four, for people who type it.
    pub(in crate::pages) fn groups(&self) -> String {
        let characters: Vec<char> = self.secret.chars().collect();
        let groups: Vec<String> = characters.chunks(4).map(|group| group.iter().collect()).collect();
        groups.join(" ")
    }
}

/// Enrolment of a passkey. It posts `csrf`, `passkey`, `passkey_state`, `name`, and `return_to` (if present); or `later`.
#[derive(Debug)]
pub struct PasskeyPage<'a> {
    /// URL the form is posted to.
    pub action: &'a str,
    /// The form token (CSRF).
    pub csrf: &'a str,
    /// The login name.
    pub user: &'a str,
    /// Packed return URL, posted back with the form.
    pub return_to: Option<&'a str>,
    /// URL to go to without an enrolment.
    pub later: &'a str,
    /// Whether the user did not ask for it.
    pub is_offer: bool,
    /// Options and state; `None` if pages of this host have no passkeys.
    pub passkey: Option<(&'a str, &'a str)>,
    /// Reason why the form is shown again.
    pub problem: Option<FactorProblem>,
}

/// Recovery codes, shown once.
#[derive(Debug)]
pub struct RecoveryCodesPage<'a> {
    /// The codes.
    pub codes: &'a [&'a str],
    /// URL to go on to.
    pub go_on: &'a str,
}

/// Second factors on the account page. Removing one posts `csrf` and `id`; new codes post `csrf`.
#[derive(Clone, Debug, Default)]
pub struct FactorSection {
    /// Authenticator apps.
    pub apps: Vec<FactorItem>,
    /// Passkeys.
    pub passkeys: Vec<FactorItem>,
    /// URL of the enrolment of a passkey; `None` if pages of this host have none.
    pub add_passkey: Option<String>,
    /// URL to post for the removal of a passkey.
    pub remove_passkey: String,
    /// All passkeys, for the browser's password manager (WebAuthn section 5.1.10.3), as JSON.
    pub accepted_passkeys: Option<String>,
    /// Number of unused recovery codes; `None` without a second factor.
    pub recovery_codes: Option<u32>,
    /// URL of the enrolment.
    pub add: String,
    /// URL to post for a removal.
    pub remove: String,
    /// URL to post for new recovery codes.
    pub new_codes: String,
}

/// A second factor.
#[derive(Clone, Debug)]
pub struct FactorItem {
    /// Id.
    pub id: String,
    /// Name that the user gave it.
    pub name: String,
    /// Time of the enrolment.
    pub created_at: Timestamp,
    /// Time of the last use.
    pub used_at: Option<Timestamp>,
}
