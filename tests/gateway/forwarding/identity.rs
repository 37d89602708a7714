//! T01-T03: only the gateway sets identity headers.

use crate::refusals::assert_refused;
use crate::support::app::Seen;
use crate::support::http::{Client, message};
use crate::support::{Setup, TestGateway};

const NAMES: [&str; 4] = ["x-auth-roles", "x-auth-session", "x-auth-user", "x-auth-user-id"];

/// Spellings that some app reads as an identity header of the gateway.
fn spellings() -> Vec<String> {
    let mut all = Vec::new();
    for name in NAMES {
        let capitals =
            name.split('-').map(|word| word[..1].to_uppercase() + &word[1..]).collect::<Vec<_>>().join("-");
        all.extend([name.to_owned(), capitals.clone(), name.to_uppercase()]);
        for separator in ["_", ".", "~", "!"] {
            all.extend([name.replace('-', separator), capitals.replacen('-', separator, 1)]);
        }
    }
    all
}

/// Identity headers as a CGI-style app sees them after merging names, sorted.
fn identity(seen: &Seen) -> Vec<(String, String)> {
    let merged = |name: &str| name.to_lowercase().replace(|c: char| !c.is_ascii_alphanumeric(), "-");
    let fields = seen.head.lines().skip(1).filter_map(|line| line.split_once(':'));
    let mut all: Vec<_> = fields.map(|(name, value)| (merged(name), value.trim().to_owned())).collect();
    all.retain(|(name, _)| NAMES.contains(&name.as_str()));
    all.sort();
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn client_cannot_spoof_identity_headers() {
    // T01, T02: on each kind of route, with and without a credential.
    let gateway = TestGateway::start().await;
    let id = gateway.user("ada", &["user"]).await.to_string();
    let tokens = gateway.login("ada").await;
    let (good, bad) = (format!("Bearer {}", tokens.access), "Bearer garbage".to_owned());
    let ours =
        NAMES.map(str::to_owned).into_iter().zip(["user".into(), tokens.session.clone(), "ada".into(), id]);
    let ours: Vec<(String, String)> = ours.collect();
    let spoofed = spellings();
    for (path, authorization, expected) in [
        ("/public/x", None, &[][..]),
        ("/public/x", Some(&good), &[]),
        ("/optional/x", None, &[]),
        ("/optional/x", Some(&bad), &[]),
        ("/optional/x", Some(&good), &ours),
        ("/x", Some(&good), &ours),
    ] {
        let credential = authorization.map(|value| ("Authorization", value.as_str()));
        for name in &spoofed {
            let headers: Vec<_> =
                [(name.as_str(), "admin"), (name.as_str(), "")].into_iter().chain(credential).collect();
            assert_eq!(gateway.get(path, &headers).await.status, 200, "{path} {name}");
            assert_eq!(identity(&gateway.app.last()), expected, "{path} {name}");
        }
        let headers: Vec<_> =
            spoofed.iter().map(|name| (name.as_str(), "admin,root")).chain(credential).collect();
        assert_eq!(gateway.get(path, &headers).await.status, 200, "{path}");
        assert_eq!(identity(&gateway.app.last()), expected, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn connection_header_cannot_remove_identity_headers() {
    // T03: RFC 9110 section 7.6.1: a proxy removes what Connection names; identity headers are added after that.
    let gateway = TestGateway::start().await;
    gateway.user("ada", &["user"]).await;
    let bearer = format!("Bearer {}", gateway.login("ada").await.access);
    let nominated = "close, x-auth-user, X-Auth-User-Id, x-auth-roles, x-auth-session, via";
    let headers = [("Authorization", bearer.as_str()), ("Connection", nominated), ("X-Auth-User", "root")];
    assert_eq!(gateway.get("/x", &headers).await.status, 200);
    let seen = gateway.app.last();
    assert_eq!(identity(&seen).len(), 4, "{}", seen.head);
    assert_eq!(seen.header("x-auth-user").as_deref(), Some("ada"));
    assert_eq!(seen.header("via").as_deref(), Some("1.1 doorward"));
}

#[tokio::test(flavor = "multi_thread")]
async fn connection_header_naming_protected_fields_is_refused() {
    // T03: refused as a client error.
    let gateway = TestGateway::start().await;
    let many = ["x-a"; 10].join(", ");
    for nominated in [
        "host",
        "X-Forwarded-For",
        "x-forwarded-proto",
        "x-forwarded-host",
        ":authority",
        "a b",
        many.as_str(),
    ] {
        let refused = gateway.get("/public", &[("Connection", nominated)]).await;
        assert_refused(&refused, 400, "request_invalid");
    }
    assert_eq!(gateway.app.seen().len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn trailer_is_never_promoted_to_a_header() {
    // T03.
    let gateway = TestGateway::start().await;
    let mut client = Client::connect(gateway.address()).await;
    let headers = [("Transfer-Encoding", "chunked"), ("Trailer", "X-Auth-User"), ("TE", "trailers")];
    client.send(&message("POST", "/public", &headers, b"")).await;
    client.send(b"2\r\nhi\r\n0\r\nX-Auth-User: admin\r\nX-Auth-Roles: admin\r\n\r\n").await;
    assert_eq!(client.response("POST").await.expect("an answer").status, 200);
    let seen = gateway.app.last();
    assert_eq!(identity(&seen), []);
    let body = String::from_utf8_lossy(&seen.body).to_lowercase();
    assert!(!body.contains("x-auth"), "{body}");
}

#[tokio::test(flavor = "multi_thread")]
async fn custom_identity_header_names_are_guarded_too() {
    let names = "[identity_headers]\nuser = \"Remote-User\"\nroles = \"Remote-Groups\"\n";
    let gateway =
        TestGateway::with(Setup { routes: Setup::default().routes + names, ..Setup::default() }).await;
    gateway.user("ada", &["user"]).await;
    let bearer = format!("Bearer {}", gateway.login("ada").await.access);
    let spoofed = [
        ("REMOTE_USER", "root"),
        ("remote-user", "root"),
        ("Remote.Groups", "root"),
        ("X-Auth-User", "mine"),
    ];
    let headers: Vec<_> = spoofed.into_iter().chain([("Authorization", bearer.as_str())]).collect();
    assert_eq!(gateway.get("/x", &headers).await.status, 200);
    let seen = gateway.app.last();
    assert_eq!(seen.header("remote-user").as_deref(), Some("ada"));
    assert_eq!(seen.header("remote-groups").as_deref(), Some("user"));
    assert!(!seen.head.contains("root"), "{}", seen.head);
    assert_eq!(seen.header("x-auth-user"), None, "still a name that apps believe");
    assert_eq!(gateway.get("/public", &spoofed).await.status, 200);
    assert!(!gateway.app.last().head.contains("root"));
}

#[tokio::test(flavor = "multi_thread")]
async fn default_identity_names_never_reach_an_app_under_other_names() {
    // F28: an app, or another route, may still read the default names.
    let names = "[identity_headers]\nuser = \"X-Remote-User\"\n";
    let gateway =
        TestGateway::with(Setup { routes: Setup::default().routes + names, ..Setup::default() }).await;
    gateway.user("ada", &["user"]).await;
    let bearer = format!("Bearer {}", gateway.login("ada").await.access);
    let spoofed: Vec<String> = spellings()
        .into_iter()
        .chain(["HTTP_X_AUTH_USER".into(), "x_remote_user".into(), "X-Remote.User".into()])
        .collect();
    for path in ["/public/x", "/optional/x", "/x"] {
        let credential = (path != "/public/x").then_some(("Authorization", bearer.as_str()));
        let headers: Vec<_> = spoofed.iter().map(|name| (name.as_str(), "root")).chain(credential).collect();
        assert_eq!(gateway.get(path, &headers).await.status, 200, "{path}");
        let seen = gateway.app.last();
        assert!(!seen.head.contains("root"), "{path}: {}", seen.head);
        assert_eq!(seen.header("x-auth-user"), None, "{path}");
        assert_eq!(seen.header("x-remote-user"), credential.map(|_| "ada".to_owned()), "{path}");
    }
}
