//! `GET /cache/{id}`: explains the cache entries of one activity: freshness, lifetime, click statistics, last error, and
//! what the next request will do.

use std::time::SystemTime;

use serde::Serialize;
use tokio::time::Instant;

use super::{
    ActivityNames, FleetStatus,
    both_clocks::BothClocks,
    entry_state::{EntryState, kind_of},
    next::{cost_calls, next, next_refresh, next_without_entry},
    reply::{rounded, seconds},
};
use crate::{
    cache::{ActivityStatistics, Entry, KnownStatus, PlannedView, RefreshFailure, ReportCache, SharedCopy},
    refresh::Pairing,
    report::{ActivityId, LinkReport, NoClicks, ReportKey, SentEvidence},
};

#[derive(Debug, Serialize)]
pub(super) struct Explanation {
    id: ActivityId,
    /// Entries, hits and clicks are those of one replica, also in a fleet.
    counted_for: &'static str,
    name: Option<Box<str>>,
    sent: SentView,
    /// `None`: the vendor was not asked for it, as `status.enabled` is off or no report of it is empty.
    status: Option<StatusView>,
    /// `None` until the upstream has responded with a report, for either value of `no_clicks`.
    clicks: Option<ClicksView>,
    reports: Vec<Explained>,
}

/// Whether the activity was sent, as far as it is known without a call.
#[derive(Debug, Serialize)]
struct SentView {
    answer: &'static str,
    /// The same as a sentence.
    why: &'static str,
}

/// What the vendor has said of the activity itself.
#[derive(Debug, Serialize)]
struct StatusView {
    status: &'static str,
    subject: Option<Box<str>>,
    role: Option<Box<str>>,
    checked_seconds_ago: i64,
}

/// The sum of unique clicks in the last report, for either value of `no_clicks`; kept when the entries are evicted.
#[derive(Debug, Serialize)]
struct ClicksView {
    total: u32,
    seen_seconds_ago: i64,
    /// Whether the reports with and without `no_clicks` show the same sum; if not, each is refreshed by its own clicks.
    reports_agree: bool,
    /// Newest first.
    changes: Vec<ChangeView>,
}

#[derive(Debug, Serialize)]
struct ChangeView {
    difference: i64,
    seconds_ago: i64,
}

/// One of the two reports that an activity has.
#[derive(Debug, Serialize)]
struct Explained {
    no_clicks: &'static str,
    being_fetched: bool,
    /// What the next request will do, as a sentence.
    next: String,
    /// The calls that the next request causes, if the quota and the circuit allow them.
    cost_calls: u8,
    /// When a request may start the next fetch at the earliest, or, of a planned refresh, when that is expected. `None`: it
    /// is not foreseen.
    next_refresh_at: Option<String>,
    /// Responses of the upstream since the statistics of this activity began.
    fetches: u32,
    hits_since_last_fetch: u64,
    /// Why there is no entry, if calls for it fail.
    last_fetch_error: Option<RefreshFailureView>,
    /// What the fleet has to do with it: `None` where nothing is shared, or if this replica has had no report of the key.
    fleet: Option<FleetCopyView>,
    held: Option<HeldView>,
}

/// The report that this replica last had, as the shared store knows it.
#[derive(Debug, Serialize)]
struct FleetCopyView {
    /// Increases with each flight of the fleet.
    fence: u64,
    fetched_by: &'static str,
}

#[derive(Debug, Serialize)]
struct HeldView {
    answer: &'static str,
    /// Whether it was fetched, or derived from the activity's report of all links.
    source: &'static str,
    freshness: &'static str,
    links: Option<usize>,
    clicks: Option<u32>,
    etag: Option<String>,
    /// Since the upstream generated the response.
    age_seconds: i64,
    /// Since it was stored in this cache.
    stored_for_seconds: i64,
    unchanged_for_seconds: i64,
    lifetime: LifetimeView,
    hits: u64,
    bytes: usize,
    /// Why it is refreshed or not; `None` with `cache.refresh = "fixed"`, and of a negative answer.
    plan: Option<PlanView>,
    /// Of a negative answer: the age of the earlier report, which is served if a call fails.
    report_behind_age_seconds: Option<i64>,
    last_refresh_error: Option<RefreshFailureView>,
}

/// The ages at which the entry's freshness changes, and the reason for its lifetime.
#[derive(Debug, Serialize)]
struct LifetimeView {
    reason: &'static str,
    /// The reason as a sentence.
    why: &'static str,
    fresh_until_seconds: i64,
    stale_while_revalidate_until_seconds: i64,
    stale_if_error_until_seconds: i64,
}

/// The refresh rule: refreshed when `owes` reaches `price`.
#[derive(Debug, Serialize)]
struct PlanView {
    answers_since_current: u32,
    clicks_missed_by_each: LackView,
    owes: f64,
    price: f64,
    clicks_per_hour: f64,
    looked_at_seconds_ago: i64,
}

/// Clicks that the responses since the last look have missed, on average.
#[derive(Debug, Serialize)]
struct LackView {
    known: f64,
    expected: f64,
    unexpected: f64,
}

#[derive(Debug, Serialize)]
struct RefreshFailureView {
    error_key: &'static str,
    /// The same as a sentence.
    error: String,
    failures: u32,
    failed_at: Option<String>,
    next_try_at: Option<String>,
    next_try_in_seconds: i64,
}

// === impl Explanation ===

impl Explanation {
    /// `utc` is the present time of day.
    pub(super) fn of(
        id: ActivityId,
        (memory, names): (&ReportCache, &ActivityNames),
        fleet: Option<&FleetStatus>,
        utc: SystemTime,
    ) -> Self {
        let now = Instant::now();
        let present = BothClocks { now, utc };
        let statistics = memory.statistics(id).unwrap_or_default();
        let reports = [NoClicks::Omitted, NoClicks::Listed].map(|no_clicks| {
            let key = ReportKey { id, no_clicks };
            let entry = memory.peek(&key);
            let refresh_failure = memory.failure(&key);
            let form = statistics.form(no_clicks);
            Explained {
                no_clicks: no_clicks.as_str(),
                being_fetched: memory.is_being_fetched(&key),
                next: match &entry {
                    Some(entry) => next(&key, entry, memory, now),
                    None => next_without_entry(form, refresh_failure.as_ref(), now),
                },
                cost_calls: match &entry {
                    _ if memory.is_being_fetched(&key) => 0,
                    Some(entry) => cost_calls(&key, entry, memory, now),
                    None => u8::from(refresh_failure.as_ref().is_none_or(|failure| failure.retry_at <= now)),
                },
                next_refresh_at: match &entry {
                    Some(entry) => next_refresh(&key, entry, memory, now),
                    None => refresh_failure.as_ref().map(|failure| failure.retry_at - now),
                }
                .and_then(|left| present.after(left)),
                fetches: form.fetches,
                hits_since_last_fetch: form.hits_since_last_fetch(entry.as_ref().map(|entry| entry.hits())),
                last_fetch_error: refresh_failure
                    .map(|refresh_failure| RefreshFailureView::of(&refresh_failure, present)),
                fleet: fleet.and_then(|fleet| fleet.copy(&key)).map(FleetCopyView::from),
                held: entry.map(|entry| HeldView::of(&key, &entry, memory, present)),
            }
        });
        Self {
            id,
            counted_for: "this_replica",
            name: names.of(id, memory),
            sent: SentView::of(memory.sent_evidence(id)),
            status: memory.activity_status(id).map(|known| StatusView::of(&known, now)),
            clicks: ClicksView::of(&statistics, memory, now),
            reports: reports.into(),
        }
    }
}

// === impl SentView ===

impl SentView {
    const fn of(evidence: SentEvidence) -> Self {
        Self { answer: evidence.sent().as_str(), why: evidence.explanation() }
    }
}

// === impl StatusView ===

impl StatusView {
    fn of(KnownStatus { details, checked_at, .. }: &KnownStatus, now: Instant) -> Self {
        Self {
            status: details.status.as_str(),
            subject: details.subject.clone(),
            role: details.role.clone(),
            checked_seconds_ago: seconds(now.saturating_duration_since(*checked_at)),
        }
    }
}

// === impl ClicksView ===

impl ClicksView {
    fn of(statistics: &ActivityStatistics, memory: &ReportCache, now: Instant) -> Option<Self> {
        let campaign = statistics.campaign()?;
        let ago = |at| seconds(now.saturating_duration_since(at));
        let last = statistics.last_look()?;
        let changes = statistics
            .changes()
            .map(|change| ChangeView { difference: change.difference, seconds_ago: ago(change.at) });
        Some(Self {
            total: last.clicks(),
            seen_seconds_ago: seconds(memory.since_look(last, now)),
            reports_agree: campaign.pairing() == Pairing::Paired,
            changes: changes.collect(),
        })
    }
}

// === impl FleetCopyView ===

impl From<SharedCopy> for FleetCopyView {
    fn from(SharedCopy { fence, fetched_by }: SharedCopy) -> Self {
        Self { fence: fence.0, fetched_by: fetched_by.as_str() }
    }
}

// === impl HeldView ===

impl HeldView {
    fn of(key: &ReportKey, entry: &Entry, memory: &ReportCache, present: BothClocks) -> Self {
        let (now, lifetime) = (present.now, entry.lifetime());
        Self {
            answer: kind_of(entry),
            source: entry.source().as_str(),
            freshness: EntryState::of(key, entry, memory, now).as_str(),
            links: entry.report().map(LinkReport::links),
            clicks: entry.report().map(LinkReport::clicks),
            etag: entry
                .report()
                .map(|report| String::from_utf8_lossy(&report.representation().tag()).into_owned()),
            age_seconds: seconds(entry.age(now)),
            stored_for_seconds: seconds(entry.stored_for(now)),
            unchanged_for_seconds: seconds(entry.unchanged_for(now)),
            lifetime: LifetimeView {
                reason: lifetime.reason.as_str(),
                why: lifetime.reason.explanation(),
                fresh_until_seconds: seconds(lifetime.fresh),
                stale_while_revalidate_until_seconds: seconds(lifetime.revalidate),
                stale_if_error_until_seconds: entry.report().map_or(0, |_| seconds(lifetime.keep)),
            },
            hits: entry.hits(),
            bytes: entry.weight(),
            plan: memory.planned_view(key, entry, now).map(PlanView::of),
            report_behind_age_seconds: entry.behind(now).map(|report| seconds(report.age(now))),
            last_refresh_error: entry
                .refresh_failure()
                .map(|refresh_failure| RefreshFailureView::of(refresh_failure, present)),
        }
    }
}

// === impl PlanView ===

impl PlanView {
    fn of(planned: PlannedView) -> Self {
        let PlannedView { answers, lack, owes, price, clicks_per_hour, looked_ago } = planned;
        Self {
            answers_since_current: answers,
            clicks_missed_by_each: LackView {
                known: rounded(lack.known),
                expected: rounded(lack.expected),
                unexpected: rounded(lack.unexpected),
            },
            owes: rounded(owes),
            price: rounded(price.clicks_missed()),
            clicks_per_hour: rounded(clicks_per_hour),
            looked_at_seconds_ago: seconds(looked_ago),
        }
    }
}

// === impl RefreshFailureView ===

impl RefreshFailureView {
    fn of(refresh_failure: &RefreshFailure, present: BothClocks) -> Self {
        let RefreshFailure { error, failures, tried_at, retry_at } = refresh_failure;
        let left = retry_at.saturating_duration_since(present.now);
        Self {
            error_key: error.cause.as_str(),
            error: error.to_string(),
            failures: *failures,
            failed_at: present.before(present.now.saturating_duration_since(*tried_at)),
            next_try_at: present.after(left),
            next_try_in_seconds: seconds(left),
        }
    }
}
