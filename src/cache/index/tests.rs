use std::{thread, time::SystemTime};

use super::{super::entry::EntryTimes, *};
use crate::{
    report::{
        Answer, Exchange, FetchError, LocalDenial, NegativeAnswer, NegativeStatus, NoClicks, UpstreamFailure,
        testing::{key, policy, report},
    },
    telemetry::Metrics,
};

fn entry(now: Instant) -> Arc<Entry> {
    of(Answer::Negative(NegativeAnswer::parse(NegativeStatus::NotFound, b"")), now)
}

fn of(answer: Answer, now: Instant) -> Arc<Entry> {
    let times = EntryTimes { generated_at: now, stored_at: now };
    Arc::new(Entry::new(answer, times, None, 0, &policy(), &Exchange::default()))
}

fn index(max_bytes: u64) -> EntryIndex {
    let (clock, failures) = (PlanClock::starting_at(SystemTime::UNIX_EPOCH), Arc::new(Failures::new()));
    EntryIndex::new(max_bytes, clock, failures, Metrics::new().cache)
}

fn weight_of_one() -> u64 {
    weight(&entry(Instant::now())).into()
}

#[test]
fn entries_of_just_the_bound_fit_and_one_that_is_heavier_alone_is_refused() {
    let (now, one) = (Instant::now(), weight_of_one());
    let full = index(2 * one);
    full.insert(key(1), entry(now), now).unwrap();
    assert_eq!(full.restore(key(2), entry(now)), Fits::Yes);
    assert_eq!((full.size(), full.max_bytes()), ((2, 2 * one), 2 * one));
    assert_eq!(full.restore(key(3), entry(now)), Fits::No);
    assert_eq!(full.size(), (2, 2 * one));
    index(one).insert(key(1), entry(now), now).unwrap();
    let refused = index(one - 1).insert(key(1), entry(now), now);
    assert_eq!(refused.map_err(|TooHeavy { weight }| weight.into()), Err(one));
}

#[test]
fn a_lower_bound_evicts_at_once() {
    let (now, one) = (Instant::now(), weight_of_one());
    let index = index(10 * one);
    for number in 0..10 {
        index.insert(key(number), entry(now), now).unwrap();
    }
    index.resize(4 * one);
    assert_eq!(index.size(), (4, 4 * one));
    assert_eq!(index.keys(), (6..10).map(key).collect::<Vec<_>>());
}

#[test]
fn only_the_entry_that_is_held_is_replaced_or_expires() {
    let now = Instant::now();
    let index = index(1 << 20);
    let [first, second, third] = [entry(now), entry(now), entry(now)];
    index.insert(key(1), Arc::clone(&first), now).unwrap();
    index.replace(&key(1), &second, Arc::clone(&third));
    index.expire(&key(1), &second);
    let holds = |entry| index.get(&key(1)).is_some_and(|held| Arc::ptr_eq(&held, entry));
    assert!(holds(&first));
    index.replace(&key(1), &first, Arc::clone(&second));
    assert!(holds(&second));
    assert_eq!(index.size(), (1, weight_of_one()));
    index.expire(&key(1), &second);
    assert_eq!(index.size(), (0, 0));
    index.replace(&key(1), &second, third);
    assert!(index.get(&key(1)).is_none(), "what is gone is not brought back");
}

#[test]
fn each_entry_that_comes_or_goes_is_a_change() {
    let now = Instant::now();
    let index = index(1 << 20);
    let mut seen = vec![index.changes_so_far()];
    for number in [1, 2, 1] {
        index.insert(key(number), entry(now), now).unwrap();
        seen.push(index.changes_so_far());
    }
    assert_eq!([index.purge(&key(1)), index.purge(&key(1))], [true, false]);
    seen.push(index.changes_so_far());
    assert_eq!(seen, [0, 1, 2, 3, 4]);
}

#[test]
fn why_an_entry_went_is_known_of_its_activity() {
    let now = Instant::now();
    let index = index(1 << 20);
    index.statistics().record_fetch(key(1), None, now, None);
    index.insert(key(1), entry(now), now).unwrap();
    index.purge(&key(1));
    let known = index.statistics().get(key(1).id).unwrap();
    let removed = known.form(NoClicks::Omitted).removed;
    assert_eq!(removed.map(|removed| removed.why), Some(EvictionCause::Purged));
}

#[tokio::test(start_paused = true)]
async fn what_no_longer_serves_is_removed_shard_by_shard_as_others_come() {
    let start = Instant::now();
    let index = index(1 << 20);
    for number in 0..100 {
        index.insert(key(number), entry(start), start).unwrap();
    }
    let dead_from = entry(start).dead_from() - start;
    let last = start + dead_from;
    for _turn in 0..=SHARDS {
        index.insert(key(0), entry(last), last).unwrap();
    }
    assert_eq!(index.size().0, 100, "not yet");
    let later = last + Duration::from_nanos(1);
    let sizes = [(); SHARDS + 1].map(|()| {
        index.insert(key(0), entry(later), later).unwrap();
        index.size().0
    });
    assert!(sizes[0] > 80, "one shard with each entry that comes: {sizes:?}");
    assert_eq!((index.keys(), sizes[SHARDS]), (vec![key(0)], 1));
}

#[tokio::test(start_paused = true)]
async fn the_oldest_report_is_the_one_generated_first_and_negative_answers_do_not_count() {
    let start = Instant::now();
    let at = |minutes| start + Duration::from_mins(minutes);
    let index = index(1 << 20);
    index.insert(key(1), entry(at(0)), at(0)).unwrap();
    assert_eq!(index.oldest_report(at(9)), None);
    for (number, minute) in [(2, 3), (3, 2), (4, 4)] {
        index.insert(key(number), of(report("{}"), at(minute)), at(minute)).unwrap();
    }
    assert_eq!(index.oldest_report(at(9)), Some(Duration::from_mins(7)));
}

#[tokio::test(start_paused = true)]
async fn a_gzip_variant_counts_and_may_evict_others_but_not_its_own_entry() {
    let now = Instant::now();
    let large = of(report(&["{}"; 1_000].join(",")), now);
    let (plain, one) = (u64::from(weight(&large)), weight_of_one());
    let index = index(plain + one);
    for (number, entry) in [(1, Arc::clone(&large)), (2, entry(now))] {
        index.insert(key(number), entry, now).unwrap();
    }
    large.make_gzip().await;
    index.reweigh(&key(1));
    let with_gzip = u64::from(weight(&large));
    assert!(with_gzip > plain);
    assert_eq!((index.keys(), index.size()), (vec![key(1)], (1, with_gzip)));
}

#[tokio::test(start_paused = true)]
async fn a_gzip_variant_for_which_there_is_no_room_costs_nobody_the_report() {
    let now = Instant::now();
    let large = of(report(&["{}"; 1_000].join(",")), now);
    let plain = u64::from(weight(&large));
    let behind = {
        let refused = Answer::Negative(NegativeAnswer::parse(NegativeStatus::NotFound, b""));
        let times = EntryTimes { generated_at: now, stored_at: now };
        let report = of(report(&["{}"; 1_000].join(",")), now);
        let refused = Entry::new(refused, times, Some(&report), 0, &policy(), &Exchange::default());
        (Arc::new(refused), report)
    };
    let (refused, report) = (&behind.0, &behind.1);
    for (entry, report) in [(&large, &large), (refused, report)] {
        let most = u64::from(weight(entry));
        let index = index(most);
        index.insert(key(1), Arc::clone(entry), now).unwrap();
        report.make_gzip().await;
        index.reweigh(&key(1));
        let held = index.get(&key(1)).expect("it is still held");
        assert_eq!((held.answer(), u64::from(weight(&held))), (entry.answer(), most));
        assert_eq!(index.size(), (1, most));
        index.resize(plain);
        assert_eq!(index.size().0, u64::from(most == plain));
    }
}

#[test]
fn an_entry_that_is_purged_while_it_is_weighed_again_leaves_no_weight() {
    let now = Instant::now();
    let (index, key, entry) = (index(1 << 20), key(1), entry(now));
    thread::scope(|scope| {
        let weighing = scope.spawn(|| (0..50_000).for_each(|_| index.reweigh(&key)));
        while !weighing.is_finished() {
            index.insert(key, Arc::clone(&entry), now).unwrap();
            index.purge(&key);
            assert_eq!(index.size(), (0, 0));
        }
    });
}

#[tokio::test(start_paused = true)]
async fn an_entry_that_is_removed_leaves_the_failure_that_still_counts() {
    let (now, one) = (Instant::now(), weight_of_one());
    let failing = |error: FetchError| Arc::new(entry(now).with_failure(error, now));
    let timeout = || failing(UpstreamFailure::Timeout.into());
    let index = index(3 * one);
    index.insert(key(1), timeout(), now).unwrap();
    index.insert(key(2), failing(LocalDenial::Overloaded.into()), now).unwrap();
    index.insert(key(3), timeout(), now).unwrap();
    assert!(index.purge(&key(3)));
    index.resize(one);
    assert_eq!(index.size(), (1, one));
    index.resize(0);
    let left = [1, 2, 3].map(|number| index.failures.get(&key(number)));
    assert_eq!(left[0].as_ref().map(|failure| failure.failures), Some(1));
    assert_eq!((&left[1], &left[2]), (&None, &None), "denied here, and purged");
    index.resize(3 * one);
    let later = now + Duration::from_secs(5);
    let denied = timeout().with_failure(LocalDenial::Overloaded.into(), later);
    index.insert(key(6), Arc::new(denied), later).unwrap();
    index.resize(0);
    let row = index.failures.get(&key(6)).unwrap();
    assert_eq!(
        (row.failures, row.is_resting(later)),
        (1, false),
        "a miss may have a call, and it is the second"
    );
    index.resize(3 * one);
    index.insert(key(4), timeout(), now).unwrap();
    tokio::time::advance(Duration::from_hours(30)).await;
    let later = Instant::now();
    // One shard is searched at each insertion.
    for _ in 0..2 * SHARDS {
        index.insert(key(5), entry(later), later).unwrap();
    }
    assert_eq!((index.size().0, index.failures.get(&key(4))), (1, None), "it is long past");
}
