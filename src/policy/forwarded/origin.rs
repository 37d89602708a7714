//! Address, scheme, host and port that the client used, as reported by trusted proxies.

use std::net::IpAddr;

use http::HeaderMap;
use ipnet::IpNet;

use super::{is_trusted, values, walk};
use crate::policy::route::canonical_host;

pub(super) const FOR: &str = "x-forwarded-for";
const PROTO: &str = "x-forwarded-proto";
const HOST: &str = "x-forwarded-host";
const PORT: &str = "x-forwarded-port";

/// Fields with a scheme, in order of preference: the first valid one counts.
const SCHEMES: [&str; 5] = [PROTO, "x-forwarded-protocol", "x-forwarded-scheme", "x-url-scheme", "x-scheme"];
/// Fields with `on` for https, used after those.
const SWITCHES: [&str; 3] = ["x-forwarded-ssl", "front-end-https", "x-front-end-https"];

/// Address, scheme, host and port of the client, as far as trusted proxies report them.
#[derive(Debug, PartialEq, Eq)]
pub struct Origin<'a> {
    peer: IpAddr,
    /// The trusted proxies between the peer and the client, and the client, from the right.
    hops: Vec<IpAddr>,
    /// Whether the client used https.
    pub is_https: bool,
    /// `X-Forwarded-Host`, if trusted: a valid host, perhaps with a port.
    pub host: Option<&'a str>,
    /// `X-Forwarded-Port`, if trusted.
    pub port: Option<u16>,
    /// The first field that was invalid.
    pub ignored: Option<Ignored<'a>>,
}

/// An invalid field of a trusted proxy; the next best source was used instead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ignored<'a> {
    /// Name of the field, in lower case.
    pub field: &'static str,
    /// The value, or the part of it, that was invalid.
    pub value: &'a [u8],
}

impl<'a> Origin<'a> {
    /// Reads the fields of a trusted peer; those of other peers are ignored. `is_encrypted` describes the connection
    /// itself.
    ///
    /// The first element of a list of schemes is the client's. In a list of hosts or ports it is the element at the
    /// position of the client in `X-Forwarded-For`: elements further left may come from the client itself, through a
    /// proxy that appends.
    pub fn read(headers: &'a HeaderMap, peer: IpAddr, is_encrypted: bool, trusted: &[IpNet]) -> Self {
        let peer = peer.to_canonical();
        let mut origin =
            Self { peer, hops: Vec::new(), is_https: is_encrypted, host: None, port: None, ignored: None };
        if !is_trusted(peer, trusted) {
            return origin;
        }
        if let Some(value) = walk(headers, trusted, |hop| origin.hops.push(hop)) {
            origin.ignore(FOR, value);
        }
        origin.read_scheme(headers);
        let depth = headers.contains_key(FOR).then_some(origin.hops.len());
        if let Some(value) = beside_client(headers, HOST, depth) {
            let host = value.and_then(|value| std::str::from_utf8(value).ok());
            origin.host = host.filter(|host| canonical_host(host).is_ok());
            if origin.host.is_none() {
                origin.ignore_field(headers, HOST);
            }
        }
        if let Some(value) = beside_client(headers, PORT, depth) {
            origin.port = value.and_then(|value| values::port(std::str::from_utf8(value).ok()?));
            if origin.port.is_none() {
                origin.ignore_field(headers, PORT);
            }
        }
        // RFC 7239: a list of pairs, each optional. Combined with the fields above it would be a second, conflicting
        // source.
        let has_no_other_field = depth.is_none() && !headers.contains_key(PROTO) && origin.host.is_none();
        if has_no_other_field && headers.contains_key(http::header::FORWARDED) {
            origin.ignore_field(headers, "forwarded");
        }
        origin
    }

    /// Returns the client's address.
    pub fn client(&self) -> IpAddr {
        self.hops.last().copied().unwrap_or(self.peer)
    }

    /// Returns the client's address, then every trusted proxy on the way, then the peer.
    pub fn hops(&self) -> impl Iterator<Item = IpAddr> {
        self.hops.iter().rev().copied().chain([self.peer])
    }

    /// Returns the port that the client used: the forwarded one, or that of the requested host (`X-Forwarded-Host`, or
    /// else `host`), or the scheme's default.
    pub fn port_beside(&self, host: Option<&str>) -> u16 {
        let of_host = || self.host.or(host).and_then(values::port_of);
        self.port.or_else(of_host).unwrap_or(if self.is_https { 443 } else { 80 })
    }

    fn read_scheme(&mut self, headers: &'a HeaderMap) {
        let schemes = SCHEMES.map(|name| (name, values::scheme as fn(&[u8]) -> Option<bool>));
        let switches = SWITCHES.map(|name| (name, values::switch as fn(&[u8]) -> Option<bool>));
        for (name, read) in schemes.into_iter().chain(switches) {
            let Some(first) = elements(headers, name).next() else {
                if headers.contains_key(name) {
                    self.ignore_field(headers, name);
                }
                continue;
            };
            match read(first) {
                Some(is_https) => {
                    self.is_https = is_https;
                    return;
                }
                None => self.ignore(name, first),
            }
        }
    }

    fn ignore_field(&mut self, headers: &'a HeaderMap, field: &'static str) {
        let value = headers.get(field).map_or(&b""[..], |value| value.as_bytes());
        self.ignore(field, value);
    }

    fn ignore(&mut self, field: &'static str, value: &'a [u8]) {
        self.ignored.get_or_insert(Ignored { field, value });
    }
}

/// Returns the elements of a list that may be spread over several fields (RFC 9110 section 5.3), without empty ones.
fn elements<'a>(headers: &'a HeaderMap, name: &str) -> impl Iterator<Item = &'a [u8]> {
    let fields = headers.get_all(name).into_iter();
    let all = fields.flat_map(|field| field.as_bytes().split(|&byte| byte == b',').map(<[u8]>::trim_ascii));
    all.filter(|element| !element.is_empty())
}

/// Returns the element at the position of the client, which is `depth` addresses from the right of `X-Forwarded-For`.
/// Without that field it is the first of a single list. `None` without the field, `Some(None)` when it is
/// contradictory.
fn beside_client<'a>(headers: &'a HeaderMap, name: &str, depth: Option<usize>) -> Option<Option<&'a [u8]>> {
    let mut fields = headers.get_all(name).iter();
    fields.next()?;
    let is_one_field = fields.next().is_none();
    let count = elements(headers, name).count();
    let index = match depth {
        _ if count < 2 => Some(0),
        Some(0) => None,
        Some(depth) => Some(count.saturating_sub(depth)),
        // Proxies that append write one list; a second field comes from another sender.
        None => is_one_field.then_some(0),
    };
    Some(index.and_then(|index| elements(headers, name).nth(index)))
}
