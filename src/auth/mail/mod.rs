//! Mails: links to set a password or to verify an address, and the outbox that they are sent from.

pub(crate) mod outbox;
pub(crate) mod reset;
pub(crate) mod verification;
