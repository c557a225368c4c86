//! `GET /cache`: lists the cache entries, filtered and sorted, by pages.

use std::{
    cmp::Ordering,
    sync::Arc,
    time::{Duration, SystemTime},
};

use serde::Serialize;
use tokio::time::Instant;

use super::{
    ActivityNames,
    both_clocks::BothClocks,
    entry_state::{EntryState, kind_of},
    list_query::{ListQuery, SortColumn, SortOrder},
    next::next_refresh,
    reply::{rounded, seconds},
};
use crate::{
    cache::{ActivityStatistics, Entry, ReportCache},
    refresh::{ClickHistory, ReportForm},
    report::{ActivityId, LinkReport, NoClicks, ReportKey},
};

#[derive(Debug, Serialize)]
pub(super) struct EntryList {
    entries: usize,
    page: usize,
    pages: usize,
    items: Vec<EntryRow>,
}

#[derive(Debug, Serialize)]
struct EntryRow {
    id: ActivityId,
    name: Option<Box<str>>,
    no_clicks: &'static str,
    answer: &'static str,
    state: &'static str,
    links: Option<usize>,
    age_seconds: u64,
    ttl_seconds: i64,
    unchanged_for_seconds: i64,
    /// When a request may start the next fetch at the earliest, or, of a planned refresh, when that is expected. `None`: it
    /// is not foreseen.
    next_refresh_at: Option<String>,
    /// Of the last refresh, if it failed.
    last_error: Option<String>,
    bytes: usize,
    hits: u64,
    /// Answers from the cache in about the last hour; with fixed lifetimes, and in the first minutes, since it was fetched.
    requests_per_hour: f64,
    /// The sum of unique clicks when the activity was last looked at; `None` of a refusal.
    clicks: Option<u32>,
    /// `None` while it is a guess.
    clicks_per_hour: Option<f64>,
}

/// How much an entry is in trouble; the worst last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum EntryTrouble {
    None,
    TooOld,
    Refused,
    Failing,
}

/// What an entry is sorted by; `None` comes last, whatever the order.
type SortValue = Option<f64>;

// === impl ListQuery ===

impl ListQuery {
    /// The entries that are asked for; `utc` is the present time of day.
    pub(super) fn list(&self, memory: &ReportCache, names: &ActivityNames, utc: SystemTime) -> EntryList {
        let (page, per_page, now) = (self.page, self.per_page, Instant::now());
        let mut found: Vec<_> = memory
            .keys()
            .into_iter()
            .filter(|key| self.part_of_id.is_empty() || key.id.to_string().contains(&self.part_of_id))
            .filter_map(|key| Some((key, memory.peek(&key)?)))
            .filter(|(key, entry)| self.is_asked_for(key, entry, memory, now))
            .collect();
        self.sort(&mut found, memory, now);
        let on_page = found.iter().skip((page - 1).saturating_mul(per_page)).take(per_page);
        let row = |(key, entry): &(ReportKey, Arc<Entry>)| EntryRow {
            name: names.of(key.id, memory),
            ..EntryRow::of(key, entry, memory, BothClocks { utc, now })
        };
        let items = on_page.map(row).collect();
        EntryList { entries: found.len(), page, pages: found.len().div_ceil(per_page), items }
    }

    fn is_asked_for(&self, key: &ReportKey, entry: &Entry, memory: &ReportCache, now: Instant) -> bool {
        let is_empty = || entry.report().is_some_and(|report| report.links() == 0);
        self.empty.admits(is_empty)
            && self.trouble.admits(|| EntryTrouble::of(key, entry, memory, now) != EntryTrouble::None)
    }

    /// Sorts entries that are in the order of their keys.
    fn sort(&self, found: &mut [(ReportKey, Arc<Entry>)], memory: &ReportCache, now: Instant) {
        match (self.sort, self.order) {
            (SortColumn::Id, SortOrder::Ascending) => {}
            (SortColumn::Id, SortOrder::Descending) => found.reverse(),
            (column, order) => found.sort_by_cached_key(|(key, entry)| {
                Ranked(sort_value(column, key, entry, memory, now), order)
            }),
        }
    }
}

fn sort_value(
    column: SortColumn,
    key: &ReportKey,
    entry: &Entry,
    memory: &ReportCache,
    now: Instant,
) -> SortValue {
    let secs = |time: Duration| Some(time.as_secs_f64());
    match column {
        SortColumn::Id => None,
        SortColumn::Trouble => Some(f64::from(EntryTrouble::of(key, entry, memory, now) as u8)),
        SortColumn::Age => secs(entry.age(now)),
        SortColumn::NextRefresh => next_refresh(key, entry, memory, now).and_then(secs),
        SortColumn::Unchanged => secs(entry.unchanged_for(now)),
        SortColumn::Links => entry.report().map(|report| report.links() as f64),
        SortColumn::Clicks => entry.report().map(|report| f64::from(report.clicks())),
        SortColumn::Hits => Some(entry.hits() as f64),
        SortColumn::Requests => {
            let statistics = memory.statistics(key.id).unwrap_or_default();
            Some(requests_per_second(key, entry, &statistics, now))
        }
        SortColumn::Bytes => Some(entry.weight() as f64),
    }
}

/// A value in its order.
#[derive(Debug, Clone, Copy)]
struct Ranked(SortValue, SortOrder);

// === impl Ranked ===

impl Ord for Ranked {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self.0, other.0, self.1) {
            (Some(own), Some(other), SortOrder::Ascending) => own.total_cmp(&other),
            (Some(own), Some(other), SortOrder::Descending) => other.total_cmp(&own),
            (own, other, _) => own.is_none().cmp(&other.is_none()),
        }
    }
}

impl PartialOrd for Ranked {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Ranked {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Ranked {}

// === impl EntryTrouble ===

impl EntryTrouble {
    fn of(key: &ReportKey, entry: &Entry, memory: &ReportCache, now: Instant) -> Self {
        if entry.refresh_failure().is_some() {
            return Self::Failing;
        }
        if entry.negative_answer().is_some() {
            return Self::Refused;
        }
        match EntryState::of(key, entry, memory, now) {
            EntryState::StaleIfError | EntryState::Expired => Self::TooOld,
            EntryState::Fresh | EntryState::Stale => Self::None,
        }
    }
}

// === impl EntryRow ===

impl EntryRow {
    fn of(key: &ReportKey, entry: &Entry, memory: &ReportCache, present: BothClocks) -> Self {
        let now = present.now;
        let statistics = memory.statistics(key.id).unwrap_or_default();
        let look = entry.report().and_then(|_| statistics.last_look());
        Self {
            id: key.id,
            name: None,
            no_clicks: key.no_clicks.as_str(),
            answer: kind_of(entry),
            state: EntryState::of(key, entry, memory, now).as_str(),
            links: entry.report().map(LinkReport::links),
            age_seconds: entry.age(now).as_secs(),
            ttl_seconds: seconds(entry.lifetime().fresh) - seconds(entry.age(now)),
            unchanged_for_seconds: seconds(entry.unchanged_for(now)),
            next_refresh_at: next_refresh(key, entry, memory, now).and_then(|left| present.after(left)),
            last_error: entry.refresh_failure().map(|failure| failure.error.to_string()),
            bytes: entry.weight(),
            hits: entry.hits(),
            requests_per_hour: rounded(requests_per_second(key, entry, &statistics, now) * 3_600.0),
            clicks: look.map(ClickHistory::clicks),
            clicks_per_hour: look
                .filter(|history| history.is_rate_known())
                .map(|history| rounded(history.rate().per_hour())),
        }
    }
}

fn requests_per_second(key: &ReportKey, entry: &Entry, statistics: &ActivityStatistics, now: Instant) -> f64 {
    let form = match key.no_clicks {
        NoClicks::Omitted => ReportForm::Clicked,
        NoClicks::Listed => ReportForm::AllLinks,
    };
    let planned = statistics.campaign().and_then(|campaign| campaign.polls_per_second(form));
    planned.unwrap_or_else(|| {
        let hits = statistics.form(key.no_clicks).hits_since_last_fetch(Some(entry.hits()));
        hits as f64 / entry.stored_for(now).as_secs_f64().max(1.0)
    })
}
