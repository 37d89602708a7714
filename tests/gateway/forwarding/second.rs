//! Requests that name a second resource, or act on more than one, need access to all of them.

use crate::connection::tls::house;
use crate::refusals::assert_refused;
use crate::support::http2::Http2;
use crate::support::{PASSWORD, Setup, TestGateway};

const MORE: &str = r#"
[[routes]]
name = "private"
path = "/team/priv"
access = { roles = ["admin"] }
upstream = "app"
[[routes]]
name = "write"
path = "/public/rules"
methods = ["PUT", "DELETE"]
access = { roles = ["admin"] }
upstream = "app"
[[routes]]
name = "copy"
path = "/public/rules"
methods = ["GET", "COPY", "MOVE"]
access = "public"
upstream = "app"
[[routes]]
name = "stripped"
path = "/strip"
access = "public"
upstream = "app"
strip_prefix = true
[[routes]]
name = "renamed"
path = "/renamed"
access = "signed-in"
upstream = "app"
preserve_host = false
"#;

struct World {
    gateway: TestGateway,
    admin: String,
    user: String,
}

impl World {
    async fn start() -> Self {
        let routes = Setup::default().routes + MORE;
        let gateway = TestGateway::with(Setup { routes, ..Setup::default() }).await;
        gateway.user("ada", &["admin"]).await;
        gateway.user("eve", &["user"]).await;
        let (admin, user) = (gateway.login("ada").await.access, gateway.login("eve").await.access);
        Self { gateway, admin, user }
    }

    /// Status and code of the response, and the request as the app saw it.
    async fn send(
        &self,
        request: &str,
        caller: &str,
        fields: &[(&str, &str)],
    ) -> (u16, String, Option<String>) {
        let (method, target) = request.split_once(' ').expect("method and target");
        let bearer = format!("Bearer {caller}");
        let mut all = fields.to_vec();
        if !caller.is_empty() {
            all.push(("Authorization", &bearer));
        }
        let before = self.gateway.app.seen().len();
        let response = crate::support::http::request(self.gateway.address(), method, target, &all, b"").await;
        let seen = self.gateway.app.seen();
        let head = (seen.len() > before).then(|| seen.last().expect("one more").head.clone());
        let code = if response.status < 400 { String::new() } else { response.code() };
        assert_eq!(head.is_some(), response.status == 200, "{request} {fields:?}: {}", response.status);
        (response.status, code, head)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn destination_is_authorized_by_its_own_route() {
    let world = World::start().await;
    for method in ["COPY", "MOVE"] {
        let request = format!("{method} /dav/b");
        for destination in
            ["http://gateway.test/admin/config", "/admin/config", "https://gateway.test/team/priv/x"]
        {
            let fields = [("Destination", destination)];
            let (status, code, _) = world.send(&request, &world.user, &fields).await;
            assert_eq!((status, code.as_str()), (403, "role_missing"), "{request} {destination}");
            let (status, _, head) = world.send(&request, &world.admin, &fields).await;
            assert_eq!(status, 200, "{request} {destination}");
            let sent = format!("Destination: {destination}\r\n").to_ascii_lowercase();
            assert!(head.expect("forwarded").to_ascii_lowercase().contains(&sent));
        }
        let (status, code, _) = world.send(&request, &world.user, &[("Destination", "/%61dmin/x")]).await;
        assert_eq!((status, code.as_str()), (400, "target_ambiguous"));
        let elsewhere = [("Destination", "http://evil.test/admin/config")];
        let (status, code, _) = world.send(&request, &world.admin, &elsewhere).await;
        assert_eq!((status, code.as_str()), (403, "other_resource"));
        let twice = [("Destination", "/dav/c"), ("Destination", "/admin/config")];
        let (status, code, _) = world.send(&request, &world.admin, &twice).await;
        assert_eq!((status, code.as_str()), (400, "request_invalid"));
        // An anonymous client is asked to sign in.
        let fields = [("Destination", "/public/rules/x")];
        let (status, code, _) = world.send(&format!("{method} /public/a"), "", &fields).await;
        assert_eq!((status, code.as_str()), (401, "token_missing"));
        let (status, code, _) = world.send(&format!("{method} /public/a"), &world.user, &fields).await;
        assert_eq!((status, code.as_str()), (403, "role_missing"));
        let (status, ..) = world.send(&request, &world.user, &[("Destination", "/dav/c")]).await;
        assert_eq!(status, 200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn destination_is_rewritten_for_the_app() {
    let world = World::start().await;
    let server = world.gateway.app.address();
    for (request, destination, forwarded) in [
        ("COPY /x", "http://gateway.test/y?a", "http://gateway.test/y?a".to_owned()),
        ("COPY /x", "http://gateway.test/strip/y", "http://gateway.test/y".to_owned()),
        ("COPY /strip/x", "/strip/y%20z", "/y%20z".to_owned()),
        ("COPY /renamed/x", "https://gateway.test/renamed/y", format!("http://{server}/renamed/y")),
        ("COPY /renamed/x", "/renamed/y", "/renamed/y".to_owned()),
    ] {
        let (status, code, head) = world.send(request, &world.admin, &[("Destination", destination)]).await;
        assert_eq!((status, code.as_str()), (200, ""), "{request} {destination}");
        let head = head.expect("forwarded").to_ascii_lowercase();
        assert!(head.contains(&format!("destination: {forwarded}\r\n")), "{head}");
        assert_eq!(head.matches("destination:").count(), 1, "{head}");
    }
    // The field is meaningless for other methods.
    for method in ["PUT", "POST", "GET", "LOCK", "PROPFIND"] {
        let fields = [("Destination", "/admin/x"), ("Depth", "0")];
        let (status, _, head) = world.send(&format!("{method} /x"), &world.admin, &fields).await;
        assert_eq!(status, 200, "{method}");
        assert!(!head.expect("forwarded").to_ascii_lowercase().contains("destination"), "{method}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn collection_with_a_stricter_member_is_refused() {
    let world = World::start().await;
    for (request, depth) in [
        ("COPY /team", "infinity"),
        ("MOVE /team/", "infinity"),
        ("DELETE /team", "infinity"),
        ("LOCK /te%61m", "infinity"),
        ("PROPFIND /team", "infinity"),
    ] {
        let fields = [("Depth", depth), ("Destination", "/copy")];
        let (status, code, _) = world.send(request, &world.user, &fields).await;
        assert_eq!((status, code.as_str()), (403, "other_resource"), "{request}");
        assert_eq!(world.send(request, &world.admin, &fields).await.0, 200, "{request}");
        let below = format!("{}/open", request.trim_end_matches('/'));
        assert_eq!(world.send(&below, &world.user, &fields).await.0, 200, "{below}");
    }
    for method in ["PROPFIND", "COPY", "LOCK"] {
        let fields = [("Depth", "0"), ("Destination", "/copy")];
        let (status, ..) = world.send(&format!("{method} /team"), &world.user, &fields).await;
        assert_eq!(status, 200, "{method}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn field_naming_any_source_needs_every_route() {
    let world = World::start().await;
    for name in
        ["x-amz-copy-source", "x_amz_copy_source", "X-Goog-Copy-Source", "X-Copy-From", "X-Ms-Rename-Source"]
    {
        let fields = [(name, "/admin/secret")];
        let (status, code, _) = world.send("PUT /bucket/x", &world.user, &fields).await;
        assert_eq!((status, code.as_str()), (403, "other_resource"), "{name}");
        assert_eq!(world.send("PUT /bucket/x", &world.admin, &fields).await.0, 200, "{name}");
    }
    for (request, fields) in [
        ("BIND /coll", &[][..]),
        ("VERSION-CONTROL /coll", &[]),
        ("POST /files", &[("Upload-Concat", "final;/a /admin/b")]),
        ("COPY /x", &[("Source", "https://gateway.test/admin/x")]),
        ("POST /rest/x", &[("x-emc-path", "/admin/x")]),
        ("PUT /container", &[("X-Versions-Location", "admin")]),
    ] {
        let (status, code, _) = world.send(request, &world.user, fields).await;
        assert_eq!((status, code.as_str()), (403, "other_resource"), "{request}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn other_spellings_of_webdav_fields_are_removed() {
    let world = World::start().await;
    for name in ["HTTP_DESTINATION", "HTTP-Destination", "http.destination", "HTTP_DEPTH", "http_overwrite"] {
        let (status, _, head) = world.send("COPY /x", &world.user, &[(name, "/admin/x")]).await;
        assert_eq!(status, 200, "{name}");
        assert!(!head.expect("forwarded").contains("/admin/x"), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn other_names_of_a_stricter_path_are_refused() {
    let world = World::start().await;
    for target in ["/ADMIN~1/x", "/index.svc/admin/x", "/cgi-bin/tool/admin/x"] {
        let (status, code, _) = world.send(&format!("GET {target}"), &world.user, &[]).await;
        assert_eq!((status, code.as_str()), (403, "role_missing"), "{target}");
        assert_eq!(world.send(&format!("GET {target}"), &world.admin, &[]).await.0, 200, "{target}");
    }
    for target in ["/(S(x))/admin", "/(A(x)S(y))/admin/x", "/%28S%28x%29%29/admin"] {
        let (status, code, _) = world.send(&format!("GET {target}"), &world.user, &[]).await;
        assert_eq!((status, code.as_str()), (400, "target_ambiguous"), "{target}");
    }
    assert_eq!(world.send("GET /(S(x))/other", &world.user, &[]).await.0, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn stripped_destination_is_authorized_as_the_app_sees_it() {
    let world = World::start().await;
    for target in ["/strip/admin/secret.txt", "/strip/team/priv/x", "/strip/%61dmin/x", "/strip/x"] {
        let (status, code, _) = world.send(&format!("GET {target}"), "", &[]).await;
        assert_eq!((status, code.as_str()), (401, "token_missing"), "{target}");
    }
    let (status, code, _) = world.send("GET /strip/admin/x", &world.user, &[]).await;
    assert_eq!((status, code.as_str()), (403, "role_missing"));
    assert_eq!(world.send("GET /strip/admin/x", &world.admin, &[]).await.0, 200);
    // The app declares the response cacheable and the route is public; it must still not be shared.
    let bearer = format!("Bearer {}", world.admin);
    let fields = [("Authorization", bearer.as_str())];
    let response =
        crate::support::http::request(world.gateway.address(), "GET", "/strip/admin/x", &fields, b"").await;
    assert_eq!(response.all("cache-control"), ["private"]);
    for target in ["/strip/public/x", "/strip/optional"] {
        assert_eq!(world.send(&format!("GET {target}"), "", &[]).await.0, 200, "{target}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn refusal_of_a_second_resource_has_a_detail() {
    let world = World::start().await;
    let bearer = format!("Bearer {}", world.user);
    let fields = [("Authorization", bearer.as_str()), ("Destination", "http://evil.test/")];
    let response =
        crate::support::http::request(world.gateway.address(), "MOVE", "/team", &fields, b"").await;
    assert_refused(&response, 403, "other_resource");
    assert!(response.json()["detail"].is_string(), "{}", response.text());
}

/// Signs in over HTTP/2.
async fn login(client: &mut Http2, user: &str) -> String {
    let headers = [("content-type", "application/json"), ("origin", "https://gateway.test")];
    let body = serde_json::json!({ "username": user, "password": PASSWORD }).to_string();
    let response = client.request("POST", "/auth/login", &headers, body.as_bytes()).await;
    format!("Bearer {}", response.member("access_token"))
}

#[tokio::test(flavor = "multi_thread")]
async fn destination_over_http2_is_authorized_by_its_own_route() {
    let house = house("", "").await;
    house.gateway.user("ada", &["admin"]).await;
    house.gateway.user("eve", &["user"]).await;
    let mut client = Http2::connect(&house.trust, house.gateway.address(), "gateway.test").await;
    let (admin, user) = (login(&mut client, "ada").await, login(&mut client, "eve").await);
    for method in ["COPY", "MOVE"] {
        for destination in ["https://gateway.test/admin/x", "/admin/x", "https://GATEWAY.test:443/admin/x"] {
            let fields = [("authorization", user.as_str()), ("destination", destination)];
            let response = client.request(method, "/dav/b", &fields, b"").await;
            assert_eq!((response.status, response.code().as_str()), (403, "role_missing"), "{destination}");
            let fields = [("authorization", admin.as_str()), ("destination", destination)];
            assert_eq!(client.request(method, "/dav/b", &fields, b"").await.status, 200, "{destination}");
        }
        let twice =
            [("authorization", admin.as_str()), ("destination", "/dav/c"), ("destination", "/admin/x")];
        let response = client.request(method, "/dav/b", &twice, b"").await;
        assert_eq!((response.status, response.code().as_str()), (400, "request_invalid"));
    }
}
