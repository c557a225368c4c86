//! Fixed TTL (`cache.refresh = "fixed"`): one lifetime for all reports, made longer when calls run short.

use std::time::Duration;

use super::{CachedPoll, CopyKey, Strategy, Workload};
use crate::refresh::{RefreshDecision, ReportForm, UtcTime};

/// The strategy that refreshes a cached report at the first poll after its lifetime has ended.
#[derive(Debug)]
pub struct FixedLifetime {
    ttl: Duration,
    jitter: f64,
    empty_ttl: Duration,
    pacing: Pacing,
    per_day: u32,
    used: u32,
    lifetimes: Vec<[Duration; 2]>,
    step: PacingStep,
    factor: f64,
    factor_at: Option<Duration>,
    random: fastrand::Rng,
}

/// What happens when calls run short.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pacing {
    /// Nothing: lifetimes stay the same.
    None,
    /// Lifetimes are made longer. If the budget is very tight, refreshes stop and the rest is left for misses.
    Stretched,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum PacingStep {
    Normal,
    Stretched,
    MissesOnly,
}

// === impl FixedLifetime ===

impl FixedLifetime {
    /// Five minutes, and one minute for an empty report; made longer when calls run short.
    pub fn stretched(workload: &Workload) -> Self {
        let (ttl, empty_ttl) = (Duration::from_mins(5), Duration::from_mins(1));
        Self { empty_ttl, pacing: Pacing::Stretched, ..Self::plain(workload, ttl) }
    }

    /// `ttl` with ±10 % jitter, whatever the budget.
    pub fn plain(workload: &Workload, ttl: Duration) -> Self {
        Self {
            ttl,
            jitter: 0.1,
            empty_ttl: ttl,
            pacing: Pacing::None,
            per_day: workload.per_day,
            used: 0,
            lifetimes: vec![[ttl; 2]; workload.campaigns.len()],
            step: PacingStep::Normal,
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
        let per_day = f64::from(self.per_day);
        let left = per_day - f64::from(self.used) - per_day * 0.1 * left_of_day.max(1.0 / 24.0);
        let tight = if left > 0.0 { per_day * 0.9 * left_of_day / left } else { f64::INFINITY };
        let beyond = |enter, leave, step| tight >= enter || self.step >= step && tight >= leave;
        (self.step, self.factor) = if beyond(2.0, 1.75, PacingStep::MissesOnly) {
            (PacingStep::MissesOnly, f64::INFINITY)
        } else if beyond(1.05, 1.0, PacingStep::Stretched) {
            (PacingStep::Stretched, tight.max(1.0).powi(8))
        } else {
            (PacingStep::Normal, 1.0)
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
        let lifetime = self.lifetimes[key.campaign as usize][index(key.form)];
        let due = age >= lifetime
            && match self.pacing {
                Pacing::None => true,
                Pacing::Stretched => age.as_secs_f64() >= lifetime.as_secs_f64() * self.stretch(now),
            };
        if due { RefreshDecision::Refresh } else { RefreshDecision::NotWorthIt }
    }

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
        let empty = clicks == 0 && key.form == ReportForm::Clicked && self.pacing == Pacing::Stretched;
        self.lifetimes[key.campaign as usize][index(key.form)] = if empty {
            self.empty_ttl
        } else {
            self.ttl.mul_f64(1.0 + self.jitter * (2.0 * self.random.f64() - 1.0))
        };
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

const fn index(form: ReportForm) -> usize {
    match form {
        ReportForm::Clicked => 0,
        ReportForm::AllLinks => 1,
    }
}
