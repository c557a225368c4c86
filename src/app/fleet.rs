//! Joins the app to the fleet of replicas that share a store: its calls, its reports, and what the others tell.

use std::{num::NonZeroU32, sync::Arc, time::Duration};

use futures_util::future::BoxFuture;
use tower::Layer as _;

use super::{
    Calls, SetupError, SharedBackend,
    credentials::{reload, show_readable},
    feed_position::FeedPosition,
    feed_reader::FeedReader,
    labels, options,
};
use crate::{
    admin::FleetStatus,
    cache::{ReportCache, SharedFetch, SharedLifetimes, SharedReportCheck, SharedTier},
    middleware::{TowerService, step},
    outage::Outage,
    quota::{FleetQuota, Quota, WallClock},
    settings::{Settings, TokenSourceKind},
    shared::{
        ConnectedStore, FleetSeal, MemberAbout, Membership, MembershipOptions, PurgeQueue, SharedStoreError,
        StoreLink, StoreRisk,
    },
    state::TokenStore,
    telemetry::{FleetMetrics, Metrics, SharedMetrics},
    token::{FleetRecords, TokenManager, TokenRecords, TokenSetupError},
};

/// Added to the times that a call may take: reading and writing the store.
const LEASE_MARGIN: Duration = Duration::from_secs(5);

/// This replica's part in the fleet.
pub(super) struct JoinedFleet {
    pub(super) membership: Arc<Membership>,
    pub(super) purges: Arc<PurgeQueue>,
    /// In the feed of changes.
    pub(super) position: FeedPosition,
    /// `None`: the store is in this process.
    link: Option<StoreLink>,
    metrics: FleetMetrics,
    clock: WallClock,
}

// === impl JoinedFleet ===

impl JoinedFleet {
    /// For `GET /fleet`, and for the gauges.
    pub(super) fn status(self, tier: Arc<SharedTier>, settings: &Settings) -> FleetStatus {
        let Self { membership, purges: _, position: _, link, metrics: _, clock } = self;
        let namespace = settings.namespace().map_or_else(Box::default, |namespace| namespace.as_str().into());
        FleetStatus { membership, link, tier, namespace, replicas_configured: replicas(settings), clock }
    }
}

/// Joins the fleet of this store. Nothing waits for the store: its absence is noticed by the first operation.
pub(super) fn join(
    backend: SharedBackend,
    settings: &Settings,
    quota: &Quota,
    (metrics, clock): (&Metrics, &WallClock),
    background: &mut Vec<BoxFuture<'static, ()>>,
) -> JoinedFleet {
    let (store, link) = match backend {
        SharedBackend::Server(server) => {
            let shown = metrics.shared();
            let ConnectedStore { store, link, keeper } = server.connect(shown.clone());
            background.push(keeper);
            show_store_risks(link.clone(), shown, metrics);
            (store, Some(link))
        }
        SharedBackend::Store(store) => (store, None),
    };
    let (fleet_metrics, replicas) = (metrics.fleet(), replicas(settings));
    labels::announce_fleet(&fleet_metrics, replicas);
    let options = MembershipOptions {
        margin: settings.shared.margin.into(),
        about: MemberAbout::new(&version(), &host_name()),
        metrics: fleet_metrics.clone(),
    };
    let membership = Arc::new(Membership::new(store, options));
    let limits = options::quota_limits(&settings.quota);
    quota.join(FleetQuota::new(Arc::clone(&membership), &limits, replicas));
    let (seen, shown, now) = (Arc::clone(&membership), fleet_metrics.clone(), clock.clone());
    metrics.before_scrape(move || {
        let known = seen.knowledge();
        shown.feed_lag(known.feed_lag());
        shown.replicas_seen(seen.replicas_seen());
        known.clock_skew(now.now()).into_iter().for_each(|skew| shown.clock_skew(skew));
    });
    let purges = share_purges(&membership, background);
    let position = FeedPosition::default();
    JoinedFleet { membership, purges, position, link, metrics: fleet_metrics, clock: clock.clone() }
}

fn show_store_risks(link: StoreLink, shown: SharedMetrics, metrics: &Metrics) {
    metrics.before_scrape(move || {
        let view = link.view();
        for risk in StoreRisk::ALL {
            shown.store_risk(risk.as_str(), view.info().is_some_and(|info| info.has(risk)));
        }
    });
}

fn replicas(settings: &Settings) -> NonZeroU32 {
    u32::try_from(settings.shared.replicas.get()).ok().and_then(NonZeroU32::new).unwrap_or(NonZeroU32::MAX)
}

/// With the revision, if the build knows it: that is what differs in a rollout.
fn version() -> String {
    match Metrics::revision() {
        "unknown" => env!("CARGO_PKG_VERSION").to_owned(),
        revision => format!("{}+{revision}", env!("CARGO_PKG_VERSION")),
    }
}

/// On Kubernetes, the pod's name. Linux only; elsewhere replicas are told apart by their ids.
pub(super) fn host_name() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default()
}

/// The seal of `shared.key_file`, which follows the file; `None`: it is not set. Reads the file, blocking this thread.
pub(super) fn seal(
    settings: &Settings,
    metrics: &Metrics,
    background: &mut Vec<BoxFuture<'static, ()>>,
) -> Result<Option<Arc<FleetSeal>>, SetupError> {
    let (Some(file), Some(namespace)) = (&settings.shared.key_file, settings.namespace()) else {
        return Ok(None);
    };
    let key = "shared.key_file";
    let (keys, watch) = file.watch().map_err(|source| SetupError::SecretFile { key, source })?;
    show_readable(key, &watch, metrics);
    let seal = Arc::new(FleetSeal::new(namespace, &keys));
    let held = Arc::clone(&seal);
    background.push(Box::pin(reload(key, "key", watch.settled(), move |changed| held.replace(&changed))));
    Ok(Some(seal))
}

/// Where the token's record is kept: in the fleet's store, if it can be sealed for it.
pub(super) async fn token_records(
    (membership, seal): (Option<&Arc<Membership>>, Option<&Arc<FleetSeal>>),
    own: Arc<dyn TokenStore>,
    settings: &Settings,
    metrics: &Metrics,
) -> Result<TokenRecords, SetupError> {
    let (Some(membership), TokenSourceKind::Refresh) = (membership, settings.token.source) else {
        return Ok(own.into());
    };
    let Some(seal) = seal else {
        tracing::warn!(
            "shared.key_file is not set: the token is not shared, and each replica renews its own; if the refresh token \
             rotates, the replicas must not have the same one, since the first renewal ends it for the others"
        );
        return Ok(own.into());
    };
    let metrics = metrics.fleet_token();
    let records = FleetRecords::new(Arc::clone(membership), Arc::clone(seal), own, metrics).await;
    Ok(TokenRecords::Fleet(Arc::new(records.map_err(TokenSetupError::from)?)))
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

/// What the store is put between: the memory, and the upstream's stack with its token.
pub(super) struct Below<'a> {
    pub(super) memory: &'a Arc<ReportCache>,
    pub(super) tokens: &'a TokenManager,
    pub(super) calls: Calls,
}

/// The upstream's stack with the store above it, so that a report that another replica has fetched costs no call.
pub(super) fn share_reports(
    fleet: &JoinedFleet,
    Below { memory, tokens, calls }: Below<'_>,
    check: SharedReportCheck,
    settings: &Settings,
    background: &mut Vec<BoxFuture<'static, ()>>,
) -> (Calls, Arc<SharedTier>) {
    let membership = &fleet.membership;
    let lifetimes = shared_lifetimes(settings);
    let (below, metrics) = (Arc::clone(memory), fleet.metrics.clone());
    let tier = Arc::new(SharedTier::new(
        below,
        Arc::clone(membership),
        lifetimes,
        (check, Arc::clone(&fleet.purges)),
        metrics,
    ));
    let reader = FeedReader::new(
        (Arc::clone(membership), fleet.position.clone()),
        (Arc::clone(memory), Arc::clone(&tier)),
        tokens.clone(),
    );
    background.push(Box::pin(reader.run()));
    (Calls::new(step(SharedFetch(Arc::clone(&tier))).layer(TowerService(calls))), tier)
}

/// How long what this replica has in the store lasts.
pub(super) fn shared_lifetimes(settings: &Settings) -> SharedLifetimes {
    // A retry waits for its place again.
    let attempts = 2 * (settings.quota.max_wait + settings.upstream.attempt_timeout);
    let cache = &settings.cache;
    SharedLifetimes {
        lease: attempts + LEASE_MARGIN,
        keep: cache.stale_if_error.max(cache.stale_while_revalidate).max(cache.ttl),
    }
}

/// Tells the other replicas of purges.
fn share_purges(
    membership: &Arc<Membership>,
    background: &mut Vec<BoxFuture<'static, ()>>,
) -> Arc<PurgeQueue> {
    let purges = Arc::<PurgeQueue>::default();
    let (queue, membership) = (Arc::clone(&purges), Arc::clone(membership));
    background.push(Box::pin(async move { queue.run(&membership).await }));
    purges
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
