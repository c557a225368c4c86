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
fn a_key_that_always_fails_does_not_block_the_others() {
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
fn a_half_open_circuit_allows_one_call() {
    let now = Instant::now();
    let mut circuit = open(now);
    assert_eq!(circuit.pass(now + OPEN_FOR), Ok(CircuitPermit::Trial));
    assert!(circuit.pass(now + OPEN_FOR).is_err());
    circuit.record(CircuitPermit::Trial, key(1), CallOutcome::Answered, now + OPEN_FOR);
    assert_eq!(circuit.state(), CircuitState::Closed);
    (0..2).for_each(|number| call(&mut circuit, number, CallOutcome::Failed, now + OPEN_FOR));
    assert_eq!(circuit.state(), CircuitState::Closed, "the count starts over");
}

#[test]
fn each_trial_without_success_doubles_the_wait_up_to_the_maximum() {
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
fn after_a_trial_that_is_not_sent_the_next_call_is_the_trial() {
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
fn it_tells_since_when_calls_fail_and_when_the_next_trial_is() {
    let first = Instant::now();
    let mut circuit = Circuit::new(LIMITS);
    call(&mut circuit, 1, CallOutcome::Failed, first);
    let opened = first + Duration::from_secs(5);
    (2..4).for_each(|number| call(&mut circuit, number, CallOutcome::Failed, opened));
    let trial_at = Some(opened + OPEN_FOR);
    let failing_since = Some(first);
    assert_eq!(circuit.view(), CircuitView { state: CircuitState::Open, failing_since, trial_at });
    call(&mut circuit, 1, CallOutcome::Answered, opened + OPEN_FOR);
    let closed = CircuitView { state: CircuitState::Closed, failing_since: None, trial_at: None };
    assert_eq!(circuit.view(), closed);
}

#[test]
fn zero_failures_never_opens() {
    let now = Instant::now();
    let mut circuit = Circuit::new(CircuitLimits { failures: None, ..LIMITS });
    (0..1000).for_each(|number| call(&mut circuit, number, CallOutcome::Failed, now));
}
