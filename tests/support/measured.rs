//! What tests have measured, for people.

/// Says it; `--nocapture` shows it.
#[expect(clippy::print_stdout, reason = "for people who run the tests")]
pub(crate) fn measured(what: std::fmt::Arguments<'_>) {
    println!("measured: {what}");
}
