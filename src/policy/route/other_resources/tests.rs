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
fn destination_is_authorized_as_its_own_request() {
    let table = dav();
    for (destination, expected) in [
        ("/dav/c", &[][..]),
        ("http://app.test/dav/c", &[]),
        ("https://app.test/dav/c", &[]),
        ("HTTP://APP.test:80/dav/c?x=1", &[]),
        ("https://app.test:443/dav/c", &[]),
        ("/admin/config", &["admin"]),
        ("http://app.test/admin/config", &["admin"]),
        ("http://app.test/admin", &["admin"]),
        ("http://app.test/team/priv/x", &["priv"]),
        // The request acts as PUT and DELETE there.
        ("/rules/a", &["write"]),
        // The destination is overwritten with all its members.
        ("/team", &["priv"]),
    ] {
        let found = needs(&table, "COPY /dav/b", &[("destination", destination)]);
        assert_eq!(found, Ok(expected.iter().map(|&name| name.to_owned()).collect()), "{destination}");
        let found = needs(&table, "MOVE /dav/b", &[("destination", destination)]);
        assert_eq!(found, Ok(expected.iter().map(|&name| name.to_owned()).collect()), "{destination}");
    }
}

#[test]
fn foreign_destination_is_refused() {
    let table = dav();
    for destination in [
        "",
        "dav/c",
        "//app.test/admin",
        "///admin",
        "ftp://app.test/a",
        "http:/app.test/a",
        "http:///a",
        "http://b.test/a",
        "http://app.test:81/a",
        "http://app.test:443/a",
        "https://app.test:80/a",
        "http://ada@app.test/a",
        "http://app.test@b.test/a",
        "http://app.test\\@b.test/a",
        "http://app.test#@b.test/a",
        "http://app%2etest/a",
        "</admin>",
        "/a b",
        "/a, /admin",
        "/a,/admin",
        "/a,http://app.test/admin",
        "/a#b",
        "/a\\b",
        "/dav/../admin",
        "/dav/%2e%2e/admin",
        "/%61dmin",
        "/ADMIN/x",
        "//dav/c",
        "http://app.test//x/admin",
        "/x%2fy",
        "/auth/logout",
        "/other/x",
        "/published/x",
    ] {
        for method in ["COPY", "MOVE"] {
            let found = needs(&table, &format!("{method} /dav/b"), &[("destination", destination)]);
            assert!(is_refused(&found), "{method} {destination:?}: {found:?}");
        }
    }
    let twice = [("destination", "/a"), ("Destination", "/admin")];
    assert!(is_refused(&needs(&table, "COPY /dav/b", &twice)));
    let mut headers = HeaderMap::new();
    headers.insert("destination", HeaderValue::from_bytes(b"/caf\xe9").unwrap());
    let target = Target::read(b"/dav/b").unwrap();
    let method: Method = "COPY".parse().unwrap();
    let Ok(Match::Route(route)) = table.find("app.test", &target, &method) else { panic!() };
    let found = table.resources(("app.test", "app.test"), &target, (&method, &headers), &route);
    assert!(matches!(found, Err(Refusal::RequestInvalid(_))));
}

#[test]
fn destination_must_have_the_authority_of_the_request() {
    let table = dav();
    for (authority, destination, same) in [
        ("app.test:8443", "https://app.test:8443/c", true),
        ("app.test:8443", "https://app.test/c", false),
        ("app.test:8443", "/c", true),
        ("app.test:443", "https://app.test/c", true),
        ("app.test", "https://app.test:443/c", true),
        ("[::1]:80", "http://[::1]/c", true),
        ("[::1]", "http://[::1]:8080/c", false),
        ("App.Test.", "http://app.test/c", true),
    ] {
        let found = needs_on(&table, authority, "COPY", "/dav/b", &[("destination", destination)]);
        assert_eq!(found.is_ok(), same, "{authority} {destination}: {found:?}");
    }
}

#[test]
fn copy_source_needs_get_and_move_source_needs_delete() {
    let table = dav();
    let to = [("destination", "/dav/c")];
    assert_eq!(needs(&table, "COPY /vault/x", &to), Ok(vec!["look".to_owned()]));
    assert_eq!(needs(&table, "MOVE /vault/x", &to), Ok(vec!["look".to_owned()]));
    assert_eq!(needs(&table, "MOVE /rules/x", &to), Ok(vec!["write".to_owned()]));
    assert_eq!(needs(&table, "COPY /rules/x", &to), Ok(vec![]));
    let kept = [("destination", "/rules/c"), ("overwrite", "F")];
    assert_eq!(needs(&table, "COPY /dav/b", &kept), Ok(vec!["write".to_owned()]), "PUT is enough");
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

#[test]
fn destination_is_rewritten_like_the_target() {
    let strip = |route: Route| Route { strip_prefix: true, ..route };
    let table = RouteTable::new("/auth", &[strip(public("strip", "/strip")), public("app", "/app")]);
    for (destination, own, other) in [
        ("http://app.test/app/x?y", None, Some("http://in:9/app/x?y")),
        ("/app/x", None, None),
        ("http://app.test/strip/x%20y?z", Some("http://app.test/x%20y?z"), Some("http://in:9/x%20y?z")),
        ("https://app.test/strip", Some("https://app.test/"), Some("http://in:9/")),
        ("/strip/x", Some("/x"), Some("/x")),
    ] {
        let named = needs_on(&table, "app.test", "COPY", "/app/a", &[("destination", destination)]);
        let named = named.unwrap().destination.unwrap();
        let text = |value: Option<HeaderValue>| value.map(|value| value.to_str().unwrap().to_owned());
        assert_eq!(text(named.rewritten(None)).as_deref(), own, "{destination}");
        assert_eq!(text(named.rewritten(Some("http://in:9"))).as_deref(), other, "{destination}");
    }
    let found = needs(&table, "COPY /app/a", &[("destination", "/strip//x/y")]);
    assert!(is_refused(&found), "{found:?}");
}

#[test]
fn script_in_the_path_never_bypasses_a_stricter_route() {
    let table = RouteTable::new(
        "/auth",
        &[route("root", "*", "/", &[]), route("app", "*", "/app", &[]), admin("admin", "/app/admin")],
    );
    for (path, expected) in [
        ("/index.php/app/admin/x", &["admin"][..]),
        ("/INDEX.PHP/app/ADMIN", &["admin"]),
        ("/app/index.php/admin", &["admin"]),
        ("/index.php/app/%61dmin", &["admin"]),
        ("/a.phar/app/admin", &["admin"]),
        ("/a.svc/app/admin", &["admin"]),
        ("/cgi-bin/tool/app/admin", &["admin"]),
        ("/CGI-BIN/tool/app/admin/x", &["admin"]),
        ("/cgi-bin/folder/tool/app/admin", &["admin"]),
        ("/cgi-bin/tool/app/x", &[]),
        ("/index.php/app/x", &[]),
        ("/app/admin.json", &[]),
    ] {
        let expected = expected.iter().map(|&name| name.to_owned()).collect();
        assert_eq!(needs(&table, &format!("GET {path}"), &[]), Ok(expected), "{path}");
    }
}

#[test]
fn strict_siblings_need_the_access_of_resembled_routes() {
    let child = |route: Route| Route { strict_siblings: true, ..route };
    let exact = |route: Route| Route { exact: true, ..route };
    let routes = |siblings: fn(Route) -> Route| {
        RouteTable::new(
            "/auth",
            &[
                route("root", "*", "/", &[]),
                siblings(admin("users", "/api/users")),
                siblings(exact(admin("report", "/app/report"))),
                Route { upstream: "other".into(), ..siblings(admin("other", "/other")) },
                siblings(public("open", "/open")),
            ],
        )
    };
    let (strict, lax) = (routes(child), routes(|route| route));
    for (path, expected) in [
        ("/api/users.json", &["users"][..]),
        ("/api/Users.json", &["users"]),
        ("/api/users.json/x", &["users"]),
        ("/api/users%2ejson", &["users"]),
        ("/api/users('ada')", &["users"]),
        ("/api/users:batch", &["users"]),
        ("/app/report.html", &["report"]),
        ("/app/report/anything", &["report"]),
        ("/index.php/api/users.json", &["users"]),
        ("/api/.users.swp", &["users"]),
        ("/api/%23users%23", &["users"]),
        ("/api/.%23users", &["users"]),
        ("/API/.Users.swo", &["users"]),
        ("/api/._users", &["users"]),
        ("/api/~$users", &["users"]),
        ("/app/.report.swp", &["report"]),
        ("/api/.users2", &[]),
        ("/api/_users", &[]),
        ("/api/x.users", &[]),
        ("/api/users2", &[]),
        ("/api/user", &[]),
        ("/other.json", &[]),
        ("/open.json", &[]),
    ] {
        let expected: Vec<String> = expected.iter().map(|&name| name.to_owned()).collect();
        assert_eq!(needs(&strict, &format!("GET {path}"), &[]), Ok(expected), "{path}");
        assert_eq!(needs(&lax, &format!("GET {path}"), &[]), Ok(vec![]), "{path}");
    }
}

#[test]
fn short_file_name_needs_every_route_it_may_stand_for() {
    let table = RouteTable::new(
        "/auth",
        &[
            route("root", "*", "/", &[]),
            admin("administration", "/administration"),
            admin("reports", "/app/reports of 2024/final"),
            Route { exact: true, ..admin("exact", "/exactly-this") },
            Route { upstream: "other".into(), ..admin("other", "/otherwise") },
            public("public", "/published-papers"),
        ],
    );
    for (path, expected) in [
        ("/ADMINI~1", &["administration"][..]),
        ("/admini~1/x", &["administration"]),
        ("/ADMINI~2", &["administration"]),
        ("/ADMIN~10/x", &["administration"]),
        ("/AD3F2A~1", &["administration"]),
        ("/ADMINI~1.HTM", &["administration"]),
        ("/ADMINI%7e1/x", &["administration"]),
        ("/x/../ADMINI~1/x", &["administration"]),
        ("/index.php/ADMINI~1", &["administration"]),
        ("/app/REPORT~1/final", &["reports"]),
        ("/APP/REPORT~1/FINAL/x", &["reports"]),
        ("/EXACTL~1", &["exact"]),
        ("/EXACTL~1/", &["exact"]),
        ("/EXACTL~1/x", &[]),
        ("/app/REPORT~1", &[]),
        ("/app/REPORT~1/finals", &[]),
        ("/~1", &[]),
        ("/ADMINI~", &[]),
        ("/ADMINI~x", &[]),
        ("/ADMINIS~1", &[]),
        ("/ADMINI~1.HTML", &[]),
        ("/USERS~1/x", &[]),
        ("/AX3F2A~1", &[]),
        ("/OTHERW~1", &[]),
        ("/PUBLIS~1", &[]),
        ("/~ada/x", &[]),
        ("/x/ADMINI~1", &[]),
    ] {
        let expected = expected.iter().map(|&name| name.to_owned()).collect();
        assert_eq!(needs(&table, &format!("GET {path}"), &[]), Ok(expected), "{path}");
    }
    let to = [("destination", "/ADMINI~1/x")];
    assert_eq!(needs(&table, "COPY /x", &to), Ok(vec!["administration".to_owned()]));
    // The members of a folder with a short name.
    assert_eq!(needs(&table, "DELETE /app/REPORT~1", &[]), Ok(vec!["reports".to_owned()]));
    assert_eq!(needs(&table, "DELETE /app/REPORT~2/", &[]), Ok(vec!["reports".to_owned()]));
    assert_eq!(needs(&table, "DELETE /app/OTHERS~1", &[]), Ok(vec![]));
}

#[test]
fn stripped_path_is_checked_for_other_names() {
    let table = RouteTable::new(
        "/auth",
        &[
            Route { strip_prefix: true, ..public("strip", "/strip") },
            public("app", "/app"),
            admin("admin", "/app/administration"),
        ],
    );
    for path in
        ["/strip/app/ADMINI~1/x", "/strip/index.php/app/administration", "/strip/cgi-bin/x/app/ADMINI~1"]
    {
        let found = needs(&table, &format!("GET {path}"), &[]);
        assert_eq!(found, Ok(vec!["admin".to_owned()]), "{path}");
    }
    assert_eq!(needs(&table, "GET /strip/app/x", &[]), Ok(vec![]));
}

#[test]
fn upload_concat_and_copy_source_need_every_route() {
    let table = RouteTable::new("/auth", &[route("root", "*", "/", &[]), admin("admin", "/admin")]);
    let all = Ok(vec!["admin".to_owned()]);
    for value in ["final;/a /b", "final;/admin/x", "FINAL; https://app.test/admin/x", "", "partial, final;/a"]
    {
        assert_eq!(needs(&table, "POST /files", &[("upload-concat", value)]), all, "{value}");
    }
    assert_eq!(needs(&table, "POST /files", &[("upload_concat", "final;/admin/x")]), all);
    let twice = [("upload-concat", "partial"), ("upload-concat", "final;/admin/x")];
    assert_eq!(needs(&table, "POST /files", &twice), all);
    assert_eq!(needs(&table, "POST /files", &[("upload-concat", "partial")]), Ok(vec![]));
    for request in ["COPY /x", "MOVE /x", "copy /x"] {
        assert_eq!(needs(&table, request, &[("source", "https://app.test/admin/x")]), all, "{request}");
    }
    assert_eq!(needs(&table, "POST /x", &[("source", "web")]), Ok(vec![]));
}

/// The table of a gateway with many routes, some of which ask for siblings.
fn many_routes() -> RouteTable {
    let routes: Vec<Route> = (0..300)
        .map(|at| Route {
            strict_siblings: at % 2 == 0,
            ..admin(&format!("r{at}"), &format!("/st/part-{at}/x"))
        })
        .chain([public("root", "/"), public("st", "/st")])
        .collect();
    RouteTable::new("/auth", &routes)
}

#[test]
fn target_and_destination_share_one_budget() {
    let table = many_routes();
    let long = |part: &str, bytes: usize| format!("/st/{}", part.repeat(bytes / part.len()));
    let find = |method: &str, from: &str, to: &str| {
        needs_on(&table, "app.test", method, from, &[("destination", to)])
    };
    let disguised = long("a;b/%2e./", 3000);
    assert!(find("GET", &disguised, "/st/y").is_ok(), "it is both together that are refused");
    assert_eq!(find("MOVE", &disguised, &disguised).unwrap_err(), Refusal::TargetAmbiguous);
    // Names that people have, each as long as it may be.
    for part in ["name-of-a-folder/", "caf%C3%A9/", "a%20b/"] {
        let (from, to) = (long(part, 4000), long(part, 4000));
        assert!(find("MOVE", &from, &to).is_ok(), "{part}");
    }
    let plain = long("name-of-a-folder/", 8000);
    assert!(find("MOVE", &plain, &plain).is_ok());
}
