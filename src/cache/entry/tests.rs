use tokio::sync::OnceCell;

use super::*;
use crate::{
    refresh::{CampaignStats, ReportForm},
    report::{
        NegativeStatus, Representation, UpstreamFailure,
        testing::{policy, report},
    },
};

const MINUTE: Duration = Duration::from_mins(1);

fn entry(answer: Answer, before: Option<&Arc<Entry>>, now: Instant) -> Entry {
    let times = EntryTimes { generated_at: now, stored_at: now };
    Entry::new(answer, times, before, 0, &policy(), &Exchange::default())
}

fn negative(error_key: &str, error_message: &str) -> Answer {
    Answer::Negative(NegativeAnswer {
        status: NegativeStatus::NotFound,
        error_key: error_key.into(),
        error_message: error_message.into(),
    })
}

fn lifetime(fresh: Duration) -> Lifetime {
    Lifetime { fresh, revalidate: 2 * fresh, keep: 3 * fresh, reason: LifetimeReason::Links }
}

#[tokio::test(start_paused = true)]
async fn an_unchanged_answer_keeps_the_time_of_its_last_change() {
    let start = Instant::now();
    let first = Arc::new(entry(report("{}"), None, start));
    let same = Arc::new(entry(report("{}"), Some(&first), start + Duration::from_secs(300)));
    let other = Arc::new(entry(report("{},{}"), Some(&same), start + Duration::from_secs(600)));
    let end = start + Duration::from_secs(1_000);
    assert_eq!([&first, &same, &other].map(|entry| entry.unchanged_for(end).as_secs()), [1_000, 1_000, 400]);
}

#[tokio::test(start_paused = true)]
async fn it_is_as_old_as_its_answer_and_stored_when_it_came() {
    let start = Instant::now();
    let times = EntryTimes { generated_at: start, stored_at: start + MINUTE };
    let entry = Entry::new(report("{}"), times, None, 0, &policy(), &Exchange::default());
    let now = start + 3 * MINUTE;
    assert_eq!((entry.age(now), entry.stored_for(now)), (3 * MINUTE, 2 * MINUTE));
}

#[tokio::test(start_paused = true)]
async fn the_two_reports_of_a_call_are_due_together_unless_their_lifetimes_have_other_reasons() {
    let now = Instant::now();
    let of = |minutes, jitter| Entry {
        jitter: Jitter(jitter),
        ..entry(report("{}"), None, now).with_lifetime(lifetime(minutes * MINUTE))
    };
    let due = of(5, 0.25).due_with(&of(7, 0.75));
    assert_eq!((due.lifetime(), due.jitter), (lifetime(7 * MINUTE), Jitter(0.75)));
    let empty = Entry { reason: LifetimeReason::Empty, ..of(7, 0.75) };
    let due = of(5, 0.25).due_with(&empty);
    assert_eq!((due.lifetime(), due.jitter), (lifetime(5 * MINUTE), Jitter(0.25)));
}

#[tokio::test(start_paused = true)]
async fn a_new_policy_counts_for_a_negative_answer_and_for_the_report_behind_it() {
    let now = Instant::now();
    let good = Arc::new(entry(report("{}"), None, now));
    let refused = entry(negative("", ""), Some(&good), now);
    let longer = LifetimePolicy { negative_ttl: 2 * MINUTE, stale_if_error: 100 * MINUTE, ..policy() };
    let renewed = refused.under(&longer);
    assert_eq!(renewed.lifetime().fresh, 2 * MINUTE);
    assert_eq!(renewed.report_behind().map(|report| report.lifetime().keep), Some(100 * MINUTE));
}

#[tokio::test(start_paused = true)]
async fn failures_of_its_refresh_are_counted_and_show_in_the_entry() {
    let now = Instant::now();
    let mut failing = entry(report("{}"), None, now);
    assert_eq!(failing.refresh_failure(), None);
    for failures in 1..=3 {
        failing = failing.with_failure(UpstreamFailure::Timeout.into(), now);
        assert_eq!(failing.refresh_failure().map(|failure| failure.failures), Some(failures));
    }
}

#[tokio::test(start_paused = true)]
async fn the_plan_no_longer_decides_on_a_report_that_is_distrusted() {
    let now = Instant::now();
    let campaign = CampaignStats::first_look(ReportForm::Clicked, 7, Duration::ZERO);
    let copy = CopyStats::fetched(campaign.history(ReportForm::Clicked), 7, 0);
    let planned = entry(report("{}"), None, now).with_copy(copy, Duration::ZERO, None);
    assert!(planned.copy().is_some());
    let distrusted = planned.distrusted(MINUTE);
    assert!(distrusted.copy().is_none());
    let never = Duration::ZERO;
    let reason = LifetimeReason::NotTrusted;
    assert_eq!(distrusted.lifetime(), Lifetime { fresh: never, revalidate: never, keep: MINUTE, reason });
}

#[tokio::test(start_paused = true)]
async fn it_weighs_itself_its_key_twice_its_answer_and_what_is_behind_it() {
    let now = Instant::now();
    let own = size_of::<Entry>() + 2 * size_of::<ReportKey>() + OVERHEAD;
    let good = Arc::new(entry(report("{}"), None, now));
    let body = good.report().map_or(0, |report| report.representation().weight());
    assert!(body > 0);
    assert_eq!(good.weight(), own + body);
    let refused = entry(negative("seven..", "five."), Some(&good), now);
    assert_eq!(refused.weight(), own + 12 + good.weight());
    assert_eq!(good.gzip(), None);
    good.make_gzip().await;
    let gzip = good.gzip().map_or(0, Representation::weight);
    assert!(gzip > 0);
    assert_eq!(good.weight(), own + body + gzip + size_of::<OnceCell<Representation>>());
}
