//! Joins the app to the fleet of replicas that share a store: its calls, its reports, and what the others tell.

use std::{num::NonZeroU32, sync::Arc, time::Duration};

use futures_util::future::BoxFuture;
use tokio::time::sleep;
use tower::Layer as _;

use super::{Calls, SharedBackend, options};
use crate::{
    cache::{ReportCache, SharedFetch, SharedLifetimes, SharedTier},
    middleware::{TowerService, step},
    outage::Outage,
    quota::{FleetQuota, Quota},
    settings::Settings,
    shared::{Change, ChangeId, ChangeKind, Membership, PurgeQueue, SharedStore, SharedStoreError},
    telemetry::Metrics,
};

/// A read of the feed waits for this time; then it is read again.
const FEED_WAIT: Duration = Duration::from_secs(5);

/// After a failed read.
const FEED_PAUSE: Duration = Duration::from_secs(1);

/// Added to the times that a call may take: reading and writing the store.
const LEASE_MARGIN: Duration = Duration::from_secs(5);

/// The shared store; one on a server is connected in the background.
pub(super) fn store(
    backend: SharedBackend,
    metrics: &Metrics,
    background: &mut Vec<BoxFuture<'static, ()>>,
) -> Arc<dyn SharedStore> {
    match backend {
        SharedBackend::Server(server) => {
            let (store, connected) = server.connect(metrics.shared());
            background.push(connected);
            store
        }
        SharedBackend::Store(store) => store,
    }
}

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

/// The upstream's stack with the store above it, so that a report that another replica has fetched costs no call.
pub(super) fn share_reports(
    (membership, purges): (&Arc<Membership>, &Arc<PurgeQueue>),
    memory: &Arc<ReportCache>,
    calls: Calls,
    settings: &Settings,
    background: &mut Vec<BoxFuture<'static, ()>>,
) -> Calls {
    // A retry waits for its place again.
    let attempts = 2 * (settings.quota.max_wait + settings.upstream.attempt_timeout);
    let cache = &settings.cache;
    let lifetimes = SharedLifetimes {
        lease: attempts + LEASE_MARGIN,
        keep: cache.stale_if_error.max(cache.stale_while_revalidate).max(cache.ttl),
    };
    let tier =
        Arc::new(SharedTier::new(Arc::clone(memory), Arc::clone(membership), Arc::clone(purges), lifetimes));
    background.push(Box::pin(follow(Arc::clone(membership), Arc::clone(memory), Arc::clone(&tier))));
    Calls::new(step(SharedFetch(tier)).layer(TowerService(calls)))
}

/// Tells the other replicas of purges.
pub(super) fn share_purges(
    membership: &Arc<Membership>,
    background: &mut Vec<BoxFuture<'static, ()>>,
) -> Arc<PurgeQueue> {
    let purges = Arc::<PurgeQueue>::default();
    let (queue, membership) = (Arc::clone(&purges), Arc::clone(membership));
    background.push(Box::pin(async move { queue.run(&membership).await }));
    purges
}

/// Reads the change feed for ever.
async fn follow(membership: Arc<Membership>, memory: Arc<ReportCache>, tier: Arc<SharedTier>) {
    let mut at = None;
    loop {
        match read_on(&membership, &mut at).await {
            Ok(changes) => {
                for change in changes {
                    heed(change.kind, &membership, &memory, &tier).await;
                }
            }
            // The heartbeats tell of the outage.
            Err(_away) => sleep(FEED_PAUSE).await,
        }
    }
}

/// The next changes. What a feed has dropped is not missed for long: the next refresh of each report looks into the store.
async fn read_on(
    membership: &Membership,
    at: &mut Option<ChangeId>,
) -> Result<Vec<Change>, SharedStoreError> {
    let store = membership.store();
    let after = match *at {
        Some(after) => after,
        None => *at.insert(store.newest_change().await?),
    };
    let page = store.changes(after, FEED_WAIT).await?;
    if let Some(last) = page.changes.last().map(|change| change.id).or(page.restart_at) {
        *at = Some(last);
    }
    Ok(page.changes)
}

async fn heed(
    change: ChangeKind,
    membership: &Membership,
    memory: &Arc<ReportCache>,
    tier: &Arc<SharedTier>,
) {
    match change {
        ChangeKind::Report { key, fence } => tier.flight_ended(key, Some(fence)).await,
        ChangeKind::Failure { key, why: _ } => tier.flight_ended(key, None).await,
        ChangeKind::Purge { key: Some(key), fence: _ } => drop(memory.purge(key.id)),
        ChangeKind::Purge { key: None, fence: _ } => drop(memory.purge_all()),
        ChangeKind::Lockout | ChangeKind::Epoch(_) => membership.beat_soon(),
        ChangeKind::Token { version: _ } => {}
    }
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
            // The link reports these.
            Err(SharedStoreError::Away | SharedStoreError::TimedOut | SharedStoreError::Lost) => {}
            Err(
                error @ (SharedStoreError::Recovering
                | SharedStoreError::Refused(_)
                | SharedStoreError::Malformed(_)),
            ) => {
                if outage.begins() {
                    tracing::warn!(
                        %error,
                        "the shared store refuses heartbeats: until it takes them, this replica makes at most its share of the reserved calls"
                    );
                }
            }
        })
        .await;
}
