//! The pacer: one call at a time has the turn, no turn is lost with a call that is cancelled, and no wake-up of those who
//! wait. And the quota pressure, which each response that is not fresh reads without a lock.

#[path = "../../src/quota/pacer.rs"]
mod pacer;
#[path = "../../src/quota/quota_pressure.rs"]
mod quota_pressure;
#[path = "../../src/quota/shared_pacer.rs"]
mod shared_pacer;

use real_std::{num::NonZeroU32, pin::pin, time::Duration};

use futures_util::future::{Either, select};
use pacer::{Pacer, Priority, QueueFull, QueueTicket};
use quota_pressure::ScarcityCell;
use shared_pacer::SharedPacer;

use crate::{
    checker::thread,
    explore::Model,
    report::QuotaPressure,
    sync::{
        Arc, Notify, Step,
        atomic::{AtomicU32, Ordering::SeqCst},
    },
    task::{block_on, join},
    time::{Instant, advance},
};

pub(crate) const MODELS: &[Model] = &[
    Model {
        name: "pacer: while a call connects no other leaves, and once it is sent the next one does",
        run: one_connects,
        preemptions: Some(3),
        schedules: 20_000,
    },
    Model {
        name: "pacer: a call that is cancelled while it waits lets the next one move up",
        run: cancelled_in_the_queue,
        preemptions: Some(3),
        schedules: 20_000,
    },
    Model {
        name: "pacer: calls that end, are sent or cancelled at any moment leave the queue empty",
        run: any_end,
        preemptions: None,
        schedules: 20_000,
    },
    Model {
        name: "quota pressure: none is read that was computed more than a second ago",
        run: fresh_pressure,
        preemptions: Some(3),
        schedules: 0,
    },
];

/// One call a second.
const INTERVAL: Duration = Duration::from_millis(1_050);

/// A pacer and its calls.
struct Calls {
    pacer: SharedPacer,
    connecting: AtomicU32,
    step: Step,
}

/// How a call ends that has the turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum CallEnd {
    Sent,
    /// Without a connection.
    Failed,
}

// === impl Calls ===

impl Calls {
    fn new() -> Arc<Self> {
        let pacer = Pacer::new(NonZeroU32::new(1), Duration::from_secs(3_600), Instant::now());
        Arc::new(Self {
            pacer: SharedPacer::new(pacer),
            connecting: AtomicU32::new(0),
            step: Step::default(),
        })
    }

    async fn turn(&self) -> Result<QueueTicket, QueueFull> {
        self.pacer.turn(Priority::Miss, Instant::now()).await
    }

    /// What a call does with its turn: connects, is sent, and ends.
    fn make(&self, ticket: QueueTicket, end: CallEnd) {
        assert_eq!(self.connecting.fetch_add(1, SeqCst), 0, "two calls connect at a time");
        self.step.take();
        self.connecting.fetch_sub(1, SeqCst);
        if end == CallEnd::Sent {
            self.pacer.turn_over(Pacer::sent);
        }
        self.pacer.turn_over(|pacer, now| pacer.ended(ticket, now));
    }

    fn waiting(&self) -> usize {
        self.pacer.with(|pacer, _now| pacer.waiting())
    }
}

fn one_connects() {
    let calls = Calls::new();
    let first = block_on(calls.turn()).unwrap();
    let second = Arc::clone(&calls);
    let second = thread::spawn(move || {
        let ticket = block_on(second.turn()).unwrap();
        second.make(ticket, CallEnd::Failed);
    });
    // It takes long to connect: the time of the second one's turn comes first.
    advance(INTERVAL);
    calls.make(first, CallEnd::Sent);
    advance(INTERVAL);
    second.join().unwrap();
    assert_eq!(calls.waiting(), 0);
}

fn cancelled_in_the_queue() {
    let calls = Calls::new();
    let first = block_on(calls.turn()).unwrap();
    calls.make(first, CallEnd::Sent);
    let cancel = Arc::new(Notify::new());
    let cancelled = {
        let (calls, cancel) = (Arc::clone(&calls), Arc::clone(&cancel));
        thread::spawn(move || {
            let end = block_on(async {
                matches!(select(pin!(calls.turn()), pin!(cancel.notified())).await, Either::Right(_))
            });
            assert!(end, "the time of its turn has not come");
        })
    };
    let waiting = Arc::clone(&calls);
    let waiting = thread::spawn(move || {
        let ticket = block_on(waiting.turn()).unwrap();
        waiting.make(ticket, CallEnd::Sent);
    });
    cancel.notify_one();
    cancelled.join().unwrap();
    // Enough for one call, not for two.
    advance(INTERVAL);
    waiting.join().unwrap();
    assert_eq!(calls.waiting(), 0);
}

fn any_end() {
    let calls = Calls::new();
    let cancel = Arc::new(Notify::new());
    let ended = Arc::new(AtomicU32::new(0));
    let threads = [CallEnd::Sent, CallEnd::Failed, CallEnd::Sent, CallEnd::Failed].map(|end| {
        let (calls, cancel, ended) = (Arc::clone(&calls), Arc::clone(&cancel), Arc::clone(&ended));
        thread::spawn(move || {
            let turn = block_on(async {
                match select(pin!(calls.turn()), pin!(cancel.notified())).await {
                    Either::Left((turn, _cancel)) => Some(turn.unwrap()),
                    Either::Right(((), _turn)) => None,
                }
            });
            if let Some(ticket) = turn {
                calls.make(ticket, end);
            }
            ended.fetch_add(1, SeqCst);
        })
    });
    cancel.notify_one();
    cancel.notify_waiters();
    while ended.load(SeqCst) < 4 {
        advance(INTERVAL);
        thread::yield_now();
    }
    join(threads);
    assert_eq!(calls.waiting(), 0);
}

fn fresh_pressure() {
    let cell = Arc::new(ScarcityCell::new());
    cell.set(QuotaPressure::Normal, Instant::now());
    advance(Duration::from_secs(2));
    let now = Instant::now();
    let writer = Arc::clone(&cell);
    let writer = thread::spawn(move || writer.set(QuotaPressure::Stopped, now));
    assert_ne!(cell.get(now), Some(QuotaPressure::Normal), "two seconds old");
    assert_eq!(writer.join().unwrap(), QuotaPressure::Stopped);
    assert_eq!(cell.get(now), Some(QuotaPressure::Stopped));
}
