//! Which request headers cross to the app, and which are ours alone.

use bytes::Bytes;
use http::HeaderName;

use crate::config::IdentityHeaders;

/// Headers that say where a request came from or what it really asks for. Nobody's word is taken for them: they
/// are dropped, and `X-Forwarded-For`, `-Proto` and `-Host` written anew (T04, B1, B5). `Remote-User` and its kin are
/// what other gateways tell apps: not ours, and nobody else's here.
const ORIGIN: &[&str] = &[
    "x-real-ip",
    "x-client-ip",
    "x-cluster-client-ip",
    "client-ip",
    "true-client-ip",
    "cf-connecting-ip",
    "fastly-client-ip",
    "x-remote-ip",
    "x-remote-addr",
    "x-originating-ip",
    "x-rewrite-url",
    "x-rewrite-uri",
    "x-envoy-original-path",
    "x-envoy-external-address",
    "x-host",
    "x-http-host-override",
    "x-scheme",
    "x-url-scheme",
    "front-end-https",
    // CVE-2016-5385: becomes the outgoing proxy of a CGI program.
    "proxy",
    "remote-user",
    "x-remote-user",
    "remote-groups",
    "remote-name",
    "remote-email",
    // RFC 9440 section 4: the certificate a client has shown to us is for us to tell.
    "client-cert",
    "client-cert-chain",
    // Set anew for each request; a trusted proxy's is taken before.
    "x-request-id",
];

/// And every header that begins like this.
const ORIGIN_FAMILIES: &[&str] = &["forwarded", "x-forwarded", "x-original-", "ssl-client-", "x-ssl-client-"];

/// Headers by which some frameworks let a request claim another method. Dropped: what was judged is the method
/// of the request line (T17).
const METHOD_OVERRIDE: &[&str] = &["x-http-method-override", "x-http-method", "x-method-override"];

/// Headers that frame a message, dropped under any spelling but their own.
const FRAMING: &[&str] = &["content-length", "transfer-encoding"];

/// What a request header is to us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The app's business.
    Pass,
    /// One of the identity headers, under whatever spelling: dropped, and ours set.
    Identity,
    /// Dropped; some are written anew.
    Drop,
}

/// Tells the kinds apart.
#[derive(Debug)]
pub struct HeaderPolicy {
    /// Names of the identity headers, normalised.
    identity: Vec<String>,
    /// As the app is sent them: user, user id, roles, session.
    sent: [Bytes; 4],
}

impl HeaderPolicy {
    /// For the configured identity headers.
    pub fn new(names: &IdentityHeaders) -> Self {
        let identity = [&names.user, &names.user_id, &names.roles, &names.session];
        Self {
            identity: identity.map(|name| normal(name.as_str())).to_vec(),
            sent: identity.map(|name| Bytes::copy_from_slice(name.as_str().as_bytes())),
        }
    }

    /// The configured names of user, user id, roles and session.
    pub const fn sent(&self) -> &[Bytes; 4] {
        &self.sent
    }

    /// What `name` is. CGI-style apps merge `_`, `.` and `-`, so every spelling that could become one of ours
    /// counts as ours (T02).
    pub fn kind(&self, name: &HeaderName) -> Kind {
        let name = name.as_str();
        if self.identity.iter().any(|known| same_when_merged(name, known)) {
            return Kind::Identity;
        }
        // Every name in the lists begins with one of these letters: most headers end here.
        if !matches!(name.as_bytes().first(), Some(b'x' | b'f' | b't' | b'c' | b'r' | b'p' | b's')) {
            return Kind::Pass;
        }
        let begins =
            |family: &&str| name.get(..family.len()).is_some_and(|head| same_when_merged(head, family));
        // `Content_Length` is no framing to us and may be to an app that merges names.
        let lookalike = |known: &&str| name != *known && same_when_merged(name, known);
        if FRAMING.iter().any(lookalike) {
            return Kind::Drop;
        }
        if ORIGIN.iter().chain(METHOD_OVERRIDE).any(|known| same_when_merged(name, known))
            || ORIGIN_FAMILIES.iter().any(begins)
        {
            return Kind::Drop;
        }
        Kind::Pass
    }
}

fn normal(name: &str) -> String {
    name.bytes().map(|b| char::from(merged(b))).collect()
}

fn same_when_merged(name: &str, known: &str) -> bool {
    name.len() == known.len() && name.bytes().zip(known.bytes()).all(|(n, k)| merged(n) == k)
}

/// Lower case; everything that is neither letter nor digit becomes `-`.
const fn merged(byte: u8) -> u8 {
    if byte.is_ascii_alphanumeric() { byte.to_ascii_lowercase() } else { b'-' }
}

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn policy() -> HeaderPolicy {
        HeaderPolicy::new(&IdentityHeaders {
            user: HeaderName::from_static("x-auth-user"),
            user_id: HeaderName::from_static("x-auth-user-id"),
            roles: HeaderName::from_static("x-auth-roles"),
            session: HeaderName::from_static("x-auth-session"),
        })
    }

    fn kind(name: &str) -> Kind {
        policy().kind(&name.parse().unwrap())
    }

    #[test]
    fn every_spelling_of_an_identity_header_is_ours() {
        // T02: all ways to write three separators.
        for first in ["-", "_", "."] {
            for second in ["-", "_", "."] {
                for name in ["User", "uSER", "ROLES", "session"] {
                    assert_eq!(kind(&format!("X{first}Auth{second}{name}")), Kind::Identity);
                }
            }
        }
        assert_eq!(kind("x-auth-user_id"), Kind::Identity);
        assert_eq!(kind("x-auth-users"), Kind::Pass);
    }

    #[test]
    fn headers_about_the_origin_are_dropped_and_others_pass() {
        for name in [
            "X-Forwarded-For",
            "x_forwarded_for",
            "Forwarded",
            "X-Real-IP",
            "X-Original-URL",
            "X-HTTP-Method-Override",
            "True-Client-IP",
            "X-Forwarded-Client-Cert",
            "X_Original_Forwarded_For",
            "Remote_User",
            "Content_Length",
            "Transfer.Encoding",
            "Proxy",
            "X-Request-Id",
            "X_Request.Id",
            "Client-Cert",
            "client_cert_chain",
            "SSL-Client-Verify",
            "Client-IP",
            "X-Rewrite-URI",
            "X_Remote_User",
            "X-Scheme",
        ] {
            assert_eq!(kind(name), Kind::Drop, "{name}");
        }
        for name in [
            "Accept",
            "X-Requested-With",
            "Traceparent",
            "Authorization",
            "Cookie",
            "X-CSRF-Token",
            "Referer",
            "Content-Type",
            "X-Original",
        ] {
            assert_eq!(kind(name), Kind::Pass, "{name}");
        }
    }
}
