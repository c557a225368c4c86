//! Asks the vendor for the status of activities: one call at a time, for a caller who waits or for an empty report.

use std::{fmt, sync::Arc, time::Duration};

use tokio::{
    sync::Semaphore,
    task::spawn_blocking,
    time::{Instant, MissedTickBehavior, interval, sleep},
};
use tower::ServiceExt as _;

use super::{ReportCache, known_statuses::BETWEEN_CALLS};
use crate::{
    middleware::SharedService,
    report::{ActivityId, Cause, FetchError, FetchedStatus, LocalDenial, ReportKey, StatusCall},
};

/// How often the empty reports are looked through.
const LOOK_INTERVAL: Duration = Duration::from_secs(5);
/// How many callers may wait for a status.
const MOST_WAITING: usize = 64;

/// Where a status comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StatusOrigin {
    /// It was known.
    Memory,
    /// A call has brought it.
    Call,
}

/// Asks for statuses by calls of this service. Cheap to clone; all clones share their turns.
#[derive(Clone)]
pub struct StatusChecks {
    memory: Arc<ReportCache>,
    calls: SharedService<StatusCall, FetchedStatus, FetchError>,
    refresh: Arc<dyn Fn(ReportKey) + Send + Sync>,
    waiting: Arc<Semaphore>,
    turn: Arc<Semaphore>,
}

// === impl StatusChecks ===

impl StatusChecks {
    /// For the activities of this cache; `refresh` refreshes one of its reports.
    pub fn new(
        memory: Arc<ReportCache>,
        calls: SharedService<StatusCall, FetchedStatus, FetchError>,
        refresh: impl Fn(ReportKey) + Send + Sync + 'static,
    ) -> Self {
        let (waiting, turn) = (Arc::new(Semaphore::new(MOST_WAITING)), Arc::new(Semaphore::new(1)));
        Self { memory, calls, refresh: Arc::new(refresh), waiting, turn }
    }

    /// Makes sure that the status of this activity is known and not too old. The call goes on if its caller leaves.
    ///
    /// # Errors
    /// If it takes a call, and that fails or is not made. A failure is the answer to later callers too, until the pause
    /// after it ends: however often they ask, what that costs is bounded.
    pub async fn check(&self, call: StatusCall) -> Result<StatusOrigin, FetchError> {
        if let Some(checked) = self.without_call(call.id) {
            return checked;
        }
        let place = Arc::clone(&self.waiting).try_acquire_owned();
        let place = place.map_err(|_full| LocalDenial::Overloaded)?;
        let checks = self.clone();
        let asked = tokio::spawn(async move {
            let _place = place;
            checks.ask(call).await
        });
        asked.await.unwrap_or_else(|_panic| {
            let failed = Err(Cause::Internal.into());
            self.memory.learn_status(call.id, &failed);
            failed.map(|_status| StatusOrigin::Call)
        })
    }

    /// The result, if it takes no call or none may be made.
    fn without_call(&self, id: ActivityId) -> Option<Result<StatusOrigin, FetchError>> {
        let now = Instant::now();
        if self.memory.has_fresh_status(id, now) {
            return Some(Ok(StatusOrigin::Memory));
        }
        self.memory.may_ask_for_status(id, now).err().map(|error| Err(error.remembered()))
    }

    async fn ask(&self, call: StatusCall) -> Result<StatusOrigin, FetchError> {
        // Another caller may get the same status meanwhile, or the same failure.
        let _turn = self.turn.acquire().await;
        if let Some(checked) = self.without_call(call.id) {
            return checked;
        }
        let result = self.calls.clone().oneshot(call).await;
        self.memory.learn_status(call.id, &result).into_iter().for_each(|key| (self.refresh)(key));
        result.map(|_learned| StatusOrigin::Call)
    }

    /// Asks for the status of activities whose reports are empty and asked for. Never ends. `replicas`: how many ask, of the
    /// same quota.
    pub async fn run(self, replicas: impl Fn() -> u32 + Send) {
        let mut next = interval(LOOK_INTERVAL);
        next.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let now = next.tick().await;
            let memory = Arc::clone(&self.memory);
            match spawn_blocking(move || memory.status_to_ask(now)).await {
                // What has failed is in the log, and is tried again later.
                Ok(Some(call)) => {
                    drop(self.ask(call).await);
                    sleep(BETWEEN_CALLS * replicas()).await;
                }
                Ok(None) => {}
                Err(error) => tracing::error!(%error, "no empty report could be selected for a status call"),
            }
        }
    }
}

impl fmt::Debug for StatusChecks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StatusChecks").finish_non_exhaustive()
    }
}
