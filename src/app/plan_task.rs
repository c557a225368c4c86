//! The background task of the refresh plan: each minute it sets the price of a call from the quota's count.

use std::sync::Arc;

use tokio::{
    task::spawn_blocking,
    time::{MissedTickBehavior, interval},
};

use crate::{
    cache::{QuotaUse, ReportCache},
    quota::Quota,
};

/// Sets the price now and each minute. Ends only where lifetimes are fixed.
pub(super) async fn plan_each_minute(memory: Arc<ReportCache>, quota: Quota) {
    let mut minute = interval(ReportCache::PLAN_MINUTE);
    minute.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        minute.tick().await;
        let snapshot = quota.snapshot();
        let quota_use = QuotaUse { used: snapshot.day.used, exceeded_after: None };
        let planning = Arc::clone(&memory);
        // Summing the demand of ten thousand reports takes milliseconds.
        match spawn_blocking(move || planning.plan_minute(quota_use, snapshot.now())).await {
            Ok(Some(_)) => {}
            Ok(None) => return,
            Err(error) => {
                tracing::error!(%error, "the refresh plan failed this minute; the price of a call stays");
            }
        }
    }
}
