//! One stored answer, and what it took over from the entry before it.

mod behind;
mod gzip_variant;
mod source;
pub(super) mod stored;

use std::{
    mem,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::time::Instant;

pub(super) use self::source::EntrySource;
use super::{
    RefreshFailure,
    compact::{LifetimeAges, Nanoseconds},
    copy_cell::{CopyCell, PlannedCopy},
    eviction::QueueCell,
    gzip::GzipCell,
    next_check::NextCheck,
    why_empty::WhyEmptyCell,
};
use crate::{
    backoff::Jitter,
    refresh::CopyStats,
    report::{
        Answer, Exchange, FetchError, FlightNumber, Lifetime, LifetimePolicy, LifetimeReason, LinkReport,
        NegativeAnswer, Observed, Origin, ReportKey,
    },
};

/// Bytes of an entry besides its own fields and its body: the map's node and key, the eviction queue's nodes, the
/// allocator's rounding.
const OVERHEAD: usize = 224;

/// A stored answer. Immutable but for its count of hits and its gzip variant; the next fetch makes a new entry.
#[derive(Debug)]
pub struct Entry {
    answer: Answer,
    ages: LifetimeAges,
    reason: LifetimeReason,
    times: EntryTimes,
    source: EntrySource,
    /// How long before it the upstream generated the first of the equal answers that this one is the last of.
    unchanged_before: Nanoseconds,
    /// Its lifetime follows from these three and the kind of answer ([`Observed`]).
    repeats: u32,
    upstream_age: Nanoseconds,
    jitter: Jitter,
    /// Of a negative answer: the report before it.
    behind: Option<Box<ReportBehind>>,
    refresh_failure: Option<Box<RefreshFailure>>,
    pub(super) gzip: GzipCell,
    hits: AtomicU64,
    pub(super) queue: QueueCell,
    pub(super) why_empty: WhyEmptyCell,
    /// Of a report: what the refresh rule has to know of it.
    copy: Option<PlannedCopy>,
}

/// The two times of an entry.
#[derive(Debug, Clone, Copy)]
pub(super) struct EntryTimes {
    /// Its age is counted from here ([`Fetched::generated_at`](crate::report::Fetched::generated_at)).
    pub(super) generated_at: Instant,
    /// When it came into this cache.
    pub(super) stored_at: Instant,
}

/// The report that was stored when a negative answer came.
#[derive(Debug, Clone)]
struct ReportBehind {
    report: Arc<Entry>,
    /// When the first of the negative answers was stored.
    negative_since: Instant,
}

// === impl Entry ===

impl Entry {
    /// The entry for an answer that this exchange brought. It replaces the entry `before`, and begins with so many `hits`.
    pub(super) fn new(
        answer: Answer,
        times: EntryTimes,
        before: Option<&Arc<Self>>,
        hits: u64,
        policy: &LifetimePolicy,
        exchange: &Exchange,
    ) -> Self {
        let report_before = before.and_then(Self::report_or_behind);
        let EntryTimes { generated_at, stored_at } = times;
        let reason = LifetimeReason::of(&answer);
        let (unchanged, repeated) = match &answer {
            Answer::Report(report) => {
                let unchanged = report_before.filter(|before| before.answer == answer);
                (unchanged, unchanged.filter(|_| report.links() == 0))
            }
            Answer::Negative(_) => {
                let unchanged = before.filter(|before| before.answer == answer);
                (unchanged, before.filter(|before| before.negative_answer().is_some()))
            }
        };
        let age = match exchange.origin {
            Origin::Upstream => stored_at.saturating_duration_since(generated_at),
            // Another call brings a newer one.
            Origin::SharedStore => Duration::ZERO,
        };
        // Replicas that hold the same answer agree when it is due. With a jitter of each, the first of many would be early.
        let jitter =
            exchange.flight.map_or_else(Jitter::draw, |FlightNumber(number)| Jitter::of(number.get().into()));
        let repeats = repeated.map_or(0, |before| before.repeats.saturating_add(1));
        let observed = Observed { reason, repeats, age, jitter };
        Self {
            ages: policy.lifetime(observed).into(),
            reason,
            times,
            source: EntrySource::Fetched,
            unchanged_before: unchanged
                .map_or(Duration::ZERO, |same| same.unchanged_for(generated_at))
                .into(),
            repeats,
            upstream_age: age.into(),
            jitter,
            behind: before
                .filter(|_| reason == LifetimeReason::Refused)
                .and_then(|before| before.kept_behind(stored_at)),
            refresh_failure: None,
            gzip: unchanged.map(|before| before.gzip.clone()).unwrap_or_default(),
            hits: AtomicU64::new(hits),
            queue: QueueCell::default(),
            why_empty: WhyEmptyCell::of(&answer),
            copy: None,
            answer,
        }
    }

    /// The same entry of a report, with its refresh statistics, in place of the entry `before`.
    /// `generated_at` is by the plan's clock.
    pub(super) fn with_copy(self, copy: CopyStats, generated_at: Duration, before: Option<&Self>) -> Self {
        let check = NextCheck::after(before.and_then(Self::copy).map(|before| &before.check));
        let copy = PlannedCopy { generated_at: generated_at.into(), cell: CopyCell::new(copy), check };
        Self { copy: Some(copy), ..self }
    }

    /// The same entry, which this call brought.
    pub(super) const fn from(mut self, source: EntrySource) -> Self {
        self.source = source;
        self
    }

    /// The same entry with another lifetime.
    pub(super) fn with_lifetime(self, lifetime: Lifetime) -> Self {
        Self { ages: lifetime.into(), reason: lifetime.reason, ..self }
    }

    /// The same entry, due when `other` is, of which the same call has brought the answer; if both are of the same kind.
    pub(super) fn due_with(self, other: &Self) -> Self {
        if self.reason == other.reason {
            Self { ages: other.ages, jitter: other.jitter, ..self }
        } else {
            self
        }
    }

    /// The same answer, as if it had come under this policy.
    pub(super) fn under(&self, policy: &LifetimePolicy) -> Self {
        let lifetime = policy.renewed(self.lifetime(), self.observed());
        let behind = self.behind.as_ref().map(|behind| ReportBehind {
            report: Arc::new(behind.report.under(policy)),
            negative_since: behind.negative_since,
        });
        Self { behind: behind.map(Box::new), ..self.again() }.with_lifetime(lifetime)
    }

    /// The same answer, whose refresh has failed.
    pub(super) fn with_failure(&self, error: FetchError, now: Instant) -> Self {
        let failure = RefreshFailure::after(self.refresh_failure(), error, now);
        Self { refresh_failure: Some(Box::new(failure)), ..self.again() }
    }

    /// The same report, which is served only instead of an error, up to the age `keep`.
    pub(super) fn distrusted(&self, keep: Duration) -> Self {
        let (never, reason) = (Duration::ZERO, LifetimeReason::NotTrusted);
        let lifetime = Lifetime { fresh: never, revalidate: never, keep, reason };
        Self { copy: None, ..self.again() }.with_lifetime(lifetime)
    }

    fn again(&self) -> Self {
        Self {
            answer: self.answer.clone(),
            ages: self.ages,
            reason: self.reason,
            times: self.times,
            source: self.source,
            unchanged_before: self.unchanged_before,
            repeats: self.repeats,
            upstream_age: self.upstream_age,
            jitter: self.jitter,
            behind: self.behind.clone(),
            refresh_failure: self.refresh_failure.clone(),
            gzip: self.gzip.clone(),
            hits: AtomicU64::new(self.hits()),
            queue: QueueCell::default(),
            why_empty: self.why_empty.clone(),
            copy: self.copy.as_ref().map(PlannedCopy::carried_over),
        }
    }

    /// How long ago the upstream generated the answer: never less than it is, however late it was stored.
    pub fn age(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.times.generated_at)
    }

    pub(super) const fn generated_at(&self) -> Instant {
        self.times.generated_at
    }

    /// How long ago it was stored here.
    pub fn stored_for(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.times.stored_at)
    }

    /// How old it was when it was stored here.
    pub(super) fn came_at_age(&self) -> Duration {
        self.times.stored_at.saturating_duration_since(self.times.generated_at)
    }

    /// How old it was when the upstream sent it. One of the shared store is taken for one that was new then.
    pub(super) fn upstream_age(&self) -> Duration {
        self.upstream_age.into()
    }

    /// For how long the upstream has given this same answer.
    pub fn unchanged_for(&self, now: Instant) -> Duration {
        self.age(now).saturating_add(self.unchanged_before.into())
    }

    /// Which call brought it.
    pub const fn source(&self) -> EntrySource {
        self.source
    }

    /// The ages at which its freshness changes.
    #[inline]
    pub fn lifetime(&self) -> Lifetime {
        self.ages.with(self.reason)
    }

    /// What its lifetime follows from.
    fn observed(&self) -> Observed {
        let reason = LifetimeReason::of(&self.answer);
        Observed { reason, repeats: self.repeats, age: self.upstream_age.into(), jitter: self.jitter }
    }

    /// The report or the negative answer.
    pub const fn answer(&self) -> &Answer {
        &self.answer
    }

    /// The report, if the answer is one.
    pub const fn report(&self) -> Option<&LinkReport> {
        self.answer.report()
    }

    /// The negative answer, if the answer is one.
    pub const fn negative_answer(&self) -> Option<&NegativeAnswer> {
        self.answer.negative()
    }

    /// The last refresh, if it failed.
    pub fn refresh_failure(&self) -> Option<&RefreshFailure> {
        self.refresh_failure.as_deref()
    }

    /// How often its key was answered from memory, by this entry and by those before it.
    pub fn hits(&self) -> u64 {
        self.hits.load(Ordering::Relaxed)
    }

    pub(super) fn count_hit(&self) {
        self.hits.fetch_add(1, Ordering::Relaxed);
    }

    /// The refresh statistics of a report; `None` for a negative answer.
    #[inline]
    pub(super) const fn copy(&self) -> Option<&PlannedCopy> {
        self.copy.as_ref()
    }

    /// The memory that it occupies, in bytes.
    pub fn weight(&self) -> usize {
        let answer = match &self.answer {
            Answer::Report(report) => report.representation().weight(),
            Answer::Negative(negative_answer) => {
                negative_answer.error_key.len() + negative_answer.error_message.len()
            }
        };
        let behind = self.behind.as_ref().map_or(0, |behind| behind.report.weight());
        OVERHEAD + 2 * size_of::<ReportKey>() + mem::size_of_val(self) + answer + self.gzip.weight() + behind
    }
}

#[cfg(test)]
mod tests;
