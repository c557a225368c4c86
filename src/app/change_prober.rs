//! The change probe in the background: makes the calls that the cache finds worth one.

use std::sync::Arc;

use tokio::{
    task::spawn_blocking,
    time::{MissedTickBehavior, interval},
};
use tower::ServiceExt as _;

use super::StatisticsCalls;
use crate::cache::ReportCache;

/// Asks the statistics endpoint whether campaigns have new clicks, for the cache.
#[derive(Debug)]
pub(super) struct ChangeProber {
    pub(super) memory: Arc<ReportCache>,
    pub(super) calls: StatisticsCalls,
}

// === impl ChangeProber ===

impl ChangeProber {
    /// Makes probes, one at a time. Never ends.
    pub(super) async fn run(self) {
        let mut next = interval(ReportCache::PROBE_INTERVAL);
        next.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let now = next.tick().await;
            let memory = Arc::clone(&self.memory);
            // Looking through ten thousand campaigns takes milliseconds.
            match spawn_blocking(move || memory.next_probe(now)).await {
                Ok(Some(call)) => {
                    let result = self.calls.clone().oneshot(call.clone()).await;
                    self.memory.probed(&call, result);
                }
                Ok(None) => {}
                Err(error) => tracing::error!(%error, "no change probe could be selected"),
            }
        }
    }
}
