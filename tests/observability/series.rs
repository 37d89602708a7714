//! Client input adds no series.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use serde_json::json;
use tokio::task::JoinSet;

use crate::support::gateway::Tokens;
use crate::support::{Client, Setup, TestGateway};

const REQUESTS: usize = 10_000;
/// Number of concurrent connections.
const CLIENTS: usize = 16;

/// Enough requests that each kind reaches each possible outcome.
const WARM_UP: usize = 200;

const ROUTES: &str = r#"
[[routes]]
name = "app"
hosts = ["gateway.test"]
path = "/app"
access = "signed-in"
upstream = "app"
[[routes]]
name = "public"
hosts = ["*.public.test"]
path = "/"
access = "public"
upstream = "app"
"#;

/// All series: names and labels.
async fn series(gateway: &TestGateway) -> BTreeSet<String> {
    let scrape = gateway.probe("/metrics").await.text();
    let lines = scrape.lines().filter(|line| !line.starts_with('#'));
    lines.filter_map(|line| Some(line.rsplit_once(' ')?.0.to_owned())).collect()
}

/// A request with unique values: path, host, agent, address and everything else the client can choose.
async fn unique_request(client: &mut Client, at: usize, good: &str) {
    let (agent, address) = (format!("agent-{at}/1.0"), format!("2001:db8::{at:x}"));
    let (named, public) = (format!("host-{at}.test"), format!("host-{at}.public.test"));
    let unknown = format!("Bearer x{at}.y{at}.z{at}");
    let (refresh, login) = (
        json!({ "refresh_token": format!("unheard-of-{at}") }).to_string(),
        json!({ "username": format!("user-{at}"), "password": format!("long enough, but wrong {at}") })
            .to_string(),
    );
    let path = format!("/p/{at}?q={at}");
    let own = format!("/app/{at}");
    let common = [("User-Agent", agent.as_str()), ("X-Forwarded-For", address.as_str())];
    let with = |more: &[(&'static str, &str)]| -> Vec<(String, String)> {
        common.iter().chain(more).map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    };
    let json = ("Content-Type", "application/json");
    let session = format!("/auth/sessions/{at:022}");
    let (method, target, headers, body) = match at % 8 {
        0 => ("GET", path.as_str(), with(&[("Host", &named)]), ""),
        1 => ("GET", path.as_str(), with(&[("Host", &public)]), ""),
        2 => ("GET", own.as_str(), with(&[("Authorization", &unknown)]), ""),
        3 => ("GET", own.as_str(), with(&[]), ""),
        4 => ("POST", "/auth/refresh", with(&[json]), refresh.as_str()),
        5 => ("POST", "/auth/login", with(&[json]), login.as_str()),
        6 => ("DELETE", session.as_str(), with(&[("Authorization", good)]), ""),
        _ => ("GET", own.as_str(), with(&[("Authorization", good)]), ""),
    };
    let headers: Vec<(&str, &str)> =
        headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    client.request(method, target, &headers, body.as_bytes()).await;
}

async fn send(gateway: SocketAddr, numbers: std::ops::Range<usize>, tokens: &Tokens) {
    let mut clients = JoinSet::new();
    for first in 0..CLIENTS {
        let numbers = numbers.clone().skip(first).step_by(CLIENTS);
        let good = format!("Bearer {}", tokens.access);
        clients.spawn(async move {
            let mut client = Client::connect(gateway).await;
            for at in numbers {
                unique_request(&mut client, at, &good).await;
            }
        });
    }
    clients.join_all().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_unusual_requests_add_no_series() {
    let setup = Setup {
        server: "trusted_proxies = [\"127.0.0.1\"]".to_owned(),
        // Few passwords are hashed, since all attempts come from one network; only the names matter here.
        login: "attempts_per_address = 1".to_owned(),
        // A busy machine must not look like an outage.
        vault: "lease = \"30s\"".to_owned(),
        routes: ROUTES.to_owned(),
        ..Setup::default()
    };
    let gateway = TestGateway::with(setup).await;
    gateway.user("ada", &[]).await;
    let tokens = gateway.login("ada").await;
    send(gateway.address(), 0..WARM_UP, &tokens).await;
    let before = series(&gateway).await;
    assert!(before.len() > 200, "{before:?}");
    send(gateway.address(), WARM_UP..WARM_UP + REQUESTS, &tokens).await;
    let after = series(&gateway).await;
    let new: Vec<_> = after.difference(&before).collect();
    assert!(new.is_empty(), "{new:#?}");
    // The requests were counted under the right labels.
    for kind in [
        r#"doorward_requests_total{class="4xx",outcome="route_unknown",route="-"}"#,
        r#"doorward_requests_total{class="2xx",outcome="forwarded",route="public"}"#,
        r#"doorward_requests_total{class="4xx",outcome="token_invalid",route="app"}"#,
        r#"doorward_requests_total{class="4xx",outcome="refresh_invalid",route="own"}"#,
    ] {
        let counted = gateway.metric(kind).await;
        assert!(counted > (REQUESTS / 8) as f64, "{kind}: {counted}");
    }
}
