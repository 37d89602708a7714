//! Changing store passwords at runtime without interruption.

use std::path::Path;
use std::time::Duration;

use doorward::id::{Random, SessionId, SystemRandom, base64url};

use crate::instances::{ROLE, ROLE_PASSWORD, Server};
use crate::servers::{NONE, RedisServer};
use crate::support::{Setup, TestGateway, assert_eventually};

/// Ends a hang. New credentials are tried every 2 s, but each attempt needs a login (argon2) and a `psql` within
/// `statement_timeout`, which a machine busy with a build may miss many times.
const SOON: Duration = Duration::from_secs(180);

/// Replaces a file atomically.
fn replace(file: &Path, text: &str) {
    let new = file.with_extension("new");
    std::fs::write(&new, text).expect("written");
    std::fs::rename(new, file).expect("renamed");
}

async fn generation(gateway: &TestGateway, at_least: f64) {
    assert_eventually("the file is read again", SOON, async || {
        gateway.metric("doorward_config_generation").await >= at_least
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_password_can_change_in_either_order() {
    let _alone = crate::world::alone().await;
    let (server, database) = tokio::task::spawn_blocking(|| {
        let server = Server::start("");
        let database = server.database();
        (server, database)
    })
    .await
    .expect("a server");
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("vault.url");
    let url = |role: &str, password: &str| {
        let password: String = password.bytes().map(|byte| format!("%{byte:02x}")).collect();
        format!("postgres://{role}:{password}@127.0.0.1:{}/{database}\n", server.port)
    };
    let sql = |text: &str| server.psql(&database, text);
    // Closes all connections made with the previous credentials.
    let hang_up = || {
        sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'doorward'");
    };
    let random: &dyn Random = &SystemRandom;
    let key = base64url(random.bytes::<32>());
    replace(&file, &url(ROLE, ROLE_PASSWORD));
    let vault = format!("url_file = \"{}\"\nmaster_key = \"{key}\"", file.display());
    let mut gateway = TestGateway::with(Setup { vault, ..Setup::default() }).await;
    gateway.follow();
    gateway.user("ada", &[]).await;
    let works = async || {
        let body = serde_json::json!({ "username": "ada", "password": crate::support::PASSWORD });
        gateway.post("/auth/login", None, &body).await.status == 200
    };
    assert!(works().await);

    // File first: the old password is used as long as only it is valid.
    replace(&file, &url(ROLE, "second"));
    generation(&gateway, 2.0).await;
    assert_eq!(gateway.metric("doorward_config_restart_needed").await, 0.0);
    hang_up();
    assert_eventually("the old password is good", SOON, &works).await;
    sql(&format!("ALTER ROLE {ROLE} PASSWORD 'second'"));
    hang_up();
    assert_eventually("the new one is found out", SOON, &works).await;

    // Database first.
    sql(&format!("ALTER ROLE {ROLE} PASSWORD 'third'"));
    assert!(works().await, "connections that are open stay");
    replace(&file, &url(ROLE, "third"));
    generation(&gateway, 3.0).await;
    hang_up();
    assert_eventually("the new one is taken", SOON, &works).await;

    // A role that cannot see the vault is refused; one that can is accepted.
    sql("CREATE ROLE other LOGIN PASSWORD 'x'");
    replace(&file, &url("other", "x"));
    generation(&gateway, 4.0).await;
    hang_up();
    assert_eventually("it is not taken", SOON, &works).await;
    sql(&format!("GRANT {ROLE} TO other"));
    let is_used = async || sql("SELECT count(*) FROM pg_stat_activity WHERE usename = 'other'").trim() != "0";
    assert_eventually("now it is", SOON, async || works().await && is_used().await).await;
    sql(&format!("ALTER ROLE {ROLE} NOLOGIN"));
    hang_up();
    assert_eventually("the first is not needed any more", SOON, &works).await;

    // Another database is another vault.
    replace(&file, &url("other", "x").replace(&database, "elsewhere"));
    generation(&gateway, 5.0).await;
    assert_eq!(gateway.metric("doorward_config_restart_needed").await, 1.0);
    assert!(works().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_password_can_change() {
    let _alone = crate::world::alone().await;
    let redis = RedisServer::start(NONE).await;
    let password = async |password: &str| {
        redis.ask::<()>(&["ACL", "SETUSER", "gate", "on", "resetpass", password, "~*", "+@all"]).await;
    };
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("sessions.url");
    let url = |password: &str| format!("redis://gate:{password}@127.0.0.1:{}/0\n", redis.port);
    password(">first").await;
    replace(&file, &url("first"));
    let sessions = format!("url_file = \"{}\"", file.display());
    let mut gateway = TestGateway::with(Setup { sessions, ..Setup::default() }).await;
    gateway.follow();
    let nobody = SessionId::from_bytes([0; 16]);
    let is_up = async || gateway.sessions.check(nobody).await.is_ok();
    assert_eventually("it is used", SOON, &is_up).await;

    password(">second").await;
    assert!(is_up().await, "the connection that is open stays");
    replace(&file, &url("second"));
    generation(&gateway, 2.0).await;
    assert_eq!(gateway.metric("doorward_config_restart_needed").await, 0.0);
    let connects = async || gateway.metric(r#"doorward_session_store_connects_total{result="ok"}"#).await;
    assert_eq!(connects().await, 1.0, "nor is it broken off");
    redis.ask::<()>(&["CLIENT", "KILL", "USER", "gate"]).await;
    assert_eventually("with the new one", SOON, async || is_up().await && connects().await > 1.0).await;
}
