//! One remembered answer, and how it stands at a given time.

use std::{
    mem,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{sync::OnceCell, time::Instant};

use super::RefreshFailure;
use crate::report::{
    Answer, FetchError, Lifetime, LifetimePolicy, LifetimeReason, LinkReport, NegativeAnswer, Observed,
    ReportKey, Representation,
};

/// A second refusal in a row this long after the first is meant: the report before them is dropped.
const REFUSAL_PROVEN_AFTER: Duration = Duration::from_mins(1);
/// What an entry costs besides its own fields and its body: the map's node and key, the eviction policy's nodes, the
/// allocator's rounding.
const OVERHEAD: usize = 320;

/// A remembered answer. It never changes; what a later fetch teaches makes a new entry.
#[derive(Debug)]
pub struct Entry {
    answer: Answer,
    lifetime: Lifetime,
    /// When it was fetched.
    stored_at: Instant,
    /// Since when it grows old: before it was fetched, where a cache before the upstream gave it.
    born_at: Instant,
    changed_at: Instant,
    /// How often in a row the same had been said before.
    repeats: u32,
    /// The report that a refusal has taken the place of.
    behind: Option<Behind>,
    refresh_failure: Option<Box<RefreshFailure>>,
    pub(super) gzip: OnceCell<Box<Representation>>,
    hits: AtomicU64,
}

/// A report that was held before a refusal came: a gateway's fault for a moment looks no other.
#[derive(Debug, Clone)]
struct Behind {
    report: Arc<Entry>,
    /// When the first refusal came.
    refused_at: Instant,
}

/// How an entry stands at a given time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Freshness {
    /// Answered from memory.
    Fresh,
    /// Answered from memory, and refreshed behind.
    Stale,
    /// Too old to be answered, but better than an error; or a refusal that is not forgotten yet.
    StaleIfError,
    /// Of no use.
    Expired,
}

// === impl Entry ===

impl Entry {
    /// Remembers what was fetched, in the place of `before` if something was remembered.
    pub(super) fn new(
        answer: Answer,
        age: Duration,
        before: Option<&Arc<Self>>,
        policy: &LifetimePolicy,
        now: Instant,
    ) -> Self {
        let report_before = before.and_then(Self::report_or_behind);
        let (reason, unchanged, repeated) = match &answer {
            Answer::Report(report) => {
                let unchanged = report_before.filter(|before| before.answer == answer);
                match report.links() {
                    0 => (LifetimeReason::Empty, unchanged, unchanged),
                    _ => (LifetimeReason::Links, unchanged, None),
                }
            }
            Answer::Negative(_) => {
                let unchanged = before.filter(|before| before.answer == answer);
                (
                    LifetimeReason::Refused,
                    unchanged,
                    before.filter(|before| before.negative_answer().is_some()),
                )
            }
        };
        let repeats = repeated.map_or(0, |before| before.repeats.saturating_add(1));
        Self {
            lifetime: policy.lifetime(Observed { reason, repeats, age, random: fastrand::f64() }),
            stored_at: now,
            born_at: now.checked_sub(age).unwrap_or(now),
            changed_at: unchanged.map_or(now, |before| before.changed_at),
            repeats,
            behind: before
                .filter(|_| reason == LifetimeReason::Refused)
                .and_then(|before| before.kept_behind(now)),
            refresh_failure: None,
            gzip: unchanged.map_or_else(OnceCell::new, |before| before.gzip.clone()),
            hits: AtomicU64::new(before.map_or(0, |before| before.hits())),
            answer,
        }
    }

    /// The same answer, with the knowledge that renewing it has failed.
    pub(super) fn with_failure(&self, error: FetchError, now: Instant) -> Self {
        Self {
            answer: self.answer.clone(),
            lifetime: self.lifetime,
            stored_at: self.stored_at,
            born_at: self.born_at,
            changed_at: self.changed_at,
            repeats: self.repeats,
            behind: self.behind.clone(),
            refresh_failure: Some(Box::new(RefreshFailure::after(self.refresh_failure(), error, now))),
            gzip: self.gzip.clone(),
            hits: AtomicU64::new(self.hits()),
        }
    }

    /// What stays behind a refusal that comes now.
    fn kept_behind(self: &Arc<Self>, now: Instant) -> Option<Behind> {
        let behind = match &self.answer {
            Answer::Report(_) => Some(Behind { report: Arc::clone(self), refused_at: now }),
            Answer::Negative(_) => self
                .behind
                .clone()
                .filter(|behind| now.saturating_duration_since(behind.refused_at) < REFUSAL_PROVEN_AFTER),
        };
        behind.filter(|behind| behind.report.standing(now) != Freshness::Expired)
    }

    fn report_or_behind(self: &Arc<Self>) -> Option<&Arc<Self>> {
        match &self.answer {
            Answer::Report(_) => Some(self),
            Answer::Negative(_) => self.behind.as_ref().map(|behind| &behind.report),
        }
    }

    /// The report that is better than an error, if one is held: this one, or the one behind this refusal. A refusal
    /// itself is remembered to spare calls.
    pub(super) fn stale_if_error(self: &Arc<Self>, now: Instant) -> Option<&Arc<Self>> {
        self.report_or_behind().filter(|entry| entry.standing(now) != Freshness::Expired)
    }

    /// Is there nothing left to answer with, nor to know?
    pub(super) fn is_dead(&self, now: Instant) -> bool {
        let resting = self.refresh_failure().is_some_and(|refresh_failure| refresh_failure.is_resting(now));
        self.standing(now) == Freshness::Expired && self.behind(now).is_none() && !resting
    }

    /// How the entry stands.
    pub fn standing(&self, now: Instant) -> Freshness {
        self.standing_at(self.age(now))
    }

    /// How the entry stands at an age.
    pub(super) fn standing_at(&self, age: Duration) -> Freshness {
        let Lifetime { fresh, revalidate, keep, reason: _ } = self.lifetime;
        if age < fresh {
            Freshness::Fresh
        } else if age < revalidate {
            Freshness::Stale
        } else if age <= keep {
            Freshness::StaleIfError
        } else {
            Freshness::Expired
        }
    }

    /// How old the answer is.
    pub fn age(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.born_at)
    }

    /// Since when it has been remembered.
    pub(super) fn stored_for(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.stored_at)
    }

    /// Since when the upstream has given this same answer.
    pub fn unchanged_for(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.changed_at)
    }

    /// The ages at which it changes its standing.
    pub const fn lifetime(&self) -> &Lifetime {
        &self.lifetime
    }

    /// The answer.
    pub const fn answer(&self) -> &Answer {
        &self.answer
    }

    /// The report, if the answer is one.
    pub const fn report(&self) -> Option<&LinkReport> {
        match &self.answer {
            Answer::Report(report) => Some(report),
            Answer::Negative(_) => None,
        }
    }

    /// The refusal, if the answer is one.
    pub const fn negative_answer(&self) -> Option<&NegativeAnswer> {
        match &self.answer {
            Answer::Report(_) => None,
            Answer::Negative(negative_answer) => Some(negative_answer),
        }
    }

    /// The report behind a refusal, as long as it is better than an error.
    pub fn behind(&self, now: Instant) -> Option<&Self> {
        let report = self.behind.as_ref().map(|behind| &*behind.report);
        report.filter(|report| report.standing(now) != Freshness::Expired)
    }

    /// Why it has not been renewed, if that was tried.
    pub fn refresh_failure(&self) -> Option<&RefreshFailure> {
        self.refresh_failure.as_deref()
    }

    /// How often it was answered from memory, its forerunners under the same key included.
    pub fn hits(&self) -> u64 {
        self.hits.load(Ordering::Relaxed)
    }

    pub(super) fn count_hit(&self) {
        self.hits.fetch_add(1, Ordering::Relaxed);
    }

    /// What it takes of the memory, in bytes.
    pub fn weight(&self) -> usize {
        let answer = match &self.answer {
            Answer::Report(report) => report.representation().weight(),
            Answer::Negative(negative_answer) => {
                negative_answer.error_key.len() + negative_answer.error_message.len()
            }
        };
        let gzip = self.gzip.get().map_or(0, |gzip| size_of::<Representation>() + gzip.weight());
        let behind = self.behind.as_ref().map_or(0, |behind| behind.report.weight());
        OVERHEAD + 2 * size_of::<ReportKey>() + mem::size_of_val(self) + answer + gzip + behind
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::NegativeStatus;

    fn policy() -> LifetimePolicy {
        LifetimePolicy {
            ttl: Duration::from_secs(300),
            ttl_jitter: 0.0,
            empty_ttl: Duration::from_secs(60),
            negative_ttl: Duration::from_secs(60),
            stale_while_revalidate: Duration::from_secs(600),
            stale_if_error: Duration::from_secs(3_600),
        }
    }

    fn report(links: &str) -> Answer {
        let id = "8892baf9-970a-4de6-8400-fa4ec461986d";
        let body = format!(r#"{{"campaign_activity_id":"{id}","link_click_counts":[{links}]}}"#);
        let id = crate::report::ActivityId::parse(id.as_bytes()).unwrap();
        Answer::Report(LinkReport::parse(id, body.as_bytes()).unwrap())
    }

    fn entry(answer: Answer, before: Option<&Arc<Entry>>, now: Instant) -> Arc<Entry> {
        Arc::new(Entry::new(answer, Duration::ZERO, before, &policy(), now))
    }

    #[tokio::test(start_paused = true)]
    async fn an_entry_grows_from_fresh_to_stale_to_kept_to_spent() {
        let start = Instant::now();
        let entry = entry(report("{}"), None, start);
        for (age, standing) in [
            (0, Freshness::Fresh),
            (299, Freshness::Fresh),
            (300, Freshness::Stale),
            (899, Freshness::Stale),
            (900, Freshness::StaleIfError),
            (3_600, Freshness::StaleIfError),
            (3_601, Freshness::Expired),
        ] {
            assert_eq!(entry.standing(start + Duration::from_secs(age)), standing, "{age}");
        }
        let negative_answer = Answer::Negative(NegativeAnswer::parse(NegativeStatus::NotFound, b""));
        let entry = super::tests::entry(negative_answer, None, start);
        for (age, standing) in [
            (59, Freshness::Fresh),
            (60, Freshness::StaleIfError),
            (3_660, Freshness::StaleIfError),
            (3_661, Freshness::Expired),
        ] {
            assert_eq!(entry.standing(start + Duration::from_secs(age)), standing, "a refusal of {age} s");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_unchanged_answer_keeps_the_time_of_its_last_change() {
        let start = Instant::now();
        let first = entry(report("{}"), None, start);
        let same = entry(report("{}"), Some(&first), start + Duration::from_secs(300));
        let other = entry(report("{},{}"), Some(&same), start + Duration::from_secs(600));
        let end = start + Duration::from_secs(1_000);
        assert_eq!(
            [&first, &same, &other].map(|entry| entry.unchanged_for(end).as_secs()),
            [1_000, 1_000, 400]
        );
    }
}
