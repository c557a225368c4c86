//! One remembered answer, and how it stands at a given time.

use std::{
    mem,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use tokio::{sync::OnceCell, time::Instant};

use crate::report::{
    Answer, FetchError, Known, Lifetime, LifetimePolicy, LifetimeReason, LinkReport, Refusal, ReportKey,
    Tagged,
};

/// After a first failed refresh a key is left alone for this long; then for twice as long, and so on.
const FIRST_PAUSE: Duration = Duration::from_secs(5);
/// No pause is longer: an upstream that is back is noticed within this time.
pub(super) const LONGEST_PAUSE: Duration = Duration::from_mins(1);
/// What an entry costs besides its own fields and its body: the map's node and key, the eviction policy's nodes, the
/// allocator's rounding.
const BOOK_KEEPING: usize = 320;

/// A remembered answer. It never changes; what a later fetch teaches makes a new entry.
#[derive(Debug)]
pub struct Entry {
    answer: Answer,
    lifetime: Lifetime,
    stored_at: Instant,
    changed_at: Instant,
    trouble: Option<Box<Trouble>>,
    pub(super) gzip: OnceCell<Box<Tagged>>,
    hits: AtomicU64,
}

/// The last attempts to renew an entry failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// What went wrong last.
    pub error: FetchError,
    /// How often in a row.
    pub failures: u32,
    /// Not to be tried again before.
    pub retry_at: Instant,
}

/// How an entry stands at a given time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Answered from memory.
    Fresh,
    /// Answered from memory, and refreshed behind.
    Stale,
    /// Too old to be answered, but better than an error.
    Kept,
    /// Of no use.
    Spent,
}

// === impl Entry ===

impl Entry {
    /// Remembers `answer`, in the place of `before` if something was remembered.
    pub(super) fn new(answer: Answer, before: Option<&Self>, policy: &LifetimePolicy, now: Instant) -> Self {
        let reason = match &answer {
            Answer::Report(report) if report.links() == 0 => LifetimeReason::Empty,
            Answer::Report(_) => LifetimeReason::Links,
            Answer::Refusal(_) => LifetimeReason::Refused,
        };
        let unchanged = before.filter(|before| before.answer == answer);
        Self {
            lifetime: policy.lifetime(Known { reason, roll: fastrand::f64() }),
            stored_at: now,
            changed_at: unchanged.map_or(now, |before| before.changed_at),
            trouble: None,
            gzip: unchanged.map_or_else(OnceCell::new, |before| before.gzip.clone()),
            hits: AtomicU64::new(before.map_or(0, Entry::hits)),
            answer,
        }
    }

    /// The same answer, with the knowledge that renewing it has failed.
    pub(super) fn troubled(&self, error: FetchError, now: Instant) -> Self {
        let failures = self.trouble().map_or(0, |trouble| trouble.failures).saturating_add(1);
        let pause = FIRST_PAUSE.saturating_mul(1 << (failures - 1).min(8)).min(LONGEST_PAUSE);
        Self {
            answer: self.answer.clone(),
            lifetime: self.lifetime,
            stored_at: self.stored_at,
            changed_at: self.changed_at,
            trouble: Some(Box::new(Trouble { error, failures, retry_at: now + pause })),
            gzip: self.gzip.clone(),
            hits: AtomicU64::new(self.hits()),
        }
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

    /// Is it better than an error? A refusal is not: it is remembered to spare calls.
    pub(super) fn is_usable(&self, now: Instant) -> bool {
        self.report().is_some() && self.standing(now) != Standing::Spent
    }

    /// Since when it has been remembered.
    pub fn age(&self, now: Instant) -> Duration {
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

    /// Why it has not been renewed, if that was tried.
    pub fn trouble(&self) -> Option<&Trouble> {
        self.trouble.as_deref()
    }

    /// How often it was answered from memory, its forerunners under the same key included.
    pub fn hits(&self) -> u64 {
        self.hits.load(Ordering::Relaxed)
    }

    /// Counts one, and tells how many there were before.
    pub(super) fn count_hit(&self) -> u64 {
        self.hits.fetch_add(1, Ordering::Relaxed)
    }

    /// What it takes of the memory, in bytes.
    pub fn weight(&self) -> usize {
        let answer = match &self.answer {
            Answer::Report(report) => report.tagged().weight(),
            Answer::Refusal(refusal) => refusal.error_key.len() + refusal.error_message.len(),
        };
        let gzip = self.gzip.get().map_or(0, |gzip| size_of::<Tagged>() + gzip.weight());
        BOOK_KEEPING + 2 * size_of::<ReportKey>() + mem::size_of_val(self) + answer + gzip
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{Cause, RefusalStatus};

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

    #[tokio::test(start_paused = true)]
    async fn an_entry_grows_from_fresh_to_stale_to_kept_to_spent() {
        let start = Instant::now();
        let entry = Entry::new(report("{}"), None, &policy(), start);
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
        let entry = Entry::new(refusal, None, &policy(), start);
        assert_eq!(
            entry.standing(start + Duration::from_secs(60)),
            Standing::Spent,
            "a refusal is never stale"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn an_unchanged_answer_keeps_the_time_of_its_last_change() {
        let start = Instant::now();
        let first = Entry::new(report("{}"), None, &policy(), start);
        let same = Entry::new(report("{}"), Some(&first), &policy(), start + Duration::from_secs(300));
        let other = Entry::new(report("{},{}"), Some(&same), &policy(), start + Duration::from_secs(600));
        let end = start + Duration::from_secs(1_000);
        assert_eq!(
            [&first, &same, &other].map(|entry| entry.unchanged_for(end).as_secs()),
            [1_000, 1_000, 400]
        );
    }

    #[tokio::test(start_paused = true)]
    async fn failing_refreshes_come_at_growing_pauses_up_to_a_minute() {
        let start = Instant::now();
        let mut entry = Entry::new(report("{}"), None, &policy(), start);
        for pause in [5, 10, 20, 40, 60, 60] {
            entry = entry.troubled(Cause::Timeout.into(), start);
            assert_eq!(entry.trouble().unwrap().retry_at, start + Duration::from_secs(pause));
        }
    }
}
