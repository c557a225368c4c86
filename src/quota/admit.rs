//! May this call be made now? The one way through the day's budget, the upstream's lockout and the second's pace.

use tokio::time::Instant;

use super::{
    budget::DailyQuotaExhausted,
    handle::{Quota, Window},
    pacer::{Priority, QueueFull},
    permit::CallPermit,
};
use crate::report::{LocalDenial, Reason};

impl Quota {
    /// Counts a call, and waits for its turn.
    ///
    /// # Errors
    /// The day has no call left for it, or the queue for the second is too long: then nothing was counted.
    pub(super) async fn admit(&self, reason: Reason) -> Result<CallPermit, LocalDenial> {
        let shared = &*self.shared;
        let (priority, arrived) = (Priority::from(reason), Instant::now());
        loop {
            // The day and the lockout first: a spent day is not worth waiting for a turn, and a turn must not wait for a
            // store.
            let counted = shared.day.reserve(priority).await.map_err(|spent| self.denied_day(spent))?;
            // From here on the permit sees to the count, also if nobody waits for it any more.
            let permit = CallPermit::new(self.clone(), counted);
            let turn =
                shared.second.turn(priority, arrived).await.map_err(|full| self.denied_second(full))?;
            // The wait may have taken it past midnight, or the upstream's `quota_exceeded` past it: then it is counted
            // anew.
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
