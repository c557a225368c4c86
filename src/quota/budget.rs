//! Counts the calls of a UTC day, as the vendor does: 10,000 of them, gone until 00:00 UTC when spent.
//!
//! Where a store keeps the count, calls are leased from it: a few are written down as gone before the first of them
//! leaves. A kill at any instant then forgets at most that some of them were never made.

use std::{
    num::NonZeroU32,
    time::{Duration, SystemTime},
};

use super::{
    burn_rate::{BurnRate, QuotaMode, factor},
    day::{DAY, day_of, later, left_of, since_midnight, till_midnight},
    forecast::{Forecast, Rate},
    lease::{DayMark, LEASE, Lease, Reservation, Reserve},
    lockout::{CallKind, Lifted, OwnCount, UpstreamLockout, is_doubtful},
    pacer::Priority,
    snapshot::DayCount,
    usage::{Backing, DateChange, DayUsage, UsageByDay},
};
use crate::{
    report::QuotaPressure,
    state::{DayRecord, DayStatus, LedgerRecord},
};

/// The share of the limit below which our own count speaks against a `quota_exceeded`.
const FAR_BELOW_LIMIT: f64 = 0.8;

/// The day's quota is spent, or what is left of it is not for this call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the day's quota is spent, the next call may go in {retry_in:?}")]
pub(super) struct DailyQuotaExhausted {
    /// Till 00:00 UTC, as a rule.
    pub(super) retry_in: Duration,
}

/// What a day has to give.
#[derive(Debug, Clone, Copy)]
pub(super) struct DayLimits {
    /// Calls that a day has; `None` when the operator does not limit them.
    pub(super) calls: Option<NonZeroU32>,
    /// The share of them that is kept for cold keys, in `0.0..=0.9`.
    pub(super) reserve: f64,
}

/// A pure machine: the vendor's time of day comes as an argument.
#[derive(Debug)]
pub(super) struct DailyBudget {
    limits: DayLimits,
    usage: UsageByDay,
    rate: Rate,
    lockout: UpstreamLockout,
}

// === impl DailyBudget ===

impl DailyBudget {
    /// A ledger of a day on which so many calls are known to be gone.
    pub(super) fn new(limits: DayLimits, backing: Backing, used: u32, now: SystemTime) -> Self {
        let usage = UsageByDay::new(DayUsage::new(day_of(now), used, backing), backing);
        Self { limits, usage, rate: Rate::new(now), lockout: UpstreamLockout::None }
    }

    /// A ledger that goes on where the store's was left, on a day that may be over. `random` is a random number in
    /// `0.0..1.0`.
    pub(super) fn resumed(limits: DayLimits, record: &LedgerRecord, now: SystemTime, random: f64) -> Self {
        let usage = UsageByDay::stored(record, limits.calls.map_or(0, NonZeroU32::get));
        let DayUsage { day, status, .. } = *usage.current();
        let lockout = match status {
            DayStatus::Open => UpstreamLockout::None,
            DayStatus::Closed => UpstreamLockout::of_day(day, random),
        };
        let mut budget = Self { limits, usage, rate: Rate::new(now), lockout };
        if day == day_of(now) {
            budget.meet_status(now, random);
        } else {
            budget.roll_over(now);
        }
        budget
    }

    /// The share of a day that an even day has spent by now. For whoever does not know what the key has spent:
    /// optimism could spend a day twice, a crash loop many times.
    pub(super) fn pro_rata(limits: DayLimits, now: SystemTime) -> u32 {
        let into_day = since_midnight(now).as_secs();
        let share =
            limits.calls.map_or(0, |limit| (u64::from(limit.get()) * into_day).div_ceil(DAY.as_secs()));
        u32::try_from(share).unwrap_or(u32::MAX)
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
        match (self.step_by_count(now), priority) {
            (QuotaMode::Normal | QuotaMode::Throttled, _) | (QuotaMode::MissesOnly, Priority::Miss) => {
                Ok(kind)
            }
            (QuotaMode::MissesOnly, Priority::Refresh) | (QuotaMode::Exhausted, _) => {
                Err(DailyQuotaExhausted { retry_in: till_midnight(now) })
            }
        }
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
        let (backing, today) = (self.usage.backing(), self.usage.current_mut());
        match backing {
            Backing::Memory => {}
            Backing::Store if today.leased > 0 => today.leased -= 1,
            Backing::Store => {
                let left = self.limits.calls.map_or(LEASE, |limit| limit.get().saturating_sub(today.used));
                let calls = left.clamp(1, LEASE);
                return Ok(Reserve::Lease(Lease {
                    day: today.day,
                    calls,
                    unrecorded: today.unrecorded,
                    ceiling: self.limits.calls,
                }));
            }
        }
        let day = today.day;
        self.usage.count();
        self.rate.count(now);
        self.lockout.begin(kind);
        Ok(Reserve::Reserved(Reservation { day, kind }))
    }

    /// Is a counted call still good to go? One of a day that is over is not: the new day has not counted it. Nor is one
    /// that the upstream's `quota_exceeded` overtook.
    pub(super) fn is_good(&mut self, line: Reservation, now: SystemTime) -> bool {
        self.roll_over(now);
        let allowed = match line.kind {
            CallKind::Regular => self.lockout == UpstreamLockout::None,
            CallKind::Probe => true,
        };
        allowed && line.day == self.usage.current().day
    }

    /// A counted call was not sent after all.
    pub(super) fn refund(&mut self, line: Reservation, now: SystemTime) {
        self.roll_over(now);
        self.usage.refund(line.day);
        match line.kind {
            CallKind::Regular => {}
            CallKind::Probe => self.lockout.not_sent(now),
        }
    }

    /// The store wrote a lease down, or what it granted of it; its count of that day is now this.
    pub(super) fn leased(&mut self, lease: Lease, spent: u32) {
        let limit = self.limits.calls.map_or(0, NonZeroU32::get);
        if let Some(usage) = self.usage.of(lease.day) {
            usage.leased += lease.calls;
            usage.unrecorded = usage.unrecorded.saturating_sub(lease.unrecorded);
            if spent == DayRecord::UNCOUNTED {
                usage.used = usage.used.max(limit);
                return;
            }
            // Others may share the store: what they took is gone for us, and so is what it does not know of yet.
            let taken = spent.saturating_add(usage.unrecorded);
            let known = usage.used.saturating_add(usage.leased);
            usage.used = taken.saturating_sub(usage.leased).max(usage.used);
            // A store keeps few days: this one it may have lost to days that a wrong clock has shown.
            usage.unrecorded = usage.unrecorded.saturating_add(known.saturating_sub(taken));
        }
    }

    /// The store failed, or is late. The calls are made all the same, and written down when it works again: a full disk must not
    /// end all service, and if the worst comes the upstream's own count ends the day.
    pub(super) fn lease_failed(&mut self, lease: Lease) {
        if let Some(usage) = self.usage.of(lease.day) {
            usage.leased += lease.calls;
            usage.unrecorded = usage.unrecorded.saturating_add(lease.calls);
        }
    }

    /// The upstream said `quota_exceeded`. It knows better: other programs spend the same quota unseen. `random` is a
    /// random number in `0.0..1.0`. Returns what the store has to write down, for the run after a crash.
    pub(super) fn exceeded(&mut self, now: SystemTime, random: f64) -> Option<DayMark> {
        self.roll_over(now);
        self.lockout.exceeded(now, self.own_count(), random);
        if is_doubtful(now) {
            return None;
        }
        let limit = self.limits.calls.map_or(0, NonZeroU32::get);
        let today = self.usage.current_mut();
        today.external = today.external.max(limit.saturating_sub(today.used));
        self.mark(DayStatus::Closed)
    }

    /// A call was answered, and not with `quota_exceeded`. Returns what the store has to write down.
    pub(super) fn answered(&mut self, line: Reservation) -> Option<DayMark> {
        let lifted = match line.kind {
            CallKind::Regular => Lifted::Not,
            CallKind::Probe => self.lockout.clear(),
        };
        match lifted {
            Lifted::Not => None,
            Lifted::Now => {
                self.usage.current_mut().external = 0;
                self.mark(DayStatus::Open)
            }
        }
    }

    /// A call ended without an answer.
    pub(super) fn inconclusive(&mut self, line: Reservation, now: SystemTime) {
        match line.kind {
            CallKind::Regular => {}
            CallKind::Probe => self.lockout.unanswered(now),
        }
    }

    /// What calls may be made for.
    pub(super) fn mode(&mut self, now: SystemTime) -> QuotaMode {
        self.roll_over(now);
        let mode = self.step_by_count(now);
        if self.lockout.closes_day(now) { QuotaMode::Exhausted } else { mode }
    }

    /// How scarce calls are for refreshes. A probe that is due is as good as a refresh as any call.
    pub(super) fn quota_pressure(&mut self, now: SystemTime) -> QuotaPressure {
        self.roll_over(now);
        match self.step_by_count(now) {
            _ if self.lockout.holds(now) => QuotaPressure::Stopped,
            QuotaMode::Normal => QuotaPressure::Normal,
            QuotaMode::Throttled => {
                QuotaPressure::Delayed { factor: factor(self.burn_rate(now).unwrap_or(1.0)) }
            }
            QuotaMode::MissesOnly | QuotaMode::Exhausted => QuotaPressure::Stopped,
        }
    }

    /// How the day stands.
    pub(super) fn today(&mut self, now: SystemTime) -> DayCount {
        let (mode, today) = (self.mode(now), *self.usage.current());
        let left = self.limits.calls.map(|limit| match mode {
            QuotaMode::Normal | QuotaMode::Throttled | QuotaMode::MissesOnly => {
                limit.get().saturating_sub(today.used)
            }
            QuotaMode::Exhausted => 0,
        });
        // A share of a u32.
        let reserved = self.pace().map_or(0, |pace| pace.reserved(left_of(now)) as u32);
        DayCount {
            limit: self.limits.calls,
            used: today.used,
            remaining: left,
            reserved: left.map_or(0, |left| left.min(reserved)),
            external: today.external,
            resets_at: later(now, till_midnight(now)),
            resets_in: till_midnight(now),
            backing: self.usage.backing(),
            mode,
            per_second: self.rate.per_second(now),
            forecast: match mode {
                QuotaMode::Normal | QuotaMode::Throttled | QuotaMode::MissesOnly => {
                    self.rate.forecast(left, now)
                }
                QuotaMode::Exhausted => Forecast::Exhausted,
            },
        }
    }

    fn step_by_count(&mut self, now: SystemTime) -> QuotaMode {
        let (burn_rate, limit) = (self.burn_rate(now), self.limits.calls);
        let today = self.usage.current_mut();
        today.mode = if limit.is_some_and(|limit| today.used >= limit.get()) {
            QuotaMode::Exhausted
        } else {
            burn_rate.map_or(QuotaMode::Normal, |burn_rate| today.mode.next(burn_rate))
        };
        today.mode
    }

    fn pace(&self) -> Option<BurnRate> {
        self.limits.calls.map(|limit| BurnRate::new(limit, self.limits.reserve))
    }

    fn burn_rate(&self, now: SystemTime) -> Option<f64> {
        self.pace().map(|pace| pace.burn_rate(self.usage.current().used, left_of(now)))
    }

    /// A count that has no limit bears no verdict out.
    fn own_count(&self) -> OwnCount {
        let used = f64::from(self.usage.current().used);
        match self.limits.calls {
            Some(limit) if used >= f64::from(limit.get()) * FAR_BELOW_LIMIT => OwnCount::NearLimit,
            Some(_) | None => OwnCount::FarBelowLimit,
        }
    }

    fn mark(&mut self, status: DayStatus) -> Option<DayMark> {
        let (backing, today) = (self.usage.backing(), self.usage.current_mut());
        let before = std::mem::replace(&mut today.status, status);
        match backing {
            Backing::Store if before != status => Some(DayMark { day: today.day, status }),
            Backing::Memory | Backing::Store => None,
        }
    }

    /// Wherever the clock goes, each day has its own count.
    fn roll_over(&mut self, now: SystemTime) {
        match self.usage.change_to(day_of(now)) {
            None => {}
            Some(DateChange::Midnight) => {
                self.lockout = self.lockout.into_next_day();
                self.meet_status(now, 0.0);
            }
            // The verdict was about another day.
            Some(DateChange::QuotaMode) => {
                self.lockout = UpstreamLockout::None;
                self.meet_status(now, 0.0);
            }
        }
    }

    /// Today may have been closed when the clock showed it before, or by a run before.
    fn meet_status(&mut self, now: SystemTime, random: f64) {
        match self.usage.current().status {
            DayStatus::Open => {}
            DayStatus::Closed => self.lockout = UpstreamLockout::met(now, self.own_count(), random),
        }
    }
}

#[cfg(test)]
mod tests;
