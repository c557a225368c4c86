//! `cache.derive_clicked`: one call for the two reports of an activity.

use link_report_proxy::{
    cache::{CacheOptions, RefreshWaiting},
    refresh::{ShadowMode, ShadowStatus},
    report::{
        Answer, Cause, DerivationMismatch, FetchError, InvalidReport, LifetimePolicy, LinkReport,
        LocalDenial, NoClicks, Reason, ReportKey, UpstreamFailure,
    },
};
use tokio::time::{Instant, sleep};

use super::{
    harness::{CacheHarness, at_rest, from, negative_answer, options, seconds},
    planned::{plan, planned_options},
};
use crate::support::in_process::{key, timed};

/// So many campaigns are compared before derivation is relied on.
const COMPARED: u32 = 20;
/// One look in so many is fetched in both forms.
const SPOT_CHECK: u32 = 50;

fn all(number: u32) -> ReportKey {
    ReportKey { no_clicks: NoClicks::Listed, ..key(number) }
}

/// The report of this key for links with these clicks.
fn with_links(key: ReportKey, clicks: &[&str]) -> Answer {
    let listed = |clicks: &str| key.no_clicks == NoClicks::Listed || clicks != "0";
    let links: Vec<_> = (0..)
        .zip(clicks)
        .filter(|(_, clicks)| listed(clicks))
        .map(|(url, clicks)| format!(r#"{{"link_url":"{url}","unique_clicks":{clicks}}}"#))
        .collect();
    let body =
        format!(r#"{{"campaign_activity_id":"{}","link_click_counts":[{}]}}"#, key.id, links.join(","));
    Answer::Report(LinkReport::parse(key.id, body.as_bytes()).unwrap())
}

fn harness(mode: ShadowMode) -> CacheHarness {
    CacheHarness::with(CacheOptions { derivation: mode, ..options() })
}

/// Both reports of the activity are fetched, and agree.
async fn agree(harness: &mut CacheHarness, number: u32) {
    for key in [all(number), key(number)] {
        harness.hold(key, with_links(key, &["3", "0", "1"])).await;
    }
    at_rest().await;
}

/// Once derivation is relied on.
async fn trusted() -> CacheHarness {
    trusted_with(options()).await
}

async fn trusted_with(options: CacheOptions) -> CacheHarness {
    let mut harness = CacheHarness::with(CacheOptions { derivation: ShadowMode::On, ..options });
    for number in 1..=COMPARED {
        assert_eq!(harness.memory().derivation_status(), ShadowStatus::Verifying, "{number}");
        agree(&mut harness, 1_000 + number).await;
    }
    assert_eq!(harness.memory().derivation_status(), ShadowStatus::Trusted);
    harness
}

fn held(harness: &CacheHarness, key: ReportKey) -> Answer {
    harness.memory().peek(&key).expect("it is held").answer().clone()
}

fn source(harness: &CacheHarness, key: ReportKey) -> &'static str {
    harness.memory().peek(&key).expect("it is held").source().as_str()
}

#[tokio::test(start_paused = true)]
async fn verify_compares_the_reports_and_each_still_costs_a_call() {
    let mut harness = harness(ShadowMode::Verify);
    for number in 1..=2 * COMPARED {
        agree(&mut harness, number).await;
    }
    assert_eq!(harness.memory().derivation_status(), ShadowStatus::Verifying);
    assert_eq!(harness.metric("derivation_comparisons_total{result=\"same\"}"), f64::from(2 * COMPARED));
    let asking = [harness.ask(key(100)), harness.ask(all(100))];
    for asked in [key(100), all(100)] {
        let call = harness.call().await;
        assert_eq!(call.call.key, asked);
        call.answers(with_links(asked, &["1"]));
    }
    for asking in asking {
        assert_eq!(from(&asking.await.unwrap()), "fetched");
    }
    assert_eq!(harness.metric("derivation_reports_total"), 0.0);
}

#[tokio::test(start_paused = true)]
async fn reports_that_show_nothing_or_were_fetched_at_different_times_are_not_compared() {
    let mut harness = harness(ShadowMode::On);
    for number in 1..=2 * COMPARED {
        for key in [all(number), key(number)] {
            harness.hold(key, with_links(key, &[])).await;
        }
    }
    // Later than ten minutes after the other: the campaign may have been edited.
    harness.hold(all(100), with_links(all(100), &["3", "0"])).await;
    sleep(seconds(601)).await;
    harness.hold(key(100), with_links(key(100), &["2", "9", "9"])).await;
    at_rest().await;
    assert_eq!(harness.memory().derivation_status(), ShadowStatus::Verifying);
}

#[tokio::test(start_paused = true)]
async fn concurrent_misses_of_both_reports_cost_one_call_and_both_are_kept() {
    for first in [key(1), all(1)] {
        let mut harness = trusted().await;
        let asking: Vec<_> =
            [first, first.other_form(), key(1), all(1)].map(|key| (key, harness.ask(key))).into();
        let call = harness.call().await;
        assert_eq!((call.call.key, call.call.reason), (all(1), Reason::Miss));
        harness.is_clear().await;
        call.answers(with_links(all(1), &["0", "7", "0", "2"]));
        for (key, asking) in asking {
            let served = asking.await.unwrap().unwrap();
            assert_eq!(served.entry.answer(), &with_links(key, &["0", "7", "0", "2"]));
        }
        for key in [key(1), all(1)] {
            assert_eq!(from(&harness.ask(key).await.unwrap()), "hit");
        }
        assert_eq!([source(&harness, key(1)), source(&harness, all(1))], ["derived", "fetched"]);
        harness.is_clear().await;
        assert_eq!(harness.metric("derivation_reports_total"), 1.0);
    }
}

/// A derived report is held, and that of all links, which brought it, has no room any more.
async fn without_room_for_all_links(clicks: &[&str]) -> CacheHarness {
    let mut harness = trusted_with(CacheOptions { max_bytes: 48 << 10, ..options() }).await;
    harness.hold(all(1), with_links(all(1), clicks)).await;
    for number in 2.. {
        assert_eq!(from(&harness.ask(key(1)).await.unwrap()), "hit");
        if harness.memory().peek(&all(1)).is_none() {
            break;
        }
        harness.hold(all(number), with_links(all(number), clicks)).await;
    }
    harness
}

#[tokio::test(start_paused = true)]
async fn a_miss_that_waits_for_a_refresh_which_is_denied_has_a_call_of_its_own() {
    let mut harness = without_room_for_all_links(&["3", "0"]).await;
    sleep(seconds(301)).await;
    assert_eq!(from(&harness.ask(key(1)).await.unwrap()), "stale");
    let refresh = harness.call().await;
    assert_eq!((refresh.call.key, refresh.call.reason), (all(1), Reason::Refresh));
    let waiting = harness.ask(all(1));
    harness.is_clear().await;
    refresh.fails(LocalDenial::DailyQuota { retry_after: seconds(60) });
    let call = harness.call().await;
    assert_eq!((call.call.key, call.call.reason), (all(1), Reason::Miss));
    call.answers(with_links(all(1), &["4", "0"]));
    assert_eq!(from(&waiting.await.unwrap()), "fetched");
    assert_eq!(held(&harness, key(1)), with_links(key(1), &["4"]));
}

#[tokio::test(start_paused = true)]
async fn what_is_derived_from_an_older_report_of_the_store_replaces_no_younger_one() {
    // The place of the report of all links in the store has an older one of another replica.
    let (young, old) = (["3", "0", "1"], ["2", "0", "1"]);
    let mut harness = without_room_for_all_links(&young).await;
    sleep(seconds(301)).await;
    assert_eq!(from(&harness.ask(key(1)).await.unwrap()), "stale");
    harness.call().await.answers_from_the_store(seconds(400), with_links(all(1), &old));
    at_rest().await;
    assert_eq!(held(&harness, key(1)), with_links(key(1), &young));
    assert_eq!(held(&harness, all(1)), with_links(all(1), &old), "nothing else is held");
    sleep(seconds(601)).await;
    let waiting = harness.ask(key(1));
    harness.call().await.answers_from_the_store(seconds(1_000), with_links(all(1), &old));
    let served = waiting.await.unwrap().unwrap();
    assert_eq!((served.entry.answer(), served.age.as_secs()), (&with_links(key(1), &young), 902));
    let waiting = harness.ask(key(1));
    harness.call().await.answers_from_the_store(seconds(1), with_links(all(1), &["4", "0", "1"]));
    assert_eq!(waiting.await.unwrap().unwrap().age.as_secs(), 1, "a younger one is taken");
}

#[tokio::test(start_paused = true)]
async fn a_refresh_of_either_report_renews_both_and_is_counted_once() {
    let mut harness = trusted().await;
    for (round, due) in [(1, key(1)), (2, all(1)), (3, key(1))] {
        let refreshed = harness.metric("refreshes_total{result=\"changed\"}");
        let clicks = round.to_string();
        let asking = harness.ask(due);
        harness.call().await.answers(with_links(all(1), &[&clicks, "0"]));
        asking.await.unwrap().unwrap();
        at_rest().await;
        for key in [key(1), all(1)] {
            assert_eq!(held(&harness, key), with_links(key, &[&clicks, "0"]));
        }
        let now = harness.metric("refreshes_total{result=\"changed\"}");
        assert_eq!(now - refreshed, if round == 1 { 0.0 } else { 1.0 });
        sleep(seconds(400)).await;
    }
    harness.is_clear().await;
}

#[tokio::test(start_paused = true)]
async fn what_is_purged_while_both_are_fetched_is_given_to_those_who_wait_and_neither_is_kept() {
    let mut harness = trusted().await;
    let before = [harness.ask(key(1)), harness.ask(all(1))];
    let first = harness.call().await;
    at_rest().await;
    harness.memory().purge(key(1).id);
    let after = [harness.ask(key(1)), harness.ask(all(1))];
    harness.is_clear().await;
    first.answers(with_links(all(1), &["1", "0"]));
    for asking in before {
        assert_eq!(from(&asking.await.unwrap()), "fetched");
    }
    let second = harness.call().await;
    assert!([key(1), all(1)].iter().all(|key| harness.memory().peek(key).is_none()));
    harness.is_clear().await;
    second.answers(with_links(all(1), &["2", "0"]));
    for asking in after {
        assert_eq!(asking.await.unwrap().unwrap().entry.report().unwrap().clicks(), 2);
    }
    harness.is_clear().await;
}

#[tokio::test(start_paused = true)]
async fn a_negative_answer_is_that_for_both_reports() {
    let mut harness = trusted().await;
    let asking = harness.ask(key(1));
    harness.call().await.answers(negative_answer());
    asking.await.unwrap().unwrap();
    for key in [key(1), all(1)] {
        assert_eq!(from(&harness.ask(key).await.unwrap()), "hit");
        assert_eq!(held(&harness, key), negative_answer());
    }
    harness.is_clear().await;
    sleep(seconds(61)).await;
    let asking = [harness.ask(all(1)), harness.ask(key(1))];
    harness.call().await.answers(with_links(all(1), &["4", "0"]));
    for asking in asking {
        assert_eq!(asking.await.unwrap().unwrap().entry.report().unwrap().clicks(), 4);
    }
}

#[tokio::test(start_paused = true)]
async fn a_failed_call_backs_off_both_reports_since_either_would_make_the_same_call() {
    let mut harness = trusted().await;
    let asking = [harness.ask(key(1)), harness.ask(all(1))];
    harness.call().await.fails(UpstreamFailure::Timeout);
    for asking in asking {
        assert_eq!(from(&asking.await.unwrap()), "error");
    }
    for key in [key(1), all(1), key(1)] {
        assert_eq!(from(&harness.ask(key).await.unwrap()), "error");
    }
    harness.is_clear().await;
    sleep(seconds(5)).await;
    let asking = harness.ask(all(1));
    harness.call().await.answers(with_links(all(1), &["1", "0"]));
    asking.await.unwrap().unwrap();
    assert_eq!(from(&harness.ask(key(1)).await.unwrap()), "hit");
    // A refresh that fails leaves both as they were.
    sleep(seconds(400)).await;
    harness.ask(key(1)).await.unwrap().unwrap();
    harness.call().await.fails(UpstreamFailure::Timeout);
    at_rest().await;
    for key in [key(1), all(1)] {
        assert_eq!(from(&harness.ask(key).await.unwrap()), "fallback");
    }
    harness.is_clear().await;
    assert_eq!(harness.metric("refreshes_total{result=\"error\"}"), 1.0);
}

#[tokio::test(start_paused = true)]
async fn a_fetch_of_both_that_panics_frees_the_waiters_of_both() {
    let mut harness = trusted().await;
    let asking = [harness.ask(key(1)), harness.ask(all(1))];
    harness.call().await.panics();
    for asking in asking {
        assert_eq!(asking.await.unwrap().unwrap_err().cause, Cause::Internal);
    }
    harness.is_clear().await;
}

#[tokio::test(start_paused = true)]
async fn an_activity_whose_clicked_links_are_not_certain_keeps_two_keys_until_they_are() {
    let mut harness = trusted().await;
    for (round, clicks) in [(1, ["null", "0"]), (2, ["null", "0"]), (3, ["1", "0"])] {
        let asking = [harness.ask(all(1)), harness.ask(key(1))];
        let mut calls = vec![harness.call().await];
        if round > 1 {
            calls.push(harness.call().await);
        }
        for call in calls {
            let asked = call.call.key;
            call.answers(with_links(asked, &clicks));
        }
        if round == 1 {
            let call = harness.call().await;
            assert_eq!(call.call.key, key(1), "what was hoped for from the first call");
            call.answers(with_links(key(1), &clicks));
        }
        for asking in asking {
            asking.await.unwrap().unwrap();
        }
        assert_eq!([source(&harness, key(1)), source(&harness, all(1))], ["fetched"; 2]);
        harness.memory().purge(key(1).id);
    }
    assert_eq!(harness.memory().derivation_status(), ShadowStatus::Trusted, "it is no mismatch");
    let asking = [harness.ask(all(1)), harness.ask(key(1))];
    harness.call().await.answers(with_links(all(1), &["1", "0"]));
    for asking in asking {
        asking.await.unwrap().unwrap();
    }
    harness.is_clear().await;
}

#[tokio::test(start_paused = true)]
async fn a_report_of_all_links_that_is_not_usable_does_not_stand_in_the_way_of_the_other() {
    let mut harness = trusted().await;
    let asking = [harness.ask(all(1)), harness.ask(key(1))];
    let invalid = InvalidReport::TooLarge { limit: 1 };
    harness.call().await.fails(FetchError::from(UpstreamFailure::Invalid(invalid)));
    let call = harness.call().await;
    assert_eq!(call.call.key, key(1));
    call.answers(with_links(key(1), &["5"]));
    let [all, clicked] = asking;
    assert_eq!([from(&all.await.unwrap()), from(&clicked.await.unwrap())], ["error", "fetched"]);
    harness.is_clear().await;
}

/// Refreshes activities until one is fetched in both forms; returns its number, and the call for its clicked links.
async fn until_spot_check(harness: &mut CacheHarness) -> (u32, super::harness::Asked) {
    for number in 1..=SPOT_CHECK {
        harness.hold(all(number), with_links(all(number), &["3", "0", "1"])).await;
        assert!(harness.has_no_call(), "{number}");
    }
    let (call, after) = timed(harness.call()).await;
    assert_eq!(
        (call.call.key, after),
        (key(SPOT_CHECK), seconds(10)),
        "when the order of the calls is certain"
    );
    (SPOT_CHECK, call)
}

#[tokio::test(start_paused = true)]
async fn one_derived_report_in_fifty_is_fetched_too_and_nobody_waits_for_it() {
    let mut harness = trusted().await;
    let (number, call) = until_spot_check(&mut harness).await;
    assert_eq!(call.call.reason, Reason::Refresh);
    assert_eq!(from(&harness.ask(key(number)).await.unwrap()), "hit");
    call.answers(with_links(key(number), &["3", "0", "1"]));
    at_rest().await;
    assert_eq!(harness.memory().derivation_status(), ShadowStatus::Trusted);
    assert_eq!([source(&harness, key(number)), source(&harness, key(1))], ["fetched", "derived"]);
    assert_eq!(harness.metric("derivation_comparisons_total{result=\"same\"}"), f64::from(COMPARED + 1));
    harness.is_clear().await;
}

#[tokio::test(start_paused = true)]
async fn after_a_mismatch_no_derived_report_is_served_but_instead_of_an_error() {
    let mut harness = trusted().await;
    let (number, call) = until_spot_check(&mut harness).await;
    call.answers(with_links(key(number), &["2", "0", "1"]));
    at_rest().await;
    let mismatch = DerivationMismatch::FewerClicks;
    assert_eq!(harness.memory().derivation_status(), ShadowStatus::SwitchedOff(mismatch));
    assert_eq!(harness.metric("derivation_mismatches_total{reason=\"fewer_clicks\"}"), 1.0);
    assert_eq!(harness.metric("derivation_status{state=\"switched_off\"}"), 1.0);
    // What was fetched is served as ever.
    for key in [key(number), all(number), all(1)] {
        assert_eq!(from(&harness.ask(key).await.unwrap()), "hit");
    }
    let asking = harness.ask(key(1));
    let call = harness.call().await;
    assert_eq!(call.call.key, key(1));
    call.answers(with_links(key(1), &["9"]));
    assert_eq!(asking.await.unwrap().unwrap().entry.report().unwrap().clicks(), 9);
    let asking = harness.ask(key(2));
    harness.call().await.fails(UpstreamFailure::Timeout);
    assert_eq!(from(&asking.await.unwrap()), "fallback");
    harness.is_clear().await;
}

#[tokio::test(start_paused = true)]
async fn a_fetch_of_both_that_ends_after_a_mismatch_leaves_the_clicked_links_to_a_call_of_their_own() {
    let mut harness = trusted().await;
    let (number, spot_check) = until_spot_check(&mut harness).await;
    let asking = [harness.ask(key(900)), harness.ask(all(900))];
    let both = harness.call().await;
    at_rest().await;
    spot_check.answers(with_links(key(number), &["2", "0", "1"]));
    at_rest().await;
    both.answers(with_links(all(900), &["1", "0"]));
    let own = harness.call().await;
    assert_eq!(own.call.key, key(900));
    own.answers(with_links(key(900), &["8"]));
    let [clicked, all] = asking;
    assert_eq!(clicked.await.unwrap().unwrap().entry.report().unwrap().clicks(), 8);
    assert_eq!(all.await.unwrap().unwrap().entry.report().unwrap().clicks(), 1);
    harness.is_clear().await;
}

#[tokio::test(start_paused = true)]
async fn under_the_plan_the_answers_of_both_reports_together_are_worth_the_call_that_renews_both() {
    let options = planned_options(plan(RefreshWaiting::Rarely));
    let mut harness = trusted_with(options).await;
    // A click each five minutes, known from two looks.
    for (clicks, pause) in [("0", 1_000), ("3", 0)] {
        let asking = harness.ask_anew(all(1));
        harness.call().await.answers(with_links(all(1), &[clicks, "0"]));
        asking.await.unwrap().unwrap();
        sleep(seconds(pause)).await;
    }
    let view = |harness: &CacheHarness, key: ReportKey| {
        let entry = harness.memory().peek(&key).unwrap();
        harness.memory().planned_view(&key, &entry, Instant::now()).unwrap()
    };
    for polls in 1..1_000 {
        sleep(seconds(1)).await;
        for key in [key(1), all(1)] {
            let before = view(&harness, key);
            let (price, hits) = (before.price.clicks_missed(), harness.memory().peek(&key).unwrap().hits());
            // With this answer and the next.
            let each = before.owes / f64::from(before.answers + 1);
            let (owes, owes_alone) = (each * f64::from(before.answers + 2), each * (hits + 2) as f64);
            if from(&harness.ask(key).await.unwrap()) == "stale" {
                assert!(owes >= price && owes_alone < price, "{before:?} {owes_alone}");
                assert!(before.answers + 1 >= 2 * polls - 1, "{before:?} {polls}");
                let call = harness.call().await;
                assert_eq!(call.call.reason, Reason::Refresh);
                call.answers(with_links(all(1), &["4", "0"]));
                at_rest().await;
                assert_eq!([key, key.other_form()].map(|key| view(&harness, key).answers), [0; 2]);
                return harness.is_clear().await;
            }
            assert!(owes < price * 1.1, "{before:?}");
        }
    }
    panic!("it was never worth a call");
}

#[tokio::test(start_paused = true)]
async fn both_reports_of_one_call_are_due_at_the_same_time() {
    let lifetimes = LifetimePolicy { ttl_jitter: 0.5, ..options().lifetimes };
    let mut harness = trusted_with(CacheOptions { lifetimes, ..options() }).await;
    for number in 1..10 {
        harness.hold(key(number), with_links(all(number), &["3", "0", "1"])).await;
        let [all, clicked] =
            [all(number), key(number)].map(|key| harness.memory().peek(&key).unwrap().lifetime());
        assert_eq!(all, clicked);
    }
}

#[tokio::test(start_paused = true)]
async fn a_report_that_was_derived_is_not_compared_with_a_later_one() {
    let mut harness = trusted().await;
    harness.hold(all(1), with_links(all(1), &["5", "0"])).await;
    // The second leaves the derived report as it was. Clicks that the vendor takes back are no mismatch.
    for clicks in [["null", "0"], ["2", "0"]] {
        sleep(seconds(61)).await;
        let asking = harness.ask_anew(all(1));
        harness.call().await.answers(with_links(all(1), &clicks));
        asking.await.unwrap().unwrap();
        at_rest().await;
    }
    assert_eq!(held(&harness, key(1)), with_links(key(1), &["5"]));
    assert_eq!(harness.memory().derivation_status(), ShadowStatus::Trusted);
}

#[tokio::test(start_paused = true)]
async fn what_is_purged_before_it_is_fetched_in_both_forms_costs_no_call() {
    let mut harness = trusted().await;
    for number in 1..=SPOT_CHECK {
        harness.hold(all(number), with_links(all(number), &["3", "0", "1"])).await;
    }
    harness.memory().purge(key(SPOT_CHECK).id);
    sleep(seconds(60)).await;
    harness.is_clear().await;
}
