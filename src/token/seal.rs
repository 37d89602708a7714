//! The master secret, and sealing of signing keys under it: AES-256-GCM with the key's name as associated data.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::hkdf;

use crate::id::{Random, base64url, from_base64url};
use crate::secret::Secret;

/// Version of the layout of sealed values.
const LAYOUT: u8 = 1;

/// 32-byte secret that seals all secrets in the vault.
#[derive(Clone, Debug)]
pub struct MasterSecret(Secret<[u8; 32]>);

/// Reason why no master secret could be loaded.
#[derive(Debug, thiserror::Error)]
pub enum MasterSecretError {
    /// Not 32 bytes of base64url.
    #[error("{0} does not hold a master secret: it must be 32 bytes in base64url, 43 characters")]
    Malformed(String),
    /// The file does not exist.
    #[error("master key file {} does not exist: restore it, or point `vault.master_key_file` to it", .0.display())]
    Missing(PathBuf),
    /// Other users can read the file.
    #[error("master key file {} can be read by other users: run `chmod 600 {}`", .0.display(), .0.display())]
    Exposed(PathBuf),
    /// The file cannot be read or created.
    #[error("master key file {}: {source}", path.display())]
    Io {
        /// Path of the file.
        path: PathBuf,
        /// The I/O error.
        source: io::Error,
    },
}

/// A sealed value does not open: it was sealed under another master secret, or changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "the signing keys in the vault were sealed under another master secret: restore that one, or point \
     `vault.master_key_file` to it"
)]
pub struct WrongMasterSecret;

impl MasterSecret {
    /// Generates a master secret.
    pub fn random(random: &dyn Random) -> Self {
        Self(Secret::new(random.bytes()))
    }

    /// Parses the text form; `source` names its origin in the error message.
    ///
    /// # Errors
    /// [`MasterSecretError::Malformed`].
    pub fn parse(text: &str, source: &str) -> Result<Self, MasterSecretError> {
        let malformed = || MasterSecretError::Malformed(source.to_owned());
        let bytes = from_base64url(text.trim()).ok_or_else(malformed)?;
        Ok(Self(Secret::new(bytes.try_into().map_err(|_| malformed())?)))
    }

    /// Reads a file that only its owner may read.
    ///
    /// # Errors
    /// [`MasterSecretError::Missing`] when there is no file; the caller decides whether to create one.
    pub fn read(path: &Path) -> Result<Self, MasterSecretError> {
        let failed = |source| MasterSecretError::Io { path: path.to_owned(), source };
        let text = match fs::read_to_string(path) {
            Ok(text) => Secret::new(text),
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                return Err(MasterSecretError::Missing(path.to_owned()));
            }
            Err(e) => return Err(failed(e)),
        };
        // Kubernetes mounts secrets group-readable for fsGroup; a file readable by others is refused.
        if fs::metadata(path).map_err(failed)?.permissions().mode() & 0o007 != 0 {
            return Err(MasterSecretError::Exposed(path.to_owned()));
        }
        Self::parse(text.expose(), &format!("master key file {}", path.display()))
    }

    /// Derives a key for another purpose: HKDF-SHA256 (RFC 5869) with `purpose` as its info.
    pub fn derive(&self, purpose: &str) -> Secret<[u8; 32]> {
        let mut key = [0; 32];
        hkdf::Salt::new(hkdf::HKDF_SHA256, b"doorward")
            .extract(self.0.expose())
            .expand(&[purpose.as_bytes()], hkdf::HKDF_SHA256)
            .and_then(|derived| derived.fill(&mut key))
            .expect("32 bytes are no more than HKDF gives");
        Secret::new(key)
    }

    /// Creates the file with mode 0600, durable before this returns. It appears complete or not at all. If another
    /// process created it first, that file is read.
    ///
    /// # Errors
    /// [`MasterSecretError::Io`].
    pub fn create(path: &Path, random: &dyn Random) -> Result<Self, MasterSecretError> {
        let failed = |source| MasterSecretError::Io { path: path.to_owned(), source };
        let secret = Self::random(random);
        let mut draft = path.as_os_str().to_owned();
        draft.push(format!(".{}", base64url(random.bytes::<6>())));
        let draft = PathBuf::from(draft);
        let write = || -> io::Result<()> {
            let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft)?;
            let text = Secret::new(base64url(secret.0.expose()) + "\n");
            file.write_all(text.expose().as_bytes())?;
            file.sync_all()
        };
        let linked = write().and_then(|()| fs::hard_link(&draft, path));
        // Only this process uses the draft. A leftover is harmless; the hard link counts.
        let _ = fs::remove_file(&draft);
        match linked {
            Ok(()) => {
                if let Some(folder) = path.parent().filter(|p| !p.as_os_str().is_empty()) {
                    fs::File::open(folder).and_then(|f| f.sync_all()).map_err(failed)?;
                }
                Ok(secret)
            }
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Self::read(path),
            Err(e) => Err(failed(e)),
        }
    }

    /// Seals `plain` under `name`, which must be given again to open it.
    pub fn seal(&self, plain: &[u8], name: &str, random: &dyn Random) -> Vec<u8> {
        let nonce: [u8; NONCE_LEN] = random.bytes();
        let mut body = plain.to_vec();
        self.key()
            .seal_in_place_append_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(name.as_bytes()),
                &mut body,
            )
            .expect("AES-GCM seals anything below 64 GiB");
        let mut sealed = vec![LAYOUT];
        sealed.extend_from_slice(&nonce);
        sealed.append(&mut body);
        sealed
    }

    /// Opens a value sealed by [`MasterSecret::seal`] under the same secret and name.
    ///
    /// # Errors
    /// [`WrongMasterSecret`].
    pub fn open(&self, sealed: &[u8], name: &str) -> Result<Secret<Vec<u8>>, WrongMasterSecret> {
        let (&layout, rest) = sealed.split_first().ok_or(WrongMasterSecret)?;
        let (nonce, body) = rest.split_first_chunk::<NONCE_LEN>().ok_or(WrongMasterSecret)?;
        if layout != LAYOUT {
            return Err(WrongMasterSecret);
        }
        let mut body = body.to_vec();
        let plain = self
            .key()
            .open_in_place(Nonce::assume_unique_for_key(*nonce), Aad::from(name.as_bytes()), &mut body)
            .map_err(|_| WrongMasterSecret)?
            .len();
        body.truncate(plain);
        Ok(Secret::new(body))
    }

    fn key(&self) -> LessSafeKey {
        LessSafeKey::new(UnboundKey::new(&AES_256_GCM, self.0.expose()).expect("32 bytes are an AES-256 key"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::SystemRandom;

    #[test]
    fn sealed_value_opens_only_with_its_secret_and_name() {
        let (master, other) = (MasterSecret::random(&SystemRandom), MasterSecret::random(&SystemRandom));
        let sealed = master.seal(b"key", "access/a", &SystemRandom);
        assert_eq!(master.open(&sealed, "access/a").unwrap().expose(), b"key");
        assert_eq!(master.open(&sealed, "access/b").unwrap_err(), WrongMasterSecret);
        assert_eq!(other.open(&sealed, "access/a").unwrap_err(), WrongMasterSecret);
        for cut in 0..sealed.len() {
            assert!(master.open(&sealed[..cut], "access/a").is_err());
        }
    }

    #[test]
    fn created_file_is_private_and_created_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("master.key");
        assert!(matches!(MasterSecret::read(&path), Err(MasterSecretError::Missing(_))));
        let made = MasterSecret::create(&path, &SystemRandom).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let again = MasterSecret::create(&path, &SystemRandom).unwrap();
        assert_eq!(made.0.expose(), again.0.expose());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "no draft is left behind");
    }

    #[test]
    fn file_readable_by_others_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("master.key");
        MasterSecret::create(&path, &SystemRandom).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(matches!(MasterSecret::read(&path), Err(MasterSecretError::Exposed(_))));
    }
}
