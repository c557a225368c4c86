//! The last day in samples of a minute, and the last minutes in totals: for the status page. Both are taken off the metrics
//! once a minute, never on the path of a request.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::{reply::Refused, sentence::StatusRule};
use crate::{
    quota::{DayCount, QuotaMode},
    telemetry::{AgeCounts, Totals},
};

/// A day of minutes.
const SAMPLES: usize = 24 * 60;

/// The readings that the last five minutes are told by.
const READINGS: usize = 6;

/// What was seen of the last day. Bounded: 1,440 samples of some forty bytes.
#[derive(Debug, Default)]
pub(crate) struct History(Mutex<Observed24h>);

#[derive(Debug, Default)]
struct Observed24h {
    /// Oldest first.
    samples: VecDeque<MinuteSample>,
    /// Oldest first.
    readings: VecDeque<TotalsReading>,
    /// When each client's requests were last seen to have become more.
    asked: BTreeMap<Box<str>, SystemTime>,
    rule: Option<(StatusRule, SystemTime)>,
}

/// All totals at one moment.
#[derive(Debug)]
struct TotalsReading {
    at: Instant,
    totals: Totals,
}

/// What one minute brought. A row of `GET /status/history`, in the order of [`MinuteSample::COLUMNS`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct MinuteSample(
    /// The end of the minute, in Unix seconds.
    u64,
    /// Calls counted today.
    u32,
    /// Requests on the data port.
    u32,
    /// Those answered with a 5xx.
    u32,
    /// Reports served from the cache.
    u32,
    /// The median of their ages, in seconds.
    Option<u32>,
    /// The 95th percentile.
    Option<u32>,
    /// Refreshes that brought a report that differs, an equal one, or none.
    [u16; 3],
    /// 429 answers of the upstream.
    u16,
    /// The quota's mode, by its place in [`QuotaMode::ALL`].
    u8,
    /// 1: the first minute after a start.
    u8,
);

/// What the last five minutes brought, or those since the start.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct LastMinutes {
    /// In half minutes.
    pub(super) length: Duration,
    pub(super) answers: u64,
    pub(super) server_errors: u64,
    pub(super) ages: AgeCounts,
}

/// `GET /status/history`.
#[derive(Debug, Serialize)]
pub(super) struct HistoryRows {
    interval_seconds: u64,
    /// What each number of a row is.
    columns: [&'static str; 11],
    modes: [&'static str; QuotaMode::ALL.len()],
    /// Oldest first.
    rows: Vec<MinuteSample>,
}

// === impl HistoryRows ===

impl HistoryRows {
    /// The samples after `since`, in Unix seconds, of the query; all of them without it.
    pub(super) fn from_query(query: Option<&str>, history: &History) -> Result<Self, Refused> {
        let pairs = query.unwrap_or_default().split('&').filter_map(|pair| pair.split_once('='));
        let mut since = pairs.filter(|(name, _)| *name == "since").map(|(_, value)| value.parse());
        let since = since.next_back().unwrap_or(Ok(0)).map_err(|_| Refused::BadSince)?;
        Ok(Self {
            interval_seconds: 60,
            columns: MinuteSample::COLUMNS,
            modes: QuotaMode::ALL.map(QuotaMode::as_str),
            rows: history.samples(since),
        })
    }
}

// === impl MinuteSample ===

impl MinuteSample {
    /// The columns of a row.
    const COLUMNS: [&'static str; 11] = [
        "at",
        "calls_today",
        "answers",
        "server_errors",
        "from_cache",
        "age_median_seconds",
        "age_p95_seconds",
        "refreshes_changed_unchanged_failed",
        "throttled",
        "mode",
        "started",
    ];

    fn of(at: SystemTime, before: Option<&Totals>, now: &Totals, day: &DayCount) -> Self {
        let none = Totals::default();
        // Before the first reading nothing is known to have happened in this minute.
        let old = before.unwrap_or(now);
        let small = |count: u64| u32::try_from(count).unwrap_or(u32::MAX);
        let fewer = |now: u64, old: u64| u16::try_from(now.saturating_sub(old)).unwrap_or(u16::MAX);
        let ages = now.ages.since(&before.unwrap_or(&none).ages);
        let age = |share| ages.quantile(share).map(|age: f64| age.round() as u32);
        let mode = QuotaMode::ALL.iter().position(|mode| *mode == day.mode).unwrap_or_default();
        Self(
            unix_seconds(at),
            day.used,
            small(now.answers.saturating_sub(old.answers)),
            small(now.server_errors.saturating_sub(old.server_errors)),
            small(ages.count()),
            age(0.5),
            age(0.95),
            [
                fewer(now.changed, old.changed),
                fewer(now.unchanged, old.unchanged),
                fewer(now.failed, old.failed),
            ],
            fewer(now.throttled, old.throttled),
            mode as u8,
            before.is_none().into(),
        )
    }
}

// === impl History ===

impl History {
    /// A minute is over.
    pub(super) fn minute(&self, at: SystemTime, totals: Totals, day: &DayCount) {
        let mut seen = self.seen();
        let before = seen.readings.back().map(|reading| &reading.totals);
        let sample = MinuteSample::of(at, before, &totals, day);
        let asked: Vec<_> = {
            let requests =
                |client: &str| before.and_then(|before| before.requests_by_client.get(client)).copied();
            let more = totals
                .requests_by_client
                .iter()
                .filter(|(client, count)| **count > requests(client).unwrap_or_default());
            more.map(|(client, _)| (client.clone(), at)).collect()
        };
        seen.asked.extend(asked);
        push(&mut seen.samples, sample, SAMPLES);
        push(&mut seen.readings, TotalsReading { at: Instant::now(), totals }, READINGS);
    }

    /// What the last five minutes brought.
    pub(super) fn last_minutes(&self, now: Instant, totals: &Totals) -> Option<LastMinutes> {
        const HALF_MINUTE: f64 = 30.0;
        let seen = self.seen();
        let TotalsReading { at, totals: before } = seen.readings.front()?;
        let halves = (now.saturating_duration_since(*at).as_secs_f64() / HALF_MINUTE).round().max(1.0);
        Some(LastMinutes {
            length: Duration::from_secs_f64(halves * HALF_MINUTE),
            answers: totals.answers.saturating_sub(before.answers),
            server_errors: totals.server_errors.saturating_sub(before.server_errors),
            ages: totals.ages.since(&before.ages),
        })
    }

    /// The newest samples that take no more bytes than this as JSON, oldest first: to be kept over a restart.
    pub(crate) fn kept(&self, most_bytes: usize) -> Vec<MinuteSample> {
        let mut bytes = 0;
        let fits = |sample: &&MinuteSample| {
            bytes += serde_json::to_string(sample).map_or(most_bytes, |row| row.len() + 1);
            bytes <= most_bytes
        };
        let mut kept: Vec<_> = self.seen().samples.iter().rev().take_while(fits).copied().collect();
        kept.reverse();
        kept
    }

    /// Continues from the samples that an earlier process has kept; to be called before the first minute.
    pub(crate) fn continue_from(&self, kept: Vec<MinuteSample>, now: SystemTime) {
        let end = unix_seconds(now);
        let begin = end.saturating_sub(60 * SAMPLES as u64);
        let known = |sample: &MinuteSample| usize::from(sample.9) < QuotaMode::ALL.len();
        let kept = kept.into_iter().filter(|sample| (begin + 1..=end).contains(&sample.0) && known(sample));
        self.seen().samples.extend(kept.take(SAMPLES));
    }

    /// In which minute this client last asked, if it was seen to.
    pub(super) fn last_asked(&self, client: &str) -> Option<SystemTime> {
        self.seen().asked.get(client).copied()
    }

    /// Since when this rule holds, as far as anybody has looked.
    pub(super) fn rule_since(&self, rule: StatusRule, now: SystemTime) -> SystemTime {
        let mut seen = self.seen();
        match seen.rule {
            Some((held, since)) if held == rule => since,
            Some(_) | None => {
                seen.rule = Some((rule, now));
                now
            }
        }
    }

    /// The samples after this time, in Unix seconds; oldest first.
    fn samples(&self, after: u64) -> Vec<MinuteSample> {
        self.seen().samples.iter().filter(|sample| sample.0 > after).copied().collect()
    }

    fn seen(&self) -> MutexGuard<'_, Observed24h> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Appends, and drops the oldest where there would be more than `most`.
fn push<T>(queue: &mut VecDeque<T>, item: T, most: usize) {
    if queue.len() == most {
        queue.pop_front();
    }
    queue.push_back(item);
}

pub(super) fn unix_seconds(time: SystemTime) -> u64 {
    time.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests;
