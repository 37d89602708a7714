//! Sign-in at an identity provider: `oidc-provider` of npm, unmodified, in a process of its own.

mod accounts;
mod attacks;
mod backchannel;
mod commands;
mod flows;
mod forgeries;
mod link;
mod log;
mod open_redirect;
mod pages;
mod provider;
mod recheck;
mod roles;
mod sign_in;
mod sign_out;
mod stores;
mod surfer;

use serde_json::{Value, json};

use crate::support::gateway::ROUTES;
use crate::support::{Setup, TestGateway};
use provider::Provider;
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
        let provider = Provider::start().await;
        provider.put("ada", &ada()).await;
        let listen = format!("127.0.0.1:{}", provider.gateway_port());
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
        Surfer::new(&self.gateway, &self.provider)
    }

    /// A browser in which a person has signed in.
    async fn signed_in(&self, name: &str) -> Surfer {
        let mut surfer = self.surfer();
        let page = surfer.sign_in(name, "/").await;
        assert_eq!(page.status, 200, "{} {}", surfer.at, page.text());
        surfer
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
