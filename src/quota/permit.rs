//! Leave to make one call: counted when it is given, and settled when the call has ended.

use std::time::Duration;

use super::{
    handle::Quota,
    lease::Reservation,
    pacer::{Priority, QueueTicket},
};
use crate::report::{FailureStage, FetchError, Fetched, UpstreamLimit};

/// One call that may be made. Settles itself, however its owner ends: see [`CallEnd`].
#[derive(Debug)]
pub(super) struct CallPermit {
    quota: Quota,
    counted: Reservation,
    /// As far as is known: what it comes to if nobody says more.
    end: CallEnd,
    /// Once it has had its turn in the second.
    turn: Option<QueueTicket>,
}

/// What a call comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum CallEnd {
    /// Nothing of it has reached the upstream: it is struck out of the count.
    Refunded,
    /// It was sent and nothing is known of it: it stays counted, and a probe among them has found out nothing.
    Inconclusive,
    /// The upstream has answered: it stays counted, and nothing is left to be done.
    Used,
}

// === impl CallPermit ===

impl CallPermit {
    pub(super) fn new(quota: Quota, counted: Reservation) -> Self {
        Self { quota, counted, end: CallEnd::Refunded, turn: None }
    }

    /// It is the call's turn, and it leaves now. `None`: it is not to be made any more, and was struck out.
    pub(super) fn begin(mut self, turn: QueueTicket) -> Option<Self> {
        self.turn = Some(turn);
        let good = self.quota.shared.day.with(|day, now| day.is_good(self.counted, now));
        good.then(|| {
            self.end = CallEnd::Inconclusive;
            self
        })
    }

    /// Learns from what came back. After a 429 it says how long it is until there is a call again.
    pub(super) async fn learn(self, result: &Result<Fetched, FetchError>) -> Option<Duration> {
        let (exchange, limit, stage) = match result {
            Ok(fetched) => (&fetched.exchange, None, None),
            Err(error) => (&error.exchange, error.cause.limit_reached(), Some(error.stage())),
        };
        if let Some(date) = exchange.date {
            self.quota.shared.day.observe(date);
        }
        let wait = match limit {
            Some((UpstreamLimit::PerDay, asked)) => return Some(self.exceeded(asked).await),
            Some((limit @ (UpstreamLimit::PerSecond | UpstreamLimit::Unspecified), asked)) => {
                Some(self.slowed(limit, asked))
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

    /// The upstream has answered, and not with `quota_exceeded`.
    async fn used(mut self) {
        let reopening = self.quota.shared.day.with(|day, _now| day.answered(self.counted));
        self.end = CallEnd::Used;
        if let Some(reopening) = reopening {
            self.quota.shared.day.mark(reopening).await;
        }
    }

    /// Nothing of it has reached the upstream.
    fn refunded(mut self) {
        self.end = CallEnd::Refunded;
    }

    /// It was sent, and nobody knows more.
    fn inconclusive(mut self) {
        self.end = CallEnd::Inconclusive;
    }

    /// The upstream says that the day's calls are spent. Returns how long it is until there is one.
    async fn exceeded(mut self, asked: Duration) -> Duration {
        let (closing, wait) = self.quota.shared.day.with(|day, now| {
            let closing = day.exceeded(now, fastrand::f64());
            let next = day.check(Priority::Miss, now);
            (closing, next.map_or_else(|spent| spent.retry_in, |_may_go| asked))
        });
        self.end = CallEnd::Used;
        if let Some(closing) = closing {
            self.quota.shared.day.mark(closing).await;
        }
        wait
    }

    /// The upstream says that calls come too fast, or at least does not say otherwise. Returns how long it is until
    /// there is one.
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
            CallEnd::Refunded => shared.day.with(|day, now| day.refund(counted, now)),
            CallEnd::Inconclusive => shared.day.with(|day, now| day.inconclusive(counted, now)),
            CallEnd::Used => {}
        }
    }
}
