//! Listen addresses: TCP, Unix sockets, and sockets opened by the service manager.

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use crate::config::parse::hint::quoted;
use crate::config::parse::reader::Table;
use crate::config::parse::reader::Value;

/// Maximum length of a Unix socket path in bytes: `sun_path` of unix(7) without its NUL.
const MAX_PATH: usize = 107;

/// An address to listen on. Its text is the one in the configuration; an upgrade identifies the socket by it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListenAddress {
    /// `127.0.0.1:8080`; with port 0 the system chooses a port.
    Tcp(SocketAddr),
    /// `unix:/run/doorward/doorward.sock`
    Unix(PathBuf),
    /// `fd:web`: all sockets of this name passed by the service manager (sd_listen_fds(3)).
    Inherited(String),
}

impl ListenAddress {
    /// Returns the TCP address and port, if this is one.
    pub const fn tcp(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(address) => Some(*address),
            Self::Unix(_) | Self::Inherited(_) => None,
        }
    }

    /// Returns false if the system chooses the port, so that two equal addresses are still different sockets.
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
                Err(format!(
                    "{} does not name a socket: write \"fd:\" and its FileDescriptorName=",
                    quoted(text)
                ))
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
        return Err(format!("\"unix:{path}\" does not name a file: {example}"));
    }
    // `//` is another notation of the same path; abstract names (`@`) have no permissions.
    if path.starts_with("//") || path.starts_with('@') || path.contains('\0') {
        return Err(format!("\"unix:{path}\" is not a path: {example}"));
    }
    let path = dir.join(path);
    if path.as_os_str().len() > MAX_PATH {
        return Err(format!(
            "`{}` is longer than {MAX_PATH} bytes, the limit for a Unix socket: {example}",
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
                "{} is not a socket mode: write \"0600\" (owner), \"0660\" (owner and group) or \"0666\" (everybody)",
                quoted(text)
            )
        })
    })
}
