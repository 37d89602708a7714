//! T08-T20: thousands of ambiguous targets, sent unmodified. A forwarded target is unchanged, and no known server
//! resolves it to a path that its sender may not access.

mod corpus;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::decoders::{DECODERS, matching_prefix};
use crate::line::Line;
use crate::recorder::{NAME, Recorder};
use crate::support::{Setup, TestGateway, measured};
use corpus::Case;

/// Concurrent clients.
const CLIENTS: usize = 6;

/// Hosts with their routes and access: `p` public, `s` signed in, `a` admins. One host is closed with few exceptions,
/// the other open with few exceptions.
const HOSTS: [(&str, &[(&str, char)]); 2] = [
    ("closed.test", &[("/", 's'), ("/admin", 'a'), ("/public", 'p'), ("/npm", 'p'), ("/Reports", 's')]),
    ("open.test", &[("/", 'p'), ("/admin", 'a'), ("/public", 'p'), ("/npm", 'p'), ("/Reports", 's')]),
];

fn routes() -> String {
    let mut text = String::new();
    for (host, routes) in HOSTS {
        for (at, (path, rule)) in routes.iter().enumerate() {
            let access = match rule {
                'p' => "\"public\"",
                's' => "\"signed-in\"",
                _ => "{ roles = [\"admin\"] }",
            };
            text += &format!(
                "[[routes]]\nname = \"{}-{at}\"\nhosts = [\"{host}\"]\npath = \"{path}\"\naccess = {access}\n\
                 upstream = \"recorder\"\nencoded_slashes = {}\n",
                host.replace('.', "-"),
                *path == "/npm"
            );
        }
    }
    text
}

/// Sender of a request.
#[derive(Clone, Copy, PartialEq)]
enum Sender<'a> {
    Nobody,
    User(&'a str),
}

struct World {
    gateway: TestGateway,
    app: Recorder,
    token: String,
}

impl World {
    async fn start() -> Self {
        let app = Recorder::start().await;
        let setup = Setup { routes: routes() + &app.upstream(), ..Setup::default() };
        let gateway = TestGateway::with(setup).await;
        gateway.user("ada", &["user"]).await;
        let token = gateway.login("ada").await.access;
        Self { gateway, app, token }
    }
}

fn message(case: &Case, host: &str, sender: Sender<'_>, name: &str) -> Vec<u8> {
    let mut head = Vec::new();
    head.extend_from_slice(case.method.as_bytes());
    head.push(b' ');
    head.extend_from_slice(&case.target);
    let host = case.host.unwrap_or(host);
    head.extend_from_slice(format!(" HTTP/1.1\r\nHost: {host}\r\n{NAME}: {name}\r\n").as_bytes());
    for field in &case.fields {
        head.extend_from_slice(field.as_bytes());
        head.extend_from_slice(b"\r\n");
    }
    if let Sender::User(token) = sender {
        head.extend_from_slice(format!("Authorization: Bearer {token}\r\n").as_bytes());
    }
    head.extend_from_slice(b"\r\n");
    head
}

/// Expected target at the app: the received bytes in origin form. The HTTP library escapes spaces and control
/// characters, and then also other characters invalid in URLs, before the gateway sees them; so that form counts.
fn forwarded(target: &[u8]) -> Vec<u8> {
    let lower = target.to_ascii_lowercase();
    let scheme = [&b"http://"[..], b"https://"].into_iter().find(|scheme| lower.starts_with(scheme));
    let origin = match scheme {
        Some(scheme) => {
            let rest = &target[scheme.len()..];
            rest.iter().position(|b| b"/?#".contains(b)).map_or(&b"/"[..], |at| &rest[at..])
        }
        None => target,
    };
    let origin = origin.split(|&b| b == b'#').next().filter(|origin| !origin.is_empty()).unwrap_or(b"/");
    if !target.iter().any(|&b| b <= b' ' || b == 0x7f) {
        return origin.to_vec();
    }
    let escaped = |&b: &u8| match b {
        0..=b' ' | b'"' | b'<' | b'>' | 0x7f.. => format!("%{b:02X}").into_bytes(),
        _ => vec![b],
    };
    origin.iter().flat_map(escaped).collect()
}

/// Servers that would resolve the target on that host to a path `who` may not access; one message for each.
fn violations(target: &[u8], host: &str, sender: Sender<'_>) -> Vec<String> {
    let (_, routes) = HOSTS.iter().find(|(known, _)| *known == host).expect("one of ours");
    let mut prefixes: Vec<&str> = routes.iter().map(|(path, _)| *path).collect();
    prefixes.push("/auth");
    let mut violations = Vec::new();
    for (name, decode, keeps_case) in DECODERS {
        let Some(read) = decode(target) else { continue };
        let there = matching_prefix(&read, &prefixes, keeps_case);
        let access =
            there.and_then(|there| routes.iter().find(|(path, _)| *path == there)).map(|(_, rule)| rule);
        let may = match access {
            Some('p') => true,
            Some('s') => sender != Sender::Nobody,
            Some(_) => false,
            None => there.is_none(),
        };
        if !may {
            violations.push(format!("{name} reads {} as {}", target.escape_ascii(), read.escape_ascii()));
        }
    }
    violations
}

/// Returns true if two servers resolve it differently, or one refuses what another accepts.
fn differs(target: &[u8]) -> bool {
    let readings = DECODERS.iter().map(|(_, decode, _)| decode(target));
    readings.collect::<BTreeSet<_>>().len() > 1
}

#[tokio::test(flavor = "multi_thread")]
async fn forwarded_target_never_matches_a_stricter_route() {
    let world = Arc::new(World::start().await);
    let cases = Arc::new(corpus::all());
    let counted = cases.iter().filter(|case| case.is_path()).filter(|case| differs(&forwarded(&case.target)));
    let mut classes: BTreeMap<&str, usize> = BTreeMap::new();
    for case in counted {
        *classes.entry(case.class).or_default() += 1;
    }
    for (class, count) in &classes {
        measured(format_args!("targets, {class}: {count}"));
    }
    let total: usize = classes.values().sum();
    measured(format_args!("targets that differ in some reading: {total}"));
    assert!(total >= 2_000, "only {total}");

    let mut clients = Vec::new();
    for client in 0..CLIENTS {
        let (world, cases) = (Arc::clone(&world), Arc::clone(&cases));
        clients.push(tokio::spawn(async move { send(&world, &cases, client).await }));
    }
    let mut tally = Tally::default();
    for client in clients {
        tally.add(client.await.expect("a client"));
    }
    assert!(tally.faults.is_empty(), "{}:\n{}", tally.faults.len(), tally.faults.join("\n"));
    assert_eq!(world.app.faults(), [""; 0]);
    measured(format_args!(
        "requests: {}, forwarded: {}, refused: {}; a proxy that goes by the prefix alone would have let {} through",
        tally.sent, tally.forwarded, tally.refused, tally.naive
    ));
    // The gateway does not simply refuse everything.
    assert!(tally.forwarded > 500 && tally.naive > 1_000);
    // RFC 9110 section 7.7, T15: unchanged, including the query; an absolute form loses scheme and authority. T17: the
    // method is unchanged, too.
    let records = world.app.take();
    assert_eq!(records.len(), tally.forwarded, "each was answered for itself");
    for record in records {
        let name = record.name();
        let at: usize = name.split('-').next().and_then(|at| at.parse().ok()).expect("a number");
        let sent = forwarded(&cases[at].target).escape_ascii().to_string();
        assert_eq!(record.target().escape_ascii().to_string(), sent);
        assert!(record.line().starts_with(cases[at].method.as_bytes()), "{}", cases[at].method);
    }
}

#[derive(Default)]
struct Tally {
    sent: usize,
    forwarded: usize,
    refused: usize,
    naive: usize,
    faults: Vec<String>,
}

impl Tally {
    fn add(&mut self, other: Self) {
        self.sent += other.sent;
        self.forwarded += other.forwarded;
        self.refused += other.refused;
        self.naive += other.naive;
        self.faults.extend(other.faults);
    }
}

/// One client's share of the cases, each on each host, anonymously and as a user.
async fn send(world: &World, cases: &[Case], client: usize) -> Tally {
    let mut tally = Tally::default();
    let mut line = Line::to(world.gateway.address());
    for (at, case) in cases.iter().enumerate().filter(|(at, _)| at % CLIENTS == client) {
        for (host, routes) in HOSTS {
            for sender in [Sender::Nobody, Sender::User(&world.token)] {
                // A path forbidden to a user on an open host is forbidden to anonymous clients.
                if sender != Sender::Nobody && host == "open.test" {
                    continue;
                }
                let user = if sender == Sender::Nobody { "nobody" } else { "user" };
                let name = format!("{at}-{host}-{user}");
                let bytes = message(case, host, sender, &name);
                let torn = case.target.iter().any(|&b| b <= b' ');
                let response = if torn {
                    line.ask_apart(case.method, &bytes).await
                } else {
                    line.ask(case.method, &bytes).await
                };
                tally.sent += 1;
                let shown = format!("{} {} as {user} of {host}", case.method, case.target.escape_ascii());
                let status = response.as_ref().map_or(0, |response| response.status);
                let target = forwarded(&case.target);
                let prefixes: Vec<&str> = routes.iter().map(|(path, _)| *path).collect();
                let by_prefix = matching_prefix(&target, &prefixes, true)
                    .and_then(|path| routes.iter().find(|(known, _)| *known == path));
                if by_prefix.is_some_and(|(_, rule)| *rule == 'p')
                    && !violations(&target, host, sender).is_empty()
                {
                    tally.naive += 1;
                }
                match status {
                    200 if response
                        .as_ref()
                        .is_some_and(|response| response.header("x-request-id").is_some()) =>
                    {
                        tally.forwarded += 1;
                        tally.faults.extend(
                            violations(&target, host, sender)
                                .into_iter()
                                .map(|stray| format!("{shown}: {stray}")),
                        );
                        let body = response.map(|response| response.text()).unwrap_or_default();
                        if body != name && case.method != "HEAD" {
                            tally.faults.push(format!("{shown}: answered with {body:?}"));
                        }
                    }
                    // A gateway response: a preflight or an endpoint.
                    0 if case.may_be_cut => tally.refused += 1,
                    400..=499 => tally.refused += 1,
                    other => tally.faults.push(format!("{shown}: {other}")),
                }
            }
        }
    }
    tally
}

#[tokio::test(flavor = "multi_thread")]
async fn scoped_package_paths_are_forwarded() {
    // T09: registry requests of npm.
    let world = World::start().await;
    let mut line = Line::to(world.gateway.address());
    for target in
        ["/npm/@scope%2fname", "/npm/@scope%2Fname", "/npm/@scope%2fname/-/name-1.0.0.tgz?write=true"]
    {
        for (host, _) in HOSTS {
            let bytes = format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n");
            let response = line.ask("GET", bytes.as_bytes()).await.expect("an answer");
            assert_eq!(response.status, 200, "{target}");
            assert_eq!(world.app.take().pop().expect("forwarded").target(), target.as_bytes());
            let elsewhere = bytes.replace("/npm", "/public");
            assert_eq!(
                line.ask("GET", elsewhere.as_bytes()).await.expect("an answer").status,
                400,
                "{target}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn stripped_target_never_matches_a_stricter_route() {
    let app = Recorder::start().await;
    let route = |path: &str, access: &str| {
        format!(
            "[[routes]]\nname = \"{}\"\npath = \"{path}\"\naccess = {access}\nupstream = \"recorder\"\nstrip_prefix = true\n\
             encoded_slashes = true\n",
            path[1..].replace('/', "-")
        )
    };
    let routes = route("/shop", "\"public\"") + &route("/shop/admin", "{ roles = [\"admin\"] }");
    let gateway = TestGateway::with(Setup { routes: routes + &app.upstream(), ..Setup::default() }).await;
    let mut line = Line::to(gateway.address());
    let (mut sent, mut forwarded) = (0, 0);
    let whole = |case: &Case| case.is_path() && case.target.starts_with(b"/") && case.target.is_ascii();
    for case in corpus::all().iter().filter(|case| whole(case) && !case.may_be_cut) {
        if case.target.contains(&b' ') {
            continue;
        }
        let head = format!(" HTTP/1.1\r\nHost: gateway.test\r\n{NAME}: {sent}\r\n\r\n");
        let bytes = [b"GET /shop", case.target.as_slice(), head.as_bytes()].concat();
        let status = line.ask("GET", &bytes).await.map_or(0, |response| response.status);
        sent += 1;
        assert!(matches!(status, 200 | 400..=499), "{status} {}", case.target.escape_ascii());
        let Some(record) = app.take().pop() else { continue };
        forwarded += 1;
        for (name, decode, keeps_case) in DECODERS {
            let Some(read) = decode(record.target()) else { continue };
            assert_ne!(
                matching_prefix(&read, &["/", "/admin"], keeps_case),
                Some("/admin"),
                "{name} reads {} as {}",
                record.target().escape_ascii(),
                read.escape_ascii()
            );
        }
    }
    measured(format_args!("targets below a prefix that is taken off: {sent}, forwarded: {forwarded}"));
    assert!(sent > 2_000 && forwarded > 300, "{forwarded} of {sent}");
}
