//! `GET /cache/{id}`: what is remembered of one activity, why for so long, and what comes next.

use serde::Serialize;
use tokio::time::Instant;

use super::caching::{kind_of, seconds};
use crate::{
    cache::{Entry, Memory, Refresh, Standing, Trouble},
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
    trouble: Option<Troubled>,
    held: Option<Held>,
}

#[derive(Debug, Serialize)]
struct Held {
    answer: &'static str,
    standing: &'static str,
    links: Option<usize>,
    etag: Option<String>,
    age_seconds: i64,
    unchanged_for_seconds: i64,
    lifetime: Ages,
    hits: u64,
    bytes: usize,
    /// The age of the report behind a refusal, which stands in for an error.
    report_behind_age_seconds: Option<i64>,
    trouble: Option<Troubled>,
}

/// The ages at which it changes its standing.
#[derive(Debug, Serialize)]
struct Ages {
    why: &'static str,
    fresh_until_seconds: i64,
    refreshed_behind_until_seconds: i64,
    better_than_an_error_until_seconds: i64,
}

#[derive(Debug, Serialize)]
struct Troubled {
    last_error: String,
    failures: u32,
    next_try_in_seconds: i64,
}

// === impl Explanation ===

impl Explanation {
    pub(super) fn of(id: ActivityId, memory: &Memory) -> Self {
        let now = Instant::now();
        let reports = [NoClicks::Omitted, NoClicks::Listed].map(|no_clicks| {
            let key = ReportKey { id, no_clicks };
            let entry = memory.peek(&key);
            let trouble = memory.failure(&key);
            Explained {
                no_clicks: no_clicks.as_str(),
                being_fetched: memory.is_being_fetched(&key),
                next: next(entry.as_deref(), trouble.as_ref(), memory, now),
                trouble: trouble.map(|trouble| Troubled::of(&trouble, now)),
                held: entry.map(|entry| Held::of(&entry, now)),
            }
        });
        Self { id, reports: reports.into() }
    }
}

fn next(entry: Option<&Entry>, trouble: Option<&Trouble>, memory: &Memory, now: Instant) -> String {
    let Some(entry) = entry else {
        let paused = trouble.map(|trouble| trouble.retry_at.saturating_duration_since(now).as_secs());
        return match paused {
            Some(pause @ 1..) => {
                format!("not held, and calls fail: answered with that error for {pause} s, then tried again")
            }
            Some(0) | None => "not held: the next request is a miss and waits for a call".to_owned(),
        };
    };
    let fresh_for = entry.lifetime().fresh.saturating_sub(entry.age(now)).as_secs();
    match (entry.standing(now), entry.trouble(), memory.refresh(entry, now)) {
        (Standing::Fresh, _, _) => {
            format!("answered from memory; due for a refresh in {fresh_for} s, when it is asked for")
        }
        (Standing::Stale | Standing::Kept, _, Refresh::PutOff(left)) => {
            let left = left.as_secs();
            format!(
                "answered from memory; calls are scarce: due for a refresh in {left} s, when it is asked for"
            )
        }
        (Standing::Stale | Standing::Kept, _, Refresh::Stopped) => {
            "answered from memory; calls are too scarce for a refresh".to_owned()
        }
        (Standing::Kept | Standing::Spent, trouble, Refresh::Due | Refresh::Resting(_))
            if entry.refusal().is_some() =>
        {
            refused(entry, trouble, now)
        }
        (Standing::Stale, None, Refresh::Due | Refresh::Resting(_)) => {
            "answered from memory, and refreshed behind".to_owned()
        }
        (Standing::Stale | Standing::Kept, Some(trouble), Refresh::Due | Refresh::Resting(_)) => {
            let pause = trouble.retry_at.saturating_duration_since(now).as_secs();
            format!(
                "answered from memory, since refreshing fails; tried again in {pause} s, when it is asked for"
            )
        }
        (Standing::Kept, None, Refresh::Due | Refresh::Resting(_)) => {
            "too old to be answered at once: waits for a call, and stands in if that fails".to_owned()
        }
        (Standing::Spent, _, _) => {
            "too old for anything: the next request is a miss and waits for a call".to_owned()
        }
    }
}

/// What happens when a refusal that is not fresh any more is asked for.
fn refused(entry: &Entry, trouble: Option<&Trouble>, now: Instant) -> String {
    let pause = trouble.map_or(0, |trouble| trouble.retry_at.saturating_duration_since(now).as_secs());
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

// === impl Held ===

impl Held {
    fn of(entry: &Entry, now: Instant) -> Self {
        let lifetime = entry.lifetime();
        Self {
            answer: kind_of(entry),
            standing: standing(entry, now),
            links: entry.report().map(LinkReport::links),
            etag: entry.report().map(|report| String::from_utf8_lossy(report.tagged().tag()).into_owned()),
            age_seconds: seconds(entry.age(now)),
            unchanged_for_seconds: seconds(entry.unchanged_for(now)),
            lifetime: Ages {
                why: lifetime.reason.as_str(),
                fresh_until_seconds: seconds(lifetime.fresh),
                refreshed_behind_until_seconds: seconds(lifetime.revalidate),
                better_than_an_error_until_seconds: entry.report().map_or(0, |_| seconds(lifetime.keep)),
            },
            hits: entry.hits(),
            bytes: entry.weight(),
            report_behind_age_seconds: entry.behind(now).map(|report| seconds(report.age(now))),
            trouble: entry.trouble().map(|trouble| Troubled::of(trouble, now)),
        }
    }
}

fn standing(entry: &Entry, now: Instant) -> &'static str {
    match entry.standing(now) {
        Standing::Fresh => "fresh",
        Standing::Stale | Standing::Kept | Standing::Spent if entry.refusal().is_some() => "expired",
        Standing::Stale => "stale",
        Standing::Kept => "kept for errors",
        Standing::Spent => "spent",
    }
}

// === impl Troubled ===

impl Troubled {
    fn of(trouble: &Trouble, now: Instant) -> Self {
        Self {
            last_error: trouble.error.to_string(),
            failures: trouble.failures,
            next_try_in_seconds: seconds(trouble.retry_at.saturating_duration_since(now)),
        }
    }
}
