//! Builds the app from the settings: metrics, token manager, quota, cache, and the services of both ports.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use hyper_util::client::legacy::connect::Connect;

use super::{
    Calls, Dependencies, Environment, SetupError,
    calls::{UpstreamCalls, calls, pressure_of},
    change_prober::ChangeProber,
    credentials::{bearer_auth, tokens},
    fleet, labels, options,
    plan_keeper::PlanKeeper,
    stack::data_port,
};
use crate::{
    admin::{AdminState, Readiness},
    cache::ReportCache,
    inbound::ReportService,
    quota::{InitialCount, Quota},
    refresh::ShadowStatus,
    server::BearerAuth,
    settings::Settings,
    shared::Membership,
    state::StateStores,
    telemetry::Metrics,
};

/// The app, built but not running: no port is open, and no call was made.
pub struct App {
    /// The data port's service.
    pub front: Arc<ReportService<Calls>>,
    /// The admin port's state.
    pub admin: Arc<AdminState>,
    /// The refresh plan, to be stored at the end.
    pub plan: Arc<PlanKeeper>,
    /// This replica's membership in the fleet that shares a store, to be ended at the end.
    pub membership: Option<Arc<Membership>>,
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
        let StateStores { token_store, call_counter, plan_store, damaged_files } = stores;
        let metrics = Arc::new(Metrics::new());
        labels::announce(&metrics);
        metrics.state.damaged_files(damaged_files);
        let mut background = Vec::new();

        let limits = options::quota_limits(&settings.quota);
        let opening = InitialCount::of(&call_counter).await.map_err(SetupError::Ledger)?.unwrap_or(opening);
        let quota = Quota::new(limits, opening, clock.clone(), metrics.quota.clone());
        let membership = shared.map(|backend| {
            let store = fleet::store(backend, &metrics, &mut background);
            fleet::join(store, settings, &quota)
        });
        let durability = token_store.durability();
        let records = fleet::token_records(membership.as_ref(), token_store, settings, &metrics).await?;
        let tokens = tokens(settings, authority, records, durability, metrics.token.clone()).await?;
        let UpstreamCalls { reports, statistics } = calls(settings, api, &tokens, &quota, &metrics);
        let memory = Arc::new(ReportCache::new(
            options::cache_options(settings, clock.now()),
            pressure_of(&quota),
            metrics.cache.clone(),
        ));
        let reports = match &membership {
            Some(fleet) => fleet::share_reports(fleet, &memory, reports, &tokens, settings, &mut background),
            None => reports,
        };
        if let Some(fleet) = &membership {
            fleet::keep_in_touch(fleet, &quota, &tokens, &mut background);
        }
        let clients = bearer_auth(
            "clients.tokens_file",
            settings.clients.tokens_file.as_ref(),
            |tokens| tokens,
            &mut background,
        )?;
        let purge_auth = bearer_auth(
            "admin.token_file",
            settings.admin.token_file.as_ref(),
            |token| vec![token],
            &mut background,
        )?;

        let clients = clients.unwrap_or_else(BearerAuth::anybody);
        let front = data_port(settings, Arc::clone(&memory), reports, clients, &metrics);

        background.push(Box::pin(tokens.clone().watch()));
        let plan = Arc::new(PlanKeeper::resume(Arc::clone(&memory), quota.clone(), plan_store).await);
        background.push(Box::pin(Arc::clone(&plan).each_minute()));
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
        let admin = AdminState {
            browser_guard: options::browser_guard(settings, settings.admin.listen),
            readiness: Readiness::default(),
            metrics,
            memory,
            quota,
            tokens,
            settings: settings.effective(),
            purge_auth,
            purges: membership.as_ref().map(|fleet| fleet::share_purges(fleet, &mut background)),
        };
        Ok(Self { front: Arc::new(front), admin: Arc::new(admin), plan, membership, background })
    }
}
