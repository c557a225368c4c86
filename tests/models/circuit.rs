//! The circuit breaker: of a half-open circuit one call at a time is the trial, and its permit is not lost when it is cancelled.

#[path = "../../src/resilience/breaker.rs"]
mod breaker;
#[path = "../../src/resilience/circuit.rs"]
mod circuit;

use real_std::{future::pending, num::NonZeroU32, pin::pin, time::Duration};

use breaker::CircuitBreaker;
use circuit::{CircuitLimits, CircuitState};
use futures_util::future::{Either, select};

use crate::{
    checker::thread,
    explore::Model,
    middleware::{Middleware, Next},
    report::{Call, Cause, FetchError, Fetched, LocalDenial, NoClicks, ReportKey},
    sync::{
        Arc, Notify, Step,
        atomic::{AtomicU32, Ordering::SeqCst},
    },
    task::{block_on, join},
    telemetry::CircuitMetrics,
    time::advance,
};

pub(crate) const MODELS: &[Model] = &[
    Model {
        name: "circuit: one call at a time is the trial, and one that is not sent leaves it to the next",
        run: one_trial,
        preemptions: Some(3),
        schedules: 20_000,
    },
    Model {
        name: "circuit: a trial that is cancelled does not keep the circuit waiting",
        run: cancelled_trial,
        preemptions: Some(3),
        schedules: 20_000,
    },
];

const CALL: Call = Call { key: ReportKey { activity: 1, no_clicks: NoClicks::Listed } };
const OPEN_FOR: Duration = Duration::from_secs(1);

/// What is below the breaker: it ends each call so.
struct Upstream {
    answer: Result<Fetched, FetchError>,
    under_way: Arc<AtomicU32>,
    step: Step,
}

/// An upstream that does not answer.
struct Hanging;

/// A call under way; it may be cancelled.
struct UnderWay<'a>(&'a AtomicU32);

// === impl Upstream ===

impl Upstream {
    fn new(answer: Result<Fetched, FetchError>, under_way: &Arc<AtomicU32>) -> Self {
        Self { answer, under_way: Arc::clone(under_way), step: Step::default() }
    }
}

impl Next<Call> for Upstream {
    type Response = Fetched;
    type Error = FetchError;

    async fn run(&self, _call: Call) -> Result<Fetched, FetchError> {
        assert_eq!(self.under_way.fetch_add(1, SeqCst), 0, "two trials at a time");
        let _under_way = UnderWay(&self.under_way);
        self.step.take();
        self.answer
    }
}

impl Next<Call> for Hanging {
    type Response = Fetched;
    type Error = FetchError;

    async fn run(&self, _call: Call) -> Result<Fetched, FetchError> {
        pending().await
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, SeqCst);
    }
}

/// A circuit that has opened, at the time of its trial.
fn opened() -> Arc<CircuitBreaker> {
    let limits =
        CircuitLimits { failures: NonZeroU32::new(1), open_for: OPEN_FOR, open_max: Duration::from_secs(60) };
    let breaker = Arc::new(CircuitBreaker::new(limits, CircuitMetrics));
    let failing = Upstream::new(Err(Cause::Upstream.into()), &Arc::default());
    assert!(block_on(breaker.handle(CALL, &failing)).is_err());
    assert_eq!(breaker.view().state, CircuitState::Open);
    advance(OPEN_FOR);
    breaker
}

fn is_refused(result: &Result<Fetched, FetchError>) -> bool {
    matches!(result, Err(FetchError { cause: Cause::Local(LocalDenial::CircuitOpen { .. }) }))
}

fn one_trial() {
    let (breaker, under_way) = (opened(), Arc::new(AtomicU32::new(0)));
    let calls = [(); 3].map(|()| {
        let breaker = Arc::clone(&breaker);
        let upstream = Upstream::new(Err(LocalDenial::NotSent.into()), &under_way);
        thread::spawn(move || is_refused(&block_on(breaker.handle(CALL, &upstream))))
    });
    assert!(join(calls).contains(&false), "none was let through");
    let upstream = Upstream::new(Ok(Fetched(1)), &under_way);
    assert_eq!(block_on(breaker.handle(CALL, &upstream)), Ok(Fetched(1)), "a permit was lost");
    assert_eq!(breaker.view().state, CircuitState::Closed);
}

fn cancelled_trial() {
    let breaker = opened();
    let calls = [(); 2].map(|()| {
        let (breaker, cancel) = (Arc::clone(&breaker), Arc::new(Notify::new()));
        let cancelled = Arc::clone(&cancel);
        let call = thread::spawn(move || {
            block_on(async {
                match select(pin!(cancelled.notified()), pin!(breaker.handle(CALL, &Hanging))).await {
                    Either::Left(_cancelled) => {}
                    Either::Right((result, _cancelled)) => assert!(is_refused(&result)),
                }
            });
        });
        (call, cancel)
    });
    let calls = calls.map(|(call, cancel)| {
        cancel.notify_one();
        call
    });
    join(calls);
    // A trial without an end is followed by a pause, twice as long as the one before.
    advance(OPEN_FOR * 4);
    let upstream = Upstream::new(Ok(Fetched(1)), &Arc::default());
    assert_eq!(block_on(breaker.handle(CALL, &upstream)), Ok(Fetched(1)), "a permit was lost");
}
