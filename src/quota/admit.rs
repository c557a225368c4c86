//! Admission: every upstream call passes the daily budget, the lockout and the per-second pacer here.

use tokio::time::Instant;

use super::{
    budget::DailyQuotaExhausted,
    handle::{Quota, Window},
    pacer::{Priority, QueueFull},
    permit::CallPermit,
};
use crate::report::{LocalDenial, Reason};

impl Quota {
    /// Counts a call on the day, then waits until the pacer lets it leave.
    ///
    /// # Errors
    /// [`LocalDenial::DailyQuota`] or [`LocalDenial::RateLimit`] (the wait would be too long): no call stays counted.
    pub(super) async fn admit(&self, reason: Reason) -> Result<CallPermit, LocalDenial> {
        let shared = &*self.shared;
        let (priority, arrived) = (Priority::from(reason), Instant::now());
        loop {
            // The day before the pacer: with no calls left there is no point in queueing, and a call whose turn has
            // come must not wait for a disk write.
            let counted = shared.day.reserve(priority).await.map_err(|spent| self.denied_day(spent))?;
            // From here on dropping the permit undoes the count, also when this future is cancelled.
            let permit = CallPermit::new(self.clone(), counted);
            let turn =
                shared.second.turn(priority, arrived).await.map_err(|full| self.denied_second(full))?;
            // While the call waited, midnight may have passed or a lockout may have begun: then start over.
            if let Some(permit) = permit.begin(turn) {
                shared.metrics.waited(arrived.elapsed());
                return Ok(permit);
            }
        }
    }

    fn denied_second(&self, full: QueueFull) -> LocalDenial {
        self.shared.metrics.denied(Window::Second.as_str());
        LocalDenial::RateLimit { retry_after: full.wait.saturating_sub(self.shared.limits.max_wait) }
    }

    fn denied_day(&self, spent: DailyQuotaExhausted) -> LocalDenial {
        self.shared.metrics.denied(Window::Day.as_str());
        LocalDenial::DailyQuota { retry_after: spent.retry_in }
    }
}
