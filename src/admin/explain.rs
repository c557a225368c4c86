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
            Explained {
                no_clicks: no_clicks.as_str(),
                being_fetched: memory.is_being_fetched(&key),
                next: next(entry.as_deref(), memory, now),
                held: entry.map(|entry| Held::of(&entry, now)),
            }
        });
        Self { id, reports: reports.into() }
    }
}

fn next(entry: Option<&Entry>, memory: &Memory, now: Instant) -> String {
    let Some(entry) = entry else {
        return "not held: the next request is a miss and waits for a call".to_owned();
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

// === impl Held ===

impl Held {
    fn of(entry: &Entry, now: Instant) -> Self {
        let lifetime = entry.lifetime();
        Self {
            answer: kind_of(entry),
            standing: standing(entry.standing(now)),
            links: entry.report().map(LinkReport::links),
            etag: entry.report().map(|report| String::from_utf8_lossy(report.tagged().tag()).into_owned()),
            age_seconds: seconds(entry.age(now)),
            unchanged_for_seconds: seconds(entry.unchanged_for(now)),
            lifetime: Ages {
                why: lifetime.reason.as_str(),
                fresh_until_seconds: seconds(lifetime.fresh),
                refreshed_behind_until_seconds: seconds(lifetime.revalidate),
                better_than_an_error_until_seconds: seconds(lifetime.keep),
            },
            hits: entry.hits(),
            bytes: entry.weight(),
            trouble: entry.trouble().map(|trouble| Troubled::of(trouble, now)),
        }
    }
}

const fn standing(standing: Standing) -> &'static str {
    match standing {
        Standing::Fresh => "fresh",
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
