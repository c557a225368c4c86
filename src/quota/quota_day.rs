//! Quota day: joins the daily budget (our own count) and the lockout (what the upstream said).

use std::time::SystemTime;

use super::{
    budget::{DailyBudget, DailyQuotaExhausted, DayLimits},
    burn_rate::QuotaMode,
    day::day_of,
    forecast::OthersCalls,
    lease::{DayMark, Lease, Reservation, Reserve},
    lockout::{CallKind, Lifted, UpstreamLockout, is_doubtful},
    pacer::Priority,
    rationing::PlannedRationing,
    snapshot::DayCount,
    usage::{Backing, DateChange},
};
use crate::{
    report::QuotaPressure,
    state::{DayStatus, LedgerRecord},
};

/// The daily budget and the lockout; a call needs the consent of both. Pure: the upstream's time of day is an argument.
#[derive(Debug)]
pub(super) struct QuotaDay {
    budget: DailyBudget,
    lockout: UpstreamLockout,
}

// === impl QuotaDay ===

impl QuotaDay {
    /// A day on which `used` calls are known to be made already.
    pub(super) fn new(limits: DayLimits, backing: Backing, used: u32, now: SystemTime) -> Self {
        Self { budget: DailyBudget::new(limits, backing, used, now), lockout: UpstreamLockout::None }
    }

    /// A day on which nobody has counted the calls: an even pace is assumed.
    pub(super) fn assumed(limits: DayLimits, backing: Backing, now: SystemTime) -> Self {
        Self { budget: DailyBudget::assumed(limits, backing, now), lockout: UpstreamLockout::None }
    }

    /// As [`DailyBudget::set_limits`]. A lockout goes on: it is the upstream's.
    pub(super) fn set_limits(&mut self, limits: DayLimits) {
        self.budget.set_limits(limits);
    }

    /// As [`DailyBudget::assumed_today`].
    pub(super) fn assumed_today(&self) -> u32 {
        self.budget.assumed_today()
    }

    /// Continues the store's record, whose latest day may be over. `random` is in `0.0..1.0`.
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

    /// Whether a call is allowed now. Counts nothing.
    ///
    /// # Errors
    /// [`DailyQuotaExhausted`] with the time until one is allowed.
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

    /// Counts one call before it is sent, or says which lease the store has to record first.
    ///
    /// # Errors
    /// [`DailyQuotaExhausted`]: nothing was counted.
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

    /// Whether a counted call may still be made. Not after midnight, since the new day has not counted it; and not
    /// after a `quota_exceeded` that came while it waited.
    pub(super) fn is_valid(&mut self, counted: Reservation, now: SystemTime) -> bool {
        self.roll_over(now);
        let allowed = match counted.kind {
            CallKind::Regular => self.lockout == UpstreamLockout::None,
            CallKind::Probe => true,
        };
        allowed && counted.day == self.budget.day()
    }

    /// Takes back a counted call that was never sent.
    pub(super) fn refund(&mut self, counted: Reservation, now: SystemTime) {
        self.not_sent(counted, now);
        self.take_back(counted);
    }

    /// The same, of the count alone.
    pub(super) fn take_back(&mut self, counted: Reservation) {
        self.budget.refund(counted.day);
    }

    /// A call was never sent; it stays counted, since another one takes its place.
    pub(super) fn not_sent(&mut self, counted: Reservation, now: SystemTime) {
        self.roll_over(now);
        match counted.kind {
            CallKind::Regular => {}
            CallKind::Probe => self.lockout.not_sent(now),
        }
    }

    /// The upstream said `quota_exceeded`. This overrules our count: other programs may use the same quota. `random`
    /// is in `0.0..1.0`. Returns the mark that the store has to record, so that a restart knows it too.
    pub(super) fn exceeded(&mut self, now: SystemTime, random: f64) -> Option<DayMark> {
        self.roll_over(now);
        self.lockout.exceeded(now, self.budget.own_count(), random);
        if is_doubtful(now) { None } else { self.budget.close() }
    }

    /// A call got a response other than `quota_exceeded`. Returns the mark that the store has to record, if any.
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

    /// A call was sent and got no response.
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

    /// As [`DailyBudget::learn`].
    pub(super) fn learn(&mut self, day: u64, spent: u64, others: OthersCalls, now: SystemTime) {
        self.roll_over(now);
        self.budget.learn(day, spent, others, now);
    }

    /// Another replica's probe was answered. Returns the mark that the store has to record, if any.
    pub(super) fn end_lockout(&mut self) -> Option<DayMark> {
        self.lockout = UpstreamLockout::None;
        self.budget.reopen()
    }

    /// The day of the count: days since 1970-01-01.
    pub(super) fn day(&self) -> u64 {
        self.budget.day()
    }

    /// As [`DailyBudget::ceiling`].
    pub(super) fn ceiling(&self, priority: Priority, now: SystemTime) -> Option<u32> {
        self.budget.ceiling(priority, now)
    }

    /// As [`DailyBudget::ration`].
    pub(super) fn ration(&mut self, planned: PlannedRationing) {
        self.budget.ration(planned);
    }

    /// Which calls are allowed now.
    pub(super) fn mode(&mut self, now: SystemTime) -> QuotaMode {
        self.roll_over(now);
        let mode = self.budget.mode(now);
        if self.lockout.closes_day(now) { QuotaMode::Exhausted } else { mode }
    }

    /// How much refreshes have to slow down. They are allowed while a probe is due: a refresh can be the probe.
    pub(super) fn quota_pressure(&mut self, now: SystemTime) -> QuotaPressure {
        self.roll_over(now);
        let pressure = self.budget.quota_pressure(now);
        if self.lockout.holds(now) { QuotaPressure::Stopped } else { pressure }
    }

    /// Today's numbers for `GET /quota`.
    pub(super) fn today(&mut self, now: SystemTime) -> DayCount {
        let mode = self.mode(now);
        self.budget.today(mode, now)
    }

    /// Changes to the day that `now` is in, with its own count. A lockout is about one day, and ends or is renewed.
    fn roll_over(&mut self, now: SystemTime) {
        let change = self.budget.roll_over(now);
        self.meet_day(change, now);
    }

    /// The clock turned out to have been wrong: it is `now`. The calls since it was wrong count for the day of `now` too.
    pub(super) fn correct_to(&mut self, now: SystemTime) {
        let change = self.budget.correct_to(now);
        self.meet_day(change, now);
    }

    fn meet_day(&mut self, change: Option<DateChange>, now: SystemTime) {
        self.lockout = match change {
            None => return,
            Some(DateChange::Midnight) => self.lockout.into_next_day(),
            Some(DateChange::ClockSet) => UpstreamLockout::None,
        };
        self.meet_status(now, 0.0);
    }

    /// Begins the lockout if today was closed before: by an earlier process, or when the clock showed this day earlier.
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
mod exceeded_tests;
#[cfg(test)]
mod fleet_tests;
#[cfg(test)]
mod lease_tests;
#[cfg(test)]
mod limit_tests;
#[cfg(test)]
mod planned_tests;
#[cfg(test)]
mod tests;
