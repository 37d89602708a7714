//! Addresses to listen on: TCP, Unix sockets, and sockets that the service manager has opened.

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use crate::config::parse::hint::quoted;
use crate::config::parse::reader::Table;
use crate::config::parse::reader::Value;

/// Length of a Unix socket's path at most, in bytes: `sun_path` of unix(7) with its NUL.
const LONGEST_PATH: usize = 107;

/// An address to listen on. Its text is what the configuration says, and what an upgrade knows the socket by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListenAddress {
    /// `127.0.0.1:8080`; port 0 lets the system choose.
    Tcp(SocketAddr),
    /// `unix:/run/doorward/doorward.sock`
    Unix(PathBuf),
    /// `fd:web`: every socket of this name that the service manager hands over (sd_listen_fds(3)).
    Inherited(String),
}

impl ListenAddress {
    /// The address and port, where it is known from the configuration.
    pub const fn tcp(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(address) => Some(*address),
            Self::Unix(_) | Self::Inherited(_) => None,
        }
    }

    /// Whether two of it are one: ports that the system chooses are not.
    pub(crate) fn is_chosen(&self) -> bool {
        !matches!(self, Self::Tcp(address) if address.port() == 0)
    }

    fn parse(text: &str, dir: &Path) -> Result<Self, String> {
        if let Some(path) = text.strip_prefix("unix:") {
            return unix(path, dir).map(Self::Unix);
        }
        if let Some(name) = text.strip_prefix("fd:") {
            // systemd.socket(5), FileDescriptorName=: at most 255 characters, none of them a colon.
            let is_name =
                (1..=255).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_graphic() && b != b':');
            return if is_name {
                Ok(Self::Inherited(name.to_owned()))
            } else {
                Err(format!("{} names no socket: write \"fd:\" and its FileDescriptorName=", quoted(text)))
            };
        }
        text.parse().map(Self::Tcp).map_err(|_| {
            format!(
                "{} is not an address and port: write one such as \"127.0.0.1:8080\" or \"[::]:8080\"",
                quoted(text)
            )
        })
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "{address}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Inherited(name) => write!(f, "fd:{name}"),
        }
    }
}

impl From<SocketAddr> for ListenAddress {
    fn from(address: SocketAddr) -> Self {
        Self::Tcp(address)
    }
}

fn unix(path: &str, dir: &Path) -> Result<PathBuf, String> {
    let example = "write \"unix:/run/doorward/doorward.sock\"";
    if path.is_empty() || path.ends_with('/') {
        return Err(format!("\"unix:{path}\" names no file: {example}"));
    }
    // Another notation of the same, and abstract names, which have no permissions.
    if path.starts_with("//") || path.starts_with('@') || path.contains('\0') {
        return Err(format!("\"unix:{path}\" is no path: {example}"));
    }
    let path = dir.join(path);
    if path.as_os_str().len() > LONGEST_PATH {
        return Err(format!(
            "`{}` is longer than {LONGEST_PATH} bytes, which is all a Unix socket may have: {example}",
            path.display()
        ));
    }
    Ok(path)
}

/// Reads a list of addresses.
pub(crate) fn addresses(table: &Table<'_>, name: &'static str, dir: &Path) -> Option<Vec<ListenAddress>> {
    let mut seen: Vec<ListenAddress> = Vec::new();
    table.value(name)?.list(r#"["127.0.0.1:8080"]"#, |item| {
        item.parsed(|text| {
            let address = ListenAddress::parse(text, dir)?;
            if address.is_chosen() && seen.contains(&address) {
                return Err(format!("\"{address}\" is listed twice: remove one"));
            }
            seen.push(address.clone());
            Ok(address)
        })
    })
}

/// Reads the permission bits of Unix sockets, such as `"0660"`.
pub(crate) fn unix_mode(value: &Value<'_>) -> Option<u32> {
    value.parsed(|text| {
        let digits = text.strip_prefix('0').unwrap_or(text);
        let mode = u32::from_str_radix(digits, 8).ok().filter(|_| digits.len() == 3);
        mode.filter(|mode| mode & !0o666 == 0 && mode & 0o600 == 0o600).ok_or_else(|| {
            format!(
                "{} are no permissions of a socket: write \"0600\" (our user), \"0660\" (and our group) or \"0666\" (everybody)",
                quoted(text)
            )
        })
    })
}
