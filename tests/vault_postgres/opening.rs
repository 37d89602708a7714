use doorward::config::StoreHost;
use doorward::secret::Secret;
use doorward::vault::VaultError;
use doorward::vault::postgres::{PostgresOptions, PostgresVault};

use super::servers::{ROLE, Server, shared, shared_bouncer};
use super::{complaint, count};
use crate::world;

/// Schema version in the database.
const VERSION: &str = "SELECT version FROM doorward_schema";

fn fresh() -> (String, PostgresOptions) {
    let database = shared().database();
    let options = shared().options(&database);
    (database, options)
}

async fn damage(options: PostgresOptions) -> String {
    match PostgresVault::open(options).await.map(drop) {
        Err(VaultError::Damaged(text)) => text,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_opens_of_a_new_database_create_one_schema() {
    let (database, options) = fresh();
    let opening: Vec<_> = (0..8).map(|_| tokio::spawn(PostgresVault::open(options.clone()))).collect();
    let raw = shared().raw(&database).await;
    for opened in opening {
        let vault = opened.await.expect("no panic").expect("a vault");
        assert_eq!(i64::from(vault.audit.schema().await.expect("a version")), count(&raw, VERSION).await);
    }
    assert_eq!(count(&raw, "SELECT count(*) FROM doorward_schema").await, 1);
}

#[tokio::test]
async fn compatible_newer_schema_is_used() {
    let world = world::postgres().await;
    let raw = super::raw(&world);
    let newer = count(raw, VERSION).await + 1;
    raw.batch_execute(
        "UPDATE doorward_schema SET version = version + 1; ALTER TABLE sessions ADD COLUMN note text",
    )
    .await
    .expect("a newer doorward was here");
    // A running vault continues, and a new one may start.
    let (_, device) = world.someone().await;
    assert_eq!(world::granted(world.rotate(&device, 0).await).0, 1);
    let database: String =
        raw.query_one("SELECT current_database()::text", &[]).await.expect("a name").get(0);
    let vault = PostgresVault::open(shared().options(&database)).await.expect("a vault");
    assert_eq!(i64::from(vault.audit.schema().await.expect("a version")), newer);
}

#[tokio::test]
async fn incompatible_newer_schema_is_refused() {
    let (database, options) = fresh();
    PostgresVault::open(options.clone()).await.expect("a vault");
    let newer = count(&shared().raw(&database).await, VERSION).await + 2;
    shared().psql(&database, "UPDATE doorward_schema SET version = version + 2, readable_by = version + 1");
    let text = damage(options).await;
    assert!(text.contains(&format!("schema {newer}")) && text.contains("run the newer doorward"), "{text}");
}

#[tokio::test]
async fn database_of_another_program_is_refused_unchanged() {
    let (database, options) = fresh();
    shared().psql(&database, "CREATE TABLE users (nickname text)");
    let text = damage(options).await;
    assert!(text.contains("a table `users` of another program"), "{text}");
    let raw = shared().raw(&database).await;
    let tables =
        "SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'";
    assert_eq!(count(&raw, tables).await, 1);
}

#[tokio::test]
async fn separate_schema_isolates_it_from_another_program() {
    let (database, options) = fresh();
    shared().psql(
        &database,
        &format!(
            "CREATE TABLE users (nickname text); CREATE SCHEMA doorward AUTHORIZATION {ROLE};
             ALTER DATABASE {database} SET search_path = doorward"
        ),
    );
    let vault = PostgresVault::open(options).await.expect("a vault");
    assert!(vault.users.list(None, 9).await.expect("a list").is_empty());
}

#[tokio::test]
async fn role_without_create_right_error_names_the_right() {
    let (database, options) = fresh();
    shared().psql(
        "postgres",
        &format!(
            "ALTER DATABASE {database} OWNER TO postgres; GRANT CONNECT ON DATABASE {database} TO {ROLE}"
        ),
    );
    shared().psql(&database, "REVOKE CREATE ON SCHEMA public FROM PUBLIC");
    let text = complaint(options).await;
    assert!(text.contains("permission denied") && text.contains("grant it CREATE"), "{text}");
}

#[tokio::test]
async fn wrong_password_database_or_host_is_named() {
    let (_, options) = fresh();
    let with = |change: fn(&mut PostgresOptions)| {
        let mut options = options.clone();
        change(&mut options);
        options
    };
    let wrong = with(|options| options.url.password = Some(Secret::new("guess-42".into())));
    let text = complaint(wrong).await;
    assert!(text.contains("password authentication failed") && text.contains("vault.url"), "{text}");
    assert!(!text.contains("guess-42") && text.contains(&format!("127.0.0.1:{}", shared().port)), "{text}");

    let text = complaint(with(|options| options.url.password = None)).await;
    assert!(text.contains("asks for a password"), "{text}");

    let text = complaint(with(|options| options.url.database = "nowhere".into())).await;
    assert!(text.contains("\"nowhere\" does not exist: create it"), "{text}");

    let text = complaint(with(|options| options.url.hosts[0].name = "no-such-host.invalid".into())).await;
    assert!(text.contains("no-such-host.invalid") && text.contains("host name is unknown"), "{text}");

    let text = complaint(with(|options| options.url.hosts[0].port = 1)).await;
    assert!(text.contains("127.0.0.1:1") && text.contains("nothing listens there"), "{text}");

    let socket = StoreHost { name: "/nowhere/at/all".into(), port: 5432 };
    let mut lost = options.clone();
    lost.url.hosts = vec![socket];
    let text = complaint(lost).await;
    assert!(text.contains("there is no such socket"), "{text}");
}

#[tokio::test]
async fn pooler_needs_prepared_statements_disabled() {
    let options = shared_bouncer().options(&shared().database());
    let text = complaint(options).await;
    assert!(text.contains("vault.prepared = false"), "{text}");
}

#[tokio::test]
async fn lone_standby_is_refused() {
    let primary = Server::start("");
    let database = primary.database();
    let standby = Server::standby_of(&primary);
    let text = complaint(standby.options(&database)).await;
    assert!(text.contains("standby") && text.contains("primary"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn pooler_that_drops_startup_options_is_noticed() {
    let extra = "ignore_startup_parameters = options,extra_float_digits";
    let bouncer = tokio::task::spawn_blocking(move || Server::bouncer_with(shared(), extra));
    let bouncer = bouncer.await.expect("a pooler");
    let options = bouncer.options(&shared().database());
    let text = complaint(options.clone()).await;
    assert!(text.contains("set vault.prepared = false"), "{text}");
    PostgresVault::open(PostgresOptions { prepared: false, ..options }).await.expect("a vault");
}
