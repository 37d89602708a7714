//! Guards that a test build can switch off, one at a time, to prove that the fault suite notices (`make test-guards`).

#[cfg(all(feature = "broken-guards", not(debug_assertions)))]
compile_error!("`broken-guards` lets revoked sessions in: it is for tests of the fault suite alone");

/// Returns true if the environment names this guard. Never in a build without `broken-guards`.
#[cfg(feature = "broken-guards")]
pub(crate) fn is_off(name: &str) -> bool {
    std::env::var("DOORWARD_BROKEN_GUARD").is_ok_and(|off| off == name)
}

/// Returns false: this build has all guards.
#[cfg(not(feature = "broken-guards"))]
pub(crate) const fn is_off(_: &str) -> bool {
    false
}
