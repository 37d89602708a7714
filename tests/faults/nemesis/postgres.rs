//! Faults of Postgres.

use std::sync::Arc;

use super::{Fault, Held, Plan, Store, disk, links};
use crate::fleet::Fleet;
use crate::history::{Entry, Note, Op, Scope};
use crate::instances::{ROLE, Server};
use crate::workers::{Workers, users};

/// A user whose password nobody changes.
const USER: &str = "ada";

/// Ends every connection of the gateways, but none of the superuser.
fn terminate() -> String {
    format!("SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE usename = '{ROLE}'")
}

/// Runs blocking work on the primary.
async fn on(server: Arc<Server>, work: impl FnOnce(&Server) + Send + 'static) {
    tokio::task::spawn_blocking(move || work(&server)).await.expect("done");
}

pub(super) async fn begin(plan: &Plan, fleet: &Fleet, held: &mut Held) {
    if links::begin(plan.fault, Store::Vault, fleet) {
        return;
    }
    let postgres = &fleet.postgres;
    let (primary, database) = (postgres.primary(), postgres.database.clone());
    match plan.fault {
        Fault::PostgresStopped => on(primary, Server::stop).await,
        Fault::PostgresPaused => on(primary, |server| server.signal_all("-STOP")).await,
        Fault::BackendsTerminated => execute(primary, &[&terminate()]).await,
        Fault::PostgresReadOnly => {
            let read_only = format!("ALTER DATABASE {database} SET default_transaction_read_only = on");
            execute(primary, &[&read_only, &terminate()]).await;
        }
        Fault::ConnectionsUsedUp => {
            let limit = format!("ALTER ROLE {ROLE} CONNECTION LIMIT 0");
            execute(primary, &[&limit, &terminate()]).await;
        }
        Fault::SessionRowsLocked => {
            hold(&primary, &database, held, "SELECT 1 FROM sessions FOR UPDATE").await;
        }
        Fault::UserRowsLocked => hold(&primary, &database, held, "SELECT 1 FROM users FOR UPDATE").await,
        Fault::LogLocked => hold(&primary, &database, held, "LOCK TABLE revocations IN EXCLUSIVE MODE").await,
        Fault::TransactionOpen => hold(&primary, &database, held, "SELECT pg_current_xact_id()").await,
        Fault::CommitsSlow => on(postgres.standby(), |server| server.signal_all("-STOP")).await,
        Fault::StandbyPromoted => {
            tokio::task::block_in_place(|| postgres.promote());
        }
        Fault::DiskFull => {
            on(Arc::clone(&primary), disk::make_small).await;
            // New connections may fail from then on.
            let client = primary.raw("postgres").await;
            on(primary, disk::fill).await;
            // The next change needs a new segment of the log, and there is no room: Postgres gives up.
            let _ = client.batch_execute("SELECT pg_switch_wal()").await;
        }
        Fault::PostgresRestored => {
            let from = fleet.recorder.now();
            let copying = tokio::task::spawn_blocking(move || {
                let new = Server::start("");
                primary.copy_to(&new, &database);
                new
            });
            held.backup = Some((copying.await.expect("copied"), from));
        }
        other => unreachable!("{other:?} is no fault of Postgres"),
    }
}

pub(super) async fn end(plan: &Plan, fleet: &Arc<Fleet>, held: &mut Held) {
    let postgres = &fleet.postgres;
    let (primary, database) = (postgres.primary(), postgres.database.clone());
    match plan.fault {
        Fault::PostgresStopped => on(primary, Server::start_again).await,
        Fault::PostgresPaused => on(primary, |server| server.signal_all("-CONT")).await,
        Fault::BackendsTerminated => {}
        Fault::PostgresReadOnly => {
            let reset = format!("ALTER DATABASE {database} RESET default_transaction_read_only");
            execute(primary, &[&reset, &terminate()]).await;
        }
        Fault::ConnectionsUsedUp => {
            execute(primary, &[&format!("ALTER ROLE {ROLE} CONNECTION LIMIT -1")]).await;
        }
        Fault::SessionRowsLocked | Fault::UserRowsLocked | Fault::LogLocked | Fault::TransactionOpen => {
            // The connection ends, and with it the transaction.
            held.client = None;
        }
        Fault::CommitsSlow => on(postgres.standby(), |server| server.signal_all("-CONT")).await,
        Fault::StandbyPromoted => {
            let (number, port) = tokio::task::block_in_place(|| postgres.rebuild_standby());
            fleet.lead_vault_links(number, port).await;
        }
        Fault::DiskFull => on(primary, disk::make_room).await,
        Fault::PostgresRestored => restore(fleet, held).await,
        _ => links::mend(Store::Vault, fleet),
    }
}

/// Replaces the vault by its backup as docs/stores.md says: stop the gateways, restore, `doorward vault restored`, start.
async fn restore(fleet: &Arc<Fleet>, held: &mut Held) {
    let (new, from) = held.backup.take().expect("a backup");
    // A session that the backup does not know, and that Redis knows.
    let desk = Workers::surveyor(fleet);
    let unknown = desk.log_in_with(0, USER, 0).await;
    for replica in &fleet.replicas {
        replica.gateway.drain().await;
    }
    let (number, port) = fleet.postgres.replace(new);
    fleet.lead_vault_links(number, port).await;
    let start = fleet.recorder.now();
    fleet.command(&["vault", "restored", "--yes"], "").await.expect("every session is ended");
    for user in users() {
        fleet.recorder.record(Entry {
            start,
            end: fleet.recorder.now(),
            gateway: None,
            user: user.to_owned(),
            session: String::new(),
            op: Op::End { scope: Scope::User, complete: false, how: "vault restored".to_owned() },
            status: 200,
            code: String::new(),
            retry_after: false,
            seen: None,
        });
    }
    fleet.recorder.note(Note::VaultRestored { from });
    for replica in &fleet.replicas {
        replica.gateway.start_again().await;
        // From here on it knows the name of the user.
        let gateway = replica.gateway.number;
        if let Some(known) = desk.log_in_with(gateway, USER, 0).await {
            desk.call(gateway, &known).await;
        }
        if let Some(unknown) = &unknown {
            desk.call(gateway, unknown).await;
        }
    }
}

async fn execute(server: Arc<Server>, statements: &[&str]) {
    let statements: Vec<String> = statements.iter().map(|&text| text.to_owned()).collect();
    on(server, move |server| {
        for statement in &statements {
            server.psql("postgres", statement);
        }
    })
    .await;
}

/// Takes a lock in a transaction that stays open.
async fn hold(server: &Server, database: &str, held: &mut Held, statement: &str) {
    let client = server.raw(database).await;
    client.batch_execute(&format!("BEGIN; {statement}")).await.expect("a lock");
    held.client = Some(client);
}
