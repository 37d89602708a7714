//! Session checks: authentication of requests, the table of live and revoked sessions, the lease, the feed and
//! revocation.

pub(crate) mod authenticate;
pub(crate) mod control;
pub(crate) mod feed;
pub(crate) mod flight;
pub(crate) mod granted;
pub(crate) mod idle;
pub(crate) mod lease;
pub(crate) mod live;
pub(crate) mod lookups;
pub(crate) mod pauses;
pub(crate) mod requests;
pub(crate) mod revoke;
pub(crate) mod session_end;
pub(crate) mod user_names;
pub(crate) mod watch;
