//! This replica's membership in the fleet: what it was told by the store, and heartbeats.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{Notify, watch},
    time::{Instant, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{
    Epoch, Fence, FleetState, Guarded, Heartbeat, Knowledge, MemberAbout, MemberId, Sequence, SharedStore,
    SharedStoreError, SpentDay, StoreChanged, StoreSeen, fleet_log,
    known_days::KnownDay,
    recovery_options::{Assumed, Force},
    store::StoreReply,
};
use crate::telemetry::FleetMetrics;

/// The time between two heartbeats, plus or minus a tenth.
pub(super) const HEARTBEAT: Duration = Duration::from_secs(5);

/// A replica of the fleet, and the store that it shares.
#[derive(Debug)]
pub struct Membership {
    pub(super) store: Arc<dyn SharedStore>,
    id: MemberId,
    pub(super) options: MembershipOptions,
    known: Mutex<Knowledge>,
    /// The store has lost writes: recover now.
    beat_now: Notify,
    /// Held while this replica recovers: one recovery at a time.
    pub(super) recovering: tokio::sync::Mutex<()>,
    /// The store's epoch, as far as it is known.
    epoch: watch::Sender<Option<Epoch>>,
    left: CancellationToken,
}

/// How this replica is a member.
#[derive(Debug)]
pub struct MembershipOptions {
    /// `shared.margin`, in calls.
    pub margin: u64,
    /// What the others' operators read of it.
    pub about: MemberAbout,
    /// What its own operators read.
    pub metrics: FleetMetrics,
}

// === impl Membership ===

impl Membership {
    /// A new member, which knows nothing yet.
    pub fn new(store: Arc<dyn SharedStore>, options: MembershipOptions) -> Self {
        Self {
            store,
            id: MemberId(fastrand::u64(1..)),
            options,
            known: Mutex::new(Knowledge::none()),
            beat_now: Notify::new(),
            recovering: tokio::sync::Mutex::default(),
            epoch: watch::Sender::default(),
            left: CancellationToken::new(),
        }
    }

    /// The store.
    pub fn store(&self) -> &dyn SharedStore {
        &*self.store
    }

    /// Names this replica.
    pub const fn id(&self) -> MemberId {
        self.id
    }

    /// What it knows of the store and of the other replicas.
    pub fn knowledge(&self) -> Knowledge {
        self.known().clone()
    }

    /// Whether the store does not do what it is asked.
    pub fn is_away(&self) -> bool {
        self.known().outage.is_some()
    }

    /// Since when it does not, as this replica has noticed.
    pub fn away_since(&self) -> Option<Instant> {
        self.known().outage.as_ref().map(|outage| outage.since)
    }

    /// When this replica noticed that the last outage was over.
    pub fn back_since(&self) -> Option<Instant> {
        self.known().returned
    }

    /// How many replicas the store knew when it last replied.
    pub fn replicas_seen(&self) -> usize {
        self.known().fleet.as_ref().map_or(0, |told| told.state.members.len())
    }

    /// As [`replicas_seen`](Self::replicas_seen), and 1 before it ever replied.
    pub fn replicas(&self) -> u32 {
        u32::try_from(self.replicas_seen().max(1)).unwrap_or(u32::MAX)
    }

    /// Tells of each epoch that begins.
    pub(super) fn epochs(&self) -> watch::Receiver<Option<Epoch>> {
        self.epoch.subscribe()
    }

    /// This replica's last contact with a store that has lost writes since: it has lost what was written shortly before that
    /// at most. `None`: it has lost nothing since this was asked last.
    pub(super) fn take_lost_since(&self) -> Option<Instant> {
        self.known().lost_since.take()
    }

    /// The highest count of calls that this replica was told.
    pub fn told(&self) -> SpentDay {
        self.known().told()
    }

    /// The calls that the store has counted on this day, as far as this replica was told.
    pub fn told_on(&self, day: u64) -> u64 {
        self.known().days.on(day).told.spent
    }

    /// All changes of the other replicas until then were read.
    pub fn feed_was_read(&self, until: Instant) {
        self.known().feed_read_at = until;
    }

    /// The store has counted so many calls.
    pub fn learn_spent(&self, spent: SpentDay) {
        self.known().days.count(spent);
    }

    /// So many calls are assumed to be made, which nobody has counted. A store that knows better is not told.
    pub fn assume_spent(&self, assumed: SpentDay) {
        self.known().days.assume(assumed);
    }

    /// The store has used this sequence number.
    pub fn learn_sequence(&self, sequence: Sequence) {
        let mut known = self.known();
        known.seen.sequence = known.seen.sequence.max(sequence);
    }

    /// All reports were purged, with this fence.
    pub(super) fn learn_purged(&self, purged: Fence) {
        let mut known = self.known();
        known.purged = known.purged.max(purged);
    }

    /// A call was made on this day without the store.
    pub fn count_offline(&self, day: u64) {
        self.known().days.count_offline(day);
        self.options.metrics.offline_call();
    }

    /// The calls that this replica has made on this day without the store.
    pub fn offline_on(&self, day: u64) -> u64 {
        self.known().offline_on(day)
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
        let done = self.try_run(operation).await;
        self.learn_whether_away(&done);
        done
    }

    /// The same, of a key's report or flight: if the store cannot do it with this one, it is not away for that.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub async fn run_of_key<'a, T, F>(&'a self, operation: F) -> Result<T, SharedStoreError>
    where
        F: Fn(&'a dyn SharedStore, StoreSeen) -> StoreReply<'a, Guarded<T>>,
    {
        let done = self.try_run(operation).await;
        // If it is, the link or the next heartbeat notices.
        if !done.as_ref().is_err_and(SharedStoreError::may_be_of_one_key) {
            self.learn_whether_away(&done);
        }
        done
    }

    fn learn_whether_away<T>(&self, done: &Result<T, SharedStoreError>) {
        match done {
            Ok(_) => self.known().succeeded(),
            Err(error) => self.known().failed(error.clone()),
        }
    }

    async fn try_run<'a, T, F>(&'a self, operation: F) -> Result<T, SharedStoreError>
    where
        F: Fn(&'a dyn SharedStore, StoreSeen) -> StoreReply<'a, Guarded<T>>,
    {
        let seen = self.known().seen;
        match operation(&*self.store, seen).await? {
            Ok(done) => Ok(done),
            Err(StoreChanged::OtherEpoch(_)) => {
                self.recover(seen, Force::No, Assumed::Ignored).await?;
                let seen = self.known().seen;
                operation(&*self.store, seen).await?.map_err(|_changed| SharedStoreError::Recovering)
            }
            Err(StoreChanged::Empty | StoreChanged::RolledBack) => {
                self.beat_now.notify_one();
                Err(SharedStoreError::Recovering)
            }
        }
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
        let beaten = self.try_beat().await;
        if let Err(error) = &beaten {
            self.known().failed(error.clone());
        }
        beaten
    }

    async fn try_beat(&self) -> Result<FleetState, SharedStoreError> {
        let identity = self.store.identity().await?;
        let (before, seen) = {
            let known = self.known();
            (known.identity.clone(), known.seen)
        };
        // Who was told nothing has nothing to make good.
        if seen.epoch.is_some() && before.is_some_and(|before| before != identity) {
            self.defer(seen).await;
            self.recover(seen, Force::Yes, Assumed::Ignored).await?;
        }
        self.known().identity = Some(identity);
        let (heartbeat, seen) = (self.heartbeat(), self.known().seen);
        let (mut asked, mut counted) = (Instant::now(), heartbeat.clone());
        let fleet = match self.store.heartbeat(seen, heartbeat).await? {
            Ok(fleet) => fleet,
            Err(changed) => {
                let assumed = match changed {
                    StoreChanged::OtherEpoch(_) => Assumed::Ignored,
                    StoreChanged::Empty | StoreChanged::RolledBack => {
                        self.defer(seen).await;
                        Assumed::Told
                    }
                };
                self.recover(seen, Force::No, assumed).await?;
                let (heartbeat, seen) = (self.heartbeat(), self.known().seen);
                (asked, counted) = (Instant::now(), heartbeat.clone());
                let again = self.store.heartbeat(seen, heartbeat).await?;
                again.map_err(|_changed| SharedStoreError::Recovering)?
            }
        };
        let day = counted.told.day;
        self.learn(&fleet, asked, Some(day));
        let mut known = self.known();
        fleet_log::offline_calls(&mut known, SpentDay { day, spent: counted.offline });
        fleet_log::versions(&mut known, &self.options.about);
        drop(known);
        Ok(fleet)
    }

    /// The next heartbeat is sent at once.
    pub fn beat_soon(&self) {
        self.beat_now.notify_one();
    }

    /// Sends heartbeats until this replica leaves. `beaten` gets the result of each.
    pub async fn heartbeats(&self, mut beaten: impl FnMut(Result<FleetState, SharedStoreError>)) {
        let beats = async {
            loop {
                beaten(self.beat().await);
                let pause = HEARTBEAT.mul_f64(0.9 + 0.2 * fastrand::f64());
                let _early = timeout(pause, self.beat_now.notified()).await;
            }
        };
        tokio::select! {
            biased;
            // A later one would make it a member again.
            () = self.left.cancelled() => {}
            () = beats => {}
        }
    }

    /// This replica ends: the fleet need not wait for its heartbeats to stop.
    pub async fn leave(&self) {
        self.left.cancel();
        // If it fails, the store forgets this replica in a minute.
        let _left = self.store.leave(self.id).await;
    }

    fn heartbeat(&self) -> Heartbeat {
        let known = self.known();
        let KnownDay { told, offline } = known.days.today();
        let about = self.options.about.clone();
        Heartbeat { member: self.id, told, offline, feed_lag: known.feed_lag(), about }
    }

    /// `heartbeat` is the day that the store was told of, if it was to count it.
    pub(super) fn learn(&self, fleet: &FleetState, asked: Instant, heartbeat: Option<u64>) {
        self.known().learn(fleet.clone(), asked, heartbeat);
        let epoch = Some(fleet.epoch);
        self.epoch.send_if_modified(|known| std::mem::replace(known, epoch) != epoch);
    }

    pub(super) fn known(&self) -> MutexGuard<'_, Knowledge> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
