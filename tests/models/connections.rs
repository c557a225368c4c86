//! Wake-ups of a connection: its timers beside its requests, and its listener that needs its place.

#[path = "../../src/server/activity.rs"]
mod activity;
#[path = "../../src/server/beside.rs"]
mod beside;
#[path = "../../src/server/handles.rs"]
mod handles;

use real_std::{
    future::{Future, pending, poll_fn},
    pin::{Pin, pin},
    sync::Mutex as RealMutex,
    task::{Context, Poll, Waker},
    time::Duration,
};

use activity::Timeouts;
use beside::beside;
use futures_util::future::poll_immediate;
use handles::{ConnectionHandle, OpenConnections};

use crate::{
    checker::thread,
    explore::Model,
    sync::{
        Arc, Step,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
    task::block_on,
    time::Instant,
};

pub(crate) const MODELS: &[Model] = &[
    Model {
        name: "connections: a timer's wake-up is not lost while requests wake the connection",
        run: timer_beside_requests,
        preemptions: Some(3),
        schedules: 0,
    },
    Model {
        name: "connections: a timer's wake-up is not lost while the connection goes to another task",
        run: timer_beside_another_task,
        preemptions: Some(3),
        schedules: 0,
    },
    Model {
        name: "connections: of two wake-ups of a timer none is lost, wherever requests fall between them",
        run: two_wake_ups,
        // loom may order the second wake-up's store before a swap that has read the first one's, which no machine does.
        preemptions: None,
        schedules: 20_000,
    },
    Model {
        name: "connections: one that is idle gives its place, and none that waits for its answer does",
        run: place_needed,
        preemptions: Some(3),
        schedules: 20_000,
    },
];

const TIMEOUTS: Timeouts = Timeouts { head: Duration::from_secs(10), idle: Duration::from_secs(75) };

/// Completes when `events` has reached `wanted`. As a timer does, it registers its waker once and then only looks: of the order
/// of memory it has only what its waker gives.
struct Timer {
    events: Arc<AtomicU32>,
    wanted: u32,
    waker: Arc<RealMutex<Option<Waker>>>,
}

impl Future for Timer {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.waker.lock().unwrap().get_or_insert_with(|| cx.waker().clone());
        if self.events.load(Relaxed) >= self.wanted { Poll::Ready(()) } else { Poll::Pending }
    }
}

/// A connection whose timer waits for `wanted` events, on this thread. `events` makes them on another one, while the
/// connection goes to another task; `requests` wakes that one at the same time.
fn run_beside(
    wanted: u32,
    events: impl FnOnce(Arc<AtomicU32>, Waker) + Send + 'static,
    requests: impl FnOnce(Waker) + Send + 'static,
) {
    let seen = Arc::new(AtomicU32::new(0));
    let waker = Arc::new(RealMutex::new(None));
    let timer = Timer { events: Arc::clone(&seen), wanted, waker: Arc::clone(&waker) };
    let mut both = beside(pending::<()>(), timer);
    assert!(Pin::new(&mut both).poll(&mut Context::from_waker(Waker::noop())).is_pending());
    let waker = waker.lock().unwrap().clone().unwrap();
    thread::spawn(move || events(seen, waker));
    let mut requests = Some(requests);
    block_on(poll_fn(|cx| {
        if let Some(requests) = requests.take() {
            let task = cx.waker().clone();
            thread::spawn(move || requests(task));
        }
        Pin::new(&mut both).poll(cx).map(drop)
    }));
}

fn one_event(events: Arc<AtomicU32>, timer: Waker) {
    events.store(1, Relaxed);
    timer.wake();
}

fn timer_beside_requests() {
    run_beside(1, one_event, Waker::wake);
}

fn timer_beside_another_task() {
    run_beside(1, one_event, drop);
}

fn two_wake_ups() {
    let both = |events: Arc<AtomicU32>, timer: Waker| {
        for event in [1, 2] {
            events.store(event, Relaxed);
            timer.wake_by_ref();
        }
    };
    let requests = |task: Waker| {
        task.wake_by_ref();
        task.wake();
    };
    run_beside(2, both, requests);
}

fn place_needed() {
    let open = Arc::new(OpenConnections::default());
    let closed = Arc::new(AtomicU32::new(0));
    let busy = Arc::new(ConnectionHandle::new(TIMEOUTS, Instant::now()));
    busy.activity.request();
    let _listed = open.list(Arc::clone(&busy));
    let handle = Arc::new(ConnectionHandle::new(TIMEOUTS, Instant::now()));
    let listed = open.list(Arc::clone(&handle));
    let connection = {
        let closed = Arc::clone(&closed);
        thread::spawn(move || {
            let step = Step::default();
            block_on(async {
                let mut signal = pin!(handle.closed());
                handle.activity.request();
                step.take();
                let early = poll_immediate(&mut signal).await;
                assert!(early.is_none(), "it waits for its answer");
                handle.activity.answer();
                signal.await;
            });
            drop(listed);
            closed.store(1, Relaxed);
        })
    };
    // The listener repeats it until it has a place.
    while closed.load(Relaxed) == 0 {
        open.close_quietest(Instant::now());
        thread::yield_now();
    }
    connection.join().unwrap();
    assert!(block_on(poll_immediate(pin!(busy.closed()))).is_none());
}
