//! Cross-origin scripts on routes (F12).

use crate::support::gateway::ROUTES;
use crate::support::{Response, Setup, TestGateway, http};

const SPA: &str = "https://spa.example";
const OTHER: &str = "https://other.example";

async fn started() -> TestGateway {
    let route = |name: &str, more: &str| {
        format!(
            "[[routes]]\nname = \"{name}\"\npath = \"/{name}\"\naccess = \"signed-in\"\nupstream = \"app\"\n{more}\n"
        )
    };
    let routes = [
        ROUTES.to_owned(),
        route("answered", "cors = \"answer\""),
        route("own", &format!("cors = \"answer\"\ncors_origins = [\"{OTHER}\"]")),
        route("passed", "cors = \"pass\""),
        route("read", "cors = \"answer\"\nmethods = [\"GET\", \"PUT\"]"),
        "[[routes]]\nname = \"gone\"\npath = \"/gone\"\naccess = \"public\"\nupstream = \"gone\"\n\
         [upstreams.gone]\nservers = [\"http://127.0.0.1:1\"]\n"
            .to_owned(),
    ];
    let server = format!("cors_origins = [\"{SPA}\"]");
    let gateway = TestGateway::with(Setup { server, routes: routes.concat(), ..Setup::default() }).await;
    gateway.user("ada", &[]).await;
    gateway
}

async fn preflight(gateway: &TestGateway, path: &str, origin: &str, method: &str) -> Response {
    let headers = [
        ("Origin", origin),
        ("Access-Control-Request-Method", method),
        ("Access-Control-Request-Headers", "authorization,x-custom"),
    ];
    http::request(gateway.address(), "OPTIONS", path, &headers, b"").await
}

fn assert_never_with_credentials(response: &Response) {
    assert_eq!(response.header("access-control-allow-credentials"), None);
    assert_ne!(response.header("access-control-allow-origin"), Some("*"));
}

#[tokio::test(flavor = "multi_thread")]
async fn preflight_is_answered_where_the_route_allows_cors() {
    let gateway = started().await;
    for (path, origin, method) in [
        ("/answered/x", SPA, "GET"),
        ("/answered/x", SPA, "DELETE"),
        ("/own", OTHER, "PATCH"),
        ("/read", SPA, "PUT"),
    ] {
        let response = preflight(&gateway, path, origin, method).await;
        assert_eq!((response.status, response.body.len()), (204, 0), "{path} {origin} {method}");
        assert_eq!(response.all("access-control-allow-origin"), [origin]);
        assert_eq!(response.all("access-control-allow-methods"), [method]);
        assert_eq!(response.all("access-control-allow-headers"), ["authorization,x-custom"]);
        assert!(response.all("vary").contains(&"Origin"));
        assert_never_with_credentials(&response);
    }
    for (path, origin, method, status) in [
        ("/answered/x", OTHER, "GET", 401),
        ("/answered/x", "null", "GET", 401),
        ("/own", SPA, "PATCH", 401),
        // Neither the method nor OPTIONS.
        ("/read", SPA, "DELETE", 405),
        ("/app", SPA, "GET", 401),
        ("/admin", SPA, "GET", 401),
    ] {
        let response = preflight(&gateway, path, origin, method).await;
        assert_eq!(response.status, status, "{path} {origin} {method}");
        assert_eq!(response.header("access-control-allow-methods"), None);
    }
    assert_eq!(gateway.app.heads(), 0, "none has reached the app");
}

#[tokio::test(flavor = "multi_thread")]
async fn preflight_passes_to_app_without_identity_where_route_allows() {
    let gateway = started().await;
    let response = preflight(&gateway, "/passed", OTHER, "PUT").await;
    assert_eq!(response.status, 200);
    let seen = gateway.app.last();
    assert!(
        seen.line().starts_with("OPTIONS /passed ") && seen.header("x-auth-user").is_none(),
        "{}",
        seen.head
    );
    // Only a preflight is answered.
    for (method, headers) in [
        ("OPTIONS", &[("Origin", OTHER)][..]),
        ("OPTIONS", &[("Access-Control-Request-Method", "PUT")]),
        ("PUT", &[("Origin", OTHER), ("Access-Control-Request-Method", "PUT")]),
    ] {
        let response = http::request(gateway.address(), method, "/passed", headers, b"").await;
        assert_eq!(response.status, 401, "{method} {headers:?}");
    }
    let headers = [("Origin", OTHER), ("Access-Control-Request-Method", "PUT")];
    let with_body = http::request(gateway.address(), "OPTIONS", "/passed", &headers, b"x").await;
    assert_eq!((with_body.status, gateway.app.heads()), (401, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn refusal_is_readable_for_the_origins_of_the_route() {
    let gateway = started().await;
    let bearer = format!("Bearer {}", gateway.login("ada").await.access);
    let bearer = ("Authorization", bearer.as_str());
    for (method, path, credential, origin, status) in [
        ("GET", "/app", None, SPA, 401),
        ("GET", "/answered", None, SPA, 401),
        ("GET", "/own", None, OTHER, 401),
        ("GET", "/admin", Some(bearer), SPA, 403),
        ("GET", "/public/..%2fadmin", None, SPA, 400),
        ("DELETE", "/read", Some(bearer), SPA, 405),
        ("GET", "/gone", None, SPA, 502),
    ] {
        let mut headers = vec![("Origin", origin)];
        headers.extend(credential);
        let response = http::request(gateway.address(), method, path, &headers, b"").await;
        assert_eq!(response.status, status, "{method} {path}");
        assert_eq!(response.all("access-control-allow-origin"), [origin], "{method} {path}");
        assert!(
            response
                .header("access-control-expose-headers")
                .is_some_and(|names| names.contains("www-authenticate"))
        );
        assert!(response.all("vary").contains(&"Origin"));
        assert_never_with_credentials(&response);
    }
    for (path, origin) in [("/app", OTHER), ("/own", SPA), ("/app", "null"), ("/app", "*")] {
        let response = http::request(gateway.address(), "GET", path, &[("Origin", origin)], b"").await;
        assert_eq!(
            (response.status, response.header("access-control-allow-origin")),
            (401, None),
            "{path} {origin}"
        );
        assert!(response.all("vary").contains(&"Origin"), "{path} {origin}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn response_of_app_without_cors_gets_cors_headers() {
    let gateway = started().await;
    let bearer = format!("Bearer {}", gateway.login("ada").await.access);
    let ask = async |path: &str, origin: &str| {
        let headers = [("Authorization", bearer.as_str()), ("Origin", origin)];
        http::request(gateway.address(), "GET", path, &headers, b"").await
    };
    for (path, origin, readable) in [
        ("/answered", SPA, Some(SPA)),
        ("/answered", OTHER, None),
        ("/own", OTHER, Some(OTHER)),
        ("/passed", SPA, None),
        ("/app", SPA, None),
        // The app's own CORS headers win.
        (
            "/answered/fields?Access-Control-Allow-Origin=https://its.example",
            SPA,
            Some("https://its.example"),
        ),
    ] {
        let response = ask(path, origin).await;
        assert_eq!(response.status, 200, "{path}");
        assert_eq!(response.header("access-control-allow-origin"), readable, "{path} {origin}");
        assert_never_with_credentials(&response);
    }
    let vary = ask("/answered", OTHER).await.all("vary").join(", ").to_lowercase();
    assert!(vary.split(", ").any(|name| name == "origin"), "{vary}");
}

#[tokio::test(flavor = "multi_thread")]
async fn refusal_before_routing_is_readable_for_origins_of_the_path() {
    let route = "[[routes]]\nname = \"own\"\npath = \"/own\"\naccess = \"signed-in\"\nupstream = \"app\"\n\
                 methods = [\"GET\"]\n";
    let own = format!("cors_origins = [\"{OTHER}\"]\n");
    for (server, spa) in [(String::new(), None), (format!("cors_origins = [\"{SPA}\"]"), Some(SPA))] {
        let routes = format!("{ROUTES}{route}{own}");
        let gateway = TestGateway::with(Setup { server, routes, ..Setup::default() }).await;
        let long = "a".repeat(40 << 10);
        for (method, path, more, status) in [
            ("DELETE", "/own/x", None, 405),
            ("GET", "/own/..%2fadmin", None, 400),
            ("GET", "/own/x/%zz", None, 400),
            ("GET", "/own/x", Some(("X-Big", long.as_str())), 431),
        ] {
            for origin in [OTHER, SPA, "https://evil.example"] {
                let headers: Vec<_> = [("Origin", origin)].into_iter().chain(more).collect();
                let response = http::request(gateway.address(), method, path, &headers, b"").await;
                assert_eq!(response.status, status, "{method} {path}");
                // Where the route is known, the origins are its own alone.
                let of_server = spa.filter(|spa| status != 405 && *spa == origin);
                let readable = Some(origin).filter(|origin| *origin == OTHER).or(of_server);
                assert_eq!(
                    response.header("access-control-allow-origin"),
                    readable,
                    "{method} {path} {origin}"
                );
                assert!(response.all("vary").contains(&"Origin"), "{method} {path} {origin}");
                assert_never_with_credentials(&response);
            }
        }
        // Below no such route nothing changes.
        for path in ["/public/..%2fadmin", "/..%2fown", "/owner/%zz"] {
            let response = http::request(gateway.address(), "GET", path, &[("Origin", OTHER)], b"").await;
            assert_eq!(
                (response.status, response.header("access-control-allow-origin")),
                (400, None),
                "{path}"
            );
        }
    }
}
