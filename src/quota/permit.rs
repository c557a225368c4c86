//! Leave to make one call: paid for when it is given, and told how the call ended.

use std::time::Duration;

use super::{
    admit::Quota,
    lease::Reservation,
    pacer::{Priority, QueueTicket},
};
use crate::report::{FailureStage, FetchError, Fetched, UpstreamLimit};

/// Whatever becomes of its owner, the books are right: a call that was not sent is struck out, and a probe that
/// nobody answered leaves the probing to the next call.
#[derive(Debug)]
pub(super) struct CallPermit {
    quota: Quota,
    line: Reservation,
    stage: Stage,
    /// Once it has had its turn in the second.
    turn: Option<QueueTicket>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Counted,
    Sent,
    Answered,
}

// === impl CallPermit ===

impl CallPermit {
    pub(super) fn new(quota: Quota, line: Reservation) -> Self {
        Self { quota, line, stage: Stage::Counted, turn: None }
    }

    /// It is the call's turn. Is it still to be made? Then it leaves now.
    pub(super) fn begin(&mut self, turn: QueueTicket) -> bool {
        self.turn = Some(turn);
        let good = self.quota.shared.budget(|budget, now| budget.is_good(self.line, now));
        if good {
            self.stage = Stage::Sent;
        }
        good
    }

    /// Learns from what came back. After a 429 it says how long it is until there is a call again.
    pub(super) async fn learn(mut self, result: &Result<Fetched, FetchError>) -> Option<Duration> {
        let shared = &self.quota.shared;
        let (exchange, limit_reached, stage) = match result {
            Ok(fetched) => (&fetched.exchange, None, None),
            Err(error) => (&error.exchange, error.cause.limit_reached(), Some(error.stage())),
        };
        if let Some(date) = exchange.date {
            shared.day.observe(date);
        }
        let wait = match limit_reached {
            Some((UpstreamLimit::PerDay, asked)) => {
                let (closing, wait) = shared.budget(|budget, now| {
                    let closing = budget.exceeded(now, fastrand::f64());
                    (
                        closing,
                        budget
                            .check(Priority::Miss, now)
                            .map_or_else(|spent| spent.retry_in, |_granted| asked),
                    )
                });
                self.stage = Stage::Answered;
                if let Some(closing) = closing {
                    shared.day.mark(closing).await;
                }
                return Some(wait);
            }
            Some((UpstreamLimit::PerSecond, asked)) => Some(shared.pacer(|pacer, now| {
                pacer.throttled(now);
                pacer.hold_until(now + asked);
                pacer.wait(Priority::Miss, now)
            })),
            Some((UpstreamLimit::Unspecified, asked)) => Some(shared.pacer(|pacer, now| {
                pacer.unspecified_429(now);
                pacer.hold_until(now + asked);
                pacer.wait(Priority::Miss, now)
            })),
            None => None,
        };
        match stage {
            None => shared.pacer(|pacer, _now| pacer.accepted()),
            Some(FailureStage::Sent) => {}
            // Nothing has reached the upstream.
            Some(FailureStage::Refused | FailureStage::Connecting) => {
                self.stage = Stage::Counted;
                return wait;
            }
        }
        if exchange.status.is_some() || stage.is_none() {
            let reopening = shared.budget(|budget, _now| budget.answered(self.line));
            self.stage = Stage::Answered;
            if let Some(reopening) = reopening {
                shared.day.mark(reopening).await;
            }
        }
        wait
    }
}

impl Drop for CallPermit {
    fn drop(&mut self) {
        let (shared, line) = (&self.quota.shared, self.line);
        if let Some(turn) = self.turn {
            shared.turn_over(|pacer, now| pacer.ended(turn, now));
        }
        match self.stage {
            Stage::Counted => shared.budget(|budget, now| budget.refund(line, now)),
            Stage::Sent => shared.budget(|budget, now| budget.inconclusive(line, now)),
            Stage::Answered => {}
        }
    }
}
