//! The files that make up a configuration: the content that was read, and whether it has changed since.
//!
//! Files are polled. inotify watches an inode, but here the name counts: Kubernetes replaces a symlink above the file,
//! editors replace the file itself, and overlay and network file systems report no events. So each name is resolved
//! through all symlinks and compared by device, inode, size and times. If those differ the content is read, and only a
//! changed content counts. A file that is still being written is not taken half: a change must be seen twice in a row.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

/// SHA-256 of a file.
pub type Digest = [u8; 32];

/// A file and the digest of the content that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// The setting that names it, such as `vault.url_file`; empty for the configuration itself.
    pub key: String,
    /// The file.
    pub path: PathBuf,
    /// Digest of the content; `None` when the file could not be read.
    pub digest: Option<Digest>,
}

/// All files of one reading; the configuration itself is the first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sources(Vec<Source>);

impl Sources {
    /// Reads a file and records its digest.
    ///
    /// # Errors
    /// The file cannot be read, which is recorded as well.
    pub(crate) fn read(&mut self, key: &str, path: &Path) -> io::Result<Zeroizing<Vec<u8>>> {
        let bytes = fs::read(path).map(Zeroizing::new);
        let digest = bytes.as_ref().ok().map(|bytes| digest(bytes));
        self.0.push(Source { key: key.to_owned(), path: path.to_owned(), digest });
        bytes
    }

    /// Iterates over all files.
    pub fn iter(&self) -> impl Iterator<Item = &Source> {
        self.0.iter()
    }

    /// Digest of the file that the setting `key` names.
    pub fn digest_of(&self, key: &str) -> Option<Digest> {
        self.0.iter().find(|source| source.key == key)?.digest
    }

    /// Number derived from the configuration's text: the first 48 bits of its SHA-256, which a float represents
    /// exactly.
    pub fn hash(&self) -> u64 {
        let digest = self.0.first().and_then(|source| source.digest).unwrap_or_default();
        digest[..6].iter().fold(0, |hash, byte| hash << 8 | u64::from(*byte))
    }

    /// Adds the files of another reading that this one did not reach, with their current content.
    #[must_use]
    pub fn and(mut self, other: &Self) -> Self {
        let more = other.0.iter().filter(|source| !self.0.iter().any(|known| known.path == source.path));
        let more: Vec<Source> =
            more.map(|source| Source { digest: digest_now(&source.path), ..source.clone() }).collect();
        self.0.extend(more);
        self
    }

    /// Records the file that `key` names, which was missing when read and then created by the gateway.
    pub fn made(&mut self, key: &str) {
        for source in self.0.iter_mut().filter(|source| source.key == key && source.digest.is_none()) {
            source.digest = digest_now(&source.path);
        }
    }
}

/// Metadata of a file. If it is unchanged, so is the content: on a local file system every change of the content
/// changes the ctime.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Metadata {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Metadata {
    fn of(path: &Path) -> Option<Self> {
        let file = fs::metadata(path).ok()?;
        Some(Self {
            device: file.dev(),
            inode: file.ino(),
            size: file.size(),
            modified: (file.mtime(), file.mtime_nsec()),
            changed: (file.ctime(), file.ctime_nsec()),
        })
    }
}

/// Polls files for changes.
#[derive(Debug)]
pub struct Watch {
    files: Vec<Watched>,
    /// Digests found at the previous check, if they differed from what was read.
    unsettled: Option<Vec<Option<Digest>>>,
}

#[derive(Debug)]
struct Watched {
    read: Source,
    metadata: Option<Metadata>,
    /// Digest found at the last check.
    seen: Option<Digest>,
    /// True if the metadata differed at the previous check. Timestamps have the resolution of the kernel's tick (4 ms),
    /// so a file written twice within one tick looks unchanged. It is read once more.
    is_new: bool,
}

impl Watch {
    /// Watches the files of a reading.
    pub fn new(sources: &Sources) -> Self {
        // The metadata is taken at the first check, so changes since the reading are found then.
        let files = sources.0.iter().cloned();
        let files = files.map(|read| Watched { read, metadata: None, seen: None, is_new: true });
        Self { files: files.collect(), unsettled: None }
    }

    /// Returns whether some content differs from what was read and is the same as at the previous check, so that no
    /// write is in progress.
    pub fn has_changed(&mut self) -> bool {
        for file in &mut self.files {
            let metadata = Metadata::of(&file.read.path);
            let differs = metadata != file.metadata;
            // An unreadable file is tried each time: a permission may be granted without changing its metadata.
            if differs || file.is_new || file.seen.is_none() {
                file.seen = digest_now(&file.read.path);
                file.metadata = metadata;
            }
            file.is_new = differs;
        }
        if self.files.iter().all(|file| file.seen == file.read.digest) {
            self.unsettled = None;
            return false;
        }
        let seen: Vec<_> = self.files.iter().map(|file| file.seen).collect();
        let settled = self.unsettled.as_ref() == Some(&seen);
        self.unsettled = Some(seen);
        settled
    }
}

/// Digest of the current content of a file.
fn digest_now(path: &Path) -> Option<Digest> {
    fs::read(path).map(Zeroizing::new).ok().map(|bytes| digest(&bytes))
}

/// SHA-256.
pub(crate) fn digest(bytes: &[u8]) -> Digest {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes);
    let mut out = [0; 32];
    out.copy_from_slice(digest.as_ref());
    out
}
