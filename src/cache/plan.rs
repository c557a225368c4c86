//! The refresh plan: decides on each hit whether the report is worth a call, at the current price of a call.
//!
//! The rule and the price are in [`crate::refresh`]; here are their inputs. A hit reads three atomics, the terms, and the
//! entry's statistics; each minute `plan_minute.rs` sets the terms.

use std::{
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use super::probe_control::ProbeControl;
use crate::{
    refresh::{
        CacheHit, CopyStats, Price, PriceController, PriceLimits, PriceRecord, RefreshCeiling,
        RefreshDecision, RefreshPolicy, RefreshTerms, ShadowMode, UnexpectedClicks, UtcTime,
    },
    report::{FailureStage, FetchError, Reason},
};

/// The price, in relation to that of an ample day, at which calls begin to be scarce, and at which they no longer are.
const SCARCE: (f64, f64) = (1.5, 1.0);

/// How planned refresh is to behave: the settings `cache.refresh`, `cache.min_refresh_interval` and others.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RefreshPlanOptions {
    /// The limits of the refresh rule.
    pub policy: RefreshPolicy,
    /// `cache.unexpected_clicks`.
    pub unexpected_clicks: f64,
    /// The day's calls, and the share of them that is reserved for misses.
    pub limits: PriceLimits,
    /// `quota.refresh_hour_share`: refreshes are denied while the calls of about an hour are above this share of the day's.
    pub hour_share: f64,
    /// Whether a client waits for a refresh.
    pub waiting: RefreshWaiting,
    /// `upstream.change_probe`
    pub probes: ShadowMode,
}

/// Whether a client waits for the refresh that its request causes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefreshWaiting {
    /// Only if that response alone misses clicks worth a call, and the report is older than `cache.stale_while_revalidate`
    /// (`cache.refresh = "planned"`).
    Rarely,
    /// Always, but not longer than half a second (`cache.refresh = "before"`).
    Shortly,
}

/// Whether the price of a call is above that of a day with ample calls.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum PriceLevel {
    /// It is not.
    #[default]
    Ample,
    /// It is: reports are refreshed less often than they would be.
    Scarce,
}

/// The plan, shared by all hits.
#[derive(Debug)]
pub(super) struct RefreshPlan {
    /// Whether a client waits for a refresh.
    pub(super) waiting: RefreshWaiting,
    terms: TermsCell,
    policy: PolicyCell,
    control: Mutex<PlanControl>,
    /// Whether one call renews both reports of an activity.
    shared_answers: AtomicBool,
    /// `None`: there are no probes. Locked before the statistics and before `control`, for some milliseconds at a time.
    probes: Option<Mutex<ProbeControl>>,
}

/// What changes each minute, or with a call.
#[derive(Debug)]
pub(super) struct PlanControl {
    pub(super) controller: PriceController,
    pub(super) ceiling: RefreshCeiling,
    limits: PriceLimits,
    /// `cache.unexpected_clicks`
    pub(super) unexpected_clicks: f64,
    /// When the demand was last summed.
    pub(super) last_slice: Duration,
    /// When `ceiling` last passed some time.
    pub(super) last_minute: Duration,
    /// The UTC day of the last minute; `None` before the first.
    pub(super) day: Option<u64>,
    /// As of the last minute.
    pub(super) price_level: PriceLevel,
}

/// Whether one call renews both reports of an activity, so that the answers of both count for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SharedAnswers {
    Yes,
    No,
}

/// [`RefreshPolicy`] in atomics, in nanoseconds.
#[derive(Debug)]
struct PolicyCell {
    min_refresh_interval: AtomicU64,
    stale_while_revalidate: AtomicU64,
}

/// [`RefreshTerms`] in atomics.
#[derive(Debug)]
struct TermsCell {
    price: AtomicU64,
    unexpected: [AtomicU64; 2],
}

// === impl RefreshPlan ===

impl RefreshPlan {
    /// A plan that knows nothing yet; `now` is the time of the plan's clock, `utc` the calendar time.
    pub(super) fn new(options: RefreshPlanOptions, now: Duration, utc: UtcTime) -> Self {
        let controller = PriceController::new(options.limits, utc);
        let terms = TermsCell::new(RefreshTerms {
            price: controller.price(),
            unexpected: UnexpectedClicks::shared_by(options.unexpected_clicks, 0, 0),
        });
        let ceiling = RefreshCeiling::new(options.limits.per_day, options.hour_share);
        let control = Mutex::new(PlanControl {
            controller,
            ceiling,
            limits: options.limits,
            unexpected_clicks: options.unexpected_clicks,
            last_slice: now,
            last_minute: now,
            day: None,
            price_level: PriceLevel::Ample,
        });
        let probes = match options.probes {
            ShadowMode::Off => None,
            mode @ (ShadowMode::Verify | ShadowMode::On) => Some(Mutex::new(ProbeControl::new(mode))),
        };
        let (waiting, policy) = (options.waiting, PolicyCell::new(options.policy));
        Self { waiting, terms, policy, control, shared_answers: AtomicBool::new(false), probes }
    }

    /// Takes over new options; `waiting` and `probes` stay as they are. A new allowance for unexpected clicks counts from
    /// the next sum of the demand on.
    pub(super) fn reconfigure(&self, options: RefreshPlanOptions) {
        self.policy.set(options.policy);
        let mut control = self.control();
        control.unexpected_clicks = options.unexpected_clicks;
        control.limits = options.limits;
        control.controller.set_limits(options.limits);
        control.ceiling.set_limit(options.limits.per_day, options.hour_share);
        self.set_price(control.controller.price());
    }

    /// Continues a stored plan.
    pub(super) fn restore(&self, record: PriceRecord, utc: UtcTime) {
        let mut control = self.control();
        control.controller = PriceController::restore(control.limits, record, utc);
        self.set_price(control.controller.price());
    }

    /// Applies the refresh rule to a hit.
    pub(super) fn decide(&self, copy: &CopyStats, hit: CacheHit) -> RefreshDecision {
        self.policy().decide(copy, hit, &self.terms())
    }

    /// The limits of the rule.
    #[inline]
    pub(super) fn policy(&self) -> RefreshPolicy {
        self.policy.get()
    }

    /// The current price and the allowance for unexpected clicks.
    pub(super) fn terms(&self) -> RefreshTerms {
        self.terms.get()
    }

    pub(super) fn set_price(&self, price: Price) {
        self.terms.price.store(price.to_bits(), Ordering::Relaxed);
    }

    /// Whether the answers of both reports of an activity count together, where one is derived.
    pub(super) fn shares_answers(&self) -> bool {
        self.shared_answers.load(Ordering::Relaxed)
    }

    /// Whether the answers of both reports of an activity count together from now on.
    pub(super) fn share_answers(&self, shared: SharedAnswers) {
        self.shared_answers.store(shared == SharedAnswers::Yes, Ordering::Relaxed);
    }

    pub(super) fn set_unexpected(&self, unexpected: UnexpectedClicks) {
        for (word, value) in self.terms.unexpected.iter().zip(unexpected.to_words()) {
            word.store(value, Ordering::Relaxed);
        }
    }

    /// Whether the calls of about the last hour are below `quota.refresh_hour_share`.
    pub(super) fn allows_refresh(&self) -> bool {
        !self.control().ceiling.is_hour_spent()
    }

    /// Counts a fetch that has ended, if it was a call.
    pub(super) fn fetched(&self, reason: Reason, failed: Option<&FetchError>) {
        let sent = failed.is_none_or(|error| match error.stage() {
            FailureStage::Sent => true,
            FailureStage::Refused | FailureStage::Connecting => false,
        });
        if sent {
            let mut control = self.control();
            control.ceiling.called();
            match reason {
                Reason::Refresh | Reason::Probe | Reason::Status => control.controller.refreshed(),
                Reason::Miss | Reason::Retry => {}
            }
        }
    }

    /// Counts an answer that another replica has fetched. All replicas share the day's calls and refresh for each other: so
    /// each sets its price by the calls of all.
    pub(super) fn fetched_elsewhere(&self, reason: Reason) {
        match reason {
            Reason::Refresh => {
                let mut control = self.control();
                control.ceiling.called();
                control.controller.refreshed();
            }
            // An answer for a miss may have been fetched long ago.
            Reason::Miss | Reason::Probe | Reason::Status | Reason::Retry => {}
        }
    }

    /// The decisions about probes, if there are probes.
    pub(super) fn probes(&self) -> Option<MutexGuard<'_, ProbeControl>> {
        Some(self.probes.as_ref()?.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn control(&self) -> MutexGuard<'_, PlanControl> {
        self.control.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl PolicyCell ===

impl PolicyCell {
    fn new(policy: RefreshPolicy) -> Self {
        let cell =
            Self { min_refresh_interval: AtomicU64::new(0), stale_while_revalidate: AtomicU64::new(0) };
        cell.set(policy);
        cell
    }

    fn set(&self, policy: RefreshPolicy) {
        // The settings allow 366 days.
        let nanos = |duration: Duration| u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        self.min_refresh_interval.store(nanos(policy.min_refresh_interval), Ordering::Relaxed);
        self.stale_while_revalidate.store(nanos(policy.stale_while_revalidate), Ordering::Relaxed);
    }

    #[inline]
    fn get(&self) -> RefreshPolicy {
        RefreshPolicy {
            min_refresh_interval: Duration::from_nanos(self.min_refresh_interval.load(Ordering::Relaxed)),
            stale_while_revalidate: Duration::from_nanos(self.stale_while_revalidate.load(Ordering::Relaxed)),
        }
    }
}

// === impl TermsCell ===

impl TermsCell {
    fn new(RefreshTerms { price, unexpected }: RefreshTerms) -> Self {
        Self { price: AtomicU64::new(price.to_bits()), unexpected: unexpected.to_words().map(AtomicU64::new) }
    }

    #[inline]
    fn get(&self) -> RefreshTerms {
        let [clicked, unclicked] = &self.unexpected;
        RefreshTerms {
            price: Price::from_bits(self.price.load(Ordering::Relaxed)),
            unexpected: UnexpectedClicks::from_words([
                clicked.load(Ordering::Relaxed),
                unclicked.load(Ordering::Relaxed),
            ]),
        }
    }
}

// === impl PlanControl ===

impl PlanControl {
    /// The price, in clicks missed, above which calls are scarce.
    pub(super) fn scarce_price(&self) -> f64 {
        SCARCE.0 * self.controller.price().clicks_missed() / self.controller.scarcity()
    }
}

// === impl PriceLevel ===

impl PriceLevel {
    /// The level at a price in relation to that of an ample day. Between the two bounds it stays as it is.
    pub(super) fn next(self, scarcity: f64) -> Self {
        match self {
            Self::Ample if scarcity > SCARCE.0 => Self::Scarce,
            Self::Scarce if scarcity < SCARCE.1 => Self::Ample,
            Self::Ample | Self::Scarce => self,
        }
    }
}

#[cfg(test)]
mod tests;
