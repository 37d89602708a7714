//! Pages about links in mails.

use std::time::Duration;

use doorward::pages::{
    LinkEnd, LinkEndPage, LinkPage, Page, PasswordProblem, ResetPage, ResetProblem, SignIn, VerifyPage,
};

use super::{RULES, TOO_SHORT};

/// The page of this name; `None` if it is another page.
pub(super) fn page(name: &str) -> Option<Page<'static>> {
    Some(match name {
        "sign-in-forgot" => match super::sign_in("", None) {
            Page::SignIn(page) => Page::SignIn(SignIn { forgot: Some("/auth/reset"), ..page }),
            other => other,
        },
        "reset" => reset(None, false),
        "reset-too-many" => reset(Some(ResetProblem::TooMany(Duration::from_secs(6))), false),
        "reset-sent" => reset(None, true),
        "link" => link(false, None),
        "link-too-short" => link(false, Some(PasswordProblem::Rejected(TOO_SHORT))),
        "link-invitation" => link(true, None),
        "link-done" => link_end(LinkEnd::PasswordSet),
        "link-invalid" => link_end(LinkEnd::Invalid),
        "link-elsewhere" => link_end(LinkEnd::OtherBrowser),
        "verify" => Page::Verify(VerifyPage {
            action: "/auth/email/link",
            csrf: "csrf",
            token: "token",
            user: "ada",
            email: "ada.lovelace@analytical-engine.example.org",
            is_expired: false,
        }),
        "verify-sent" => link_end(LinkEnd::VerificationSent),
        "verify-done" => link_end(LinkEnd::AddressVerified),
        _ => return None,
    })
}

fn reset(problem: Option<ResetProblem>, done: bool) -> Page<'static> {
    Page::Reset(ResetPage {
        action: "/auth/reset",
        csrf: "csrf",
        username: "",
        sign_in: "/auth/login",
        problem,
        done,
    })
}

fn link(is_invitation: bool, problem: Option<PasswordProblem>) -> Page<'static> {
    Page::Link(LinkPage {
        action: "/auth/reset/link",
        csrf: "csrf",
        token: "token",
        user: "ada",
        rules: &RULES,
        is_invitation,
        problem,
    })
}

fn link_end(end: LinkEnd) -> Page<'static> {
    Page::LinkEnd(LinkEndPage { end, sign_in: "/auth/login", again: Some("/auth/reset") })
}
