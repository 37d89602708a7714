//! Tests of trusted proxies and their `X-Forwarded-*` fields.

use http::{HeaderName, HeaderValue};

use super::*;

fn headers(fields: &[(&str, &str)]) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in fields {
        map.append(name.parse::<HeaderName>().unwrap(), HeaderValue::from_bytes(value.as_bytes()).unwrap());
    }
    map
}

fn trusted() -> Vec<IpNet> {
    vec!["10.0.0.0/8".parse().unwrap()]
}

fn hops(peer: &str, fields: &[&str]) -> String {
    let headers = headers(&fields.iter().map(|value| ("x-forwarded-for", *value)).collect::<Vec<_>>());
    let (peer, trusted) = (peer.parse().unwrap(), trusted());
    let origin = Origin::read(&headers, peer, false, &trusted);
    assert_eq!(origin.client(), client(peer, &headers, &trusted));
    origin.hops().map(|hop| hop.to_string()).collect::<Vec<_>>().join(", ")
}

#[test]
fn forwarded_addresses_start_at_the_client() {
    // F31.
    for (peer, fields, expected) in [
        ("203.0.113.9", &["127.0.0.1"][..], "203.0.113.9"),
        ("10.0.0.1", &["1.1.1.1, 198.51.100.7"], "198.51.100.7, 10.0.0.1"),
        ("10.0.0.1", &["1.1.1.1", "198.51.100.7, 10.0.0.2"], "198.51.100.7, 10.0.0.2, 10.0.0.1"),
        ("10.0.0.1", &["1.1.1.1, 10.0.0.3, 198.51.100.7, 10.0.0.2"], "198.51.100.7, 10.0.0.2, 10.0.0.1"),
        ("10.0.0.1", &["198.51.100.7:5678"], "198.51.100.7, 10.0.0.1"),
        ("10.0.0.1", &["[2001:db8::1]:5678"], "2001:db8::1, 10.0.0.1"),
        ("10.0.0.1", &["evil, [2001:db8::1]"], "2001:db8::1, 10.0.0.1"),
        ("10.0.0.1", &["1.1.1.1, unknown, 10.0.0.2"], "10.0.0.2, 10.0.0.1"),
        ("10.0.0.1", &["198.51.100.7, , ,"], "198.51.100.7, 10.0.0.1"),
        ("10.0.0.1", &["", "198.51.100.7", ""], "198.51.100.7, 10.0.0.1"),
        ("10.0.0.1", &["10.0.0.3, 10.0.0.2"], "10.0.0.3, 10.0.0.2, 10.0.0.1"),
        ("10.0.0.1", &[], "10.0.0.1"),
        ("10.0.0.1", &["garbage"], "10.0.0.1"),
        ("::ffff:10.0.0.1", &["::ffff:198.51.100.7"], "198.51.100.7, 10.0.0.1"),
    ] {
        assert_eq!(hops(peer, fields), expected, "{fields:?}");
    }
    // Bytes that are not text are an entry like others. The entries beside them still count.
    let mut map = HeaderMap::new();
    map.append("x-forwarded-for", HeaderValue::from_bytes(b"\xff, 198.51.100.7").unwrap());
    assert_eq!(client("10.0.0.1".parse().unwrap(), &map, &trusted()).to_string(), "198.51.100.7");
}

#[test]
fn forwarded_addresses_are_bounded() {
    let long = vec!["10.0.0.2"; 4000].join(",");
    assert_eq!(hops("10.0.0.1", &[&long]).matches("10.0.0").count(), MAX_HOPS + 1);
    // Empty elements are skipped at little cost.
    assert_eq!(hops("10.0.0.1", &[&",".repeat(8000)]), "10.0.0.1");
}

/// Returns scheme, host, port and the invalid field, as sent by a trusted proxy.
fn read(fields: &[(&str, &str)]) -> (bool, Option<String>, Option<u16>, Option<&'static str>) {
    let (headers, trusted) = (headers(fields), trusted());
    let origin = Origin::read(&headers, "10.0.0.1".parse().unwrap(), false, &trusted);
    (
        origin.is_https,
        origin.host.map(str::to_owned),
        origin.port,
        origin.ignored.map(|ignored| ignored.field),
    )
}

#[test]
fn forwarded_scheme_is_read_as_proxies_write_it() {
    // F13.
    let proto = "x-forwarded-proto";
    for (fields, is_https, ignored) in [
        (&[][..], false, None),
        (&[(proto, "https")], true, None),
        (&[(proto, "HTTPS")], true, None),
        (&[(proto, "wss")], true, None),
        (&[(proto, "ws")], false, None),
        (&[(proto, "https,http")], true, None),
        (&[(proto, "https, http, http")], true, None),
        (&[(proto, "http, https")], false, None),
        (&[(proto, ", https")], true, None),
        (&[(proto, "https"), (proto, "http")], true, None),
        (&[(proto, "https"), ("x-forwarded-ssl", "off")], true, None),
        (&[(proto, "gopher")], false, Some(proto)),
        (&[(proto, "")], false, Some(proto)),
        (&[(proto, "\"https\"")], false, Some(proto)),
        (&[(proto, "gopher"), ("x-forwarded-ssl", "on")], true, Some(proto)),
        (&[("x-forwarded-ssl", "on")], true, None),
        (&[("x-forwarded-ssl", "maybe")], false, Some("x-forwarded-ssl")),
        (&[("front-end-https", "On")], true, None),
        (&[("x-forwarded-scheme", "https")], true, None),
        (&[("x-forwarded-protocol", "https")], true, None),
        (&[("x-url-scheme", "HTTPS")], true, None),
        (&[("forwarded", "proto=https")], false, Some("forwarded")),
        (&[("forwarded", "proto=https"), (proto, "https")], true, None),
    ] {
        let (https, _, _, field) = read(fields);
        assert_eq!((https, field), (is_https, ignored), "{fields:?}");
    }
    // Other peers are not trusted.
    let stranger = headers(&[(proto, "https"), ("x-forwarded-host", "evil.test"), ("x-forwarded-port", "1")]);
    let origin = Origin::read(&stranger, "203.0.113.9".parse().unwrap(), false, &[]);
    assert_eq!((origin.is_https, origin.host, origin.port, origin.ignored), (false, None, None, None));
}

#[test]
fn forwarded_host_is_the_one_at_the_client() {
    let (for_, host) = ("x-forwarded-for", "x-forwarded-host");
    for (fields, expected) in [
        (&[(host, "shop.example")][..], Some("shop.example")),
        (&[(host, "Shop.example:8443")], Some("Shop.example:8443")),
        (&[(host, "[::1]:8443")], Some("[::1]:8443")),
        (&[(host, "shop.example, inner.example")], Some("shop.example")),
        (&[(host, "shop.example"), (host, "inner.example")], None),
        // Two trusted proxies that both append.
        (&[(for_, "198.51.100.7, 10.0.0.2"), (host, "shop.example, inner.example")], Some("shop.example")),
        // The first proxy overwrites, or the second keeps the received value.
        (&[(for_, "198.51.100.7, 10.0.0.2"), (host, "shop.example")], Some("shop.example")),
        // The client has invented the left-most entry of each list, or of one.
        (&[(for_, "6.6.6.6, 198.51.100.7"), (host, "evil.test, shop.example")], Some("shop.example")),
        (&[(for_, "198.51.100.7"), (host, "evil.test, shop.example")], Some("shop.example")),
        (&[(for_, "198.51.100.7"), (host, "evil.test"), (host, "shop.example")], Some("shop.example")),
        (
            &[(for_, "198.51.100.7, 10.0.0.2"), (host, "evil.test, shop.example, inner.example")],
            Some("shop.example"),
        ),
        (&[(for_, "unknown"), (host, "evil.test, shop.example")], None),
        (&[(host, "")], None),
        (&[(host, "a@evil.example")], None),
        (&[(host, "evil.example/path")], None),
        (&[(host, "evil example")], None),
        (&[(host, "\"evil.example\"")], None),
    ] {
        let (_, found, _, ignored) = read(fields);
        assert_eq!(found.as_deref(), expected, "{fields:?}");
        assert_eq!(ignored.is_some(), expected.is_none(), "{fields:?}");
    }
}

#[test]
fn forwarded_port_falls_back_to_host_and_scheme() {
    let port = |fields: &[(&str, &str)], host: Option<&str>| {
        let (headers, trusted) = (headers(fields), trusted());
        Origin::read(&headers, "10.0.0.1".parse().unwrap(), false, &trusted).port_beside(host)
    };
    let (proto, field) = ("x-forwarded-proto", "x-forwarded-port");
    for (fields, host, expected) in [
        (&[(field, "8443")][..], Some("a:1"), 8443),
        (&[(field, "443, 80")], None, 443),
        (&[("x-forwarded-for", "198.51.100.7"), (field, "666, 443")], None, 443),
        (&[(field, "x")], Some("a:8080"), 8080),
        (&[(field, "0")], None, 80),
        (&[(field, "65536"), (proto, "https")], None, 443),
        (&[(proto, "https")], None, 443),
        (&[(proto, "https"), ("x-forwarded-host", "b:8443")], Some("a:1"), 8443),
        (&[(proto, "https"), ("x-forwarded-host", "b")], Some("a:1"), 443),
        (&[], Some("[::1]:8080"), 8080),
        (&[], Some("[::1]"), 80),
        (&[], Some("a:"), 80),
    ] {
        assert_eq!(port(fields, host), expected, "{fields:?} {host:?}");
    }
}
