//! A replica's own view of its link: what it was granted, and what it was told of the day.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use futures_util::{FutureExt as _, future::BoxFuture};
use link_report_proxy::{
    report::ReportKey,
    shared::{
        CallRequest, CallTurn, ChangeId, FeedPage, Fence, FleetState, FlightFailure, Guarded, Heartbeat,
        LockoutRequest, LookUp, LookedUp, MemberId, PurgeScope, Recovery, SharedReport, SharedStore,
        SharedStoreError, SharedToken, StoreIdentity, StoreReport, StoreSeen, ThrottleRequest, TokenSwap,
        TokenSwapped, WriteMark, WriteSafety,
    },
    simulator::Simulator,
};
use tokio::time::Instant;

use super::faulty_store::{FaultyStore, LinkFault};

type Reply<'a, T> = BoxFuture<'a, Result<T, SharedStoreError>>;

/// Orders what was told at one moment.
static TOLD: AtomicU64 = AtomicU64::new(0);

#[derive(Debug)]
pub(super) struct WatchedStore {
    link: Arc<FaultyStore>,
    vendor: Simulator,
    seen: Mutex<Watched>,
}

/// What a replica has got from the store.
#[derive(Debug, Default)]
struct Watched {
    granted: u64,
    told_at: Option<Instant>,
    states: Vec<ToldState>,
}

/// The fleet's state as a replica was told it.
#[derive(Debug, Clone)]
pub(super) struct ToldState {
    pub(super) fleet: FleetState,
    pub(super) at: Instant,
    /// Increases with each reply to whatever replica.
    pub(super) order: u64,
    /// The calls that had arrived at the vendor by then.
    pub(super) arrived: u64,
}

// === impl WatchedStore ===

impl WatchedStore {
    pub(super) fn over(link: Arc<FaultyStore>, vendor: Simulator) -> Self {
        Self { link, vendor, seen: Mutex::default() }
    }

    /// The calls that it was granted.
    pub(super) fn granted(&self) -> u64 {
        self.seen().granted
    }

    /// When it was last told the day's count.
    pub(super) fn told_at(&self) -> Option<Instant> {
        self.seen().told_at
    }

    /// What heartbeats and recoveries have told since the last time.
    pub(super) fn take_states(&self) -> Vec<ToldState> {
        std::mem::take(&mut self.seen().states)
    }

    /// Whether what is asked for now will be old news when it is read.
    fn is_read_late(&self) -> bool {
        matches!(self.link.fault(), LinkFault::HeldAfterReply | LinkFault::Frozen(_))
    }

    fn told(&self, fleet: &FleetState) {
        let order = TOLD.fetch_add(1, Ordering::Relaxed);
        let state =
            ToldState { fleet: fleet.clone(), at: Instant::now(), order, arrived: self.vendor.calls() };
        let mut seen = self.seen();
        seen.told_at = Some(state.at);
        seen.states.push(state);
    }

    fn seen(&self) -> MutexGuard<'_, Watched> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

macro_rules! watched {
    ($($name:ident($($argument:ident: $type:ty),*) -> $reply:ty;)*) => {
        impl SharedStore for WatchedStore {
            $(fn $name(&self, $($argument: $type),*) -> Reply<'_, $reply> {
                self.link.$name($($argument),*)
            })*

            fn heartbeat(&self, seen: StoreSeen, heartbeat: Heartbeat) -> Reply<'_, Guarded<FleetState>> {
                let late = self.is_read_late();
                let told = move |reply: &Result<Guarded<FleetState>, SharedStoreError>| {
                    if let (Ok(Ok(fleet)), false) = (reply, late) {
                        self.told(fleet);
                    }
                };
                self.link.heartbeat(seen, heartbeat).inspect(told).boxed()
            }

            fn recover(&self, recovery: Recovery) -> Reply<'_, FleetState> {
                let late = self.is_read_late();
                let told = move |reply: &Result<FleetState, SharedStoreError>| {
                    if let (Ok(fleet), false) = (reply, late) {
                        self.told(fleet);
                    }
                };
                self.link.recover(recovery).inspect(told).boxed()
            }

            fn take_call(&self, seen: StoreSeen, request: CallRequest) -> Reply<'_, Guarded<CallTurn>> {
                let late = self.is_read_late();
                let granted = move |reply: &Result<Guarded<CallTurn>, SharedStoreError>| {
                    if let Ok(Ok(CallTurn::Granted { .. })) = reply {
                        let mut seen = self.seen();
                        seen.granted += 1;
                        if !late {
                            seen.told_at = Some(Instant::now());
                        }
                    }
                };
                self.link.take_call(seen, request).inspect(granted).boxed()
            }
        }
    };
}

watched! {
    identity() -> StoreIdentity;
    leave(member: MemberId) -> ();
    lock_out(seen: StoreSeen, request: LockoutRequest) -> Guarded<()>;
    throttle(seen: StoreSeen, request: ThrottleRequest) -> Guarded<()>;
    look_up(seen: StoreSeen, look_up: LookUp) -> Guarded<LookedUp>;
    get(key: ReportKey, have: Fence) -> Option<SharedReport>;
    store(seen: StoreSeen, report: StoreReport) -> Guarded<Option<Fence>>;
    fail(seen: StoreSeen, failure: FlightFailure) -> Guarded<()>;
    purge(seen: StoreSeen, scope: PurgeScope) -> Guarded<Fence>;
    write_mark() -> WriteMark;
    write_safety(since: WriteMark) -> WriteSafety;
    read_token() -> Option<SharedToken>;
    swap_token(seen: StoreSeen, swap: TokenSwap) -> Guarded<TokenSwapped>;
    restore_token(seen: StoreSeen, token: SharedToken) -> Guarded<u64>;
    changes(after: ChangeId, wait: Duration) -> FeedPage;
}
