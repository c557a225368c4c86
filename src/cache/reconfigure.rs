//! Options that change while the cache runs, and what they make of the entries that are held.

use std::sync::Arc;

use super::{CacheOptions, RefreshSchedule, ReportCache, live_options::LiveValues};
use crate::report::LifetimePolicy;

// === impl ReportCache ===

impl ReportCache {
    /// Takes over new options, for the entries that are held too: each is treated as if it had come under them. The kind
    /// of schedule (fixed or planned), what decides on probes, `derivation` and `clock` stay as they are.
    pub fn reconfigure(&self, options: &CacheOptions) {
        if let (Some(plan), RefreshSchedule::Planned(planned)) = (&self.plan, options.refresh) {
            plan.reconfigure(planned);
        }
        // No flight lands meanwhile: its entry would have an old lifetime.
        self.flights.undisturbed(|| {
            let new = LiveValues {
                lifetimes: options.lifetimes,
                client_no_cache_interval: options.client_no_cache_interval,
            };
            if self.live.replace(new).lifetimes != new.lifetimes {
                self.renew_lifetimes(&new.lifetimes);
            }
        });
        self.store.resize(options.max_bytes);
        self.metrics.max_bytes(options.max_bytes);
    }

    pub(super) fn lifetimes(&self) -> LifetimePolicy {
        self.live.get().lifetimes
    }

    fn renew_lifetimes(&self, policy: &LifetimePolicy) {
        for key in self.store.keys() {
            if let Some(held) = self.store.get(&key) {
                self.store.replace(&key, &held, Arc::new(held.under(policy)));
            }
        }
    }
}
