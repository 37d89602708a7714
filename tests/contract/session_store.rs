//! What every session store does, whatever it is made of: one function per sentence of the trait's contract.

use std::sync::Arc;
use std::time::Duration;

use doorward::clock::{Clock, Timestamp, TravelClock};
use doorward::id::{Random, SessionId, SystemRandom, UserId};
use doorward::session::memory::MemoryStore;
use doorward::session::{Lookup, Record, SessionStore};

/// One test's store.
pub(crate) struct World {
    store: Arc<dyn SessionStore>,
    clock: Arc<TravelClock>,
    /// What [`SessionStore::vouches_alone`] must say of this backend.
    vouches_alone: bool,
}

/// A store in this process.
pub(crate) fn memory() -> World {
    let clock = Arc::new(TravelClock::new());
    World { store: Arc::new(MemoryStore::new(clock.clone())), clock, vouches_alone: false }
}

const MINUTE: Duration = Duration::from_secs(60);

fn session() -> SessionId {
    SessionId::random(&SystemRandom)
}

impl World {
    fn record(&self) -> Record {
        // Whole seconds: a store may keep no more.
        let expires_at = Timestamp::from_secs(self.clock.wall().secs() + 3600);
        let random: &dyn Random = &SystemRandom;
        Record { user_id: UserId::from_bytes(random.bytes()), expires_at }
    }

    async fn check(&self, id: SessionId) -> Lookup {
        self.store.check(id).await.expect("an answer")
    }

    async fn fill(&self, id: SessionId, record: Record, span: Duration) {
        self.store.fill(id, record, span).await.expect("filled");
    }

    async fn extend(&self, id: SessionId, span: Duration) {
        self.store.extend(id, span).await.expect("extended");
    }

    async fn revoke(&self, id: SessionId, span: Duration) {
        self.store.revoke(id, span).await.expect("revoked");
    }
}

pub(crate) async fn what_was_never_filled_is_absent(world: World) {
    assert_eq!(world.check(session()).await, Lookup::Absent);
}

pub(crate) async fn a_filled_session_is_live_until_its_time_has_passed(world: World) {
    let (id, record) = (session(), world.record());
    world.fill(id, record, MINUTE).await;
    assert_eq!(world.check(id).await, Lookup::Live(record));
    assert_eq!(world.check(session()).await, Lookup::Absent);
    world.clock.advance(MINUTE);
    assert_eq!(world.check(id).await, Lookup::Absent);
}

pub(crate) async fn filling_overwrites_no_record(world: World) {
    let (id, first) = (session(), world.record());
    world.fill(id, first, MINUTE).await;
    world.fill(id, world.record(), MINUTE * 5).await;
    assert_eq!(world.check(id).await, Lookup::Live(first));
    world.clock.advance(MINUTE);
    assert_eq!(world.check(id).await, Lookup::Absent);
}

pub(crate) async fn a_forgotten_session_can_be_filled_again(world: World) {
    let (id, second) = (session(), world.record());
    world.fill(id, world.record(), MINUTE).await;
    world.clock.advance(MINUTE);
    world.fill(id, second, MINUTE).await;
    assert_eq!(world.check(id).await, Lookup::Live(second));
}

pub(crate) async fn nothing_overwrites_a_tombstone(world: World) {
    let id = session();
    world.fill(id, world.record(), MINUTE).await;
    world.revoke(id, MINUTE).await;
    assert_eq!(world.check(id).await, Lookup::Tombstone);
    world.fill(id, world.record(), MINUTE * 5).await;
    world.extend(id, MINUTE).await;
    assert_eq!(world.check(id).await, Lookup::Tombstone);
}

pub(crate) async fn a_tombstone_needs_no_record_before_it(world: World) {
    let id = session();
    world.revoke(id, MINUTE).await;
    assert_eq!(world.check(id).await, Lookup::Tombstone);
    world.clock.advance(MINUTE);
    assert_eq!(world.check(id).await, Lookup::Absent);
}

pub(crate) async fn a_tombstone_stays_as_long_as_any_revocation_asked(world: World) {
    let id = session();
    world.fill(id, world.record(), MINUTE * 3).await;
    world.revoke(id, MINUTE).await;
    world.revoke(id, MINUTE * 5).await;
    world.revoke(id, MINUTE * 2).await;
    world.clock.advance(MINUTE * 4);
    assert_eq!(world.check(id).await, Lookup::Tombstone);
    world.clock.advance(MINUTE);
    assert_eq!(world.check(id).await, Lookup::Absent);
}

pub(crate) async fn extending_keeps_a_record_longer_and_never_shorter(world: World) {
    let (id, record) = (session(), world.record());
    world.fill(id, record, MINUTE * 2).await;
    world.extend(id, MINUTE).await;
    world.clock.advance(MINUTE + MINUTE / 2);
    assert_eq!(world.check(id).await, Lookup::Live(record));
    world.extend(id, MINUTE * 5).await;
    world.clock.advance(MINUTE * 4);
    assert_eq!(world.check(id).await, Lookup::Live(record));
}

pub(crate) async fn extending_what_is_not_there_does_nothing(world: World) {
    let (never, forgotten) = (session(), session());
    world.fill(forgotten, world.record(), MINUTE).await;
    world.clock.advance(MINUTE);
    for id in [never, forgotten] {
        world.extend(id, MINUTE * 5).await;
        assert_eq!(world.check(id).await, Lookup::Absent);
    }
}

pub(crate) async fn a_fill_racing_a_revocation_never_wins(world: World) {
    for _ in 0..200 {
        let id = session();
        let (store, record) = (world.store.clone(), world.record());
        let filling = tokio::spawn(async move { store.fill(id, record, MINUTE).await.expect("filled") });
        world.revoke(id, MINUTE).await;
        filling.await.expect("no panic");
        assert_eq!(world.check(id).await, Lookup::Tombstone);
    }
}

pub(crate) async fn many_sessions_do_not_disturb_each_other(world: World) {
    let records: Vec<_> = (0..2000).map(|_| (session(), world.record())).collect();
    for (at, (id, record)) in records.iter().enumerate() {
        world.fill(*id, *record, MINUTE * 2).await;
        if at % 3 == 0 {
            world.revoke(*id, MINUTE * 4).await;
        }
    }
    world.clock.advance(MINUTE * 3);
    for (at, (id, _)) in records.iter().enumerate() {
        let expected = if at % 3 == 0 { Lookup::Tombstone } else { Lookup::Absent };
        assert_eq!(world.check(*id).await, expected);
    }
}

pub(crate) async fn only_a_store_other_replicas_write_to_vouches_alone(world: World) {
    assert_eq!(world.store.vouches_alone(), world.vouches_alone);
}
