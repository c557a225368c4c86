//! Call permit: allows one upstream call; counted when issued, settled when the call ends.

use std::time::Duration;

use super::{
    fleet_call::{FleetTurn, LockoutRole},
    handle::Quota,
    lease::Reservation,
    pacer::{Priority, QueueTicket},
};
use crate::{
    report::{Exchanged, FailureStage, FetchError, UpstreamLimit},
    shared::CallCount,
};

/// One allowed call. Dropping it settles the count according to [`CallEnd`].
#[derive(Debug)]
pub(super) struct CallPermit {
    quota: Quota,
    counted: Reservation,
    /// How the call ends if the permit is dropped now.
    end: CallEnd,
    /// Its place in the pacer, once that has let it go.
    turn: Option<QueueTicket>,
    /// Whether its answer ends the fleet's lockout.
    role: LockoutRole,
    counted_by: CountedBy,
}

/// Who has counted a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum CountedBy {
    /// This process alone.
    Process,
    /// The fleet too.
    Fleet,
}

/// How a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum CallEnd {
    /// Nothing of it reached the upstream: the count is taken back, or the fleet's next call is not counted.
    Refunded,
    /// It was sent and got no response: it stays counted. A probe that ends so leaves the lockout in force.
    Inconclusive,
    /// The upstream responded: it stays counted.
    Used,
}

// === impl CallPermit ===

impl CallPermit {
    pub(super) fn new(quota: Quota, counted: Reservation) -> Self {
        let (end, role, counted_by) = (CallEnd::Refunded, LockoutRole::None, CountedBy::Process);
        Self { quota, counted, end, turn: None, role, counted_by }
    }

    /// The pacer has let the call go.
    pub(super) fn hold(&mut self, turn: QueueTicket) {
        self.turn = Some(turn);
    }

    /// The fleet has let the call go too.
    pub(super) fn fleet_turn(&mut self, turn: FleetTurn) {
        self.role = turn.role;
        self.counted_by = CountedBy::Fleet;
        match turn.count {
            CallCount::One => {}
            CallCount::Counted => self.quota.shared.day.with(|day, _now| day.take_back(self.counted)),
        }
    }

    /// The day on which it is counted: days since 1970-01-01.
    pub(super) const fn day(&self) -> u64 {
        self.counted.day
    }

    /// Whether it may still be made: no day has begun meanwhile, and no lockout.
    pub(super) fn is_valid(&self) -> bool {
        self.quota.shared.day.with(|day, now| day.is_valid(self.counted, now))
    }

    /// `None`: it must not be made any more, and is no longer counted.
    pub(super) fn begin(mut self) -> Option<Self> {
        self.is_valid().then(|| {
            self.end = CallEnd::Inconclusive;
            self
        })
    }

    /// Settles the call by its result. After a 429 returns the time until the next call is allowed.
    pub(super) async fn learn<R: Exchanged>(self, result: &Result<R, FetchError>) -> Option<Duration> {
        let (exchange, limit, stage) = match result {
            Ok(fetched) => (fetched.exchange(), None, None),
            Err(error) => (&error.exchange, error.cause.limit_reached(), Some(error.stage())),
        };
        if let Some(date) = exchange.date {
            self.quota.shared.day.observe(date);
        }
        let wait = match limit {
            Some((UpstreamLimit::PerDay, asked)) => return Some(self.exceeded(asked).await),
            Some((limit @ (UpstreamLimit::PerSecond | UpstreamLimit::Unspecified), asked)) => {
                let wait = self.slowed(limit, asked);
                if let Some(fleet) = self.quota.shared.fleet.get() {
                    fleet.throttle(wait).await;
                }
                Some(wait)
            }
            None => None,
        };
        match (stage, exchange.status) {
            (None, _) => {
                self.quota.shared.second.with(|pacer, _now| pacer.accepted());
                self.used().await;
            }
            (Some(FailureStage::Sent), Some(_)) => self.used().await,
            (Some(FailureStage::Sent), None) => self.inconclusive(),
            (Some(FailureStage::Refused | FailureStage::Connecting), _) => self.refunded(),
        }
        wait
    }

    /// The upstream responded, and not with `quota_exceeded`.
    async fn used(mut self) {
        let reopening = self.quota.shared.day.with(|day, _now| day.answered(self.counted));
        self.end = CallEnd::Used;
        if let Some(reopening) = reopening {
            self.quota.shared.day.mark(reopening).await;
        }
        if let (LockoutRole::Probe, Some(fleet)) = (self.role, self.quota.shared.fleet.get()) {
            fleet.lock_out(self.day(), Duration::ZERO).await;
        }
    }

    /// Nothing of it reached the upstream.
    fn refunded(mut self) {
        self.end = CallEnd::Refunded;
    }

    /// It was sent and got no response.
    fn inconclusive(mut self) {
        self.end = CallEnd::Inconclusive;
    }

    /// The upstream said `quota_exceeded`. Returns the time until the next call is allowed.
    async fn exceeded(mut self, asked: Duration) -> Duration {
        let (closing, wait) = self.quota.shared.day.with(|day, now| {
            let closing = day.exceeded(now, fastrand::f64());
            let next = day.check(Priority::Miss, now);
            (closing, next.map_or_else(|exhausted| exhausted.retry_in, |_allowed| asked))
        });
        self.end = CallEnd::Used;
        if let Some(closing) = closing {
            self.quota.shared.day.mark(closing).await;
        }
        if let Some(fleet) = self.quota.shared.fleet.get() {
            fleet.lock_out(self.day(), wait).await;
        }
        wait
    }

    /// The upstream said `throttled`, or a 429 without naming the limit. Returns the time until the next call is
    /// allowed.
    fn slowed(&self, limit: UpstreamLimit, asked: Duration) -> Duration {
        self.quota.shared.second.with(|pacer, now| {
            match limit {
                UpstreamLimit::Unspecified => pacer.unspecified_429(now),
                UpstreamLimit::PerSecond | UpstreamLimit::PerDay => pacer.throttled(now),
            }
            pacer.hold_until(now + asked);
            pacer.wait(Priority::Miss, now)
        })
    }
}

impl Drop for CallPermit {
    fn drop(&mut self) {
        let (shared, counted) = (&self.quota.shared, self.counted);
        if let Some(turn) = self.turn {
            shared.second.turn_over(|pacer, now| pacer.ended(turn, now));
        }
        match self.end {
            CallEnd::Refunded => match (self.counted_by, shared.fleet.get()) {
                (CountedBy::Fleet, Some(fleet)) => {
                    fleet.not_made(counted.day);
                    shared.day.with(|day, now| day.not_sent(counted, now));
                }
                (CountedBy::Fleet | CountedBy::Process, _) => {
                    shared.day.with(|day, now| day.refund(counted, now));
                }
            },
            CallEnd::Inconclusive => shared.day.with(|day, now| day.inconclusive(counted, now)),
            CallEnd::Used => {}
        }
    }
}
