//! Requests that name a second resource: `Destination`, copy sources, upload parts.

use super::*;

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
