//! The day as a call meets it: what our own count allows, and what the upstream has said of it.

use std::time::SystemTime;

use super::{
    budget::{DailyBudget, DailyQuotaExhausted, DayLimits},
    burn_rate::QuotaMode,
    day::day_of,
    lease::{DayMark, Lease, Reservation, Reserve},
    lockout::{CallKind, Lifted, UpstreamLockout, is_doubtful},
    pacer::Priority,
    snapshot::DayCount,
    usage::{Backing, DateChange},
};
use crate::{
    report::QuotaPressure,
    state::{DayStatus, LedgerRecord},
};

/// Two machines, of which the lockout has the last word. Pure: the vendor's time of day comes as an argument.
#[derive(Debug)]
pub(super) struct QuotaDay {
    budget: DailyBudget,
    lockout: UpstreamLockout,
}

// === impl QuotaDay ===

impl QuotaDay {
    /// A day on which so many calls are known to be gone.
    pub(super) fn new(limits: DayLimits, backing: Backing, used: u32, now: SystemTime) -> Self {
        Self { budget: DailyBudget::new(limits, backing, used, now), lockout: UpstreamLockout::None }
    }

    /// Goes on where the store's record was left, on a day that may be over. `random` is a random number in `0.0..1.0`.
    pub(super) fn resumed(limits: DayLimits, record: &LedgerRecord, now: SystemTime, random: f64) -> Self {
        let budget = DailyBudget::resumed(limits, record, now);
        let lockout = match budget.status() {
            DayStatus::Open => UpstreamLockout::None,
            DayStatus::Closed => UpstreamLockout::of_day(budget.day(), random),
        };
        let mut resumed = Self { budget, lockout };
        if resumed.budget.day() == day_of(now) {
            resumed.meet_status(now, random);
        } else {
            resumed.roll_over(now);
        }
        resumed
    }

    /// May a call go today? Counts nothing.
    ///
    /// # Errors
    /// [`DailyQuotaExhausted`] with the time until it may.
    pub(super) fn check(
        &mut self,
        priority: Priority,
        now: SystemTime,
    ) -> Result<CallKind, DailyQuotaExhausted> {
        self.roll_over(now);
        let kind = self.lockout.check(now).map_err(|retry_in| DailyQuotaExhausted { retry_in })?;
        self.budget.check(priority, now)?;
        Ok(kind)
    }

    /// Counts one call, before it is sent.
    ///
    /// # Errors
    /// [`DailyQuotaExhausted`], and nothing was counted.
    pub(super) fn reserve(
        &mut self,
        priority: Priority,
        now: SystemTime,
    ) -> Result<Reserve, DailyQuotaExhausted> {
        let kind = self.check(priority, now)?;
        if let Some(lease) = self.budget.lease_needed() {
            return Ok(Reserve::Lease(lease));
        }
        self.lockout.begin(kind);
        Ok(Reserve::Reserved(Reservation { day: self.budget.count(now), kind }))
    }

    /// Is a counted call still good to go? One of a day that is over is not: the new day has not counted it. Nor is one
    /// that the upstream's `quota_exceeded` overtook.
    pub(super) fn is_good(&mut self, counted: Reservation, now: SystemTime) -> bool {
        self.roll_over(now);
        let allowed = match counted.kind {
            CallKind::Regular => self.lockout == UpstreamLockout::None,
            CallKind::Probe => true,
        };
        allowed && counted.day == self.budget.day()
    }

    /// A counted call was not sent after all.
    pub(super) fn refund(&mut self, counted: Reservation, now: SystemTime) {
        self.roll_over(now);
        self.budget.refund(counted.day);
        match counted.kind {
            CallKind::Regular => {}
            CallKind::Probe => self.lockout.not_sent(now),
        }
    }

    /// The upstream said `quota_exceeded`. It knows better: other programs spend the same quota unseen. `random` is a
    /// random number in `0.0..1.0`. Returns what the store has to write down, for the run after a crash.
    pub(super) fn exceeded(&mut self, now: SystemTime, random: f64) -> Option<DayMark> {
        self.roll_over(now);
        self.lockout.exceeded(now, self.budget.own_count(), random);
        if is_doubtful(now) { None } else { self.budget.close() }
    }

    /// A call was answered, and not with `quota_exceeded`. Returns what the store has to write down.
    pub(super) fn answered(&mut self, counted: Reservation) -> Option<DayMark> {
        let lifted = match counted.kind {
            CallKind::Regular => Lifted::Not,
            CallKind::Probe => self.lockout.clear(),
        };
        match lifted {
            Lifted::Not => None,
            Lifted::Now => self.budget.reopen(),
        }
    }

    /// A call ended without an answer.
    pub(super) fn inconclusive(&mut self, counted: Reservation, now: SystemTime) {
        match counted.kind {
            CallKind::Regular => {}
            CallKind::Probe => self.lockout.unanswered(now),
        }
    }

    /// As [`DailyBudget::leased`].
    pub(super) fn leased(&mut self, lease: Lease, spent: u32) {
        self.budget.leased(lease, spent);
    }

    /// As [`DailyBudget::lease_failed`].
    pub(super) fn lease_failed(&mut self, lease: Lease) {
        self.budget.lease_failed(lease);
    }

    /// What calls may be made for.
    pub(super) fn mode(&mut self, now: SystemTime) -> QuotaMode {
        self.roll_over(now);
        let mode = self.budget.mode(now);
        if self.lockout.closes_day(now) { QuotaMode::Exhausted } else { mode }
    }

    /// How scarce calls are for refreshes. A probe that is due is as good as a refresh as any call.
    pub(super) fn quota_pressure(&mut self, now: SystemTime) -> QuotaPressure {
        self.roll_over(now);
        let pressure = self.budget.quota_pressure(now);
        if self.lockout.holds(now) { QuotaPressure::Stopped } else { pressure }
    }

    /// How the day stands.
    pub(super) fn today(&mut self, now: SystemTime) -> DayCount {
        let mode = self.mode(now);
        self.budget.today(mode, now)
    }

    /// Wherever the clock goes, each day has its own count, and a verdict is about one day.
    fn roll_over(&mut self, now: SystemTime) {
        self.lockout = match self.budget.roll_over(now) {
            None => return,
            Some(DateChange::Midnight) => self.lockout.into_next_day(),
            Some(DateChange::ClockSet) => UpstreamLockout::None,
        };
        self.meet_status(now, 0.0);
    }

    /// Today may have been closed when the clock showed it before, or by a run before.
    fn meet_status(&mut self, now: SystemTime, random: f64) {
        match self.budget.status() {
            DayStatus::Open => {}
            DayStatus::Closed => {
                self.lockout = UpstreamLockout::met(now, self.budget.own_count(), random);
            }
        }
    }
}

#[cfg(test)]
mod lease_tests;
#[cfg(test)]
mod tests;
