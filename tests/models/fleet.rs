//! What waits for the shared store: operations for its connection, and purges until it was told of them.

#[path = "../../src/shared/purge_queue.rs"]
mod purge_queue;

#[path = "store_link.rs"]
mod link;

use real_std::{
    convert::Infallible,
    future::Future,
    pin::pin,
    sync::{
        Mutex as RealMutex,
        atomic::{AtomicU32, Ordering::SeqCst},
    },
};

use futures_util::future::select;
use purge_queue::PurgeQueue;

use crate::{
    checker::thread,
    explore::Model,
    report::{NoClicks, ReportKey},
    sync::{Arc, Notify, Step, watch},
    task::block_on,
};

pub(crate) const MODELS: &[Model] = &[
    Model {
        name: "purges: the store is told of a purge that is made while it is told of the same one",
        run: same_key,
        preemptions: Some(3),
        schedules: 20_000,
    },
    Model {
        name: "purges: the store is told of a purge of one report that is made while it is told of one of all",
        run: key_after_all,
        preemptions: Some(3),
        schedules: 20_000,
    },
    link::WAITING_OPERATIONS,
];

/// What a purge removes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum PurgeScope {
    Key(ReportKey),
    All,
}

/// What the files below import of `shared`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum SharedStoreError {
    Away,
}

mod store_script {
    #[derive(Debug)]
    pub(in crate::shared) struct StoreScript;
}

/// The store, which notes what it purged and when. Time is the number of its purges and of those that were made.
struct Store {
    clock: AtomicU32,
    purged: RealMutex<Vec<(u32, PurgeScope)>>,
    step: Step,
}

/// The replica's access to it.
struct Membership {
    store: Store,
    epochs: watch::Sender<Option<()>>,
}

struct Fence;

struct Sequence;

// === impl Fence ===

impl From<Fence> for Sequence {
    fn from(_fence: Fence) -> Self {
        Self
    }
}

// === impl Store ===

impl Store {
    fn tick(&self) -> u32 {
        self.clock.fetch_add(1, SeqCst)
    }

    async fn purge(&self, _seen: (), scope: PurgeScope) -> Result<Fence, Infallible> {
        self.step.take();
        self.purged.lock().unwrap().push((self.tick(), scope));
        // The reply.
        self.step.take();
        Ok(Fence)
    }
}

// === impl Membership ===

impl Membership {
    fn epochs(&self) -> watch::Receiver<Option<()>> {
        self.epochs.subscribe()
    }

    async fn run<'a, T, F: Future<Output = Result<T, Infallible>>>(
        &'a self,
        operation: impl Fn(&'a Store, ()) -> F,
    ) -> Result<T, Infallible> {
        operation(&self.store, ()).await
    }

    fn learn_sequence(&self, _sequence: Sequence) {}
}

const KEY: PurgeScope = PurgeScope::Key(ReportKey { activity: 1, no_clicks: NoClicks::Listed });

fn same_key() {
    each_is_told([KEY, KEY]);
}

fn key_after_all() {
    each_is_told([PurgeScope::All, KEY]);
}

/// Makes these purges; the store must have been told of each after it was made.
fn each_is_told(scopes: [PurgeScope; 2]) {
    let queue = Arc::new(PurgeQueue::default());
    let store = Store { clock: AtomicU32::new(0), purged: RealMutex::default(), step: Step::default() };
    let membership = Arc::new(Membership { store, epochs: watch::Sender::new(None) });
    let stop = Arc::new(Notify::new());
    let teller = {
        let (queue, membership, stop) = (Arc::clone(&queue), Arc::clone(&membership), Arc::clone(&stop));
        thread::spawn(move || {
            block_on(async {
                let (telling, stopped) = (pin!(queue.run(&membership)), pin!(stop.notified()));
                let _stopped = select(telling, stopped).await;
            });
        })
    };
    let made = scopes.map(|scope| {
        let at = membership.store.tick();
        queue.add(scope);
        (at, scope)
    });
    while !queue.is_empty() {
        thread::yield_now();
    }
    stop.notify_one();
    teller.join().unwrap();
    let purged = membership.store.purged.lock().unwrap();
    for (at, scope) in made {
        let told =
            purged.iter().any(|(told, purged)| *told > at && [scope, PurgeScope::All].contains(purged));
        assert!(told, "the store was not told of {scope:?} of {at}: {purged:?}");
    }
}
