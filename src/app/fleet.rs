//! Joins the app to the fleet of replicas that share a store: its calls, its reports, and what the others tell.

use std::{num::NonZeroU32, sync::Arc, time::Duration};

use futures_util::future::BoxFuture;
use tokio::time::sleep;
use tower::Layer as _;

use super::{Calls, SetupError, SharedBackend, options};
use crate::{
    cache::{ReportCache, SharedFetch, SharedLifetimes, SharedTier},
    middleware::{TowerService, step},
    outage::Outage,
    quota::{FleetQuota, Quota},
    settings::{Settings, TokenSourceKind},
    shared::{
        Change, ChangeId, ChangeKind, FleetSeal, Membership, PurgeQueue, SharedStore, SharedStoreError,
    },
    state::TokenStore,
    telemetry::Metrics,
    token::{FleetRecords, TokenManager, TokenRecords, TokenSetupError},
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

/// Seals what the replicas share; `None`: without `shared.key_file`.
pub(super) fn seal(settings: &Settings) -> Result<Option<FleetSeal>, SetupError> {
    let (Some(file), Some(namespace)) = (&settings.shared.key_file, settings.namespace()) else {
        return Ok(None);
    };
    let keys = file.read().map_err(|source| SetupError::SecretFile { key: "shared.key_file", source })?;
    Ok(Some(FleetSeal::new(namespace, &keys)))
}

/// Where the token's record is kept: in the fleet's store, if it can be sealed for it.
pub(super) async fn token_records(
    membership: Option<&Arc<Membership>>,
    own: Arc<dyn TokenStore>,
    settings: &Settings,
    metrics: &Metrics,
) -> Result<TokenRecords, SetupError> {
    let (Some(membership), TokenSourceKind::Refresh) = (membership, settings.token.source) else {
        return Ok(own.into());
    };
    let Some(seal) = seal(settings)? else {
        tracing::warn!(
            "shared.key_file is not set: the token is not shared, and each replica renews its own; if the refresh token \
             rotates, the replicas must not have the same one, since the first renewal ends it for the others"
        );
        return Ok(own.into());
    };
    let metrics = metrics.fleet_token();
    let records = FleetRecords::new(Arc::clone(membership), seal, own, metrics).await;
    Ok(TokenRecords::Fleet(Arc::new(records.map_err(TokenSetupError::from)?)))
}

/// Joins the fleet of this store. Nothing waits for the store: its absence is noticed by the first operation.
pub(super) fn join(store: Arc<dyn SharedStore>, settings: &Settings, quota: &Quota) -> Arc<Membership> {
    let shared = &settings.shared;
    let membership = Arc::new(Membership::new(store, shared.margin.into()));
    let replicas = u32::try_from(shared.replicas.get()).ok().and_then(NonZeroU32::new);
    let limits = options::quota_limits(&settings.quota);
    quota.join(FleetQuota::new(Arc::clone(&membership), &limits, replicas.unwrap_or(NonZeroU32::MAX)));
    membership
}

/// Sends heartbeats, and passes on what they tell.
pub(super) fn keep_in_touch(
    membership: &Arc<Membership>,
    quota: &Quota,
    tokens: &TokenManager,
    background: &mut Vec<BoxFuture<'static, ()>>,
) {
    background.push(Box::pin(beat(Arc::clone(membership), quota.clone(), tokens.clone())));
}

/// The upstream's stack with the store above it, so that a report that another replica has fetched costs no call.
pub(super) fn share_reports(
    membership: &Arc<Membership>,
    memory: &Arc<ReportCache>,
    calls: Calls,
    tokens: &TokenManager,
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
    let tier = Arc::new(SharedTier::new(Arc::clone(memory), Arc::clone(membership), lifetimes));
    background.push(Box::pin(follow(
        Arc::clone(membership),
        Arc::clone(memory),
        Arc::clone(&tier),
        tokens.clone(),
    )));
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
async fn follow(
    membership: Arc<Membership>,
    memory: Arc<ReportCache>,
    tier: Arc<SharedTier>,
    tokens: TokenManager,
) {
    let mut at = None;
    loop {
        match read_on(&membership, &mut at).await {
            Ok(changes) => {
                for change in changes {
                    heed(change.kind, &membership, &memory, &tier, &tokens).await;
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
    tokens: &TokenManager,
) {
    match change {
        ChangeKind::Report { key, fence } => tier.flight_ended(key, Some(fence)).await,
        ChangeKind::Failure { key, why: _ } => tier.flight_ended(key, None).await,
        ChangeKind::Purge { key: Some(key), fence: _ } => drop(memory.purge(key.id)),
        ChangeKind::Purge { key: None, fence: _ } => drop(memory.purge_all()),
        ChangeKind::Lockout | ChangeKind::Epoch(_) => membership.beat_soon(),
        ChangeKind::Token { version } => {
            if let Some(fleet) = tokens.fleet() {
                fleet.learn_version(version);
            }
        }
    }
}

/// Sends heartbeats, and tells the quota what the fleet has counted, and the renewer which token it has.
async fn beat(membership: Arc<Membership>, quota: Quota, tokens: TokenManager) {
    let mut outage = Outage::default();
    membership
        .heartbeats(|beaten| match beaten {
            Ok(fleet) => {
                outage.ends();
                quota.learn(&fleet);
                if let Some(records) = tokens.fleet() {
                    records.learn(&fleet);
                }
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
