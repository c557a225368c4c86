//! An entry as a snapshot has it.

use std::{
    sync::{Arc, atomic::AtomicU64},
    time::Duration,
};

use tokio::time::Instant;

use super::{
    super::{
        copy_cell::{CopyCell, PlannedCopy},
        eviction::QueueCell,
        gzip::GzipCell,
        next_check::NextCheck,
        snapshot_age::{SnapshotAge, millis},
        snapshot_fields::{BehindFields, CopyFields, EntryFields, FailureFields, NegativeFields},
        why_empty::WhyEmptyCell,
    },
    Entry, EntryTimes, ReportBehind,
};
use crate::{
    backoff::Jitter,
    report::{Answer, Lifetime, LifetimeReason, LinkReport, Observed, ReportKey, Representation},
};

/// What an entry's lifetime is decided by when it comes back.
#[derive(Debug, Clone, Copy)]
pub(in crate::cache) struct KnownOfStored {
    pub(in crate::cache) observed: Observed,
    /// For how long it was fresh.
    pub(in crate::cache) fresh: Duration,
    /// Whether the refresh plan can decide on it.
    pub(in crate::cache) copy: HasCopy,
}

/// Are there refresh statistics?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::cache) enum HasCopy {
    Yes,
    No,
}

/// How entries come back.
pub(in crate::cache) struct Restoring<'a> {
    pub(in crate::cache) age: SnapshotAge,
    /// [`SnapshotAge::now`] by the plan's clock.
    pub(in crate::cache) plan_now: Duration,
    pub(in crate::cache) lifetime: &'a dyn Fn(KnownOfStored) -> Lifetime,
}

// === impl Entry ===

impl Entry {
    /// Its record at this moment, which is `plan_at` by the plan's clock, with its body. `None`: it is not to be kept.
    pub(in crate::cache) fn to_fields(
        &self,
        key: ReportKey,
        at: Instant,
        plan_at: Duration,
    ) -> Option<(EntryFields, Option<Representation>)> {
        // A derived report that was found out: it must not come back as a good one.
        if self.reason == LifetimeReason::NotTrusted {
            return None;
        }
        let ago = |then: Instant| millis(at.saturating_duration_since(then));
        let behind = self.behind.as_ref().and_then(|behind| {
            let (fields, body) = behind.report.to_fields(key, at, plan_at)?;
            Some((BehindFields { report: Box::new(fields), negative_ms: ago(behind.negative_since) }, body))
        });
        let (behind, body_behind) = behind.unzip();
        let (negative, body) = match &self.answer {
            Answer::Report(report) => (None, Some(report.representation().clone())),
            Answer::Negative(negative) => (Some(NegativeFields::of(negative)), body_behind.flatten()),
        };
        let fields = EntryFields {
            key: key.into(),
            age_ms: ago(self.times.generated_at),
            stored_ms: ago(self.times.stored_at),
            unchanged_ms: millis(self.unchanged_for(at)),
            hits: self.hits(),
            repeats: self.repeats,
            fresh_ms: millis(self.lifetime().fresh),
            source: self.source.into(),
            copy: self.copy.as_ref().map(|copy| CopyFields::of(&copy.cell.get(), plan_at)),
            failure: self.refresh_failure().and_then(|failure| FailureFields::of(failure, at)),
            negative,
            behind,
        };
        Some((fields, body))
    }

    /// The entry of a record. `None`: it cannot be true.
    pub(in crate::cache) fn from_fields(
        fields: EntryFields,
        body: &[u8],
        how: &Restoring<'_>,
    ) -> Option<Self> {
        let (age, key) = (how.age, ReportKey::from(fields.key));
        let answer = match fields.negative {
            Some(negative) => Answer::Negative(negative.into_answer()?),
            None => Answer::Report(LinkReport::parse(key.id, body).ok()?),
        };
        let behind = match (&answer, fields.behind) {
            (Answer::Negative(_), Some(BehindFields { report, negative_ms })) => {
                let report = Self::from_fields(*report, body, how)?;
                // Of the same key, and a report: else it is not one that was written.
                report.report()?;
                Some(ReportBehind { report: Arc::new(report), negative_since: age.instant(negative_ms)? })
            }
            (Answer::Negative(_) | Answer::Report(_), _) => None,
        };
        let copy = match (&answer, fields.copy) {
            (Answer::Report(_), Some(copy)) => Some(copy.into_copy(age, how.plan_now)?),
            (Answer::Report(_) | Answer::Negative(_), _) => None,
        };
        let generated_at = age.instant(fields.age_ms)?;
        let times = EntryTimes { generated_at, stored_at: age.instant(fields.stored_ms.min(fields.age_ms))? };
        let observed = Observed {
            reason: LifetimeReason::of(&answer),
            repeats: fields.repeats,
            age: times.stored_at.saturating_duration_since(generated_at),
            jitter: Jitter::draw(),
        };
        let known = KnownOfStored {
            observed,
            fresh: Duration::from_millis(fields.fresh_ms),
            copy: if copy.is_some() { HasCopy::Yes } else { HasCopy::No },
        };
        let plan_generated_at = how.plan_now.saturating_sub(age.ago(fields.age_ms));
        let changed_at = age.instant(fields.unchanged_ms.max(fields.age_ms))?;
        let lifetime = (how.lifetime)(known);
        Some(Self {
            ages: lifetime.into(),
            reason: lifetime.reason,
            times,
            source: fields.source.into(),
            unchanged_before: generated_at.saturating_duration_since(changed_at).into(),
            repeats: observed.repeats,
            upstream_age: observed.age.into(),
            jitter: observed.jitter,
            behind: behind.map(Box::new),
            refresh_failure: fields.failure.and_then(|failure| failure.into_failure(age)).map(Box::new),
            // Made again for the first request that accepts it, with the same tag.
            gzip: GzipCell::default(),
            hits: AtomicU64::new(fields.hits),
            queue: QueueCell::default(),
            why_empty: WhyEmptyCell::of(&answer),
            copy: copy.map(|copy| PlannedCopy {
                generated_at: plan_generated_at.into(),
                cell: CopyCell::new(copy),
                check: NextCheck::default(),
            }),
            answer,
        })
    }
}
