//! T08-T15, T19, T20: an ambiguous target is refused; any other is forwarded unchanged.

use crate::refusals::assert_refused;
use crate::support::http::Client;
use crate::support::{Response, Setup, TestGateway};

const MORE: &str = r#"
[[routes]]
name = "stripped"
path = "/api"
access = "public"
upstream = "app"
strip_prefix = true
[[routes]]
name = "packages"
path = "/npm"
access = "public"
upstream = "app"
encoded_slashes = true
"#;

async fn gateway() -> (TestGateway, String) {
    let gateway =
        TestGateway::with(Setup { routes: Setup::default().routes + MORE, ..Setup::default() }).await;
    gateway.user("ada", &["admin"]).await;
    let access = gateway.login("ada").await.access;
    (gateway, access)
}

/// Sends a raw request line.
async fn raw(gateway: &TestGateway, target: &[u8], host: &str, access: &str) -> Response {
    let mut client = Client::connect(gateway.address()).await;
    let rest = format!(" HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {access}\r\n\r\n");
    client.send(&[b"GET ", target, rest.as_bytes()].concat()).await;
    client.response("GET").await.expect("an answer")
}

#[tokio::test(flavor = "multi_thread")]
async fn disguised_route_target_is_refused_even_with_both_roles() {
    let (gateway, access) = gateway().await;
    for target in [
        // T08
        "/public/../admin",
        "/public/..",
        "/./admin",
        "//admin",
        "/x/..//admin",
        "/public//../admin",
        "/admin.",
        "/admin./x",
        "/admin%20",
        "/public/./../admin",
        "/optional/../public",
        // T09
        "/public/%2e%2e/admin",
        "/public/%2E./admin",
        "/public/.%2e/admin",
        "/public/..%2fadmin",
        "/public%2f..%2fadmin",
        "/%2fadmin",
        "/%61dmin",
        "/%41dmin",
        "/publi%63",
        // T10
        "/public/%252e%252e/admin",
        "/public/..%252fadmin",
        "/%2561dmin",
        "/public/%25%32%65%25%32%65/admin",
        // T11
        "/admin;x",
        "/public/..;/admin",
        "/public/..;x=y/admin",
        "/public/%2e%2e;/admin",
        "/public/..%3b/admin",
        // T12
        "/public/..%5cadmin",
        "/public%5c..%5cadmin",
        "/public/..%255cadmin",
        // T13
        "/ADMIN",
        "/Admin/x",
        "/%41DMIN",
        "/Public",
        "/admin%e1%9a%80",
        "/%e2%80%a8admin/x",
        "/admin%e2%80%a9",
        // T19
        "/public/../auth/me",
        "/aUth/me",
        "/npm/..%2fauth/login",
        "/npm/..%2f..%2fadmin",
        "/npm/@a%2fb/%2e%2e/%2e%2e/admin",
        "/npm/@a%2fb/..%5c..%5cadmin",
    ] {
        let refused = raw(&gateway, target.as_bytes(), "gateway.test", &access).await;
        assert_eq!((target, refused.status), (target, 400));
        assert_refused(&refused, 400, "target_ambiguous");
    }
    assert_eq!(gateway.app.seen().len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn target_unsafe_in_every_reading_is_refused_on_every_route() {
    // T10, T12.
    let (gateway, access) = gateway().await;
    for prefix in ["/", "/public/", "/npm/"] {
        for rest in [
            &b"%00"[..],
            b"%0d%0aX:1",
            b"%0a",
            b"%09",
            b"%7f",
            b"%",
            b"%4",
            b"%zz",
            b"%c0%af",
            b"%ff",
            b"%u002f",
            b"%c2%85",
            b"a\\b",
            b"..\\admin",
            b"\xc3\xa9",
            b"\xff",
            b"\x01",
            b"\x0b",
            b"a\tb",
        ] {
            let target = [prefix.as_bytes(), rest].concat();
            let refused = raw(&gateway, &target, "gateway.test", &access).await;
            assert_eq!(
                (target.escape_ascii().to_string(), refused.status),
                (target.escape_ascii().to_string(), 400)
            );
        }
    }
    let long = format!("/public/{}", "a".repeat(9000));
    assert_refused(&raw(&gateway, long.as_bytes(), "gateway.test", &access).await, 414, "target_too_long");
    assert_eq!(gateway.app.seen().len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn unambiguous_target_is_forwarded_unchanged() {
    // RFC 9110 section 7.7: a proxy does not modify path and query.
    let (gateway, access) = gateway().await;
    for target in [
        "/",
        "/x",
        "/x/",
        "//x",
        "/x//y",
        "/x/./y",
        "/x/../y",
        "/x/..",
        "/x;p=1/y",
        "/x%20y",
        "/caf%C3%A9",
        "/caf%c3%a9",
        "/x.",
        "/...",
        "/100%25",
        "/%7Euser",
        "/@scope/name",
        "/a:b@c",
        "/x'y(z)*!$&+,=",
        "/public/a%5cb",
        "/public/../public/x",
        "/public/%2e/x",
        "/public/x/..;/y",
        "/adminx",
        "/publicity",
        "/npm/@scope%2fname",
        "/npm/@scope%2Fname",
        "/npm/a%252fb",
        // T14: the query does not affect routing.
        "/?",
        "/x?",
        "/public?x=/../admin",
        "/public?x=%00%zz%2f..\\",
        "/x?/public",
        "/x??a=b?c",
        "/public?q={[|]}^`",
    ] {
        let response = raw(&gateway, target.as_bytes(), "gateway.test", &access).await;
        assert_eq!((target, response.status), (target, 200));
        assert_eq!(gateway.app.last().target(), target);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn query_or_fragment_matches_no_route() {
    // T14.
    let gateway = TestGateway::start().await;
    for target in [
        "/x?/public",
        "/x?y=/public/../public",
        "/admin?/public",
        "/x#/public",
        "/admin#/../public",
        "/x?a#/public",
    ] {
        let refused = raw(&gateway, target.as_bytes(), "gateway.test", "").await;
        assert!(matches!(refused.status, 400 | 401), "{target}: {}", refused.status);
    }
    assert_eq!(gateway.app.seen().len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn encoded_slash_passes_only_where_the_route_allows_it() {
    // T09.
    let (gateway, access) = gateway().await;
    for target in ["/x%2fy", "/public/x%2Fy", "/public/x%252fy", "/api/x%2fy", "/npm%2fx"] {
        let refused = raw(&gateway, target.as_bytes(), "gateway.test", &access).await;
        assert_refused(&refused, 400, "target_ambiguous");
    }
    assert_eq!(gateway.app.seen().len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn stripping_the_prefix_leaves_path_and_query() {
    let (gateway, access) = gateway().await;
    for (target, forwarded) in [
        ("/api", "/"),
        ("/api/", "/"),
        ("/api?x=1", "/?x=1"),
        ("/api/x?y=/api", "/x?y=/api"),
        ("/api/api/x", "/api/x"),
        ("/api/x%20y/", "/x%20y/"),
        ("/api/x?q={[|]}^`", "/x?q={[|]}^`"),
        ("http://gateway.test/api/x?y=1", "/x?y=1"),
    ] {
        assert_eq!(raw(&gateway, target.as_bytes(), "gateway.test", &access).await.status, 200, "{target}");
        assert_eq!(gateway.app.last().target(), forwarded, "{target}");
    }
    let before = gateway.app.seen().len();
    // The remainder would start with an authority.
    for target in
        ["/api//evil.test", "/api//", "/api///x", "/api//x?y=1", "http://gateway.test/api//evil.test"]
    {
        assert_refused(
            &raw(&gateway, target.as_bytes(), "gateway.test", &access).await,
            400,
            "target_ambiguous",
        );
    }
    assert_eq!(gateway.app.seen().len(), before);
    // Whole segments only (T20).
    assert_eq!(raw(&gateway, b"/apis", "gateway.test", &access).await.status, 200);
    assert_eq!(gateway.app.last().target(), "/apis");
}

#[tokio::test(flavor = "multi_thread")]
async fn stripped_prefix_hides_no_host_before_a_stricter_path() {
    // A router that resolves its target against a base takes `/%5cx/admin` and `/.//x/admin` for `/admin` on host x.
    let route = |path: &str, access: &str| {
        format!(
            "[[routes]]\nname = \"{}\"\npath = \"{path}\"\naccess = {access}\nupstream = \"app\"\nstrip_prefix = true\n\
             encoded_slashes = true\n",
            path[1..].replace('/', "-")
        )
    };
    let routes = route("/shop", "\"public\"") + &route("/shop/admin", "{ roles = [\"admin\"] }");
    let gateway = TestGateway::with(Setup { routes, ..Setup::default() }).await;
    for target in [
        "/shop/%5cx/admin",
        "/shop/%255Cx/admin/y",
        "/shop/%2fx/admin",
        "/shop/.//x/admin",
        "/shop/;//x/admin",
        "/shop/;a=b//x/%61dmin?y=1",
        "/shop/x/..//y/ADMIN",
        "http://gateway.test/shop/%5cx/admin",
    ] {
        let refused = raw(&gateway, target.as_bytes(), "gateway.test", "").await;
        assert_refused(&refused, 400, "target_ambiguous");
    }
    assert_eq!(gateway.app.seen().len(), 0);
    for target in ["/a%20b", "/%5cx/y", "/.//x/y", "/a;b/c", "/@scope%2fname", "/x/./y/"] {
        let response = raw(&gateway, format!("/shop{target}").as_bytes(), "gateway.test", "").await;
        assert_eq!((target, response.status), (target, 200));
        assert_eq!(gateway.app.last().target(), target);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn absolute_target_uses_its_host_and_becomes_origin_form() {
    // T15: RFC 9112 section 3.2.2.
    let (gateway, access) = gateway().await;
    for (target, forwarded) in
        [("http://gateway.test/x?y=1", "/x?y=1"), ("http://gateway.test/", "/"), ("HTTP://gateway.test", "/")]
    {
        let response = raw(&gateway, target.as_bytes(), "gateway.test", &access).await;
        assert_eq!((target, response.status), (target, 200));
        assert_eq!(
            (gateway.app.last().target(), gateway.app.last().header("host").as_deref()),
            (forwarded, Some("gateway.test"))
        );
    }
    let before = gateway.app.seen().len();
    for (target, host) in [
        ("http://other.test/x", "gateway.test"),
        ("http://gateway.test:81/x", "gateway.test"),
        ("http://ada@gateway.test/x", "gateway.test"),
        ("http://gateway.test/public/../admin", "gateway.test"),
        ("http:///x", "gateway.test"),
        ("*", "gateway.test"),
        ("x", "gateway.test"),
        ("gateway.test:80", "gateway.test"),
        ("?x", "gateway.test"),
    ] {
        let refused = raw(&gateway, target.as_bytes(), host, &access).await;
        assert_eq!((target, refused.status), (target, 400));
    }
    assert_eq!(gateway.app.seen().len(), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn target_with_a_blank_is_refused() {
    // RFC 9112 section 3.2: a recipient should respond 400 and not repair it.
    let (gateway, access) = gateway().await;
    let before = gateway.app.seen().len();
    for target in [
        &b"/x y"[..],
        b"/public HTTP/1.1",
        b"/admin /../public",
        b"/public/ ../admin",
        b"/public/ x/../y",
        b"/public /../../admin",
        b"/admin ",
    ] {
        let response = raw(&gateway, target, "gateway.test", &access).await;
        let shown = target.escape_ascii().to_string();
        assert_eq!((shown.as_str(), response.status), (shown.as_str(), 400));
    }
    assert_eq!(gateway.app.seen().len(), before);
}
