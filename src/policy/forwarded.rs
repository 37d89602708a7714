//! Address of the client: the peer, unless the peer is in `server.trusted_proxies`.
//!
//! ```text
//! X-Forwarded-For: invented, client, proxy 1     peer: proxy 2
//!                  ^ ignored ^ first address from the right that is no trusted proxy
//! ```
//!
//! [`origin::Origin`] is the only parser of address, scheme, host and port; every other part uses its result.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use http::HeaderMap;
use ipnet::IpNet;

pub mod origin;
mod values;

pub use origin::Origin;

/// Maximum number of addresses read from `X-Forwarded-For`. Real proxy chains have fewer than ten; longer lists come
/// from clients whose own address is in a trusted network.
const MAX_HOPS: usize = 32;
pub use crate::config::UNIX_PEER;

/// Returns whether `peer` is a proxy whose `X-Forwarded-*` fields are trusted.
pub fn is_trusted(peer: IpAddr, trusted: &[IpNet]) -> bool {
    let peer = peer.to_canonical();
    trusted.iter().any(|net| net.contains(&peer))
}

/// Returns the client's address: if the peer is a trusted proxy, the right-most address in `X-Forwarded-For` that is
/// not one.
pub fn client(peer: IpAddr, headers: &HeaderMap, trusted: &[IpNet]) -> IpAddr {
    let mut client = peer.to_canonical();
    if is_trusted(client, trusted) {
        walk(headers, trusted, |hop| client = hop);
    }
    client
}

/// Calls `hop` with each trusted address of `X-Forwarded-For`, from the right. Returns the entry that ended the walk
/// because it is invalid, if any.
fn walk<'a>(headers: &'a HeaderMap, trusted: &[IpNet], mut hop: impl FnMut(IpAddr)) -> Option<&'a [u8]> {
    let fields = headers.get_all(origin::FOR).iter().rev();
    let entries =
        fields.flat_map(|field| field.as_bytes().rsplit(|&byte| byte == b',').map(<[u8]>::trim_ascii));
    // RFC 9110 section 5.6.1.2: empty list elements are ignored.
    for entry in entries.filter(|entry| !entry.is_empty()).take(MAX_HOPS) {
        let Some(address) = values::address(entry) else { return Some(entry) };
        hop(address);
        if !is_trusted(address, trusted) {
            break;
        }
    }
    None
}

/// Returns the network of an address with these prefix lengths (IPv4, IPv6).
pub fn network_of(address: IpAddr, (v4, v6): (u32, u32)) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => {
            let mask = u32::MAX.checked_shl(32 - v4).unwrap_or(0);
            IpAddr::V4(Ipv4Addr::from_bits(address.to_bits() & mask))
        }
        IpAddr::V6(address) => {
            let mask = u128::MAX.checked_shl(128 - v6).unwrap_or(0);
            IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & mask))
        }
    }
}

/// Returns the network of one customer: an IPv4 address, or the /64 of an IPv6 address.
pub fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX))),
        v4 => v4,
    }
}

#[cfg(test)]
mod tests;
