//! Operations and their results as values: for random tests, and for a server that decodes them.

use super::super::{wire::ScriptCall, wire::ScriptRequests, *};
use crate::report::ReportKey;

/// An operation, but for those of the change feed and the identity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::shared) enum StoreOperation {
    Heartbeat(StoreSeen, Heartbeat),
    Recover(Recovery),
    Leave(MemberId),
    TakeCall(StoreSeen, CallRequest),
    LockOut(StoreSeen, LockoutRequest),
    Throttle(StoreSeen, ThrottleRequest),
    LookUp(StoreSeen, LookUp),
    Get(ReportKey, Fence),
    Store(StoreSeen, StoreReport),
    Fail(StoreSeen, FlightFailure),
    Purge(StoreSeen, PurgeScope),
    ReadToken,
    SwapToken(StoreSeen, TokenSwap),
    RestoreToken(StoreSeen, SharedToken),
}

/// What an operation returned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::shared) enum OperationResult {
    Heartbeat(Guarded<FleetState>),
    Recovered(FleetState),
    Left,
    Call(Guarded<CallTurn>),
    Done(Guarded<()>),
    LookedUp(Guarded<LookedUp>),
    Report(Option<SharedReport>),
    Stored(Guarded<Option<Fence>>),
    Purged(Guarded<Fence>),
    Token(Option<SharedToken>),
    Swapped(Guarded<TokenSwapped>),
    Restored(Guarded<u64>),
}

pub(in crate::shared) const LIMITS: wire::ReplyLimits = wire::ReplyLimits { max_body: 4096 };

// === impl StoreOperation ===

impl StoreOperation {
    pub(in crate::shared) async fn perform(
        self,
        store: &dyn SharedStore,
    ) -> Result<OperationResult, SharedStoreError> {
        Ok(match self {
            Self::Heartbeat(seen, heartbeat) => {
                OperationResult::Heartbeat(store.heartbeat(seen, heartbeat).await?)
            }
            Self::Recover(recovery) => OperationResult::Recovered(store.recover(recovery).await?),
            Self::Leave(member) => {
                store.leave(member).await?;
                OperationResult::Left
            }
            Self::TakeCall(seen, request) => OperationResult::Call(store.take_call(seen, request).await?),
            Self::LockOut(seen, request) => OperationResult::Done(store.lock_out(seen, request).await?),
            Self::Throttle(seen, request) => OperationResult::Done(store.throttle(seen, request).await?),
            Self::LookUp(seen, look_up) => OperationResult::LookedUp(store.look_up(seen, look_up).await?),
            Self::Get(key, have) => OperationResult::Report(store.get(key, have).await?),
            Self::Store(seen, report) => OperationResult::Stored(store.store(seen, report).await?),
            Self::Fail(seen, failure) => OperationResult::Done(store.fail(seen, failure).await?),
            Self::Purge(seen, scope) => OperationResult::Purged(store.purge(seen, scope).await?),
            Self::ReadToken => OperationResult::Token(store.read_token().await?),
            Self::SwapToken(seen, swap) => OperationResult::Swapped(store.swap_token(seen, swap).await?),
            Self::RestoreToken(seen, token) => {
                OperationResult::Restored(store.restore_token(seen, token).await?)
            }
        })
    }

    pub(in crate::shared) fn call(&self, requests: &ScriptRequests) -> ScriptCall {
        match self {
            Self::Heartbeat(seen, heartbeat) => requests.heartbeat(*seen, heartbeat),
            Self::Recover(recovery) => requests.recover(recovery),
            Self::Leave(member) => requests.leave(*member),
            Self::TakeCall(seen, request) => requests.take_call(*seen, request),
            Self::LockOut(seen, request) => requests.lock_out(*seen, request),
            Self::Throttle(seen, request) => requests.throttle(*seen, request),
            Self::LookUp(seen, look_up) => requests.look_up(*seen, look_up),
            Self::Get(key, have) => requests.get(key, *have),
            Self::Store(seen, report) => requests.store(*seen, report),
            Self::Fail(seen, failure) => requests.fail(*seen, failure),
            Self::Purge(seen, scope) => requests.purge(*seen, *scope),
            Self::ReadToken => requests.read_token(),
            Self::SwapToken(seen, swap) => requests.swap_token(*seen, swap),
            Self::RestoreToken(seen, token) => requests.restore_token(*seen, token),
        }
    }

    /// Parses this operation's reply.
    pub(in crate::shared) fn parse(&self, reply: redis::Value) -> Result<OperationResult, SharedStoreError> {
        Ok(match self {
            Self::Heartbeat(..) => OperationResult::Heartbeat(wire::parse_guarded_fleet_state(reply)?),
            Self::Recover(_) => OperationResult::Recovered(wire::parse_fleet_state(reply)?),
            Self::Leave(_) => {
                wire::parse_done(reply)?;
                OperationResult::Left
            }
            Self::TakeCall(..) => OperationResult::Call(wire::parse_call_turn(reply)?),
            Self::LockOut(..) | Self::Throttle(..) | Self::Fail(..) => {
                OperationResult::Done(wire::parse_guarded_done(reply)?)
            }
            Self::LookUp(..) => OperationResult::LookedUp(wire::parse_looked_up(reply, LIMITS)?),
            Self::Get(..) => OperationResult::Report(wire::parse_report(reply, LIMITS)?),
            Self::Store(..) => OperationResult::Stored(wire::parse_stored(reply)?),
            Self::Purge(..) => OperationResult::Purged(wire::parse_fence(reply)?),
            Self::ReadToken => OperationResult::Token(wire::parse_token(reply)?),
            Self::SwapToken(..) => OperationResult::Swapped(wire::parse_swapped(reply)?),
            Self::RestoreToken(..) => OperationResult::Restored(wire::parse_restored(reply)?),
        })
    }
}
