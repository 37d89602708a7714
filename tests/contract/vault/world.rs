//! A vault for each test, a second one on the same data, and helpers that create users and sessions.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use doorward::clock::TravelClock;
use doorward::id::{Random, SessionId, SystemRandom, UserId};
use doorward::identity::{Epoch, Login, Roles};
use doorward::secret::Secret;
use doorward::vault::postgres::{PostgresOptions, PostgresVault};
use doorward::vault::sqlite::{SqliteOptions, SqliteVault};
use doorward::vault::{
    Grant, NewSession, NewUser, Presented, Rotation, RotationRefused, User, UserKey, Vault, VaultError,
};
use tempfile::TempDir;

use crate::servers;

pub(crate) const HOUR: Duration = Duration::from_secs(3600);
pub(crate) const GRACE: Duration = Duration::from_secs(60);
pub(crate) const IDLE: Duration = Duration::from_secs(24 * 3600);
pub(crate) const ABSOLUTE: Duration = Duration::from_secs(72 * 3600);

/// Data of one test, opened by two vaults like by two processes.
pub(crate) struct World {
    pub(crate) vault: Vault,
    pub(crate) other: Vault,
    pub(crate) clock: Arc<TravelClock>,
    /// A direct connection to its Postgres.
    pub(crate) raw: Option<tokio_postgres::Client>,
    pub(crate) _folder: Option<TempDir>,
}

/// A world on SQLite.
pub(crate) async fn sqlite() -> World {
    let folder = tempfile::tempdir().expect("a folder");
    let clock = Arc::new(TravelClock::new());
    let path = folder.path().join("vault.db");
    // Many tests share two cores; a slow disk must not fail them.
    let options = SqliteOptions { statement_timeout: Duration::from_secs(30) };
    let open = || SqliteVault::open(&path, clock.clone(), options).expect("a vault");
    World { vault: open(), other: open(), clock: clock.clone(), raw: None, _folder: Some(folder) }
}

/// A world on Postgres.
pub(crate) async fn postgres() -> World {
    let server = servers::shared();
    let database = server.database();
    on_postgres(&database, server.options(&database)).await
}

/// A world on Postgres behind a pooler in transaction mode.
pub(crate) async fn pgbouncer() -> World {
    let bouncer = servers::shared_bouncer();
    let database = servers::shared().database();
    on_postgres(&database, PostgresOptions { prepared: false, ..bouncer.options(&database) }).await
}

/// Postgres uses its own clock. In this database a replacement is found first, which can be advanced.
const TRAVEL: &str = "
    CREATE SCHEMA travel;
    CREATE TABLE travel.ahead (by interval NOT NULL);
    INSERT INTO travel.ahead VALUES ('0');
    CREATE FUNCTION travel.clock_timestamp() RETURNS timestamptz LANGUAGE sql VOLATILE
        AS 'SELECT pg_catalog.clock_timestamp() + (SELECT by FROM travel.ahead)';
    GRANT USAGE ON SCHEMA travel TO PUBLIC;
    GRANT SELECT ON travel.ahead TO PUBLIC;";

async fn on_postgres(database: &str, options: PostgresOptions) -> World {
    let raw = servers::shared().raw(database).await;
    raw.batch_execute(TRAVEL).await.expect("a clock that travels");
    let path = format!("ALTER DATABASE {database} SET search_path = public, travel, pg_catalog");
    raw.batch_execute(&path).await.expect("set");
    let open = async || PostgresVault::open(options.clone()).await.expect("a vault");
    let clock = Arc::new(TravelClock::new());
    World { vault: open().await, other: open().await, clock, raw: Some(raw), _folder: None }
}

/// A session as its client holds it.
#[derive(Clone)]
pub(crate) struct Device {
    pub(crate) id: SessionId,
    pub(crate) family: [u8; 32],
    pub(crate) grant: Grant,
}

pub(crate) fn random<const N: usize>() -> [u8; N] {
    let random: &dyn Random = &SystemRandom;
    random.bytes()
}

pub(crate) fn login(name: &str) -> Login {
    name.parse().expect("a login name")
}

pub(crate) fn roles(names: &[&str]) -> Roles {
    Roles::parse(names.iter().copied()).expect("roles")
}

pub(crate) fn secret(text: &str) -> Secret<String> {
    Secret::new(text.to_owned())
}

pub(crate) fn new_session(user_id: UserId, epoch: Epoch) -> NewSession {
    NewSession {
        id: SessionId::from_bytes(random()),
        user_id,
        epoch,
        client_id: "web".into(),
        family: random(),
        refresh_kid: 1,
        idle: IDLE,
        absolute: ABSOLUTE,
        address: Some(IpAddr::from([192, 0, 2, 7])),
        user_agent: Some("browser".into()),
        methods: doorward::identity::Methods::PASSWORD,
        proven_ago: Duration::ZERO,
    }
}

impl World {
    /// Advances the clock of the vault and `clock`.
    pub(crate) async fn advance(&self, span: Duration) {
        self.clock.advance(span);
        if let Some(raw) = &self.raw {
            let ahead = format!("UPDATE travel.ahead SET by = by + interval '{} ms'", span.as_millis());
            raw.batch_execute(&ahead).await.expect("time passes");
        }
    }

    /// Creates a user whose password hash is `hash of <name>`.
    pub(crate) async fn user(&self, name: &str) -> UserId {
        let id = UserId::from_bytes(random());
        let password = secret(&format!("hash of {name}"));
        let new = NewUser::new(id, login(name), password, roles(&["staff"]));
        self.vault.users.create(&new).await.expect("a new user");
        id
    }

    pub(crate) async fn find(&self, user: UserId) -> User {
        self.vault.users.find(&UserKey::Id(user)).await.expect("an answer").expect("the user")
    }

    /// Signs in.
    pub(crate) async fn device(&self, user: UserId) -> Device {
        let new = new_session(user, self.find(user).await.epoch);
        let grant = self.vault.sessions.open(&new).await.expect("a session");
        Device { id: new.id, family: new.family, grant }
    }

    /// Creates a user with one session.
    pub(crate) async fn someone(&self) -> (UserId, Device) {
        let user = self.user("ada").await;
        (user, self.device(user).await)
    }

    pub(crate) async fn rotate(&self, device: &Device, generation: u32) -> Rotation {
        rotate(&self.vault, presented(device, generation)).await
    }
}

pub(crate) fn presented(device: &Device, generation: u32) -> Presented {
    Presented {
        family: device.family,
        generation,
        client_id: "web".into(),
        refresh_kid: 1,
        grace: GRACE,
        grace_unused: Duration::ZERO,
        idle: IDLE,
    }
}

pub(crate) async fn rotate(vault: &Vault, presented: Presented) -> Rotation {
    vault.sessions.rotate(&presented).await.expect("an answer")
}

/// Generation, key and repeat flag of a granted rotation.
pub(crate) fn granted(rotation: Rotation) -> (u32, u8, bool) {
    match rotation {
        Rotation::Granted { generation, refresh_kid, age, .. } => (generation, refresh_kid, age.is_none()),
        other => panic!("not granted: {other:?}"),
    }
}

pub(crate) fn refused(rotation: Rotation) -> RotationRefused {
    match rotation {
        Rotation::Refused(why) => why,
        other => panic!("not refused: {other:?}"),
    }
}

pub(crate) fn is_superseded<T>(answer: &Result<T, VaultError>) -> bool {
    matches!(answer, Err(VaultError::Superseded))
}
