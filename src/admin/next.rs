//! `next` in `GET /cache/{id}`: what the next request for a report will do, as a sentence.

use std::time::Duration;

use tokio::time::Instant;

use crate::{
    cache::{Entry, FormStatistics, Freshness, Refresh, RefreshFailure, ReportCache},
    report::ReportKey,
    telemetry::EvictionCause,
};

pub(super) fn next_without_entry(
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

pub(super) fn next(key: &ReportKey, entry: &Entry, memory: &ReportCache, now: Instant) -> String {
    let fresh_for = entry.lifetime().fresh.saturating_sub(entry.age(now)).as_secs();
    match (entry.freshness(now), entry.refresh_failure(), memory.refresh_of(key, entry, now)) {
        (_, _, Refresh::Planned(left)) => next_planned(left),
        (_, _, Refresh::OnceSent) => {
            "served from the cache; refreshed once the mail is no longer a draft".to_owned()
        }
        (_, _, Refresh::AfterProbe) => {
            "served from the cache; worth a call, and refreshed if the next change probe shows new clicks"
                .to_owned()
        }
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

/// The calls that the next request for an entry causes, if the quota and the circuit allow them.
pub(super) fn cost_calls(key: &ReportKey, entry: &Entry, memory: &ReportCache, now: Instant) -> u8 {
    let is_gone = entry.freshness(now) == Freshness::Expired && entry.behind(now).is_none();
    match memory.refresh_of(key, entry, now) {
        Refresh::Due => 1,
        Refresh::Deferred(_) | Refresh::Stopped => u8::from(is_gone),
        Refresh::Backoff(_) | Refresh::Planned(_) | Refresh::AfterProbe | Refresh::OnceSent => 0,
    }
}

/// The time until the next refresh: of a planned one, at the present rate of requests; of others, until a request may start
/// it. `None`: it is not foreseen.
pub(super) fn next_refresh(
    key: &ReportKey,
    entry: &Entry,
    memory: &ReportCache,
    now: Instant,
) -> Option<Duration> {
    match memory.refresh_of(key, entry, now) {
        Refresh::Planned(left) => left,
        Refresh::Deferred(left) | Refresh::Backoff(left) => Some(left),
        Refresh::Due => Some(Duration::ZERO),
        Refresh::AfterProbe | Refresh::OnceSent | Refresh::Stopped => None,
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

/// What the next request does if the report is not worth a call yet.
fn next_planned(left: Option<Duration>) -> String {
    match left {
        Some(left) => format!(
            "served from the cache; refreshed when it is worth a call, in about {} s at the present rate of requests",
            left.as_secs()
        ),
        None => {
            "served from the cache; at the present rate of requests not worth a call within a day".to_owned()
        }
    }
}
