//! T04: only the gateway states the origin and target of a request.

use doorward::config::header_families;

use crate::support::{Setup, TestGateway};

const SPOOFED: [(&str, &str); 20] = [
    ("X-Forwarded-For", "6.6.6.6"),
    ("X_Forwarded_For", "6.6.6.6"),
    ("X-Forwarded-Proto", "https"),
    ("X-Forwarded-Host", "evil.test"),
    ("X.Forwarded.Host", "evil.test"),
    ("X-Forwarded-Port", "666"),
    ("X-Forwarded-Uri", "/evil"),
    ("X-Forwarded-Method", "EVIL"),
    ("X-Forwarded-Prefix", "/evil"),
    ("X-Forwarded-User", "evil"),
    ("X-Forwarded-Email", "evil"),
    ("Forwarded", "for=6.6.6.6;host=evil.test;proto=https"),
    ("X-Real-IP", "6.6.6.6"),
    ("True-Client-IP", "6.6.6.6"),
    ("X-Client-IP", "6.6.6.6"),
    ("X-Original-URL", "/evil"),
    ("X_Original_URL", "/evil"),
    ("X-Rewrite-URL", "/evil"),
    ("X-HTTP-Method-Override", "EVIL"),
    ("X-Method-Override", "EVIL"),
];

#[tokio::test(flavor = "multi_thread")]
async fn origin_headers_of_untrusted_clients_are_replaced() {
    let gateway = TestGateway::start().await;
    assert_eq!(gateway.get("/public", &SPOOFED).await.status, 200);
    let seen = gateway.app.last();
    assert!(!seen.head.contains("6.6.6.6") && !seen.head.to_lowercase().contains("evil"), "{}", seen.head);
    assert_eq!(seen.header("x-forwarded-for").as_deref(), Some("127.0.0.1"));
    assert_eq!(seen.header("x-real-ip").as_deref(), Some("127.0.0.1"));
    assert_eq!(seen.header("x-forwarded-proto").as_deref(), Some("http"));
    assert_eq!(seen.header("x-forwarded-host").as_deref(), Some("gateway.test"));
    assert_eq!(seen.header("x-forwarded-port").as_deref(), Some("80"));
    assert_eq!(seen.header("x-forwarded-prefix"), None);
    assert_eq!(seen.header("host").as_deref(), Some("gateway.test"));
}

#[tokio::test(flavor = "multi_thread")]
async fn identity_and_address_headers_of_other_gateways_are_stripped() {
    // S08: also from a trusted proxy, since its clients can send these headers through it.
    let families = header_families::ORIGIN.iter().chain(header_families::FOREIGN);
    let names = families.flat_map(|family| family.names).map(|name| name.replace('*', "abc"));
    // A trusted proxy may choose the request id.
    let names: Vec<String> = names.filter(|name| name != "X-Request-Id").collect();
    assert!(names.len() > 150);
    for server in ["", r#"trusted_proxies = ["127.0.0.1"]"#] {
        let gateway = TestGateway::with(Setup { server: server.into(), ..Setup::default() }).await;
        for some in names.chunks(40) {
            let merged: Vec<String> = some.iter().map(|name| name.replace('-', "_").to_uppercase()).collect();
            let headers: Vec<_> = some.iter().chain(&merged).map(|name| (name.as_str(), "evil")).collect();
            assert_eq!(gateway.get("/public", &headers).await.status, 200);
            let seen = gateway.app.last();
            assert!(!seen.head.contains("evil"), "{}", seen.head);
        }
        let kept = [
            ("X-Auth-Token", "kept"),
            ("X-User-Id", "kept"),
            ("X-Access-Token", "kept"),
            ("X-Amzn-Trace-Id", "kept"),
        ];
        assert_eq!(gateway.get("/public", &kept).await.status, 200);
        assert_eq!(gateway.app.last().head.matches("kept").count(), kept.len());
    }
}

async fn behind_a_proxy() -> TestGateway {
    TestGateway::with(Setup { server: r#"trusted_proxies = ["127.0.0.1"]"#.into(), ..Setup::default() }).await
}

#[tokio::test(flavor = "multi_thread")]
async fn trusted_proxy_headers_override_the_observed_peer() {
    let gateway = behind_a_proxy().await;
    let headers = [
        ("X-Forwarded-For", "6.6.6.6, 198.51.100.7"),
        ("X-Forwarded-For", "198.51.100.8"),
        ("X-Forwarded-Proto", "https"),
        ("X-Forwarded-Host", "public.example"),
        // No sender is trusted for these.
        ("X-Original-URL", "/evil"),
        ("X_Forwarded_Proto", "evil"),
        ("Forwarded", "for=evil"),
        ("X-Auth-User", "evil"),
    ];
    assert_eq!(gateway.get("/public", &headers).await.status, 200);
    let seen = gateway.app.last();
    // F31: entries before the trusted client address are invented by clients.
    assert_eq!(seen.header("x-forwarded-for").as_deref(), Some("198.51.100.8, 127.0.0.1"));
    assert_eq!(seen.header("x-real-ip").as_deref(), Some("198.51.100.8"));
    assert_eq!(seen.header("x-forwarded-port").as_deref(), Some("443"));
    assert_eq!(seen.header("x-forwarded-proto").as_deref(), Some("https"));
    assert_eq!(seen.header("x-forwarded-host").as_deref(), Some("public.example"));
    assert_eq!(seen.header("host").as_deref(), Some("gateway.test"));
    assert!(!seen.head.contains("evil"), "{}", seen.head);
}

#[tokio::test(flavor = "multi_thread")]
async fn contradictory_headers_of_trusted_proxy_are_ignored() {
    let gateway = behind_a_proxy().await;
    let headers = [
        ("X-Forwarded-Proto", "gopher"),
        ("X-Forwarded-Host", "one.example"),
        ("X-Forwarded-Host", "two.example"),
    ];
    assert_eq!(gateway.get("/public", &headers).await.status, 200);
    let seen = gateway.app.last();
    assert_eq!(seen.header("x-forwarded-for").as_deref(), Some("127.0.0.1"));
    assert_eq!(seen.header("x-forwarded-proto").as_deref(), Some("http"));
    assert_eq!(seen.header("x-forwarded-host").as_deref(), Some("gateway.test"));
}

#[tokio::test(flavor = "multi_thread")]
async fn forwarded_fields_are_parsed_as_proxies_write_them() {
    // F13: the field, and the scheme, host and port sent to the app.
    let gateway = behind_a_proxy().await;
    for (fields, proto, host, port) in [
        (&[("X-Forwarded-Proto", "HTTPS")][..], "https", "gateway.test", "443"),
        (&[("X-Forwarded-Proto", "wss")], "https", "gateway.test", "443"),
        (&[("X-Forwarded-Proto", "ws")], "http", "gateway.test", "80"),
        (&[("X-Forwarded-Proto", "https,http")], "https", "gateway.test", "443"),
        (&[("X-Forwarded-Proto", "https"), ("X-Forwarded-Proto", "http")], "https", "gateway.test", "443"),
        (&[("X-Forwarded-Ssl", "on")], "https", "gateway.test", "443"),
        (&[("Front-End-Https", "On")], "https", "gateway.test", "443"),
        (&[("X-Forwarded-Proto", "gopher")], "http", "gateway.test", "80"),
        (&[("X-Forwarded-Host", "shop.example, inner.example:8080")], "http", "shop.example", "80"),
        (&[("X-Forwarded-Host", "shop.example:8443")], "http", "shop.example:8443", "8443"),
        (&[("X-Forwarded-Proto", "https"), ("X-Forwarded-Port", "8443")], "https", "gateway.test", "8443"),
        (
            &[("X-Forwarded-For", "6.6.6.6, 198.51.100.7"), ("X-Forwarded-Host", "evil.test, shop.example")],
            "http",
            "shop.example",
            "80",
        ),
    ] {
        assert_eq!(gateway.get("/public", fields).await.status, 200);
        let seen = gateway.app.last();
        assert_eq!(seen.header("x-forwarded-proto").as_deref(), Some(proto), "{fields:?}");
        assert_eq!(seen.header("x-forwarded-host").as_deref(), Some(host), "{fields:?}");
        assert_eq!(seen.header("x-forwarded-port").as_deref(), Some(port), "{fields:?}");
        assert_eq!(seen.header("x-forwarded-ssl"), None);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn routing_uses_host_only_even_behind_trusted_proxy() {
    // T04: path and host of a decision never come from a header other than Host.
    let routes = "[[routes]]\nname = \"a\"\npath = \"/\"\nhosts = [\"gateway.test\"]\naccess = \"signed-in\"\nupstream = \"app\"\n\
                  [[routes]]\nname = \"b\"\npath = \"/\"\nhosts = [\"open.test\"]\naccess = \"public\"\nupstream = \"app\"\n";
    let gateway = TestGateway::with(Setup {
        server: r#"trusted_proxies = ["127.0.0.1"]"#.into(),
        routes: routes.into(),
        ..Setup::default()
    })
    .await;
    let headers = [("X-Forwarded-Host", "open.test"), ("X-Original-URL", "http://open.test/")];
    assert_eq!(gateway.get("/", &headers).await.status, 401);
    assert_eq!(gateway.get("/", &[("Host", "open.test")]).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn via_is_appended_to_existing_entries() {
    // RFC 9110 section 7.6.3.
    let gateway = TestGateway::start().await;
    assert_eq!(gateway.get("/public", &[("Via", "1.0 fred")]).await.status, 200);
    assert_eq!(gateway.app.last().all("via"), ["1.0 fred", "1.1 doorward"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn host_header_is_kept_or_set_to_the_servers() {
    let more = "[[routes]]\nname = \"own\"\npath = \"/own\"\naccess = \"public\"\nupstream = \"app\"\npreserve_host = false\n";
    let gateway =
        TestGateway::with(Setup { routes: Setup::default().routes + more, ..Setup::default() }).await;
    for (path, host) in
        [("/public", "Shop.Example:8080".to_owned()), ("/own", gateway.app.address().to_string())]
    {
        assert_eq!(gateway.get(path, &[("Host", "Shop.Example:8080")]).await.status, 200);
        let seen = gateway.app.last();
        assert_eq!(seen.header("host"), Some(host));
        assert_eq!(seen.header("x-forwarded-host").as_deref(), Some("Shop.Example:8080"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn hop_by_hop_headers_are_dropped_and_others_keep_order() {
    let gateway = TestGateway::start().await;
    let headers = [
        ("Connection", "keep-alive, x-hop"),
        ("X-Hop", "1"),
        ("Keep-Alive", "timeout=5"),
        ("Proxy-Connection", "keep-alive"),
        ("TE", "gzip"),
        ("Upgrade", "h2c"),
        ("Accept", "text/html"),
        ("Accept", "*/*"),
        ("X-Custom", "caf\u{e9}"),
    ];
    assert_eq!(gateway.get("/public", &headers).await.status, 200);
    let seen = gateway.app.last();
    for name in ["x-hop", "keep-alive", "proxy-connection", "te", "upgrade"] {
        assert_eq!(seen.all(name), [""; 0], "{}", seen.head);
    }
    assert_eq!(seen.all("accept"), ["text/html", "*/*"]);
    assert_eq!(seen.all("x-custom"), ["caf\u{e9}"]);
}
