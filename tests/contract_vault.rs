//! Every vault keeps the same contract. A new backend is one more `on!` line with a way to make a `World` of it.

#[path = "support/eventually.rs"]
mod eventually;
#[expect(dead_code, reason = "what other tests of Postgres need")]
#[path = "support/postgres.rs"]
mod servers;
#[path = "contract/vault/mod.rs"]
mod vault;

/// Runs every case on one backend. A case missing from the list is an unused function, which the lint refuses.
macro_rules! on {
    ($backend:ident) => {
        mod $backend {
            cases! { $backend,
                users {
                    a_new_user_is_found_by_login_and_by_id
                    an_unknown_user_is_certainly_none
                    a_login_name_is_taken_once
                    users_are_listed_by_login_name_page_by_page
                    a_password_change_ends_every_session_but_the_kept_one
                    a_password_change_does_not_revive_a_kept_session_that_had_ended
                    a_password_change_needs_the_hash_that_was_verified
                    a_rehash_ends_nothing_and_yields_to_a_change
                    other_roles_raise_the_rights_and_sessions_live_on
                    a_disabled_user_has_no_live_session_and_cannot_sign_in
                    enabling_raises_the_epoch_and_revives_no_session
                    enabling_an_enabled_user_does_nothing
                    a_deleted_user_is_gone_with_all_sessions_but_not_their_rows
                }
                sessions {
                    an_opened_session_is_granted_and_found
                    an_unknown_session_is_certainly_none
                    a_session_never_idles_beyond_its_absolute_end
                    a_login_that_read_an_older_epoch_is_superseded
                    a_users_live_sessions_are_listed_newest_first
                    a_session_is_live_until_it_ends_idles_or_its_user_changes
                    an_overlong_user_agent_is_cut_at_a_character
                }
                rotation {
                    a_current_token_rotates_and_renews_the_session
                    repeating_inside_the_grace_answers_the_same_token
                    a_generation_two_back_is_reuse_and_ends_the_session
                    repeating_after_the_grace_is_reuse
                    without_a_grace_every_repeat_is_reuse
                    a_generation_from_the_future_is_unknown_and_harms_nothing
                    an_unknown_family_is_unknown
                    another_client_is_refused_and_harms_nothing
                    an_idle_session_has_expired
                    refreshing_never_reaches_beyond_the_absolute_end
                    an_ended_session_refuses_current_repeated_and_reused_tokens
                    a_refresh_brings_the_roles_of_now
                    plain_refreshes_are_not_in_the_audit
                }
                renewal {
                    a_renewal_grants_what_is_true_now_and_makes_no_generation
                    renewing_moves_the_idle_end_once_a_minute
                    the_generation_before_renews_inside_the_grace_and_is_reuse_after_it
                    a_renewal_is_refused_as_a_rotation_is
                    fifty_renewals_of_one_token_are_all_granted
                }
                touch {
                    used_sessions_move_their_idle_ends_together
                    use_brings_no_end_forward_and_none_beyond_the_absolute_end
                    use_that_could_not_be_written_in_time_revives_only_what_was_in_use
                    use_revives_no_ended_session_and_none_that_is_unknown
                    gateways_that_report_the_same_sessions_in_any_order_do_not_block_each_other
                }
                revocation {
                    a_revoked_session_is_logged_and_refused
                    only_the_owner_ends_a_session_by_owner
                    an_unknown_session_ends_nothing
                    logging_out_everywhere_writes_one_row_for_each_session
                    everyone_is_everyone
                    all_others_of_a_user_end_at_once_however_many_there_are
                    the_sessions_of_one_client_end_and_no_others
                    revoking_again_reports_again_and_fills_no_log
                    a_session_ended_so_long_ago_that_its_tokens_are_dead_is_left_alone
                }
                races {
                    fifty_rotations_of_one_token_make_one_generation
                    no_rotation_is_granted_once_a_revocation_is_acknowledged
                    a_login_racing_a_password_change_leaves_no_session_of_the_old_password
                    of_concurrent_users_of_one_name_one_is_made
                    a_write_whose_caller_hangs_up_is_still_done
                }
                log {
                    an_empty_log_has_a_cursor_to_go_on_from
                    what_was_committed_before_a_read_is_in_it
                    a_read_with_nothing_new_is_empty_and_carries_the_clock
                    expired_rows_are_not_in_a_fresh_read
                    a_cursor_misses_no_row_of_concurrent_writers
                    a_change_wakes_the_follower_even_before_it_waits
                    a_wait_given_up_loses_no_wake_up
                    another_process_is_seen_within_a_second
                    a_new_key_moves_the_keys_version_and_wakes
                }
                keys {
                    a_first_key_signs_at_once_and_has_no_end
                    a_successor_gives_its_predecessors_of_the_same_use_an_end
                    a_kid_is_unique_among_keys_of_its_use_while_they_live
                    only_first_skips_a_use_that_has_a_key
                    replicas_starting_together_agree_on_one_key
                }
                audit {
                    every_change_leaves_its_word_newest_first
                    an_event_tells_whom_which_and_from_where
                    a_refused_change_leaves_no_event
                    sweeping_deletes_only_what_no_longer_matters
                    sweeping_deletes_at_most_its_limit_of_each
                    a_swept_log_gives_no_number_twice
                    the_schema_has_a_version
                }
            }
        }
    };
}

macro_rules! cases {
    ($backend:ident, $($module:ident { $($case:ident)* })*) => {$(
        mod $module {$(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                crate::vault::$module::$case(crate::vault::world::$backend().await).await;
            }
        )*}
    )*};
}

on!(sqlite);
on!(postgres);
on!(pgbouncer);
