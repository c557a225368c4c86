//! Takes over changed settings while the app runs: those of the cache, the quota, the callers and the log's level.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::{
    SetupError,
    clients::{ClientRules, TokenFile},
    fleet, options,
    plan_keeper::PlanKeeper,
    stack::CallerRules,
};
use crate::{
    admin::ShownConfig,
    cache::{ReportCache, SharedTier},
    quota::{Quota, WallClock},
    settings::{ReloadedSettings, SettingOrigin, Settings, SettingsError},
    telemetry::{ConfigMetrics, logging},
};

/// The settings in force, and all that follows them.
pub struct LiveSettings {
    pub(super) current: Mutex<Settings>,
    pub(super) memory: Arc<ReportCache>,
    pub(super) quota: Quota,
    pub(super) plan: Arc<PlanKeeper>,
    /// `None`: nothing is shared.
    pub(super) tier: Option<Arc<SharedTier>>,
    pub(super) clients: ClientRules,
    pub(super) callers: CallerRules,
    pub(super) shown: Arc<ShownConfig>,
    pub(super) metrics: ConfigMetrics,
    pub(super) clock: WallClock,
}

/// Why new settings are refused. Nothing has changed.
#[derive(Debug, thiserror::Error)]
pub enum ReloadError {
    /// They are wrong, or contradict a setting that waits for a restart.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// A file that they name cannot be used.
    #[error(transparent)]
    File(#[from] SetupError),
}

// === impl LiveSettings ===

impl LiveSettings {
    /// Takes over what can change now; the rest waits for a restart. Reads the files that the settings name, blocking this
    /// thread.
    ///
    /// # Errors
    /// If the settings are refused, which `GET /config` and the metrics show from now on.
    pub fn reload(&self, new: Result<Settings, SettingsError>) -> Result<(), ReloadError> {
        self.take_over(new).inspect_err(|error| {
            self.metrics.refused();
            self.shown.refused(&error.to_string(), self.clock.now());
        })
    }

    /// Sets the price of a call by the limits of the last [`LiveSettings::reload`]; without this, within a minute.
    pub async fn plan_again(&self) {
        self.plan.minute().await;
    }

    /// `GET /config` names where the settings come from.
    pub fn come_from(&self, origins: BTreeMap<String, SettingOrigin>) {
        self.shown.come_from(origins);
    }

    fn take_over(&self, new: Result<Settings, SettingsError>) -> Result<(), ReloadError> {
        let mut current = self.current();
        let ReloadedSettings { settings, changed, waiting } = current.reloaded(&new?)?;
        // All that can fail comes first.
        let clients = TokenFile::read(&settings.clients)?;
        let now = self.clock.now();

        self.clients.replace(clients);
        self.callers.origins.replace(options::allowed_origins(&settings.cors));
        self.callers.optional_headers.replace(options::no_cache(&settings.cache));
        self.quota.set_limits(options::quota_limits(&settings.quota));
        self.memory.reconfigure(&options::cache_options(&settings, now));
        if let Some(tier) = &self.tier {
            tier.set_lifetimes(fleet::shared_lifetimes(&settings));
        }
        if let Err(error) = logging::set_level(settings.log.level.as_str()) {
            tracing::error!(%error, "log.level stays as it was");
        }
        tracing::info!(
            changed = changed.join(", "),
            waits_for_restart = waiting.join(", "),
            "settings reloaded"
        );
        self.metrics.loaded(now);
        self.shown.reloaded(settings.effective(), waiting, now);
        *current = settings;
        Ok(())
    }

    fn current(&self) -> MutexGuard<'_, Settings> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
