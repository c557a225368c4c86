//! The circuit breaker's state machine: closed, open, half-open.

use std::{collections::BTreeSet, num::NonZeroU32, time::Duration};

use tokio::time::Instant;

use crate::{backoff::Backoff, report::ReportKey};

/// When the circuit opens, and for how long.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CircuitLimits {
    /// It opens when calls for this many different keys have failed with no success in between; `None`: never. So
    /// with 2 or more, a single key that always fails does not block the others; with 1 it does.
    pub failures: Option<NonZeroU32>,
    /// How long it stays open the first time.
    pub open_for: Duration,
    /// After each failed trial it stays open twice as long, up to this.
    pub open_max: Duration,
}

/// The state of the circuit, for logs and metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CircuitState {
    /// Calls are allowed.
    Closed,
    /// Calls are refused.
    Open,
    /// One trial call at a time is allowed, until one succeeds (closed) or does not (open).
    HalfOpen,
}

/// Permit for one call; its end has to be reported to [`Circuit::record`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CircuitPermit {
    /// A call through the closed circuit.
    Regular,
    /// The one call that decides whether the circuit closes.
    Trial,
}

/// How a call that had a [`CircuitPermit`] ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CallOutcome {
    /// With a report or a negative answer (400/404).
    Answered,
    /// With an error for which the upstream is responsible.
    Failed,
    /// With a 401: the upstream answers, but has not shown that reports can be had. The token's own back-off limits these
    /// calls, and once it is renewed a retry must not find the circuit open.
    TokenRefused,
    /// It was cancelled, or failed for a reason that another module handles (quota, a bug). Does not count as a failure of
    /// the upstream; but a trial that ends so has not shown a success either, and is followed by a pause.
    Inconclusive,
    /// It was never sent.
    NotSent,
}

/// The call is refused because the circuit is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the circuit is open; the next trial call is due in {retry_in:?}")]
pub(super) struct CircuitOpen {
    /// The time until the next trial; zero while a trial is under way.
    pub(super) retry_in: Duration,
}

/// What the status page shows of the circuit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CircuitView {
    pub(crate) state: CircuitState,
    /// The first failure since the last success; `None`: the last call succeeded, or there was none.
    pub(crate) failing_since: Option<Instant>,
    /// When the next trial call may be made; `None`: it need not be waited for.
    pub(crate) trial_at: Option<Instant>,
}

/// The state machine. Pure: time is an argument.
#[derive(Debug)]
pub(super) struct Circuit {
    limits: CircuitLimits,
    phase: CircuitPhase,
    /// The first failure since the last success.
    failing_since: Option<Instant>,
}

#[derive(Debug)]
enum CircuitPhase {
    /// The keys whose calls have failed since the last success; fewer than the limit.
    Closed {
        failing: BTreeSet<ReportKey>,
    },
    Open {
        until: Instant,
        open_for: Duration,
    },
    HalfOpen {
        open_for: Duration,
        trial: Trial,
    },
}

#[derive(Debug, Clone, Copy)]
enum Trial {
    /// The next call is the trial.
    Due,
    UnderWay,
}

// === impl CircuitLimits ===

impl CircuitLimits {
    fn backoff(&self) -> Backoff {
        Backoff::new(self.open_for, self.open_max)
    }
}

// === impl CircuitState ===

impl CircuitState {
    /// Each label of `circuit_state`.
    pub(crate) const ALL: [Self; 3] = [Self::Closed, Self::Open, Self::HalfOpen];

    /// The label.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half_open",
        }
    }
}

// === impl Circuit ===

impl Circuit {
    /// A closed circuit.
    pub(super) fn new(limits: CircuitLimits) -> Self {
        Self { limits, phase: CircuitPhase::CLOSED, failing_since: None }
    }

    /// Requests a permit for a call.
    ///
    /// # Errors
    /// [`CircuitOpen`] while the circuit is open or its trial is under way.
    pub(super) fn pass(&mut self, now: Instant) -> Result<CircuitPermit, CircuitOpen> {
        match self.phase {
            CircuitPhase::Closed { .. } => Ok(CircuitPermit::Regular),
            CircuitPhase::Open { until, .. } if now < until => Err(CircuitOpen { retry_in: until - now }),
            CircuitPhase::Open { open_for, .. } | CircuitPhase::HalfOpen { open_for, trial: Trial::Due } => {
                self.phase = CircuitPhase::HalfOpen { open_for, trial: Trial::UnderWay };
                Ok(CircuitPermit::Trial)
            }
            CircuitPhase::HalfOpen { trial: Trial::UnderWay, .. } => {
                Err(CircuitOpen { retry_in: Duration::ZERO })
            }
        }
    }

    /// Whether a call that the circuit does not judge may be made.
    ///
    /// # Errors
    /// [`CircuitOpen`] unless the circuit is closed: the trial is for a call that it judges.
    pub(super) fn check(&self, now: Instant) -> Result<(), CircuitOpen> {
        self.recheck(now)?;
        match self.phase {
            CircuitPhase::Closed { .. } | CircuitPhase::Open { .. } => Ok(()),
            CircuitPhase::HalfOpen { .. } => Err(CircuitOpen { retry_in: Duration::ZERO }),
        }
    }

    /// Whether a call that has a permit may still be sent.
    ///
    /// # Errors
    /// [`CircuitOpen`] if the circuit has opened since. A trial's is half open.
    pub(super) fn recheck(&self, now: Instant) -> Result<(), CircuitOpen> {
        match self.phase {
            CircuitPhase::Closed { .. } | CircuitPhase::HalfOpen { .. } => Ok(()),
            CircuitPhase::Open { until, .. } => {
                Err(CircuitOpen { retry_in: until.saturating_duration_since(now) })
            }
        }
    }

    /// Records how a call for `key` ended.
    pub(super) fn record(&mut self, pass: CircuitPermit, key: ReportKey, outcome: CallOutcome, now: Instant) {
        match outcome {
            CallOutcome::Answered => self.failing_since = None,
            CallOutcome::Failed => self.failing_since = self.failing_since.or(Some(now)),
            CallOutcome::TokenRefused | CallOutcome::Inconclusive | CallOutcome::NotSent => {}
        }
        match (&mut self.phase, pass) {
            (CircuitPhase::Closed { failing }, CircuitPermit::Regular) => match outcome {
                CallOutcome::Answered => failing.clear(),
                CallOutcome::Failed => self.failed(key, now),
                CallOutcome::TokenRefused | CallOutcome::Inconclusive | CallOutcome::NotSent => {}
            },
            (CircuitPhase::HalfOpen { open_for, .. }, CircuitPermit::Trial) => {
                let open_for = *open_for;
                self.trial(open_for, outcome, now);
            }
            // The call began before the circuit last changed: its result is out of date.
            (CircuitPhase::Open { .. } | CircuitPhase::HalfOpen { .. }, CircuitPermit::Regular)
            | (CircuitPhase::Closed { .. } | CircuitPhase::Open { .. }, CircuitPermit::Trial) => {}
        }
    }

    /// The current state.
    pub(super) fn state(&self) -> CircuitState {
        match self.phase {
            CircuitPhase::Closed { .. } => CircuitState::Closed,
            CircuitPhase::Open { .. } => CircuitState::Open,
            CircuitPhase::HalfOpen { .. } => CircuitState::HalfOpen,
        }
    }

    /// What is shown of it.
    pub(super) fn view(&self) -> CircuitView {
        let trial_at = match self.phase {
            CircuitPhase::Open { until, .. } => Some(until),
            CircuitPhase::Closed { .. } | CircuitPhase::HalfOpen { .. } => None,
        };
        CircuitView { state: self.state(), failing_since: self.failing_since, trial_at }
    }

    fn failed(&mut self, key: ReportKey, now: Instant) {
        let (CircuitPhase::Closed { failing }, Some(limit)) = (&mut self.phase, self.limits.failures) else {
            return;
        };
        failing.insert(key);
        if failing.len() >= usize::try_from(limit.get()).unwrap_or(usize::MAX) {
            let open_for = self.limits.backoff().pause(0);
            self.phase = CircuitPhase::Open { until: now + open_for, open_for };
        }
    }

    fn trial(&mut self, open_for: Duration, outcome: CallOutcome, now: Instant) {
        self.phase = match outcome {
            CallOutcome::Answered => CircuitPhase::CLOSED,
            CallOutcome::Failed | CallOutcome::Inconclusive => {
                let open_for = self.limits.backoff().after(open_for);
                CircuitPhase::Open { until: now + open_for, open_for }
            }
            // Still half open: a call that was never sent says nothing about the upstream.
            CallOutcome::TokenRefused | CallOutcome::NotSent => {
                CircuitPhase::HalfOpen { open_for, trial: Trial::Due }
            }
        };
    }
}

// === impl CircuitPhase ===

impl CircuitPhase {
    const CLOSED: Self = Self::Closed { failing: BTreeSet::new() };
}

#[cfg(test)]
mod tests;
