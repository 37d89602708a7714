//! The files a configuration is made of: what was read of each, and whether it is still so.
//!
//! They are looked at, not subscribed to: inotify watches an inode, and it is the name that counts. Kubernetes replaces
//! a symlink above the file, editors put a new file in the old one's place, overlay and network file systems report
//! nothing at all. So each name is followed through every symlink and compared by device, inode, size and times; where
//! those differ the content is read, and only content counts as a change. A file that is being written is not taken half:
//! a change must have been seen twice in a row.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

/// SHA-256 of a file.
pub type Digest = [u8; 32];

/// A file and what was read of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// The setting that names it, such as `vault.url_file`; empty for the configuration itself.
    pub key: String,
    /// The file.
    pub path: PathBuf,
    /// What was in it; `None` when it could not be read.
    pub digest: Option<Digest>,
}

/// Every file of one reading; the configuration itself is the first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sources(Vec<Source>);

impl Sources {
    /// Reads a file and remembers what it read.
    ///
    /// # Errors
    /// When it cannot be read, which is remembered as well.
    pub(crate) fn read(&mut self, key: &str, path: &Path) -> io::Result<Zeroizing<Vec<u8>>> {
        let bytes = fs::read(path).map(Zeroizing::new);
        let digest = bytes.as_ref().ok().map(|bytes| digest(bytes));
        self.0.push(Source { key: key.to_owned(), path: path.to_owned(), digest });
        bytes
    }

    /// Every file.
    pub fn iter(&self) -> impl Iterator<Item = &Source> {
        self.0.iter()
    }

    /// What the file holds that the setting `key` names.
    pub fn digest_of(&self, key: &str) -> Option<Digest> {
        self.0.iter().find(|source| source.key == key)?.digest
    }

    /// A number made of the configuration's text: the first 48 bits of its SHA-256, which a float holds exactly.
    pub fn hash(&self) -> u64 {
        let digest = self.0.first().and_then(|source| source.digest).unwrap_or_default();
        digest[..6].iter().fold(0, |hash, byte| hash << 8 | u64::from(*byte))
    }

    /// With the files of another reading that this one did not come to, as they are now.
    #[must_use]
    pub fn and(mut self, other: &Self) -> Self {
        let more = other.0.iter().filter(|source| !self.0.iter().any(|known| known.path == source.path));
        let more: Vec<Source> =
            more.map(|source| Source { digest: digest_now(&source.path), ..source.clone() }).collect();
        self.0.extend(more);
        self
    }

    /// The file that `key` names was made by ourselves after it was found missing: it is as we made it.
    pub fn made(&mut self, key: &str) {
        for source in self.0.iter_mut().filter(|source| source.key == key && source.digest.is_none()) {
            source.digest = digest_now(&source.path);
        }
    }
}

/// What a file is like from outside. When that is the same, so is its content: a change of the content changes the time
/// of change, on a file system that is this machine's own.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Likeness {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Likeness {
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

/// Looks at files again and again.
#[derive(Debug)]
pub struct Watch {
    files: Vec<Watched>,
    /// What was there at the last look, if that was not what was read.
    unsettled: Option<Vec<Option<Digest>>>,
}

#[derive(Debug)]
struct Watched {
    read: Source,
    likeness: Option<Likeness>,
    /// What was there at the last look.
    seen: Option<Digest>,
    /// It looked otherwise at the look before: times are as coarse as the kernel's clock, so a file written twice within
    /// one of its ticks (4 ms) looks the same. It is read once more.
    is_new: bool,
}

impl Watch {
    /// Of files as they were read.
    pub fn new(sources: &Sources) -> Self {
        // The likeness is taken at the first look: what has changed since the reading is found then.
        let files = sources.0.iter().cloned();
        let files = files.map(|read| Watched { read, likeness: None, seen: None, is_new: true });
        Self { files: files.collect(), unsettled: None }
    }

    /// Whether something is other than it was read, and the same as at the last look: nobody is at writing it.
    pub fn has_changed(&mut self) -> bool {
        for file in &mut self.files {
            let likeness = Likeness::of(&file.read.path);
            let differs = likeness != file.likeness;
            // What cannot be read is tried each time: a right to read may be given without a trace.
            if differs || file.is_new || file.seen.is_none() {
                file.seen = digest_now(&file.read.path);
                file.likeness = likeness;
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

/// What is in a file now.
fn digest_now(path: &Path) -> Option<Digest> {
    fs::read(path).map(Zeroizing::new).ok().map(|bytes| digest(&bytes))
}

fn digest(bytes: &[u8]) -> Digest {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes);
    let mut out = [0; 32];
    out.copy_from_slice(digest.as_ref());
    out
}
