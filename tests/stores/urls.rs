//! Every form of store URL that `gateway.toml` accepts, used by a gateway.

use std::sync::Arc;
use std::time::Duration;

use doorward::clock::SystemClock;
use doorward::config::Config;
use doorward::id::SystemRandom;
use doorward::server::{self, Surroundings};

use crate::instances;
use crate::load::ask;
use crate::servers::{Certificates, NONE, RedisServer, cluster, free_port};
use crate::support::{Setup, TestGateway, assert_eventually};

/// Asserts that a gateway with these `[sessions]` lines connects to that Redis and serves.
async fn assert_used(sessions: &str) {
    let setup = Setup { sessions: format!("{sessions}\nrevalidate_after = \"0s\""), ..Setup::default() };
    let gateway = TestGateway::with(setup).await;
    gateway.user("ada", &[]).await;
    let nobody = doorward::id::SessionId::from_bytes([0; 16]);
    assert_eventually(sessions, Duration::from_secs(10), async || {
        gateway.sessions.check(nobody).await.is_ok()
    })
    .await;
    let tokens = gateway.login("ada").await;
    let id = tokens.session.parse().expect("an id");
    assert!(matches!(gateway.sessions.check(id).await, Ok(doorward::session::Lookup::Live(_))), "{sessions}");
    for _ in 0..3 {
        assert_eq!(ask(gateway.address(), &tokens.access).await, 200, "{sessions}");
    }
    assert!(gateway.metric("doorward_session_confirmations_total{source=\"session_store\"}").await >= 3.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_url_works_with_password_file() {
    let _alone = crate::world::alone().await;
    let server = RedisServer::start(NONE).await;
    server.ask::<()>(&["ACL", "SETUSER", "door", "on", ">s/e:c@ret", "~app:*", "+@all"]).await;
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("sessions.url");
    std::fs::write(&file, format!("redis://door:s%2Fe%3Ac%40ret@localhost:{}/3\n", server.port))
        .expect("a file");
    assert_used(&format!("url_file = \"{}\"\nkey_prefix = \"app:\"", file.display())).await;
    let keyspace: String = server.ask(&["INFO", "keyspace"]).await;
    assert!(keyspace.contains("db3:keys=1"), "{keyspace}");
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_url_works_with_tls() {
    let _alone = crate::world::alone().await;
    let (certificates, port) = (Certificates::new(), free_port());
    let _server = RedisServer::start(&certificates.settings(port)).await;
    let authority = certificates.authority();
    assert_used(&format!("url = \"rediss://localhost:{port}\"\nca_file = \"{}\"", authority.display())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sentinel_url_works() {
    let _alone = crate::world::alone().await;
    let master = RedisServer::start(NONE).await;
    let sentinels =
        [RedisServer::sentinel(master.port, 1).await, RedisServer::sentinel(master.port, 1).await];
    let [one, other] = sentinels.each_ref().map(|sentinel| sentinel.port);
    // The first host is unreachable.
    assert_used(&format!(
        "url = \"redis+sentinel://127.0.0.1:{},127.0.0.1:{one},127.0.0.1:{other}/main/0\"",
        free_port()
    ))
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cluster_url_works() {
    let _alone = crate::world::alone().await;
    let nodes = cluster().await;
    assert_used(&format!(
        "url = \"redis+cluster://127.0.0.1:{},127.0.0.1:{}\"",
        nodes[0].port, nodes[1].port
    ))
    .await;
}

/// Asserts that a gateway on this vault serves and notices a revocation by another process.
async fn assert_revocation_noticed(vault: String) {
    let setup = Setup { vault, ..Setup::default() };
    let gateway = TestGateway::with(setup).await;
    gateway.user("ada", &[]).await;
    let tokens = gateway.login("ada").await;
    assert_eq!(ask(gateway.address(), &tokens.access).await, 200);
    gateway.command(&["session", "revoke", "--user", "ada"]).await;
    assert_eventually("refused", Duration::from_secs(1), async || {
        ask(gateway.address(), &tokens.access).await == 401
    })
    .await;
}

fn vault(hosts: &str, database: &str) -> String {
    let key = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8";
    format!("url = \"{}\"\nmaster_key = \"{key}\"", instances::url(hosts, database))
}

#[tokio::test(flavor = "multi_thread")]
async fn vault_url_works_behind_pgbouncer_in_transaction_mode() {
    let _alone = crate::world::alone().await;
    let database = instances::shared().database();
    let hosts = format!("127.0.0.1:{}", instances::shared_bouncer().port);
    assert_revocation_noticed(vault(&hosts, &database) + "\nprepared = false").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn vault_url_works_with_one_of_two_hosts_down() {
    let _alone = crate::world::alone().await;
    let database = instances::shared().database();
    let hosts = format!("127.0.0.1:{},127.0.0.1:{}", free_port(), instances::shared().port);
    assert_revocation_noticed(vault(&hosts, &database)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn shared_vault_needs_a_configured_master_key() {
    let _alone = crate::world::alone().await;
    let database = instances::shared().database();
    let folder = tempfile::tempdir().expect("a folder");
    let hosts = format!("127.0.0.1:{}", instances::shared().port);
    let vault = vault(&hosts, &database);
    let url = vault.lines().next().expect("the address");
    let text = format!("[server]\nlisten = [\"127.0.0.1:0\"]\n[admin]\nlisten = []\n[vault]\n{url}\n");
    let config = Config::parse(&text, &folder.path().join("gateway.toml"), &|_| None).expect("good");
    let surroundings = Surroundings::new(Arc::new(SystemClock::new()), Arc::new(SystemRandom));
    let error = server::start(&config, surroundings).await.err().expect("it does not start").to_string();
    assert!(error.contains("master.key") && error.contains("every gateway the same one"), "{error}");
    assert!(!folder.path().join("master.key").exists());
}
