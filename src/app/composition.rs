//! Everything that answers and makes calls, put together from the settings.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use hyper_util::client::legacy::connect::Connect;

use super::{
    Calls, Dependencies, Environment, SetupError,
    calls::{calls, pressure_of},
    credentials::{bearer_auth, tokens},
    options,
    stack::data_port,
};
use crate::{
    admin::{AdminState, Readiness},
    cache::ReportCache,
    inbound::ReportService,
    quota::{InitialCount, Quota},
    server::BearerAuth,
    settings::Settings,
    state,
    telemetry::Metrics,
};

/// Everything that answers. No port is open yet, no call made.
pub struct App {
    /// The data port's service.
    pub front: Arc<ReportService<Calls>>,
    /// The admin port's state.
    pub admin: Arc<AdminState>,
    /// What has to run beside the ports; each runs until it is dropped.
    pub background: Vec<BoxFuture<'static, ()>>,
}

// === impl App ===

impl App {
    /// Puts everything together, with `connector` for every upstream connection and a store that ends with the app.
    ///
    /// # Errors
    /// As [`App::build`].
    pub fn new<C>(settings: &Settings, connector: C) -> Result<Self, SetupError>
    where
        C: Connect + Clone + Send + Sync + 'static,
    {
        let (api, authority) = (connector.clone(), connector);
        let (store, world) = (Arc::new(state::MemoryStore::default()), Environment::default());
        Self::build(settings, Dependencies { api, authority, store, world })
    }

    /// Puts everything together. Reads the store and the files that the settings name on this thread; needs a tokio
    /// runtime.
    ///
    /// # Errors
    /// [`SetupError`] names the setting that cannot be used.
    pub fn build<C>(settings: &Settings, dependencies: Dependencies<C>) -> Result<Self, SetupError>
    where
        C: Connect + Clone + Send + Sync + 'static,
    {
        let Dependencies { api, authority, store, world: Environment { clock, opening } } = dependencies;
        let metrics = Arc::new(Metrics::new());
        metrics.state.damaged_files(store.damaged_files());
        let mut background = Vec::new();

        let tokens = tokens(settings, authority, Arc::clone(&store), metrics.token.clone())?;
        let limits = options::quota(&settings.quota);
        let opening = InitialCount::of(&store).map_err(SetupError::Ledger)?.unwrap_or(opening);
        let quota = Quota::new(limits, opening, clock, metrics.quota.clone());
        let calls = calls(settings, api, &tokens, &quota, &metrics)?;
        let memory =
            Arc::new(ReportCache::new(options::cache(settings), pressure_of(&quota), metrics.cache.clone()));
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
        let front = data_port(settings, Arc::clone(&memory), calls, clients, &metrics);

        background.push(Box::pin(tokens.clone().watch()));
        let (seen_memory, seen_quota, seen_tokens) = (Arc::clone(&memory), quota.clone(), tokens.clone());
        metrics.before_scrape(move || {
            seen_memory.observe();
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
        };
        Ok(Self { front: Arc::new(front), admin: Arc::new(admin), background })
    }
}
