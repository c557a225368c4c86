//! Leave to make one call: paid for when it is given, and told how the call ended.

use super::{
    admit::Quota,
    lease::Reservation,
    pacer::{Priority, QueueTicket},
};
use crate::report::{Cause, FailureStage, FetchError, Fetched};

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

    /// What the upstream's answer says of the quota, in our words.
    pub(super) async fn learn(mut self, result: &mut Result<Fetched, FetchError>) {
        let shared = &self.quota.shared;
        let exchange = match result {
            Ok(fetched) => &fetched.exchange,
            Err(error) => &error.exchange,
        };
        if let Some(date) = exchange.date {
            shared.day.observe(date);
        }
        let answered = exchange.status.is_some();
        match result.as_mut().map_err(|error| &mut error.cause) {
            Err(Cause::Throttled { retry_after }) => {
                let wait = *retry_after;
                *retry_after = shared.pacer(|pacer, now| {
                    pacer.throttled(now);
                    pacer.hold_until(now + wait);
                    pacer.wait(Priority::Miss, now)
                });
            }
            Err(Cause::TooMany { retry_after }) => {
                let wait = *retry_after;
                *retry_after = shared.pacer(|pacer, now| {
                    pacer.unspecified_429(now);
                    pacer.hold_until(now + wait);
                    pacer.wait(Priority::Miss, now)
                });
            }
            Err(Cause::QuotaExhausted { retry_after }) => {
                let closing = shared.budget(|budget, now| {
                    let closing = budget.exceeded(now, fastrand::f64());
                    if let Err(spent) = budget.check(Priority::Miss, now) {
                        *retry_after = spent.retry_in;
                    }
                    closing
                });
                self.stage = Stage::Answered;
                if let Some(closing) = closing {
                    shared.day.mark(closing).await;
                }
                return;
            }
            Ok(_) => shared.pacer(|pacer, _now| pacer.accepted()),
            Err(_) => {}
        }
        match result.as_ref().map_err(FetchError::stage) {
            // Nothing has reached the upstream.
            Err(FailureStage::Refused | FailureStage::Connecting) => {
                self.stage = Stage::Counted;
                return;
            }
            Ok(_) | Err(FailureStage::Sent) => {}
        }
        if answered || result.is_ok() {
            let reopening = shared.budget(|budget, _now| budget.answered(self.line));
            self.stage = Stage::Answered;
            if let Some(reopening) = reopening {
                shared.day.mark(reopening).await;
            }
        }
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
