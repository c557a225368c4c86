//! What a snapshot has of the cache, as JSON. All times are counted back from the moment of the snapshot, so that a clock
//! that is set does not change them; in milliseconds, rounded so that nothing gets younger.

use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, de::Error as _};
use tokio::time::Instant;

use super::{
    RefreshFailure,
    entry::EntrySource,
    shared_answer::{failure_of, failure_word},
    snapshot_age::{SnapshotAge, millis},
    snapshot_campaign::SnapshotCampaign,
};
use crate::{
    refresh::{CopyRecord, CopyStats},
    report::{ActivityId, NegativeAnswer, NegativeStatus, NoClicks, ReportKey},
};

/// No failure holds back calls for longer.
const LONGEST_REST: Duration = Duration::from_mins(10);

/// What a record is about. The body of an entry is beside it.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(super) enum RecordFields {
    Entry(EntryFields),
    Activity(ActivityFields),
    Failure(KeyFailureFields),
}

/// A report, or a negative answer. The body is that of the report, or of the report behind the negative answer.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct EntryFields {
    #[serde(flatten)]
    pub(super) key: KeyFields,
    pub(super) age_ms: u64,
    pub(super) stored_ms: u64,
    pub(super) unchanged_ms: u64,
    pub(super) hits: u64,
    pub(super) repeats: u32,
    pub(super) fresh_ms: u64,
    pub(super) source: SourceFields,
    pub(super) copy: Option<CopyFields>,
    pub(super) failure: Option<FailureFields>,
    /// `None`: it is a report.
    pub(super) negative: Option<NegativeFields>,
    pub(super) behind: Option<BehindFields>,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(super) struct KeyFields {
    #[serde(deserialize_with = "id")]
    id: ActivityId,
    no_clicks: bool,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum SourceFields {
    Fetched,
    Derived,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct NegativeFields {
    status: u16,
    error_key: Box<str>,
    error_message: Box<str>,
}

/// The report behind a negative answer.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct BehindFields {
    pub(super) report: Box<EntryFields>,
    pub(super) negative_ms: u64,
}

/// What the refresh rule knows of a report.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct CopyFields {
    looked_ms: u64,
    clicks_per_second: f64,
    looked_clicks: u32,
    shown_clicks: u32,
    current_before_look_ms: u32,
    answers_when_current: u32,
    answers_at_look: u32,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct FailureFields {
    what: Box<str>,
    failures: u32,
    tried_ms: u64,
    retry_in_ms: u64,
}

/// The failure of a key that has no entry.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct KeyFailureFields {
    #[serde(flatten)]
    pub(super) key: KeyFields,
    pub(super) failure: FailureFields,
}

/// The statistics of an activity.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct ActivityFields {
    #[serde(deserialize_with = "id")]
    pub(super) id: ActivityId,
    /// `[difference, milliseconds ago]`, the newest first.
    pub(super) changes: Vec<(i64, u64)>,
    pub(super) campaign: Option<SnapshotCampaign>,
    pub(super) omitted: FormCounts,
    pub(super) listed: FormCounts,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(super) struct FormCounts {
    pub(super) fetches: u32,
    pub(super) hits: u64,
    pub(super) hits_at_last_fetch: u64,
}

// === impl KeyFields ===

impl From<ReportKey> for KeyFields {
    fn from(ReportKey { id, no_clicks }: ReportKey) -> Self {
        let no_clicks = match no_clicks {
            NoClicks::Omitted => false,
            NoClicks::Listed => true,
        };
        Self { id, no_clicks }
    }
}

impl From<KeyFields> for ReportKey {
    fn from(KeyFields { id, no_clicks }: KeyFields) -> Self {
        Self { id, no_clicks: if no_clicks { NoClicks::Listed } else { NoClicks::Omitted } }
    }
}

// === impl SourceFields ===

impl From<EntrySource> for SourceFields {
    fn from(source: EntrySource) -> Self {
        match source {
            EntrySource::Fetched => Self::Fetched,
            EntrySource::Derived => Self::Derived,
        }
    }
}

impl From<SourceFields> for EntrySource {
    fn from(source: SourceFields) -> Self {
        match source {
            SourceFields::Fetched => Self::Fetched,
            SourceFields::Derived => Self::Derived,
        }
    }
}

// === impl NegativeFields ===

impl NegativeFields {
    pub(super) fn of(negative: &NegativeAnswer) -> Self {
        let NegativeAnswer { status, error_key, error_message } = negative.clone();
        Self { status: status.code(), error_key, error_message }
    }

    /// `None`: no such answer is cached.
    pub(super) fn into_answer(self) -> Option<NegativeAnswer> {
        let Self { status, error_key, error_message } = self;
        let status = match status {
            400 => NegativeStatus::BadRequest,
            404 => NegativeStatus::NotFound,
            _ => return None,
        };
        Some(NegativeAnswer { status, error_key, error_message })
    }
}

// === impl CopyFields ===

impl CopyFields {
    /// `now` is by the plan's clock.
    pub(super) fn of(copy: &CopyStats, now: Duration) -> Self {
        let CopyRecord { looked_at, clicks_per_second, current_before_look, .. } = copy.record();
        let CopyRecord { looked_clicks, shown_clicks, answers_when_current, answers_at_look, .. } =
            copy.record();
        Self {
            looked_ms: millis(now.saturating_sub(looked_at)),
            clicks_per_second,
            looked_clicks,
            shown_clicks,
            current_before_look_ms: u32::try_from(current_before_look.as_millis()).unwrap_or(u32::MAX),
            answers_when_current,
            answers_at_look,
        }
    }

    /// `now` is by the plan's clock. `None` if it cannot be true.
    pub(super) fn into_copy(self, age: SnapshotAge, now: Duration) -> Option<CopyStats> {
        CopyStats::restore(CopyRecord {
            looked_at: now.checked_sub(age.ago(self.looked_ms))?,
            clicks_per_second: self.clicks_per_second,
            looked_clicks: self.looked_clicks,
            shown_clicks: self.shown_clicks,
            current_before_look: Duration::from_millis(self.current_before_look_ms.into()),
            answers_when_current: self.answers_when_current,
            answers_at_look: self.answers_at_look,
        })
    }
}

// === impl FailureFields ===

impl FailureFields {
    /// `None` for a failure that says nothing of the key, such as a spent quota.
    pub(super) fn of(failure: &RefreshFailure, at: Instant) -> Option<Self> {
        Some(Self {
            what: failure_word(&failure.error)?,
            failures: failure.failures,
            tried_ms: millis(at.saturating_duration_since(failure.tried_at)),
            retry_in_ms: millis(failure.retry_at.saturating_duration_since(at)),
        })
    }

    /// `None` if it is no longer of use.
    pub(super) fn into_failure(self, age: SnapshotAge) -> Option<RefreshFailure> {
        let left = Duration::from_millis(self.retry_in_ms).min(LONGEST_REST).checked_sub(age.elapsed)?;
        Some(RefreshFailure {
            error: failure_of(&self.what).into(),
            failures: self.failures,
            tried_at: age.instant(self.tried_ms)?,
            retry_at: age.now + left,
        })
    }
}

fn id<'de, D: Deserializer<'de>>(deserializer: D) -> Result<ActivityId, D::Error> {
    let text = Box::<str>::deserialize(deserializer)?;
    ActivityId::parse(text.as_bytes()).map_err(D::Error::custom)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_negative_answers_come_back_as_they_were_and_nothing_else_is_one() {
        for status in [NegativeStatus::BadRequest, NegativeStatus::NotFound] {
            let answer = NegativeAnswer::parse(status, br#"[{"error_key":"a","error_message":"b"}]"#);
            assert_eq!(NegativeFields::of(&answer).into_answer(), Some(answer));
        }
        let (error_key, error_message) = ("a".into(), "b".into());
        assert_eq!(NegativeFields { status: 410, error_key, error_message }.into_answer(), None);
    }
}
