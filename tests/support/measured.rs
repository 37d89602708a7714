//! Prints measurements of tests.

/// Prints a measurement, visible with `--nocapture`.
#[expect(clippy::print_stdout, reason = "for people who run the tests")]
pub(crate) fn measured(what: std::fmt::Arguments<'_>) {
    println!("measured: {what}");
}
