//! T01-T07, T16: hundreds of forged headers. The app sees the true value or none.

mod cookies;
mod corpus;
mod wsgi;

use std::collections::BTreeMap;

use crate::line::Line;
use crate::recorder::{NAME, Record, Recorder};
use crate::support::gateway::Tokens;
use crate::support::{Setup, TestGateway, measured};
use corpus::{Case, Expect};

/// Names of the identity headers, as merged.
pub(crate) const IDENTITY: [&str; 4] = ["x_auth_roles", "x_auth_session", "x_auth_user", "x_auth_user_id"];

/// CGI naming: case-insensitive, and every character but letters and digits is `_`.
pub(crate) fn merged(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' }).collect()
}

pub(crate) struct World {
    pub(crate) gateway: TestGateway,
    pub(crate) app: Recorder,
    pub(crate) tokens: Tokens,
    pub(crate) user: String,
}

impl World {
    pub(crate) async fn start(server: &str) -> Self {
        let app = Recorder::start().await;
        let routes = Setup::default().routes.replace("upstream = \"app\"", "upstream = \"recorder\"");
        let setup = Setup { server: server.to_owned(), routes: routes + &app.upstream(), ..Setup::default() };
        let gateway = TestGateway::with(setup).await;
        let user = gateway.user("ada", &["user"]).await.to_string();
        let tokens = gateway.login("ada").await;
        Self { gateway, app, tokens, user }
    }

    /// The true identity, sorted like [`IDENTITY`].
    pub(crate) fn truth(&self) -> Vec<(String, String)> {
        let values = ["user", self.tokens.session.as_str(), "ada", self.user.as_str()];
        IDENTITY.into_iter().zip(values).map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
    }
}

/// Identity headers as an app sees them after merging names, sorted.
fn identity(record: &Record) -> Vec<(String, String)> {
    let mut all: Vec<_> = record.fields().into_iter().map(|(name, value)| (merged(&name), value)).collect();
    all.retain(|(name, _)| IDENTITY.contains(&name.as_str()));
    all.sort();
    all
}

fn message(case: &Case, path: &str, credential: Option<&str>, name: &str) -> Vec<u8> {
    let method = if case.body.is_empty() { "GET" } else { "POST" };
    let mut head = format!("{method} {path} HTTP/1.1\r\n{NAME}: {name}\r\n").into_bytes();
    if !case.brings_host {
        head.extend_from_slice(b"Host: gateway.test\r\n");
    }
    if let Some(token) = credential {
        head.extend_from_slice(format!("Authorization: Bearer {token}\r\n").as_bytes());
    }
    for field in &case.fields {
        head.extend_from_slice(field);
        head.extend_from_slice(b"\r\n");
    }
    head.extend_from_slice(b"\r\n");
    head.extend_from_slice(&case.body);
    head
}

/// Sends every case to a public, an optional and a signed-in path; `check` examines the request that the app received.
async fn send(
    world: &World,
    cases: &[Case],
    check: impl Fn(&Case, &Record),
) -> BTreeMap<&'static str, usize> {
    let mut line = Line::to(world.gateway.address());
    let mut classes: BTreeMap<&str, usize> = BTreeMap::new();
    for (at, case) in cases.iter().enumerate() {
        *classes.entry(case.class).or_default() += 1;
        let token = world.tokens.access.as_str();
        for (path, credential) in
            [("/public/x", None), ("/public/x", Some(token)), ("/optional/x", None), ("/x", Some(token))]
        {
            let name = format!("{at}-{}", path.len());
            let method = if case.body.is_empty() { "GET" } else { "POST" };
            let response = line.ask_apart(method, &message(case, path, credential, &name)).await;
            let status = response.as_ref().map_or(0, |response| response.status);
            let records = world.app.take();
            let shown = format!(
                "{path}: {:?}",
                case.fields.iter().map(|f| f.escape_ascii().to_string()).collect::<Vec<_>>()
            );
            match case.expect {
                Expect::Forwarded => assert_eq!(status, 200, "{shown}"),
                Expect::Refused => assert!((400..500).contains(&status), "{shown}: {status}"),
                Expect::Either => assert!(status == 200 || (400..500).contains(&status), "{shown}: {status}"),
            }
            assert_eq!(records.len(), usize::from(status == 200), "{shown}");
            let Some(record) = records.first() else { continue };
            let known = credential.is_some() && !path.starts_with("/public");
            let truth = if known { world.truth() } else { Vec::new() };
            assert_eq!(identity(record), truth, "{shown}");
            check(case, record);
        }
    }
    assert_eq!(world.app.faults(), [""; 0]);
    classes
}

fn one(record: &Record, name: &str) -> String {
    let same = |(known, value): (String, String)| (merged(&known) == merged(name)).then_some(value);
    let all: Vec<String> = record.fields().into_iter().filter_map(same).collect();
    assert_eq!(all.len(), 1, "{name}: {}", record.head.escape_ascii());
    all.into_iter().next().expect("one")
}

/// Asserts the values that no client can change.
fn assert_untouched(case: &Case, record: &Record) {
    let head = record.head.escape_ascii().to_string();
    assert!(!head.to_lowercase().contains("evil"), "{head}");
    assert_eq!(one(record, "x-forwarded-for"), "127.0.0.1");
    assert_eq!(one(record, "x-real-ip"), "127.0.0.1");
    assert_eq!(one(record, "x-forwarded-proto"), "http");
    let host = one(record, "host");
    assert_eq!(one(record, "x-forwarded-host"), host);
    assert!(case.brings_host || host == "gateway.test");
    assert!(one(record, "x-request-id").len() == 32);
    assert_eq!(record.all("authorization"), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn client_headers_never_forge_identity_or_origin() {
    let world = World::start("").await;
    let cases = corpus::all();
    let classes = send(&world, &cases, assert_untouched).await;
    for (class, count) in &classes {
        measured(format_args!("headers, {class}: {count}"));
    }
    measured(format_args!("variants of headers: {}", cases.len()));
    assert!(cases.len() >= 250);
}

#[tokio::test(flavor = "multi_thread")]
async fn trusted_proxy_may_set_only_the_origin_headers() {
    // T04, B5: the proxy's own headers, if valid; forged ones that a client sends through it have no effect.
    let world = World::start(r#"trusted_proxies = ["127.0.0.1"]"#).await;
    let cases = corpus::all();
    let about =
        ["X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "X-Forwarded-Port", "X-Request-Id"]
            .map(str::to_ascii_lowercase);
    let cases: Vec<Case> = cases
        .into_iter()
        .filter(|case| {
            !case.fields.iter().any(|field| {
                let name = String::from_utf8_lossy(field).to_ascii_lowercase();
                about.iter().any(|known| name.trim_start().starts_with(&format!("{known}:")))
            })
        })
        .collect();
    measured(format_args!("variants of headers from a trusted proxy: {}", cases.len()));
    send(&world, &cases, assert_untouched).await;
    // The proxy's header and the value the app sees. Any other value has no effect.
    for (field, value, seen) in [
        ("X-Forwarded-For", "198.51.100.7", "198.51.100.7, 127.0.0.1"),
        ("X-Forwarded-For", "6.6.6.6, 198.51.100.7", "198.51.100.7, 127.0.0.1"),
        ("X-Forwarded-For", "evil, 198.51.100.7:443, ", "198.51.100.7, 127.0.0.1"),
        ("X-Forwarded-For", "198.51.100.7, unknown", "127.0.0.1"),
        ("X-Forwarded-Proto", "https", "https"),
        ("X-Forwarded-Proto", "http", "http"),
        ("X-Forwarded-Proto", "https, http", "https"),
        ("X-Forwarded-Proto", "HTTPS", "https"),
        ("X-Forwarded-Proto", "wss", "https"),
        ("X-Forwarded-Proto", "ws", "http"),
        ("X-Forwarded-Proto", "", "http"),
        ("X-Forwarded-Proto", "javascript", "http"),
        ("X-Forwarded-Host", "shop.example", "shop.example"),
        ("X-Forwarded-Host", "Shop.example:8443", "Shop.example:8443"),
        ("X-Forwarded-Host", "[::1]:8443", "[::1]:8443"),
        ("X-Forwarded-Host", "shop.example, inner.example", "shop.example"),
        ("X-Forwarded-Host", "shop.example,inner.example", "shop.example"),
        ("X-Forwarded-Port", "8443", "8443"),
        ("X-Forwarded-Port", "443, 80", "443"),
        ("X-Forwarded-Port", "evil", "80"),
        ("X-Forwarded-Host", "", "gateway.test"),
        ("X-Forwarded-Host", "a@evil.example", "gateway.test"),
        ("X-Forwarded-Host", "evil.example/path", "gateway.test"),
        ("X-Forwarded-Host", "evil.example?x", "gateway.test"),
        ("X-Forwarded-Host", "evil.example:x", "gateway.test"),
        ("X-Forwarded-Host", "evil example", "gateway.test"),
        ("X-Forwarded-Host", "\"evil.example\"", "gateway.test"),
        ("X-Forwarded-Host", "evil.example\\x", "gateway.test"),
        ("X-Forwarded-Host", "<script>", "gateway.test"),
    ] {
        assert_eq!(world.gateway.get("/public", &[(field, value)]).await.status, 200, "{field}: {value}");
        let record = world.app.take().pop().expect("forwarded");
        assert_eq!(one(&record, field), seen, "{field}: {value}");
    }
}
