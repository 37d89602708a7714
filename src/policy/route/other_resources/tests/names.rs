//! Other names of a resource: siblings, scripts within a path, short file names.

use super::*;

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
