//! Guards that a test build can switch off, one at a time, to prove that the fault suite notices (`make test-guards`).

#[cfg(all(feature = "broken-guards", not(debug_assertions)))]
compile_error!("`broken-guards` lets revoked sessions in: it is for tests of the fault suite alone");

/// Returns true if the environment names this guard. Never in a build without `broken-guards`.
#[cfg(feature = "broken-guards")]
pub(crate) fn is_off(name: &str) -> bool {
    std::env::var("DOORWARD_BROKEN_GUARD").is_ok_and(|off| off == name)
}

/// Panics in one of fifty requests, in a test build that is told so (`panic`).
#[cfg(feature = "broken-guards")]
pub(crate) fn panic_now_and_then() {
    static COUNT: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
    let is_due = || COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed) % 50 == 49;
    assert!(!is_off("panic") || !is_due(), "a panic that the fault suite asked for");
}

/// Does nothing: this build has no panic on purpose.
#[cfg(not(feature = "broken-guards"))]
pub(crate) const fn panic_now_and_then() {}

/// Returns false: this build has all guards.
#[cfg(not(feature = "broken-guards"))]
pub(crate) const fn is_off(_: &str) -> bool {
    false
}
