//! Tests of rewritten references and cookie paths.

use super::*;

const PUBLIC: PublicPath<'_> = PublicPath {
    prefix: "/shop",
    base: b"/a/b",
    hosts: &["shop.example", "other.example:8443"],
    internal: Some("10.0.0.9:9000"),
};

fn mapped(text: &str) -> Option<String> {
    PUBLIC.reference(text.as_bytes()).map(|text| String::from_utf8(text).unwrap())
}

#[test]
fn references_to_the_app_lead_below_the_prefix() {
    for (text, expected) in [
        // RFC 3986 section 4.2: absolute paths.
        ("/", "/shop/"),
        ("/login", "/shop/login"),
        ("/login?next=/x#top", "/shop/login?next=/x#top"),
        ("/shop/x", "/shop/shop/x"),
        ("/%2Fx", "/shop/%2Fx"),
        ("/a//b/", "/shop/a//b/"),
        ("/a:b", "/shop/a:b"),
        ("/?x", "/shop/?x"),
        // Dot segments must not lead out of the prefix.
        ("/../x", "/shop/x"),
        ("/a/../../x", "/shop/x"),
        ("/%2e%2E/.%2e/x", "/shop/x"),
        ("/a/.", "/shop/a/"),
        ("/a/b/..", "/shop/a/"),
        ("/..", "/shop/"),
        ("/...", "/shop/..."),
        // Relative to the path the app was sent.
        ("c", "/shop/a/c"),
        ("./c", "/shop/a/c"),
        ("../c?x", "/shop/c?x"),
        ("../../../c", "/shop/c"),
        (".", "/shop/a/"),
        ("./a:b", "/shop/a/a:b"),
        // The app's public hosts.
        ("http://shop.example/x", "http://shop.example/shop/x"),
        ("HTTPS://Shop.Example/x", "HTTPS://Shop.Example/shop/x"),
        ("https://shop.example:443/x", "https://shop.example:443/shop/x"),
        ("https://shop.example.", "https://shop.example./shop/"),
        ("http://shop.example?x", "http://shop.example/shop/?x"),
        ("//shop.example/x", "//shop.example/shop/x"),
        ("https://other.example:8443/x", "https://other.example:8443/shop/x"),
        ("http://10.0.0.9:9000/x?y", "/shop/x?y"),
        ("http://10.0.0.9:9000", "/shop/"),
    ] {
        assert_eq!(mapped(text).as_deref(), Some(expected), "{text}");
    }
}

#[test]
fn references_to_others_stay_as_they_are() {
    for text in [
        "",
        "?x",
        "#x",
        "http://example.org/x",
        "//example.org/x",
        "///x",
        "http:///x",
        "http:/x",
        "https:x",
        "mailto:ada@shop.example",
        "app://shop.example/x",
        "http://shop.example:8080/x",
        "http://shop.example:443/x",
        "https://shop.example:80/x",
        "http://ada@shop.example/x",
        "http://shop.example@example.org/x",
        "http://shop.example.evil.test/x",
        "http://shop.example:x/x",
        "https://other.example/x",
        "http://10.0.0.9/x",
    ] {
        assert_eq!(mapped(text), None, "{text}");
    }
}

#[test]
fn internal_host_is_replaced_without_a_prefix() {
    let public = PublicPath { prefix: "", ..PUBLIC };
    let mapped = |text: &str| public.reference(text.as_bytes()).map(|text| String::from_utf8(text).unwrap());
    assert_eq!(mapped("http://10.0.0.9:9000/x").as_deref(), Some("/x"));
    for text in ["/x", "/a/../x", "http://shop.example/x", "http://example.org/"] {
        assert_eq!(mapped(text), None, "{text}");
    }
    assert_eq!(public.set_cookie(b"a=b; Path=/", b"/"), None);
}

#[test]
fn cookie_paths_lie_below_the_prefix() {
    let ask = |text: &str, outside: &str| {
        PUBLIC.set_cookie(text.as_bytes(), outside.as_bytes()).map(|text| String::from_utf8(text).unwrap())
    };
    for (text, expected) in [
        ("a=b; Path=/", "a=b; Path=/shop"),
        ("a=b;path=/x; HttpOnly", "a=b;path=/shop/x; HttpOnly"),
        ("a=b; PATH = /x ;Secure", "a=b; PATH =/shop/x;Secure"),
        ("a=b; Path=/x; Path=/y", "a=b; Path=/shop/x; Path=/shop/y"),
        ("path=/x; Path=/", "path=/x; Path=/shop"),
        ("a=\"x\"; Path=/; SameSite=Lax", "a=\"x\"; Path=/shop; SameSite=Lax"),
        ("__Secure-a=b; Path=/", "__Secure-a=b; Path=/shop"),
    ] {
        assert_eq!(ask(text, "/shop/a").as_deref(), Some(expected), "{text}");
    }
    // Without a valid path, the client uses the default path of the request.
    for text in [
        "a=b",
        "a=b; Path",
        "a=b; Path=",
        "a=b; Path=x",
        "a=b; Path=\"/\"",
        "path=/x",
        "__Host-a=b; Path=/; Secure",
    ] {
        assert_eq!(ask(text, "/shop/a"), None, "{text}");
    }
    assert_eq!(ask("a=b; Secure", "/shop").as_deref(), Some("a=b; Secure; Path=/shop"));
    assert_eq!(ask("a=b; Path=x", "/shop").as_deref(), Some("a=b; Path=x; Path=/shop"));
    assert_eq!(ask("a=b; Path=/", "/shop").as_deref(), Some("a=b; Path=/shop"));
    assert_eq!(ask("__host-a=b; Path=/", "/shop"), None);
}
