//! `/admin/status`: one look at everything, for the person on call. No user, no token, no address of a client.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::AdminApp;
use crate::clock::{Monotonic, Timestamp};
use crate::metrics::{Breaker, Label as _, Pool, Stream};
use crate::snapshot::{Snapshot, upstreams};

/// What does not change while a process runs.
#[derive(Debug, Clone, Copy)]
pub struct Fixed {
    /// `sqlite` or `postgres`.
    pub vault: &'static str,
    /// `memory` or `redis`.
    pub sessions: &'static str,
}

/// Where a number is not known, metrics say -1.
fn known(number: i64) -> Option<i64> {
    (number >= 0).then_some(number)
}

fn seconds(span: Duration) -> f64 {
    // Milliseconds are as much as anybody reads.
    (span.as_secs_f64() * 1000.0).round() / 1000.0
}

impl AdminApp {
    /// Everything, as docs/operations.md lists it.
    pub(super) async fn status(&self) -> Value {
        let (snapshot, state) = (self.current.load(), self.current.state());
        let ready = self.readiness.state(&self.auth, &self.current).await;
        self.auth.observe();
        let (metrics, auth) = (self.auth.metrics(), self.auth.status());
        let (vault, store, requests) = (&metrics.vault, &metrics.session_store, &metrics.requests);
        json!({
            "version": env!("CARGO_PKG_VERSION"),
            "revision": option_env!("DOORWARD_REVISION").unwrap_or("unknown"),
            "pid": std::process::id(),
            "started_at": time(Timestamp::from_millis((metrics.process.started.get() * 1000.0) as i64)),
            "ready": ready.is_ok(),
            "why": ready.err(),
            "configuration": {
                "generation": state.generation,
                "loaded_at": time(state.loaded_at),
                "hash": format!("{:012x}", state.hash),
                "rejected": state.rejected,
                "restart_needed": state.restart_needed,
            },
            "vault": {
                "kind": self.fixed.vault,
                "answers": auth.vault_answers,
                "lease_held": auth.lease_held,
                "lease_seconds": seconds(auth.lease),
                "proven_seconds_ago": auth.proven_ago.map(seconds),
                "connections": {
                    "in_use": vault.pool.of(Pool::InUse).get(),
                    "idle": vault.pool.of(Pool::Idle).get(),
                    "max": vault.pool_max.get(),
                    "waiting": vault.pool_waiting.get(),
                },
            },
            "session_store": {
                "kind": self.fixed.sessions,
                "up": store.up.get() == 1,
                "shared": auth.shared_sessions,
                "given_up": Breaker::ALL
                    .iter()
                    .map(|cause| (cause.as_str().to_owned(), json!(store.breaker.of(*cause).get())))
                    .collect::<serde_json::Map<_, _>>(),
                "tombstones_waiting": store.tombstones_waiting.get(),
                "memory_bytes": known(store.memory.get()),
                "memory_max_bytes": known(store.memory_max.get()).filter(|most| *most > 0),
            },
            "revocations": metrics.revocation.set.get(),
            "upstreams": upstreams(&snapshot, self.clock.monotonic()),
            "traffic": {
                "connections": requests.connections.get(),
                "requests_in_flight": requests.in_flight.get(),
                "streams": Stream::ALL
                    .iter()
                    .map(|kind| (kind.as_str().to_owned(), json!(requests.streams.of(*kind).get())))
                    .collect::<serde_json::Map<_, _>>(),
                "sessions": auth.sessions,
                "verified_tokens": metrics.tokens.cache_entries.get(),
                "logins_waiting": metrics.tokens.hash_queue.get(),
            },
            "keys_loaded": auth.keys_loaded,
            "signing_keys": auth.keys.iter().map(|key| json!({
                "kid": key.kid,
                "algorithm": key.algorithm,
                "stage": key.stage,
                "signs_from": time(key.signs_from),
                "verifies_until": key.verifies_until.map(time),
            })).collect::<Vec<_>>(),
            "certificates": certificates(&snapshot, self.clock.wall()),
        })
    }
}

fn time(at: Timestamp) -> String {
    at.to_string()
}

fn certificates(snapshot: &Snapshot, now: Timestamp) -> Vec<Value> {
    let shown = snapshot.tls.iter().flat_map(|tls| tls.certificates());
    shown
        .map(|shown| {
            json!({
                "hosts": shown.hosts,
                "begins": time(shown.certificate.begins()),
                "ends": time(shown.certificate.ends()),
                // Below zero when it has ended.
                "ends_in_seconds": shown.certificate.ends().secs() - now.secs(),
            })
        })
        .collect()
}

fn upstreams(snapshot: &Snapshot, now: Monotonic) -> Vec<Value> {
    let group = |group: &&Arc<upstreams::Group>| {
        let found = group.candidates();
        let is_found =
            |server: &&Arc<upstreams::Server>| found.iter().any(|at| Arc::ptr_eq(&at.server, *server));
        let unresolved = group.servers().iter().filter(|server| !is_found(server));
        json!({
            "name": group.name(),
            "all_fail": group.is_panic(),
            "unresolved": unresolved.map(|server| server.name()).collect::<Vec<_>>(),
            "addresses": found.iter().map(|at| address(at, now)).collect::<Vec<_>>(),
        })
    };
    snapshot.upstreams.all().iter().map(group).collect()
}

fn address(candidate: &upstreams::Candidate, now: Monotonic) -> Value {
    let standing = candidate.health_status();
    json!({
        "server": candidate.server.name(),
        "address": candidate.address.to_string(),
        "in_turn": standing.is_healthy(),
        "ejected": standing.ejected.map(|(cause, until)| json!({
            "cause": cause.as_str(),
            "tried_again_in_seconds": seconds(until.since(now)),
        })),
        "checks_fail": standing.is_check_failed,
        "last_check": standing.last_check.map(|check| json!({
            "seconds_ago": seconds(now.since(check.at)),
            "took_seconds": seconds(check.took),
            "failure": check.failure,
        })),
    })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::Config;

    #[test]
    fn a_server_whose_name_has_no_address_is_named() {
        let text = "[upstreams.app]\nservers = [\"http://127.0.0.1:1\", \"http://app.invalid:81\"]\n";
        let config = Config::parse(text, Path::new("gateway.toml"), &|_| None).expect("a good one");
        let snapshot = Snapshot::new(&config, None).expect("compiled");
        let told = upstreams(&snapshot, Monotonic::from_millis(0));
        assert_eq!(told[0]["unresolved"], json!(["http://app.invalid:81"]));
        assert_eq!(told[0]["addresses"].as_array().map(Vec::len), Some(1));
    }
}
