//! The shared contract of all session stores. A new backend needs one more `on!` line and a constructor of a `World`.

#[path = "support/eventually.rs"]
mod eventually;
#[path = "support/stores/redis.rs"]
mod servers;
#[path = "contract/session_store.rs"]
mod session_store;
#[path = "support/stores/redis_travel.rs"]
mod travel;

/// Runs every case on one backend. A case missing from the list is an unused function, which the compiler reports.
macro_rules! on {
    ($backend:ident) => {
        mod $backend {
            cases! { $backend,
                unfilled_session_is_absent
                filled_session_is_live_until_it_expires
                fill_overwrites_no_record
                forgotten_session_can_be_filled_again
                nothing_overwrites_a_tombstone
                tombstone_needs_no_earlier_record
                tombstone_keeps_the_longest_requested_lifetime
                extend_never_shortens_a_record
                extending_an_absent_record_does_nothing
                fill_racing_a_revocation_never_wins
                many_sessions_are_independent
                only_a_shared_store_confirms_without_the_vault
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
