//! `/admin/status`: overview of the gateway's state, for the operator on call. It has no users, tokens or client addresses.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::AdminApp;
use crate::clock::{Monotonic, Timestamp};
use crate::metrics::{Breaker, Label as _, MailResult, Pool, Stream, ThrottleScope};
use crate::snapshot::{Snapshot, upstreams};

/// Store kinds, which do not change while the process runs.
#[derive(Debug, Clone, Copy)]
pub struct Fixed {
    /// `sqlite` or `postgres`.
    pub vault: &'static str,
    /// `memory` or `redis`.
    pub sessions: &'static str,
}

/// Returns a metric's value; `None` if it is unknown, which metrics report as -1.
fn measured(number: i64) -> Option<i64> {
    (number >= 0).then_some(number)
}

fn seconds(span: Duration) -> f64 {
    // Rounded to milliseconds.
    (span.as_secs_f64() * 1000.0).round() / 1000.0
}

impl AdminApp {
    /// Returns the status document that docs/operations.md describes.
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
                "memory_bytes": measured(store.memory.get()),
                "memory_max_bytes": measured(store.memory_max.get()).filter(|max| *max > 0),
            },
            "mail": snapshot.settings.mail.is_some().then(|| json!({
                "waiting": metrics.mails.waiting.get(),
                "oldest_seconds": metrics.mails.oldest.get(),
                "sent": metrics.mails.attempts.of(MailResult::Sent).get(),
                "failed": metrics.mails.attempts.of(MailResult::Failed).get(),
                "given_up": metrics.mails.attempts.of(MailResult::GivenUp).get(),
            })),
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
            "throttle": {
                "refused": ThrottleScope::ALL
                    .iter()
                    .map(|scope| (scope.as_str().to_owned(), json!(metrics.tokens.throttled.of(*scope).get())))
                    .collect::<serde_json::Map<_, _>>(),
                "counted_alone": metrics.tokens.throttled_alone.get(),
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
    let presented = snapshot.tls.iter().flat_map(|tls| tls.certificates());
    presented
        .map(|presented| {
            json!({
                "hosts": presented.hosts,
                "begins": time(presented.certificate.begins()),
                "ends": time(presented.certificate.ends()),
                // Negative after its end.
                "ends_in_seconds": presented.certificate.ends().secs() - now.secs(),
            })
        })
        .collect()
}

fn upstreams(snapshot: &Snapshot, now: Monotonic) -> Vec<Value> {
    let group = |group: &&Arc<upstreams::Group>| {
        let candidates = group.candidates();
        let is_resolved = |server: &&Arc<upstreams::Server>| {
            candidates.iter().any(|candidate| Arc::ptr_eq(&candidate.server, *server))
        };
        let unresolved = group.servers().iter().filter(|server| !is_resolved(server));
        json!({
            "name": group.name(),
            "all_fail": group.is_panic(),
            "unresolved": unresolved.map(|server| server.name()).collect::<Vec<_>>(),
            "addresses": candidates.iter().map(|candidate| address(candidate, now)).collect::<Vec<_>>(),
        })
    };
    snapshot.upstreams.all().iter().map(group).collect()
}

fn address(candidate: &upstreams::Candidate, now: Monotonic) -> Value {
    let health = candidate.health_status();
    json!({
        "server": candidate.server.name(),
        "address": candidate.address.to_string(),
        "in_turn": health.is_healthy(),
        "ejected": health.ejected.map(|(cause, until)| json!({
            "cause": cause.as_str(),
            "tried_again_in_seconds": seconds(until.since(now)),
        })),
        "checks_fail": health.is_check_failed,
        "last_check": health.last_check.map(|check| json!({
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
    use crate::clock::SystemClock;
    use crate::config::Config;
    use crate::id::SystemRandom;
    use crate::metrics::Metrics;
    use crate::snapshot::ProviderParts;

    #[test]
    fn server_without_address_is_listed_as_unresolved() {
        let text = "[upstreams.app]\nservers = [\"http://127.0.0.1:1\", \"http://app.invalid:81\"]\n";
        let config = Config::parse(text, Path::new("gateway.toml"), &|_| None).expect("valid");
        let parts = ProviderParts::new(
            &|_| None,
            Arc::new(SystemClock::new()),
            Arc::new(SystemRandom),
            Arc::new(Metrics::new()),
        );
        let snapshot = Snapshot::new(&config, &parts, None).expect("compiled");
        let status = upstreams(&snapshot, Monotonic::from_millis(0));
        assert_eq!(status[0]["unresolved"], json!(["http://app.invalid:81"]));
        assert_eq!(status[0]["addresses"].as_array().map(Vec::len), Some(1));
    }
}
