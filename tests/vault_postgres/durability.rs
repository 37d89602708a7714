//! One-time warnings about servers that may lose acknowledged writes, or that limit no statement.

use doorward::config::StoreHost;
use doorward::vault::postgres::{PostgresOptions, PostgresVault};

use super::log::{capture, captured};
use super::servers::{Server, shared};

/// Reasons of the warnings logged when a vault is opened.
async fn warnings(options: &PostgresOptions) -> Vec<&'static str> {
    capture();
    PostgresVault::open(options.clone()).await.expect("a warning is no reason not to open");
    let text = captured();
    let all = ["vault_not_synchronous", "vault_not_durable", "vault_statements_unlimited"];
    all.into_iter().filter(|reason| text.contains(reason)).collect()
}

/// Changes a setting of the whole server.
fn set(server: &Server, setting: &str) {
    server.psql("postgres", &format!("ALTER SYSTEM SET {setting}"));
    server.reload();
}

async fn assert_warnings(options: &PostgresOptions, expected: &[&str]) {
    // A reload takes effect a moment after the signal.
    super::eventually::assert_eventually(&format!("{expected:?}"), super::PATIENCE, async || {
        warnings(options).await == expected
    })
    .await;
}

#[tokio::test]
async fn servers_with_unsafe_durability_settings_cause_a_warning() {
    let server = Server::start("fsync = on\nfull_page_writes = on");
    let alone = server.options(&server.database());
    assert_eq!(warnings(&alone).await, [""; 0], "one server that keeps what it has answered");

    let mut pair = alone.clone();
    pair.url.hosts.push(StoreHost { name: "127.0.0.1".into(), port: super::DEAD_PORT });
    assert_eq!(warnings(&pair).await, ["vault_not_synchronous"]);
    assert!(captured().contains("set synchronous_standby_names"), "{}", captured());

    set(&server, "synchronous_standby_names = '*'");
    assert_warnings(&pair, &[]).await;
    for forgetful in ["local", "off"] {
        set(&server, &format!("synchronous_commit = {forgetful}"));
        assert_warnings(&pair, &["vault_not_synchronous"]).await;
    }
    assert_warnings(&alone, &["vault_not_durable"]).await;
    set(&server, "synchronous_commit = on");
    assert_warnings(&alone, &[]).await;
    set(&server, "fsync = off");
    assert_warnings(&alone, &["vault_not_durable"]).await;
}

#[tokio::test]
async fn role_without_timeout_is_warned_about_without_prepared_statements() {
    let database = shared().database();
    let options = PostgresOptions { prepared: false, ..shared().options(&database) };
    // The test server is not configured to survive a power failure.
    assert_eq!(warnings(&options).await, ["vault_not_durable", "vault_statements_unlimited"]);
    shared().psql("postgres", &format!("ALTER DATABASE {database} SET statement_timeout = '60s'"));
    assert_eq!(warnings(&options).await, ["vault_not_durable"]);
}
