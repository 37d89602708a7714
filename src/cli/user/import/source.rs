//! The file that is imported: counts what is read, and bounds the text of one user.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use anyhow::Context as _;

/// Maximum bytes between two users: no user has as many, and a file without an end of a line must not fill the memory.
const MAX_RECORD: u64 = 1 << 20;

/// An open file.
pub(super) struct Source {
    file: File,
    position: Arc<Position>,
}

/// Place of the reading thread in the file, in bytes.
#[derive(Default)]
pub(super) struct Position {
    read: AtomicU64,
    /// Value of `read` when the last user ended.
    record: AtomicU64,
    /// True while the text is not that of users, such as the clients of a realm.
    is_unbounded: AtomicBool,
}

impl Position {
    /// Notes the end of a user.
    pub(super) fn next_record(&self) {
        self.record.store(self.read(), Ordering::Relaxed);
    }

    /// Starts or ends text of any length.
    pub(super) fn set_unbounded(&self, is_unbounded: bool) {
        self.next_record();
        self.is_unbounded.store(is_unbounded, Ordering::Relaxed);
    }

    /// Returns the number of bytes that were read.
    pub(super) fn read(&self) -> u64 {
        self.read.load(Ordering::Relaxed)
    }
}

impl Source {
    /// Opens a file; returns its size in bytes, too.
    ///
    /// # Errors
    /// It cannot be read, or is not a file.
    pub(super) fn open(path: &Path) -> anyhow::Result<(Self, u64)> {
        let advice = || format!("cannot read `{}`: name a file that this user can read", path.display());
        let file = File::open(path).with_context(advice)?;
        let known = file.metadata().with_context(advice)?;
        // A pipe can be read once, and the import reads twice.
        anyhow::ensure!(known.is_file(), "`{}` is no file: write the users to a file first", path.display());
        Ok((Self { file, position: Arc::default() }, known.len()))
    }

    /// Returns its position, which follows the reads.
    pub(super) fn position(&self) -> Arc<Position> {
        Arc::clone(&self.position)
    }
}

impl Read for Source {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read(buffer)?;
        let position = &self.position;
        let at = position.read.fetch_add(read as u64, Ordering::Relaxed) + read as u64;
        let is_bounded = !position.is_unbounded.load(Ordering::Relaxed);
        if is_bounded && at - position.record.load(Ordering::Relaxed) > MAX_RECORD {
            return Err(io::Error::other("one user has more than 1 MiB of text: is this the right format?"));
        }
        Ok(read)
    }
}
