//! What a snapshot has room for.

use super::*;

#[test]
fn a_record_takes_its_bytes_and_sixteen_more() {
    let body = Representation::new(b"123");
    for (body, bytes) in [(None, 21), (Some(body), 24)] {
        let record = SnapshotRecord { fields: vec![0; 5], body };
        let mut room = Room { left: 2 * bytes };
        assert_eq!([(); 3].map(|()| room.takes(&record)), [true, true, false]);
        let mut room = Room { left: bytes - 1 };
        assert_eq!((room.takes(&record), room.left), (false, bytes - 1), "a smaller one may still fit");
    }
}

#[tokio::test(start_paused = true)]
async fn while_no_entry_came_or_went_nothing_has_changed() {
    let cache = cache(RefreshSchedule::Fixed);
    let begun = cache.changes_so_far();
    fetch(&cache, key(1), Ok(clicks(key(1), 3)));
    let fetched = cache.changes_so_far();
    cache.peek(&key(1)).unwrap().count_hit();
    assert_eq!((begun, fetched, cache.changes_so_far()), (0, 1, 1));
    cache.purge(key(1).id);
    assert!(cache.changes_so_far() > 1);
}

#[tokio::test(start_paused = true)]
async fn a_snapshot_has_a_bound_and_the_reports_requested_most_come_first() {
    let before = cache(RefreshSchedule::Fixed);
    let filler = format!(r#"{{"x":"{}"}}"#, "x".repeat(10_000));
    for number in 0..20 {
        fetch(&before, key(number), Ok(report(key(number), &filler)));
        (0..number).for_each(|_| before.peek(&key(number)).unwrap().count_hit());
    }
    let taken: Vec<_> = before.snapshot(Instant::now(), 60_000).collect();
    let bytes: usize = taken
        .iter()
        .map(|record| record.fields.len() + record.body.as_ref().map_or(0, |body| body.body().len()))
        .sum();
    assert!(bytes <= 60_000, "{bytes}");
    let after = cache(RefreshSchedule::Fixed);
    restore(&after, &taken, SECOND);
    assert_eq!(after.keys(), (15..20).map(key).collect::<Vec<_>>());

    let mut small = options(RefreshSchedule::Fixed, PlanClock::starting_at(start()));
    small.max_bytes = 45_000;
    let after = cache_with(small);
    let restored = restore(&after, &records(&before), SECOND);
    assert_eq!(count(&restored, RestoredRecord::NotServed), 17);
    assert_eq!(
        after.keys(),
        (17..20).map(key).collect::<Vec<_>>(),
        "no more than fits, and nothing evicted for it"
    );
}

#[tokio::test(start_paused = true)]
async fn statistics_of_many_activities_leave_most_of_a_snapshot_to_the_reports() {
    let before = cache(RefreshSchedule::Fixed);
    for number in 0..200 {
        fetch(&before, key(number), Ok(clicks(key(number), 3)));
    }
    let taken: Vec<_> = before.snapshot(Instant::now(), 40_000).collect();
    let after = cache(RefreshSchedule::Fixed);
    restore(&after, &taken, SECOND);
    assert!(after.keys().len() > 50, "{}", after.keys().len());
    let known = |number: u128| after.statistics(key(number).id).is_some();
    assert_eq!((known(199), known(0)), (true, false), "those fetched last are kept");
}
