//! Sign-in at identity providers: `oidc-provider` of npm, and django-oauth-toolkit of PyPI, both unmodified.

mod accounts;
mod attacks;
mod backchannel;
mod commands;
mod django;
mod flows;
mod forgeries;
mod link;
pub(crate) mod log;
mod pages;
#[path = "../support/providers/mod.rs"]
mod providers;
mod recheck;
mod roles;
mod sign_in;
mod sign_out;
pub(crate) mod stores;
mod surfer;

use serde_json::{Value, json};

use crate::browser::ORIGIN;
use crate::support::gateway::ROUTES;
use crate::support::port::free_port;
use crate::support::{Setup, TestGateway};
use providers::Provider;
pub(crate) use surfer::Surfer;

/// Settings of a provider whose people get an account and a role.
const OPEN: &str = r#"
create_users = "always"
roles = [{ claim = "groups", value = "platform", role = "admin" }]
"#;

/// A provider with a person `ada`, and a gateway where people sign in with it.
struct World {
    provider: Provider,
    gateway: TestGateway,
}

impl World {
    /// Starts both. `more` are lines of the provider's table.
    async fn with(more: &str) -> Self {
        Self::with_login(more, "").await
    }

    /// Starts both. `login` are lines of `[login]`.
    async fn with_login(more: &str, login: &str) -> Self {
        let port = free_port();
        let provider = Provider::start(ORIGIN, port).await;
        provider.put("ada", &ada()).await;
        let listen = format!("127.0.0.1:{port}");
        let routes = format!("{ROUTES}{}", provider.table("sso", more));
        let gateway =
            TestGateway::with(Setup { listen, routes, login: login.into(), ..Setup::default() }).await;
        Self { provider, gateway }
    }

    /// Starts another gateway on the same vault. `more` as in [`World::with`].
    async fn elsewhere(&self, more: &str) -> TestGateway {
        let routes = format!("{ROUTES}{}", self.provider.table("sso", more));
        let (folder, clock) = (Some(self.gateway.folder.clone()), self.gateway.clock.clone());
        TestGateway::with(Setup { routes, folder, clock, ..Setup::default() }).await
    }

    fn surfer(&self) -> Surfer {
        Surfer::new(&self.gateway, self.provider.address())
    }

    /// A browser in which a person has signed in.
    async fn signed_in(&self, name: &str) -> Surfer {
        let mut surfer = self.surfer();
        let page = surfer.sign_in(name, "/").await;
        assert_eq!(page.status, 200, "{} {}", surfer.at, page.text());
        surfer
    }

    /// Requests for the provider's key set so far.
    async fn fetches_of_keys(&self) -> f64 {
        let text = self.gateway.probe("/metrics").await.text();
        let lines = text.lines().filter(|line| line.starts_with("doorward_outbound_requests_total{"));
        let of_keys = lines.filter(|line| line.contains("purpose=\"keys\""));
        of_keys.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
    }

    /// Advances the clocks of the gateway and the provider.
    async fn later(&self, span: std::time::Duration) {
        self.provider.advance(span).await;
        crate::browser::later(&self.gateway, span).await;
    }
}

/// Claims of `ada`.
fn ada() -> Value {
    json!({
        "preferred_username": "ada", "name": "Ada Lovelace", "email": "ada@example.com", "email_verified": true,
        "groups": ["platform", "staff"],
    })
}

/// Claims of `ada`, with some changed.
fn ada_with(changes: &Value) -> Value {
    let mut claims = ada();
    for (name, value) in changes.as_object().expect("an object") {
        claims[name] = value.clone();
    }
    claims
}
