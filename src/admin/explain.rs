//! `GET /cache/{id}`: explains the cache entries of one activity: freshness, lifetime, click statistics, last error, and
//! what the next request will do.

use serde::Serialize;
use tokio::time::Instant;

use super::list::{kind_of, seconds};
use crate::{
    cache::{ActivityStatistics, Entry, FormStatistics, Freshness, Refresh, RefreshFailure, ReportCache},
    report::{ActivityId, LinkReport, NoClicks, ReportKey},
    telemetry::EvictionCause,
};

#[derive(Debug, Serialize)]
pub(super) struct Explanation {
    id: ActivityId,
    /// `None` until the upstream has responded with a report, for either value of `no_clicks`.
    clicks: Option<ClicksView>,
    reports: Vec<Explained>,
}

/// The sum of unique clicks in the last report, for either value of `no_clicks`; kept when the entries are evicted.
#[derive(Debug, Serialize)]
struct ClicksView {
    total: u32,
    seen_seconds_ago: i64,
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
    /// Responses of the upstream since the statistics of this activity began.
    fetches: u64,
    hits_since_last_fetch: u64,
    /// Why there is no entry, if calls for it fail.
    last_fetch_error: Option<RefreshFailureView>,
    held: Option<HeldView>,
}

#[derive(Debug, Serialize)]
struct HeldView {
    answer: &'static str,
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
    /// Of a negative answer: the age of the earlier report, which is served if a call fails.
    report_behind_age_seconds: Option<i64>,
    last_refresh_error: Option<RefreshFailureView>,
}

/// The ages at which the entry's freshness changes, and the reason for its lifetime.
#[derive(Debug, Serialize)]
struct LifetimeView {
    why: &'static str,
    fresh_until_seconds: i64,
    stale_while_revalidate_until_seconds: i64,
    stale_if_error_until_seconds: i64,
}

#[derive(Debug, Serialize)]
struct RefreshFailureView {
    error: String,
    failures: u32,
    next_try_in_seconds: i64,
}

// === impl Explanation ===

impl Explanation {
    pub(super) fn of(id: ActivityId, memory: &ReportCache) -> Self {
        let now = Instant::now();
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
                    Some(entry) => next(entry, memory, now),
                    None => next_without_entry(form, refresh_failure.as_ref(), now),
                },
                fetches: form.fetches,
                hits_since_last_fetch: form.hits_since_last_fetch(entry.as_ref().map(|entry| entry.hits())),
                last_fetch_error: refresh_failure
                    .map(|refresh_failure| RefreshFailureView::of(&refresh_failure, now)),
                held: entry.map(|entry| HeldView::of(&entry, now)),
            }
        });
        Self { id, clicks: ClicksView::of(&statistics, now), reports: reports.into() }
    }
}

fn next_without_entry(
    form: &FormStatistics,
    refresh_failure: Option<&RefreshFailure>,
    now: Instant,
) -> String {
    let paused = refresh_failure
        .map(|refresh_failure| refresh_failure.retry_at.saturating_duration_since(now).as_secs());
    if let Some(pause @ 1..) = paused {
        return format!(
            "not cached, and calls fail: the response is last_fetch_error; the next call is tried in {pause} s"
        );
    }
    let removed = form.removed.map_or_else(String::new, |removed| {
        let ago = now.saturating_duration_since(removed.at).as_secs();
        match removed.why {
            EvictionCause::Size => format!(" (evicted {ago} s ago to make room)"),
            EvictionCause::Expired => format!(" (expired, and removed {ago} s ago)"),
            EvictionCause::Purged => format!(" (purged {ago} s ago)"),
        }
    });
    format!("not cached{removed}: the next request is a miss and waits for a call")
}

fn next(entry: &Entry, memory: &ReportCache, now: Instant) -> String {
    let fresh_for = entry.lifetime().fresh.saturating_sub(entry.age(now)).as_secs();
    match (entry.freshness(now), entry.refresh_failure(), memory.refresh(entry, now)) {
        (Freshness::Fresh, _, _) => {
            format!("served from the cache; the first request after {fresh_for} s starts a refresh")
        }
        (Freshness::Stale | Freshness::StaleIfError, _, Refresh::Deferred(left)) => {
            let left = left.as_secs();
            format!(
                "served from the cache; the quota is low: the first request after {left} s starts a refresh"
            )
        }
        (Freshness::Stale | Freshness::StaleIfError, _, Refresh::Stopped) => {
            "served from the cache; the quota is too low for a refresh".to_owned()
        }
        (
            Freshness::StaleIfError | Freshness::Expired,
            refresh_failure,
            Refresh::Due | Refresh::Backoff(_),
        ) if entry.negative_answer().is_some() => next_after_negative(entry, refresh_failure, now),
        (Freshness::Stale, None, Refresh::Due | Refresh::Backoff(_)) => {
            "served from the cache, and refreshed in the background".to_owned()
        }
        (
            Freshness::Stale | Freshness::StaleIfError,
            Some(refresh_failure),
            Refresh::Due | Refresh::Backoff(_),
        ) => {
            let pause = refresh_failure.retry_at.saturating_duration_since(now).as_secs();
            format!(
                "served from the cache, since refreshes fail; the first request after {pause} s starts the next one"
            )
        }
        (Freshness::StaleIfError, None, Refresh::Due | Refresh::Backoff(_)) => {
            "too old to be served at once: the next request waits for a call; served if that call fails"
                .to_owned()
        }
        (Freshness::Expired, _, _) => "expired: the next request is a miss and waits for a call".to_owned(),
    }
}

/// What the next request does if the entry is a negative answer that is no longer fresh.
fn next_after_negative(entry: &Entry, refresh_failure: Option<&RefreshFailure>, now: Instant) -> String {
    let pause = refresh_failure
        .map_or(0, |refresh_failure| refresh_failure.retry_at.saturating_duration_since(now).as_secs());
    match (entry.behind(now), pause) {
        (Some(_), 1..) => format!(
            "the report from before the refusal is served, since refreshes fail; the first request after {pause} s starts the next one"
        ),
        (Some(_), 0) => {
            "the refusal has expired: the next request waits for a call; the report from before the refusal is served if that call fails"
                .to_owned()
        }
        (None, 1..) => {
            format!(
                "the refusal has expired, and calls fail: the response is last_refresh_error; the next call is tried in {pause} s"
            )
        }
        (None, 0) => "the refusal has expired: the next request waits for a call".to_owned(),
    }
}

// === impl ClicksView ===

impl ClicksView {
    fn of(statistics: &ActivityStatistics, now: Instant) -> Option<Self> {
        let ago = |at| seconds(now.saturating_duration_since(at));
        let last_report = statistics.last_report()?;
        let changes = statistics
            .changes()
            .map(|change| ChangeView { difference: change.difference, seconds_ago: ago(change.at) });
        Some(Self {
            total: last_report.clicks,
            seen_seconds_ago: ago(last_report.at),
            changes: changes.collect(),
        })
    }
}

// === impl HeldView ===

impl HeldView {
    fn of(entry: &Entry, now: Instant) -> Self {
        let lifetime = entry.lifetime();
        Self {
            answer: kind_of(entry),
            freshness: freshness(entry, now),
            links: entry.report().map(LinkReport::links),
            clicks: entry.report().map(LinkReport::clicks),
            etag: entry
                .report()
                .map(|report| String::from_utf8_lossy(report.representation().tag()).into_owned()),
            age_seconds: seconds(entry.age(now)),
            stored_for_seconds: seconds(entry.stored_for(now)),
            unchanged_for_seconds: seconds(entry.unchanged_for(now)),
            lifetime: LifetimeView {
                why: lifetime.reason.as_str(),
                fresh_until_seconds: seconds(lifetime.fresh),
                stale_while_revalidate_until_seconds: seconds(lifetime.revalidate),
                stale_if_error_until_seconds: entry.report().map_or(0, |_| seconds(lifetime.keep)),
            },
            hits: entry.hits(),
            bytes: entry.weight(),
            report_behind_age_seconds: entry.behind(now).map(|report| seconds(report.age(now))),
            last_refresh_error: entry
                .refresh_failure()
                .map(|refresh_failure| RefreshFailureView::of(refresh_failure, now)),
        }
    }
}

fn freshness(entry: &Entry, now: Instant) -> &'static str {
    match entry.freshness(now) {
        Freshness::Fresh => "fresh",
        Freshness::Stale | Freshness::StaleIfError | Freshness::Expired
            if entry.negative_answer().is_some() =>
        {
            "expired"
        }
        Freshness::Stale => "stale",
        Freshness::StaleIfError => "stale_if_error",
        Freshness::Expired => "expired",
    }
}

// === impl RefreshFailureView ===

impl RefreshFailureView {
    fn of(refresh_failure: &RefreshFailure, now: Instant) -> Self {
        Self {
            error: refresh_failure.error.to_string(),
            failures: refresh_failure.failures,
            next_try_in_seconds: seconds(refresh_failure.retry_at.saturating_duration_since(now)),
        }
    }
}
