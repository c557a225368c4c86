//! What the model must lose together or not at all: epoch, sequence, the day's calls, the second's places, lockouts.

use std::{collections::BTreeMap, time::Duration};

use crate::shared::{
    CallRequest, CallTurn, Epoch, EpochBegin, EpochOrigin, Fence, FleetState, Guarded, Heartbeat,
    LockoutRequest, MemberId, MemberSeen, Recovery, Sequence, SpentDay, StoreChanged, StoreSeen,
    ThrottleRequest,
    millis::{millis, millis_up},
};

/// A day begins at most so much before it does by the store's clock.
const DAY_TOLERANCE: u64 = 300_000;

const DAY: u64 = 86_400_000;

/// Times to wait for that are further ahead were set before the clock was put back.
const FURTHEST: u64 = 60_000;

const LONGEST_INTERVAL: u64 = 25_000;

const LONGEST_HORIZON: u64 = 30_000;

/// Until a probe's result is known.
const PROBE: u64 = 30_000;

/// No call of the fleet leaves for this time after a recovery.
const HOLD_AFTER_RECOVERY: u64 = 1_100;

/// The margin of a recovery is what can be lost in this time.
const MARGIN_WINDOW: u64 = 10_000;

/// More than all fences that can have been granted in a second.
const SEQUENCE_STEP: u64 = 1 << 20;

/// All times in milliseconds by the store's clock.
#[derive(Debug, Clone, Default)]
pub(super) struct ModelFleet {
    epoch: Option<Epoch>,
    sequence: u64,
    today: SpentDay,
    /// The day that was counted before `today`.
    before: SpentDay,
    /// The last day that was begun by a clock that was ahead, and taken back.
    ahead: SpentDay,
    /// The calls of each replica while the store was away, as far as they are counted in `today`.
    offline: BTreeMap<MemberId, u64>,
    /// 0: no lockout. In the past: the next call is a probe.
    locked_until: u64,
    next_call: u64,
    hold_until: u64,
    recovered_at: Option<u64>,
    /// What the last recovery added to the count.
    charged: u64,
    forked: bool,
    /// The last purge of all reports.
    pub(super) purged: Fence,
}

// === impl ModelFleet ===

impl ModelFleet {
    pub(super) fn guard(&self, seen: StoreSeen) -> Guarded<()> {
        match self.epoch {
            None => Err(StoreChanged::Empty),
            Some(epoch) if Some(epoch) != seen.epoch => Err(StoreChanged::OtherEpoch(epoch)),
            Some(_) if self.sequence < seen.sequence.0 => Err(StoreChanged::RolledBack),
            Some(_) => Ok(()),
        }
    }

    pub(super) fn next_fence(&mut self) -> Fence {
        self.sequence += 1;
        Fence(self.sequence)
    }

    /// Begins a later day, unless by the store's clock it does not begin for more than five minutes.
    fn turn_day(&mut self, now: u64, day: u64) {
        let begins = day.saturating_mul(DAY).saturating_sub(DAY_TOLERANCE);
        if day <= self.today.day || now < begins {
            return;
        }
        let lost_on_it = self.recovered_at.is_some_and(|at| at >= begins);
        let begun_before = if self.ahead.day == day { self.ahead.spent } else { 0 };
        let spent = if lost_on_it { self.charged } else { 0 } + begun_before;
        self.before = std::mem::replace(&mut self.today, SpentDay { day, spent });
        self.locked_until = self.locked_until.min(now);
        self.offline.clear();
    }

    /// Takes a day back that a clock that was far ahead has begun: it does not even begin tomorrow, and no replica could make a
    /// call until it does. A smaller step back of the clock does not say which of both days is the right one. Says whether
    /// it did.
    fn take_back(&mut self, now: u64, day: u64) -> bool {
        let eve = self.today.day.saturating_sub(1).saturating_mul(DAY);
        if now >= eve.saturating_sub(DAY_TOLERANCE) || now >= (day + 1).saturating_mul(DAY) + DAY_TOLERANCE {
            return false;
        }
        let before = std::mem::take(&mut self.before);
        let counted = if before.day >= day { before.spent } else { 0 };
        // What was counted on it was called on this one. If it was right, it counts when the day begins again.
        self.ahead = self.today;
        self.today = SpentDay { day, spent: self.ahead.spent + counted };
        true
    }

    pub(super) fn merge(&mut self, now: u64, heartbeat: &Heartbeat) {
        let Heartbeat { member, told, offline, .. } = *heartbeat;
        self.turn_day(now, told.day);
        if told.day != self.today.day {
            return;
        }
        let counted = self.offline.get(&member).copied().unwrap_or_default();
        if offline > counted {
            self.offline.insert(member, offline);
        }
        let merged = self.today.spent.max(told.spent) + offline.saturating_sub(counted);
        if merged > self.today.spent {
            self.today.spent = merged;
            self.sequence += 1;
        }
    }

    /// Says whether a new epoch has begun.
    pub(super) fn recover(&mut self, now: u64, recovery: &Recovery) -> bool {
        let Recovery { known, seen, fresh, told, margin, force, purged } = *recovery;
        self.turn_day(now, told.day);
        let raises_floor = purged > self.purged;
        self.purged = self.purged.max(purged);
        let highest = seen.0.max(purged.0);
        let told = (told.day == self.today.day).then_some(told.spent);
        let same = self.epoch == known;
        let lost = self.epoch.is_none() || (same && (self.sequence < seen.0 || force));
        if !lost {
            let others = if known.is_some() && !same { margin.min(self.charged) } else { 0 };
            let told = told.map_or(0, |told| told + others);
            if told > self.today.spent {
                self.today.spent = told;
                self.sequence += 1;
            }
            self.sequence += u64::from(raises_floor);
            if self.sequence < highest {
                self.sequence = highest + SEQUENCE_STEP;
            }
            return false;
        }
        let elapsed = self.recovered_at.and_then(|at| now.checked_sub(at));
        self.charged =
            elapsed.map_or(margin, |elapsed| margin.min((margin * elapsed).div_ceil(MARGIN_WINDOW) + 1));
        self.today.spent = self.today.spent.max(told.unwrap_or_default()) + self.charged;
        self.epoch = Some(fresh);
        self.sequence = (self.sequence.max(highest) + SEQUENCE_STEP).max(now / 1_000 * SEQUENCE_STEP);
        self.next_call = ahead(now, self.next_call).max(now + HOLD_AFTER_RECOVERY);
        self.recovered_at = Some(now);
        self.forked = known.is_some();
        true
    }

    pub(super) fn take_call(&mut self, now: u64, request: &CallRequest) -> CallTurn {
        let CallRequest { day, ceiling, interval, horizon, count } = *request;
        if day < self.today.day && !self.take_back(now, day) {
            return CallTurn::DayIsOver;
        }
        self.turn_day(now, day);
        if day > self.today.day {
            return CallTurn::DayNotBegun { begins_in: wait(now, day.saturating_mul(DAY)) };
        }
        if self.locked_until > now {
            return CallTurn::LockedOut { ends_in: wait(now, self.locked_until) };
        }
        if self.today.spent >= ceiling {
            return CallTurn::Exhausted { spent: self.today.spent };
        }
        let place = now.max(ahead(now, self.next_call)).max(ahead(now, self.hold_until));
        if place - now > millis(horizon).min(LONGEST_HORIZON) {
            return CallTurn::Late { wait: wait(now, place) };
        }
        self.sequence += 1;
        self.today.spent += count.calls();
        self.next_call = place + millis_up(interval).min(LONGEST_INTERVAL);
        let probe = self.locked_until > 0;
        if probe {
            self.locked_until = now + PROBE;
        }
        CallTurn::Granted { wait: wait(now, place), spent: self.today.spent, probe }
    }

    /// Says whether it changed anything.
    pub(super) fn lock_out(&mut self, now: u64, request: &LockoutRequest) -> bool {
        let LockoutRequest { day, lasts } = *request;
        if day < self.today.day {
            return false;
        }
        self.turn_day(now, day);
        let ends = if lasts.is_zero() { 0 } else { self.locked_until.max(now + millis_up(lasts)) };
        let changes = ends != self.locked_until;
        if changes {
            self.locked_until = ends;
            self.sequence += 1;
        }
        changes
    }

    pub(super) fn throttle(&mut self, now: u64, request: &ThrottleRequest) {
        self.hold_until = ahead(now, self.hold_until).max(now + millis_up(request.hold).min(FURTHEST));
    }

    pub(super) fn state(&self, now: u64, members: Vec<MemberSeen>, token_version: u64) -> FleetState {
        FleetState {
            // Only an operation that found or wrote an epoch asks.
            epoch: self.epoch.unwrap_or(Epoch(0)),
            sequence: Sequence(self.sequence),
            today: self.today,
            locked_out_for: (self.locked_until > 0)
                .then(|| wait(now, self.locked_until).max(Duration::from_millis(1))),
            members,
            token_version,
            purged: self.purged,
            clock: Duration::from_millis(now),
            begun: EpochBegin {
                origin: if self.forked { EpochOrigin::Fork } else { EpochOrigin::NewStore },
                age: self.recovered_at.map_or(Duration::ZERO, |at| wait(at, now)),
                charged: self.charged,
            },
        }
    }
}

const fn wait(now: u64, at: u64) -> Duration {
    Duration::from_millis(at.saturating_sub(now))
}

const fn ahead(now: u64, at: u64) -> u64 {
    if at > now + FURTHEST { 0 } else { at }
}
