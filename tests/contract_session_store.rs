//! Every session store keeps the same contract. A new backend is one more `on!` line with a way to make a `World`.

#[path = "support/eventually.rs"]
mod eventually;
#[path = "support/redis.rs"]
mod servers;
#[path = "contract/session_store.rs"]
mod session_store;
#[path = "support/redis_travel.rs"]
mod travel;

/// Runs every case on one backend. A case missing from the list is an unused function, which the lint refuses.
macro_rules! on {
    ($backend:ident) => {
        mod $backend {
            cases! { $backend,
                what_was_never_filled_is_absent
                a_filled_session_is_live_until_its_time_has_passed
                filling_overwrites_no_record
                a_forgotten_session_can_be_filled_again
                nothing_overwrites_a_tombstone
                a_tombstone_needs_no_record_before_it
                a_tombstone_stays_as_long_as_any_revocation_asked
                extending_keeps_a_record_longer_and_never_shorter
                extending_what_is_not_there_does_nothing
                a_fill_racing_a_revocation_never_wins
                many_sessions_do_not_disturb_each_other
                only_a_store_other_replicas_write_to_vouches_alone
            }
        }
    };
}

macro_rules! cases {
    ($backend:ident, $($case:ident)*) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $case() {
            crate::session_store::$case(crate::session_store::$backend().await).await;
        }
    )*};
}

on!(memory);
on!(redis);
on!(redis_tls);
on!(redis_sentinel);
on!(redis_cluster);
