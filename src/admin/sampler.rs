//! Takes the sample of each minute that `GET /status/history` shows.

use std::{sync::Arc, time::Duration};

use tokio::time::{MissedTickBehavior, interval};

use super::{AdminState, overview::Overview};

const MINUTE: Duration = Duration::from_mins(1);

// === impl AdminState ===

impl AdminState {
    /// Takes a sample now and each minute. Never ends.
    pub async fn sample_each_minute(self: Arc<Self>) {
        let mut minute = interval(MINUTE);
        minute.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            minute.tick().await;
            let quota = self.quota.snapshot();
            self.history.minute(quota.now(), self.metrics.totals(), &quota.day);
            // Also if nobody looks, so that who does is told since when it is so.
            self.history.rule_since(Overview::rule(&self), quota.now());
        }
    }
}
