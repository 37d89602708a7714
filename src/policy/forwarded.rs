//! Where a request comes from: the peer, unless the peer is a proxy we were told to believe.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use ipnet::IpNet;

/// Whether `peer` is a proxy whose `X-Forwarded-*` is believed.
pub fn is_trusted(peer: IpAddr, trusted: &[IpNet]) -> bool {
    let peer = peer.to_canonical();
    trusted.iter().any(|net| net.contains(&peer))
}

/// The client's address: the right-most one in `X-Forwarded-For` that is not a trusted proxy, if the peer is
/// one; what stands further left was written by strangers.
pub fn client<'a>(peer: IpAddr, forwarded_for: impl Iterator<Item = &'a str>, trusted: &[IpNet]) -> IpAddr {
    let mut client = peer.to_canonical();
    if !is_trusted(client, trusted) {
        return client;
    }
    let hops: Vec<&str> = forwarded_for.flat_map(|field| field.split(',')).map(str::trim).collect();
    for hop in hops.into_iter().rev() {
        // Some proxies add the port.
        let address = hop.parse::<IpAddr>().or_else(|_| hop.parse::<SocketAddr>().map(|socket| socket.ip()));
        let Ok(address) = address else { break };
        client = address.to_canonical();
        if !is_trusted(client, trusted) {
            break;
        }
    }
    client
}

/// One customer: an IPv4 address, or the /64 an IPv6 address is in.
pub fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX))),
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_trusted_peer_is_believed_and_only_up_to_the_first_stranger() {
        let trusted: Vec<IpNet> = vec!["10.0.0.0/8".parse().unwrap()];
        let ask = |peer: &str, fields: &[&str]| {
            client(peer.parse().unwrap(), fields.iter().copied(), &trusted).to_string()
        };
        assert_eq!(ask("203.0.113.9", &["127.0.0.1"]), "203.0.113.9");
        assert_eq!(ask("10.0.0.1", &["1.1.1.1, 198.51.100.7"]), "198.51.100.7");
        assert_eq!(ask("10.0.0.1", &["1.1.1.1", "198.51.100.7, 10.0.0.2"]), "198.51.100.7");
        assert_eq!(ask("10.0.0.1", &["198.51.100.7:5678"]), "198.51.100.7");
        assert_eq!(ask("10.0.0.1", &[]), "10.0.0.1");
        assert_eq!(ask("10.0.0.1", &["garbage"]), "10.0.0.1");
        assert_eq!(ask("::ffff:10.0.0.1", &["198.51.100.7"]), "198.51.100.7");
    }
}
