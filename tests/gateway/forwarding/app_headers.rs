//! `identity` and `request_headers` of upstreams: what each app is told, and what clients cannot send to any.

use doorward::clock::Timestamp;
use doorward::identity::{Attributes, Methods, Proof, Roles};
use doorward::vault::{User, UserKey};

use crate::sessions::forged::{Forger, stolen_keys};
use crate::support::app::{Seen, TestApp};
use crate::support::http::{Client, message, request};
use crate::support::http2::Http2;
use crate::support::{Setup, TestGateway};

/// Routes to one app for each access: `/x-public/…`, `/x-optional/…` and `/x/…`.
fn routes(upstream: &str) -> String {
    let route = |path: &str, access: &str| {
        format!(
            "[[routes]]\nname = \"{path}\"\npath = \"/{path}\"\naccess = \"{access}\"\nupstream = \"{upstream}\"\n"
        )
    };
    let [public, optional] =
        ["public", "optional"].map(|access| route(&format!("{upstream}-{access}"), access));
    public + &optional + &route(upstream, "signed-in")
}

/// A gateway before the test's app and a second one, with `more` lines in the table of each upstream.
struct Scene {
    gateway: TestGateway,
    /// App of every upstream but `app`.
    other: TestApp,
}

impl Scene {
    async fn with(upstreams: &[(&str, &str)], server: &str) -> Self {
        let other = TestApp::start().await;
        let table = |(name, more): &(&str, &str)| {
            let address = other.address();
            format!("[upstreams.{name}]\nservers = [\"http://{address}\"]\n{more}\n{}", routes(name))
        };
        let text = upstreams.iter().map(table).collect::<Vec<_>>().join("\n");
        let setup =
            Setup { routes: Setup::default().routes + &text, server: server.into(), ..Setup::default() };
        Self { gateway: TestGateway::with(setup).await, other }
    }

    async fn sign_in(&self, name: &str, roles: &[&str], attributes: Attributes) -> (String, String) {
        self.gateway.user(name, roles).await;
        sign_in(&self.gateway, name, roles, attributes).await
    }

    async fn get(&self, path: &str, headers: &[(&str, &str)]) -> Seen {
        assert_eq!(self.gateway.get(path, headers).await.status, 200, "{path}");
        self.other.last()
    }
}

/// Signs in, and returns the `Authorization` and the session. The token has these attributes: the gateway's keys sign it anew.
pub(super) async fn sign_in(
    gateway: &TestGateway,
    name: &str,
    roles: &[&str],
    attributes: Attributes,
) -> (String, String) {
    let session = gateway.login(name).await.session;
    let login = name.parse().expect("a login");
    let user = gateway.vault.users.find(&UserKey::Login(login)).await.expect("a vault").expect("a user");
    let bearer = token_of(gateway, &user, &session, roles, attributes).await;
    (bearer, session)
}

/// Returns the `Authorization` of a token for a session, signed by the gateway's keys.
pub(super) async fn token_of(
    gateway: &TestGateway,
    user: &User,
    session: &str,
    roles: &[&str],
    attributes: Attributes,
) -> String {
    let mut forger = Forger::new(gateway, user.id);
    forger.subject.session_id = session.parse().expect("a session");
    forger.subject.roles = Roles::parse(roles.iter().copied()).expect("roles");
    forger.subject.login = Some(user.login.clone());
    forger.subject.rights = user.rights;
    forger.subject.attributes = attributes;
    forger.subject.proof = Proof { methods: Methods::PASSWORD, at: Timestamp::from_secs(1_700_000_000) };
    format!("Bearer {}", forger.token(&stolen_keys(gateway).await))
}

/// An address, verified, and a name beyond ASCII.
pub(super) fn ada() -> Attributes {
    Attributes::new("Ada@example.org".parse().ok(), true, "Ada Lovelace, née Byron 100%".parse().ok())
}

/// Headers beside those of every forwarded request, sorted.
fn told(seen: &Seen) -> Vec<(String, String)> {
    const USUAL: [&str; 8] = [
        "host",
        "via",
        "x-forwarded-for",
        "x-forwarded-host",
        "x-forwarded-port",
        "x-forwarded-proto",
        "x-real-ip",
        "x-request-id",
    ];
    let fields = seen.head.lines().skip(1).filter_map(|line| line.split_once(':'));
    let pair = |(name, value): (&str, &str)| (name.to_lowercase(), value.trim().to_owned());
    let mut all: Vec<_> = fields.map(pair).filter(|(name, _)| !USUAL.contains(&name.as_str())).collect();
    all.sort();
    all
}

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    let mut all: Vec<_> =
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    all.sort();
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn each_preset_tells_the_user_under_its_names() {
    let scene = Scene::with(
        &[
            ("default", "identity = \"default\""),
            ("forwarded", "identity = \"x-forwarded\""),
            ("remote", "identity = \"remote-user\""),
            ("grafana", "identity = \"grafana\""),
            ("none", "identity = \"none\""),
        ],
        "",
    )
    .await;
    let (bearer, session) = scene.sign_in("ada", &["ops", "admin"], ada()).await;
    let (bare, other_session) = scene.sign_in("bob", &[], Attributes::NONE).await;
    let id =
        scene.gateway.call("GET", "/auth/me", bearer.trim_start_matches("Bearer ")).await.member("user_id");
    let (email, name) = ("Ada@example.org", "Ada Lovelace, née Byron 100%");
    for (upstream, of_ada, of_bob) in [
        (
            "default",
            &[
                ("x-auth-user", "ada"),
                ("x-auth-user-id", id.as_str()),
                ("x-auth-roles", "admin,ops"),
                ("x-auth-session", session.as_str()),
            ][..],
            &[("x-auth-user", "bob"), ("x-auth-session", other_session.as_str())][..],
        ),
        (
            "forwarded",
            &[
                ("x-forwarded-user", "ada"),
                ("x-forwarded-preferred-username", "ada"),
                ("x-forwarded-email", email),
                ("x-forwarded-groups", "admin,ops"),
            ],
            &[("x-forwarded-user", "bob"), ("x-forwarded-preferred-username", "bob")],
        ),
        (
            "remote",
            &[
                ("remote-user", "ada"),
                ("remote-email", email),
                ("remote-name", name),
                ("remote-groups", "admin,ops"),
            ],
            &[("remote-user", "bob")],
        ),
        (
            "grafana",
            &[
                ("x-webauth-user", "ada"),
                ("x-webauth-email", email),
                ("x-webauth-name", name),
                ("x-webauth-groups", "admin,ops"),
            ],
            &[("x-webauth-user", "bob")],
        ),
        ("none", &[], &[]),
    ] {
        for path in [format!("/{upstream}/a"), format!("/{upstream}-optional/a")] {
            let seen = scene.get(&path, &[("Authorization", &bearer)]).await;
            assert_eq!(told(&seen), pairs(of_ada), "{path}");
            let seen = scene.get(&path, &[("Authorization", &bare)]).await;
            let mut told = told(&seen);
            // A user without roles, address and name: these headers are absent, not empty.
            told.retain(|(name, _)| name != "x-auth-user-id");
            assert_eq!(told, pairs(of_bob), "{path}");
        }
        let seen = scene.get(&format!("/{upstream}-optional/a"), &[]).await;
        assert_eq!(told(&seen), [], "{upstream}");
        // The credential of a public route is nobody's: it belongs to the gateway and is removed all the same.
        let seen = scene.get(&format!("/{upstream}-public/a"), &[("Authorization", &bearer)]).await;
        assert_eq!(told(&seen), [], "{upstream}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn set_combines_text_and_variables_and_absent_values_are_absent_headers() {
    let table = r#"
        identity = "none"
        [upstreams.wiki.request_headers]
        set = { "X-Who" = "${user.login} <${user.email}>", "X-All" = "${user.login}/${user.roles}/${session.id}", "X-Name" = "${user.name}", "X-Tenant" = "acme $ {x}", "X-Text" = "grüße" }
        remove = ["X-Debug", "Accept-Language"]
    "#;
    let scene = Scene::with(&[("wiki", table)], "").await;
    let (ada, session) = scene.sign_in("ada", &["ops"], ada()).await;
    let fixed = [("x-tenant", "acme $ {x}"), ("x-text", "grüße")];
    let mut told_of_ada =
        vec![("x-who", "ada <Ada@example.org>"), ("x-name", "Ada Lovelace, née Byron 100%")];
    let all = format!("ada/ops/{session}");
    told_of_ada.push(("x-all", &all));
    told_of_ada.extend(fixed);
    let seen =
        scene.get("/wiki", &[("Authorization", &ada), ("X-Debug", "1"), ("Accept-Language", "de")]).await;
    assert_eq!(told(&seen), pairs(&told_of_ada));
    // An unverified address is none: apps take it as proof.
    let unverified = Attributes::new("bob@example.org".parse().ok(), false, None);
    let (bob, session) = scene.sign_in("bob", &["ops"], unverified).await;
    let all = format!("bob/ops/{session}");
    let seen = scene.get("/wiki", &[("Authorization", &bob)]).await;
    assert_eq!(told(&seen), pairs(&[&fixed[..], &[("x-all", all.as_str())]].concat()));
    let (eve, _) = scene.sign_in("eve", &[], Attributes::NONE).await;
    let seen = scene.get("/wiki", &[("Authorization", &eve)]).await;
    assert_eq!(told(&seen), pairs(&fixed), "no roles, no header");
    assert_eq!(told(&scene.get("/wiki-public", &[]).await), pairs(&fixed), "nobody is signed in");
}

#[tokio::test(flavor = "multi_thread")]
async fn values_beyond_ascii_are_utf8_or_percent_encoded() {
    let percent = "identity = \"remote-user\"\n[upstreams.percent.request_headers]\nencoding = \"percent\"\n\
                   set = { \"X-Note\" = \"für ${user.name}\" }";
    let scene = Scene::with(&[("utf8", "identity = \"remote-user\""), ("percent", percent)], "").await;
    let (bearer, _) = scene.sign_in("ada", &[], ada()).await;
    let headers = [("Authorization", bearer.as_str())];
    let seen = scene.get("/utf8", &headers).await;
    assert_eq!(seen.header("remote-name").as_deref(), Some("Ada Lovelace, née Byron 100%"));
    let seen = scene.get("/percent", &headers).await;
    let encoded = "Ada Lovelace, n%C3%A9e Byron 100%25";
    assert_eq!(seen.header("remote-name").as_deref(), Some(encoded));
    assert_eq!(seen.header("remote-email").as_deref(), Some("Ada@example.org"));
    assert_eq!(seen.header("x-note"), Some(format!("für {encoded}")), "text stays as written");
}

/// Spellings of a name that some server reads as the name itself.
fn spellings(name: &str) -> Vec<String> {
    let mut all = vec![name.to_owned(), name.to_lowercase(), name.to_uppercase()];
    all.extend(["_", ".", "~", "!"].map(|separator| name.replace('-', separator)));
    all.push(name.replacen('-', "_", 1));
    all.push(format!("HTTP_{}", name.to_uppercase().replace('-', "_")));
    all.push(format!("http-{}", name.to_lowercase()));
    all
}

/// Names of the two upstreams of [`mixed`] with identity, and of the assertion.
const SPOOFED: [&str; 12] = [
    "Remote-User",
    "Remote-Email",
    "Remote-Name",
    "Remote-Groups",
    "X-Forwarded-User",
    "X-Forwarded-Email",
    "X-Forwarded-Preferred-Username",
    "X-Forwarded-Groups",
    "X-Who",
    "Badge",
    "X-Auth-User",
    "X-Auth-Assertion",
];

/// Two upstreams with different names beside the default one, and all three with routes of each access.
async fn mixed(server: &str) -> Scene {
    let one = "identity = \"remote-user\"\n[upstreams.one.request_headers]\nset = { \"X-Who\" = \"${user.login}\", \"X-Tenant\" = \"acme\" }\n\
               remove = [\"X-Debug\"]";
    let two = "identity = \"x-forwarded\"\n[upstreams.two.request_headers]\nset = { \"Badge\" = \"<${session.id}>\" }";
    Scene::with(&[("one", one), ("two", two)], server).await
}

const PATHS: [&str; 9] = [
    "/one-public/x",
    "/one-optional/x",
    "/one/x",
    "/two-public/x",
    "/two-optional/x",
    "/two/x",
    "/public/x",
    "/optional/x",
    "/x",
];

/// The app that got the request for `path`.
fn app_of<'s>(scene: &'s Scene, path: &str) -> &'s TestApp {
    if path.starts_with("/one") || path.starts_with("/two") { &scene.other } else { &scene.gateway.app }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_app_gets_a_name_of_another_ones_from_a_client() {
    let scene = mixed("").await;
    let (bearer, _) = scene.sign_in("ada", &["user"], ada()).await;
    let all: Vec<String> = SPOOFED.iter().flat_map(|name| spellings(name)).collect();
    for path in PATHS {
        for authorization in [None, Some(bearer.as_str())] {
            if authorization.is_none() && !path.contains("public") && !path.contains("optional") {
                continue;
            }
            let credential = authorization.map(|value| ("Authorization", value));
            // Some at a time: a request may have a hundred fields.
            for some in all.chunks(60) {
                let headers: Vec<_> =
                    some.iter().map(|name| (name.as_str(), "r00t")).chain(credential).collect();
                for method in ["GET", "POST", "PROPFIND", "REPORT", "OPTIONS"] {
                    let response = request(scene.gateway.address(), method, path, &headers, b"").await;
                    assert_eq!(response.status, 200, "{method} {path}: {}", response.text());
                    let seen = app_of(&scene, path).last();
                    assert!(seen.line().starts_with(method), "{}", seen.head);
                    assert!(!seen.head.contains("r00t"), "{method} {path}: {}", seen.head);
                }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn spoofed_names_do_not_pass_with_copies_upgrades_trailers_and_http2() {
    let scene = mixed("h2c = true").await;
    let (bearer, _) = scene.sign_in("ada", &["user"], ada()).await;
    let all: Vec<String> =
        SPOOFED.iter().flat_map(|name| [(*name).to_owned(), name.replace('-', "_")]).collect();
    let spoofed: Vec<_> = all.iter().map(|name| (name.as_str(), "r00t")).collect();
    let address = scene.gateway.address();
    let is_clean = |seen: &Seen| assert!(!seen.head.contains("r00t"), "{}", seen.head);

    for method in ["COPY", "MOVE"] {
        let own = [("Authorization", bearer.as_str()), ("Destination", "/one/y")];
        let headers = [&spoofed[..], &own].concat();
        assert_eq!(request(address, method, "/one/x", &headers, b"").await.status, 200, "{method}");
        let seen = scene.other.last();
        assert_eq!(seen.header("destination").as_deref(), Some("/one/y"));
        assert_eq!(seen.header("x-who").as_deref(), Some("ada"));
        is_clean(&seen);
    }

    let upgrade = [
        ("Connection", "Upgrade"),
        ("Upgrade", "websocket"),
        ("Sec-WebSocket-Version", "13"),
        ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ];
    for (path, more) in [("/two-public/ws", None), ("/two/ws", Some(("Authorization", bearer.as_str())))] {
        let headers: Vec<_> = spoofed.iter().chain(&upgrade).copied().chain(more).collect();
        let mut client = Client::connect(address).await;
        client.send(&message("GET", path, &headers, b"")).await;
        // The app sees only paths that begin with /ws as a WebSocket; the header is what counts here.
        let answer = client.head().await.expect("an answer");
        assert_eq!(answer.status, 200, "{path}");
        let seen = scene.other.last();
        assert_eq!(seen.header("upgrade").as_deref(), Some("websocket"));
        assert_eq!(seen.header("x-forwarded-user").as_deref(), more.map(|_| "ada"), "{path}");
        is_clean(&seen);
    }

    let mut client = Client::connect(address).await;
    let chunked = [("Transfer-Encoding", "chunked"), ("Trailer", "Remote-User"), ("TE", "trailers")];
    client.send(&message("POST", "/one-public/x", &chunked, b"")).await;
    client.send(b"2\r\nhi\r\n0\r\nRemote-User: r00t\r\nX_Who: r00t\r\nX-Auth-Assertion: r00t\r\n\r\n").await;
    assert_eq!(client.response("POST").await.expect("an answer").status, 200);
    let seen = scene.other.last();
    is_clean(&seen);
    assert!(!String::from_utf8_lossy(&seen.body).contains("r00t"));

    let stream = tokio::net::TcpStream::connect(address).await.expect("a connection");
    let mut http2 = Http2::in_clear(stream).await;
    let lower: Vec<String> = all.iter().map(|name| name.to_lowercase()).collect();
    for path in PATHS {
        let credential = (!path.contains("public")).then_some(("authorization", bearer.as_str()));
        let headers: Vec<_> = lower.iter().map(|name| (name.as_str(), "r00t")).chain(credential).collect();
        assert_eq!(http2.request("GET", path, &headers, b"").await.status, 200, "{path}");
        is_clean(&app_of(&scene, path).last());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn fixed_and_removed_names_pass_to_other_apps_only() {
    let scene = mixed("").await;
    for name in ["X-Tenant", "X-Debug"] {
        for spelling in spellings(name) {
            let headers = [(spelling.as_str(), "mine")];
            let seen = scene.get("/one-public/x", &headers).await;
            assert_eq!(told(&seen), pairs(&[("x-tenant", "acme")]), "{spelling}");
            let seen = scene.get("/two-public/x", &headers).await;
            assert_eq!(told(&seen), pairs(&[(&spelling.to_lowercase(), "mine")]), "{spelling}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn client_cannot_put_a_line_into_a_value_or_hide_a_name_in_a_long_one() {
    let scene = mixed("").await;
    let address = scene.gateway.address();
    let send = async |value: &str| {
        let mut client = Client::connect(address).await;
        let head = format!("GET /one-public/x HTTP/1.1\r\nHost: gateway.test\r\nX-A: {value}\r\n\r\n");
        client.send(head.as_bytes()).await;
        client.response("GET").await.expect("an answer").status
    };
    for value in ["a\rRemote-User: r00t", "a\0b", "a\r\n Remote-User: r00t"] {
        assert_eq!(send(value).await, 400, "{value:?}");
    }
    assert_eq!(scene.other.heads(), 0, "nothing of that is forwarded");
    // A bare LF ends a line too (RFC 9112 section 2.2): what follows is a field of its own.
    assert_eq!(send("a\nRemote-User: r00t").await, 200);
    assert!(!scene.other.last().head.contains("r00t"), "{}", scene.other.last().head);
    for long in [format!("Remote-User{}", "-".repeat(8000)), format!("{}Remote-User", "HTTP_".repeat(1500))] {
        let response = scene.gateway.get("/one-public/x", &[(long.as_str(), "r00t")]).await;
        let is_clean = |seen: &Seen| seen.header("remote-user").is_none();
        assert!(response.status >= 400 || is_clean(&scene.other.last()), "{}", response.status);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn reload_changes_what_apps_are_told_and_what_is_removed() {
    let mut scene = mixed("").await;
    let _reloads = scene.gateway.follow();
    let seen = scene.get("/two-public/x", &[("X-Badge", "mine")]).await;
    assert_eq!(told(&seen), pairs(&[("x-badge", "mine")]));
    scene
        .gateway
        .reconfigure(|text| {
            text.replace("\"Badge\" = \"<${session.id}>\"", "\"X-Badge\" = \"${user.login}\"")
        })
        .await;
    let (bearer, _) = scene.sign_in("ada", &[], Attributes::NONE).await;
    for path in ["/two-public/x", "/one-public/x"] {
        let seen = scene.get(path, &[("X-Badge", "mine"), ("x_badge", "mine")]).await;
        assert!(!seen.head.contains("mine"), "{}", seen.head);
    }
    let seen = scene.get("/two/x", &[("X-Badge", "mine"), ("Authorization", &bearer)]).await;
    assert_eq!(seen.header("x-badge").as_deref(), Some("ada"));
    assert_eq!(seen.header("badge"), None);
}
