//! The shared contract of all vaults. A new backend needs one more `on!` line and a constructor of a `World`.

#[path = "support/eventually.rs"]
mod eventually;
#[expect(dead_code, reason = "what other tests of Postgres need")]
#[path = "support/stores/postgres.rs"]
mod servers;
#[path = "contract/vault/mod.rs"]
mod vault;

/// Runs every case on one backend. A case missing from the list is an unused function, which the compiler reports.
macro_rules! on {
    ($backend:ident) => {
        mod $backend {
            cases! { $backend,
                users {
                    new_user_is_found_by_login_and_by_id
                    unknown_user_is_not_found
                    login_name_is_unique
                    users_are_listed_by_login_name_in_pages
                    password_change_ends_every_session_but_the_kept_one
                    password_change_does_not_revive_an_ended_kept_session
                    password_change_needs_the_verified_hash
                    rehash_ends_no_session_and_yields_to_a_change
                    role_change_raises_rights_version_and_keeps_sessions
                    disabled_user_has_no_live_session_and_cannot_sign_in
                    enabling_raises_the_epoch_and_revives_no_session
                    enabling_an_enabled_user_does_nothing
                    deleted_user_loses_all_sessions_but_rows_stay
                }
                import {
                    import_creates_absent_users_and_leaves_others_alone
                    import_refuses_an_address_of_another_user
                    imported_user_may_be_disabled_from_the_beginning
                    two_imports_at_once_create_each_user_once
                    passwords_are_counted_by_their_parameters
                }
                attributes {
                    new_user_has_the_given_attributes
                    every_grant_carries_the_current_attributes
                    change_of_attributes_rides_the_rights_version
                    change_to_the_stored_attributes_does_nothing
                    changed_address_is_unverified_unless_said_otherwise
                    address_of_another_user_is_refused
                    address_is_free_once_its_owner_has_another_or_is_deleted
                    concurrent_claims_of_one_address_give_it_to_one_user
                    login_racing_a_change_of_attributes_has_the_version_of_its_attributes
                }
                factors {
                    enrolled_app_is_listed_until_it_is_removed
                    step_of_an_app_is_accepted_once_and_in_order
                    factors_of_a_user_are_bounded
                    passkey_belongs_to_one_user_and_keeps_its_counter
                    recovery_code_works_once_and_a_new_set_voids_the_old
                    last_factor_stays_where_one_is_needed
                    removal_of_a_factor_ends_the_other_sessions
                    tries_of_codes_are_limited_and_come_back
                    concurrent_tries_are_counted_one_by_one
                    needed_factor_has_one_grace_period
                    pending_sign_in_ends_once_or_runs_out
                    factors_go_with_their_user
                    session_has_the_proof_of_its_login
                    replaced_session_ends_and_hands_its_life_over
                    replaced_session_keeps_the_part_of_its_provider
                }
                mail {
                    link_is_found_by_its_digest_until_it_expires
                    links_of_a_user_are_bounded_by_purpose
                    link_sets_the_password_once_and_ends_all_sessions
                    link_is_void_after_a_change_of_the_user
                    mail_is_claimed_by_one_until_its_lease_ends
                    result_of_an_attempt_counts_for_its_lease
                    expired_mail_is_claimed_with_no_time_left
                    mails_and_links_go_with_their_user_and_the_sweep
                    link_verifies_the_address_it_was_sent_to
                    change_and_its_mail_are_stored_together
                }
                sessions {
                    opened_session_is_granted_and_found
                    unknown_session_is_not_found
                    many_sessions_are_found_at_once
                    idle_timeout_never_exceeds_absolute_timeout
                    login_with_an_older_epoch_is_superseded
                    live_sessions_of_a_user_are_listed_newest_first
                    sessions_are_listed_in_pages
                    sessions_of_browsers_and_programs_are_listed_apart
                    session_is_live_until_end_idle_timeout_or_user_change
                    overlong_user_agent_is_truncated_at_a_character
                    every_grant_states_how_and_when_the_user_signed_in
                }
                rotation {
                    current_token_rotates_and_renews_the_session
                    repeat_within_grace_returns_the_same_token
                    generation_two_back_is_reuse_and_ends_the_session
                    repeat_after_grace_is_reuse
                    unused_successor_is_replaced_after_grace
                    unused_successor_is_replaced_for_its_time_only
                    successor_replaced_by_a_late_repeat_is_void
                    used_successor_is_not_replaced
                    slow_request_of_a_client_that_has_gone_on_ends_nothing
                    every_repeat_without_grace_is_reuse
                    future_generation_is_unknown_and_changes_nothing
                    unknown_family_is_refused
                    other_client_is_refused_and_changes_nothing
                    idle_session_is_expired
                    refresh_never_exceeds_absolute_timeout
                    ended_session_refuses_current_repeated_and_reused_tokens
                    refresh_returns_the_current_roles
                    plain_refreshes_are_not_in_the_audit
                }
                renewal {
                    renewal_grants_current_rights_without_a_new_generation
                    renewal_moves_the_idle_end_once_a_minute
                    previous_generation_renews_within_grace_and_is_reuse_later
                    renewal_is_refused_in_the_same_cases_as_rotation
                    fifty_renewals_of_one_token_are_all_granted
                }
                touch {
                    touch_moves_idle_ends_of_many_sessions
                    touch_never_shortens_or_exceeds_absolute_timeout
                    late_touch_revives_only_sessions_in_use
                    touch_revives_no_ended_or_unknown_session
                    concurrent_touches_in_any_order_do_not_deadlock
                }
                revocation {
                    revoked_session_is_logged_and_refused
                    only_the_owner_ends_a_session_by_owner
                    revoking_an_unknown_session_ends_nothing
                    logout_everywhere_writes_one_row_per_session
                    revoking_everyone_ends_all_sessions
                    all_other_sessions_of_a_user_end_at_once
                    only_sessions_of_the_given_client_end
                    repeated_revocation_reports_again_without_new_log_rows
                    session_ended_before_token_lifetime_is_left_alone
                }
                races {
                    fifty_rotations_of_one_token_make_one_generation
                    no_rotation_is_granted_once_a_revocation_is_acknowledged
                    login_racing_password_change_leaves_no_old_session
                    concurrent_creations_of_one_name_make_one_user
                    write_completes_after_its_caller_is_dropped
                }
                log {
                    empty_log_has_a_resumable_cursor
                    read_contains_everything_committed_before_it
                    read_without_news_is_empty_and_carries_the_clock
                    expired_rows_are_not_in_a_fresh_read
                    cursor_misses_no_row_of_concurrent_writers
                    change_wakes_the_follower_even_before_it_waits
                    cancelled_wait_loses_no_wake_up
                    another_process_is_seen_within_a_second
                    new_key_raises_the_keys_version_and_wakes
                }
                identities {
                    account_creates_its_user_with_roles_and_attributes
                    account_is_compared_byte_for_byte
                    new_user_waits_for_approval_until_enabled
                    taken_login_name_creates_nothing
                    concurrent_sign_ins_of_one_account_make_one_user
                    account_belongs_to_one_user
                    concurrent_links_give_an_account_to_one_user
                    statement_changes_rights_only_if_something_changed
                    provider_takes_away_only_the_roles_that_it_gave
                    attributes_are_those_of_the_account_that_created_the_user
                    address_of_another_user_is_left_out
                    unlinking_ends_the_sessions_that_the_account_opened
                    deleted_user_leaves_its_accounts_free
                    sign_in_is_not_completed_after_its_account_was_unlinked
                    unlink_racing_a_sign_in_leaves_no_session
                    undecided_roles_stay_for_their_time_only
                    last_way_to_sign_in_is_not_unlinked
                }
                provider_sessions {
                    session_keeps_what_the_sign_out_needs
                    recheck_is_taken_once_when_it_is_due
                    outcome_of_a_recheck_is_stored
                    logout_ends_the_sessions_that_it_names
                    logout_token_is_accepted_once
                    sign_in_is_not_completed_after_its_logout
                    sign_in_that_began_before_a_logout_of_its_account_is_not_completed
                    logout_of_a_session_ends_those_without_a_known_one
                    logout_racing_a_sign_in_leaves_no_session
                    refresh_token_is_taken_once_from_the_last_session
                    sweep_forgets_old_logouts
                }
                keys {
                    first_key_signs_at_once_and_has_no_end
                    successor_key_ends_predecessors_of_the_same_use
                    successor_without_overlap_ends_every_key_before_it
                    kid_is_unique_among_live_keys_of_its_use
                    only_first_skips_a_use_that_has_a_key
                    replicas_starting_together_agree_on_one_key
                }
                trail {
                    row_states_actor_address_and_request
                    each_act_states_its_cause
                    recorded_events_are_listed_in_pages
                    rows_are_linked_in_order_and_verify
                    rows_of_an_earlier_release_are_linked
                    two_gateways_link_one_chain
                    tampering_is_found
                    tail_put_back_is_found_by_a_kept_head
                    altered_end_stops_linking
                    retention_deletes_from_the_start_and_the_rest_verifies
                    rows_made_to_look_old_are_not_deleted
                    other_master_secret_is_named
                }
                audit {
                    every_change_is_audited_newest_first
                    audit_event_names_user_session_and_address
                    refused_change_leaves_no_event
                    sweep_deletes_only_expired_rows
                    sweep_deletes_at_most_its_limit_per_table
                    swept_log_never_reuses_a_number
                    schema_has_a_version
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
