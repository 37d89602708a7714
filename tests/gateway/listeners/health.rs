//! F18: load balancer health checks, in HTTP/1.0 too.

use crate::refusals::assert_refused;
use crate::support::gateway::SOON;
use crate::support::{Client, Response, Setup, TestGateway, assert_eventually};

async fn gateway(server: &str) -> TestGateway {
    TestGateway::with(Setup { server: server.to_owned(), ..Setup::default() }).await
}

async fn exchange(gateway: &TestGateway, head: &str) -> Response {
    let mut client = Client::connect(gateway.address()).await;
    client.send(head.as_bytes()).await;
    client.response(head.split(' ').next().unwrap_or_default()).await.expect("an answer")
}

#[tokio::test(flavor = "multi_thread")]
async fn http10_without_host_reaches_only_routes_for_any_host() {
    let routes = Setup::default().routes
        + "[[routes]]\nname = \"named\"\npath = \"/named\"\nhosts = [\"gateway.test\"]\naccess = \"public\"\nupstream = \"app\"\n";
    let gateway = TestGateway::with(Setup { routes, ..Setup::default() }).await;
    assert_eq!(exchange(&gateway, "GET /public HTTP/1.0\r\n\r\n").await.status, 200);
    let arrived = gateway.app.last();
    assert_eq!(arrived.all("host").len(), 1, "HTTP/1.1 needs one");
    assert_eq!(arrived.all("x-forwarded-host"), [""; 0]);
    // The route of the host is not found without it: the one for any host is.
    assert_refused(&exchange(&gateway, "GET /named HTTP/1.0\r\n\r\n").await, 401, "token_missing");
    assert_refused(&exchange(&gateway, "GET /public HTTP/1.1\r\n\r\n").await, 400, "request_invalid");
    assert_refused(&exchange(&gateway, "GET /admin HTTP/1.0\r\n\r\n").await, 401, "token_missing");
}

#[tokio::test(flavor = "multi_thread")]
async fn health_path_answers_only_load_balancers() {
    let gateway = gateway("health_path = \"/healthz\"").await;
    for head in [
        "GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
        "HEAD /healthz HTTP/1.1\r\nHost: gateway.test\r\n\r\n",
        "GET /healthz HTTP/1.0\r\n\r\n",
        "OPTIONS /healthz HTTP/1.0\r\n\r\n",
        "OPTIONS * HTTP/1.0\r\n\r\n",
        "OPTIONS * HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
    ] {
        let response = exchange(&gateway, head).await;
        assert_eq!((response.status, response.all("cache-control")), (200, vec!["no-store"]), "{head:?}");
    }
    assert_refused(
        &exchange(&gateway, "POST /healthz HTTP/1.1\r\nHost: a\r\n\r\n").await,
        401,
        "token_missing",
    );
    assert_refused(&exchange(&gateway, "GET /healthz HTTP/1.1\r\n\r\n").await, 400, "request_invalid");
    assert_eq!(gateway.app.heads(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_health_path_nothing_is_answered_without_credentials() {
    let gateway = gateway("").await;
    assert_refused(&exchange(&gateway, "GET /healthz HTTP/1.0\r\n\r\n").await, 401, "token_missing");
    assert_eq!(exchange(&gateway, "OPTIONS * HTTP/1.0\r\n\r\n").await.status, 400);
}

#[tokio::test(flavor = "multi_thread")]
async fn health_path_fails_while_the_gateway_drains() {
    let mut gateway = gateway("health_path = \"/healthz\"\nlameduck = \"60s\"").await;
    let running = gateway.running();
    let draining = tokio::spawn(running.drain());
    let head = "GET /healthz HTTP/1.0\r\n\r\n";
    assert_eventually("it fails", SOON, async || exchange(&gateway, head).await.status == 503).await;
    assert_eq!(gateway.get("/public", &[]).await.status, 200, "still served");
    draining.abort();
}
