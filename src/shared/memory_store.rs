//! The shared store in this process: the model behind a lock. For several replicas in one process, in the demo and in
//! tests.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use futures_util::future::{BoxFuture, FutureExt as _, ready};
use tokio::{
    sync::Notify,
    time::{Instant, timeout_at},
};

use super::{
    CallRequest, CallTurn, ChangeId, FeedPage, Fence, FleetState, FlightFailure, Guarded, Heartbeat,
    LockoutRequest, LookUp, LookedUp, MemberId, PurgeScope, Recovery, SharedReport, SharedStore,
    SharedStoreError, SharedToken, StoreIdentity, StoreReport, StoreSeen, ThrottleRequest, TokenSwap,
    TokenSwapped, WriteMark, WriteSafety,
    model::{StoreModel, StoreValue},
};
use crate::report::ReportKey;

/// A store in memory. Its clock is tokio's.
#[derive(Debug)]
pub struct MemorySharedStore {
    model: Mutex<StoreModel>,
    clock: StoreClock,
    /// Increases with each restart and fail-over.
    history: AtomicU64,
    changed: Notify,
    safety: Mutex<WriteSafety>,
}

/// All that a [`MemorySharedStore`] holds: what a fail-over to this copy brings back.
#[derive(Debug, Clone)]
pub struct StoreCopy(StoreModel);

#[derive(Debug)]
struct StoreClock {
    started: Instant,
    /// Milliseconds since 1970 when it was `started`, changed by each step.
    epoch: AtomicU64,
}

// === impl StoreClock ===

impl StoreClock {
    fn now(&self) -> Duration {
        Duration::from_millis(self.epoch.load(Ordering::Relaxed)) + self.started.elapsed()
    }
}

// === impl MemorySharedStore ===

impl MemorySharedStore {
    /// An empty store, whose clock shows this time since 1970.
    pub fn new(now: Duration) -> Self {
        Self {
            model: Mutex::default(),
            clock: StoreClock { started: Instant::now(), epoch: AtomicU64::new(super::millis::millis(now)) },
            history: AtomicU64::new(0),
            changed: Notify::new(),
            safety: Mutex::new(WriteSafety::Kept),
        }
    }

    /// Puts its clock forward.
    pub fn put_clock_forward(&self, by: Duration) {
        self.clock.epoch.fetch_add(super::millis::millis(by), Ordering::Relaxed);
    }

    /// Puts its clock back.
    pub fn put_clock_back(&self, by: Duration) {
        self.clock.epoch.fetch_sub(super::millis::millis(by), Ordering::Relaxed);
    }

    /// Empties it, as FLUSHALL does: the server stays the same.
    pub fn flush(&self) {
        self.with(|model| *model = StoreModel::default());
    }

    /// Restarts it without its data.
    pub fn restart_empty(&self) {
        self.history.fetch_add(1, Ordering::Relaxed);
        self.flush();
    }

    /// A copy of all that it holds now.
    pub fn copy(&self) -> StoreCopy {
        StoreCopy(self.with(|model| model.clone()))
    }

    /// Goes on from a copy: what was written since is lost.
    pub fn fail_over(&self, to: StoreCopy) {
        self.history.fetch_add(1, Ordering::Relaxed);
        self.put_back(to);
    }

    /// Goes on from a copy, and its identity tells nothing of it.
    pub fn put_back(&self, StoreCopy(copy): StoreCopy) {
        self.with(|model| *model = copy);
    }

    /// From now on it says this of its writes.
    pub fn set_write_safety(&self, safety: WriteSafety) {
        *self.safety.lock().unwrap_or_else(PoisonError::into_inner) = safety;
    }

    /// Loses one value.
    pub fn evict(&self, value: StoreValue) {
        self.with(|model| model.evict(value));
    }

    #[cfg(test)]
    pub(super) fn feed_window(&self) -> super::feed_window::FeedWindow {
        self.with(|model| model.feed_window())
    }

    fn with<T>(&self, act: impl FnOnce(&mut StoreModel) -> T) -> T {
        let (acted, before, after) = {
            let mut model = self.model.lock().unwrap_or_else(PoisonError::into_inner);
            let before = model.newest_change();
            (act(&mut model), before, model.newest_change())
        };
        // Most operations change nothing that a reader of the feed waits for.
        if before != after {
            self.changed.notify_waiters();
        }
        acted
    }

    fn reply<T: Send + 'static>(
        &self,
        act: impl FnOnce(&mut StoreModel, Duration) -> T,
    ) -> BoxFuture<'_, Result<T, SharedStoreError>> {
        let now = self.clock.now();
        ready(Ok(self.with(|model| act(model, now)))).boxed()
    }

    async fn next_changes(&self, after: ChangeId, wait: Duration) -> FeedPage {
        let deadline = Instant::now() + wait;
        loop {
            let mut changed = Box::pin(self.changed.notified());
            // Before the read, so that a change in between wakes it.
            changed.as_mut().enable();
            let page = self.model.lock().unwrap_or_else(PoisonError::into_inner).changes(after);
            let waits = page.changes.is_empty() && page.restart.is_none();
            if !waits || timeout_at(deadline, changed).await.is_err() {
                return page;
            }
        }
    }
}

impl SharedStore for MemorySharedStore {
    fn identity(&self) -> BoxFuture<'_, Result<StoreIdentity, SharedStoreError>> {
        let history = self.history.load(Ordering::Relaxed);
        ready(Ok(StoreIdentity(history.to_string().into()))).boxed()
    }

    fn heartbeat(
        &self,
        seen: StoreSeen,
        heartbeat: Heartbeat,
    ) -> BoxFuture<'_, Result<Guarded<FleetState>, SharedStoreError>> {
        self.reply(|model, now| model.heartbeat(now, seen, &heartbeat))
    }

    fn recover(&self, recovery: Recovery) -> BoxFuture<'_, Result<FleetState, SharedStoreError>> {
        self.reply(|model, now| model.recover(now, &recovery))
    }

    fn leave(&self, member: MemberId) -> BoxFuture<'_, Result<(), SharedStoreError>> {
        self.reply(|model, _| model.leave(member))
    }

    fn take_call(
        &self,
        seen: StoreSeen,
        request: CallRequest,
    ) -> BoxFuture<'_, Result<Guarded<CallTurn>, SharedStoreError>> {
        self.reply(|model, now| model.take_call(now, seen, &request))
    }

    fn lock_out(
        &self,
        seen: StoreSeen,
        request: LockoutRequest,
    ) -> BoxFuture<'_, Result<Guarded<()>, SharedStoreError>> {
        self.reply(|model, now| model.lock_out(now, seen, &request))
    }

    fn throttle(
        &self,
        seen: StoreSeen,
        request: ThrottleRequest,
    ) -> BoxFuture<'_, Result<Guarded<()>, SharedStoreError>> {
        self.reply(|model, now| model.throttle(now, seen, &request))
    }

    fn look_up(
        &self,
        seen: StoreSeen,
        look_up: LookUp,
    ) -> BoxFuture<'_, Result<Guarded<LookedUp>, SharedStoreError>> {
        self.reply(|model, now| model.look_up(now, seen, &look_up))
    }

    fn get(
        &self,
        key: ReportKey,
        have: Fence,
    ) -> BoxFuture<'_, Result<Option<SharedReport>, SharedStoreError>> {
        self.reply(|model, now| model.get(now, key, have))
    }

    fn store(
        &self,
        seen: StoreSeen,
        report: StoreReport,
    ) -> BoxFuture<'_, Result<Guarded<Option<Fence>>, SharedStoreError>> {
        self.reply(|model, now| model.store(now, seen, &report))
    }

    fn fail(
        &self,
        seen: StoreSeen,
        failure: FlightFailure,
    ) -> BoxFuture<'_, Result<Guarded<()>, SharedStoreError>> {
        self.reply(|model, now| model.fail(now, seen, &failure))
    }

    fn purge(
        &self,
        seen: StoreSeen,
        scope: PurgeScope,
    ) -> BoxFuture<'_, Result<Guarded<Fence>, SharedStoreError>> {
        self.reply(|model, now| model.purge(now, seen, scope))
    }

    fn read_token(&self) -> BoxFuture<'_, Result<Option<SharedToken>, SharedStoreError>> {
        self.reply(|model, _| model.read_token())
    }

    fn swap_token(
        &self,
        seen: StoreSeen,
        swap: TokenSwap,
    ) -> BoxFuture<'_, Result<Guarded<TokenSwapped>, SharedStoreError>> {
        self.reply(|model, now| model.swap_token(now, seen, &swap))
    }

    fn restore_token(
        &self,
        seen: StoreSeen,
        token: SharedToken,
    ) -> BoxFuture<'_, Result<Guarded<u64>, SharedStoreError>> {
        self.reply(|model, now| model.restore_token(now, seen, &token))
    }

    fn write_mark(&self) -> BoxFuture<'_, Result<WriteMark, SharedStoreError>> {
        ready(Ok(WriteMark::default())).boxed()
    }

    fn write_safety(&self, _: WriteMark) -> BoxFuture<'_, Result<WriteSafety, SharedStoreError>> {
        let safety = *self.safety.lock().unwrap_or_else(PoisonError::into_inner);
        ready(Ok(safety)).boxed()
    }

    fn changes(&self, after: ChangeId, wait: Duration) -> BoxFuture<'_, Result<FeedPage, SharedStoreError>> {
        self.next_changes(after, wait).map(Ok).boxed()
    }
}
