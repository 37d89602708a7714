use super::*;
use crate::auth::LiveSessions;
use crate::clock::SystemClock;
use crate::identity::{Epoch, Roles};
use crate::secret::Secret;
use crate::session::attempts::{Attempt, BucketKey, Charged};
use crate::session::memory::MemoryStore;
use crate::session::{Lookup, Record, SessionStoreError};
use crate::vault::sqlite::{SqliteOptions, SqliteVault};
use crate::vault::{NewSession, NewUser};

fn number_id(number: usize) -> SessionId {
    let mut id = [0; 16];
    id[..8].copy_from_slice(&number.to_be_bytes());
    SessionId::from_bytes(id)
}

struct World {
    vault: Vault,
    lookups: Arc<Lookups>,
    live: Arc<LiveSessions>,
    _vault_lost: watch::Sender<bool>,
    _folder: tempfile::TempDir,
}

impl World {
    fn new() -> Self {
        Self::with(|clock| Arc::new(MemoryStore::new(clock)))
    }

    fn with(store: impl FnOnce(Arc<dyn Clock>) -> Arc<dyn SessionStore>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let options = SqliteOptions { statement_timeout: Duration::from_secs(60) };
        let vault =
            SqliteVault::open(&folder.path().join("doorward.db"), Arc::clone(&clock), options).unwrap();
        let sessions = store(Arc::clone(&clock));
        let vault_lost = watch::Sender::new(false);
        let lookups = Lookups::new(&vault, &sessions, &clock, vault_lost.subscribe());
        Self { vault, lookups, live: Arc::new(LiveSessions::new()), _vault_lost: vault_lost, _folder: folder }
    }

    async fn user(&self) -> UserId {
        let (id, login) = (UserId::from_bytes([9; 16]), "ada".parse().unwrap());
        let password = Secret::new("no hash".to_owned());
        self.vault.users.create(&NewUser::new(id, login, password, Roles::default())).await.unwrap();
        id
    }

    async fn open(&self, number: usize, user_id: UserId) {
        let mut family = [0; 32];
        family[0] = u8::try_from(number).unwrap();
        let session = NewSession {
            id: number_id(number),
            user_id,
            epoch: Epoch(0),
            client_id: "doorward".to_owned(),
            family,
            refresh_kid: 0,
            idle: Duration::from_secs(3600),
            absolute: Duration::from_secs(3600),
            address: None,
            user_agent: None,
            methods: crate::identity::Methods::PASSWORD,
            proven_ago: Duration::ZERO,
        };
        self.vault.sessions.open(&session).await.unwrap();
    }

    fn wanted(&self, number: usize) -> Wanted {
        let until = Timestamp::from_secs(4_000_000_000);
        Wanted { slot: self.live.slot(number_id(number)), until, overdue: None }
    }

    fn overdue(&self, number: usize) -> Wanted {
        let wanted = self.wanted(number);
        let (id, until) = (wanted.slot.id(), wanted.until);
        let overdue = SessionUse { id, until, known: until, idle: Duration::ZERO, generation: 0 };
        Wanted { overdue: Some(overdue), ..wanted }
    }

    fn taken(&self) -> Vec<SessionId> {
        let batch = self.lookups.take().unwrap_or_default();
        batch.iter().map(|waiting| waiting.wanted.slot.id()).collect()
    }
}

// On a runtime of one thread nothing is looked up before the test waits.

#[tokio::test]
async fn sessions_are_looked_up_in_order_of_arrival_and_many_at_a_time() {
    let world = World::new();
    for number in 0..3 * BATCH {
        assert!(world.lookups.join(world.wanted(number), false).is_some());
        assert!(world.lookups.join(world.wanted(number / 2), false).is_some(), "waits already");
    }
    let expected: Vec<_> = (0..3 * BATCH).map(|number| world.wanted(number).slot.id()).collect();
    assert_eq!(expected, [world.taken(), world.taken(), world.taken()].concat());
    assert!(world.taken().is_empty());
}

#[tokio::test]
async fn queue_is_bounded_and_short_for_those_that_need_no_result() {
    let world = World::new();
    for number in 0..MAX_WAITING {
        let is_short = number < MAX_WAITING_IN_PASSING;
        assert_eq!(world.lookups.join(world.wanted(number), true).is_some(), is_short, "{number}");
        assert!(world.lookups.join(world.wanted(number), false).is_some(), "{number}");
    }
    assert!(world.lookups.join(world.wanted(MAX_WAITING), false).is_none());
    assert!(world.lookups.join(world.wanted(7), false).is_some(), "waits already");
    assert!(world.lookups.join(world.wanted(7), true).is_none(), "it would have to wait as well");
}

#[tokio::test]
async fn sessions_with_use_to_write_are_looked_up_apart() {
    let world = World::new();
    let all = [world.wanted(0), world.wanted(1), world.overdue(2), world.overdue(3), world.wanted(4)];
    for wanted in all {
        world.lookups.join(wanted, false);
    }
    let lengths: Vec<_> = (0..3).map(|_| world.taken().len()).collect();
    assert_eq!(lengths, [3, 2, 0]);
}

#[tokio::test]
async fn table_is_empty_when_all_are_looked_up() {
    let world = World::new();
    let mut all = JoinSet::new();
    for number in 0..2 * BATCH {
        let (lookups, wanted) = (Arc::clone(&world.lookups), world.wanted(number));
        all.spawn(async move { lookups.look_up(wanted, false).await });
    }
    for result in all.join_all().await {
        assert_eq!(result, Some(VaultLookup::Ended), "unknown to the vault");
    }
    let queue = world.lookups.queue();
    assert_eq!((queue.results.len(), queue.waiting.len()), (0, 0));
}

/// Panics when it writes the session of number 1, while the others are still being written.
struct Panicking(MemoryStore);

#[async_trait::async_trait]
impl SessionStore for Panicking {
    async fn check(&self, id: SessionId) -> Result<Lookup, SessionStoreError> {
        self.0.check(id).await
    }

    async fn fill(&self, id: SessionId, record: Record, keep: Duration) -> Result<(), SessionStoreError> {
        assert_ne!(id, number_id(1), "as a test");
        tokio::time::sleep(Duration::from_millis(50)).await;
        self.0.fill(id, record, keep).await
    }

    async fn extend(&self, id: SessionId, keep: Duration) -> Result<(), SessionStoreError> {
        self.0.extend(id, keep).await
    }

    async fn revoke(&self, id: SessionId, keep: Duration) -> Result<(), SessionStoreError> {
        self.0.revoke(id, keep).await
    }

    async fn charge(&self, attempt: &Attempt) -> Result<Charged, SessionStoreError> {
        self.0.charge(attempt).await
    }

    async fn refund(&self, attempt: &Attempt) -> Result<(), SessionStoreError> {
        self.0.refund(attempt).await
    }

    async fn forget(&self, accounts: &[BucketKey], buckets: &[BucketKey]) -> Result<(), SessionStoreError> {
        self.0.forget(accounts, buckets).await
    }

    fn is_shared(&self) -> bool {
        self.0.is_shared()
    }
}

#[tokio::test]
async fn panic_ends_only_the_lookup_of_its_own_session() {
    let world = World::with(|clock| Arc::new(Panicking(MemoryStore::new(clock))));
    let user = world.user().await;
    for number in [1, 2] {
        world.open(number, user).await;
    }
    let mut all = JoinSet::new();
    for number in [1, 2] {
        let (lookups, wanted) = (Arc::clone(&world.lookups), world.wanted(number));
        all.spawn(async move { (number, lookups.look_up(wanted, false).await) });
    }
    let mut results = all.join_all().await;
    results.sort_by_key(|(number, _)| *number);
    assert_eq!(results[0], (1, None));
    assert!(matches!(results[1], (2, Some(VaultLookup::Live(..)))), "{results:?}");
    let again = world.lookups.look_up(world.wanted(2), false).await;
    assert!(matches!(again, Some(VaultLookup::Live(..))), "{again:?}");
    assert!(world.lookups.queue().results.len() <= 1);
}
