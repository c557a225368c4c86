//! Fixed TTL (`cache.refresh = "fixed"`): one lifetime for all reports, made longer when calls run short.

use std::{num::NonZeroU32, time::Duration};

use super::{CachedPoll, CopyKey, Strategy, Workload};
use crate::{
    quota::{BurnRate, QuotaMode, factor},
    refresh::{RefreshDecision, ReportForm, UtcTime},
};

/// The settings of fixed lifetimes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct FixedOptions {
    /// `cache.ttl`
    pub(crate) ttl: Duration,
    /// `cache.empty_ttl`
    pub(crate) empty_ttl: Duration,
    /// `cache.ttl_jitter`
    pub(crate) jitter: f64,
    /// `quota.reserve`
    pub(crate) reserve: f64,
}

/// The strategy that refreshes a cached report at the first poll after its lifetime has ended.
#[derive(Debug)]
pub(crate) struct FixedLifetime {
    options: FixedOptions,
    burn_rate: BurnRate,
    used: u32,
    lifetimes: Vec<[Duration; 2]>,
    mode: QuotaMode,
    factor: f64,
    factor_at: Option<Duration>,
    random: fastrand::Rng,
}

// === impl FixedOptions ===

impl Default for FixedOptions {
    /// The defaults of the settings, and the reserve that suits them.
    fn default() -> Self {
        Self { ttl: Duration::from_mins(5), empty_ttl: Duration::from_mins(1), jitter: 0.1, reserve: 0.1 }
    }
}

// === impl FixedLifetime ===

impl FixedLifetime {
    /// These lifetimes, made longer when calls run short, as by the proxy.
    pub(crate) fn stretched(workload: &Workload, options: FixedOptions) -> Self {
        let per_day = NonZeroU32::new(workload.per_day).unwrap_or(NonZeroU32::MIN);
        Self {
            options,
            burn_rate: BurnRate::new(per_day, options.reserve),
            used: 0,
            lifetimes: vec![[options.ttl; 2]; workload.campaigns.len()],
            mode: QuotaMode::Normal,
            factor: 1.0,
            factor_at: None,
            random: fastrand::Rng::with_seed(5),
        }
    }

    /// The factor by which lifetimes are longer; computed at most once a second.
    fn stretch(&mut self, now: Duration) -> f64 {
        if self.factor_at.is_some_and(|at| now - at < Duration::from_secs(1)) {
            return self.factor;
        }
        self.factor_at = Some(now);
        let left_of_day = UtcTime::since_epoch(now).left_of_day().as_secs_f64() / UtcTime::DAY.as_secs_f64();
        let burn_rate = self.burn_rate.burn_rate(self.used, left_of_day);
        self.mode = self.mode.next(burn_rate);
        self.factor = match self.mode {
            QuotaMode::Normal => 1.0,
            QuotaMode::Throttled => factor(burn_rate),
            QuotaMode::MissesOnly | QuotaMode::Exhausted => f64::INFINITY,
        };
        self.factor
    }
}

impl Strategy for FixedLifetime {
    fn key(&self, campaign: u32, form: ReportForm) -> CopyKey {
        CopyKey { campaign, form }
    }

    fn polled(&mut self, poll: CachedPoll) -> RefreshDecision {
        let CachedPoll { key, age, now, viewer: _, pending: _ } = poll;
        let lifetime = self.lifetimes[key.campaign as usize][key.form.index()];
        let due = age >= lifetime && age.as_secs_f64() >= lifetime.as_secs_f64() * self.stretch(now);
        if due { RefreshDecision::Refresh } else { RefreshDecision::NotWorthIt }
    }

    fn waited(&mut self, _key: CopyKey) {}

    fn still_worth_it(&self, _: CopyKey, _: Duration, _: Duration) -> bool {
        true
    }

    fn allows_refresh(&self, _: u32) -> bool {
        true
    }

    fn called(&mut self, _: Option<CopyKey>) {
        self.used += 1;
    }

    fn landed(&mut self, key: CopyKey, clicks: u32, _: Duration) {
        let FixedOptions { ttl, empty_ttl, jitter, reserve: _ } = self.options;
        let empty = clicks == 0 && key.form == ReportForm::Clicked;
        self.lifetimes[key.campaign as usize][key.form.index()] =
            if empty { empty_ttl } else { ttl.mul_f64(1.0 + jitter * (2.0 * self.random.f64() - 1.0)) };
    }

    fn minute_passed(&mut self, used: u32, _: Duration) {
        self.used = used;
    }

    fn quota_exceeded(&mut self, used: u32) {
        self.used = used;
    }

    fn price(&self) -> Option<f64> {
        None
    }

    fn probe(&mut self, _: Duration) -> Option<Vec<u32>> {
        None
    }

    fn probed(&mut self, _: u32, _: u32, _: Duration) {}
}
