//! Route selection and access.

use serde_json::json;

use crate::refusals::assert_refused;
use crate::support::{Setup, TestGateway, http};

const FORMS: &str = r#"
[[routes]]
name = "forms"
path = "/forms"
methods = ["GET", "POST"]
access = "signed-in"
upstream = "app"
[[routes]]
name = "forms-open"
path = "/forms"
methods = ["OPTIONS"]
access = "public"
upstream = "app"
[[routes]]
name = "exactly"
path = "/forms/one"
exact = true
access = "public"
upstream = "app"
"#;

async fn with_forms() -> TestGateway {
    let gateway =
        TestGateway::with(Setup { routes: Setup::default().routes + FORMS, ..Setup::default() }).await;
    gateway.user("ada", &["user"]).await;
    gateway
}

#[tokio::test(flavor = "multi_thread")]
async fn one_of_the_route_roles_is_required() {
    let gateway = TestGateway::start().await;
    for (name, roles, status) in [
        ("ada", &["admin"][..], 200),
        ("bob", &["ops", "user"], 200),
        ("eve", &["user"], 403),
        ("kim", &[], 403),
    ] {
        gateway.user(name, roles).await;
        let tokens = gateway.login(name).await;
        for path in ["/admin", "/admin/", "/admin/x?y=/public"] {
            let response = gateway.call("GET", path, &tokens.access).await;
            assert_eq!(response.status, status, "{name} {path}");
            if status == 403 {
                assert_refused(&response, 403, "role_missing");
            }
        }
        // T20: a prefix ends at a segment boundary.
        assert_eq!(gateway.call("GET", "/administrators", &tokens.access).await.status, 200);
    }
    assert_refused(&gateway.get("/admin", &[]).await, 401, "token_missing");
}

#[tokio::test(flavor = "multi_thread")]
async fn optional_route_uses_valid_credentials_and_ignores_others() {
    let gateway = TestGateway::start().await;
    gateway.user("ada", &["user"]).await;
    let (good, ended) = (gateway.login("ada").await, gateway.login("ada").await);
    assert_eq!(gateway.post("/auth/logout", Some(&ended.access), &json!(null)).await.status, 200);
    assert_eq!(gateway.call("GET", "/optional", &good.access).await.status, 200);
    assert_eq!(gateway.app.last().header("x-auth-user").as_deref(), Some("ada"));
    for token in [&ended.access, &good.refresh, "garbage"] {
        assert_eq!(gateway.call("GET", "/optional", token).await.status, 200);
        assert_eq!(gateway.app.last().header("x-auth-user"), None, "{token}");
    }
    gateway.clock.advance(std::time::Duration::from_secs(15 * 60 + 6));
    assert_eq!(gateway.call("GET", "/optional", &good.access).await.status, 200);
    assert_eq!(gateway.app.last().header("x-auth-user"), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn method_selects_the_route_that_names_it() {
    // T17, T18.
    let gateway = with_forms().await;
    let tokens = gateway.login("ada").await;
    for method in ["GET", "HEAD", "POST"] {
        let anonymous = http::request(gateway.address(), method, "/forms", &[], b"").await;
        assert_eq!(anonymous.status, 401, "{method}");
        assert_eq!(gateway.call(method, "/forms", &tokens.access).await.status, 200, "{method}");
        assert_eq!(gateway.app.last().line(), format!("{method} /forms HTTP/1.1"));
    }
    assert_eq!(http::request(gateway.address(), "OPTIONS", "/forms", &[], b"").await.status, 200);
    let seen = gateway.app.seen().len();
    for method in ["PUT", "DELETE", "PATCH", "PROPFIND", "get", "Post", "GETX"] {
        let refused = gateway.call(method, "/forms", &tokens.access).await;
        assert_refused(&refused, 405, "method_not_allowed");
        assert_eq!(refused.all("allow"), ["GET, OPTIONS, POST"], "{method}");
    }
    assert_eq!(gateway.app.seen().len(), seen);
}

#[tokio::test(flavor = "multi_thread")]
async fn trace_and_connect_are_never_forwarded() {
    // T17.
    let gateway = with_forms().await;
    for path in ["/public", "/forms", "/", "/auth/me", "/nowhere"] {
        let refused = http::request(gateway.address(), "TRACE", path, &[("Cookie", "a=b")], b"").await;
        assert_refused(&refused, 405, "method_not_allowed");
        assert!(refused.header("allow").is_some_and(|allow| !allow.contains("TRACE")));
    }
    for target in ["gateway.test:80", "/public"] {
        let refused = http::request(gateway.address(), "CONNECT", target, &[], b"").await;
        assert!(matches!(refused.status, 400 | 405), "{target}: {}", refused.status);
    }
    assert_eq!(gateway.app.seen().len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn authorized_method_is_the_forwarded_method() {
    // T17: the app never sees the headers with which some frameworks override the method.
    let gateway = with_forms().await;
    let headers =
        [("X-HTTP-Method-Override", "DELETE"), ("X-HTTP-Method", "DELETE"), ("X_Method_Override", "DELETE")];
    assert_eq!(gateway.get("/public", &headers).await.status, 200);
    assert!(!gateway.app.last().head.contains("DELETE"), "{}", gateway.app.last().head);
}

#[tokio::test(flavor = "multi_thread")]
async fn exact_path_matches_only_itself() {
    let gateway = with_forms().await;
    assert_eq!(gateway.get("/forms/one", &[]).await.status, 200);
    assert_eq!(gateway.get("/forms/one?x=1", &[]).await.status, 200);
    for path in ["/forms/one/", "/forms/one/two", "/forms/on", "/forms/onee"] {
        assert_refused(&gateway.get(path, &[]).await, 401, "token_missing");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn trailing_slash_after_exact_path_grants_no_access() {
    // Express and others treat `/report/` as `/report`.
    let exact = |name: &str, access: &str| {
        format!(
            "[[routes]]\nname = \"{name}\"\npath = \"/{name}\"\nexact = true\naccess = {access}\nupstream = \"app\"\n"
        )
    };
    let routes = Setup::default().routes
        + &exact("report", "{ roles = [\"admin\"] }")
        + &exact("home", "\"signed-in\"")
        + &exact("status", "\"public\"");
    let gateway = TestGateway::with(Setup { routes, ..Setup::default() }).await;
    gateway.user("ada", &["admin"]).await;
    gateway.user("eve", &["user"]).await;
    let (ada, eve) = (gateway.login("ada").await.access, gateway.login("eve").await.access);
    for token in [&ada, &eve] {
        for path in ["/report/", "/report/?a=b", "/REPORT/", "/report/."] {
            assert_refused(&gateway.call("GET", path, token).await, 400, "target_ambiguous");
        }
    }
    assert_eq!(gateway.app.seen().len(), 0);
    assert_eq!(gateway.call("GET", "/report", &ada).await.status, 200);
    assert_refused(&gateway.call("GET", "/report", &eve).await, 403, "role_missing");
    // Without a gain in access it passes unchanged.
    for path in ["/home/", "/status/", "/report/x", "/report.json"] {
        assert_eq!(gateway.call("GET", path, &eve).await.status, 200, "{path}");
        assert_eq!(gateway.app.last().target(), path);
    }
    assert_refused(&gateway.get("/status/", &[]).await, 401, "token_missing");
}

#[tokio::test(flavor = "multi_thread")]
async fn host_selects_its_routes_and_unknown_hosts_have_none() {
    // T16.
    let route = |name: &str, hosts: &str| {
        format!(
            "[[routes]]\nname = \"{name}\"\npath = \"/{name}\"\nhosts = [{hosts}]\naccess = \"public\"\nupstream = \"app\"\n"
        )
    };
    let routes =
        route("one", r#""one.test""#) + &route("below", r#""*.one.test""#) + &route("v6", r#""[::1]""#);
    let gateway = TestGateway::with(Setup { routes, ..Setup::default() }).await;
    for (host, path, status) in [
        ("one.test", "/one", 200),
        ("ONE.test:8080", "/one", 200),
        ("one.test.", "/one", 200),
        ("one.test", "/below", 404),
        ("a.one.test", "/below", 200),
        ("a.b.one.test", "/below", 200),
        ("a.one.test", "/one", 404),
        ("xone.test", "/below", 404),
        (".one.test", "/below", 400),
        ("a..one.test", "/below", 400),
        ("one.test..", "/one", 400),
        ("one.test.evil", "/one", 404),
        ("gateway.test", "/one", 404),
        ("[::1]", "/v6", 200),
        ("[::1]:8080", "/v6", 200),
        ("127.0.0.1", "/one", 404),
    ] {
        let before = gateway.app.seen().len();
        let response = gateway.get(path, &[("Host", host)]).await;
        assert_eq!(response.status, status, "{host} {path}");
        assert_eq!(gateway.app.seen().len() - before, usize::from(status == 200), "{host} {path}");
        if status == 404 {
            assert_refused(&response, 404, "route_unknown");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn gateway_without_routes_serves_only_its_own_endpoints() {
    let gateway = TestGateway::with(Setup { routes: String::new(), ..Setup::default() }).await;
    gateway.user("ada", &["admin"]).await;
    let tokens = gateway.login("ada").await;
    for path in ["/", "/public", "/admin", "/healthz", "/metrics", "/livez", "/readyz"] {
        assert_refused(&gateway.call("GET", path, &tokens.access).await, 404, "route_unknown");
        // T05: no request is exempt.
        let probe = [("User-Agent", "kube-probe/1.30"), ("X-Forwarded-For", "127.0.0.1")];
        assert_refused(&gateway.get(path, &probe).await, 404, "route_unknown");
    }
    // T70: probes have a separate listener.
    assert_eq!(http::request(gateway.admin(), "GET", "/livez", &[], b"").await.status, 200);
    assert_eq!(gateway.call("GET", "/auth/me", &tokens.access).await.status, 200);
    assert_eq!(gateway.app.seen().len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_user_agent_or_probe_path_bypasses_authorization() {
    // T05.
    let gateway = TestGateway::start().await;
    for agent in ["GoogleHC/1.0", "kube-probe/1.30", "ELB-HealthChecker/2.0", "Prometheus/2.0"] {
        for path in ["/", "/healthz", "/ping", "/admin", "/readyz", "/metrics"] {
            assert_refused(&gateway.get(path, &[("User-Agent", agent)]).await, 401, "token_missing");
        }
    }
    assert_eq!(gateway.app.seen().len(), 0);
}
