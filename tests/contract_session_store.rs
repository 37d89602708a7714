//! The shared contract of all session stores. A new backend needs one more `on!` line and a constructor of a `World`.

#[path = "contract/attempts.rs"]
mod attempts;
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
            cases! { session_store, $backend,
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
            cases! { attempts, $backend,
                leaky_bucket_has_room_again_as_it_leaks
                counted_attempts_wait_twice_as_long_each_time
                count_is_forgotten_in_its_time
                full_bucket_keeps_the_others_from_being_charged
                bucket_that_only_counts_refuses_nothing
                full_bucket_tightens_those_behind_it
                refunded_attempt_leaves_no_trace
                forgotten_account_counts_anew
                attempts_at_the_same_time_are_counted_one_by_one
                attempts_in_any_order_follow_the_rules
            }
        }
    };
}

macro_rules! cases {
    ($from:ident, $backend:ident, $($case:ident)*) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $case() {
            crate::$from::$case(crate::session_store::$backend().await).await;
        }
    )*};
}

on!(memory);
on!(redis);
on!(redis_tls);
on!(redis_sentinel);
on!(redis_cluster);
