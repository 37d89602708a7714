//! The page that sets up a passkey.

use doorward::pages::{Page, PasskeyPage};

use super::PASSKEY;

/// The page, offered after a sign-in or asked for.
pub(super) fn page(is_offer: bool) -> Page<'static> {
    Page::Passkey(PasskeyPage {
        action: "/auth/passkey",
        csrf: "csrf",
        user: "ada",
        return_to: is_offer.then_some("/reports"),
        later: "/auth/account#factors",
        is_offer,
        passkey: Some(PASSKEY),
        problem: None,
    })
}
