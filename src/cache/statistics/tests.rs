use std::time::SystemTime;

use super::*;
use crate::{refresh::CopyStats, report::testing::key};

fn statistics() -> Statistics {
    Statistics::new(PlanClock::starting_at(SystemTime::UNIX_EPOCH))
}

/// The clicks of the last look, and its time since the start.
fn last_look(statistics: &Statistics) -> Option<(u32, Duration)> {
    let of_activity = statistics.get(key(1).id)?;
    let history = *of_activity.campaign()?.history(ReportForm::Clicked);
    Some((history.clicks(), history.looked_at()))
}

#[tokio::test(start_paused = true)]
async fn the_last_four_changes_are_kept_the_newest_first() {
    let (statistics, start) = (statistics(), Instant::now());
    for (minute, clicks) in [7, 7, 9, 4, 4, 5, 6, u32::MAX].into_iter().enumerate() {
        statistics.record_fetch(key(1), Some(clicks), start + Duration::from_mins(minute as u64), None);
    }
    let shown = statistics.get(key(1).id).unwrap();
    let changes: Vec<_> =
        shown.changes().map(|change| (change.difference, (change.at - start).as_secs() / 60)).collect();
    assert_eq!(changes, [(i64::from(u32::MAX) - 6, 7), (1, 6), (1, 5), (-5, 3)]);
    assert_eq!(last_look(&statistics), Some((u32::MAX, Duration::from_mins(7))));
    assert_eq!(shown.form(NoClicks::Omitted).fetches, 8);
}

#[tokio::test(start_paused = true)]
async fn neither_a_report_older_than_the_last_nor_a_negative_answer_changes_the_clicks() {
    let (statistics, start) = (statistics(), Instant::now());
    let second = Duration::from_secs(1);
    statistics.record_fetch(key(1), None, start, None);
    assert_eq!(last_look(&statistics), None);
    statistics.record_fetch(key(1), Some(9), start + second, None);
    statistics.record_fetch(key(1), Some(5), start, None);
    statistics.record_fetch(key(1), None, start + 2 * second, None);
    let shown = statistics.get(key(1).id).unwrap();
    assert_eq!(last_look(&statistics), Some((9, second)));
    assert_eq!((shown.changes().count(), shown.form(NoClicks::Omitted).fetches), (0, 4));
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_activities_drops_those_fetched_longest_ago_and_takes_no_more_than_its_room() {
    assert!(size_of::<ActivityStatistics>() <= 296, "{}", size_of::<ActivityStatistics>());
    let (statistics, now) = (statistics(), Instant::now());
    for number in 0..3 * MAX_ACTIVITIES as u128 {
        statistics.record_fetch(key(number), Some(1), now, None);
        if number % 1_000 == 0 {
            statistics.record_fetch(key(0), Some(1), now, None);
        }
    }
    assert!(statistics.activities().len() <= MAX_ACTIVITIES);
    for (number, known) in [(0, true), (1, false), (3 * MAX_ACTIVITIES as u128 - 1, true)] {
        assert_eq!(statistics.get(key(number).id).is_some(), known, "{number}");
    }
}

fn listed(key: ReportKey) -> ReportKey {
    ReportKey { no_clicks: NoClicks::Listed, ..key }
}

#[tokio::test(start_paused = true)]
async fn activities_whose_two_reports_show_other_clicks_are_counted() {
    let (statistics, start) = (statistics(), Instant::now());
    let minute = Duration::from_mins(1);
    for number in 1..=3 {
        statistics.record_fetch(key(number), Some(9), start, None);
    }
    assert_eq!(statistics.unpaired(), 0);
    for number in [1, 2] {
        // Fewer in the report of all links, long after: the two do not count the same.
        let recorded = statistics.record_fetch(listed(key(number)), Some(5), start + minute, None);
        assert_eq!(recorded.looked.map(|looked| looked.pairing), Some(Pairing::Separate));
        assert_eq!(statistics.unpaired(), number as u64);
        statistics.record_fetch(listed(key(number)), Some(6), start + 2 * minute, None);
        assert_eq!(statistics.unpaired(), number as u64, "it was known");
    }
    for _slice in 0..2 {
        let mut slice = DemandSlice::new(5 * minute, DemandSlice::LENGTH);
        statistics.add_to(&mut slice, KeysPerCampaign::Two, |_key| None);
        assert_eq!(statistics.unpaired(), 2);
    }
}

#[tokio::test(start_paused = true)]
async fn when_the_hits_of_a_report_came_is_known_after_the_first_slice_with_some() {
    let (statistics, start) = (statistics(), Instant::now());
    statistics.record_fetch(key(1), Some(9), start, None);
    let sliced_at = DemandSlice::LENGTH;
    assert_eq!(statistics.answer_times(key(1), sliced_at), None);
    let mut slice = DemandSlice::new(sliced_at, DemandSlice::LENGTH);
    let hits = |asked| if asked == key(1) { Some(7) } else { None };
    statistics.add_to(&mut slice, KeysPerCampaign::Two, hits);
    let known = statistics.get(key(1).id).unwrap();
    let of = |form| known.campaign().unwrap().answer_times(form, sliced_at);
    let times = [ReportForm::Clicked, ReportForm::AllLinks].map(of);
    assert_eq!([key(1), listed(key(1))].map(|key| statistics.answer_times(key, sliced_at)), times);
    assert!(times[0].is_some() && times[0] != times[1], "{times:?}");
    assert_eq!(statistics.answer_times(key(2), sliced_at), None);
}

#[tokio::test(start_paused = true)]
async fn what_is_known_of_clicks_goes_on_from_what_was_stored() {
    let (before, start) = (statistics(), Instant::now());
    for (number, clicks) in [(1, Some(7)), (2, Some(9)), (3, None)] {
        before.record_fetch(key(number), clicks, start, None);
    }
    let stored = before.campaigns();
    assert_eq!(stored.iter().map(|(id, _)| *id).collect::<Vec<_>>(), [1, 2].map(|number| key(number).id));
    let after = statistics();
    assert_eq!(after.restore(&stored, Duration::from_mins(1)), 2);
    assert_eq!(after.campaigns(), stored);
    assert_eq!(last_look(&after), Some((7, Duration::ZERO)));
    assert_eq!(statistics().restore(&[], Duration::ZERO), 0);
}

#[test]
fn answers_are_counted_on_where_a_key_has_more_of_them_than_32_bits_hold() {
    let (history, full) = (ClickHistory::first_look(7, Duration::ZERO), u64::from(u32::MAX));
    for before in [full - 4, full, full + 1, 3 * full] {
        let copy = CopyStats::fetched(&history, 7, count(before));
        let later = count(before + 9);
        assert_eq!((copy.answers_since_current(later), copy.answers_since_look(later)), (9, 9), "{before}");
        assert_eq!(copy.answers_since_current(count(before - 2)), 0, "counted before the look: {before}");
    }
}
