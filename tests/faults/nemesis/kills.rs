//! SIGKILL at exact points: a revocation has been committed, and its gateway dies before it does anything more.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;
use tokio_postgres::Client;

use super::{Fault, Plan};
use crate::client::Request;
use crate::fleet::{Fleet, GATEWAYS};
use crate::history::{Entry, Op, Scope};
use crate::link::Direction;
use crate::wait::PATIENCE;
use crate::workers::{Desk, Session, Workers};

/// User of the session that is ended, with the password that nobody changes.
const USER: &str = "ada";

/// Times that each other gateway is asked afterwards, with a pause each time: beyond every bound.
const VISITS: usize = 20;
const PAUSE: Duration = Duration::from_millis(100);

pub(super) async fn begin(plan: &Plan, fleet: &Arc<Fleet>) {
    let desk = Arc::new(Workers::surveyor(fleet));
    let Some(session) = desk.log_in_with(plan.other, USER, 0).await else { return kill(plan, fleet).await };
    for gateway in 0..GATEWAYS {
        desk.call(gateway, &session).await;
    }
    // Held back just before its commit.
    let row = Row::of(fleet, &session).await;
    row.client
        .batch_execute(&format!("BEGIN; SELECT 1 FROM sessions WHERE {} FOR UPDATE", row.is_it))
        .await
        .expect("a lock");
    let (start, scope) = (fleet.recorder.now(), Scope::Session(session.id.clone()));
    let (by, mine, gateway) = (Arc::clone(&desk), session.clone(), plan.gateway);
    let asking = tokio::spawn(async move {
        let request = Request::post("/auth/logout", Some(&mine.access), Value::Null);
        by.end(gateway, &mine, request, Scope::Session(mine.id.clone())).await
    });
    row.until_waited_for().await;
    let own = &fleet.replicas[plan.gateway];
    match plan.fault {
        // Its writes to Redis do not arrive.
        Fault::KilledBeforeRedis => own.redis.all.iter().for_each(|link| link.mute(Direction::ToStore)),
        // Postgres commits, and the gateway is not told.
        Fault::KilledBeforeAnswer => own.vault.iter().for_each(|link| link.mute(Direction::ToGateway)),
        other => unreachable!("{other:?} kills at no exact point"),
    }
    row.until_committed().await;
    // A commit holds, acknowledged or not.
    fleet.recorder.record(Entry {
        start,
        end: fleet.recorder.now(),
        gateway: None,
        user: USER.to_owned(),
        session: session.id.clone(),
        op: Op::End { scope, complete: false, how: "seen in the vault".to_owned() },
        status: 200,
        code: String::new(),
        retry_after: false,
        seen: None,
    });
    kill(plan, fleet).await;
    asking.await.expect("no panic");
    visit(plan, &desk, &session).await;
}

async fn kill(plan: &Plan, fleet: &Fleet) {
    fleet.replicas[plan.gateway].gateway.kill().await;
}

/// Presents the ended session to the gateways that are left.
async fn visit(plan: &Plan, desk: &Desk, session: &Session) {
    for _ in 0..VISITS {
        for gateway in (0..GATEWAYS).filter(|gateway| *gateway != plan.gateway) {
            desk.call(gateway, session).await;
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Row of a session, which others wait for.
struct Row {
    /// Holds its lock.
    client: Client,
    /// Looks from outside.
    outside: Client,
    /// Condition for it.
    is_it: String,
}

impl Row {
    async fn of(fleet: &Fleet, session: &Session) -> Self {
        let (primary, database) = (fleet.postgres.primary(), &fleet.postgres.database);
        let bytes = URL_SAFE_NO_PAD.decode(&session.id).expect("an id");
        let id: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let (client, outside) = (primary.raw(database).await, primary.raw(database).await);
        Self { client, outside, is_it: format!("id = '{id}'::uuid") }
    }

    async fn until(&self, what: &str, query: &str) {
        let polling = async {
            while self.outside.query(query, &[]).await.expect("the vault is read").is_empty() {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        let waited = tokio::time::timeout(PATIENCE, polling).await;
        assert!(waited.is_ok(), "not within {PATIENCE:?}: {what}");
    }

    async fn until_waited_for(&self) {
        let own = self.client.query_one("SELECT pg_backend_pid()", &[]).await.expect("an id");
        let own: i32 = own.get(0);
        let waits = format!("SELECT 1 FROM pg_stat_activity WHERE {own} = ANY(pg_blocking_pids(pid))");
        self.until("the revocation waits", &waits).await;
    }

    /// Lets the lock go and waits until the session has ended in the vault.
    async fn until_committed(&self) {
        self.client.batch_execute("COMMIT").await.expect("the lock is given up");
        let ended = format!("SELECT 1 FROM sessions WHERE {} AND ended_at IS NOT NULL", self.is_it);
        self.until("the revocation is committed", &ended).await;
    }
}
