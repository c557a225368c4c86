//! The check of a report from the shared store: whoever can write into that store could have put it there. It passes the
//! checks of a report from the upstream, and if the fleet has a key it must carry the signature of a replica.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use tokio::time::Instant;

use super::shared_answer::{from_stored, to_stored};
use crate::{
    report::{Answer, InvalidReport, ReportKey},
    shared::{FleetSeal, ReportKind, ReportToStore, SealError, SharedReport},
    telemetry::{Metrics, SharedReportMetrics},
};

/// The log has one line of this kind in this time at most: somebody may fill the store with such reports.
const LOG_EVERY: Duration = Duration::from_mins(1);

/// Signs the reports that go into the store, and checks those that come from it.
#[derive(Debug)]
pub(crate) struct SharedReportCheck {
    /// `None`: `shared.key_file` is not set, so reports are not signed.
    seal: Option<Arc<FleetSeal>>,
    metrics: SharedReportMetrics,
    last_logged: Mutex<Option<Instant>>,
}

/// Why a report from the store is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
enum RefusedReport {
    #[error("its signature: {0}")]
    Signature(SealError),
    #[error(transparent)]
    Invalid(InvalidReport),
}

// === impl SharedReportCheck ===

impl SharedReportCheck {
    pub(crate) fn new(seal: Option<Arc<FleetSeal>>, metrics: &Metrics) -> Self {
        let metrics = metrics.shared_reports(&RefusedReport::WORDS);
        Self { seal, metrics, last_logged: Mutex::default() }
    }

    /// The form in which the store keeps an answer of this age.
    pub(super) fn to_store(&self, key: ReportKey, answer: &Answer, age: Duration) -> ReportToStore {
        let (kind, body) = to_stored(answer);
        let mac = self.seal.as_ref().map_or_else(Bytes::new, |seal| seal.sign_report(key, kind, &body));
        ReportToStore { kind, age, unchanged_for: age, body, mac }
    }

    /// The answer that the store has; `None`: it is refused, which is counted and logged.
    pub(super) fn answer(&self, key: ReportKey, report: &SharedReport) -> Option<Answer> {
        match self.checked(key, report) {
            Ok(answer) => Some(answer),
            Err(refused) => {
                self.metrics.refused(refused.as_str());
                self.log(key, report.kind, &refused);
                None
            }
        }
    }

    fn checked(&self, key: ReportKey, report: &SharedReport) -> Result<Answer, RefusedReport> {
        if let Some(seal) = &self.seal {
            seal.check_report(key, report).map_err(RefusedReport::Signature)?;
        }
        from_stored(key.id, report.kind, &report.body).map_err(RefusedReport::Invalid)
    }

    fn log(&self, key: ReportKey, kind: ReportKind, refused: &RefusedReport) {
        let mut last_logged = self.last_logged.lock().unwrap_or_else(PoisonError::into_inner);
        if last_logged.is_some_and(|logged| logged.elapsed() < LOG_EVERY) {
            return;
        }
        *last_logged = Some(Instant::now());
        drop(last_logged);
        let (reason, kind) = (refused.as_str(), kind.as_str());
        tracing::warn!(
            %key,
            kind,
            reason,
            error = %refused,
            "a report in the shared store is refused and fetched from the upstream instead: is shared.key_file the same in \
             all replicas, and does another program write into the store? Further ones in the next minute are only counted"
        );
    }
}

// === impl RefusedReport ===

impl RefusedReport {
    const WORDS: [&'static str; 4] = ["unsigned", "unknown_key", "not_authentic", "invalid"];

    /// The label `reason`.
    const fn as_str(&self) -> &'static str {
        match self {
            Self::Signature(SealError::Unsigned) => "unsigned",
            Self::Signature(SealError::UnknownKey) => "unknown_key",
            Self::Signature(SealError::UnknownForm | SealError::NotAuthentic | SealError::NoRandomness) => {
                "not_authentic"
            }
            Self::Invalid(_) => "invalid",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        report::testing::{good, key},
        shared::Fence,
    };

    #[tokio::test(start_paused = true)]
    async fn an_answer_goes_through_the_store_and_one_that_was_changed_there_is_none() {
        let answer = good().answer;
        for seal in [Some(Arc::new(FleetSeal::fixed())), None] {
            let check = SharedReportCheck::new(seal, &Metrics::new());
            let ReportToStore { kind, age, unchanged_for, body, mac } =
                check.to_store(key(1), &answer, Duration::ZERO);
            let stored = SharedReport { fence: Fence(1), kind, age, unchanged_for, body, mac };
            assert_eq!(check.answer(key(1), &stored), Some(answer.clone()));
            let changed = SharedReport { body: Bytes::from_static(b"{}"), ..stored };
            assert_eq!(check.answer(key(1), &changed), None);
        }
    }

    #[test]
    fn each_reason_to_refuse_a_report_has_a_series() {
        let signatures = [
            SealError::Unsigned,
            SealError::UnknownForm,
            SealError::UnknownKey,
            SealError::NotAuthentic,
            SealError::NoRandomness,
        ];
        let refused = signatures.map(RefusedReport::Signature).into_iter();
        for refused in refused.chain([RefusedReport::Invalid(InvalidReport::Malformed)]) {
            assert!(RefusedReport::WORDS.contains(&refused.as_str()), "{refused}");
        }
    }
}
