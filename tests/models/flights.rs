//! Flights: one fetch of a key at a time, whose result all who wait for it get, however it ends.

#[path = "../../src/cache/flight.rs"]
mod flight;

use real_std::sync::atomic::{AtomicBool, AtomicU32, Ordering::SeqCst};

use flight::{
    Arrived, FetchOutcome, FlightAudience, FlightResult, FlightResults, FlightScope, Flights, Joined, Landed,
    Retain, StartedFlight,
};

use crate::{
    checker::thread,
    explore::Model,
    report::{Cause, Exchange, FetchError, Fetched, NoClicks, ReportKey},
    sync::{Arc, Step},
    task::{Fate, block_on, destine, join, planned_panic},
};

pub(crate) const MODELS: &[Model] = &[
    Model {
        name: "flights: three callers of a cold key are one fetch, and all get its answer",
        run: one_fetch,
        preemptions: Some(3),
        schedules: 20_000,
    },
    Model {
        name: "flights: both forms of an activity are never fetched twice at a time",
        run: both_forms,
        preemptions: Some(3),
        schedules: 20_000,
    },
    Model {
        name: "flights: who waits for a fetch that panics gets an error, and the next caller fetches",
        run: fetch_panics,
        preemptions: Some(3),
        schedules: 20_000,
    },
    Model {
        name: "flights: who waits for a result that cannot be stored gets an error, and the next caller fetches",
        run: apply_panics,
        // loom's locks are not for threads that panic.
        preemptions: None,
        schedules: 20_000,
    },
    Model {
        name: "flights: who waits for a task that the runtime drops gets an error",
        run: task_dropped,
        preemptions: Some(3),
        schedules: 20_000,
    },
    Model {
        name: "flights: what was fetched before a purge is not stored after it",
        run: purged,
        preemptions: Some(3),
        schedules: 20_000,
    },
    Model {
        name: "flights: six callers, both forms, a purge and a panic",
        run: crowd,
        preemptions: None,
        schedules: 20_000,
    },
];

const ALL: ReportKey = ReportKey { activity: 1, no_clicks: NoClicks::Listed };
const CLICKED: ReportKey = ReportKey { activity: 1, no_clicks: NoClicks::Omitted };

/// A stored report: the number of its fetch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Entry(u32);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum StoreOutcome {
    Stored,
    Purged,
}

/// How a fetch ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fetching {
    Succeeds,
    Panics,
    /// Its result panics while it is stored.
    PanicsInStore,
}

/// A cache of one activity in front of its vendor.
struct World {
    flights: Arc<Flights>,
    /// By form: the number of the fetch that is stored; 0: none.
    stored: [AtomicU32; 2],
    /// By form: the fetches under way.
    under_way: [AtomicU32; 2],
    fetches: AtomicU32,
    /// The fetches until the last purge.
    purged: AtomicU32,
    /// The first fetch ends so, the others succeed.
    first: Fetching,
    step: Step,
}

// === impl World ===

impl World {
    fn new(first: Fetching) -> Arc<Self> {
        Arc::new(Self {
            flights: Arc::default(),
            stored: Default::default(),
            under_way: Default::default(),
            fetches: AtomicU32::new(0),
            purged: AtomicU32::new(0),
            first,
            step: Step::default(),
        })
    }

    fn look_up(&self, key: ReportKey) -> Option<u32> {
        let stored = self.stored[key.no_clicks as usize].load(SeqCst);
        (stored > 0).then_some(stored)
    }

    /// What a caller does: looks the key up, and joins or starts a flight on a miss. Returns the number of the fetch.
    fn ask(self: &Arc<Self>, scope: FlightScope) -> Result<u32, FetchError> {
        loop {
            self.step.take();
            if let Some(number) = self.look_up(scope.asked()) {
                return Ok(number);
            }
            let needed = || self.look_up(scope.asked()).is_none();
            let start = |scope| self.start(scope);
            let joined = self.flights.join_or_start(scope, FlightAudience::Caller, needed, start);
            let waiter = match joined {
                Joined::Leader(waiter) | Joined::Waiter(waiter) => waiter,
                Joined::Outdated(waiter) => {
                    block_on(waiter.result());
                    continue;
                }
                Joined::Declined => continue,
            };
            match block_on(waiter.result()) {
                FlightResult::Landed(landed) => return Ok(landed.entry.0),
                FlightResult::Failed(error) => return Err(error),
                FlightResult::Nothing => {}
            }
        }
    }

    fn start(
        self: &Arc<Self>,
        scope: FlightScope,
    ) -> StartedFlight<
        impl Future<Output = FetchOutcome> + Send + 'static,
        impl FnOnce(FetchOutcome, Retain) -> FlightResults + Send + 'static,
    > {
        let (fetching, storing) = (Arc::clone(self), Arc::clone(self));
        let fetch = async move { fetching.fetch(scope) };
        StartedFlight { fetch, apply: move |outcome, keep| storing.store(scope, outcome, keep), trace: None }
    }

    fn fetch(&self, scope: FlightScope) -> FetchOutcome {
        let under_way = || scope.keys().map(|key| &self.under_way[key.no_clicks as usize]);
        for fetches in under_way() {
            assert_eq!(fetches.fetch_add(1, SeqCst), 0, "two fetches of a key at a time");
        }
        let number = self.fetches.fetch_add(1, SeqCst) + 1;
        self.step.take();
        for fetches in under_way() {
            fetches.fetch_sub(1, SeqCst);
        }
        if number == 1 && self.first == Fetching::Panics {
            planned_panic();
        }
        Ok(Arrived { fetched: Fetched(number), clicked: None })
    }

    fn store(&self, scope: FlightScope, outcome: FetchOutcome, keep: Retain) -> FlightResults {
        let Fetched(number) = match outcome {
            Ok(arrived) => arrived.fetched,
            Err(error) => return FlightResults::Same(FlightResult::Failed(error)),
        };
        if number == 1 && self.first == Fetching::PanicsInStore {
            planned_panic();
        }
        let stored = match keep {
            Retain::Yes => {
                for key in scope.keys() {
                    self.stored[key.no_clicks as usize].store(number, SeqCst);
                }
                StoreOutcome::Stored
            }
            Retain::No => StoreOutcome::Purged,
        };
        let landed = Landed { entry: Arc::new(Entry(number)), exchange: Exchange, stored };
        FlightResults::Same(FlightResult::Landed(landed))
    }

    fn purge(&self) {
        self.flights.purge(
            |_key| true,
            || {
                self.stored.iter().for_each(|stored| stored.store(0, SeqCst));
                self.purged.store(self.fetches.load(SeqCst), SeqCst);
            },
        );
    }

    fn fetches(&self) -> u32 {
        self.fetches.load(SeqCst)
    }

    /// Nothing is in flight any more, and what is stored was fetched after the last purge began.
    fn check_end(&self) {
        for key in [ALL, CLICKED] {
            if let Some(stored) = self.look_up(key) {
                assert!(stored > self.purged.load(SeqCst), "a purge was undone");
            }
        }
    }
}

/// Lets callers ask, each on a thread of its own but the last; returns their answers.
fn ask_at_once(world: &Arc<World>, scopes: &[FlightScope]) -> Vec<Result<u32, FetchError>> {
    let (last, others) = scopes.split_last().unwrap();
    let others: Vec<_> = others
        .iter()
        .map(|scope| {
            let (world, scope) = (Arc::clone(world), *scope);
            thread::spawn(move || world.ask(scope))
        })
        .collect();
    let last = world.ask(*last);
    join(others).into_iter().chain([last]).collect()
}

fn one_fetch() {
    let world = World::new(Fetching::Succeeds);
    let answers = ask_at_once(&world, &[FlightScope::One(ALL); 3]);
    assert_eq!((answers, world.fetches()), (vec![Ok(1); 3], 1));
    world.check_end();
}

fn both_forms() {
    let world = World::new(Fetching::Succeeds);
    let answers = ask_at_once(&world, &[FlightScope::BothForms(CLICKED), FlightScope::One(ALL)]);
    assert!(answers.iter().all(Result::is_ok));
    assert!(world.fetches() <= 2);
    world.check_end();
}

fn fails_once(first: Fetching) {
    let world = World::new(first);
    let answers = ask_at_once(&world, &[FlightScope::One(ALL); 2]);
    let failed = answers.iter().filter(|answer| **answer == Err(Cause::Internal.into())).count();
    // Who came after its end has fetched anew.
    assert_eq!(world.fetches(), if failed == 2 { 1 } else { 2 });
    assert!(failed > 0 && answers.iter().all(|answer| answer.is_err() || *answer == Ok(2)));
    assert!(world.ask(FlightScope::One(ALL)).is_ok() && !world.flights.is_in_flight(&ALL));
}

fn fetch_panics() {
    fails_once(Fetching::Panics);
}

fn apply_panics() {
    fails_once(Fetching::PanicsInStore);
}

fn task_dropped() {
    destine(Fate::Dropped);
    let world = World::new(Fetching::Succeeds);
    let answers = ask_at_once(&world, &[FlightScope::One(ALL); 2]);
    assert_eq!(answers, [Err(Cause::Internal.into()); 2]);
    assert_eq!(world.fetches(), 0);
}

fn purged() {
    let world = World::new(Fetching::Succeeds);
    let caller = Arc::clone(&world);
    let caller = thread::spawn(move || caller.ask(FlightScope::One(ALL)));
    world.purge();
    let after = world.ask(FlightScope::One(ALL)).unwrap();
    assert!(after > world.purged.load(SeqCst), "an answer from before the purge");
    assert!(caller.join().unwrap().is_ok());
    world.check_end();
}

fn crowd() {
    let world = World::new(Fetching::PanicsInStore);
    let purger = Arc::clone(&world);
    let purger = thread::spawn(move || purger.purge());
    let [one, both] = [FlightScope::One(ALL), FlightScope::BothForms(CLICKED)];
    ask_at_once(&world, &[one, both, one, both, one, both]);
    purger.join().unwrap();
    assert!(world.ask(both).is_ok() && world.ask(one).is_ok());
    world.check_end();
}
