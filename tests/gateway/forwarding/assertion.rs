//! The assertion: what an app can verify, and that it opens nothing at the gateway.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use doorward::clock::Clock;
use doorward::id::from_base64url;
use doorward::identity::{Attributes, Roles};
use doorward::vault::{UserChange, UserKey};
use serde_json::{Value, json};

use super::app_headers::{ada, sign_in};
use crate::refusals::assert_refused;
use crate::support::app::TestApp;
use crate::support::gateway::SOON;
use crate::support::{Setup, TestGateway, assert_eventually};

/// A gateway with the upstreams `app` (audience `app`) and `wiki` (its own audience), and one without an assertion, at `/bare`.
async fn gateway(tokens: &str) -> (TestGateway, TestApp) {
    let other = TestApp::start().await;
    let address = other.address();
    let more = format!(
        r#"
[upstreams.wiki]
servers = ["http://{address}"]
assertion = {{ audience = "https://wiki.test" }}
[[routes]]
name = "wiki"
path = "/wiki"
access = "signed-in"
upstream = "wiki"
[upstreams.bare]
servers = ["http://{address}"]
[[routes]]
name = "bare"
path = "/bare"
access = "signed-in"
upstream = "bare"
"#
    );
    let routes = "assertion = true\n".to_owned() + &Setup::default().routes + &more;
    // The clock jumps below by less than the lease.
    let vault = "lease = \"60s\"".to_owned();
    let sessions = "stream_lease = \"2m\"".to_owned();
    let setup = Setup { routes, vault, sessions, tokens: tokens.to_owned(), ..Setup::default() };
    (TestGateway::with(setup).await, other)
}

/// Sends a request and returns the assertion that `app` gets.
async fn assertion(gateway: &TestGateway, app: &TestApp, path: &str, bearer: &str) -> Option<String> {
    assert_eq!(gateway.get(path, &[("Authorization", bearer)]).await.status, 200, "{path}");
    app.last().header("x-auth-assertion")
}

pub(crate) fn decoded(token: &str, at: usize) -> Value {
    let segment = token.split('.').nth(at).expect("three segments");
    serde_json::from_slice(&from_base64url(segment).expect("base64url")).expect("JSON")
}

/// Path of what `.ci/setup test` installs.
pub(super) fn set_up(path: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(".venv").join(path);
    assert!(path.exists(), "no {}: run `.ci/setup test`", path.display());
    path
}

/// Libraries that apps verify with.
#[derive(Debug, Clone, Copy)]
enum Library {
    PyJwt,
    Joserfc,
    Jose,
}

const LIBRARIES: [Library; 3] = [Library::PyJwt, Library::Joserfc, Library::Jose];

/// Verifies a token with a foreign library; the error is what it prints.
async fn verify(
    library: Library,
    gateway: &TestGateway,
    audience: &str,
    token: &str,
) -> Result<Value, String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/gateway/forwarding/assertion");
    let python = |name: &str| {
        let mut command = Command::new(set_up("bin/python"));
        command.arg(folder.join("verify.py")).arg(name);
        command
    };
    let mut command = match library {
        Library::PyJwt => python("pyjwt"),
        Library::Joserfc => python("joserfc"),
        Library::Jose => {
            let mut command = Command::new("node");
            command.arg(folder.join("verify.js")).arg(set_up("node/jose"));
            command
        }
    };
    command.arg(format!("http://{}/.well-known/jwks.json", gateway.address()));
    command.args(["http://gateway.test", audience]);
    run(command, token).await
}

/// Runs a program that reads a token and prints JSON; the error is what it prints otherwise.
pub(super) async fn run(mut command: Command, token: &str) -> Result<Value, String> {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let token = token.to_owned();
    let run = tokio::task::spawn_blocking(move || {
        let mut child = command.spawn().expect("it starts");
        child.stdin.take().expect("piped").write_all(token.as_bytes()).expect("it reads");
        child.wait_with_output().expect("it ends")
    });
    let output = run.await.expect("a run");
    if output.status.success() {
        Ok(serde_json::from_slice(&output.stdout).expect("JSON"))
    } else {
        Err(String::from_utf8_lossy(&output.stderr).into_owned())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn foreign_libraries_verify_an_assertion_of_each_algorithm() {
    for algorithm in ["EdDSA", "ES256", "RS256"] {
        let (gateway, wiki) = gateway(&format!("algorithm = \"{algorithm}\"")).await;
        let id = gateway.user("ada", &["ops", "admin"]).await;
        let (bearer, session) = sign_in(&gateway, "ada", &["ops", "admin"], ada()).await;
        let token = assertion(&gateway, &wiki, "/wiki", &bearer).await.expect("an assertion");
        assert_eq!(decoded(&token, 0)["alg"], algorithm);
        for library in LIBRARIES {
            let mut claims = verify(library, &gateway, "https://wiki.test", &token).await.expect("verified");
            let claims = claims.as_object_mut().expect("an object");
            let [issued, expires] = ["iat", "exp"]
                .map(|name| claims.remove(name).and_then(|time| time.as_i64()).expect("a time"));
            assert_eq!(expires - issued, 60);
            let expected = json!({
                "iss": "http://gateway.test",
                "aud": "https://wiki.test",
                "sub": id.to_string(),
                "login": "ada",
                "email": "Ada@example.org",
                "email_verified": true,
                "name": "Ada Lovelace, née Byron 100%",
                "roles": ["admin", "ops"],
                "sid": session,
                "amr": ["pwd"],
                "acr": "urn:doorward:acr:single",
                "auth_time": 1_700_000_000,
            });
            assert_eq!(json!(claims), expected, "{library:?}");
            // For another app, or changed, or an access token, it is refused.
            let access = bearer.trim_start_matches("Bearer ");
            let (message, _) = token.rsplit_once('.').expect("a signature");
            let (_, signature) = access.rsplit_once('.').expect("a signature");
            for (audience, token) in [
                ("app", token.as_str()),
                ("https://wiki.test", &format!("{message}.{signature}")),
                ("doorward", access),
            ] {
                verify(library, &gateway, audience, token).await.expect_err("refused");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_app_gets_one_assertion_per_session_and_half_minute() {
    let (gateway, wiki) = gateway("").await;
    gateway.user("ada", &["admin"]).await;
    let (bearer, _) = sign_in(&gateway, "ada", &["admin"], Attributes::NONE).await;
    let (other_session, _) = sign_in(&gateway, "ada", &["admin"], Attributes::NONE).await;
    let for_app = assertion(&gateway, &gateway.app, "/x", &bearer).await.expect("an assertion");
    let claims = decoded(&for_app, 1);
    assert_eq!(decoded(&for_app, 0)["typ"], "doorward-assertion+jwt");
    assert_eq!((&claims["aud"], &claims["login"]), (&json!("app"), &json!("ada")));
    for absent in ["email", "email_verified", "name"] {
        assert_eq!(claims.get(absent), None, "{absent}");
    }
    let for_wiki = assertion(&gateway, &wiki, "/wiki", &bearer).await.expect("an assertion");
    assert_eq!(decoded(&for_wiki, 1)["aud"], "https://wiki.test");
    for path in ["/x", "/admin/y", "/optional/z"] {
        assert_eq!(assertion(&gateway, &gateway.app, path, &bearer).await.as_ref(), Some(&for_app), "{path}");
    }
    let of_other = assertion(&gateway, &gateway.app, "/x", &other_session).await.expect("an assertion");
    assert_ne!(decoded(&of_other, 1)["sid"], claims["sid"]);
    assert_eq!(assertion(&gateway, &wiki, "/bare", &bearer).await, None, "an app that asked for none");
    assert_eq!(
        assertion(&gateway, &gateway.app, "/public/x", &bearer).await,
        None,
        "nobody is signed in there"
    );
    assert_eq!(gateway.get("/optional/x", &[("X-Auth-Assertion", &for_app)]).await.status, 200);
    assert_eq!(gateway.app.last().header("x-auth-assertion"), None, "never a client's own");
    let spoofed = [
        ("Authorization", bearer.as_str()),
        ("x_auth_assertion", &of_other),
        ("X-Auth-Assertion", &of_other),
    ];
    assert_eq!(gateway.get("/x", &spoofed).await.status, 200);
    assert_eq!(gateway.app.last().all("x-auth-assertion"), std::slice::from_ref(&for_app));
    assert!(!gateway.app.last().head.contains(&of_other));

    gateway.clock.advance(Duration::from_secs(25));
    assert_eq!(assertion(&gateway, &gateway.app, "/x", &bearer).await.as_ref(), Some(&for_app));
    gateway.clock.advance(Duration::from_secs(6));
    let next = assertion(&gateway, &gateway.app, "/x", &bearer).await.expect("an assertion");
    let passed =
        decoded(&next, 1)["iat"].as_i64().zip(claims["iat"].as_i64()).map(|(next, first)| next - first);
    assert!(passed.is_some_and(|seconds| (30..60).contains(&seconds)), "{passed:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn changed_roles_and_attributes_are_in_the_next_assertion() {
    let (gateway, _wiki) = gateway("").await;
    let user = gateway.user("ada", &["user"]).await;
    let (bearer, session) = sign_in(&gateway, "ada", &["user"], Attributes::NONE).await;
    let first = assertion(&gateway, &gateway.app, "/x", &bearer).await.expect("an assertion");
    let roles = Roles::parse(["admin"]).expect("roles");
    gateway.vault.users.change(user, &UserChange::Roles(roles)).await.expect("a change");
    assert_eventually("the old rights are refused", SOON, async || {
        gateway.get("/x", &[("Authorization", &bearer)]).await.status != 200
    })
    .await;
    // The same session, with a token for the new rights and a name.
    let user = gateway.vault.users.find(&UserKey::Id(user)).await.expect("a vault").expect("a user");
    let named = super::app_headers::token_of(&gateway, &user, &session, &["admin"], ada()).await;
    let next = assertion(&gateway, &gateway.app, "/x", &named).await.expect("an assertion");
    let (before, after) = (decoded(&first, 1), decoded(&next, 1));
    assert_eq!(before["sid"], after["sid"]);
    assert_eq!((&before["roles"], &after["roles"]), (&json!(["user"]), &json!(["admin"])));
    assert_eq!((before.get("name"), &after["email"]), (None, &json!("Ada@example.org")));
}

#[tokio::test(flavor = "multi_thread")]
async fn assertion_says_how_and_when_the_user_signed_in() {
    let (gateway, _wiki) = gateway("").await;
    gateway.user("ada", &[]).await;
    let told = async |access: &str| {
        let bearer = format!("Bearer {access}");
        let token = assertion(&gateway, &gateway.app, "/x", &bearer).await.expect("an assertion");
        let claims = decoded(&token, 1);
        assert_eq!(claims["amr"], json!(["pwd"]));
        claims["auth_time"].as_i64().expect("seconds")
    };
    let tokens = gateway.login("ada").await;
    let signed_in_at = told(&tokens.access).await;
    let ago = gateway.clock.wall().secs() - signed_in_at;
    assert!((-1..60).contains(&ago), "{ago}");
    gateway.clock.advance(Duration::from_secs(50));
    let next = gateway.refresh(&tokens.refresh).await.json();
    let next = next["access_token"].as_str().expect("a token");
    assert_eq!(told(next).await, signed_in_at, "a refresh is no sign-in");
}

#[tokio::test(flavor = "multi_thread")]
async fn assertion_opens_nothing_at_the_gateway() {
    let (gateway, wiki) = gateway("").await;
    gateway.user("ada", &["admin"]).await;
    let (bearer, _) = sign_in(&gateway, "ada", &["admin"], ada()).await;
    let mut tokens = vec![
        assertion(&gateway, &gateway.app, "/x", &bearer).await.expect("an assertion"),
        assertion(&gateway, &wiki, "/wiki", &bearer).await.expect("an assertion"),
    ];
    // Its claims under the header of an access token, and the other way round.
    let access = bearer.trim_start_matches("Bearer ").to_owned();
    let parts = |token: &str| token.split('.').map(str::to_owned).collect::<Vec<_>>();
    let (asserted, accepted) = (parts(&tokens[0]), parts(&access));
    for pick in 1..7 {
        let part = |at: usize| if pick >> at & 1 == 1 { &asserted[at] } else { &accepted[at] };
        tokens.push(format!("{}.{}.{}", part(0), part(1), part(2)));
    }
    let seen = gateway.app.heads();
    for token in &tokens {
        let headers = [("Authorization", format!("Bearer {token}"))];
        let headers = headers.each_ref().map(|(name, value)| (*name, value.as_str()));
        for path in ["/x", "/admin", "/auth/me", "/auth/sessions"] {
            assert_refused(&gateway.get(path, &headers).await, 401, "token_invalid");
        }
        let cookie = format!("__Host-doorward-access={token}");
        assert_ne!(gateway.get("/x", &[("Cookie", &cookie)]).await.status, 200);
        let refused = gateway.refresh(token).await;
        assert!(refused.status >= 400, "{}", refused.status);
    }
    assert_eq!(gateway.app.heads(), seen, "the app got nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn reload_applies_another_audience_at_once() {
    let (mut gateway, wiki) = gateway("").await;
    let _reloads = gateway.follow();
    gateway.user("ada", &[]).await;
    let (bearer, _) = sign_in(&gateway, "ada", &[], Attributes::NONE).await;
    let first = assertion(&gateway, &wiki, "/wiki", &bearer).await.expect("an assertion");
    assert_eq!(decoded(&first, 1)["aud"], "https://wiki.test");
    gateway.reconfigure(|text| text.replace("https://wiki.test", "https://other.test")).await;
    let next = assertion(&gateway, &wiki, "/wiki", &bearer).await.expect("an assertion");
    assert_eq!(decoded(&next, 1)["aud"], "https://other.test");
    gateway.reconfigure(|text| text.replace("assertion = { audience = \"https://other.test\" }", "")).await;
    assert_eq!(assertion(&gateway, &wiki, "/wiki", &bearer).await, None);
}
