//! Joins the app to the fleet of replicas that share a store.

use std::{num::NonZeroU32, sync::Arc};

use futures_util::future::BoxFuture;

use super::options;
use crate::{
    outage::Outage,
    quota::{FleetQuota, Quota},
    settings::Settings,
    shared::{Membership, SharedStore},
};

/// Joins the fleet of this store. Nothing waits for the store: its absence is noticed by the first operation.
pub(super) fn join(
    store: Arc<dyn SharedStore>,
    settings: &Settings,
    quota: &Quota,
    background: &mut Vec<BoxFuture<'static, ()>>,
) -> Arc<Membership> {
    let shared = &settings.shared;
    let membership = Arc::new(Membership::new(store, shared.margin.into()));
    let replicas = u32::try_from(shared.replicas.get()).ok().and_then(NonZeroU32::new);
    let limits = options::quota_limits(&settings.quota);
    quota.join(FleetQuota::new(Arc::clone(&membership), &limits, replicas.unwrap_or(NonZeroU32::MAX)));
    background.push(Box::pin(beat(Arc::clone(&membership), quota.clone())));
    membership
}

/// Sends heartbeats, and tells the quota what the fleet has counted.
async fn beat(membership: Arc<Membership>, quota: Quota) {
    let mut outage = Outage::default();
    membership
        .heartbeats(|beaten| match beaten {
            Ok(fleet) => {
                outage.ends();
                quota.learn(&fleet);
            }
            Err(error) if outage.begins() => {
                tracing::warn!(
                    %error,
                    "the shared store is away: until it is back, this replica makes at most its share of the reserved calls"
                );
            }
            Err(_again) => {}
        })
        .await;
}
