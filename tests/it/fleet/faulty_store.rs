//! A replica's link to the shared store, which can be cut, slow, or lose what it carries.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use futures_util::future::BoxFuture;
use link_report_proxy::{
    report::ReportKey,
    shared::{
        CallRequest, CallTurn, ChangeId, FeedPage, Fence, FleetState, FlightFailure, Guarded, Heartbeat,
        LockoutRequest, LookUp, LookedUp, MemberId, MemorySharedStore, PurgeScope, Recovery, SharedReport,
        SharedStore, SharedStoreError, SharedToken, StoreIdentity, StoreReport, StoreSeen, ThrottleRequest,
        TokenSwap, TokenSwapped, WriteMark, WriteSafety,
    },
};
use tokio::{sync::watch, time::sleep};

type Reply<'a, T> = BoxFuture<'a, Result<T, SharedStoreError>>;

/// What happens to an operation on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LinkFault {
    /// Nothing.
    None,
    /// There is no connection: it fails at once, and is not done.
    Cut,
    /// It is not done, and fails when the client gives up.
    RequestLost,
    /// It is done, and fails when the client gives up.
    ReplyLost,
    /// The same, for the recovery of a store that has lost writes alone.
    RecoveryReplyLost,
    /// The store refuses what is looked up of a key: another program has put something of another type there.
    NoReport,
    /// It is done after this time.
    Slow(Duration),
    /// It is done once the fault is over: the replica was stopped before it sent it.
    HeldBeforeSend,
    /// It is done, and its reply comes once the fault is over: the replica was stopped before it read it.
    HeldAfterReply,
    /// It is done, and the client, which is frozen, hears of it after this time.
    Frozen(Duration),
}

/// When the client gives up (`shared.timeout`).
const TIMEOUT: Duration = Duration::from_millis(250);

#[derive(Debug)]
pub(super) struct FaultyStore {
    store: Arc<MemorySharedStore>,
    fault: watch::Sender<LinkFault>,
    operations: AtomicU64,
}

// === impl FaultyStore ===

impl FaultyStore {
    pub(super) fn to(store: &Arc<MemorySharedStore>) -> Self {
        Self {
            store: Arc::clone(store),
            fault: watch::Sender::new(LinkFault::None),
            operations: AtomicU64::new(0),
        }
    }

    pub(super) fn set(&self, fault: LinkFault) {
        self.fault.send_replace(fault);
    }

    pub(super) fn fault(&self) -> LinkFault {
        *self.fault.borrow()
    }

    /// The operations that were begun.
    pub(super) fn operations(&self) -> u64 {
        self.operations.load(Ordering::Relaxed)
    }

    fn carry<'a, T: Send + 'a>(
        &'a self,
        name: &'static str,
        operation: impl FnOnce() -> Reply<'a, T> + Send + 'a,
    ) -> Reply<'a, T> {
        self.operations.fetch_add(1, Ordering::Relaxed);
        let mut fault = self.fault.subscribe();
        Box::pin(async move {
            let now = match *fault.borrow_and_update() {
                LinkFault::RecoveryReplyLost if name == "recover" => LinkFault::ReplyLost,
                LinkFault::NoReport if name == "look_up" => {
                    return Err(SharedStoreError::Refused("WRONGTYPE".into()));
                }
                LinkFault::RecoveryReplyLost | LinkFault::NoReport => LinkFault::None,
                now => now,
            };
            match now {
                LinkFault::None | LinkFault::RecoveryReplyLost | LinkFault::NoReport => tokio::select! {
                    biased;
                    done = operation() => done,
                    _cut = fault.wait_for(|fault| *fault == LinkFault::Cut) => Err(SharedStoreError::Lost),
                },
                LinkFault::Cut => Err(SharedStoreError::Away),
                LinkFault::RequestLost => {
                    sleep(TIMEOUT).await;
                    Err(SharedStoreError::TimedOut)
                }
                LinkFault::ReplyLost => {
                    let _lost = operation().await;
                    sleep(TIMEOUT).await;
                    Err(SharedStoreError::TimedOut)
                }
                LinkFault::Frozen(by) => {
                    let reply = operation().await;
                    sleep(by).await;
                    reply
                }
                LinkFault::Slow(by) if by >= TIMEOUT => {
                    sleep(TIMEOUT).await;
                    Err(SharedStoreError::TimedOut)
                }
                LinkFault::Slow(by) => {
                    sleep(by).await;
                    operation().await
                }
                LinkFault::HeldBeforeSend => {
                    let _over = fault.changed().await;
                    operation().await
                }
                LinkFault::HeldAfterReply => {
                    let done = operation().await;
                    let _over = fault.changed().await;
                    done
                }
            }
        })
    }
}

macro_rules! carried {
    ($($name:ident($($argument:ident: $type:ty),*) -> $reply:ty;)*) => {
        impl SharedStore for FaultyStore {
            $(fn $name(&self, $($argument: $type),*) -> Reply<'_, $reply> {
                self.carry(stringify!($name), move || self.store.$name($($argument),*))
            })*
        }
    };
}

carried! {
    identity() -> StoreIdentity;
    heartbeat(seen: StoreSeen, heartbeat: Heartbeat) -> Guarded<FleetState>;
    recover(recovery: Recovery) -> FleetState;
    leave(member: MemberId) -> ();
    take_call(seen: StoreSeen, request: CallRequest) -> Guarded<CallTurn>;
    lock_out(seen: StoreSeen, request: LockoutRequest) -> Guarded<()>;
    throttle(seen: StoreSeen, request: ThrottleRequest) -> Guarded<()>;
    look_up(seen: StoreSeen, look_up: LookUp) -> Guarded<LookedUp>;
    get(key: ReportKey, have: Fence) -> Option<SharedReport>;
    store(seen: StoreSeen, report: StoreReport) -> Guarded<Option<Fence>>;
    fail(seen: StoreSeen, failure: FlightFailure) -> Guarded<()>;
    purge(seen: StoreSeen, scope: PurgeScope) -> Guarded<Fence>;
    read_token() -> Option<SharedToken>;
    swap_token(seen: StoreSeen, swap: TokenSwap) -> Guarded<TokenSwapped>;
    restore_token(seen: StoreSeen, token: SharedToken) -> Guarded<u64>;
    write_mark() -> WriteMark;
    write_safety(since: WriteMark) -> WriteSafety;
    changes(after: ChangeId, wait: Duration) -> FeedPage;
}
