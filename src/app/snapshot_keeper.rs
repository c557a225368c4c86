//! The snapshot of the cache in the background: read at start, written each few minutes and at the end, and removed with
//! each purge.

use std::{
    num::NonZeroU64,
    ops::ControlFlow,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

use tokio::{
    sync::watch,
    time::{Instant, MissedTickBehavior, interval_at, sleep_until},
};

use super::{
    clock_reading::ClockReading,
    feed_position::FeedPosition,
    snapshot_head::{Account, InFleet, SnapshotHead, SnapshotOrigin, Starting, UnusableSnapshot},
};
use crate::{
    admin::{History, MinuteSample},
    cache::{ReportCache, RestoredRecord, SnapshotAge},
    outage::Outage,
    quota::WallClock,
    settings::Settings,
    shared::ChangeId,
    state::{Durability, SnapshotRecords, SnapshotStore},
    telemetry::{Metrics, SnapshotMetrics},
};

/// After a purge there is no snapshot; the next is written so much later, since purges seldom come alone.
const AFTER_PURGE: Duration = Duration::from_secs(10);

/// Joins the cache and the store of its snapshot.
#[derive(Debug)]
pub struct SnapshotKeeper {
    memory: Arc<ReportCache>,
    store: Arc<dyn SnapshotStore>,
    clock: WallClock,
    account: Account,
    history: Arc<History>,
    /// `None`: replicas share nothing.
    feed: Option<FeedPosition>,
    interval: Duration,
    max_bytes: u64,
    metrics: SnapshotMetrics,
    /// What the stored snapshot has, by [`ReportCache::changes_so_far`]; `None`: there is none.
    stored: Mutex<Option<u64>>,
    storing: Mutex<Outage>,
}

/// What a snapshot is made of.
pub(super) struct SnapshotOf<'a> {
    pub(super) memory: &'a Arc<ReportCache>,
    pub(super) store: Arc<dyn SnapshotStore>,
    pub(super) clock: &'a WallClock,
    pub(super) history: &'a Arc<History>,
    pub(super) feed: Option<FeedPosition>,
}

/// What was read of a snapshot.
#[derive(Debug, Default)]
struct Restored {
    entries: u64,
    not_served: u64,
    invalid: u64,
    made_ago: Option<Duration>,
    change: Option<ChangeId>,
    history: Vec<MinuteSample>,
    unusable: Option<UnusableSnapshot>,
}

// === impl SnapshotKeeper ===

impl SnapshotKeeper {
    /// Continues from the stored snapshot, if there is one; to be called before the first request. `None`: no snapshots are
    /// kept, as the store ends with the process, or by `state.snapshot_interval`.
    pub(super) async fn resume(
        SnapshotOf { memory, store, clock, history, feed }: SnapshotOf<'_>,
        settings: &Settings,
        metrics: &Metrics,
    ) -> Option<Arc<Self>> {
        match store.durability() {
            Durability::Volatile => return None,
            Durability::Durable => {}
        }
        let interval = settings.state.snapshot_interval;
        if interval.is_zero() {
            // Later it would be older than purges of which it knows nothing.
            if let Err(error) = store.remove().await {
                tracing::warn!(%error, "the snapshot of the cache cannot be removed from state.dir");
            }
            return None;
        }
        let keeper = Arc::new(Self {
            memory: Arc::clone(memory),
            store,
            clock: clock.clone(),
            account: Account::of(settings),
            history: Arc::clone(history),
            feed,
            interval,
            max_bytes: settings.state.snapshot_max_bytes.as_u64(),
            metrics: metrics.snapshot(),
            stored: Mutex::default(),
            storing: Mutex::default(),
        });
        keeper.restore().await;
        Some(keeper)
    }

    async fn restore(&self) {
        let read = Arc::<Mutex<Restored>>::default();
        let (memory, into) = (Arc::clone(&self.memory), Arc::clone(&read));
        // First this clock, then the other: what passes in between makes reports older, not younger.
        let now = Instant::now();
        let fleet = if self.feed.is_some() { InFleet::Yes } else { InFleet::No };
        let starting = Starting { account: self.account.clone(), now: ClockReading::now(&self.clock), fleet };
        let take =
            move |fields: &[u8], body: &[u8]| lock(&into).take(&memory, now, &starting, (fields, body));
        let ended = self.store.read(Box::new(take)).await;
        let Restored { entries, not_served, invalid, made_ago, change, history, unusable } =
            std::mem::take(&mut *lock(&read));
        if let Err(error) = ended {
            tracing::warn!(%error, entries, "the snapshot of the cache cannot be read to its end");
        }
        if let Some(reason) = unusable {
            tracing::warn!(%reason, "the snapshot of the cache in state.dir is not used: starting with an empty cache");
        }
        self.history.continue_from(history, self.clock.now());
        if let Some(made_ago) = made_ago {
            let made_ago_s = made_ago.as_secs();
            tracing::info!(
                entries,
                not_served,
                invalid,
                made_ago_s,
                "the cache continues from its snapshot in state.dir"
            );
        }
        if let (Some(feed), Some(change)) = (&self.feed, change) {
            feed.continue_from(change);
        }
        self.metrics.restored(entries);
    }

    /// Writes the snapshot at each interval, and removes it after each purge. Never ends.
    pub(super) async fn run(self: Arc<Self>) {
        let mut purges = self.memory.purges();
        let mut ticks = interval_at(Instant::now() + self.interval, self.interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut after_purge = None;
        loop {
            tokio::select! {
                biased;
                () = purged(&mut purges) => {
                    self.remove().await;
                    // Not later for each further purge: else many of them would keep all snapshots away.
                    after_purge.get_or_insert_with(|| Instant::now() + AFTER_PURGE);
                }
                () = at(after_purge) => {
                    after_purge = None;
                    self.save().await;
                }
                _ = ticks.tick() => {
                    if *lock(&self.stored) != Some(self.memory.changes_so_far()) {
                        self.save().await;
                    }
                }
            }
        }
    }

    /// Writes the snapshot.
    pub async fn save(&self) {
        let changes = self.memory.changes_so_far();
        // Before the calendar clock is read, all that it has was there: what passes in between makes reports older.
        let change = self.feed.as_ref().and_then(FeedPosition::get);
        let head =
            SnapshotHead::record(self.account.clone(), ClockReading::now(&self.clock), change, &self.history);
        let records: SnapshotRecords =
            Box::new(head.into_iter().chain(self.memory.snapshot(Instant::now(), self.max_bytes)));
        let written = self.store.write(records).await;
        let mut storing = lock(&self.storing);
        match written {
            Ok(bytes) => {
                storing.ends();
                *lock(&self.stored) = Some(changes);
                self.metrics.written(bytes, unix_seconds(&self.clock));
            }
            Err(error) if storing.begins() => {
                tracing::warn!(%error, "the snapshot of the cache cannot be stored in state.dir: a restart would begin with an older one, or with none");
            }
            Err(_logged_before) => {}
        }
    }

    async fn remove(&self) {
        *lock(&self.stored) = None;
        if let Err(error) = self.store.remove().await {
            tracing::warn!(%error, "the snapshot of the cache cannot be removed from state.dir: a restart would bring back what was purged");
        }
    }

    /// The store, for those who purge and have to know that the snapshot is gone.
    pub(super) fn store(&self) -> Arc<dyn SnapshotStore> {
        Arc::clone(&self.store)
    }
}

// === impl Restored ===

impl Restored {
    fn take(
        &mut self,
        memory: &ReportCache,
        now: Instant,
        starting: &Starting,
        (fields, body): (&[u8], &[u8]),
    ) -> ControlFlow<()> {
        let Some(elapsed) = self.made_ago else {
            return match SnapshotHead::read(fields, starting) {
                Ok(SnapshotOrigin { elapsed, change, history }) => {
                    (self.made_ago, self.change, self.history) = (Some(elapsed), change, history);
                    ControlFlow::Continue(())
                }
                Err(reason) => {
                    self.unusable = Some(reason);
                    ControlFlow::Break(())
                }
            };
        };
        match memory.restore(SnapshotAge { now, elapsed }, fields, body) {
            RestoredRecord::Entry => self.entries += 1,
            RestoredRecord::Known => {}
            RestoredRecord::NotServed => self.not_served += 1,
            RestoredRecord::Invalid => self.invalid += 1,
        }
        ControlFlow::Continue(())
    }
}

async fn purged(purges: &mut watch::Receiver<u64>) {
    if purges.changed().await.is_err() {
        std::future::pending::<()>().await;
    }
}

async fn at(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time).await,
        None => std::future::pending().await,
    }
}

fn unix_seconds(clock: &WallClock) -> Option<NonZeroU64> {
    NonZeroU64::new(clock.now().duration_since(SystemTime::UNIX_EPOCH).ok()?.as_secs())
}

fn lock<T>(held: &Mutex<T>) -> MutexGuard<'_, T> {
    held.lock().unwrap_or_else(PoisonError::into_inner)
}
