//! The daily budget: counts the calls of a UTC day; 10,000 by the vendor's rule, reset at 00:00 UTC.
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
    lease::{DayMark, LEASE, Lease},
    lockout::OwnCount,
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
}

// === impl DailyBudget ===

impl DailyBudget {
    /// A count of a day on which so many calls are known to be gone.
    pub(super) fn new(limits: DayLimits, backing: Backing, used: u32, now: SystemTime) -> Self {
        let usage = UsageByDay::new(DayUsage::new(day_of(now), used, backing), backing);
        Self { limits, usage, rate: Rate::new(now) }
    }

    /// A count that goes on where the store's was left, on a day that may be over.
    pub(super) fn resumed(limits: DayLimits, record: &LedgerRecord, now: SystemTime) -> Self {
        let usage = UsageByDay::stored(record, limits.calls.map_or(0, NonZeroU32::get));
        Self { limits, usage, rate: Rate::new(now) }
    }

    /// The share of a day that an even day has spent by now. For whoever does not know what the key has spent:
    /// optimism could spend a day twice, a crash loop many times.
    pub(super) fn pro_rata(limits: DayLimits, now: SystemTime) -> u32 {
        let into_day = since_midnight(now).as_secs();
        let share =
            limits.calls.map_or(0, |limit| (u64::from(limit.get()) * into_day).div_ceil(DAY.as_secs()));
        u32::try_from(share).unwrap_or(u32::MAX)
    }

    /// Does the count leave a call today? Counts nothing.
    ///
    /// # Errors
    /// [`DailyQuotaExhausted`] with the time until it does.
    pub(super) fn check(&mut self, priority: Priority, now: SystemTime) -> Result<(), DailyQuotaExhausted> {
        match (self.mode(now), priority) {
            (QuotaMode::Normal | QuotaMode::Throttled, _) | (QuotaMode::MissesOnly, Priority::Miss) => Ok(()),
            (QuotaMode::MissesOnly, Priority::Refresh) | (QuotaMode::Exhausted, _) => {
                Err(DailyQuotaExhausted { retry_in: till_midnight(now) })
            }
        }
    }

    /// What the store has to write down before the next call is counted.
    pub(super) fn lease_needed(&self) -> Option<Lease> {
        let DayUsage { day, used, leased, unrecorded, .. } = *self.usage.current();
        match self.usage.backing() {
            Backing::Store if leased == 0 => {
                let ceiling = self.limits.calls;
                let left = ceiling.map_or(LEASE, |limit| limit.get().saturating_sub(used));
                Some(Lease { day, calls: left.clamp(1, LEASE), unrecorded, ceiling })
            }
            Backing::Memory | Backing::Store => None,
        }
    }

    /// Counts one call, which is on the day that is returned. Not while a lease is needed.
    pub(super) fn count(&mut self, now: SystemTime) -> u64 {
        // There is none where this process alone counts.
        let today = self.usage.current_mut();
        today.leased = today.leased.saturating_sub(1);
        self.usage.count();
        self.rate.count(now);
        self.day()
    }

    /// A call that was counted on this day was not sent after all.
    pub(super) fn refund(&mut self, day: u64) {
        self.usage.refund(day);
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

    /// The upstream takes no more calls today: what it has counted and we have not were others'. Returns what the store
    /// has to write down.
    pub(super) fn close(&mut self) -> Option<DayMark> {
        let limit = self.limits.calls.map_or(0, NonZeroU32::get);
        let today = self.usage.current_mut();
        today.external = today.external.max(limit.saturating_sub(today.used));
        self.mark(DayStatus::Closed)
    }

    /// It takes calls again. Returns what the store has to write down.
    pub(super) fn reopen(&mut self) -> Option<DayMark> {
        self.usage.current_mut().external = 0;
        self.mark(DayStatus::Open)
    }

    /// The day that is counted on: days since 1970-01-01.
    pub(super) fn day(&self) -> u64 {
        self.usage.current().day
    }

    /// Whether that day is closed.
    pub(super) fn status(&self) -> DayStatus {
        self.usage.current().status
    }

    /// What the count has to say to a `quota_exceeded`. One that has no limit bears no verdict out.
    pub(super) fn own_count(&self) -> OwnCount {
        let used = f64::from(self.usage.current().used);
        match self.limits.calls {
            Some(limit) if used >= f64::from(limit.get()) * FAR_BELOW_LIMIT => OwnCount::NearLimit,
            Some(_) | None => OwnCount::FarBelowLimit,
        }
    }

    /// What calls may be made for, as far as the count goes.
    pub(super) fn mode(&mut self, now: SystemTime) -> QuotaMode {
        let (burn_rate, limit) = (self.burn_rate(now), self.limits.calls);
        let today = self.usage.current_mut();
        today.mode = if limit.is_some_and(|limit| today.used >= limit.get()) {
            QuotaMode::Exhausted
        } else {
            burn_rate.map_or(QuotaMode::Normal, |burn_rate| today.mode.next(burn_rate))
        };
        today.mode
    }

    /// How scarce calls are for refreshes, as far as the count goes.
    pub(super) fn quota_pressure(&mut self, now: SystemTime) -> QuotaPressure {
        match self.mode(now) {
            QuotaMode::Normal => QuotaPressure::Normal,
            QuotaMode::Throttled => {
                QuotaPressure::Delayed { factor: factor(self.burn_rate(now).unwrap_or(1.0)) }
            }
            QuotaMode::MissesOnly | QuotaMode::Exhausted => QuotaPressure::Stopped,
        }
    }

    /// How the day stands in this mode, which may be worse than the count's own.
    pub(super) fn today(&self, mode: QuotaMode, now: SystemTime) -> DayCount {
        let today = *self.usage.current();
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

    fn pace(&self) -> Option<BurnRate> {
        self.limits.calls.map(|limit| BurnRate::new(limit, self.limits.reserve))
    }

    fn burn_rate(&self, now: SystemTime) -> Option<f64> {
        self.pace().map(|pace| pace.burn_rate(self.usage.current().used, left_of(now)))
    }

    fn mark(&mut self, status: DayStatus) -> Option<DayMark> {
        let (backing, today) = (self.usage.backing(), self.usage.current_mut());
        let before = std::mem::replace(&mut today.status, status);
        match backing {
            Backing::Store if before != status => Some(DayMark { day: today.day, status }),
            Backing::Memory | Backing::Store => None,
        }
    }

    /// Wherever the clock goes, each day has its own count. `None`: it is the same day as before.
    pub(super) fn roll_over(&mut self, now: SystemTime) -> Option<DateChange> {
        self.usage.change_to(day_of(now))
    }
}
