//! The circuit breaker's state machine: closed, open, half-open.

use std::{collections::BTreeSet, num::NonZeroU32, time::Duration};

use tokio::time::Instant;

use crate::{backoff::Backoff, report::ReportKey};

/// When the circuit opens, and for how long.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CircuitLimits {
    /// Keys whose calls must fail in a row to open it; `None` never opens. One key alone never does: its faults are its
    /// own, and must not cut off the others.
    pub failures: Option<NonZeroU32>,
    /// How long it stays open the first time.
    pub open_for: Duration,
    /// It stays open twice as long after each trial that fails, up to this.
    pub open_max: Duration,
}

/// What the circuit is, for people and metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CircuitState {
    /// Calls pass.
    Closed,
    /// Calls are refused.
    Open,
    /// The time is over: one call at a time is on trial, until one fails or is answered.
    HalfOpen,
}

/// Leave to make one call; its end is told by [`Circuit::record`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CircuitPermit {
    /// One of many.
    Regular,
    /// The one call that decides whether the circuit closes.
    Trial,
}

/// How a call that had a [`CircuitPermit`] ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CallOutcome {
    /// With a report, or with the upstream's word that there is none.
    Answered,
    /// With anything else.
    Failed,
    /// With a refusal that another layer sees to by pausing, or it was given up. Says nothing against the upstream;
    /// but a trial that ends so has not shown that it works, and costs a pause like any other.
    Inconclusive,
    /// It was never sent.
    NotSent,
}

/// Calls are refused for now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the circuit is open, the next call may go in {retry_in:?}")]
pub(super) struct CircuitOpen {
    /// Until the next trial; zero while a trial is under way.
    pub(super) retry_in: Duration,
}

/// A pure machine: time comes as an argument.
#[derive(Debug)]
pub(super) struct Circuit {
    limits: CircuitLimits,
    phase: CircuitPhase,
}

#[derive(Debug)]
enum CircuitPhase {
    /// With the keys whose calls have failed since the last answer: fewer than open it.
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
    /// The next call is it.
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
        Self { limits, phase: CircuitPhase::CLOSED }
    }

    /// Asks for leave to make a call.
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

    /// Tells how a call for `key` ended.
    pub(super) fn record(&mut self, pass: CircuitPermit, key: ReportKey, outcome: CallOutcome, now: Instant) {
        match (&mut self.phase, pass) {
            (CircuitPhase::Closed { failing }, CircuitPermit::Regular) => match outcome {
                CallOutcome::Answered => failing.clear(),
                CallOutcome::Failed => self.failed(key, now),
                CallOutcome::Inconclusive | CallOutcome::NotSent => {}
            },
            (CircuitPhase::HalfOpen { open_for, .. }, CircuitPermit::Trial) => {
                let open_for = *open_for;
                self.trial(open_for, outcome, now);
            }
            // A call from before the circuit opened: what it says is old news.
            (CircuitPhase::Open { .. } | CircuitPhase::HalfOpen { .. }, CircuitPermit::Regular)
            | (CircuitPhase::Closed { .. } | CircuitPhase::Open { .. }, CircuitPermit::Trial) => {}
        }
    }

    /// What the circuit is.
    pub(super) fn state(&self) -> CircuitState {
        match self.phase {
            CircuitPhase::Closed { .. } => CircuitState::Closed,
            CircuitPhase::Open { .. } => CircuitState::Open,
            CircuitPhase::HalfOpen { .. } => CircuitState::HalfOpen,
        }
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
            // Still half open: a call that never left says nothing, however many of them there are.
            CallOutcome::NotSent => CircuitPhase::HalfOpen { open_for, trial: Trial::Due },
        };
    }
}

// === impl CircuitPhase ===

impl CircuitPhase {
    const CLOSED: Self = Self::Closed { failing: BTreeSet::new() };
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::testing::key;

    const OPEN_FOR: Duration = Duration::from_secs(10);
    const LIMITS: CircuitLimits =
        CircuitLimits { failures: NonZeroU32::new(3), open_for: OPEN_FOR, open_max: Duration::from_secs(60) };

    fn call(circuit: &mut Circuit, number: u128, outcome: CallOutcome, now: Instant) {
        let pass = circuit.pass(now).unwrap();
        circuit.record(pass, key(number), outcome, now);
    }

    fn open(now: Instant) -> Circuit {
        let mut circuit = Circuit::new(LIMITS);
        (0..3).for_each(|number| call(&mut circuit, number, CallOutcome::Failed, now));
        circuit
    }

    #[test]
    fn only_failures_in_a_row_open_it() {
        use CallOutcome::{Answered, Failed, Inconclusive, NotSent};
        let now = Instant::now();
        let mut circuit = Circuit::new(LIMITS);
        for (number, outcome) in
            [Failed, Failed, Answered, Failed, Failed, Inconclusive, NotSent].into_iter().enumerate()
        {
            call(&mut circuit, number as u128, outcome, now);
            assert_eq!(circuit.state(), CircuitState::Closed);
        }
        call(&mut circuit, 7, Failed, now);
        assert_eq!(circuit.state(), CircuitState::Open);
    }

    #[test]
    fn a_key_that_always_fails_does_not_cut_off_the_others() {
        let now = Instant::now();
        let mut circuit = Circuit::new(LIMITS);
        (0..1_000).for_each(|_| call(&mut circuit, 1, CallOutcome::Failed, now));
        call(&mut circuit, 2, CallOutcome::Failed, now);
        assert_eq!(circuit.state(), CircuitState::Closed);
        call(&mut circuit, 3, CallOutcome::Failed, now);
        assert_eq!(circuit.state(), CircuitState::Open);
    }

    #[test]
    fn an_open_circuit_refuses_and_says_for_how_long() {
        let now = Instant::now();
        let mut circuit = open(now);
        let later = now + Duration::from_secs(4);
        assert_eq!(circuit.pass(later), Err(CircuitOpen { retry_in: Duration::from_secs(6) }));
    }

    #[test]
    fn a_half_open_circuit_lets_one_call_through() {
        let now = Instant::now();
        let mut circuit = open(now);
        assert_eq!(circuit.pass(now + OPEN_FOR), Ok(CircuitPermit::Trial));
        assert!(circuit.pass(now + OPEN_FOR).is_err());
        circuit.record(CircuitPermit::Trial, key(1), CallOutcome::Answered, now + OPEN_FOR);
        assert_eq!(circuit.state(), CircuitState::Closed);
        (0..2).for_each(|number| call(&mut circuit, number, CallOutcome::Failed, now + OPEN_FOR));
        assert_eq!(circuit.state(), CircuitState::Closed, "counted anew");
    }

    #[test]
    fn each_trial_without_an_answer_doubles_the_wait_up_to_the_limit() {
        for outcome in [CallOutcome::Failed, CallOutcome::Inconclusive] {
            let mut now = Instant::now();
            let mut circuit = open(now);
            for seconds in [10, 20, 40, 60, 60] {
                let retry_in = Duration::from_secs(seconds);
                assert_eq!(circuit.pass(now), Err(CircuitOpen { retry_in }));
                now += retry_in;
                call(&mut circuit, 1, outcome, now);
            }
        }
    }

    #[test]
    fn a_trial_that_is_not_sent_leaves_the_trial_to_the_next_call() {
        let now = Instant::now() + OPEN_FOR;
        let mut circuit = open(now - OPEN_FOR);
        for _ in 0..3 {
            call(&mut circuit, 1, CallOutcome::NotSent, now);
            assert_eq!(circuit.state(), CircuitState::HalfOpen);
        }
        assert_eq!(circuit.pass(now), Ok(CircuitPermit::Trial));
        assert!(circuit.pass(now).is_err(), "one at a time");
        circuit.record(CircuitPermit::Trial, key(1), CallOutcome::Failed, now);
        assert_eq!(circuit.pass(now), Err(CircuitOpen { retry_in: OPEN_FOR * 2 }));
    }

    #[test]
    fn a_call_from_before_it_opened_changes_nothing() {
        let now = Instant::now();
        let mut circuit = open(now);
        circuit.record(CircuitPermit::Regular, key(1), CallOutcome::Answered, now);
        assert_eq!(circuit.state(), CircuitState::Open);
        assert_eq!(circuit.pass(now + OPEN_FOR), Ok(CircuitPermit::Trial));
        circuit.record(CircuitPermit::Regular, key(1), CallOutcome::Failed, now + OPEN_FOR);
        assert_eq!(circuit.state(), CircuitState::HalfOpen);
    }

    #[test]
    fn zero_failures_never_opens() {
        let now = Instant::now();
        let mut circuit = Circuit::new(CircuitLimits { failures: None, ..LIMITS });
        (0..1000).for_each(|number| call(&mut circuit, number, CallOutcome::Failed, now));
    }
}
