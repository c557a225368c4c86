//! Admission: every upstream call passes the daily budget, the lockout and the per-second pacer here.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::{
    budget::DailyQuotaExhausted,
    day::till_midnight,
    fleet_call::{FleetCall, FleetDenial, FleetTurn},
    fleet_quota::{FleetQuota, OTHER_DAY},
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
            let mut permit = CallPermit::new(self.clone(), counted);
            permit
                .hold(shared.second.turn(priority, arrived).await.map_err(|full| self.denied_second(full))?);
            if let Some(fleet) = shared.fleet.get() {
                match self.fleet_turn(fleet, &permit, priority, arrived).await? {
                    Some(turn) => permit.fleet_turn(turn),
                    None => continue,
                }
            }
            // While the call waited, midnight may have passed or a lockout may have begun: then start over.
            if let Some(permit) = permit.begin() {
                shared.metrics.waited(arrived.elapsed());
                return Ok(permit);
            }
        }
    }

    /// Has the fleet count and place the call; other calls of this process wait meanwhile. `None`: another replica has begun
    /// the next day, and now it is the next day here too.
    async fn fleet_turn(
        &self,
        fleet: &FleetQuota,
        permit: &CallPermit,
        priority: Priority,
        arrived: Instant,
    ) -> Result<Option<FleetTurn>, LocalDenial> {
        let (shared, day) = (&*self.shared, permit.day());
        let call = FleetCall {
            day,
            ceiling: shared.day.with(|day, now| day.ceiling(priority, now)),
            priority,
            patience: self.limits().max_wait.saturating_sub(arrived.elapsed()),
        };
        let others = fleet.others_calls();
        let learn = |spent| shared.day.with(|quota_day, now| quota_day.learn(day, spent, others, now));
        let till_midnight = || shared.day.with(|_quota_day, now| till_midnight(now));
        match fleet.turn(call).await {
            Ok(turn) => {
                turn.spent.into_iter().for_each(learn);
                Ok(Some(turn))
            }
            Err(FleetDenial::Exhausted { spent }) => {
                learn(spent);
                Err(self.denied_day(DailyQuotaExhausted { retry_in: till_midnight() }))
            }
            Err(FleetDenial::DayClosed(ends_in)) => {
                let retry_in = ends_in.unwrap_or_else(till_midnight);
                Err(self.denied_day(DailyQuotaExhausted { retry_in }))
            }
            Err(FleetDenial::DayIsOver) => {
                let over_in = if permit.is_valid() { till_midnight() } else { Duration::ZERO };
                // By a clock that is further behind, it is not over for long.
                if over_in > self.limits().max_wait.saturating_sub(arrived.elapsed()) {
                    return Err(self.denied_late(OTHER_DAY));
                }
                sleep(over_in).await;
                Ok(None)
            }
            Err(FleetDenial::Late(wait)) => Err(self.denied_late(wait)),
        }
    }

    fn denied_late(&self, retry_after: Duration) -> LocalDenial {
        self.shared.metrics.denied(Window::Second.as_str());
        LocalDenial::RateLimit { retry_after }
    }

    fn denied_second(&self, full: QueueFull) -> LocalDenial {
        self.shared.metrics.denied(Window::Second.as_str());
        LocalDenial::RateLimit { retry_after: full.wait.saturating_sub(self.limits().max_wait) }
    }

    fn denied_day(&self, spent: DailyQuotaExhausted) -> LocalDenial {
        self.shared.metrics.denied(Window::Day.as_str());
        LocalDenial::DailyQuota { retry_after: spent.retry_in }
    }
}
