//! Classification of request headers: forwarded, or set only by this gateway.
//!
//! A client's own identity, address, scheme, host or URL fields never reach an app. This covers this gateway's fields
//! and those of the gateways, proxies and appliances that apps commonly run behind
//! ([`crate::config::header_families`]). Names are compared as CGI merges them.

use http::HeaderName;

use crate::config::header_families;
use crate::config::header_families::DEFAULT_IDENTITY;
use crate::config::{IdentityHeaders, RequestHeaders};
use crate::text::without_cgi_prefix;

mod identity;
mod names;

pub use identity::identity_headers;
use names::{Names, is_same};

/// Headers whose other spellings are removed: those that frame a message, and those of WebDAV that the route table checks (RFC
/// 4918 sections 10.2, 10.3 and 10.6). An app that merges names reads `HTTP_DESTINATION` as `Destination`.
const OWN_SPELLING: [&str; 5] = ["content-length", "transfer-encoding", "destination", "depth", "overwrite"];

/// Classification of a request header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Forwarded unchanged.
    Pass,
    /// An identity header in any spelling: removed, and set by this gateway.
    Identity,
    /// Removed; some are set again by this gateway.
    Drop,
    /// A header of another gateway's family: removed, unless the route forwards it.
    Foreign,
    /// A header that some app does not get from clients: see [`is_own_of`].
    OfApp,
}

#[derive(Debug, Clone, Copy)]
enum Entry {
    Identity,
    Drop,
    Foreign,
    OfApp,
    OwnSpelling,
}

/// Classifies request headers.
#[derive(Debug)]
pub struct HeaderPolicy {
    names: Names<Entry>,
}

impl HeaderPolicy {
    /// Builds the policy for the `configured` names of identity headers and the headers of all upstreams. Every header name that
    /// the gateway sets on requests belongs in this list: a client could send any other one in another spelling, such as
    /// `X_Team` for `X-Team`.
    pub fn new<'a>(
        configured: &IdentityHeaders,
        upstreams: impl Iterator<Item = &'a RequestHeaders> + Clone,
    ) -> Self {
        let configured = [&configured.user, &configured.user_id, &configured.roles, &configured.session];
        let identity = upstreams.clone().flat_map(|headers| headers.identity.iter().map(|(name, _)| name));
        let mut names = Names::new();
        let mut add = |all: &[header_families::Family], entry| {
            for name in all.iter().flat_map(|family| family.names) {
                match name.strip_suffix('*') {
                    Some(prefix) => names.add_prefix(prefix, entry),
                    None => names.add(name, entry),
                }
            }
        };
        add(header_families::ORIGIN, Entry::Drop);
        add(header_families::FOREIGN, Entry::Foreign);
        for name in OWN_SPELLING {
            names.add(name, Entry::OwnSpelling);
        }
        for name in
            DEFAULT_IDENTITY.into_iter().chain(configured.into_iter().chain(identity).map(HeaderName::as_str))
        {
            names.add(name, Entry::Identity);
        }
        for name in upstreams.flat_map(RequestHeaders::own_names) {
            // A name that no client may send to any app stays so.
            if names.find(name.as_str().as_bytes()).is_none() {
                names.add(name.as_str(), Entry::OfApp);
            }
        }
        Self { names }
    }

    /// Returns the kind of `name`. CGI-style apps merge `_`, `.` and `-`, so every spelling that could become a name of
    /// this gateway counts as that name. So does a name with the prefix that CGI itself adds
    /// (`HTTP_X_AUTH_USER`).
    pub fn kind(&self, name: &HeaderName) -> Kind {
        let name = name.as_str().as_bytes();
        let found = self.names.find(name).or_else(|| self.names.find(without_cgi_prefix(name)?));
        match found {
            None => Kind::Pass,
            Some(Entry::Identity) => Kind::Identity,
            Some(Entry::Drop) => Kind::Drop,
            Some(Entry::Foreign) => Kind::Foreign,
            Some(Entry::OfApp) => Kind::OfApp,
            // `Content_Length` does not frame a message here, but may do so in an app that merges names.
            Some(Entry::OwnSpelling) if OWN_SPELLING.iter().any(|known| known.as_bytes() == name) => {
                Kind::Pass
            }
            Some(Entry::OwnSpelling) => Kind::Drop,
        }
    }
}

/// Returns whether an app with these headers gets no `name` from clients, in any spelling: it is removed, or set to fixed text.
pub fn is_own_of(headers: &RequestHeaders, name: &HeaderName) -> bool {
    let name = name.as_str().as_bytes();
    let is = |known: &HeaderName| {
        let known = known.as_str().as_bytes();
        is_same(name, known) || without_cgi_prefix(name).is_some_and(|rest| is_same(rest, known))
    };
    headers.own_names().any(is)
}

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
