//! Limit of open files: a connection needs one to the client and one to the app.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Raises the soft limit to the hard limit. Systems start with 1,024 for programs that call select(2), which doorward
/// does not.
pub(super) fn raise_limit() {
    let limit = getrlimit(Resource::Nofile);
    // Raising it to the hard limit needs no privilege. If it is refused anyway, the limit stays.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
}
