//! `GET /cache/{id}`: what is remembered of one activity, why for so long, and what comes next.

use serde::Serialize;
use tokio::time::Instant;

use super::list::{kind_of, seconds};
use crate::{
    cache::{Entry, Freshness, Refresh, RefreshFailure, ReportCache},
    report::{ActivityId, LinkReport, NoClicks, ReportKey},
};

#[derive(Debug, Serialize)]
pub(super) struct Explanation {
    id: ActivityId,
    reports: Vec<Explained>,
}

/// One of the two reports that an activity has.
#[derive(Debug, Serialize)]
struct Explained {
    no_clicks: &'static str,
    being_fetched: bool,
    /// What happens when it is asked for now.
    next: String,
    /// Why nothing is held, if calls fail.
    last_fetch_error: Option<RefreshFailureView>,
    held: Option<HeldView>,
}

#[derive(Debug, Serialize)]
struct HeldView {
    answer: &'static str,
    freshness: &'static str,
    links: Option<usize>,
    etag: Option<String>,
    age_seconds: i64,
    unchanged_for_seconds: i64,
    lifetime: LifetimeView,
    hits: u64,
    bytes: usize,
    /// The age of the report behind a refusal, which stands in for an error.
    report_behind_age_seconds: Option<i64>,
    last_refresh_error: Option<RefreshFailureView>,
}

/// The ages at which it changes its standing.
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
        let reports = [NoClicks::Omitted, NoClicks::Listed].map(|no_clicks| {
            let key = ReportKey { id, no_clicks };
            let entry = memory.peek(&key);
            let refresh_failure = memory.failure(&key);
            Explained {
                no_clicks: no_clicks.as_str(),
                being_fetched: memory.is_being_fetched(&key),
                next: next(entry.as_deref(), refresh_failure.as_ref(), memory, now),
                last_fetch_error: refresh_failure
                    .map(|refresh_failure| RefreshFailureView::of(&refresh_failure, now)),
                held: entry.map(|entry| HeldView::of(&entry, now)),
            }
        });
        Self { id, reports: reports.into() }
    }
}

fn next(
    entry: Option<&Entry>,
    refresh_failure: Option<&RefreshFailure>,
    memory: &ReportCache,
    now: Instant,
) -> String {
    let Some(entry) = entry else {
        let paused = refresh_failure
            .map(|refresh_failure| refresh_failure.retry_at.saturating_duration_since(now).as_secs());
        return match paused {
            Some(pause @ 1..) => {
                format!("not held, and calls fail: answered with that error for {pause} s, then tried again")
            }
            Some(0) | None => "not held: the next request is a miss and waits for a call".to_owned(),
        };
    };
    let fresh_for = entry.lifetime().fresh.saturating_sub(entry.age(now)).as_secs();
    match (entry.standing(now), entry.refresh_failure(), memory.refresh(entry, now)) {
        (Freshness::Fresh, _, _) => {
            format!("answered from memory; due for a refresh in {fresh_for} s, when it is asked for")
        }
        (Freshness::Stale | Freshness::StaleIfError, _, Refresh::Deferred(left)) => {
            let left = left.as_secs();
            format!(
                "answered from memory; calls are scarce: due for a refresh in {left} s, when it is asked for"
            )
        }
        (Freshness::Stale | Freshness::StaleIfError, _, Refresh::Stopped) => {
            "answered from memory; calls are too scarce for a refresh".to_owned()
        }
        (
            Freshness::StaleIfError | Freshness::Expired,
            refresh_failure,
            Refresh::Due | Refresh::Backoff(_),
        ) if entry.negative_answer().is_some() => refused(entry, refresh_failure, now),
        (Freshness::Stale, None, Refresh::Due | Refresh::Backoff(_)) => {
            "answered from memory, and refreshed behind".to_owned()
        }
        (
            Freshness::Stale | Freshness::StaleIfError,
            Some(refresh_failure),
            Refresh::Due | Refresh::Backoff(_),
        ) => {
            let pause = refresh_failure.retry_at.saturating_duration_since(now).as_secs();
            format!(
                "answered from memory, since refreshing fails; tried again in {pause} s, when it is asked for"
            )
        }
        (Freshness::StaleIfError, None, Refresh::Due | Refresh::Backoff(_)) => {
            "too old to be answered at once: waits for a call, and stands in if that fails".to_owned()
        }
        (Freshness::Expired, _, _) => {
            "too old for anything: the next request is a miss and waits for a call".to_owned()
        }
    }
}

/// What happens when a refusal that is not fresh any more is asked for.
fn refused(entry: &Entry, refresh_failure: Option<&RefreshFailure>, now: Instant) -> String {
    let pause = refresh_failure
        .map_or(0, |refresh_failure| refresh_failure.retry_at.saturating_duration_since(now).as_secs());
    match (entry.behind(now), pause) {
        (Some(_), 1..) => format!(
            "answered with the report before the refusal, since refreshing fails; tried again in {pause} s, when it is asked for"
        ),
        (Some(_), 0) => {
            "the refusal has expired: waits for a call, and the report before it stands in if that fails"
                .to_owned()
        }
        (None, 1..) => {
            format!(
                "the refusal has expired, and calls fail: answered with that error for {pause} s, then tried again"
            )
        }
        (None, 0) => "the refusal has expired: the next request waits for a call".to_owned(),
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
            etag: entry
                .report()
                .map(|report| String::from_utf8_lossy(report.representation().tag()).into_owned()),
            age_seconds: seconds(entry.age(now)),
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
    match entry.standing(now) {
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
