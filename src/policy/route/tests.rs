use std::time::Duration;

use super::*;
use crate::config::{Access, Cors, CrossOrigin};
use crate::identity::Roles;

pub(super) fn route(name: &str, host: &str, path: &str, methods: &[&str]) -> Route {
    let host = match host.strip_prefix("*.") {
        Some(suffix) => HostPattern::Below(suffix.into()),
        None if host == "*" => HostPattern::Any,
        None => HostPattern::Exact(host.into()),
    };
    Route {
        name: name.into(),
        hosts: vec![host],
        path: path.into(),
        exact: false,
        methods: methods.iter().map(|m| m.parse().unwrap()).collect(),
        access: Access::SignedIn,
        proof: crate::identity::RequiredProof::default(),
        upstream: "app".into(),
        always_revalidate: false,
        timeout: Duration::from_secs(60),
        body_limit: 1024,
        strip_prefix: false,
        preserve_host: true,
        forward_bearer: false,
        forward_client_cert: false,
        rewrite_location: false,
        rewrite_cookie_path: false,
        pass_headers: Vec::new(),
        encoded_slashes: false,
        cross_origin: CrossOrigin::Refuse,
        shared_cache: false,
        strict_siblings: false,
        cors: Cors::Off,
        cors_origins: Vec::new(),
    }
}

fn found(table: &RouteTable, method: &str, host: &str, path: &str) -> Result<String, Refusal> {
    let target = Target::read(path.as_bytes()).map_err(|_| Refusal::TargetAmbiguous)?;
    match table.find(host, &target, &method.parse().unwrap())? {
        Match::Own => Ok("own".into()),
        Match::Route(route) => Ok(route.name.clone()),
    }
}

fn table() -> RouteTable {
    RouteTable::new(
        "/auth",
        &[
            route("root", "*", "/", &[]),
            route("admin", "*", "/admin", &[]),
            route("read", "*", "/api", &["GET"]),
            route("write", "*", "/api", &["POST"]),
            Route { exact: true, ..route("health", "*", "/api/health", &["GET"]) },
            route("app", "app.example.com", "/", &[]),
            route("any-below", "*.example.com", "/files", &[]),
            Route { encoded_slashes: true, ..route("npm", "*", "/npm", &[]) },
        ],
    )
}

#[test]
fn most_specific_host_then_longest_path_wins() {
    let table = table();
    for (host, path, name) in [
        ("x.org", "/", "root"),
        ("x.org", "/anything/else", "root"),
        ("x.org", "/admin", "admin"),
        ("x.org", "/admin/users", "admin"),
        ("x.org", "/admin2", "root"),
        ("x.org", "/adminx/..a", "root"),
        ("x.org", "/api/health", "health"),
        ("x.org", "/api/health/x", "read"),
        ("app.example.com", "/admin", "app"),
        ("b.example.com", "/files/1", "any-below"),
        ("b.example.com", "/admin", "admin"),
        ("example.com", "/files/1", "root"),
        ("evilexample.com", "/files/1", "root"),
    ] {
        assert_eq!(found(&table, "GET", host, path), Ok(name.into()), "{host}{path}");
    }
}

#[test]
fn methods_select_among_routes_without_fallthrough() {
    let table = table();
    assert_eq!(found(&table, "POST", "x", "/api/a"), Ok("write".into()));
    assert_eq!(found(&table, "HEAD", "x", "/api/a"), Ok("read".into()));
    assert_eq!(found(&table, "DELETE", "x", "/api/a"), Err(Refusal::MethodNotAllowed("GET, POST".into())));
    assert_eq!(found(&table, "get", "x", "/api/a"), Err(Refusal::MethodNotAllowed("GET, POST".into())));
}

#[test]
fn targets_with_conflicting_readings_are_refused() {
    let table = table();
    for path in [
        "/public/../admin",
        "/x/%2e%2e/admin",
        "/x/..%2fadmin",
        "//admin",
        "/%61dmin",
        "/ADMIN",
        "/Admin/x",
        "/admin;x",
        "/x/..;/admin",
        "/x/..%5cadmin",
        "/auth/../admin",
        "/AUTH/login",
        "/%61uth/login",
        "/x/../auth/login",
        "/npm/..%2fadmin",
        "/admin/..",
        "/admin/../",
    ] {
        assert_eq!(found(&table, "GET", "x", path), Err(Refusal::TargetAmbiguous), "{path}");
    }
    // Every reading of these leads to the same route, so they pass unchanged.
    for (path, name) in [
        ("/Images/A.png", "root"),
        ("/a%20b", "root"),
        ("/x/./y", "root"),
        ("/admin/x;v=1", "admin"),
        ("/admin/%61", "admin"),
    ] {
        assert_eq!(found(&table, "GET", "x", path), Ok(name.into()), "{path}");
    }
}

#[test]
fn stripped_target_never_matches_another_route() {
    let shop = |name: &str, path: &str| Route {
        strip_prefix: true,
        encoded_slashes: true,
        ..route(name, "*", path, &[])
    };
    let table = RouteTable::new(
        "/shop/auth",
        &[route("root", "*", "/", &[]), shop("shop", "/shop"), shop("shop-admin", "/shop/admin")],
    );
    for path in [
        // An app that resolves references reads a host here; a path of another route, or of the gateway, follows.
        "/shop/%5cx/admin",
        "/shop/%5Cx/admin/y",
        "/shop/%255cx/admin",
        "/shop/.//x/admin",
        "/shop/;//x/admin",
        "/shop/;a=b//x/%61dmin",
        "/shop/%2fx/admin",
        "/shop/%2f%2fx/admin",
        "/shop/%ef%bc%8fx/admin",
        "/shop//x/admin",
        "/shop/x/..//y/ADMIN",
        "/shop/%5cx/auth/me",
        // Leads out of the prefix, which the app does not know.
        "/shop/%2e%2e/admin",
    ] {
        assert_eq!(found(&table, "GET", "x", path), Err(Refusal::TargetAmbiguous), "{path}");
    }
    for (path, name) in [
        ("/shop", "shop"),
        ("/shop/", "shop"),
        ("/shop/a%20b/%5cx/admin", "shop"),
        ("/shop/@scope%2fname", "shop"),
        ("/shop/.//x/y", "shop"),
        ("/shop/admin/%5cx/y", "shop-admin"),
        ("/shop/admin/a;b", "shop-admin"),
        ("/%5cx/y", "root"),
    ] {
        assert_eq!(found(&table, "GET", "x", path), Ok(name.into()), "{path}");
    }
}

#[test]
fn trailing_slash_never_bypasses_an_exact_route() {
    let roles = |names: &[&str]| Access::Roles(Roles::new(names.iter().map(|name| name.parse().unwrap())));
    let open = |name: &str, path: &str, access: Access| Route { access, ..route(name, "*", path, &[]) };
    let exact = |name: &str, path: &str, access: Access| Route { exact: true, ..open(name, path, access) };
    let table = RouteTable::new(
        "/auth",
        &[
            open("root", "/", Access::Public),
            exact("report", "/report", Access::SignedIn),
            exact("health", "/health", Access::Optional),
            Route { methods: vec![Method::GET], ..exact("list", "/list", Access::Public) },
            open("staff", "/staff", roles(&["admin", "ops"])),
            exact("pay", "/staff/pay", roles(&["admin"])),
            exact("names", "/staff/names", roles(&["admin", "ops", "hr"])),
            exact("map", "/staff/map", Access::SignedIn),
            Route { always_revalidate: true, ..exact("keys", "/staff/keys", Access::SignedIn) },
            open("both", "/both", Access::SignedIn),
            exact("both-only", "/both", roles(&["admin"])),
        ],
    );
    for (method, path) in [
        ("GET", "/report/"),
        ("GET", "/REPORT/"),
        ("GET", "/report//"),
        ("GET", "/report/."),
        ("GET", "/report;x/"),
        ("GET", "/report%20/"),
        ("GET", "/report/x/.."),
        ("GET", "/staff/pay/"),
        ("GET", "/staff/keys/"),
        ("GET", "/both/"),
        ("POST", "/list/"),
    ] {
        assert_eq!(found(&table, method, "x", path), Err(Refusal::TargetAmbiguous), "{method} {path}");
    }
    for (path, name) in [
        ("/", "root"),
        ("/x/", "root"),
        ("/report", "report"),
        ("/report/x", "root"),
        ("/report/x/", "root"),
        ("/report.json", "root"),
        // Access to the parent path implies access to these.
        ("/health/", "root"),
        ("/list/", "root"),
        ("/staff/names/", "staff"),
        ("/staff/map/", "staff"),
        ("/staff/", "staff"),
        ("/.well-known/jwks.json/", "root"),
    ] {
        assert_eq!(found(&table, "GET", "x", path), Ok(name.into()), "{path}");
    }
}

#[test]
fn encoded_slashes_pass_only_if_the_route_allows_them() {
    let table = table();
    assert_eq!(found(&table, "GET", "x", "/npm/@scope%2fname"), Ok("npm".into()));
    assert_eq!(found(&table, "GET", "x", "/files/@scope%2fname"), Err(Refusal::TargetAmbiguous));
}

#[test]
fn own_endpoints_win_and_unknown_paths_are_refused() {
    let table = RouteTable::new("/auth", &[]);
    assert_eq!(found(&table, "GET", "x", "/auth/me"), Ok("own".into()));
    assert_eq!(found(&table, "GET", "x", "/.well-known/jwks.json"), Ok("own".into()));
    for path in ["/", "/authx", "/.well-known/other", "/a"] {
        assert_eq!(found(&table, "GET", "x", path), Err(Refusal::RouteUnknown), "{path}");
    }
}

#[test]
fn hosts_are_canonicalized() {
    for (host, canonical) in [
        ("App.Example.COM", "app.example.com"),
        ("app.example.com:8443", "app.example.com"),
        ("app.example.com.", "app.example.com"),
        ("127.0.0.1:80", "127.0.0.1"),
        ("[::1]:8080", "[::1]"),
    ] {
        assert_eq!(canonical_host(host).as_deref(), Ok(canonical), "{host}");
    }
    for host in [
        "",
        ":80",
        "a:b",
        "host:80@evil",
        "a b",
        "a/b",
        "[::1",
        "[x]",
        "[::1]x",
        "é",
        "a:999999",
        "a..",
        "a..b",
        ".a",
        ".",
    ] {
        assert!(canonical_host(host).is_err(), "{host}");
    }
}

/// Returns the number of bytes that the search compares for a path, over all its readings.
fn compared(table: &RouteTable, path: &str) -> Option<(usize, usize)> {
    let target = Target::read(path.as_bytes()).ok()?;
    let mut search = table.search("a.b.example.com");
    let _ = search.find(&target, &Method::GET);
    Some((search.read, target.readings().count()))
}

#[test]
fn search_cost_is_linear_and_bounded_by_the_routes() {
    let deep = format!("/{}", ["A"; 40].join("/"));
    let exact = |path: &str| Route { exact: true, ..route("exact", "*", path, &[]) };
    let table = RouteTable::new(
        "/auth",
        &[
            route("root", "*", "/", &[]),
            route("deep", "*", &deep, &[]),
            exact("/zz/A/x"),
            route("sub", "*.example.com", "/zz/A", &[]),
            route("subsub", "*.b.example.com", &deep, &[]),
        ],
    );
    let longest = deep.len() + 2;
    for path in crate::policy::target::hostile(super::super::target::MAX_PATH) {
        let Some((read, readings)) = compared(&table, &path) else { continue };
        // Two letter cases, with and without a trailing slash, and three host patterns.
        assert!(read <= readings * 2 * 2 * 3 * longest, "{}: {read} for {readings} readings", &path[..20]);
        assert!(read <= 4 * 3 * 3 * path.len(), "{}: {read}", &path[..20]);
    }
    // The search ends at the last segment of a route.
    let all_the_way = format!("{deep}{}", "/A".repeat(1000));
    assert!(compared(&table, &all_the_way).is_some_and(|(read, _)| read <= 2 * 3 * longest));
    let one_long_segment = format!("/zz/{}", "A".repeat(8000));
    assert!(compared(&table, &one_long_segment).is_some_and(|(read, _)| read < 100));
}
