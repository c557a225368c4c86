//! This replica's membership in the fleet: what it was told by the store, heartbeats, and recovery after the store has
//! lost writes.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    sync::Notify,
    time::{Instant, sleep, timeout},
};

use super::{
    Epoch, FleetState, Guarded, Heartbeat, MemberId, Recovery, Sequence, SharedStore, SharedStoreError,
    SpentDay, StoreChanged, StoreIdentity, StoreSeen, store::StoreReply,
};

/// The time between two heartbeats, plus or minus a tenth.
const HEARTBEAT: Duration = Duration::from_secs(5);

/// A replica whose last contact is older waits this long before it begins an epoch: one that knows more goes first.
const LONGEST_DEFERENCE: Duration = Duration::from_secs(10);

/// A replica of the fleet, and the store that it shares.
#[derive(Debug)]
pub struct Membership {
    store: Arc<dyn SharedStore>,
    id: MemberId,
    /// `shared.margin`, in calls.
    margin: u64,
    known: Mutex<Known>,
    /// The store has lost writes: recover now.
    beat_now: Notify,
    /// Held while this replica recovers: one recovery at a time.
    recovering: tokio::sync::Mutex<()>,
}

/// What this replica was told last.
#[derive(Debug, Default)]
struct Known {
    seen: StoreSeen,
    told: SpentDay,
    /// Calls that this replica made on `told.day` without the store.
    offline: u64,
    identity: Option<StoreIdentity>,
    fleet: Option<FleetState>,
    contact: Option<Instant>,
}

// === impl Membership ===

impl Membership {
    /// A new member, which knows nothing yet.
    pub fn new(store: Arc<dyn SharedStore>, margin: u64) -> Self {
        Self {
            store,
            id: MemberId(fastrand::u64(1..)),
            margin,
            known: Mutex::default(),
            beat_now: Notify::new(),
            recovering: tokio::sync::Mutex::default(),
        }
    }

    /// The store.
    pub fn store(&self) -> &dyn SharedStore {
        &*self.store
    }

    /// What the last heartbeat or recovery has told. `None` before the first.
    pub fn fleet(&self) -> Option<FleetState> {
        self.known().fleet.clone()
    }

    /// The time since the store's last reply. `None` before the first.
    pub fn since_contact(&self) -> Option<Duration> {
        self.known().contact.map(|contact| contact.elapsed())
    }

    /// The highest count of calls that this replica was told.
    pub fn told(&self) -> SpentDay {
        self.known().told
    }

    /// The store has counted so many calls.
    pub fn learn_spent(&self, spent: SpentDay) {
        self.known().learn_spent(spent);
    }

    /// The store has used this sequence number.
    pub fn learn_sequence(&self, sequence: Sequence) {
        let mut known = self.known();
        known.seen.sequence = known.seen.sequence.max(sequence);
    }

    /// A call was made on this day without the store.
    pub fn count_offline(&self, day: u64) {
        let mut known = self.known();
        known.learn_spent(SpentDay { day, spent: 0 });
        if known.told.day == day {
            known.offline += 1;
        }
    }

    /// The calls that this replica has made on this day without the store.
    pub fn offline_on(&self, day: u64) -> u64 {
        let known = self.known();
        if known.told.day == day { known.offline } else { 0 }
    }

    /// Runs a guarded operation. If other replicas have begun an epoch, learns it and runs the operation once more. If the
    /// store has lost writes, leaves the recovery, which may have to wait, to the heartbeats.
    ///
    /// # Errors
    /// The operation's; [`SharedStoreError::Recovering`].
    pub async fn run<'a, T, F>(&'a self, operation: F) -> Result<T, SharedStoreError>
    where
        F: Fn(&'a dyn SharedStore, StoreSeen) -> StoreReply<'a, Guarded<T>>,
    {
        let seen = self.known().seen;
        let done = match operation(&*self.store, seen).await? {
            Ok(done) => done,
            Err(StoreChanged::OtherEpoch(_)) => {
                self.recover(seen, Force::No).await?;
                let seen = self.known().seen;
                operation(&*self.store, seen).await?.map_err(|_changed| SharedStoreError::Recovering)?
            }
            Err(StoreChanged::Empty | StoreChanged::RolledBack) => {
                self.beat_now.notify_one();
                return Err(SharedStoreError::Recovering);
            }
        };
        self.known().contact = Some(Instant::now());
        Ok(done)
    }

    /// What this replica was told last: for [`Membership::run_as_of`].
    pub fn seen(&self) -> StoreSeen {
        self.known().seen
    }

    /// Runs a guarded operation whose arguments were read from the store after `seen` was: not at all if another epoch
    /// has begun since, as another value may have the same version in it.
    ///
    /// # Errors
    /// The operation's; [`SharedStoreError::Recovering`].
    pub async fn run_as_of<'a, T>(
        &'a self,
        seen: StoreSeen,
        operation: impl FnOnce(&'a dyn SharedStore, StoreSeen) -> StoreReply<'a, Guarded<T>>,
    ) -> Result<T, SharedStoreError> {
        let done = operation(&*self.store, seen).await?;
        done.map_err(|_changed| {
            self.beat_now.notify_one();
            SharedStoreError::Recovering
        })
    }

    /// One heartbeat. Recovers if the store has lost writes, or if the server's identity has changed since the last one.
    ///
    /// # Errors
    /// The store's.
    pub async fn beat(&self) -> Result<FleetState, SharedStoreError> {
        let identity = self.store.identity().await?;
        let (before, seen) = {
            let known = self.known();
            (known.identity.clone(), known.seen)
        };
        if before.is_some_and(|before| before != identity) {
            self.defer(seen).await;
            self.recover(seen, Force::Yes).await?;
        }
        self.known().identity = Some(identity);
        let (heartbeat, seen) = (self.heartbeat(), self.known().seen);
        let fleet = match self.store.heartbeat(seen, heartbeat).await? {
            Ok(fleet) => fleet,
            Err(changed) => {
                match changed {
                    StoreChanged::OtherEpoch(_) => {}
                    StoreChanged::Empty | StoreChanged::RolledBack => self.defer(seen).await,
                }
                self.recover(seen, Force::No).await?;
                let (heartbeat, seen) = (self.heartbeat(), self.known().seen);
                let again = self.store.heartbeat(seen, heartbeat).await?;
                again.map_err(|_changed| SharedStoreError::Recovering)?
            }
        };
        self.known().learn(&fleet);
        Ok(fleet)
    }

    /// The next heartbeat is sent at once.
    pub fn beat_soon(&self) {
        self.beat_now.notify_one();
    }

    /// Sends heartbeats for ever. `beaten` gets the result of each.
    pub async fn heartbeats(&self, mut beaten: impl FnMut(Result<FleetState, SharedStoreError>)) {
        loop {
            beaten(self.beat().await);
            let pause = HEARTBEAT.mul_f64(0.9 + 0.2 * fastrand::f64());
            let _early = timeout(pause, self.beat_now.notified()).await;
        }
    }

    /// This replica ends: the fleet need not wait for its heartbeats to stop.
    pub async fn leave(&self) {
        // If it fails, the store forgets this replica in a minute.
        let _left = self.store.leave(self.id).await;
    }

    fn heartbeat(&self) -> Heartbeat {
        let known = self.known();
        Heartbeat { member: self.id, told: known.told, offline: known.offline }
    }

    /// Who was told last knows most, and begins the epoch: the others wait, and then find it.
    async fn defer(&self, seen: StoreSeen) {
        if seen.epoch.is_some() {
            let silence = self.since_contact().unwrap_or(LONGEST_DEFERENCE);
            sleep(silence.min(LONGEST_DEFERENCE)).await;
        }
    }

    /// Begins a new epoch, or learns the one that another replica has begun. `seen` is what the refused operation had: if
    /// this replica has recovered since, nothing is left to do.
    async fn recover(&self, seen: StoreSeen, force: Force) -> Result<(), SharedStoreError> {
        let _one_at_a_time = self.recovering.lock().await;
        if self.known().seen.epoch != seen.epoch {
            return Ok(());
        }
        let recovery = {
            let known = self.known();
            Recovery {
                known: known.seen.epoch,
                seen: known.seen.sequence,
                fresh: Epoch(fastrand::u64(1..)),
                told: known.told,
                margin: self.margin,
                force: force == Force::Yes,
            }
        };
        let fleet = self.store.recover(recovery).await?;
        if let Some(lost) = seen.epoch.filter(|lost| *lost != fleet.epoch) {
            tracing::warn!(
                epoch = fleet.epoch.0,
                before = lost.0,
                spent = fleet.today.spent,
                "the shared store has lost writes or was replaced; it goes on with what the replicas know"
            );
        }
        self.known().learn(&fleet);
        Ok(())
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether an epoch begins though the sequence looks right.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Force {
    Yes,
    No,
}

// === impl Known ===

impl Known {
    fn learn(&mut self, fleet: &FleetState) {
        let sequence = match self.seen.epoch {
            Some(epoch) if epoch == fleet.epoch => self.seen.sequence.max(fleet.sequence),
            Some(_) | None => {
                // The server that the lost epoch was on says nothing of this one.
                self.identity = None;
                fleet.sequence
            }
        };
        self.seen = StoreSeen { epoch: Some(fleet.epoch), sequence };
        self.learn_spent(fleet.today);
        self.fleet = Some(fleet.clone());
        self.contact = Some(Instant::now());
    }

    fn learn_spent(&mut self, SpentDay { day, spent }: SpentDay) {
        if day > self.told.day {
            (self.told, self.offline) = (SpentDay { day, spent }, 0);
        } else if day == self.told.day {
            self.told.spent = self.told.spent.max(spent);
        }
    }
}
