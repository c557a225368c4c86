//! The conformance suite: each case on each backend. Those on real servers are in `servers`.

/// The cases, by file.
macro_rules! conforms {
    (#[$test:meta] $make:path) => {
        $crate::shared::tests::conformance::each_case! { #[$test] $make;
            epochs: {
                a_store_without_an_epoch_refuses_everything_until_it_is_recovered
                of_three_replicas_that_recover_at_once_one_begins_an_epoch_and_charges_once
                a_repeated_recovery_changes_nothing
                a_lost_store_takes_over_count_and_sequence_of_the_survivor
                an_older_copy_is_refused_and_a_refused_operation_has_no_effect
                an_older_copy_that_others_have_overtaken_is_found_by_the_server_s_identity
                recoveries_soon_after_one_another_charge_what_can_have_been_lost_since
                a_survivor_that_knows_more_than_the_new_epoch_raises_count_and_sequence
                fences_rise_though_nobody_remembers_the_last_one
                a_new_replica_is_charged_nothing_for_joining
                what_is_charged_while_the_day_is_unknown_counts_on_the_day_that_begins
                no_call_leaves_in_the_second_after_a_recovery
                a_day_that_has_not_begun_is_not_taken_over
            }
            calls: {
                calls_of_all_replicas_are_counted_together_up_to_the_ceiling
                a_call_that_was_counted_before_has_its_place_and_is_not_counted_again
                each_call_gets_the_next_place_of_the_second
                a_place_beyond_the_horizon_is_refused_and_not_counted
                without_an_interval_calls_are_not_spaced
                a_throttle_holds_all_replicas_and_a_shorter_one_does_not_shorten_it
                a_clock_put_back_holds_no_call_for_longer_than_a_minute
                the_first_call_of_a_day_turns_it_and_the_day_before_is_over
                across_midnight_replicas_with_different_clocks_never_turn_the_day_back
                a_day_that_a_clock_far_ahead_has_begun_is_taken_back_with_its_calls
                a_clock_put_back_by_days_forgets_no_call_of_a_day_that_begins_again
                a_day_begins_at_most_five_minutes_early
                a_lockout_refuses_all_and_then_lets_one_probe_through
                a_probe_without_a_result_gives_way_to_the_next
                a_refused_call_is_not_the_probe
                a_lockout_ends_with_its_day_and_a_probe
                a_lockout_of_a_day_that_is_over_is_ignored
                a_shorter_lockout_does_not_shorten_a_longer_one
            }
            members: {
                a_member_is_counted_for_a_minute_after_its_last_heartbeat
                a_member_that_has_stopped_does_not_outlive_a_clock_that_was_put_back
                the_state_says_who_the_members_are_and_when_each_was_heard_last
                a_heartbeat_raises_the_count_and_never_lowers_it
                calls_made_while_the_store_was_away_are_counted_once
                calls_made_while_the_store_was_away_across_midnight_count_on_their_day
                the_state_shows_what_the_fleet_shares
            }
            reports: {
                a_stored_report_is_what_the_others_get
                a_report_grows_old_and_is_never_shown_younger_than_it_is
                a_report_is_gone_when_its_time_is_up
                a_body_and_its_mac_may_be_any_bytes
                a_negative_answer_is_kept_as_one
                a_late_result_does_not_replace_a_newer_one
                a_late_result_is_kept_if_there_is_no_newer_one
                a_repeated_store_is_recognised
                answers_are_summed_for_the_next_flight
                an_evicted_report_is_fetched_again
            }
            flights: {
                one_replica_has_the_lease_and_the_others_wait
                the_same_nonce_prolongs_the_lease_under_the_same_fence
                a_lease_that_ended_goes_to_the_next
                a_failed_flight_has_all_replicas_back_off
                a_failure_is_ignored_once_another_flight_has_the_lease
                a_repeated_failure_does_not_prolong_the_back_off
                a_long_reason_is_cut
                a_clock_put_back_ends_a_lease
                an_evicted_flight_is_taken_anew
            }
            purges: {
                a_result_of_a_flight_before_a_purge_of_its_key_is_refused
                a_result_of_a_flight_before_a_purge_of_all_is_refused
                a_purge_ends_the_flight_and_the_back_off_of_its_key
                a_purge_of_all_ends_every_flight
                a_purge_of_one_key_leaves_the_others
                a_report_fetched_after_a_purge_is_kept
                a_purge_of_all_that_a_store_has_lost_is_given_back_by_a_recovery
                what_is_fetched_after_a_purge_of_all_was_given_back_is_kept
            }
            tokens: {
                a_token_is_swapped_only_over_the_version_that_was_read
                a_repeated_swap_is_done_and_not_written_twice
                a_restored_token_never_lowers_the_version
                a_repeated_restore_changes_nothing
                an_evicted_token_is_restored
                a_swap_in_an_emptied_store_is_refused
            }
            changes: {
                every_change_is_in_the_feed_in_order
                a_read_waits_for_the_first_change
                a_read_without_a_change_ends_when_its_wait_does
                a_repeated_operation_is_no_second_change
                a_long_feed_is_read_in_pages
                a_reader_that_fell_behind_the_feed_goes_to_its_end
                a_reader_of_a_feed_that_was_lost_reads_all_of_the_new_one
                the_change_that_wakes_a_reader_of_a_feed_that_was_lost_is_not_left_out
                a_reader_of_an_older_copy_reads_all_of_it
            }
        }
    };
}

macro_rules! each_case {
    (#[$test:meta] $make:path; $($module:ident: { $($case:ident)* })*) => { $(
        mod $module { $(
            #[$test]
            async fn $case() {
                $crate::shared::tests::cases::$module::$case(&$make().await).await;
            }
        )* }
    )* };
}

pub(in crate::shared) use {conforms, each_case};

mod memory {
    super::conforms! { #[tokio::test(start_paused = true)] crate::shared::tests::backend::memory }
}

mod wire {
    super::conforms! { #[tokio::test(start_paused = true)] crate::shared::tests::backend::wire }
}
