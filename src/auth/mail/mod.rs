//! Mails: links to set a password, and the outbox that they are sent from.

pub(crate) mod outbox;
pub(crate) mod reset;
