mod destinations;
mod names;

use http::HeaderValue;

use super::*;
use crate::config::{Access, HostPattern};
use crate::identity::Roles;
use crate::policy::route::tests::route;

fn roles(names: &[&str]) -> Access {
    Access::Roles(Roles::new(names.iter().map(|name| name.parse().unwrap())))
}

fn admin(name: &str, path: &str) -> Route {
    Route { access: roles(&["admin"]), ..route(name, "*", path, &[]) }
}

fn public(name: &str, path: &str) -> Route {
    Route { access: Access::Public, ..route(name, "*", path, &[]) }
}

/// Returns the names of the other routes that a request needs, or its refusal.
fn needs(table: &RouteTable, request: &str, fields: &[(&str, &str)]) -> Result<Vec<String>, Refusal> {
    let (method, path) = request.split_once(' ').unwrap();
    needs_on(table, "app.test", method, path, fields).map(|resources| {
        let mut names: Vec<String> = resources.also.iter().map(|second| second.route.name.clone()).collect();
        names.sort_unstable();
        names
    })
}

fn needs_on(
    table: &RouteTable,
    authority: &str,
    method: &str,
    path: &str,
    fields: &[(&str, &str)],
) -> Result<Resources, Refusal> {
    let mut headers = HeaderMap::new();
    for (name, value) in fields {
        headers.append(http::HeaderName::from_bytes(name.as_bytes()).unwrap(), value.parse().unwrap());
    }
    let (method, target) = (method.parse().unwrap(), Target::read(path.as_bytes()).unwrap());
    let host = crate::policy::route::canonical_host(authority).unwrap();
    let Match::Route(route) = table.find(&host, &target, &method)? else { panic!("one of our own") };
    table.resources((&host, authority), &target, (&method, &headers), &route)
}

fn is_refused(result: &Result<Vec<String>, Refusal>) -> bool {
    matches!(result, Err(Refusal::OtherResource(_) | Refusal::RequestInvalid(_) | Refusal::TargetAmbiguous))
}

/// A WebDAV app with rules by path and by method.
fn dav() -> RouteTable {
    RouteTable::new(
        "/auth",
        &[
            route("root", "*", "/", &[]),
            admin("admin", "/admin"),
            admin("priv", "/team/priv"),
            route("open", "*", "/team/open", &[]),
            Route { upstream: "other".into(), ..route("other", "*", "/other", &[]) },
            route("read", "*", "/rules", &["GET", "COPY", "MOVE"]),
            Route { access: roles(&["admin"]), ..route("write", "*", "/rules", &["PUT", "DELETE"]) },
            Route { access: roles(&["audit"]), ..route("look", "*", "/vault", &["GET"]) },
            route("vault", "*", "/vault", &[]),
            route("only-read", "*", "/published", &["GET"]),
            Route { hosts: vec![HostPattern::Exact("b.test".into())], ..admin("elsewhere", "/") },
        ],
    )
}

#[test]
fn collection_methods_need_every_route_below() {
    let table = dav();
    let below = |request: &str, depth: &[&str]| {
        let fields: Vec<(&str, &str)> =
            depth.iter().map(|&depth| ("depth", depth)).chain([("destination", "/dav/c")]).collect();
        needs(&table, request, &fields)
    };
    let private = Ok(vec!["priv".to_owned()]);
    for path in ["/team", "/team/", "/TEAM", "/te%61m", "/team;x", "/x/../team"] {
        for (method, depth) in [
            ("COPY", &["infinity"][..]),
            ("COPY", &[]),
            ("COPY", &["1"]),
            ("COPY", &["0", "infinity"]),
            ("MOVE", &[]),
            ("MOVE", &["0"]),
            ("DELETE", &[]),
            ("DELETE", &["0"]),
            ("LOCK", &[]),
            ("LOCK", &["Infinity"]),
            ("PROPFIND", &[]),
            ("PROPFIND", &["infinity"]),
            ("PROPFIND", &["infinity,noroot"]),
            ("Delete", &[]),
            ("propfind", &["infinity"]),
            ("copy", &[]),
            ("PROPFIND", &["2"]),
            ("REPORT", &["1"]),
            ("REPORT", &["infinity"]),
        ] {
            assert_eq!(below(&format!("{method} {path}"), depth), private, "{method} {path} {depth:?}");
        }
        for (method, depth) in [
            ("COPY", &["0"][..]),
            ("LOCK", &["0"]),
            ("PROPFIND", &["0"]),
            ("PROPFIND", &["1"]),
            ("REPORT", &[]),
            ("REPORT", &["0"]),
            ("PROPPATCH", &[]),
            ("GET", &["infinity"]),
            ("PUT", &[]),
            ("POST", &[]),
        ] {
            assert_eq!(below(&format!("{method} {path}"), depth), Ok(vec![]), "{method} {path} {depth:?}");
        }
    }
    // A method refused for a member is refused for the collection.
    assert!(is_refused(&below("DELETE /", &[])));
    assert_eq!(below("DELETE /team/open", &[]), Ok(vec![]));
    assert_eq!(below("DELETE /teams", &[]), Ok(vec![]));
    assert_eq!(
        below("REPORT /", &["1"]).map(|names| names.contains(&"priv".to_owned())),
        Err(METHOD_REFUSED)
    );
}

#[test]
fn requests_naming_any_resource_need_every_route() {
    let table = RouteTable::new(
        "/auth",
        &[
            route("root", "*", "/", &[]),
            admin("admin", "/admin"),
            Route { upstream: "other".into(), ..admin("other", "/other") },
            Route {
                methods: vec!["SEARCH".parse().unwrap(), Method::GET],
                ..route("search", "*", "/search", &[])
            },
        ],
    );
    let all = Ok(vec!["admin".to_owned()]);
    for method in
        ["BIND", "REBIND", "UNBIND", "SEARCH", "MERGE", "BCOPY", "BMOVE", "BDELETE", "VERSION-CONTROL"]
    {
        assert_eq!(needs(&table, &format!("{method} /x"), &[]), all, "{method}");
    }
    assert_eq!(needs(&table, "SEARCH /search", &[]), Ok(vec![]), "the route names the method");
    for field in [
        "x-amz-copy-source",
        "X-Amz-Rename-Source",
        "x-goog-copy-source",
        "x-ms-copy-source",
        "x-ms-rename-source",
        "x-ms-file-rename-source",
        "x-oss-copy-source",
        "x-oss-symlink-target",
        "x-cos-copy-source",
        "x-obs-copy-source",
        "x-bce-copy-source",
        "x-tos-copy-source",
        "x-qs-move-source",
        "x-copy-from",
        "x-copy-from-account",
        "x-symlink-target",
        "x-object-manifest",
        "x_amz_copy_source",
        "x.amz.copy-source",
        "http_x_amz_copy_source",
        "destination-account",
        "destination_account",
        "x-emc-path",
        "x_emc_path",
        "x-versions-location",
        "x-history-location",
        "x-container-sync-to",
    ] {
        for method in ["PUT", "POST", "COPY", "PATCH"] {
            let fields = [(field, "/admin/x"), ("destination", "/c")];
            assert_eq!(needs(&table, &format!("{method} /x"), &fields), all, "{method} {field}");
        }
        assert_eq!(needs(&table, "GET /x", &[(field, "/admin/x")]), Ok(vec![]));
    }
    for field in ["x-amz-copy-source-range", "slug", "content-location", "if", "lock-token", "x-amz-acl"] {
        assert_eq!(needs(&table, "PUT /x", &[(field, "</admin/x>")]), Ok(vec![]), "{field}");
    }
}

#[test]
fn stripped_path_is_routed_as_the_app_sees_it() {
    let strip = |route: Route| Route { strip_prefix: true, ..route };
    let on = |host: &str, route: Route| Route { hosts: vec![HostPattern::Exact(host.into())], ..route };
    let table = RouteTable::new(
        "/auth",
        &[
            strip(public("strip", "/strip")),
            public("app", "/app"),
            admin("admin", "/app/admin"),
            on("b.test", admin("b-admin", "/b/secret")),
            Route { upstream: "other".into(), ..admin("other", "/elsewhere") },
            Route { methods: vec![Method::GET], ..public("read", "/app/read") },
        ],
    );
    for (request, expected) in [
        ("GET /strip/app/admin/secret.txt", &["admin"][..]),
        ("GET /strip/app/admin", &["admin"]),
        ("GET /strip/app/ADMIN", &["admin"]),
        ("GET /strip/app/%61dmin/x", &["admin"]),
        ("GET /strip/app/x/../admin/x", &["admin"]),
        ("GET /strip/app/admin;x", &["admin"]),
        ("GET /strip//x/app/admin", &["admin"]),
        ("GET /strip/b/secret/x", &["b-admin"]),
        ("DELETE /strip/app", &["admin"]),
        ("GET /strip/app/x", &[]),
        ("GET /strip", &[]),
        ("GET /strip/elsewhere", &[]),
    ] {
        if request.starts_with("DELETE") {
            // A member that no route allows to delete.
            assert!(is_refused(&needs(&table, request, &[])), "{request}");
            continue;
        }
        let expected = expected.iter().map(|&name| name.to_owned()).collect();
        assert_eq!(needs(&table, request, &[]), Ok(expected), "{request}");
    }
    assert!(is_refused(&needs(&table, "PUT /strip/app/read/x", &[])));
    let to = [("destination", "http://app.test/strip/app/admin/x")];
    assert_eq!(needs(&table, "COPY /app/x", &to), Ok(vec!["admin".to_owned()]));
    // Each path loses the prefix of its own route.
    assert_eq!(needs(&table, "COPY /strip/app/x", &[("destination", "/app/y")]), Ok(vec![]));
    let table = RouteTable::new(
        "/auth",
        &[strip(public("strip", "/strip")), public("app", "/app"), admin("admin", "/app/admin")],
    );
    for (request, to) in
        [("COPY /app/x", "/strip/app"), ("COPY /strip/app", "/app/y"), ("MOVE /app", "/strip/y")]
    {
        let found = needs(&table, request, &[("destination", to)]);
        assert_eq!(found, Ok(vec!["admin".to_owned()]), "{request} {to}");
    }
}
