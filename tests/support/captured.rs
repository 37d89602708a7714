//! Captures the log lines of a test whose tasks all run on the test's own thread.

use std::cell::RefCell;
use std::io;
use std::sync::Once;

thread_local! {
    static LINES: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

struct Lines;

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        LINES.with_borrow_mut(|lines| lines.extend_from_slice(bytes));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Starts capturing the lines of this thread.
///
/// All threads share one subscriber. With one per thread, a line first reached by another thread may be lost.
pub(crate) fn capture() {
    static BEGUN: Once = Once::new();
    BEGUN.call_once(|| {
        let subscriber = tracing_subscriber::fmt().with_ansi(false).with_max_level(tracing::Level::TRACE);
        let subscriber = subscriber.with_writer(|| Lines).finish();
        tracing::subscriber::set_global_default(subscriber).expect("the only one");
    });
    LINES.with_borrow_mut(Vec::clear);
}

/// The captured lines.
pub(crate) fn captured() -> String {
    LINES.with_borrow(|lines| String::from_utf8(lines.clone()).expect("text"))
}
