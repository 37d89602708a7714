//! How many files the process may have open: a connection is one to the client and one to the app.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// As many as whoever started it allows. Systems begin with 1,024 for the sake of programs that call select(2), which is not
/// ours to call; what is allowed beyond is there to be asked for.
pub(super) fn raise_limit() {
    let limit = getrlimit(Resource::Nofile);
    // Up to the hard limit needs no right; where it is refused all the same, the limit stays what it was.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
}
