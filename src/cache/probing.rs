//! The change probe in the cache: which campaigns the next probe is of, what its answer means for their reports, and which
//! reports wait for it. What it decides by is in [`crate::refresh`].

use std::time::Duration;

use tokio::time::Instant;

use super::{
    ReportCache,
    plan::RefreshPlan,
    planned_lookup::PlannedEntry,
    probe_control::{ProbeControl, ProbePassage},
    statistics::{count, form_of},
};
use crate::{
    refresh::{CacheHit, EmailClicks, ProbeOffReason, ProbeSelection, ProbeVerdict, ShadowStatus},
    report::{
        ActivityClicks, ActivityId, Cause, FailureStage, FetchError, FetchedStatistics, LocalDenial,
        NoClicks, QuotaPressure, Reason, ReportKey, StatisticsAnswer, StatisticsCall, UpstreamFailure,
    },
};

// === impl ReportCache ===

impl ReportCache {
    /// How often [`ReportCache::next_probe`] is to be called.
    pub const PROBE_INTERVAL: Duration = ProbeSelection::<ActivityId>::INTERVAL;

    /// The change probe to make at `now`, if one is worth a call. Pass its result to [`ReportCache::probed`]. Takes some
    /// milliseconds, so it does not belong on a worker thread.
    pub fn next_probe(&self, now: Instant) -> Option<StatisticsCall> {
        let plan = self.plan.as_ref()?;
        let mut probes = plan.probes()?;
        let at = self.options.clock.at(now);
        if !probes.change_probe.is_due(at) || !self.may_probe(plan, now) {
            return None;
        }
        let batch = match probes.change_probe.demanded_batch() {
            Some(batch) => batch.to_vec(),
            None => self.select(plan, &mut probes, now)?,
        };
        let call = StatisticsCall::new(batch)?;
        probes.change_probe.begin(at);
        Some(call)
    }

    fn may_probe(&self, plan: &RefreshPlan, now: Instant) -> bool {
        match self.quota_pressure.ask(now) {
            QuotaPressure::Normal | QuotaPressure::Delayed { .. } => plan.allows_refresh(),
            QuotaPressure::Stopped => false,
        }
    }

    fn select(&self, plan: &RefreshPlan, probes: &mut ProbeControl, now: Instant) -> Option<Vec<ActivityId>> {
        let (at, terms) = (self.options.clock.at(now), plan.terms());
        let mut selection = ProbeSelection::new(StatisticsCall::MAX_IDS, at, terms.unexpected);
        let ProbeControl { change_probe, benefit, .. } = probes;
        self.store.statistics().consider(
            &mut selection,
            |id, campaign| change_probe.admit(id, campaign, at),
            |key| {
                let entry = self.store.get(&key)?;
                let copy = entry.copy()?.cell.get();
                // A report that is worth a call and was not known to be current for so long is fetched anyway. One that
                // probes have shown to be current has no age: it would be fetched each day though nothing changes.
                let unknown_for = at.saturating_sub(copy.current_at());
                (unknown_for < entry.lifetime().revalidate).then(|| (copy, count(entry.hits())))
            },
        );
        benefit.observe(&selection);
        benefit.pays().then(|| selection.worth_a_call(terms.price)).flatten()
    }

    /// Applies the result of a change probe, if probes are relied on; counts it in any case.
    pub fn probed(&self, call: &StatisticsCall, result: Result<FetchedStatistics, FetchError>) {
        let Some(plan) = &self.plan else { return };
        plan.fetched(Reason::Probe, result.as_ref().err());
        let Some(mut probes) = plan.probes() else { return };
        let now = self.options.clock.at(Instant::now());
        probes.passed(passage(&result));
        match result {
            Ok(FetchedStatistics { answer: StatisticsAnswer::Rejected, .. }) => {
                tracing::debug!(%call, "the statistics endpoint rejected a change probe for one of its activities");
                probes.change_probe.rejected(call.ids(), now);
            }
            Ok(fetched) => self.told(call, &fetched, &mut probes, now),
            Err(error) => match (error.stage(), error.cause) {
                (FailureStage::Refused, _) => {}
                (_, Cause::Upstream(UpstreamFailure::Forbidden)) => probes.change_probe.forbidden(),
                (FailureStage::Sent | FailureStage::Connecting, _) => probes.change_probe.failed(now),
            },
        }
        probes.tell(&self.metrics);
    }

    fn told(
        &self,
        call: &StatisticsCall,
        fetched: &FetchedStatistics,
        probes: &mut ProbeControl,
        now: Duration,
    ) {
        let StatisticsAnswer::Statistics(found) = &fetched.answer else { return };
        let answered_at = self.options.clock.at(fetched.answered_at);
        let read = |found: &ActivityClicks| {
            let as_of = answered_at.saturating_sub(fetched.age_of(found));
            (found.id, EmailClicks { count: found.clicks, as_of })
        };
        let clicks: Vec<_> = found.iter().map(read).collect();
        probes.change_probe.answered(call.ids(), &clicks, now);
        for (ActivityClicks { id, counted, .. }, (_, clicks)) in found.iter().zip(clicks) {
            let verdict = self
                .store
                .statistics()
                .record_probe(*id, *counted, |campaign| probes.change_probe.verdict(campaign, clicks));
            let Some(verdict) = verdict else { continue };
            self.metrics.probes.told(verdict.as_str());
            // One that contradicts switches probes off, so nothing after it is applied.
            if probes.is_trusted() {
                self.apply(*id, verdict);
            }
        }
    }

    pub(super) fn apply(&self, id: ActivityId, verdict: ProbeVerdict) {
        let Some(histories) = self.store.statistics().look_by_probe(id, verdict) else { return };
        for no_clicks in [NoClicks::Omitted, NoClicks::Listed] {
            self.tell(ReportKey { id, no_clicks }, &histories[form_of(no_clicks).index()]);
        }
    }

    /// Compares a fetched report with what probes have told of its campaign. The upstream counted its clicks after
    /// `asked_at`: a probe of a time in between may show fewer or more.
    pub(super) fn compare_with_probes(&self, id: ActivityId, clicks: u32, asked_at: Instant) {
        let Some(mut probes) = self.plan.as_ref().and_then(RefreshPlan::probes) else { return };
        if !probes.compares() {
            return;
        }
        let at = self.options.clock.at(asked_at);
        // What it confirms is counted by `tell`.
        let _check = self
            .store
            .statistics()
            .record_report(id, |campaign| probes.change_probe.report_fetched(campaign, clicks, at));
        probes.tell(&self.metrics);
    }

    /// Whether a report that is worth a call is served as it is, since the next probe tells whether it has changed.
    pub(super) fn waits_for_probe(
        &self,
        PlannedEntry { plan, copy, .. }: &PlannedEntry<'_>,
        id: ActivityId,
        hit: CacheHit,
    ) -> bool {
        let Some(probes) = plan.probes() else { return false };
        probes.comes_first(copy, hit.answers.saturating_sub(1), hit.now, plan.terms().price)
            && self
                .store
                .statistics()
                .is_probed(id, |campaign| probes.change_probe.admit(id, campaign, hit.now))
    }

    /// Whether probes are relied on. `None`: lifetimes are fixed.
    pub fn probe_status(&self) -> Option<ShadowStatus<ProbeOffReason>> {
        let plan = self.plan.as_ref()?;
        Some(plan.probes().map_or(ShadowStatus::Off, |probes| probes.change_probe.status()))
    }
}

fn passage(result: &Result<FetchedStatistics, FetchError>) -> ProbePassage {
    match result {
        Err(FetchError { cause: Cause::Local(LocalDenial::CircuitOpen { .. }), .. }) => ProbePassage::Closed,
        Ok(_) | Err(_) => ProbePassage::Open,
    }
}
