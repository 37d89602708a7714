//! PROXY protocol, versions 1 and 2: a load balancer in TCP mode sends the client's address before the connection's data.
//!
//! Specification: "The PROXY protocol, Versions 1 & 2" (HAProxy). Its section 5: a listener either requires the header or
//! refuses it, and never guesses. Here the peer's address decides (`server.proxy_protocol_from`): if anyone could send the
//! header, anyone could choose a client address.
//!
//! `LOCAL` and `UNKNOWN` (sent by health checks) and Unix socket addresses carry no client address: the peer's address is
//! used. TLVs of version 2 are skipped.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use bytes::BytesMut;
use pingora::protocols::l4::socket::SocketAddr as PeerAddr;
use pingora::protocols::l4::stream::Stream as Socket;
use pingora::protocols::{GetSocketDigest as _, SocketDigest, Stream};
use tokio::io::AsyncReadExt as _;

/// Maximum length of a version 1 header, with its line end (section 2.1).
const MAX_LENGTH_V1: usize = 107;

/// Maximum length of a version 2 header. Addresses need 232 bytes, a TLS client certificate in a TLV about 2 KiB; the format
/// would allow 64 KiB per connection.
const MAX_LENGTH_V2: usize = 4096;

const SIGNATURE_V2: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";

/// Both addresses of a connection, as the load balancer sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ends {
    pub(crate) client: SocketAddr,
    /// Address that the client connected to.
    pub(crate) server: SocketAddr,
}

/// Error reading the header. The bytes read are put back, except for an unspecified client address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum HeaderError {
    /// The connection begins with something else.
    #[error(
        "no PROXY protocol header was received: let the load balancer send one, or take it out of server.proxy_protocol_from"
    )]
    Missing,
    #[error("the PROXY protocol header is malformed: {0}")]
    Malformed(&'static str),
    #[error("the connection ended before its PROXY protocol header")]
    Ended,
}

#[derive(Debug, PartialEq)]
enum Parsed {
    /// Addresses of a header, and its length.
    Header(Option<Ends>, usize),
    Partial,
}

/// Reads the header of a connection. The returned stream begins after the header, and its peer address is the header's client.
/// With an error, the stream still begins with the bytes read.
///
/// Call it under a deadline: it waits for a peer that sends nothing.
pub(crate) async fn read_header(stream: Stream) -> (Option<Stream>, Result<Option<Ends>, HeaderError>) {
    // Pingora's plain listener passes sockets.
    let Ok(mut socket) = stream.into_any().downcast::<Socket>() else {
        return (None, Err(HeaderError::Ended));
    };
    let mut bytes = BytesMut::with_capacity(256);
    let parsed = loop {
        match parse(&bytes) {
            Ok(Parsed::Header(ends, length)) => break Ok((ends, length)),
            Ok(Parsed::Partial) => {}
            Err(error) => break Err(error),
        }
        match socket.read_buf(&mut bytes).await {
            Ok(read) if read > 0 => {}
            _ => break Err(HeaderError::Ended),
        }
    };
    let (ends, length) = match parsed {
        // The unspecified address stands for peers of Unix sockets here.
        Ok((Some(ends), _)) if ends.client.ip().is_unspecified() => {
            return (None, Err(HeaderError::Malformed("it names the unspecified address")));
        }
        Ok(parsed) => parsed,
        Err(error) => {
            socket.rewind(&bytes);
            return (Some(socket), Err(error));
        }
    };
    socket.rewind(&bytes[length..]);
    if let Some(ends) = ends {
        set_addresses(&mut socket, ends);
    }
    (Some(socket), Ok(ends))
}

/// Replaces the socket's peer and local address by those of the header.
fn set_addresses(socket: &mut Socket, ends: Ends) {
    use std::os::fd::AsRawFd as _;

    let digest = SocketDigest::from_raw_fd(socket.as_raw_fd());
    // Cannot fail: the digest is new.
    let _ = digest.peer_addr.set(Some(PeerAddr::Inet(ends.client)));
    let _ = digest.local_addr.set(Some(PeerAddr::Inet(ends.server)));
    socket.set_socket_digest(digest);
}

fn parse(bytes: &[u8]) -> Result<Parsed, HeaderError> {
    let common = bytes.len().min(SIGNATURE_V2.len());
    if bytes[..common] == SIGNATURE_V2[..common] {
        return if common < SIGNATURE_V2.len() { Ok(Parsed::Partial) } else { parse_v2(bytes) };
    }
    let common = bytes.len().min(6);
    if bytes[..common] == b"PROXY "[..common] {
        return parse_v1(bytes);
    }
    Err(HeaderError::Missing)
}

/// Section 2.1: `PROXY TCP4 192.0.2.1 198.51.100.1 56324 443\r\n`.
fn parse_v1(bytes: &[u8]) -> Result<Parsed, HeaderError> {
    let malformed = || HeaderError::Malformed("write PROXY TCP4|TCP6 <client> <server> <port> <port>");
    let Some(end) = bytes.iter().take(MAX_LENGTH_V1).position(|&byte| byte == b'\n') else {
        return if bytes.len() < MAX_LENGTH_V1 { Ok(Parsed::Partial) } else { Err(malformed()) };
    };
    let line = bytes[..end].strip_suffix(b"\r").ok_or_else(malformed)?;
    let line = std::str::from_utf8(line).map_err(|_| malformed())?;
    let words: Vec<&str> = line.split(' ').collect();
    let port = |text: &str| {
        let is_number =
            text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
        text.parse::<u16>().ok().filter(|_| is_number)
    };
    let ends = match words[..] {
        ["PROXY", "UNKNOWN", ..] => None,
        ["PROXY", family @ ("TCP4" | "TCP6"), client, server, client_port, server_port] => {
            let address = |text: &str| {
                let address = text.parse::<IpAddr>().ok()?;
                (address.is_ipv4() == (family == "TCP4")).then_some(address)
            };
            let (Some(client), Some(server), Some(client_port), Some(server_port)) =
                (address(client), address(server), port(client_port), port(server_port))
            else {
                return Err(malformed());
            };
            Some(Ends {
                client: SocketAddr::new(client, client_port),
                server: SocketAddr::new(server, server_port),
            })
        }
        _ => return Err(malformed()),
    };
    Ok(Parsed::Header(ends, end + 1))
}

/// Section 2.2: the signature, version and command, family, length, addresses, TLVs.
fn parse_v2(bytes: &[u8]) -> Result<Parsed, HeaderError> {
    let [command, family, high, low] = match bytes.get(12..16) {
        Some(&[command, family, high, low]) => [command, family, high, low],
        _ => return Ok(Parsed::Partial),
    };
    let length = 16 + usize::from(u16::from_be_bytes([high, low]));
    if length > MAX_LENGTH_V2 {
        return Err(HeaderError::Malformed("it is longer than 4 KiB"));
    }
    let is_local = match command {
        0x20 => true,
        0x21 => false,
        _ => return Err(HeaderError::Malformed("version 2 has the commands LOCAL and PROXY")),
    };
    let address_bytes = match family {
        // AF_UNSPEC; a Unix socket is 0x31.
        0x00 => 0,
        0x31 => 216,
        0x11 => 12,
        0x21 => 36,
        _ => return Err(HeaderError::Malformed("the family is none of TCP")),
    };
    if !is_local && length < 16 + address_bytes {
        return Err(HeaderError::Malformed("it is shorter than its addresses"));
    }
    let Some(header) = bytes.get(..length) else { return Ok(Parsed::Partial) };
    let addresses = &header[16..];
    let port = |at: usize| u16::from_be_bytes([addresses[at], addresses[at + 1]]);
    let v4 =
        |at: usize| Some(IpAddr::V4(Ipv4Addr::from(<[u8; 4]>::try_from(addresses.get(at..at + 4)?).ok()?)));
    let v6 =
        |at: usize| Some(IpAddr::V6(Ipv6Addr::from(<[u8; 16]>::try_from(addresses.get(at..at + 16)?).ok()?)));
    let ends = match family {
        _ if is_local => None,
        0x11 => v4(0).zip(v4(4)).map(|(client, server)| (client, server, port(8), port(10))),
        0x21 => v6(0).zip(v6(16)).map(|(client, server)| (client, server, port(32), port(34))),
        _ => None,
    };
    let ends = ends.map(|(client, server, client_port, server_port)| Ends {
        client: SocketAddr::new(client, client_port),
        server: SocketAddr::new(server, server_port),
    });
    Ok(Parsed::Header(ends, length))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ends(client: &str, server: &str) -> Option<Ends> {
        Some(Ends { client: client.parse().expect("a client"), server: server.parse().expect("a server") })
    }

    fn v2(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let length = u16::try_from(rest.len()).expect("short").to_be_bytes();
        [SIGNATURE_V2, &[command, family][..], &length, rest].concat()
    }

    const V4: &[u8] = &[192, 0, 2, 1, 198, 51, 100, 1, 0xdc, 0x04, 0x01, 0xbb];

    #[test]
    fn header_yields_addresses_and_is_partial_until_complete() {
        let mut v6 = [0; 36];
        v6[15] = 1;
        v6[31] = 2;
        v6[33] = 80;
        v6[35] = 81;
        let tlv = [V4, &[0xEA, 0, 2, 1, 2]].concat();
        let unix = [b'/'; 216];
        for (header, expected) in [
            (
                b"PROXY TCP4 192.0.2.1 198.51.100.1 56324 443\r\n".to_vec(),
                ends("192.0.2.1:56324", "198.51.100.1:443"),
            ),
            (b"PROXY TCP6 2001:db8::1 ::1 0 65535\r\n".to_vec(), ends("[2001:db8::1]:0", "[::1]:65535")),
            (b"PROXY UNKNOWN\r\n".to_vec(), None),
            (b"PROXY UNKNOWN ffff::1 whatever 1 2\r\n".to_vec(), None),
            (v2(0x21, 0x11, V4), ends("192.0.2.1:56324", "198.51.100.1:443")),
            (v2(0x21, 0x11, &tlv), ends("192.0.2.1:56324", "198.51.100.1:443")),
            (v2(0x21, 0x21, &v6), ends("[::1]:80", "[::2]:81")),
            (v2(0x21, 0x31, &unix), None),
            (v2(0x21, 0x00, b""), None),
            (v2(0x20, 0x00, b""), None),
            (v2(0x20, 0x11, V4), None),
            (v2(0x20, 0x11, b"short"), None),
        ] {
            let sent = [&header[..], b"GET / HTTP/1.1\r\n"].concat();
            for length in 0..header.len() {
                assert_eq!(parse(&sent[..length]), Ok(Parsed::Partial), "{}", sent[..length].escape_ascii());
            }
            assert_eq!(parse(&sent), Ok(Parsed::Header(expected, header.len())), "{}", header.escape_ascii());
        }
    }

    #[test]
    fn invalid_header_is_missing_or_malformed() {
        for sent in
            [&b"GET / HTTP/1.1\r\n"[..], b"\x16\x03\x01", b"proxy TCP4", b"\r\nPROXY ", b"PRI * HTTP/2.0"]
        {
            assert_eq!(parse(sent), Err(HeaderError::Missing), "{}", sent.escape_ascii());
        }
        let long = [b"PROXY UNKNOWN ".to_vec(), vec![b'a'; 100]].concat();
        for sent in [
            &b"PROXY TCP4 192.0.2.1 198.51.100.1 56324 443\n"[..],
            b"PROXY TCP4  192.0.2.1 198.51.100.1 56324 443\r\n",
            b"PROXY TCP4 192.0.2.1 198.51.100.1 56324\r\n",
            b"PROXY TCP4 192.0.2.1 198.51.100.1 56324 443 \r\n",
            b"PROXY TCP4 2001:db8::1 ::1 1 2\r\n",
            b"PROXY TCP6 192.0.2.1 198.51.100.1 1 2\r\n",
            b"PROXY TCP4 192.0.2.256 198.51.100.1 1 2\r\n",
            b"PROXY TCP4 192.0.2.1 198.51.100.1 +1 2\r\n",
            b"PROXY TCP4 192.0.2.1 198.51.100.1 01 2\r\n",
            b"PROXY TCP4 192.0.2.1 198.51.100.1 65536 2\r\n",
            b"PROXY UDP4 192.0.2.1 198.51.100.1 1 2\r\n",
            b"PROXY \r\n",
            b"PROXY \xff\r\n",
            &long,
            &v2(0x11, 0x11, V4),
            &v2(0x22, 0x11, V4),
            &v2(0x21, 0x12, V4),
            &v2(0x21, 0x11, &V4[..11]),
            &v2(0x21, 0x21, V4),
            &v2(0x21, 0x11, &[0; 4081]),
        ] {
            assert!(matches!(parse(sent), Err(HeaderError::Malformed(_))), "{}", sent.escape_ascii());
        }
    }
}
