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

use super::Trouble;
use crate::report::{
    Answer, FetchError, Known, Lifetime, LifetimePolicy, LifetimeReason, LinkReport, Refusal, ReportKey,
    Tagged,
};

/// A second refusal in a row this long after the first is meant: the report before them is dropped.
const REFUSAL_PROVEN_AFTER: Duration = Duration::from_mins(1);
/// What an entry costs besides its own fields and its body: the map's node and key, the eviction policy's nodes, the
/// allocator's rounding.
const BOOK_KEEPING: usize = 320;

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
    trouble: Option<Box<Trouble>>,
    pub(super) gzip: OnceCell<Box<Tagged>>,
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
pub enum Standing {
    /// Answered from memory.
    Fresh,
    /// Answered from memory, and refreshed behind.
    Stale,
    /// Too old to be answered, but better than an error; or a refusal that is not forgotten yet.
    Kept,
    /// Of no use.
    Spent,
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
            Answer::Refusal(_) => {
                let unchanged = before.filter(|before| before.answer == answer);
                (LifetimeReason::Refused, unchanged, before.filter(|before| before.refusal().is_some()))
            }
        };
        let repeats = repeated.map_or(0, |before| before.repeats.saturating_add(1));
        Self {
            lifetime: policy.lifetime(Known { reason, repeats, age, roll: fastrand::f64() }),
            stored_at: now,
            born_at: now.checked_sub(age).unwrap_or(now),
            changed_at: unchanged.map_or(now, |before| before.changed_at),
            repeats,
            behind: before
                .filter(|_| reason == LifetimeReason::Refused)
                .and_then(|before| before.kept_behind(now)),
            trouble: None,
            gzip: unchanged.map_or_else(OnceCell::new, |before| before.gzip.clone()),
            hits: AtomicU64::new(before.map_or(0, |before| before.hits())),
            answer,
        }
    }

    /// The same answer, with the knowledge that renewing it has failed.
    pub(super) fn troubled(&self, error: FetchError, now: Instant) -> Self {
        Self {
            answer: self.answer.clone(),
            lifetime: self.lifetime,
            stored_at: self.stored_at,
            born_at: self.born_at,
            changed_at: self.changed_at,
            repeats: self.repeats,
            behind: self.behind.clone(),
            trouble: Some(Box::new(Trouble::after(self.trouble(), error, now))),
            gzip: self.gzip.clone(),
            hits: AtomicU64::new(self.hits()),
        }
    }

    /// What stays behind a refusal that comes now.
    fn kept_behind(self: &Arc<Self>, now: Instant) -> Option<Behind> {
        let behind = match &self.answer {
            Answer::Report(_) => Some(Behind { report: Arc::clone(self), refused_at: now }),
            Answer::Refusal(_) => self
                .behind
                .clone()
                .filter(|behind| now.saturating_duration_since(behind.refused_at) < REFUSAL_PROVEN_AFTER),
        };
        behind.filter(|behind| behind.report.standing(now) != Standing::Spent)
    }

    fn report_or_behind(self: &Arc<Self>) -> Option<&Arc<Self>> {
        match &self.answer {
            Answer::Report(_) => Some(self),
            Answer::Refusal(_) => self.behind.as_ref().map(|behind| &behind.report),
        }
    }

    /// The report that is better than an error, if one is held: this one, or the one behind this refusal. A refusal
    /// itself is remembered to spare calls.
    pub(super) fn stand_in(self: &Arc<Self>, now: Instant) -> Option<&Arc<Self>> {
        self.report_or_behind().filter(|entry| entry.standing(now) != Standing::Spent)
    }

    /// Is there nothing left to answer with, nor to know?
    pub(super) fn is_dead(&self, now: Instant) -> bool {
        let resting = self.trouble().is_some_and(|trouble| trouble.is_resting(now));
        self.standing(now) == Standing::Spent && self.behind(now).is_none() && !resting
    }

    /// How the entry stands.
    pub fn standing(&self, now: Instant) -> Standing {
        self.standing_at(self.age(now))
    }

    /// How the entry stands at an age.
    pub(super) fn standing_at(&self, age: Duration) -> Standing {
        let Lifetime { fresh, revalidate, keep, reason: _ } = self.lifetime;
        if age < fresh {
            Standing::Fresh
        } else if age < revalidate {
            Standing::Stale
        } else if age <= keep {
            Standing::Kept
        } else {
            Standing::Spent
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
            Answer::Refusal(_) => None,
        }
    }

    /// The refusal, if the answer is one.
    pub const fn refusal(&self) -> Option<&Refusal> {
        match &self.answer {
            Answer::Report(_) => None,
            Answer::Refusal(refusal) => Some(refusal),
        }
    }

    /// The report behind a refusal, as long as it is better than an error.
    pub fn behind(&self, now: Instant) -> Option<&Self> {
        let report = self.behind.as_ref().map(|behind| &*behind.report);
        report.filter(|report| report.standing(now) != Standing::Spent)
    }

    /// Why it has not been renewed, if that was tried.
    pub fn trouble(&self) -> Option<&Trouble> {
        self.trouble.as_deref()
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
            Answer::Report(report) => report.tagged().weight(),
            Answer::Refusal(refusal) => refusal.error_key.len() + refusal.error_message.len(),
        };
        let gzip = self.gzip.get().map_or(0, |gzip| size_of::<Tagged>() + gzip.weight());
        let behind = self.behind.as_ref().map_or(0, |behind| behind.report.weight());
        BOOK_KEEPING + 2 * size_of::<ReportKey>() + mem::size_of_val(self) + answer + gzip + behind
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::RefusalStatus;

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
            (0, Standing::Fresh),
            (299, Standing::Fresh),
            (300, Standing::Stale),
            (899, Standing::Stale),
            (900, Standing::Kept),
            (3_600, Standing::Kept),
            (3_601, Standing::Spent),
        ] {
            assert_eq!(entry.standing(start + Duration::from_secs(age)), standing, "{age}");
        }
        let refusal = Answer::Refusal(Refusal::parse(RefusalStatus::NotFound, b""));
        let entry = super::tests::entry(refusal, None, start);
        for (age, standing) in
            [(59, Standing::Fresh), (60, Standing::Kept), (3_660, Standing::Kept), (3_661, Standing::Spent)]
        {
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
