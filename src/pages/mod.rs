//! Pages for users: sign-in, signed in, signed out, account, password change, and errors.
//!
//! Pure functions from view data to HTML. This module contains all page texts (in each language), the design, and the
//! files that pages load. It does not depend on requests, sessions or stores, and sets no status code.
//!
//! Every page works without scripts: one makes a password visible, one says whether a new password will be refused. Templates are in `templates/` and
//! compiled; they escape all values.

mod brand;
mod device;
mod language;
mod letter;
mod template;
#[cfg(test)]
mod tests;
mod text;
mod view;

pub use brand::{ASSET_HEADERS, Asset, Brand};
pub use device::browser_and_system;
pub use language::Language;
pub use letter::{LetterTexts, Notice, Sender, letter};
pub use template::{Html, render};
pub use view::{
    Account, AccountPage, CrossSite, Device, ErrorPage, FactorItem, FactorPage, FactorProblem, FactorSection,
    Framed, Interrupted, LinkEnd, LinkEndPage, LinkPage, LinkedAccount, NotForwarded, Page, PasskeyPage,
    PasswordHints, PasswordPage, PasswordProblem, Person, Program, ProviderButton, RecoveryCodesPage, Resend,
    ResetPage, ResetProblem, SignIn, SignInFields, SignInProblem, SignOut, SignedIn, SignedOut, StepUpPage,
    StillSignedIn, TotpPage, VerifyPage,
};

/// Header fields of every page.
///
/// `same-origin` is used instead of `no-referrer`: with the latter, browsers send `Origin: null` with the page's own
/// forms.
///
/// `form-action` is not `'self'`: Chromium applies it to every redirect after a form, and an app may redirect users to
/// another origin right after sign-in. The form actions themselves are set by the templates, which escape all values.
pub const HEADERS: &[(&str, &str)] = &[
    ("content-type", "text/html; charset=utf-8"),
    (
        "content-security-policy",
        "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; form-action http: https:; \
         frame-ancestors 'none'; base-uri 'none'",
    ),
    ("x-frame-options", "DENY"),
    ("x-content-type-options", "nosniff"),
    ("cache-control", "no-store"),
    ("vary", "accept-language"),
    ("referrer-policy", "same-origin"),
    ("cross-origin-opener-policy", "same-origin"),
    ("cross-origin-resource-policy", "same-origin"),
    (
        "permissions-policy",
        "camera=(), display-capture=(), fullscreen=(), geolocation=(), microphone=(), payment=(), usb=()",
    ),
];

/// Replacements for fields of [`HEADERS`] on a page that may be shown in frames, also of other sites and under COEP.
/// Such a page has links and no form, so clickjacking has no target. An empty value removes the field.
pub const IN_FRAMES: &[(&str, &str)] = &[
    (
        "content-security-policy",
        "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'none'; base-uri 'none'",
    ),
    ("x-frame-options", ""),
    ("cross-origin-opener-policy", ""),
    ("cross-origin-resource-policy", "cross-origin"),
    ("cross-origin-embedder-policy", "require-corp"),
];
