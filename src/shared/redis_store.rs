//! The shared store on Redis or Valkey: each operation is one script.

use std::{
    fmt::{self, Debug, Formatter},
    time::Duration,
};

use futures_util::future::{BoxFuture, FutureExt as _, ready};
use redis::{Cmd, Value, cmd};
use tokio::time::Instant;

use super::{
    CallRequest, CallTurn, ChangeId, FeedPage, Fence, FleetState, FlightFailure, Guarded, Heartbeat,
    LockoutRequest, LookUp, LookedUp, MemberId, PurgeScope, Recovery, SharedReport, SharedStore,
    SharedStoreError, SharedToken, StoreIdentity, StoreReport, StoreSeen, ThrottleRequest, TokenSwap,
    TokenSwapped, WriteMark, WriteSafety,
    change::PAGE_LENGTH,
    millis::millis_up,
    store_script::StoreScript,
    wire::{self, FeedRead, ReplyLimits, ScriptCall, ScriptRequests},
};
use crate::{report::ReportKey, settings::StoreNamespace};

/// What the store needs of a connection. It adds no time limit: each of these has its own.
pub(super) trait Scripts: Debug + Send + Sync + 'static {
    /// Runs a script, which may be loaded first.
    fn run(
        &self,
        script: &'static StoreScript,
        keys: Vec<Vec<u8>>,
        args: Vec<Vec<u8>>,
    ) -> BoxFuture<'_, Result<Value, SharedStoreError>>;

    /// Who the server is now; a server that is no primary is an error.
    fn identity(&self) -> BoxFuture<'_, Result<StoreIdentity, SharedStoreError>>;

    /// Names the connection that is used next.
    fn write_mark(&self) -> WriteMark;

    /// Whether what was written since then outlives the server.
    fn write_safety(&self, since: WriteMark) -> BoxFuture<'_, Result<WriteSafety, SharedStoreError>>;

    /// Runs a command that blocks for up to `wait`, on a connection of its own. Dropped before it ends, the command must
    /// not delay the next one by more than that.
    fn query_blocking(&self, command: Cmd, wait: Duration) -> BoxFuture<'_, Result<Value, SharedStoreError>>;
}

/// The store on a server that runs scripts.
pub struct RedisStore<L> {
    scripts: L,
    requests: ScriptRequests,
    limits: ReplyLimits,
}

// === impl RedisStore ===

impl<L> RedisStore<L> {
    /// `max_body`: the largest body that is read.
    pub fn new(scripts: L, namespace: &StoreNamespace, max_body: usize) -> Self {
        Self { scripts, requests: ScriptRequests::new(namespace), limits: ReplyLimits { max_body } }
    }
}

impl<L: Debug> Debug for RedisStore<L> {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("RedisStore").field(&self.scripts).finish()
    }
}

impl<L: Scripts> SharedStore for RedisStore<L> {
    fn identity(&self) -> BoxFuture<'_, Result<StoreIdentity, SharedStoreError>> {
        self.scripts.identity()
    }

    fn heartbeat(
        &self,
        seen: StoreSeen,
        heartbeat: Heartbeat,
    ) -> BoxFuture<'_, Result<Guarded<FleetState>, SharedStoreError>> {
        call(self, self.requests.heartbeat(seen, &heartbeat), wire::parse_guarded_fleet_state)
    }

    fn recover(&self, recovery: Recovery) -> BoxFuture<'_, Result<FleetState, SharedStoreError>> {
        call(self, self.requests.recover(&recovery), wire::parse_fleet_state)
    }

    fn leave(&self, member: MemberId) -> BoxFuture<'_, Result<(), SharedStoreError>> {
        call(self, self.requests.leave(member), wire::parse_done)
    }

    fn take_call(
        &self,
        seen: StoreSeen,
        request: CallRequest,
    ) -> BoxFuture<'_, Result<Guarded<CallTurn>, SharedStoreError>> {
        call(self, self.requests.take_call(seen, &request), wire::parse_call_turn)
    }

    fn lock_out(
        &self,
        seen: StoreSeen,
        request: LockoutRequest,
    ) -> BoxFuture<'_, Result<Guarded<()>, SharedStoreError>> {
        call(self, self.requests.lock_out(seen, &request), wire::parse_guarded_done)
    }

    fn throttle(
        &self,
        seen: StoreSeen,
        request: ThrottleRequest,
    ) -> BoxFuture<'_, Result<Guarded<()>, SharedStoreError>> {
        call(self, self.requests.throttle(seen, &request), wire::parse_guarded_done)
    }

    fn look_up(
        &self,
        seen: StoreSeen,
        look_up: LookUp,
    ) -> BoxFuture<'_, Result<Guarded<LookedUp>, SharedStoreError>> {
        let limits = self.limits;
        call(self, self.requests.look_up(seen, &look_up), move |reply| wire::parse_looked_up(reply, limits))
    }

    fn get(
        &self,
        key: ReportKey,
        have: Fence,
    ) -> BoxFuture<'_, Result<Option<SharedReport>, SharedStoreError>> {
        let limits = self.limits;
        call(self, self.requests.get(&key, have), move |reply| wire::parse_report(reply, limits))
    }

    fn store(
        &self,
        seen: StoreSeen,
        report: StoreReport,
    ) -> BoxFuture<'_, Result<Guarded<Option<Fence>>, SharedStoreError>> {
        call(self, self.requests.store(seen, &report), wire::parse_stored)
    }

    fn fail(
        &self,
        seen: StoreSeen,
        failure: FlightFailure,
    ) -> BoxFuture<'_, Result<Guarded<()>, SharedStoreError>> {
        call(self, self.requests.fail(seen, &failure), wire::parse_guarded_done)
    }

    fn purge(
        &self,
        seen: StoreSeen,
        scope: PurgeScope,
    ) -> BoxFuture<'_, Result<Guarded<Fence>, SharedStoreError>> {
        call(self, self.requests.purge(seen, scope), wire::parse_fence)
    }

    fn read_token(&self) -> BoxFuture<'_, Result<Option<SharedToken>, SharedStoreError>> {
        call(self, self.requests.read_token(), wire::parse_token)
    }

    fn swap_token(
        &self,
        seen: StoreSeen,
        swap: TokenSwap,
    ) -> BoxFuture<'_, Result<Guarded<TokenSwapped>, SharedStoreError>> {
        call(self, self.requests.swap_token(seen, &swap), wire::parse_swapped)
    }

    fn restore_token(
        &self,
        seen: StoreSeen,
        token: SharedToken,
    ) -> BoxFuture<'_, Result<Guarded<u64>, SharedStoreError>> {
        call(self, self.requests.restore_token(seen, &token), wire::parse_restored)
    }

    fn write_mark(&self) -> BoxFuture<'_, Result<WriteMark, SharedStoreError>> {
        ready(Ok(self.scripts.write_mark())).boxed()
    }

    fn write_safety(&self, since: WriteMark) -> BoxFuture<'_, Result<WriteSafety, SharedStoreError>> {
        self.scripts.write_safety(since)
    }

    fn changes(&self, after: ChangeId, wait: Duration) -> BoxFuture<'_, Result<FeedPage, SharedStoreError>> {
        next_changes(self, after, wait).boxed()
    }
}

/// Calls a script, and reads its reply.
fn call<'a, L: Scripts, T: 'a>(
    store: &'a RedisStore<L>,
    call: ScriptCall,
    parse: impl FnOnce(Value) -> Result<T, SharedStoreError> + Send + 'a,
) -> BoxFuture<'a, Result<T, SharedStoreError>> {
    let ScriptCall { script, keys, args } = call;
    store.scripts.run(script, keys, args).map(|reply| reply.and_then(parse)).boxed()
}

fn read_feed<L: Scripts>(
    store: &RedisStore<L>,
    after: ChangeId,
) -> BoxFuture<'_, Result<FeedRead, SharedStoreError>> {
    call(store, store.requests.changes(after, PAGE_LENGTH), move |reply| wire::parse_feed(reply, after))
}

/// Says whether there is a change after this position.
async fn wait_for_change<L: Scripts>(
    store: &RedisStore<L>,
    after: ChangeId,
    deadline: Instant,
) -> Result<bool, SharedStoreError> {
    // XREAD takes 0 as for ever.
    let wait = deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
    let mut command = cmd("XREAD");
    command.arg("BLOCK").arg(millis_up(wait)).arg("COUNT").arg(1);
    command.arg("STREAMS").arg(store.requests.feed_key()).arg(wire::change_id_text(after));
    Ok(store.scripts.query_blocking(command, wait).await? != Value::Nil)
}

/// XREAD only wakes: what a page means is decided in one place, from the script that also sees where the feed begins and
/// ends.
async fn next_changes<L: Scripts>(
    store: &RedisStore<L>,
    after: ChangeId,
    wait: Duration,
) -> Result<FeedPage, SharedStoreError> {
    let deadline = Instant::now() + wait;
    let mut read_to = after;
    loop {
        let FeedRead { page, last, newest } = read_feed(store, read_to).await?;
        if !page.changes.is_empty() || page.restart.is_some() {
            return Ok(page);
        }
        // Changes of an unknown kind were skipped; there may be more.
        let skipped = last > read_to;
        read_to = last;
        if skipped && last < newest {
            continue;
        }
        if Instant::now() >= deadline || !wait_for_change(store, read_to, deadline).await? {
            return Ok(page);
        }
    }
}
