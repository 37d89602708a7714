//! Pages about links in mails with hostile values.

use std::time::Duration;

use super::HOSTILE;
use crate::error::PasswordFault;
use crate::pages::{
    LinkEnd, LinkEndPage, LinkPage, Page, PasswordHints, PasswordProblem, ResetPage, ResetProblem, VerifyPage,
};

pub(super) fn pages() -> Vec<Page<'static>> {
    let reset = |problem, done| {
        Page::Reset(ResetPage {
            action: HOSTILE,
            csrf: HOSTILE,
            username: HOSTILE,
            sign_in: HOSTILE,
            problem,
            done,
        })
    };
    let rules: &'static PasswordHints = Box::leak(Box::new(PasswordHints {
        min_length: 15,
        max_bytes: 1024,
        own_names: vec![HOSTILE.to_owned()],
        site_names: vec![HOSTILE.to_owned()],
    }));
    let link = |is_invitation, problem| {
        Page::Link(LinkPage {
            action: HOSTILE,
            csrf: HOSTILE,
            token: HOSTILE,
            user: HOSTILE,
            rules,
            is_invitation,
            problem,
        })
    };
    let verify = |is_expired| {
        Page::Verify(VerifyPage {
            action: HOSTILE,
            csrf: HOSTILE,
            token: HOSTILE,
            user: HOSTILE,
            email: HOSTILE,
            is_expired,
        })
    };
    let end = |end, again| Page::LinkEnd(LinkEndPage { end, sign_in: HOSTILE, again });
    let wait = Duration::from_secs(90);
    vec![
        reset(None, false),
        reset(None, true),
        reset(Some(ResetProblem::Incomplete), false),
        reset(Some(ResetProblem::TooMany(wait)), false),
        reset(Some(ResetProblem::Unavailable), false),
        reset(Some(ResetProblem::FormExpired), false),
        link(false, None),
        link(true, None),
        link(false, Some(PasswordProblem::Rejected(PasswordFault::Common))),
        link(false, Some(PasswordProblem::Incomplete)),
        link(false, Some(PasswordProblem::TooMany(wait))),
        link(false, Some(PasswordProblem::Unavailable)),
        link(false, Some(PasswordProblem::FormExpired)),
        verify(true),
        verify(false),
        end(LinkEnd::VerificationSent, None),
        end(LinkEnd::AddressVerified, None),
        end(LinkEnd::PasswordSet, None),
        end(LinkEnd::Invalid, Some(HOSTILE)),
        end(LinkEnd::Invalid, None),
        end(LinkEnd::OtherBrowser, Some(HOSTILE)),
    ]
}
