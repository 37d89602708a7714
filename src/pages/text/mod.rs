//! All texts of the pages, once per language.

use std::time::Duration;

use super::{Language, NotForwarded};
use crate::error::PasswordFault;

mod english;
mod factors;
mod german;
mod links;
mod password;

pub(super) use factors::FactorText;
pub(super) use links::LinkText;

/// The texts of one language.
pub(super) struct Text {
    /// Title prefix of a page that is shown again because of a problem.
    pub(super) problem: &'static str,

    pub(super) sign_in: &'static str,
    pub(super) username: &'static str,
    /// The same where an address leads to its provider.
    pub(super) username_or_email: &'static str,
    pub(super) password: &'static str,
    pub(super) show: &'static str,
    pub(super) hide: &'static str,
    pub(super) show_password: &'static str,
    pub(super) remember: &'static str,
    pub(super) remember_hint: &'static str,
    pub(super) credentials_wrong: &'static str,
    pub(super) sign_in_incomplete: &'static str,
    pub(super) too_many: fn(&str) -> String,
    pub(super) unavailable: &'static str,
    pub(super) form_expired: &'static str,
    pub(super) cookies_refused: &'static str,
    pub(super) no_provider: &'static str,
    pub(super) go_on_sign_in: &'static str,
    /// Takes the name of the provider, as in the texts below.
    pub(super) sign_in_with: fn(&str) -> String,
    pub(super) or: &'static str,

    pub(super) signed_in: &'static str,
    pub(super) signed_in_as: &'static str,
    pub(super) signed_in_hint: &'static str,
    pub(super) go_on: &'static str,
    pub(super) account: &'static str,
    pub(super) sign_out: &'static str,
    pub(super) sign_out_asked: &'static str,
    pub(super) sign_out_everywhere: &'static str,

    pub(super) signed_out: &'static str,
    pub(super) signed_out_here: &'static str,
    pub(super) signed_out_everywhere: &'static str,
    pub(super) signed_out_pending: &'static str,
    pub(super) signed_out_everywhere_pending: &'static str,
    pub(super) still_signed_in_at: fn(&str) -> String,
    pub(super) sign_out_there: fn(&str) -> String,
    pub(super) sign_in_again: &'static str,

    pub(super) change_password: &'static str,
    pub(super) current_password: &'static str,
    pub(super) new_password: &'static str,
    pub(super) new_password_hint: fn(usize) -> String,
    pub(super) password_effect: &'static str,
    pub(super) password_incomplete: &'static str,
    pub(super) password_fault: fn(PasswordFault) -> String,
    /// Said while a password is typed in which the script finds no fault.
    pub(super) password_good: &'static str,
    pub(super) password_changed: &'static str,
    pub(super) password_changed_text: &'static str,

    pub(super) my_account: &'static str,
    pub(super) details: &'static str,
    pub(super) name: &'static str,
    pub(super) email: &'static str,
    pub(super) email_verified: &'static str,
    pub(super) email_unverified: &'static str,
    pub(super) roles: &'static str,
    pub(super) accounts: &'static str,
    pub(super) accounts_text: &'static str,
    pub(super) link: fn(&str) -> String,
    pub(super) unlink: fn(&str) -> String,
    pub(super) linked: &'static str,
    pub(super) only_account: &'static str,
    pub(super) details_text: &'static str,

    pub(super) devices: &'static str,
    pub(super) devices_text: &'static str,
    /// The same for a user without a password.
    pub(super) devices_text_provider: &'static str,
    pub(super) browser_on: fn(&str, &str) -> String,
    pub(super) unknown_device: &'static str,
    pub(super) this_device: &'static str,
    pub(super) address: &'static str,
    pub(super) signed_in_at: &'static str,
    pub(super) renewed_at: &'static str,
    pub(super) ago: fn(Duration) -> String,
    pub(super) end: &'static str,
    pub(super) end_device: fn(&str) -> String,
    pub(super) end_others: &'static str,
    pub(super) no_others: &'static str,
    pub(super) programs: &'static str,
    pub(super) programs_text: &'static str,
    pub(super) unknown_program: &'static str,
    /// Number of sign-ins of a program.
    pub(super) sign_ins: fn(usize) -> String,
    pub(super) show_sign_ins: &'static str,
    /// Link to the next page of a list.
    pub(super) older: &'static str,
    /// Link to the first page.
    pub(super) newest: &'static str,
    pub(super) end_programs: &'static str,

    pub(super) interrupted: &'static str,
    pub(super) interrupted_text: &'static str,
    /// The same without a sign of any session.
    pub(super) interrupted_nobody: &'static str,
    pub(super) interrupted_steps: [&'static str; 2],
    pub(super) interrupted_or: &'static str,
    /// The same in a frame.
    pub(super) interrupted_framed: &'static str,
    pub(super) interrupted_framed_nobody: &'static str,
    pub(super) interrupted_framed_steps: [&'static str; 2],
    pub(super) interrupted_framed_or: &'static str,
    pub(super) sign_in_new_tab: &'static str,

    pub(super) framed: &'static str,
    pub(super) framed_text: &'static str,
    pub(super) framed_open: &'static str,

    pub(super) another_site: &'static str,
    pub(super) cross_site: &'static str,
    /// Takes the origin of the form and the reason.
    pub(super) cross_site_text: fn(&str, &str) -> String,
    pub(super) cross_site_home: &'static str,
    pub(super) home_new_tab: &'static str,
    /// Why a form was not sent on: the beginning of a sentence.
    pub(super) cookies_omitted: &'static str,
    pub(super) not_signed_in: &'static str,
    pub(super) other_origin: &'static str,
    pub(super) resend: &'static str,
    /// Takes the origin of the form and the reason.
    pub(super) resend_text: fn(&str, &str) -> String,
    pub(super) resend_to: &'static str,
    pub(super) resend_fields: &'static str,
    pub(super) resend_button: &'static str,
    pub(super) resend_not: &'static str,
    pub(super) more_fields: fn(usize) -> String,
    pub(super) return_lost: &'static str,

    pub(super) try_again: &'static str,
    pub(super) wait: fn(&str) -> String,
    pub(super) request: &'static str,
    /// Formats a time span in its largest unit.
    pub(super) span: fn(Duration) -> String,
    pub(super) factors: &'static FactorText,
    pub(super) links: &'static LinkText,
    /// Texts by code or status, the more specific first; the last one is the fallback.
    pub(super) errors: &'static [(ErrorOf, ErrorText)],
}

/// Selector of an error text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ErrorOf {
    /// Errors with this code.
    Code(&'static str),
    /// Errors with this status.
    Status(u16),
    /// All other errors.
    Other,
}

/// Text of an error page.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ErrorText {
    /// The error.
    pub(super) title: &'static str,
    /// Explanation, and what to do.
    pub(super) text: &'static str,
}

impl Text {
    /// Returns the texts of a language.
    pub(super) const fn of(language: Language) -> &'static Self {
        match language {
            Language::English => &english::TEXT,
            Language::German => &german::TEXT,
        }
    }

    /// Returns why a form from another origin was not forwarded.
    pub(super) const fn not_forwarded(&self, reason: NotForwarded) -> &'static str {
        match reason {
            NotForwarded::CookiesOmitted => self.cookies_omitted,
            NotForwarded::NotSignedIn => self.not_signed_in,
            NotForwarded::OtherOrigin => self.other_origin,
        }
    }

    /// Returns the text of an error.
    pub(super) fn error(&self, status: u16, code: &str) -> &'static ErrorText {
        let fits = |of: &ErrorOf| match of {
            ErrorOf::Code(known) => *known == code,
            ErrorOf::Status(known) => *known == status,
            ErrorOf::Other => true,
        };
        self.factors
            .errors
            .iter()
            .chain(self.errors)
            .find(|(of, _)| fits(of))
            .map(|(_, text)| text)
            .expect("the last text is for all others")
    }
}

/// Returns a span in its largest unit.
fn largest(span: Duration) -> (u64, Unit) {
    let seconds = span.as_secs();
    match seconds {
        0..60 => (seconds, Unit::Second),
        60..3_600 => (seconds / 60, Unit::Minute),
        3_600..86_400 => (seconds / 3_600, Unit::Hour),
        _ => (seconds / 86_400, Unit::Day),
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unit {
    Second,
    Minute,
    Hour,
    Day,
}
