//! Relying party: the id that passkeys belong to, and the origins whose pages may use them (section 5.1.7).

use std::fmt;
use std::net::Ipv4Addr;

use aws_lc_rs::digest::{SHA256, digest};

use crate::text::host_and_port;

/// Relying party.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RelyingParty {
    id: String,
    hash: [u8; 32],
    origins: Vec<String>,
    unusable: Vec<(String, Unusable)>,
}

/// Reason for which pages of an origin cannot use passkeys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unusable {
    /// Its host is an IP address. Relying party ids are names.
    Address,
    /// It is not https, and not `localhost`: browsers have passkeys in secure contexts alone.
    ClearText,
    /// Its host is neither the relying party id nor below it.
    OtherHost,
}

/// There is no relying party for these origins.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RelyingPartyError {
    /// No origin can have passkeys at all.
    #[error("passkeys need an origin with https and a host name (or http://localhost)")]
    NoOrigin,
    /// None of the hosts is above all others.
    #[error("{0} and {1} have no listed host above both: set the relying party id")]
    NoCommonHost(String, String),
    /// No origin with https is at or below the id.
    #[error("no origin with https has the host {0} or one below it")]
    Elsewhere(String),
}

impl RelyingParty {
    /// Returns the relying party of some origins, each as browsers write it: `https://host[:port]`. Its id is the host
    /// that all others equal or are below of.
    ///
    /// # Errors
    /// [`RelyingPartyError::NoOrigin`], [`RelyingPartyError::NoCommonHost`].
    pub fn of_origins(origins: &[String]) -> Result<Self, RelyingPartyError> {
        let hosts: Vec<&str> = origins.iter().filter_map(|origin| usable_host(origin).ok()).collect();
        let id = *hosts.iter().min_by_key(|host| host.len()).ok_or(RelyingPartyError::NoOrigin)?;
        match hosts.iter().find(|host| !is_within(host, id)) {
            None => Self::with_id(id, origins),
            Some(host) => Err(RelyingPartyError::NoCommonHost(id.to_owned(), (*host).to_owned())),
        }
    }

    /// Returns the relying party with an id that the operator chose. A changed id loses all passkeys.
    ///
    /// # Errors
    /// [`RelyingPartyError::Elsewhere`].
    pub fn with_id(id: &str, origins: &[String]) -> Result<Self, RelyingPartyError> {
        let (mut usable, mut unusable) = (Vec::new(), Vec::new());
        for origin in origins {
            match usable_host(origin) {
                Ok(host) if is_within(host, id) => usable.push(origin.clone()),
                Ok(_) => unusable.push((origin.clone(), Unusable::OtherHost)),
                Err(reason) => unusable.push((origin.clone(), reason)),
            }
        }
        if usable.is_empty() {
            return Err(RelyingPartyError::Elsewhere(id.to_owned()));
        }
        let mut hash = [0; 32];
        hash.copy_from_slice(digest(&SHA256, id.as_bytes()).as_ref());
        Ok(Self { id: id.to_owned(), hash, origins: usable, unusable })
    }

    /// Returns the relying party id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Returns the origins whose pages may use the passkeys.
    pub fn origins(&self) -> &[String] {
        &self.origins
    }

    /// Returns the other origins, with the reason for each.
    pub fn unusable(&self) -> &[(String, Unusable)] {
        &self.unusable
    }

    /// Returns whether pages of this origin may use the passkeys: compared byte by byte.
    pub fn has_origin(&self, origin: &str) -> bool {
        self.origins.iter().any(|own| own == origin)
    }

    /// Returns the SHA-256 of the id.
    pub(super) const fn id_hash(&self) -> &[u8] {
        &self.hash
    }
}

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Address => "its host is an IP address, and passkeys belong to names",
            Self::ClearText => "browsers have passkeys on https pages alone",
            Self::OtherHost => "its host is not at or below the relying party id",
        })
    }
}

/// Returns the host of an origin whose pages can have passkeys.
fn usable_host(origin: &str) -> Result<&str, Unusable> {
    let (scheme, authority) = origin.split_once("://").unwrap_or(("", origin));
    let (host, _) = host_and_port(authority);
    if host.starts_with('[') || host.parse::<Ipv4Addr>().is_ok() {
        return Err(Unusable::Address);
    }
    let is_local = host == "localhost" || host.ends_with(".localhost");
    if scheme == "https" || is_local { Ok(host) } else { Err(Unusable::ClearText) }
}

/// Returns whether browsers let pages of the host use the relying party id: the host itself, or a name above it that is
/// not the whole top-level domain (HTML, "is a registrable domain suffix of or is equal to"). Suffixes with two labels
/// that nobody can register, such as `co.uk`, are left to the browser's list of them.
fn is_within(host: &str, id: &str) -> bool {
    let is_below = || id.contains('.') && host.strip_suffix(id).is_some_and(|rest| rest.ends_with('.'));
    host == id || is_below()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(origins: &[&str]) -> Result<RelyingParty, RelyingPartyError> {
        RelyingParty::of_origins(&origins.iter().map(|&origin| origin.to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn id_is_the_host_that_all_others_are_at_or_below() {
        for (origins, id) in [
            (&["https://example.org"][..], "example.org"),
            (&["https://login.example.org"], "login.example.org"),
            (&["https://a.example.org", "https://example.org"], "example.org"),
            (&["https://example.org:8443", "https://example.org"], "example.org"),
            (
                &["https://a.b.example.org", "https://b.example.org", "https://c.b.example.org"],
                "b.example.org",
            ),
            (&["http://127.0.0.1:8080", "http://localhost:8080"], "localhost"),
            (&["http://app.localhost:8080"], "app.localhost"),
            (&["https://intranet"], "intranet"),
            (&["http://example.com", "https://example.org"], "example.org"),
        ] {
            assert_eq!(of(origins).map(|party| party.id().to_owned()).as_deref(), Ok(id), "{origins:?}");
        }
    }

    #[test]
    fn origins_without_a_common_host_have_no_id() {
        use RelyingPartyError::{NoCommonHost, NoOrigin};
        for bad in [
            &[][..],
            &["http://127.0.0.1:8080"],
            &["https://192.0.2.1"],
            &["https://[::1]:8443"],
            &["http://app.example.com"],
            &["http://localhost.example.com"],
        ] {
            assert_eq!(of(bad), Err(NoOrigin), "{bad:?}");
        }
        for (bad, first, second) in [
            (["https://a.example.org", "https://b.example.org"], "a.example.org", "b.example.org"),
            (["https://example.org", "https://example.com.evil"], "example.org", "example.com.evil"),
            (["https://example.org", "https://evilexample.org"], "example.org", "evilexample.org"),
            // Browsers take a single label for a public suffix.
            (["https://intranet", "https://wiki.intranet"], "intranet", "wiki.intranet"),
            (["http://localhost:1", "http://app.localhost:1"], "localhost", "app.localhost"),
        ] {
            assert_eq!(of(&bad), Err(NoCommonHost(first.to_owned(), second.to_owned())), "{bad:?}");
        }
    }

    #[test]
    fn chosen_id_leaves_the_origins_at_or_below_it() {
        let origins = [
            "https://a.example.org",
            "https://b.example.org:8443",
            "http://c.example.org",
            "https://192.0.2.1",
            "https://example.com",
        ]
        .map(str::to_owned);
        let party = RelyingParty::with_id("example.org", &origins).unwrap();
        assert_eq!(party.origins(), &origins[..2]);
        let unusable = [Unusable::ClearText, Unusable::Address, Unusable::OtherHost];
        assert_eq!(party.unusable(), origins[2..].iter().cloned().zip(unusable).collect::<Vec<_>>());
        assert!(party.has_origin("https://b.example.org:8443"));
        for other in ["https://b.example.org", "https://c.example.org", "https://example.org", ""] {
            assert!(!party.has_origin(other), "{other}");
        }
        for bad in
            ["org", "ample.org", "0.2.1", "192.0.2.1", "c.example.org", "", ".org", "b.example.org:8443"]
        {
            assert_eq!(
                RelyingParty::with_id(bad, &origins),
                Err(RelyingPartyError::Elsewhere(bad.to_owned())),
                "{bad:?}"
            );
        }
        assert_eq!(
            RelyingParty::with_id(".example.org", &origins).err(),
            Some(RelyingPartyError::Elsewhere(".example.org".to_owned()))
        );
    }
}
