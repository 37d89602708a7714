//! The relying party against a provider on loopback: real sockets, real signatures.

mod arbitrary;
mod discovery;
mod github;
mod id_tokens;
mod issuer;
mod logout;
mod recheck;
mod sign_in;

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use self::issuer::{Answer, Issuer, Key};
use crate::clock::{Clock, TravelClock};
use crate::config::Config;
use crate::id::{Random, SystemRandom};
use crate::metrics::Metrics;
use crate::outbound::Outbound;
use crate::provider::{
    AuthorizationRequest, Callback, Flow, FlowPurpose, FlowStart, Person, Provider, ProviderError, TokenError,
};

const CALLBACK: &str = "http://127.0.0.1:8080/auth/providers/sso/callback";

/// A provider on loopback and the relying party for it.
struct Setup {
    issuer: Issuer,
    key: Key,
    clock: Arc<TravelClock>,
    provider: Provider,
}

impl Setup {
    /// `more` are lines of the provider's table.
    async fn new(more: &str) -> Self {
        Self::with_key(Key::p256("k1"), more).await
    }

    async fn with_key(key: Key, more: &str) -> Self {
        let issuer = Issuer::start().await;
        let base = issuer.url("");
        let text = format!(
            "[[providers]]\nid = \"sso\"\nissuer = \"{base}\"\nclient_id = \"app\"\nclient_secret = \"hunter2\"\n\
             algorithms = [\"RS256\", \"ES256\", \"EdDSA\"]\nlogout = true\n{more}"
        );
        let clock = Arc::new(TravelClock::new());
        let provider = provider(&text, &clock);
        let setup = Self { issuer, key, clock, provider };
        setup.issuer.answer("/.well-known/openid-configuration", Answer::json(&setup.document()));
        setup.issuer.answer("/keys", Answer::json(&json!({ "keys": [setup.key.jwk()] })));
        setup
    }

    fn document(&self) -> Value {
        let url = |path: &str| self.issuer.url(path);
        json!({
            "issuer": url(""),
            "authorization_endpoint": url("/authorize"),
            "token_endpoint": url("/token"),
            "userinfo_endpoint": url("/userinfo"),
            "jwks_uri": url("/keys"),
            "end_session_endpoint": url("/logout?x=1"),
            "revocation_endpoint": url("/revoke"),
            "id_token_signing_alg_values_supported": ["RS256", "ES256", "EdDSA"],
            "backchannel_logout_supported": true,
        })
    }

    fn flow(&self) -> Flow {
        self.flow_with_max_age(None)
    }

    fn flow_with_max_age(&self, max_age: Option<Duration>) -> Flow {
        let settings = self.provider.settings();
        let start = FlowStart {
            provider: &settings.id,
            issuer: &settings.issuer,
            return_to: "/",
            purpose: FlowPurpose::SignIn,
            max_age,
            remember: false,
        };
        Flow::begin(&start, self.clock.wall(), &SystemRandom)
    }

    /// Claims of a good ID token with everything that the default settings look for.
    fn claims(&self, flow: &Flow) -> Value {
        let now = self.clock.wall().secs();
        json!({
            "iss": self.issuer.url(""),
            "sub": "0-Ada",
            "aud": "app",
            "exp": now + 300,
            "iat": now,
            "nonce": flow.nonce(),
            "preferred_username": "ada",
            "name": "Ada Lovelace",
            "email": "ada@example.com",
            "email_verified": true,
            "sid": "s1",
            "groups": ["platform", "ops"],
        })
    }

    /// Sets the answer of the token endpoint.
    fn token(&self, id_token: &str) {
        let body = json!({
            "access_token": "access-1",
            "token_type": "Bearer",
            "refresh_token": "refresh-1",
            "id_token": id_token,
        });
        self.issuer.answer("/token", Answer::json(&body));
    }

    async fn redeem(&self, flow: &Flow, query: &str) -> Result<Person, ProviderError> {
        let callback = Callback::parse(&format!("state={}&{query}", flow.state())).expect("a callback");
        self.provider.redeem(&callback, flow, CALLBACK).await
    }

    /// Signs in with claims that `change` has changed.
    async fn sign_in(&self, change: impl FnOnce(&mut Value)) -> Result<Person, ProviderError> {
        let flow = self.flow();
        let mut claims = self.claims(&flow);
        change(&mut claims);
        self.token(&self.key.sign(&claims));
        self.redeem(&flow, "code=c").await
    }

    async fn token_error(&self, change: impl FnOnce(&mut Value)) -> Option<TokenError> {
        match self.sign_in(change).await {
            Err(ProviderError::Token(error)) => Some(error),
            other => panic!("{other:?}"),
        }
    }
}

fn provider(text: &str, clock: &Arc<TravelClock>) -> Provider {
    let mut config = Config::parse(text, std::path::Path::new("gateway.toml"), &|_| None)
        .unwrap_or_else(|problems| panic!("{text}\n{problems}"));
    let clock = Arc::clone(clock) as Arc<dyn Clock>;
    let outbound = Outbound::new(&|_| None, Arc::clone(&clock), Arc::new(Metrics::new()));
    let random = Arc::new(SystemRandom) as Arc<dyn Random>;
    Provider::new(config.providers.remove(0), &outbound, clock, random).expect("a trust store")
}

/// Returns the parameters of a URL or form.
fn parameters(text: &str) -> std::collections::BTreeMap<String, String> {
    let query = text.split_once('?').map_or(text, |(_, query)| query);
    let decode = |text: &str| {
        let callback = Callback::parse(&format!("state={text}&code=c")).expect("form-encoded");
        callback.state().to_owned()
    };
    let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    pairs
        .map(|(name, value)| (name.to_owned(), if value.is_empty() { String::new() } else { decode(value) }))
        .collect()
}
