//! The daily budget: counts the calls of a UTC day; 10,000 by the vendor's rule, reset at 00:00 UTC.
//!
//! Where a store keeps the count, calls are leased from it: up to [`LEASE`] calls are recorded as used before the first
//! of them is made. A kill then makes the count too high by at most one lease, never too low. The exception: while a
//! store write fails or is late, calls are made before they are recorded, and a kill loses those.

use std::{
    num::NonZeroU32,
    time::{Duration, SystemTime},
};

use super::{
    burn_rate::{BurnRate, QuotaMode, factor},
    day::{DAY, day_of, later, left_of, since_midnight, till_midnight},
    forecast::{Forecast, OthersCalls, Rate},
    lease::{DayMark, LEASE, Lease},
    limits::QuotaLimits,
    lockout::OwnCount,
    pacer::Priority,
    rationing::{PlannedRationing, Rationing},
    snapshot::DayCount,
    usage::{Backing, DateChange, DayUsage, UsageByDay},
};
use crate::{
    report::QuotaPressure,
    state::{DayRecord, DayStatus, LedgerRecord},
};

/// Below this share of the limit, our own count makes a `quota_exceeded` unlikely to be true.
const FAR_BELOW_LIMIT: f64 = 0.8;

/// No call is allowed now: the day's calls are used, the rest is reserved for misses, or the lockout holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the daily quota is used up; the next call is allowed in {retry_in:?}")]
pub(super) struct DailyQuotaExhausted {
    /// Usually the time until 00:00 UTC; shorter when a probe call is due earlier.
    pub(super) retry_in: Duration,
}

/// The configured limits of a day.
#[derive(Debug, Clone, Copy)]
pub(super) struct DayLimits {
    /// Calls per UTC day; `None`: not limited.
    pub(super) calls: Option<NonZeroU32>,
    /// The share of them that is reserved for misses while no plan says how many, in `0.0..=0.9`.
    pub(super) reserve: f64,
}

/// Pure: the upstream's time of day is an argument.
#[derive(Debug)]
pub(super) struct DailyBudget {
    limits: DayLimits,
    /// The highest limit so far: what was assumed at start is a share of it.
    highest: Option<NonZeroU32>,
    rationing: Rationing,
    usage: UsageByDay,
    rate: Rate,
}

// === impl DayLimits ===

impl DayLimits {
    pub(super) const fn of(limits: &QuotaLimits) -> Self {
        Self { calls: limits.per_day, reserve: limits.reserve }
    }
}

// === impl DailyBudget ===

impl DailyBudget {
    /// Starts today's count at `used`.
    pub(super) fn new(limits: DayLimits, backing: Backing, used: u32, now: SystemTime) -> Self {
        let usage = UsageByDay::new(DayUsage::new(day_of(now), used, backing), backing);
        Self { limits, highest: limits.calls, rationing: Rationing::default(), usage, rate: Rate::new(now) }
    }

    /// Starts today's count at what an even pace would have used: nobody has counted.
    pub(super) fn assumed(limits: DayLimits, backing: Backing, now: SystemTime) -> Self {
        let usage = DayUsage::assumed(day_of(now), Self::pro_rata(limits, now), backing);
        Self { usage: UsageByDay::new(usage, backing), ..Self::new(limits, backing, 0, now) }
    }

    /// Takes over new limits. The calls counted stay counted. Where nobody has counted, a higher limit means that more may
    /// have been made, as a restart would assume too; a lower one does not mean fewer.
    pub(super) fn set_limits(&mut self, limits: DayLimits) {
        if let (Some(from), Some(to)) =
            (self.highest, limits.calls.filter(|calls| Some(*calls) > self.highest))
        {
            let backing = self.usage.backing();
            self.usage.current_mut().assume_more(from, to, backing);
            self.highest = Some(to);
        }
        self.limits = limits;
    }

    /// The calls of today that were assumed at start, and that nobody has counted since.
    pub(super) fn assumed_today(&self) -> u32 {
        self.usage.current().assumed
    }

    /// Continues the store's count. Its latest day may be over: then [`Self::roll_over`] has to follow.
    pub(super) fn resumed(limits: DayLimits, record: &LedgerRecord, now: SystemTime) -> Self {
        let usage = UsageByDay::stored(record, limits.calls.map_or(0, NonZeroU32::get));
        Self { limits, highest: limits.calls, rationing: Rationing::default(), usage, rate: Rate::new(now) }
    }

    /// The calls that an even pace has used by now. The assumption at start when the real count is unknown: starting at
    /// zero could use the day's limit twice, and in a crash loop many times.
    pub(super) fn pro_rata(limits: DayLimits, now: SystemTime) -> u32 {
        let into_day = since_midnight(now).as_secs();
        let share =
            limits.calls.map_or(0, |limit| (u64::from(limit.get()) * into_day).div_ceil(DAY.as_secs()));
        u32::try_from(share).unwrap_or(u32::MAX)
    }

    /// Whether the count allows a call now. Counts nothing.
    ///
    /// # Errors
    /// [`DailyQuotaExhausted`], with the time until midnight UTC.
    pub(super) fn check(&mut self, priority: Priority, now: SystemTime) -> Result<(), DailyQuotaExhausted> {
        match (self.mode(now), priority) {
            (QuotaMode::Normal | QuotaMode::Throttled, _) | (QuotaMode::MissesOnly, Priority::Miss) => Ok(()),
            (QuotaMode::MissesOnly, Priority::Refresh) | (QuotaMode::Exhausted, _) => {
                Err(DailyQuotaExhausted { retry_in: till_midnight(now) })
            }
        }
    }

    /// The lease that the store has to record before the next call is counted, if one is needed.
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

    /// Counts one call and returns its day (days since 1970-01-01). Not to be used while a lease is needed.
    pub(super) fn count(&mut self, now: SystemTime) -> u64 {
        // Without a store `leased` is always 0.
        let today = self.usage.current_mut();
        today.leased = today.leased.saturating_sub(1);
        self.usage.count();
        self.rate.count(1, now);
        self.day()
    }

    /// Takes back a call that was counted on this day but never sent.
    pub(super) fn refund(&mut self, day: u64) {
        self.usage.refund(day);
    }

    /// The store recorded the lease, or a part of it (`lease.calls`); `spent` is its count of that day now.
    pub(super) fn leased(&mut self, lease: Lease, spent: u32) {
        let limit = self.limits.calls.map_or(0, NonZeroU32::get);
        if let Some(usage) = self.usage.of(lease.day) {
            usage.leased += lease.calls;
            usage.unrecorded = usage.unrecorded.saturating_sub(lease.unrecorded);
            if spent == DayRecord::UNCOUNTED {
                usage.used = usage.used.max(limit);
                return;
            }
            // Other processes may share the store: their calls count for us too, as do calls that it has not recorded.
            let taken = spent.saturating_add(usage.unrecorded);
            let known = usage.used.saturating_add(usage.leased);
            usage.used = taken.saturating_sub(usage.leased).max(usage.used);
            // The store keeps few days and may have dropped this one for days that a wrong clock showed: calls that it
            // no longer knows are recorded again.
            usage.unrecorded = usage.unrecorded.saturating_add(known.saturating_sub(taken));
        }
    }

    /// The store write failed or is late. The calls are allowed anyway and recorded once the store works again: a full
    /// disk must not stop the service. If a kill loses them, the upstream's own count still ends the day.
    pub(super) fn lease_failed(&mut self, lease: Lease) {
        if let Some(usage) = self.usage.of(lease.day) {
            usage.leased += lease.calls;
            usage.unrecorded = usage.unrecorded.saturating_add(lease.calls);
        }
    }

    /// The fleet has counted so many calls on a day: those of this process among them.
    pub(super) fn learn(&mut self, day: u64, spent: u64, others: OthersCalls, now: SystemTime) {
        let is_today = day == self.day();
        let Some(usage) = self.usage.of(day) else { return };
        let before = *usage;
        usage.learn(u32::try_from(spent).unwrap_or(u32::MAX));
        match others {
            OthersCalls::Recent if is_today && before.assumed == 0 => {
                self.rate.count(usage.used.saturating_sub(before.used), now);
            }
            OthersCalls::Recent | OthersCalls::Earlier => {}
        }
    }

    /// The count of the day up to which a call is made; `None`: not limited.
    pub(super) fn ceiling(&self, priority: Priority, now: SystemTime) -> Option<u32> {
        let limit = self.limits.calls?.get();
        Some(match priority {
            Priority::Miss => limit,
            Priority::Refresh => limit.saturating_sub(self.reserved(now)),
        })
    }

    /// The upstream said `quota_exceeded`: closes the day. The calls missing from our count up to the limit must be
    /// other programs'. Returns the mark that the store has to record, if it changed.
    pub(super) fn close(&mut self) -> Option<DayMark> {
        let today = self.usage.current_mut();
        today.refused_at = Some(today.refused_at.map_or(today.used, |before| before.min(today.used)));
        self.mark(DayStatus::Closed)
    }

    /// The upstream accepts calls again: opens the day. Returns the mark that the store has to record, if it changed.
    pub(super) fn reopen(&mut self) -> Option<DayMark> {
        self.usage.current_mut().refused_at = None;
        self.mark(DayStatus::Open)
    }

    /// The current day: days since 1970-01-01.
    pub(super) fn day(&self) -> u64 {
        self.usage.current().day
    }

    /// Whether the current day is closed.
    pub(super) fn status(&self) -> DayStatus {
        self.usage.current().status
    }

    /// Whether our own count makes a `quota_exceeded` plausible. Without a limit it never does.
    pub(super) fn own_count(&self) -> OwnCount {
        let used = f64::from(self.usage.current().used);
        match self.limits.calls {
            Some(limit) if used >= f64::from(limit.get()) * FAR_BELOW_LIMIT => OwnCount::NearLimit,
            Some(_) | None => OwnCount::FarBelowLimit,
        }
    }

    /// From now on the plan rations the refreshes, by these figures.
    pub(super) fn ration(&mut self, planned: PlannedRationing) {
        self.rationing = Rationing::Planned(planned);
    }

    /// Which calls the count allows; the lockout is not considered here.
    pub(super) fn mode(&mut self, now: SystemTime) -> QuotaMode {
        let (burn_rate, limit) = (self.burn_rate(now), self.limits.calls);
        let today = self.usage.current_mut();
        today.mode = match limit.map(|limit| NonZeroU32::new(limit.get().saturating_sub(today.used))) {
            None => QuotaMode::Normal,
            Some(None) => QuotaMode::Exhausted,
            Some(Some(left)) => match self.rationing {
                Rationing::EvenPace => burn_rate.map_or(QuotaMode::Normal, |rate| today.mode.next(rate)),
                Rationing::Planned(planned) => planned.mode(left, today.mode),
            },
        };
        today.mode
    }

    /// How much refreshes have to slow down by the count; the lockout is not considered here.
    pub(super) fn quota_pressure(&mut self, now: SystemTime) -> QuotaPressure {
        match (self.mode(now), self.rationing) {
            (QuotaMode::Normal, _) | (QuotaMode::Throttled, Rationing::Planned(_)) => QuotaPressure::Normal,
            (QuotaMode::Throttled, Rationing::EvenPace) => {
                QuotaPressure::Delayed { factor: factor(self.burn_rate(now).unwrap_or(1.0)) }
            }
            (QuotaMode::MissesOnly | QuotaMode::Exhausted, _) => QuotaPressure::Stopped,
        }
    }

    /// Today's numbers for `GET /quota`. `mode` may be stricter than the count's own, because of the lockout.
    pub(super) fn today(&self, mode: QuotaMode, now: SystemTime) -> DayCount {
        let today = *self.usage.current();
        let left = self.limits.calls.map(|limit| match mode {
            QuotaMode::Normal | QuotaMode::Throttled | QuotaMode::MissesOnly => {
                limit.get().saturating_sub(today.used)
            }
            QuotaMode::Exhausted => 0,
        });
        let exceeded_after =
            |usage: &DayUsage| self.limits.calls.and_then(|limit| usage.exceeded_after(limit.get()));
        DayCount {
            limit: self.limits.calls,
            used: today.used,
            assumed: today.assumed,
            remaining: left,
            reserved: left.map_or(0, |left| left.min(self.reserved(now))),
            external: today.external(self.limits.calls.map_or(0, NonZeroU32::get)),
            exceeded_after: exceeded_after(&today),
            yesterday_exceeded_after: self.usage.yesterday().and_then(exceeded_after),
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

    /// The calls reserved for misses during the rest of the day.
    fn reserved(&self, now: SystemTime) -> u32 {
        match self.rationing {
            // The cast fits: it is a share of a u32.
            Rationing::EvenPace => self.pace().map_or(0, |pace| pace.reserved(left_of(now)) as u32),
            Rationing::Planned(planned) => planned.reserved,
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

    /// Changes to the count of the day that `now` is in. `None`: still the same day.
    pub(super) fn roll_over(&mut self, now: SystemTime) -> Option<DateChange> {
        self.usage.change_to(day_of(now))
    }

    /// The same, where the clock turned out to have been wrong until now.
    pub(super) fn correct_to(&mut self, now: SystemTime) -> Option<DateChange> {
        self.usage.correct_to(day_of(now))
    }
}
