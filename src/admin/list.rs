//! `GET /cache`: lists the cache entries, by pages.

use serde::Serialize;
use tokio::time::Instant;

use super::reply::{Refused, rounded};
use crate::{
    cache::{ActivityStatistics, Entry, ReportCache},
    refresh::{ClickHistory, ReportForm},
    report::{ActivityId, NoClicks, ReportKey},
};

const PER_PAGE: usize = 100;
const MOST_PER_PAGE: usize = 1_000;

/// Which part of the list to return: `page` from 1, `per_page` from 1 to 1,000.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Page {
    page: usize,
    per_page: usize,
}

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
    no_clicks: &'static str,
    answer: &'static str,
    age_seconds: u64,
    ttl_seconds: i64,
    bytes: usize,
    hits: u64,
    /// Answers from the cache in about the last hour; with fixed lifetimes, and in the first minutes, since it was fetched.
    requests_per_hour: f64,
    /// The sum of unique clicks when the activity was last looked at; `None` of a refusal.
    clicks: Option<u32>,
    /// `None` while it is a guess.
    clicks_per_hour: Option<f64>,
}

// === impl Page ===

impl Page {
    /// Reads `page` and `per_page`; ignores other parameters.
    pub(super) fn from_query(query: Option<&str>) -> Result<Self, Refused> {
        let mut page = Self { page: 1, per_page: PER_PAGE };
        for pair in query.unwrap_or_default().split('&') {
            let Some((name, value)) = pair.split_once('=') else { continue };
            let field = match name {
                "page" => &mut page.page,
                "per_page" => &mut page.per_page,
                _ => continue,
            };
            *field = value.parse().map_err(|_| Refused::BadPage)?;
        }
        let sane = page.page >= 1 && (1..=MOST_PER_PAGE).contains(&page.per_page);
        sane.then_some(page).ok_or(Refused::BadPage)
    }

    /// The entries of this page, ordered by key.
    pub(super) fn list(self, memory: &ReportCache) -> EntryList {
        let Self { page, per_page } = self;
        let now = Instant::now();
        let keys = memory.keys();
        let on_page = keys.iter().skip((page - 1).saturating_mul(per_page)).take(per_page);
        // An entry removed since the keys were listed is left out.
        let items = on_page
            .filter_map(|key| memory.peek(key).map(|entry| EntryRow::of(key, &entry, memory, now)))
            .collect();
        EntryList { entries: keys.len(), page, pages: keys.len().div_ceil(per_page), items }
    }
}

// === impl EntryRow ===

impl EntryRow {
    fn of(key: &ReportKey, entry: &Entry, memory: &ReportCache, now: Instant) -> Self {
        let statistics = memory.statistics(key.id).unwrap_or_default();
        let look = entry.report().and_then(|_| statistics.last_look());
        Self {
            id: key.id,
            no_clicks: key.no_clicks.as_str(),
            answer: kind_of(entry),
            age_seconds: entry.age(now).as_secs(),
            ttl_seconds: seconds(entry.lifetime().fresh) - seconds(entry.age(now)),
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

pub(super) fn kind_of(entry: &Entry) -> &'static str {
    if entry.report().is_some() { "report" } else { "refusal" }
}

pub(super) fn seconds(duration: std::time::Duration) -> i64 {
    i64::try_from(duration.as_secs()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_a_number_from_one() {
        let page = |page, per_page| Ok(Page { page, per_page });
        for (query, expected) in [
            (None, page(1, 100)),
            (Some(""), page(1, 100)),
            (Some("page=3&per_page=7&x=y"), page(3, 7)),
            (Some("page=0"), Err(Refused::BadPage)),
            (Some("per_page=1001"), Err(Refused::BadPage)),
            (Some("page=-1"), Err(Refused::BadPage)),
            (Some("page="), Err(Refused::BadPage)),
        ] {
            assert_eq!(Page::from_query(query), expected, "{query:?}");
        }
    }
}
