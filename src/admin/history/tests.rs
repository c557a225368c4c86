//! Samples, what is kept of them, and the last minutes.

use super::*;
use crate::{
    quota::{InitialCount, Quota, QuotaLimits, WallClock},
    telemetry::Metrics,
};

const START: SystemTime = SystemTime::UNIX_EPOCH;

fn day() -> DayCount {
    let limits = QuotaLimits { per_second: None, per_day: None, reserve: 0.1, max_wait: Duration::ZERO };
    let clock = WallClock::starting_at(START);
    Quota::new(limits, InitialCount::Unspent, clock, Metrics::new().quota).snapshot().day
}

fn asked(metrics: &Metrics, client: &str, times: u32) {
    let series = metrics.requests.series("hit", "200", client);
    (0..times).for_each(|_| series.record(Duration::ZERO));
}

#[tokio::test(start_paused = true)]
async fn a_sample_is_what_its_minute_brought_and_a_day_of_them_is_kept() {
    let (history, metrics, day) = (History::default(), Metrics::new(), day());
    asked(&metrics, "sales", 5);
    for minute in 0..2_000_u64 {
        history.minute(START + Duration::from_secs(60 * minute), metrics.totals(), &day);
        asked(&metrics, "sales", 2);
        metrics.cache.served(Duration::from_secs(10));
    }
    let samples = history.samples(0);
    assert_eq!(samples.len(), 1_440);
    let last = samples.last().unwrap();
    assert_eq!((last.0, last.2, last.4, last.5, last.10), (1_999 * 60, 2, 1, Some(10), 0));
    assert_eq!(history.samples(1_998 * 60), [*last]);
}

#[tokio::test(start_paused = true)]
async fn what_is_kept_are_the_newest_samples_and_those_of_another_day_are_not_continued_from() {
    let (history, metrics, day) = (History::default(), Metrics::new(), day());
    for minute in 1..=10 {
        history.minute(START + Duration::from_mins(minute), metrics.totals(), &day);
    }
    let all = history.samples(0);
    assert_eq!(history.kept(10_000), all);
    let row = serde_json::to_string(&all[9]).unwrap().len() + 1;
    assert_eq!(history.kept(3 * row), all[7..]);
    for (now, expected) in [
        (START + Duration::from_mins(10), &all[..]),
        (START + Duration::from_mins(4), &all[..4]),
        (START + Duration::from_mins(1_440 + 8), &all[8..]),
        (START + Duration::from_hours(100), &[]),
    ] {
        let next = History::default();
        next.continue_from(all.clone(), now);
        assert_eq!(next.samples(0), expected);
    }
    let next = History::default();
    next.continue_from(vec![MinuteSample { 9: 200, ..all[9] }], START + Duration::from_hours(1));
    assert!(next.samples(0).is_empty(), "a mode that this version does not know");
}

#[tokio::test(start_paused = true)]
async fn the_first_minute_after_a_start_says_so_and_claims_nothing() {
    let (history, metrics) = (History::default(), Metrics::new());
    asked(&metrics, "sales", 5);
    assert_eq!(history.last_minutes(Instant::now(), &metrics.totals()), None);
    history.minute(START + Duration::from_mins(1), metrics.totals(), &day());
    let first = history.samples(0)[0];
    assert_eq!((first.2, first.10), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn the_last_minutes_are_five_or_those_since_the_start() {
    let (history, metrics, day) = (History::default(), Metrics::new(), day());
    let mut lengths = Vec::new();
    for _ in 0..8 {
        history.minute(START, metrics.totals(), &day);
        asked(&metrics, "sales", 1);
        tokio::time::advance(Duration::from_mins(1)).await;
        let last = history.last_minutes(Instant::now(), &metrics.totals()).unwrap();
        assert_eq!(last.answers * 60, last.length.as_secs());
        lengths.push(last.answers);
    }
    assert_eq!(lengths, [1, 2, 3, 4, 5, 6, 6, 6]);
}

#[tokio::test(start_paused = true)]
async fn a_client_asked_in_the_minute_in_which_its_requests_became_more() {
    let (history, metrics, day) = (History::default(), Metrics::new(), day());
    for minute in 1..4 {
        if minute == 2 {
            asked(&metrics, "sales", 1);
        }
        history.minute(START + Duration::from_mins(minute), metrics.totals(), &day);
    }
    assert_eq!(history.last_asked("sales"), Some(START + Duration::from_mins(2)));
    assert_eq!(history.last_asked("nobody"), None);
}

#[test]
fn a_rule_holds_since_it_was_first_seen() {
    let (history, at) = (History::default(), |minute| START + Duration::from_mins(minute));
    assert_eq!(history.rule_since(StatusRule::Well, at(1)), at(1));
    assert_eq!(history.rule_since(StatusRule::Well, at(2)), at(1));
    assert_eq!(history.rule_since(StatusRule::DaySpent, at(3)), at(3));
    assert_eq!(history.rule_since(StatusRule::Well, at(4)), at(4));
}
