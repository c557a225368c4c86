//! The report that is kept behind a negative answer.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

use super::{Entry, ReportBehind};
use crate::report::Answer;

/// After a first 400 or 404 the report before it is kept, since a gateway's momentary fault looks the same. One that is
/// repeated this long after the first is believed, and the report is dropped.
const NEGATIVE_CONFIRMED_AFTER: Duration = Duration::from_mins(1);

// === impl Entry ===

impl Entry {
    /// The report that is kept behind a negative answer which replaces this entry now.
    pub(super) fn kept_behind(self: &Arc<Self>, now: Instant) -> Option<Box<ReportBehind>> {
        let behind = match &self.answer {
            Answer::Report(_) => {
                Some(Box::new(ReportBehind { report: Arc::clone(self), negative_since: now }))
            }
            Answer::Negative(_) => self.behind.clone().filter(|behind| {
                now.saturating_duration_since(behind.negative_since) < NEGATIVE_CONFIRMED_AFTER
            }),
        };
        behind.filter(|behind| !behind.report.is_expired(now))
    }

    /// The report, be it this entry or the one behind this negative answer; of any age.
    pub(in crate::cache) fn report_or_behind(self: &Arc<Self>) -> Option<&Arc<Self>> {
        match &self.answer {
            Answer::Report(_) => Some(self),
            Answer::Negative(_) => self.report_behind(),
        }
    }

    /// The report behind this negative answer, of any age.
    pub(in crate::cache) fn report_behind(&self) -> Option<&Arc<Self>> {
        self.behind.as_ref().map(|behind| &behind.report)
    }
}
