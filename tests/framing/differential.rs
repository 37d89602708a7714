//! All combinations of request shapes, response shapes and version pairs.

use std::sync::Arc;
use std::time::Duration;

use crate::app::App;
use crate::client::{Client, Exchange};
use crate::oracle::{judge_app, judge_client};
use crate::shapes::{HTTP2, HTTP10, HTTP11, RESPONSES, Request, Speaks};
use crate::support::measured;
use crate::world::World;

/// Timeout that only ends a hang.
const PATIENCE: Duration = Duration::from_secs(60);

struct Apps {
    world: World,
    http10: App,
    http11: App,
    h2c: App,
    tls: App,
}

const PATHS: [&str; 4] = ["/http10", "/http11", "/h2c", "/tls"];

impl Apps {
    async fn start() -> Self {
        let folder = Arc::new(tempfile::tempdir().expect("a folder"));
        let apps =
            (App::http10().await, App::http11().await, App::h2c().await, App::tls(folder.path()).await);
        let (http10, http11, h2c, tls) = apps;
        let mut text = String::new();
        for (path, server) in PATHS.iter().zip([
            format!("http://{}", http10.address),
            format!("http://{}", http11.address),
            format!("h2c://{}", h2c.address),
            format!("https://localhost:{}", tls.address.port()),
        ]) {
            let name = &path[1..];
            let trust = if name == "tls" { "ca_file = \"app.crt\"\n" } else { "" };
            text += &format!("[upstreams.{name}]\nservers = [\"{server}\"]\n{trust}");
            text += &format!("[[routes]]\nname = \"{name}\"\npath = \"{path}\"\naccess = \"public\"\n");
            text += &format!("upstream = \"{name}\"\n");
        }
        let world = World::start_in(folder, "", &text).await;
        Self { world, http10, http11, h2c, tls }
    }

    fn app(&self, path: &str) -> &App {
        match path {
            "/http10" => &self.http10,
            "/http11" => &self.http11,
            "/h2c" => &self.h2c,
            _ => &self.tls,
        }
    }

    fn all(&self) -> [&App; 4] {
        [&self.http10, &self.http11, &self.h2c, &self.tls]
    }
}

/// Version between gateway and app: over TLS that of the client, since gRPC needs it.
const fn upstream(path: &str, client: Speaks) -> Speaks {
    match path.as_bytes() {
        b"/http10" => Speaks::Http10,
        b"/http11" => Speaks::Http11,
        b"/h2c" => Speaks::Http2,
        _ if matches!(client, Speaks::Http2) => Speaks::Http2,
        _ => Speaks::Http11,
    }
}

/// Runs all combinations of one client and one app on reused connections. Returns their number and the failures.
async fn combine(apps: &Apps, mut client: Client, requests: &[Request], path: &str) -> (usize, Vec<String>) {
    let speaks = client.speaks();
    let upstream = upstream(path, speaks);
    let (mut count, mut faults) = (0, Vec::new());
    for response in RESPONSES.iter().filter(|response| response.versions.contains(&upstream)) {
        for (at, request) in requests.iter().enumerate() {
            let name = format!("{speaks:?}-{path}-{}-{at}", response.name);
            let exchange = Exchange { request, response, path, name: &name, upstream };
            count += 1;
            let got = tokio::time::timeout(PATIENCE, client.exchange(&apps.world, exchange)).await;
            let judged = match got {
                Ok(Ok(got)) => judge_client(exchange, speaks, &got),
                Ok(Err(what)) => Err(format!("client: {what}")),
                Err(_) => Err("client: no end".to_owned()),
            };
            let judged = match judged {
                Ok(()) => judge_app(exchange, speaks, &seen(apps.app(path), &name).await),
                wrong => wrong,
            };
            if let Err(what) = judged {
                let what: String = what.chars().take(1_500).collect();
                faults.push(format!("{name} ({request:?}): {what}"));
            }
        }
    }
    (count, faults)
}

/// An app may still be reading a request whose response has arrived.
async fn seen(app: &App, case: &str) -> Vec<crate::app::Seen> {
    for _ in 0..3_000 {
        let seen = app.seen(case);
        if !seen.is_empty() {
            return seen;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    Vec::new()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_message_shape_converts_between_versions_per_rfc() {
    let apps = Arc::new(Apps::start().await);
    let mut running = Vec::new();
    for path in PATHS {
        for (client, requests) in
            [(Client::Http10, HTTP10), (Client::Http11(None), HTTP11), (Client::Http2(None), HTTP2)]
        {
            let apps = Arc::clone(&apps);
            running.push(tokio::spawn(async move { combine(&apps, client, requests, path).await }));
        }
    }
    let (mut combinations, mut faults) = (0, Vec::new());
    for task in running {
        let (count, wrong) = task.await.expect("a pair of versions");
        combinations += count;
        faults.extend(wrong);
    }
    for app in apps.all() {
        faults.extend(app.faults().into_iter().map(|fault| format!("app: {fault}")));
    }
    measured(format_args!("framing: {combinations} combinations, {} disagreements", faults.len()));
    assert!(faults.is_empty(), "{} of {combinations}:\n{}", faults.len(), faults.join("\n"));
    assert!(combinations > 2_000, "{combinations}");
}
