//! Pages about second factors with hostile values.

use std::time::Duration;

use super::{ACCOUNT, HOSTILE};
use crate::clock::Timestamp;
use crate::pages::{
    FactorItem, FactorPage, FactorProblem, FactorSection, Page, PasskeyPage, RecoveryCodesPage, StepUpPage,
    TotpPage,
};

/// A section of the account page with everything, and one with nothing.
pub(super) fn sections() -> (&'static FactorSection, &'static FactorSection) {
    let item = |used_at: Option<Timestamp>| FactorItem {
        id: HOSTILE.to_owned(),
        name: HOSTILE.to_owned(),
        created_at: Timestamp::from_secs(70_000),
        used_at,
    };
    let section = FactorSection {
        apps: vec![item(Some(Timestamp::from_secs(80_000))), item(None)],
        passkeys: vec![item(Some(Timestamp::from_secs(80_000))), item(None)],
        add_passkey: Some(HOSTILE.to_owned()),
        remove_passkey: HOSTILE.to_owned(),
        accepted_passkeys: Some(HOSTILE.to_owned()),
        recovery_codes: Some(1),
        add: HOSTILE.to_owned(),
        remove: HOSTILE.to_owned(),
        new_codes: HOSTILE.to_owned(),
    };
    (Box::leak(Box::new(section)), Box::leak(Box::default()))
}

pub(super) fn pages() -> Vec<Page<'static>> {
    let passkey = Some((HOSTILE, HOSTILE));
    let factor = |problem: Option<FactorProblem>| FactorPage {
        action: HOSTILE,
        csrf: HOSTILE,
        user: HOSTILE,
        cancel: HOSTILE,
        has_code: problem.is_none(),
        passkey,
        problem,
    };
    let enrolment = |is_offer, passkey, problem| PasskeyPage {
        action: HOSTILE,
        csrf: HOSTILE,
        user: HOSTILE,
        return_to: Some(HOSTILE),
        later: HOSTILE,
        is_offer,
        passkey,
        problem,
    };
    let labels: &'static [(String, String)] = Box::leak(Box::new([(HOSTILE.to_owned(), HOSTILE.to_owned())]));
    let step_up = |needs_factor, has_code, problem| StepUpPage {
        account: ACCOUNT,
        action: HOSTILE,
        return_to: Some(HOSTILE),
        needs_factor,
        has_code,
        passkey,
        has_password: !needs_factor,
        providers: labels,
        enrol: HOSTILE,
        problem,
    };
    let totp = |is_needed, problem| TotpPage {
        action: HOSTILE,
        csrf: HOSTILE,
        user: HOSTILE,
        secret: HOSTILE,
        sealed: HOSTILE,
        qr: Some((29, "M4 4h7v1h-7z")),
        return_to: Some(HOSTILE),
        later: HOSTILE,
        is_needed,
        passkey,
        problem,
    };
    vec![
        Page::Factor(factor(None)),
        Page::Factor(factor(Some(FactorProblem::CodeWrong))),
        Page::Factor(factor(Some(FactorProblem::FormExpired))),
        Page::Factor(FactorPage { passkey: None, ..factor(Some(FactorProblem::PasskeyWrong)) }),
        Page::Passkey(enrolment(true, passkey, None)),
        Page::Passkey(enrolment(false, passkey, Some(FactorProblem::PasskeyTaken))),
        Page::Passkey(enrolment(false, None, None)),
        Page::StepUp(StepUpPage { passkey: None, ..step_up(true, false, None) }),
        Page::StepUp(step_up(true, false, None)),
        Page::StepUp(step_up(true, true, Some(FactorProblem::CodeWrong))),
        Page::StepUp(step_up(false, true, Some(FactorProblem::PasswordWrong))),
        Page::StepUp(StepUpPage { has_password: false, providers: &[], ..step_up(false, false, None) }),
        Page::Totp(totp(false, None)),
        Page::Totp(totp(true, Some(FactorProblem::Incomplete))),
        Page::Totp(TotpPage {
            qr: None,
            ..totp(true, Some(FactorProblem::TooMany(Duration::from_secs(90))))
        }),
        Page::Totp(totp(false, Some(FactorProblem::Unavailable))),
        Page::RecoveryCodes(RecoveryCodesPage { codes: &[HOSTILE, HOSTILE], go_on: HOSTILE }),
    ]
}
