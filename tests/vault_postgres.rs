//! Postgres-specific behaviour of the shared vault: opening, outages, races and statement cost.

#[path = "support/eventually.rs"]
mod eventually;
#[path = "support/stores/link.rs"]
#[expect(dead_code, reason = "shared with tests that need more of it")]
mod link;
#[path = "support/captured.rs"]
mod log;
#[path = "support/stores/postgres.rs"]
#[expect(dead_code, reason = "shared with tests that need more of it")]
mod servers;
#[expect(dead_code, reason = "what the vault's contract needs")]
#[path = "contract/vault/world.rs"]
mod world;

#[path = "vault_postgres/cost.rs"]
mod cost;
#[path = "vault_postgres/durability.rs"]
mod durability;
#[path = "vault_postgres/opening.rs"]
mod opening;
#[path = "vault_postgres/outages.rs"]
mod outages;
#[path = "vault_postgres/races.rs"]
mod races;
#[path = "vault_postgres/restored.rs"]
mod restored;
#[path = "vault_postgres/tls.rs"]
mod tls;

use std::time::Duration;

use doorward::vault::VaultError;
use doorward::vault::postgres::{PostgresOptions, PostgresVault};
use tokio_postgres::Client;
use world::World;

/// Timeout that only ends a hang.
const PATIENCE: Duration = Duration::from_secs(30);

/// A port without a listener.
const DEAD_PORT: u16 = 1;

/// Error of a failed open: one line that never contains the password.
async fn complaint(options: PostgresOptions) -> String {
    let error = PostgresVault::open(options).await.map(drop).expect_err("it cannot be opened");
    let text = error.to_string();
    assert!(!text.contains('\n') && !text.contains(servers::ROLE_PASSWORD), "{text}");
    text
}

/// A direct connection.
fn raw(world: &World) -> &Client {
    world.raw.as_ref().expect("a world on Postgres")
}

async fn count(client: &Client, sql: &str) -> i64 {
    client.query_one(sql, &[]).await.expect("an answer").get(0)
}

/// Error text of an unavailable vault.
fn unavailable<T>(answer: Result<T, VaultError>) -> String {
    match answer.map(drop) {
        Err(VaultError::Unavailable(text)) => text,
        other => panic!("{other:?}"),
    }
}
