//! `doorward check`: reports every problem of a configuration, and its warnings, in one run.

use std::io::Write;
use std::net::{IpAddr, ToSocketAddrs as _};
use std::path::Path;
use std::sync::mpsc;
use std::time::Duration;

use crate::clock::Timestamp;
use crate::config::{Config, RedisTopology, SessionsUrl, StoreHost, VaultUrl, Warning};
use crate::server;

/// Maximum time for resolving all names; an unresponsive resolver takes about as long.
const RESOLVE_TIMEOUT: Duration = Duration::from_secs(5);

/// Reads and examines the configuration at `path`.
///
/// # Errors
/// Every problem that would keep the gateway from starting.
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

/// Warns about server names that do not resolve on this machine. They may resolve where the gateway runs.
fn unresolved(config: &Config) -> Vec<Warning> {
    let (answers, answered) = mpsc::channel();
    let mut open: Vec<(String, String)> = Vec::new();
    for (key, host, port) in names(config) {
        let answers = answers.clone();
        let query = (key, host.clone());
        open.push(query.clone());
        // A lookup cannot be cancelled; one that hangs ends with the process.
        std::thread::spawn(move || {
            let resolves =
                (host.as_str(), port).to_socket_addrs().is_ok_and(|mut found| found.next().is_some());
            let _ = answers.send((query, resolves));
        });
    }
    drop(answers);
    let mut unresolved = Vec::new();
    while let Ok((query, resolves)) = answered.recv_timeout(RESOLVE_TIMEOUT) {
        open.retain(|other| *other != query);
        if !resolves {
            unresolved.push(query);
        }
    }
    unresolved.append(&mut open);
    unresolved.sort_unstable();
    let warning = |(key, host): (String, String)| Warning {
        key,
        message: format!(
            "{host:?} does not resolve on this machine: check the name, and whether it resolves where the gateway runs"
        ),
    };
    unresolved.into_iter().map(warning).collect()
}

/// Returns every server name with its key and port.
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
