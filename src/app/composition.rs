//! Builds the app from the settings: metrics, token manager, quota, cache, and the services of both ports.

use std::sync::{Arc, Mutex};

use futures_util::future::{BoxFuture, FutureExt as _};
use hyper_util::client::legacy::connect::Connect;
use tower::Layer as _;

use super::{
    Calls, Dependencies, Environment, SetupError,
    calls::{UpstreamCalls, calls, pressure_of},
    change_prober::ChangeProber,
    clients::{ClientRules, TokenFile},
    credentials::{activity_names, bearer_auth, tokens},
    fleet::{self, host_name},
    labels, options,
    plan_keeper::PlanKeeper,
    reload::LiveSettings,
    snapshot_keeper::{SnapshotKeeper, SnapshotOf},
    stack::{CallerRules, DataPortCalls, data_port},
    trial::report_trial,
};
use crate::{
    admin::{ActivityNames, AdminState, History, ProcessAbout, Readiness, ShownConfig},
    cache::{CacheLayer, ReportCache, SharedReportCheck, StatusChecking, StatusChecks},
    inbound::ReportService,
    quota::{InitialCount, Quota},
    refresh::ShadowStatus,
    report::ClientNumber,
    settings::Settings,
    shared::Membership,
    state::StateStores,
    telemetry::{Metrics, traces::TraceFlush},
};

/// The app, built but not running: no port is open, and no call was made.
pub struct App {
    /// The data port's service.
    pub front: Arc<ReportService<Calls>>,
    /// The admin port's state.
    pub admin: Arc<AdminState>,
    /// The refresh plan, to be stored at the end.
    pub plan: Arc<PlanKeeper>,
    /// The snapshot of the cache, to be stored at the end; `None`: none is kept.
    pub snapshot: Option<Arc<SnapshotKeeper>>,
    /// This replica's membership in the fleet that shares a store, to be ended at the end.
    pub membership: Option<Arc<Membership>>,
    /// The settings in force, which can be reloaded.
    pub live: Arc<LiveSettings>,
    /// The spans that wait to be exported, to be sent at the end; `None`: there are no traces, or whoever exports them
    /// outlives this app.
    pub traces: Option<TraceFlush>,
    /// Background tasks, to be run while the ports are open; none of them completes.
    pub background: Vec<BoxFuture<'static, ()>>,
}

// === impl App ===

impl App {
    /// Builds the app with `connector` for all upstream connections and with state in memory only.
    ///
    /// # Errors
    /// As [`App::build`].
    pub async fn new<C>(settings: &Settings, connector: C) -> Result<Self, SetupError>
    where
        C: Connect + Clone + Send + Sync + 'static,
    {
        let (api, authority) = (connector.clone(), connector);
        let (stores, world) = (StateStores::in_memory(), Environment::default());
        Self::build(settings, Dependencies { api, authority, stores, shared: None, world }).await
    }

    /// Builds the app. Reads the files that the settings name, blocking this thread; needs a tokio runtime.
    ///
    /// # Errors
    /// [`SetupError`] names the setting that cannot be used.
    pub async fn build<C>(settings: &Settings, dependencies: Dependencies<C>) -> Result<Self, SetupError>
    where
        C: Connect + Clone + Send + Sync + 'static,
    {
        let Dependencies { api, authority, stores, shared, world: Environment { clock, opening } } =
            dependencies;
        let StateStores { token_store, call_counter, plan_store, snapshot_store, damaged_files, disk } =
            stores;
        let metrics = Arc::new(Metrics::new());
        labels::announce(&metrics);
        metrics.state.damaged_files(damaged_files);
        metrics
            .requests
            .connections_limit(crate::server::most_connections(settings.server.max_connections).get());
        if let Some(disk) = disk {
            let durable = metrics.durable_state();
            metrics.before_scrape(move || durable.set(disk.is_good().into()));
        }
        let mut background = Vec::new();
        let started_at = clock.now();

        let limits = options::quota_limits(&settings.quota);
        let opening = InitialCount::of(&call_counter).await.map_err(SetupError::Ledger)?.unwrap_or(opening);
        let quota = Quota::new(limits, opening, clock.clone(), metrics.quota.clone());
        let assumed = quota.snapshot().day.assumed;
        if assumed > 0 {
            tracing::info!(
                assumed,
                "nobody has counted the calls made today before this start: an even pace since 00:00 UTC is assumed \
                 (assumed_before_start in GET /quota)"
            );
        }
        let joined =
            shared.map(|backend| fleet::join(backend, settings, &quota, (&metrics, &clock), &mut background));
        let membership = joined.as_ref().map(|joined| Arc::clone(&joined.membership));
        let purges = joined.as_ref().map(|joined| Arc::clone(&joined.purges));
        let feed = joined.as_ref().map(|joined| joined.position.clone());
        let seal = match &joined {
            Some(_) => fleet::seal(settings, &metrics, &mut background)?,
            None => None,
        };
        let durability = token_store.durability();
        let records =
            fleet::token_records((membership.as_ref(), seal.as_ref()), token_store, settings, &metrics)
                .await?;
        let tokens = tokens(settings, authority, records, durability, metrics.token.clone()).await?;
        let UpstreamCalls { reports, statistics, statuses, circuit, recent } =
            calls(settings, api, &tokens, &quota, &metrics);
        let memory = Arc::new(ReportCache::new(
            options::cache_options(settings, clock.now()),
            pressure_of(&quota),
            metrics.cache.clone(),
        ));
        let (reports, fleet, tier) = match joined {
            Some(joined) => {
                fleet::keep_in_touch(&joined.membership, &quota, &tokens, &mut background);
                let below = fleet::Below { memory: &memory, tokens: &tokens, calls: reports };
                let check = SharedReportCheck::new(seal, &metrics);
                let (reports, tier) = fleet::share_reports(&joined, below, check, settings, &mut background);
                (reports, Some(joined.status(Arc::clone(&tier), settings)), Some(tier))
            }
            None => (reports, None, None),
        };
        let (clients, client_rules, client_keeper) =
            ClientRules::start(TokenFile::read(&settings.clients)?, &metrics);
        background.push(Box::pin(client_keeper.run()));
        let purge_auth = bearer_auth(
            "admin.token_file",
            settings.admin.token_file.as_ref(),
            |token| vec![(token, ClientNumber::ANONYMOUS)],
            &metrics,
            &mut background,
        )?;

        let names = Arc::new(ActivityNames::default());
        activity_names(settings, &names, &metrics, &mut background)?;

        let callers = CallerRules::new(settings, clients);
        let checks = (memory.status_checking() == StatusChecking::On).then(|| {
            let cache = CacheLayer::new(Arc::clone(&memory)).layer(reports.clone());
            StatusChecks::new(Arc::clone(&memory), statuses, move |key| cache.refresh_changed(key))
        });
        let fleet_of = membership.clone();
        let replicas = move || fleet_of.as_ref().map_or(1, |membership| membership.replicas());
        background.extend(checks.clone().map(|checks| checks.run(replicas).boxed()));
        let trial = report_trial(settings, &memory, reports.clone(), &callers, (&metrics, &clock));
        let calls = DataPortCalls { reports, checks };
        let front = data_port(settings, Arc::clone(&memory), calls, &callers, &metrics, clock.clone());

        background.push(Box::pin(tokens.clone().watch()));
        let plan = Arc::new(PlanKeeper::resume(Arc::clone(&memory), quota.clone(), plan_store).await);
        background.push(Box::pin(Arc::clone(&plan).each_minute()));
        let history = Arc::new(History::default());
        // After the plan, whose campaigns it adds to.
        let of =
            SnapshotOf { memory: &memory, store: snapshot_store, clock: &clock, history: &history, feed };
        let snapshot = SnapshotKeeper::resume(of, settings, &metrics).await;
        background.extend(snapshot.as_ref().map(|snapshot| Arc::clone(snapshot).run().boxed()));
        match memory.probe_status() {
            None | Some(ShadowStatus::Off) => {}
            Some(status) => {
                metrics.cache.probes.status(status.as_str());
                let prober = ChangeProber { memory: Arc::clone(&memory), calls: statistics };
                background.push(Box::pin(prober.run()));
            }
        }
        let (seen_memory, seen_quota, seen_tokens) = (Arc::clone(&memory), quota.clone(), tokens.clone());
        metrics.before_scrape(move || {
            seen_memory.observe(seen_quota.snapshot().now());
            seen_tokens.observe();
            seen_quota.observe();
        });
        metrics.config.loaded(clock.now());
        let config = Arc::new(ShownConfig::new(settings.effective(), clock.now()));
        let browser_guard = options::browser_guard(settings, settings.admin.listen, callers.origins.clone());
        let live = LiveSettings {
            current: Mutex::new(settings.clone()),
            memory: Arc::clone(&memory),
            quota: quota.clone(),
            plan: Arc::clone(&plan),
            tier,
            clients: client_rules,
            callers,
            shown: Arc::clone(&config),
            metrics: metrics.config.clone(),
            clock,
        };
        let admin = AdminState {
            browser_guard,
            readiness: Readiness::default(),
            metrics,
            memory,
            quota,
            started_at,
            tokens,
            config,
            purge_auth,
            fleet,
            purges,
            names,
            snapshots: snapshot.as_ref().map(|snapshot| snapshot.store()),
            about: ProcessAbout { host: host_name().trim().into(), data: settings.server.listen },
            circuit,
            recent_calls: recent,
            history,
            trial,
        };
        let (front, admin, live) = (Arc::new(front), Arc::new(admin), Arc::new(live));
        background.push(Arc::clone(&admin).sample_each_minute().boxed());
        Ok(Self { front, admin, plan, snapshot, membership, live, traces: None, background })
    }
}
