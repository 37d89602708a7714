//! F19: apps behind a stripped prefix.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use crate::support::{Setup, TestGateway};

/// An app whose response has the fields named in the request: `X-Reply: Location: /x | Set-Cookie: a=b`.
async fn replying() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut head = Vec::new();
                let mut chunk = [0; 4096];
                while let Ok(read @ 1..) = stream.read(&mut chunk).await {
                    head.extend_from_slice(&chunk[..read]);
                    if !head.ends_with(b"\r\n\r\n") {
                        continue;
                    }
                    let text = String::from_utf8_lossy(&head).into_owned();
                    let mut fields = text.lines().filter_map(|line| line.split_once(": "));
                    let reply = fields.find(|(name, _)| name.eq_ignore_ascii_case("x-reply"));
                    let reply =
                        reply.map_or_else(String::new, |(_, value)| value.replace(" | ", "\r\n") + "\r\n");
                    let response = format!("HTTP/1.1 302 Found\r\n{reply}Content-Length: 0\r\n\r\n");
                    if stream.write_all(response.as_bytes()).await.is_err() {
                        return;
                    }
                    head.clear();
                }
            });
        }
    });
    address
}

async fn gateway(more: &str) -> (TestGateway, SocketAddr) {
    let app = replying().await;
    let routes = Setup::default().routes
        + &format!(
            "[upstreams.replying]\nservers = [\"http://{app}\"]\n\
             [[routes]]\nname = \"shop\"\npath = \"/shop\"\naccess = \"public\"\nupstream = \"replying\"\n{more}"
        );
    (TestGateway::with(Setup { routes, ..Setup::default() }).await, app)
}

/// The values of one field of the app's response, as the client receives them.
async fn sent(gateway: &TestGateway, path: &str, field: &str, value: &str) -> Vec<String> {
    let reply = format!("{field}: {value}");
    let response = gateway.get(path, &[("X-Reply", reply.as_str())]).await;
    assert_eq!(response.status, 302, "{path} {reply}");
    let all = response.headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case(field));
    all.map(|(_, value)| value.clone()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn stripped_prefix_is_sent_to_the_app() {
    // F19.
    let more = "[[routes]]\nname = \"sub\"\npath = \"/sub/app\"\naccess = \"public\"\nupstream = \"app\"\nstrip_prefix = true\n";
    // No other route: one for `/` would also have to allow the target, since the app sees what lies below it.
    let gateway = TestGateway::with(Setup { routes: more.to_owned(), ..Setup::default() }).await;
    for (path, target) in [("/sub/app/x?y", "/x?y"), ("/sub/app", "/"), ("/sub/app/", "/")] {
        assert_eq!(
            gateway.get(path, &[("X-Forwarded-Prefix", "/evil"), ("X-Script-Name", "/evil")]).await.status,
            200
        );
        let seen = gateway.app.last();
        assert_eq!(seen.target(), target);
        assert_eq!(seen.header("x-forwarded-prefix").as_deref(), Some("/sub/app"));
        assert!(!seen.head.contains("evil"), "{}", seen.head);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn locations_of_a_stripped_route_are_mapped_below_its_prefix() {
    let (gateway, app) = gateway("strip_prefix = true\nrewrite_location = true\n").await;
    let internal = format!("http://{app}/x");
    for (path, value, expected) in [
        ("/shop/a", "/login?next=/b#c", "/shop/login?next=/b#c"),
        ("/shop/a", "/", "/shop/"),
        ("/shop/a", "/../x", "/shop/x"),
        ("/shop/a/b", "c", "/shop/a/c"),
        ("/shop", "c", "/shop/c"),
        ("/shop/a", "http://gateway.test/x", "http://gateway.test/shop/x"),
        ("/shop/a", "https://GATEWAY.test:443/x", "https://GATEWAY.test:443/shop/x"),
        ("/shop/a", "//gateway.test/x", "//gateway.test/shop/x"),
        ("/shop/a", internal.as_str(), "/shop/x"),
        // Foreign URLs, or nothing to map.
        ("/shop/a", "https://example.org/login", "https://example.org/login"),
        ("/shop/a", "//example.org/login", "//example.org/login"),
        ("/shop/a", "http://gateway.test:8080/x", "http://gateway.test:8080/x"),
        ("/shop/a", "mailto:ada@gateway.test", "mailto:ada@gateway.test"),
        ("/shop/a", "?page=2", "?page=2"),
    ] {
        for field in ["Location", "Content-Location"] {
            assert_eq!(sent(&gateway, path, field, value).await, [expected], "{path} {field}: {value}");
        }
        let refresh = sent(&gateway, path, "Refresh", &format!("0; url={value}")).await;
        assert_eq!(refresh, [format!("0; url={expected}")], "{path} {value}");
    }
    // Cookie paths are a separate setting.
    assert_eq!(sent(&gateway, "/shop/a", "Set-Cookie", "a=b; Path=/").await, ["a=b; Path=/"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn cookie_paths_of_stripped_route_are_mapped_below_its_prefix() {
    let (gateway, _) = gateway("strip_prefix = true\nrewrite_cookie_path = true\n").await;
    let two = "a=b; Path=/; HttpOnly | Set-Cookie: c=d; path=/x | Set-Cookie: __Host-e=f; Path=/; Secure";
    assert_eq!(
        sent(&gateway, "/shop/a", "Set-Cookie", two).await,
        ["a=b; Path=/shop; HttpOnly", "c=d; path=/shop/x", "__Host-e=f; Path=/; Secure"]
    );
    assert_eq!(sent(&gateway, "/shop/a", "Set-Cookie", "a=b").await, ["a=b"]);
    assert_eq!(sent(&gateway, "/shop", "Set-Cookie", "a=b").await, ["a=b; Path=/shop"]);
    assert_eq!(sent(&gateway, "/shop/a", "Location", "/x").await, ["/x"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_mapped_without_the_rewrite_settings() {
    let (gateway, app) = gateway("strip_prefix = true\n").await;
    for value in ["/x".to_owned(), format!("http://{app}/x"), "http://gateway.test/x".to_owned()] {
        assert_eq!(sent(&gateway, "/shop/a", "Location", &value).await, [value]);
    }
    assert_eq!(sent(&gateway, "/shop/a", "Set-Cookie", "a=b; Path=/").await, ["a=b; Path=/"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn internal_host_in_location_is_replaced_when_sent_to_app() {
    let (gateway, app) = gateway("preserve_host = false\nrewrite_location = true\n").await;
    assert_eq!(sent(&gateway, "/shop/a", "Location", &format!("http://{app}/shop/x?y")).await, ["/shop/x?y"]);
    assert_eq!(sent(&gateway, "/shop/a", "Location", "/x").await, ["/x"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_of_other_gateways_pass_where_a_route_lists_them() {
    let more = "[[routes]]\nname = \"mesh\"\npath = \"/mesh\"\naccess = \"public\"\nupstream = \"app\"\n\
                pass_headers = [\"X-Forwarded-Client-Cert\", \"X-Envoy-Attempt-Count\"]\n";
    let gateway =
        TestGateway::with(Setup { routes: Setup::default().routes + more, ..Setup::default() }).await;
    let headers = [
        ("X-Forwarded-Client-Cert", "kept"),
        ("x-envoy-attempt-count", "kept"),
        ("X_Envoy_Attempt_Count", "evil"),
        ("X-Envoy-Internal", "evil"),
        ("X-Auth-User", "evil"),
    ];
    assert_eq!(gateway.get("/mesh", &headers).await.status, 200);
    let seen = gateway.app.last();
    assert_eq!(seen.head.matches("kept").count(), 2, "{}", seen.head);
    assert!(!seen.head.contains("evil"), "{}", seen.head);
    assert_eq!(gateway.get("/public", &headers).await.status, 200);
    assert!(!gateway.app.last().head.contains("kept"));
}
