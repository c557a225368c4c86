use std::time::{Duration, SystemTime};

use serde_json::Value;

use super::*;
use crate::{
    cache::{
        CacheOptions, PlanClock, PriceLevel, QuotaUse, RefreshPlanOptions, RefreshSchedule, RefreshWaiting,
        StatusChecking,
        entry::EntryTimes,
        flight::{Arrived, FlightScope, Retain},
    },
    refresh::{PriceLimits, RefreshPolicy, ReportForm},
    report::{
        Answer, Exchange, FetchError, Fetched, LifetimeReason, LinkReport, NegativeAnswer, NegativeStatus,
        NoClicks, QuotaPressure, QuotaPressureFn, Reason, UpstreamFailure,
        testing::{key, policy},
    },
    telemetry::Metrics,
};

mod bounds;
mod hostile;

const SECOND: Duration = Duration::from_secs(1);

fn start() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_735_732_800)
}

fn options(refresh: RefreshSchedule, clock: PlanClock) -> CacheOptions {
    CacheOptions {
        lifetimes: policy(),
        max_bytes: 16 << 20,
        client_no_cache_interval: SECOND,
        refresh,
        derivation: ShadowMode::Off,
        statuses: StatusChecking::Off,
        clock,
    }
}

fn planned() -> RefreshSchedule {
    RefreshSchedule::Planned(RefreshPlanOptions {
        policy: RefreshPolicy {
            min_refresh_interval: 10 * SECOND,
            stale_while_revalidate: Duration::from_mins(10),
        },
        unexpected_clicks: 7.0,
        limits: PriceLimits { per_day: 10_000, reserve: 0.02 },
        hour_share: 0.15,
        waiting: RefreshWaiting::Rarely,
        probes: ShadowMode::Off,
    })
}

fn cache_with(options: CacheOptions) -> Arc<ReportCache> {
    let pressure = QuotaPressureFn::new(|_now| QuotaPressure::Normal);
    Arc::new(ReportCache::new(options, pressure, Metrics::new().cache))
}

fn cache(refresh: RefreshSchedule) -> Arc<ReportCache> {
    cache_with(options(refresh, PlanClock::starting_at(start())))
}

fn report(key: ReportKey, links: &str) -> Answer {
    let body = format!(r#"{{"campaign_activity_id":"{}","link_click_counts":[{links}]}}"#, key.id);
    Answer::Report(LinkReport::parse(key.id, body.as_bytes()).unwrap())
}

fn clicks(key: ReportKey, clicks: u32) -> Answer {
    report(key, &format!(r#"{{"unique_clicks":{clicks}}}"#))
}

fn not_found() -> Answer {
    Answer::Negative(NegativeAnswer::parse(NegativeStatus::NotFound, b""))
}

fn fetch(cache: &ReportCache, key: ReportKey, outcome: Result<Answer, FetchError>) {
    let exchange = Exchange::default();
    let fetched = |answer| Fetched {
        answer,
        answered_at: Instant::now(),
        age: Duration::ZERO,
        exchange,
        stands_in_for: None,
    };
    let outcome = outcome.map(|answer| Arrived { fetched: fetched(answer), clicked: None });
    cache.apply_fetch(FlightScope::One(key), Reason::Miss, outcome, Retain::Yes);
}

fn records(cache: &Arc<ReportCache>) -> Vec<SnapshotRecord> {
    cache.snapshot(Instant::now(), 16 << 20).collect()
}

fn restore(cache: &ReportCache, records: &[SnapshotRecord], elapsed: Duration) -> Vec<RestoredRecord> {
    let age = SnapshotAge { now: Instant::now(), elapsed };
    let body = |record: &SnapshotRecord| record.body.as_ref().map_or(Vec::new(), |body| body.body().to_vec());
    records.iter().map(|record| cache.restore(age, &record.fields, &body(record))).collect()
}

fn count(restored: &[RestoredRecord], kind: RestoredRecord) -> usize {
    restored.iter().filter(|restored| **restored == kind).count()
}

/// Makes a snapshot, lets so much time pass, and continues with it; `refresh` are the settings of then.
async fn restarted(before: &Arc<ReportCache>, down: Duration, refresh: RefreshSchedule) -> Arc<ReportCache> {
    let records = records(before);
    tokio::time::advance(down).await;
    let after = cache_with(options(refresh, PlanClock::starting_at(start() + down)));
    restore(&after, &records, down);
    after
}

#[tokio::test(start_paused = true)]
async fn each_kind_of_entry_goes_on_with_its_age_and_its_own_lifetime() {
    let before = cache(RefreshSchedule::Fixed);
    let [good, empty, gone, never, failing, dark] = [1, 2, 3, 4, 5, 6].map(key);
    fetch(&before, gone, Ok(clicks(gone, 3)));
    fetch(&before, failing, Ok(clicks(failing, 4)));
    for _ in 0..3 {
        tokio::time::advance(20 * SECOND).await;
        fetch(&before, empty, Ok(report(empty, "")));
        fetch(&before, never, Ok(not_found()));
        fetch(&before, dark, Err(UpstreamFailure::Forbidden.into()));
        fetch(&before, failing, Err(UpstreamFailure::Timeout.into()));
    }
    fetch(&before, gone, Ok(not_found()));
    fetch(&before, good, Ok(clicks(good, 7)));
    let listed = ReportKey { no_clicks: NoClicks::Listed, ..good };
    fetch(&before, listed, Ok(clicks(listed, 7)));
    before.peek(&good).unwrap().count_hit();
    tokio::time::advance(Duration::from_micros(2_500_300)).await;

    let down = 5 * SECOND;
    let after = restarted(&before, down, RefreshSchedule::Fixed).await;
    let now = Instant::now();
    assert_eq!(after.keys(), before.keys());
    let slack = Duration::from_millis(1);
    for key in before.keys() {
        let (old, new) = (before.peek(&key).unwrap(), after.peek(&key).unwrap());
        assert_eq!(new.answer(), old.answer(), "{key}");
        assert_eq!(new.lifetime(), old.lifetime(), "{key}");
        assert_eq!((new.hits(), new.source()), (old.hits(), old.source()));
        // By the same clock, which went on: so the ages agree, and nothing is younger.
        for (old, new) in [
            (old.age(now), new.age(now)),
            (old.stored_for(now), new.stored_for(now)),
            (old.unchanged_for(now), new.unchanged_for(now)),
        ] {
            assert!(old <= new && new <= old + slack, "{key}: {old:?}, {new:?}");
        }
        assert_eq!(new.behind(now).map(Entry::answer), old.behind(now).map(Entry::answer));
        let failure =
            |entry: &Entry| entry.refresh_failure().map(|failure| (failure.failures, failure.error.clone()));
        assert_eq!(failure(&new), failure(&old));
    }
    let fresh = |key| after.peek(&key).unwrap().lifetime().fresh;
    assert_eq!([fresh(empty), fresh(never)], [240 * SECOND; 2], "doubled twice");
    assert!(after.peek(&gone).unwrap().behind(now).is_some());
    let (old, new) = (before.failure(&dark).unwrap(), after.failure(&dark).unwrap());
    assert_eq!((new.failures, &new.error), (old.failures, &old.error));
    assert!(new.retry_at >= old.retry_at && new.retry_at <= old.retry_at + slack);
    let fetches = after.statistics(never.id).unwrap().form(NoClicks::Omitted).fetches;
    assert_eq!(fetches, 3);
    // The next negative answer in a row goes on from there.
    fetch(&after, never, Ok(not_found()));
    assert_eq!(after.peek(&never).unwrap().lifetime().fresh, 480 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn what_the_memory_would_no_longer_serve_and_a_failure_that_is_over_are_left_out() {
    let before = cache(RefreshSchedule::Fixed);
    fetch(&before, key(1), Ok(clicks(key(1), 3)));
    fetch(&before, key(2), Err(UpstreamFailure::Timeout.into()));
    let records = records(&before);
    for (down, entries, known) in
        [(SECOND, 1, 2), (6 * SECOND, 1, 1), (Duration::from_hours(1) + SECOND, 0, 1), (Duration::MAX, 0, 1)]
    {
        let after = cache(RefreshSchedule::Fixed);
        let restored = restore(&after, &records, down);
        let [found, known_again] =
            [RestoredRecord::Entry, RestoredRecord::Known].map(|kind| count(&restored, kind));
        assert_eq!((found, known_again), (entries, known), "{down:?}: {restored:?}");
        assert_eq!(after.keys().len(), entries);
    }
}

#[tokio::test(start_paused = true)]
async fn settings_that_have_changed_decide_the_lifetimes() {
    let before = cache(RefreshSchedule::Fixed);
    fetch(&before, key(1), Ok(clicks(key(1), 3)));
    let taken = records(&before);
    let mut longer = options(RefreshSchedule::Fixed, PlanClock::starting_at(start()));
    longer.lifetimes.ttl = Duration::from_hours(1);
    let after = cache_with(longer);
    restore(&after, &taken, SECOND);
    assert_eq!(after.peek(&key(1)).unwrap().lifetime().fresh, Duration::from_hours(1));
    let after = cache(planned());
    restore(&after, &taken, SECOND);
    assert_eq!(after.peek(&key(1)).unwrap().lifetime().reason, LifetimeReason::Planned);
    let planned_before = restarted(&after, SECOND, planned()).await;
    let fixed = restarted(&planned_before, SECOND, RefreshSchedule::Fixed).await;
    assert_eq!(fixed.peek(&key(1)).unwrap().lifetime().reason, LifetimeReason::Links);
}

#[tokio::test(start_paused = true)]
async fn the_plan_knows_a_report_as_well_as_before() {
    let before = cache(planned());
    for count in [10, 12, 15] {
        fetch(&before, key(1), Ok(clicks(key(1), count)));
        (0..5).for_each(|_| before.peek(&key(1)).unwrap().count_hit());
        tokio::time::advance(Duration::from_mins(2)).await;
    }
    let view = |cache: &ReportCache| {
        let entry = cache.peek(&key(1)).unwrap();
        cache.planned_view(&key(1), &entry, Instant::now()).unwrap()
    };
    let down = 30 * SECOND;
    let after = restarted(&before, down, planned()).await;
    let (old, new) = (view(&before), view(&after));
    assert_eq!(new.answers, old.answers);
    assert!((new.owes - old.owes).abs() < 0.01, "{} and {}", new.owes, old.owes);
    assert!((new.clicks_per_hour - old.clicks_per_hour).abs() < 0.01);
    let changes = |cache: &ReportCache| {
        cache.statistics(key(1).id).unwrap().changes().map(|change| change.difference).collect::<Vec<_>>()
    };
    assert_eq!((changes(&after), changes(&before).len()), (changes(&before), 2));
    let looked = |cache: &ReportCache| *cache.statistics(key(1).id).unwrap().last_look().unwrap();
    assert_eq!(looked(&after).clicks(), 15);
    assert!((looked(&after).rate().per_hour() - looked(&before).rate().per_hour()).abs() < 0.1);
}

#[tokio::test(start_paused = true)]
async fn responses_from_before_a_restart_are_not_counted_as_new_demand() {
    let before = cache(planned());
    fetch(&before, key(1), Ok(clicks(key(1), 3)));
    (0..10_000).for_each(|_| before.peek(&key(1)).unwrap().count_hit());
    let after = restarted(&before, SECOND, planned()).await;
    // The plan's file was lost: the next look begins the campaign anew.
    let mut without = records(&before);
    without.iter_mut().for_each(|record| {
        let mut fields: Value = serde_json::from_slice(&record.fields).unwrap();
        if fields["kind"] == "activity" {
            fields["campaign"] = Value::Null;
        }
        record.fields = serde_json::to_vec(&fields).unwrap();
    });
    let lost = cache(planned());
    restore(&lost, &without, SECOND);
    fetch(&lost, key(1), Ok(clicks(key(1), 3)));
    for cache in [after, lost] {
        assert_eq!(cache.peek(&key(1)).unwrap().hits(), 10_000);
        (0..30).for_each(|_| cache.peek(&key(1)).unwrap().count_hit());
        tokio::time::advance(Duration::from_mins(6)).await;
        let used = QuotaUse { used: 1, yesterday_exceeded_after: None };
        let minute = cache.plan_minute(used, start()).rationing.unwrap();
        assert_eq!(minute.price_level, PriceLevel::Ample);
        let of_activity = cache.statistics(key(1).id).unwrap();
        let polls = of_activity.campaign().unwrap().polls_per_second(ReportForm::Clicked).unwrap();
        assert!((0.03..0.1).contains(&polls), "{polls} a second, of 30 in six or twelve minutes");
    }
}

#[tokio::test(start_paused = true)]
async fn neither_a_derived_report_that_was_found_out_nor_one_where_derivation_is_off_comes_back() {
    let now = Instant::now();
    let derived = |links| {
        let times = EntryTimes { generated_at: now, stored_at: now };
        Entry::new(report(key(1), links), times, None, 0, &policy(), &Exchange::default())
            .from(EntrySource::Derived)
    };
    for (mode, distrusted, comes_back) in [
        (ShadowMode::On, false, true),
        (ShadowMode::On, true, false),
        (ShadowMode::Verify, false, false),
        (ShadowMode::Off, false, false),
    ] {
        let with = || CacheOptions {
            derivation: mode,
            ..options(RefreshSchedule::Fixed, PlanClock::starting_at(start()))
        };
        let (before, after) = (cache_with(with()), cache_with(with()));
        let entry =
            if distrusted { derived("{}").distrusted(Duration::from_hours(1)) } else { derived("{}") };
        before.store.insert(key(1), Arc::new(entry), now).unwrap();
        restore(&after, &records(&before), SECOND);
        assert_eq!(after.peek(&key(1)).is_some(), comes_back, "{mode:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_record_never_replaces_what_is_held_nor_serves_one_report_as_another() {
    let before = cache(RefreshSchedule::Fixed);
    fetch(&before, key(1), Ok(clicks(key(1), 3)));
    fetch(&before, key(2), Ok(clicks(key(2), 4)));
    let mut taken = records(&before);
    taken.retain(|record| record.body.is_some());
    let after = cache(RefreshSchedule::Fixed);
    fetch(&after, key(1), Ok(clicks(key(1), 9)));
    assert_eq!(restore(&after, &taken[..], SECOND).len(), 2);
    assert_eq!(after.peek(&key(1)).unwrap().report().unwrap().clicks(), 9);
    let bodies = [1, 0].map(|at: usize| taken[at].body.clone());
    taken.iter_mut().zip(bodies).for_each(|(record, body)| record.body = body);
    let swapped = restore(&cache(RefreshSchedule::Fixed), &taken, SECOND);
    assert_eq!(swapped, [RestoredRecord::Invalid; 2]);
}
