//! Port `SharedStore`: the operations on the shared store.

use std::{fmt::Debug, time::Duration};

use futures_util::future::BoxFuture;

use super::{
    CallRequest, CallTurn, ChangeId, FeedPage, Fence, FleetState, FlightFailure, Guarded, Heartbeat,
    LockoutRequest, LookUp, LookedUp, MemberId, Recovery, SharedReport, SharedStoreError, SharedToken,
    StoreIdentity, StoreReport, StoreSeen, ThrottleRequest, TokenSwap, TokenSwapped, WriteMark, WriteSafety,
};
use crate::report::ReportKey;

/// The result of an operation.
pub(super) type StoreReply<'a, T> = BoxFuture<'a, Result<T, SharedStoreError>>;

/// What a purge removes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PurgeScope {
    /// One key.
    Key(ReportKey),
    /// All reports.
    All,
}

/// The store that the replicas of one API key share.
///
/// Dropping a future does not undo its operation: it may still take effect.
///
/// # Errors
/// Every operation: [`SharedStoreError`].
pub trait SharedStore: Debug + Send + Sync + 'static {
    /// The server's identity. A change means that acknowledged writes may be lost: recover with `force`.
    fn identity(&self) -> StoreReply<'_, StoreIdentity>;

    /// Says that this replica lives, and returns the fleet's state.
    fn heartbeat(&self, seen: StoreSeen, heartbeat: Heartbeat) -> StoreReply<'_, Guarded<FleetState>>;

    /// Begins a new epoch after a [`StoreChanged`](super::StoreChanged). Not guarded; only the first replica's call
    /// begins one. Idempotent.
    fn recover(&self, recovery: Recovery) -> StoreReply<'_, FleetState>;

    /// This replica ends.
    fn leave(&self, member: MemberId) -> StoreReply<'_, ()>;

    /// Counts one call and gives it its place in the second. Not idempotent.
    fn take_call(&self, seen: StoreSeen, request: CallRequest) -> StoreReply<'_, Guarded<CallTurn>>;

    /// Begins or ends a lockout of all replicas.
    fn lock_out(&self, seen: StoreSeen, request: LockoutRequest) -> StoreReply<'_, Guarded<()>>;

    /// Has all replicas wait after a `throttled`.
    fn throttle(&self, seen: StoreSeen, request: ThrottleRequest) -> StoreReply<'_, Guarded<()>>;

    /// Looks a key up, or takes the lease of its flight.
    fn look_up(&self, seen: StoreSeen, look_up: LookUp) -> StoreReply<'_, Guarded<LookedUp>>;

    /// The key's report, if it is newer than `have` and not purged; takes no lease. Not guarded.
    fn get(&self, key: ReportKey, have: Fence) -> StoreReply<'_, Option<SharedReport>>;

    /// Stores a flight's report. `None`: not stored, since the store has a newer one, or the key was purged since.
    fn store(&self, seen: StoreSeen, report: StoreReport) -> StoreReply<'_, Guarded<Option<Fence>>>;

    /// Tells of a flight's failure.
    fn fail(&self, seen: StoreSeen, failure: FlightFailure) -> StoreReply<'_, Guarded<()>>;

    /// Removes reports; a flight that began before does not bring them back. Returns the purge's fence.
    fn purge(&self, seen: StoreSeen, scope: PurgeScope) -> StoreReply<'_, Guarded<Fence>>;

    /// The token record; `None`: there is none. Not guarded.
    fn read_token(&self) -> StoreReply<'_, Option<SharedToken>>;

    /// Replaces the token record, if its version is as expected.
    fn swap_token(&self, seen: StoreSeen, swap: TokenSwap) -> StoreReply<'_, Guarded<TokenSwapped>>;

    /// Writes the token record back into a store that has lost it: only if `token.version` is higher than the store's.
    /// Returns the store's version afterwards.
    fn restore_token(&self, seen: StoreSeen, token: SharedToken) -> StoreReply<'_, Guarded<u64>>;

    /// To be asked for before a write whose [`write_safety`](Self::write_safety) matters.
    fn write_mark(&self) -> StoreReply<'_, WriteMark>;

    /// Whether what this replica has written since this mark outlives the server.
    fn write_safety(&self, since: WriteMark) -> StoreReply<'_, WriteSafety>;

    /// The changes after this position; waits up to `wait` for the first. Not guarded.
    fn changes(&self, after: ChangeId, wait: Duration) -> StoreReply<'_, FeedPage>;
}
