//! Where a request comes from: the peer, unless the peer is a proxy of `server.trusted_proxies`.
//!
//! ```text
//! X-Forwarded-For: invented, client, proxy 1     peer: proxy 2
//!                  ^ ignored ^ first address from the right that is no trusted proxy
//! ```
//!
//! [`origin::Origin`] is the one reading of address, scheme, host and port. Whoever needs one of them takes it from there.

use std::net::{IpAddr, Ipv6Addr};

use http::HeaderMap;
use ipnet::IpNet;

pub mod origin;
mod values;

pub use origin::Origin;

/// Maximum number of addresses of `X-Forwarded-For` that are looked at. Chains of proxies have fewer than ten; longer lists are
/// written by clients whose own address is in a trusted network.
const MAX_HOPS: usize = 32;
pub use crate::config::UNIX_PEER;

/// Whether `peer` is a proxy whose `X-Forwarded-*` is believed.
pub fn is_trusted(peer: IpAddr, trusted: &[IpNet]) -> bool {
    let peer = peer.to_canonical();
    trusted.iter().any(|net| net.contains(&peer))
}

/// Address of the client: the right-most one in `X-Forwarded-For` that is not a trusted proxy, if the peer is one.
pub fn client(peer: IpAddr, headers: &HeaderMap, trusted: &[IpNet]) -> IpAddr {
    let mut client = peer.to_canonical();
    if is_trusted(client, trusted) {
        walk(headers, trusted, |hop| client = hop);
    }
    client
}

/// Calls `hop` with each believed address of `X-Forwarded-For`, from the right. Returns what could not be read, where that ended
/// the walk.
fn walk<'a>(headers: &'a HeaderMap, trusted: &[IpNet], mut hop: impl FnMut(IpAddr)) -> Option<&'a [u8]> {
    let fields = headers.get_all(origin::FOR).iter().rev();
    let entries =
        fields.flat_map(|field| field.as_bytes().rsplit(|&byte| byte == b',').map(<[u8]>::trim_ascii));
    // RFC 9110 section 5.6.1.2: empty elements of a list are none.
    for entry in entries.filter(|entry| !entry.is_empty()).take(MAX_HOPS) {
        let Some(address) = values::address(entry) else { return Some(entry) };
        hop(address);
        if !is_trusted(address, trusted) {
            break;
        }
    }
    None
}

/// One customer: an IPv4 address, or the /64 an IPv6 address is in.
pub fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX))),
        v4 => v4,
    }
}

#[cfg(test)]
mod tests;
