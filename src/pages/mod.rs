//! The pages for people: sign in, signed in and out, my devices, change password, and what went wrong.
//!
//! Pure: from what is to be said to HTML. Owns every word a person reads here (in each language), what the pages look
//! like, and the files they load. Knows no request, no session and no store, and decides no status code.
//!
//! Every page works without scripts; the one script there is makes a password visible. Templates are in `templates/` and
//! compiled; they escape whatever they are given.

mod brand;
mod device;
mod language;
mod template;
#[cfg(test)]
mod tests;
mod text;
mod view;

pub use brand::{ASSET_HEADERS, Asset, Brand};
pub use language::Language;
pub use template::{Html, render};
pub use view::{
    Account, CrossSite, Device, Devices, ErrorPage, Framed, Interrupted, Page, PasswordPage, PasswordProblem,
    Person, Program, Resend, SignIn, SignInProblem, SignOut, SignedIn, SignedOut,
};

/// The header fields every page is sent with.
///
/// `same-origin` rather than `no-referrer`: with the latter, browsers send `Origin: null` with the page's own forms.
///
/// `form-action` is not `'self'`: Chromium holds every redirect that follows a form to it, and an app may send people on to
/// another origin as soon as they have signed in. Where a form itself is posted is in our templates, which escape all else.
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

/// What replaces fields of [`HEADERS`] on a page that may be shown in frames, also of other sites and under COEP: it has links
/// and no form, so there is nothing to be clicked unseen. An empty value takes the field out.
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
