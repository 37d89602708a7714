//! `doorward check`: everything that is wrong with a configuration, and everything that is worth a look, in one run.

use std::io::Write;
use std::net::{IpAddr, ToSocketAddrs as _};
use std::path::Path;
use std::sync::mpsc;
use std::time::Duration;

use crate::clock::Timestamp;
use crate::config::{Config, RedisTopology, SessionsUrl, StoreHost, VaultUrl, Warning};
use crate::server;

/// How long names may take to be resolved, all together: a resolver that does not answer takes about as long.
const PATIENCE: Duration = Duration::from_secs(5);

/// Reads and examines the configuration at `path`.
///
/// # Errors
/// All that would keep the gateway from starting.
pub(super) fn run(path: &Path, now: Timestamp, out: &mut dyn Write) -> anyhow::Result<()> {
    let config = super::load(path)?;
    let problems = server::examine(&config);
    if problems.is_empty() {
        writeln!(out, "{} is good: {}", path.display(), super::summary(&config))?;
    }
    for warning in config.warnings(now).into_iter().chain(unresolved(&config)) {
        writeln!(out, "warning: {}: {}", warning.key, warning.message)?;
    }
    let problems: Vec<String> = problems.iter().map(ToString::to_string).collect();
    if problems.is_empty() { Ok(()) } else { anyhow::bail!("{}", problems.join("\n")) }
}

/// Names of servers that this machine does not resolve. Where the gateway runs they may.
fn unresolved(config: &Config) -> Vec<Warning> {
    let (answers, answered) = mpsc::channel();
    let mut open: Vec<(String, String)> = Vec::new();
    for (key, host, port) in names(config) {
        let answers = answers.clone();
        let asked = (key, host.clone());
        open.push(asked.clone());
        // A lookup cannot be called off: one that does not end ends with the process.
        std::thread::spawn(move || {
            let resolves =
                (host.as_str(), port).to_socket_addrs().is_ok_and(|mut found| found.next().is_some());
            let _ = answers.send((asked, resolves));
        });
    }
    drop(answers);
    let mut unresolved = Vec::new();
    while let Ok((asked, resolves)) = answered.recv_timeout(PATIENCE) {
        open.retain(|other| *other != asked);
        if !resolves {
            unresolved.push(asked);
        }
    }
    unresolved.append(&mut open);
    unresolved.sort_unstable();
    let warning = |(key, host): (String, String)| Warning {
        key,
        message: format!(
            "{host:?} does not resolve on this machine: is the name right, and will it resolve where the gateway runs?"
        ),
    };
    unresolved.into_iter().map(warning).collect()
}

/// Every name of a server, with its key and port.
fn names(config: &Config) -> Vec<(String, String, u16)> {
    let mut all = Vec::new();
    for upstream in &config.upstreams {
        for (at, server) in upstream.servers.iter().enumerate() {
            all.push((
                format!("upstreams.{}.servers[{at}]", upstream.name),
                server.host.clone(),
                server.port,
            ));
        }
    }
    let mut stores = |key: &str, hosts: &[StoreHost]| {
        all.extend(hosts.iter().map(|host| (key.to_owned(), host.name.clone(), host.port)));
    };
    if let VaultUrl::Postgres(url) = &config.vault.url {
        stores("vault.url", &url.hosts);
    }
    if let SessionsUrl::Redis(url) = &config.sessions.url {
        match &url.topology {
            RedisTopology::Single(host) => stores("sessions.url", std::slice::from_ref(host)),
            RedisTopology::Sentinel { hosts, .. } | RedisTopology::Cluster(hosts) => {
                stores("sessions.url", hosts);
            }
        }
    }
    let is_name = |host: &str| !host.starts_with(['/', '[']) && host.parse::<IpAddr>().is_err();
    all.retain(|(_, host, _)| is_name(host));
    all.sort_unstable();
    all.dedup();
    all
}
