//! One fetch per key at a time, whoever asks, leaves, panics or purges.

use futures_util::future::join_all;
use link_report_proxy::{
    cache::{CacheOptions, Forward, Role, Served, ServedFrom},
    report::{Cause, FetchError, LocalDenial, NoClicks, Reason, ReportKey, UpstreamFailure},
};
use tokio::{
    task::JoinHandle,
    time::{sleep, timeout},
};

use super::harness::{CacheHarness, at_rest, from, negative_answer, options, report, seconds};
use crate::support::in_process::{key, timed};

type Asking = JoinHandle<Result<Served, FetchError>>;

async fn answers(asking: Vec<Asking>) -> Vec<Result<Served, FetchError>> {
    join_all(asking).await.into_iter().map(Result::unwrap).collect()
}

#[tokio::test(start_paused = true)]
async fn five_hundred_callers_of_a_cold_key_are_one_call_and_one_answer() {
    let mut harness = CacheHarness::new();
    let asking: Vec<_> = (0..500).map(|_| harness.ask(key(1))).collect();
    let call = harness.call().await;
    assert_eq!((call.call.key, call.call.reason), (key(1), Reason::Miss));
    harness.is_clear().await;
    call.answers(report(key(1), 2, 1));
    let served: Vec<_> = answers(asking).await.into_iter().map(Result::unwrap).collect();
    let led = served.iter().filter(|served| {
        matches!(served.from, ServedFrom::Fetched { role: Role::Leader, forward: Forward::UriMiss, .. })
    });
    assert_eq!((led.count(), served.len()), (1, 500));
    assert!(
        served.iter().all(|one| std::sync::Arc::ptr_eq(&one.entry, &served[0].entry)),
        "one copy for all"
    );
    harness.is_clear().await;
}

#[tokio::test(start_paused = true)]
async fn the_two_reports_of_an_activity_are_two_keys() {
    let mut harness = CacheHarness::new();
    let listed = ReportKey { no_clicks: NoClicks::Listed, ..key(1) };
    let asking = vec![harness.ask(key(1)), harness.ask(listed)];
    for _ in 0..2 {
        let call = harness.call().await;
        let links = if call.call.key == listed { 3 } else { 2 };
        call.answers(report(key(1), links, 1));
    }
    let links: Vec<_> = answers(asking)
        .await
        .iter()
        .map(|served| served.as_ref().unwrap().entry.report().unwrap().links())
        .collect();
    assert_eq!(links, [2, 3]);
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_hangs_up_costs_no_second_fetch() {
    let mut harness = CacheHarness::new();
    let (leader, call) = (harness.ask(key(1)), harness.call().await);
    let waiter = harness.ask(key(1));
    at_rest().await;
    leader.abort();
    harness.is_clear().await;
    call.answers(report(key(1), 2, 1));
    assert!(matches!(waiter.await.unwrap().unwrap().from, ServedFrom::Fetched { role: Role::Waiter, .. }));
    harness.is_clear().await;
}

#[tokio::test(start_paused = true)]
async fn when_all_hang_up_the_fetch_still_fills_the_memory() {
    let mut harness = CacheHarness::new();
    let (leader, call) = (harness.ask(key(1)), harness.call().await);
    leader.abort();
    at_rest().await;
    call.answers(report(key(1), 2, 1));
    at_rest().await;
    assert_eq!(from(&harness.ask(key(1)).await.unwrap()), "hit");
    harness.is_clear().await;
}

#[tokio::test(start_paused = true)]
async fn a_fetch_that_panics_frees_its_waiters_and_costs_no_second_call() {
    let mut harness = CacheHarness::new();
    let asking: Vec<_> = (0..10).map(|_| harness.ask(key(1))).collect();
    harness.call().await.panics();
    for served in answers(asking).await {
        assert_eq!(served.unwrap_err().cause, Cause::Internal);
    }
    harness.is_clear().await;
    assert_eq!(from(&harness.ask(key(1)).await.unwrap()), "error", "nor is it repeated at once");
    sleep(seconds(5)).await;
    harness.hold(key(1), report(key(1), 2, 1)).await;
    assert_eq!(from(&harness.ask(key(1)).await.unwrap()), "hit", "the key is as good as any other");
}

#[tokio::test(start_paused = true)]
async fn a_refresh_that_panics_leaves_the_copy_and_is_not_repeated_at_once() {
    let mut harness = CacheHarness::new();
    harness.hold(key(1), report(key(1), 2, 1)).await;
    sleep(seconds(400)).await;
    assert_eq!(from(&harness.ask(key(1)).await.unwrap()), "stale");
    harness.call().await.panics();
    at_rest().await;
    assert_eq!(from(&harness.ask(key(1)).await.unwrap()), "fallback");
    harness.is_clear().await;
}

#[tokio::test(start_paused = true)]
async fn a_deadline_ends_one_caller_s_waiting_and_never_makes_a_second_fetch() {
    let mut harness = CacheHarness::new();
    let first = harness.ask(key(1));
    let call = harness.call().await;
    sleep(seconds(10)).await;
    let second = harness.ask(key(1));
    let (outcome, waited) = timed(first).await;
    assert_eq!(outcome.unwrap().unwrap_err().cause, Cause::Upstream(UpstreamFailure::Timeout));
    assert_eq!(waited, seconds(5));
    let third = harness.ask(key(1));
    harness.is_clear().await;
    call.answers(report(key(1), 2, 1));
    assert_eq!([from(&second.await.unwrap()), from(&third.await.unwrap())], ["fetched"; 2]);
    harness.is_clear().await;
}

#[tokio::test(start_paused = true)]
async fn a_waiter_past_its_deadline_gets_the_old_copy_if_one_is_held() {
    let mut harness = CacheHarness::new();
    harness.hold(key(1), report(key(1), 2, 1)).await;
    sleep(seconds(1_000)).await;
    let (served, waited) = timed(harness.ask(key(1))).await;
    let served = served.unwrap().unwrap();
    let ServedFrom::StaleIfError(error) = &served.from else { panic!("{:?}", served.from) };
    assert_eq!(
        (&error.cause, waited, served.age),
        (&Cause::Upstream(UpstreamFailure::Timeout), seconds(15), seconds(1_015))
    );
    // It was answered, but the call goes on: the next caller shares it.
    let call = harness.call().await;
    harness.is_clear().await;
    call.answers(report(key(1), 3, 2));
    at_rest().await;
    assert_eq!(harness.ask(key(1)).await.unwrap().unwrap().entry.report().unwrap().links(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_report_that_loses_its_room_while_its_refresh_waits_to_be_denied_is_fetched_as_a_miss() {
    let mut harness = CacheHarness::with(CacheOptions { max_bytes: 32 << 10, ..options() });
    harness.hold(key(1), report(key(1), 2, 1)).await;
    sleep(seconds(301)).await;
    assert_eq!(from(&harness.ask(key(1)).await.unwrap()), "stale");
    let refresh = harness.call().await;
    for number in 2.. {
        if harness.memory().peek(&key(1)).is_none() {
            break;
        }
        harness.hold(key(number), report(key(number), 2, 1)).await;
    }
    let crowd: Vec<_> = (0..3).map(|_| harness.ask(key(1))).collect();
    harness.is_clear().await;
    let denied = || LocalDenial::DailyQuota { retry_after: seconds(60) };
    refresh.fails(denied());
    let call = harness.call().await;
    assert_eq!((call.call.key, call.call.reason), (key(1), Reason::Miss));
    harness.is_clear().await;
    call.fails(denied());
    for answered in answers(crowd).await {
        assert_eq!(answered.unwrap_err().cause, denied().into(), "also a miss is denied");
    }
    harness.is_clear().await;
}

#[tokio::test(start_paused = true)]
async fn what_is_purged_while_it_is_fetched_is_given_to_those_who_wait_and_not_remembered() {
    let mut harness = CacheHarness::new();
    let before = vec![harness.ask(key(1)), harness.ask(key(1))];
    let first = harness.call().await;
    at_rest().await;
    assert_eq!(harness.memory().purge(key(1).id), 0, "nothing was held");
    let after: Vec<_> = (0..100).map(|_| harness.ask(key(1))).collect();
    harness.is_clear().await;
    first.answers(report(key(1), 2, 1));
    for served in answers(before).await {
        assert_eq!(served.unwrap().entry.answer(), &report(key(1), 2, 1));
    }
    // Only now, never two at a time; and one for all who came after.
    let second = harness.call().await;
    assert!(harness.memory().peek(&key(1)).is_none());
    harness.is_clear().await;
    second.answers(report(key(1), 3, 2));
    for served in answers(after).await {
        assert_eq!(served.unwrap().entry.answer(), &report(key(1), 3, 2));
    }
    assert_eq!(harness.memory().peek(&key(1)).unwrap().answer(), &report(key(1), 3, 2));
    harness.is_clear().await;
}

#[tokio::test(start_paused = true)]
async fn whoever_comes_after_a_purge_waits_no_longer_than_others_and_then_asks_for_nothing() {
    let mut harness = CacheHarness::new();
    let before = harness.ask(key(1));
    let call = harness.call().await;
    harness.memory().purge_all();
    let (after, waited) = timed(harness.ask(key(1))).await;
    assert_eq!(
        (after.unwrap().unwrap_err().cause, waited),
        (Cause::Upstream(UpstreamFailure::Timeout), seconds(15))
    );
    call.answers(report(key(1), 2, 1));
    assert_eq!(from(&before.await.unwrap()), "error", "it has waited as long");
    harness.is_clear().await;
}

#[tokio::test(start_paused = true)]
async fn a_purge_concerns_its_own_activity_and_every_kind_of_answer() {
    let mut harness = CacheHarness::new();
    let (one, other) = (harness.ask(key(1)), harness.ask(key(2)));
    let calls = [harness.call().await, harness.call().await];
    harness.memory().purge(key(1).id);
    for call in calls {
        let key = call.call.key;
        call.answers(report(key, 2, 1));
    }
    assert_eq!([from(&one.await.unwrap()), from(&other.await.unwrap())], ["fetched"; 2]);
    assert_eq!(harness.memory().keys(), [key(2)]);
    sleep(seconds(400)).await;
    for answer in [Some(report(key(2), 2, 2)), Some(negative_answer()), None] {
        harness.ask(key(2)).await.unwrap().unwrap();
        let refreshing = harness.call().await;
        harness.memory().purge_all();
        match answer {
            Some(answer) => refreshing.answers(answer),
            None => refreshing.fails(UpstreamFailure::Timeout),
        }
        at_rest().await;
        assert_eq!(harness.memory().keys(), [], "neither the refreshed nor the old one comes back");
        harness.hold(key(2), report(key(2), 2, 1)).await;
        sleep(seconds(400)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_landed_while_a_caller_waited_for_an_older_fetch_is_seen_and_costs_no_second_call() {
    let mut harness = CacheHarness::new();
    let before = harness.ask(key(1));
    let first = harness.call().await;
    harness.memory().purge_all();
    // This caller is slow: it waits for the first fetch, and is not polled again before the second has landed.
    let mut slow = Box::pin(harness.answer(key(1).into()));
    assert!(timeout(seconds(0), &mut slow).await.is_err());
    let quick = harness.ask(key(1));
    at_rest().await;
    first.answers(report(key(1), 2, 1));
    before.await.unwrap().unwrap();
    harness.call().await.answers(report(key(1), 3, 2));
    quick.await.unwrap().unwrap();
    let served = timeout(seconds(1), slow).await.expect("answered from memory");
    assert_eq!((from(&served), served.unwrap().entry.answer()), ("hit", &report(key(1), 3, 2)));
    harness.is_clear().await;
}
