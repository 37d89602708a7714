use super::*;
use crate::auth::LiveSessions;
use crate::clock::SystemClock;
use crate::session::memory::MemoryStore;
use crate::vault::sqlite::{SqliteOptions, SqliteVault};

struct World {
    lookups: Arc<Lookups>,
    live: Arc<LiveSessions>,
    _vault_lost: watch::Sender<bool>,
    _folder: tempfile::TempDir,
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let options = SqliteOptions { statement_timeout: Duration::from_secs(60) };
        let vault =
            SqliteVault::open(&folder.path().join("doorward.db"), Arc::clone(&clock), options).unwrap();
        let sessions: Arc<dyn SessionStore> = Arc::new(MemoryStore::new(Arc::clone(&clock)));
        let vault_lost = watch::Sender::new(false);
        let lookups = Lookups::new(&vault, &sessions, &clock, vault_lost.subscribe());
        Self { lookups, live: Arc::new(LiveSessions::new()), _vault_lost: vault_lost, _folder: folder }
    }

    fn wanted(&self, number: usize) -> Wanted {
        let mut id = [0; 16];
        id[..8].copy_from_slice(&number.to_be_bytes());
        let until = Timestamp::from_secs(4_000_000_000);
        Wanted { slot: self.live.slot(SessionId::from_bytes(id)), until, overdue: None }
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
    assert!(world.lookups.join(world.wanted(7), true).is_some(), "waits already");
}

#[tokio::test]
async fn sessions_with_use_to_write_are_looked_up_apart() {
    let world = World::new();
    let all = [world.wanted(0), world.wanted(1), world.overdue(2), world.overdue(3), world.wanted(4)];
    for wanted in all {
        world.lookups.join(wanted, false);
    }
    let lengths: Vec<_> = (0..4).map(|_| world.taken().len()).collect();
    assert_eq!(lengths, [2, 2, 1, 0]);
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
