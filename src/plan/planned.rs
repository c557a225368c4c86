//! Planned refresh as a strategy: the parts of [`crate::refresh`], combined as in the proxy.

use std::time::Duration;

use super::{
    CachedPoll, CopyKey, PendingRefresh, Probing, RefreshTiming, Strategy, Workload,
    plan_options::{Derivation, PlanOptions},
};
use crate::refresh::{
    CacheHit, CampaignStats, CopyStats, DemandSlice, KeysPerCampaign, Pairing, PollTimes, PriceController,
    PriceLimits, PriceRecord, ProbeBenefit, ProbeSelection, RefreshCeiling, RefreshDecision, RefreshTerms,
    ReportForm, UnexpectedClicks, UtcTime,
};

/// Campaigns per call of the statistics endpoint.
const PROBED_AT_ONCE: usize = 10;

/// The state of planned refresh during a replay.
#[derive(Debug)]
pub struct Planned {
    options: PlanOptions,
    per_day: u32,
    campaigns: Vec<Option<CampaignStats>>,
    copies: Vec<[Option<CopyStats>; 2]>,
    /// Responses from the cache that all replicas know of, by campaign and form.
    answers: Vec<[u32; 2]>,
    /// Responses since the last exchange, by replica, campaign and form.
    unshared: Vec<Vec<[u32; 2]>>,
    /// All responses from the cache, by campaign and form.
    all_answers: Vec<[u32; 2]>,
    /// Of these, the responses since the last fetch that waited for it, by campaign and form.
    waited: Vec<[u32; 2]>,
    /// Poll times by replica, campaign and form.
    polls: Vec<Vec<[PollTimes; 2]>>,
    next_exchange: Duration,
    terms: RefreshTerms,
    controller: PriceController,
    ceiling: RefreshCeiling,
    probes: ProbeBenefit,
    last_slice: Duration,
    /// Campaigns whose two forms turned out not to show the same clicks.
    pub separated: u32,
    /// Clicks missed as the proxy would report them in `cache_clicks_missed_total`.
    pub estimated_missed: f64,
}

// === impl Planned ===

impl Planned {
    /// Starts with an empty cache and no statistics.
    pub fn new(workload: &Workload, options: PlanOptions) -> Self {
        let (count, per_day) = (workload.campaigns.len(), workload.per_day);
        let replicas = options.exchange.map_or(1, |exchange| exchange.replicas.into());
        let probes = match options.probing {
            Probing::Off | Probing::Always => ProbeBenefit::ALWAYS,
            Probing::WhenItPays => ProbeBenefit::judged(),
        };
        let limits = PriceLimits { per_day, reserve: options.reserve };
        let controller = controller(limits, options.usual_demand);
        Self {
            options,
            per_day,
            campaigns: vec![None; count],
            copies: vec![[None; 2]; count],
            answers: vec![[0; 2]; count],
            unshared: vec![
                vec![[0; 2]; count];
                options.exchange.map_or(0, |exchange| exchange.replicas.into())
            ],
            all_answers: vec![[0; 2]; count],
            waited: vec![[0; 2]; count],
            polls: vec![vec![Default::default(); count]; replicas],
            next_exchange: options.exchange.map_or(Duration::MAX, |exchange| exchange.interval),
            terms: RefreshTerms {
                price: controller.price(),
                unexpected: UnexpectedClicks::shared_by(options.unexpected_clicks, 0, 0),
            },
            controller,
            ceiling: RefreshCeiling::new(per_day, options.hour_share),
            probes,
            last_slice: Duration::ZERO,
            separated: 0,
            estimated_missed: 0.0,
        }
    }

    /// The controller that sets the price of a call.
    pub const fn controller(&self) -> &PriceController {
        &self.controller
    }

    /// Counts a response and returns the responses of this report that the replica knows of, including this one.
    fn count_answer(&mut self, key: CopyKey, viewer: u16, now: Duration) -> u32 {
        let (campaign, form) = (key.campaign as usize, key.form.index());
        self.all_answers[campaign][form] += 1;
        let Some(exchange) = self.options.exchange else {
            self.answers[campaign][form] += 1;
            return self.answers[campaign][form];
        };
        if now >= self.next_exchange {
            self.next_exchange = now + exchange.interval;
            self.exchange_answers();
        }
        let own = &mut self.unshared[usize::from(viewer % exchange.replicas)][campaign][form];
        *own += 1;
        self.answers[campaign][form] + *own
    }

    fn exchange_answers(&mut self) {
        for replica in &mut self.unshared {
            for (answers, new) in self.answers.iter_mut().zip(replica) {
                for (answers, new) in answers.iter_mut().zip(new) {
                    *answers += std::mem::take(new);
                }
            }
        }
    }

    /// Drops the counts not yet exchanged: the cached report is known to be current, so they no longer matter.
    fn forget_unshared(&mut self, campaign: usize, form: ReportForm) {
        for replica in &mut self.unshared {
            replica[campaign][form.index()] = 0;
        }
    }

    /// Updates the statistics of a cached report after a probe or a fetch of the other form.
    fn tell(&mut self, campaign: usize, form: ReportForm) {
        let answers = self.answers[campaign][form.index()];
        let Some(stats) = &self.campaigns[campaign] else { return };
        let Some(copy) = &mut self.copies[campaign][form.index()] else { return };
        let history = stats.history(form);
        let times = stats.answer_times(form, self.last_slice);
        self.estimated_missed += copy.clicks_missed(history.clicks(), answers, history.looked_at(), times);
        *copy = copy.campaign_looked(history, answers);
        if copy.known_missing() == 0 {
            self.forget_unshared(campaign, form);
        }
    }

    fn slice(&mut self, now: Duration) {
        let mut slice = DemandSlice::new(now, now - self.last_slice);
        self.last_slice = now;
        for (campaign, answers) in self.campaigns.iter_mut().zip(&self.all_answers) {
            if let Some(campaign) = campaign {
                slice.add(campaign, *answers, KeysPerCampaign::Two);
            }
        }
        let summary = slice.finish();
        self.controller.observe(&summary, UtcTime::since_epoch(now));
        self.terms.unexpected = summary.unexpected(self.options.unexpected_clicks);
    }
}

/// As at the end of a week of usual days, if these are known.
fn controller(limits: PriceLimits, usual_demand: Option<[f64; 24]>) -> PriceController {
    let start = UtcTime::since_epoch(Duration::ZERO);
    let new = PriceController::new(limits, start);
    match usual_demand {
        Some(usual) => {
            let days = vec![usual.map(Some); 7];
            PriceController::restore(limits, PriceRecord { days, ..new.record(start) }, start)
        }
        None => new,
    }
}

impl Strategy for Planned {
    fn key(&self, campaign: u32, form: ReportForm) -> CopyKey {
        match self.options.derivation {
            Derivation::Off => CopyKey { campaign, form },
            Derivation::On => CopyKey { campaign, form: ReportForm::AllLinks },
        }
    }

    fn polled(&mut self, poll: CachedPoll) -> RefreshDecision {
        let CachedPoll { key, viewer, age, now, pending } = poll;
        let answers = self.count_answer(key, viewer, now);
        let Some(copy) = &self.copies[key.campaign as usize][key.form.index()] else {
            return RefreshDecision::NotWorthIt;
        };
        let replica = self.options.exchange.map_or(0, |exchange| usize::from(viewer % exchange.replicas));
        let polls = &mut self.polls[replica][key.campaign as usize][key.form.index()];
        polls.record(polls.last().wrapping_add(1), now);
        let (policy, hit) =
            (&self.options.policy, CacheHit { answers, age, upstream_age: Duration::ZERO, held: age, now });
        let decision = match (self.options.timing, pending) {
            (RefreshTiming::Behind, _) | (RefreshTiming::AheadOfPolls, PendingRefresh::PutOff) => {
                policy.decide(copy, hit, &self.terms)
            }
            (RefreshTiming::AheadOfPolls, PendingRefresh::None) => {
                policy.decide_ahead(copy, hit, &self.terms, polls)
            }
        };
        match self.options.probing {
            Probing::Off => decision,
            Probing::Always | Probing::WhenItPays => {
                let fetched = copy.is_worth_a_fetch_of_its_own(answers, now, self.terms.price, &self.probes);
                if fetched { decision } else { RefreshDecision::NotWorthIt }
            }
        }
    }

    fn waited(&mut self, key: CopyKey) {
        self.waited[key.campaign as usize][key.form.index()] += 1;
    }

    fn still_worth_it(&self, key: CopyKey, age: Duration, now: Duration) -> bool {
        let (campaign, form) = (key.campaign as usize, key.form.index());
        let Some(copy) = &self.copies[campaign][form] else { return false };
        // The refresh is for the next response, so count it already.
        let hit = CacheHit {
            answers: self.answers[campaign][form] + 1,
            age,
            upstream_age: Duration::ZERO,
            held: age,
            now,
        };
        self.options.policy.decide(copy, hit, &self.terms) != RefreshDecision::NotWorthIt
    }

    fn allows_refresh(&self, used: u32) -> bool {
        self.ceiling.check(used, self.per_day, self.controller.reserved()).is_ok()
    }

    fn called(&mut self, refreshed: Option<CopyKey>) {
        self.ceiling.called();
        if refreshed.is_some() {
            self.controller.refreshed();
        }
    }

    fn landed(&mut self, key: CopyKey, clicks: u32, as_of: Duration) {
        let (campaign, form) = (key.campaign as usize, key.form.index());
        let answers = self.answers[campaign][form];
        let from_cache = answers.saturating_sub(std::mem::take(&mut self.waited[campaign][form]));
        if let (Some(copy), Some(stats)) = (&self.copies[campaign][form], &self.campaigns[campaign]) {
            let times = stats.answer_times(key.form, self.last_slice);
            self.estimated_missed += copy.clicks_missed(clicks, from_cache, as_of, times);
        }
        let pairing_before = self.campaigns[campaign].as_ref().map(CampaignStats::pairing);
        let stats = self.campaigns[campaign]
            .get_or_insert_with(|| CampaignStats::first_look(key.form, clicks, as_of));
        let pairing = stats.look(key.form, clicks, as_of);
        self.copies[campaign][form] = Some(CopyStats::fetched(stats.history(key.form), clicks, answers));
        self.forget_unshared(campaign, key.form);
        match pairing {
            Pairing::Paired => self.tell(campaign, key.form.other()),
            Pairing::Separate if pairing_before == Some(Pairing::Paired) => self.separated += 1,
            Pairing::Separate => {}
        }
    }

    fn minute_passed(&mut self, used: u32, now: Duration) {
        if now >= self.last_slice + DemandSlice::LENGTH {
            self.slice(now);
        }
        self.controller.tick(used, UtcTime::since_epoch(now));
        self.terms.price = self.controller.price();
        self.ceiling.pass(PriceController::TICK);
    }

    fn quota_exceeded(&mut self, used: u32) {
        self.controller.quota_exceeded(used);
    }

    fn price(&self) -> Option<f64> {
        Some(self.terms.price.clicks_missed())
    }

    fn probe(&mut self, now: Duration) -> Option<Vec<u32>> {
        if self.options.probing == Probing::Off {
            return None;
        }
        let mut selection = ProbeSelection::new(PROBED_AT_ONCE, now, self.terms.unexpected);
        for (campaign, stats) in self.campaigns.iter().enumerate() {
            let Some(stats) = stats else { continue };
            let copies: Vec<_> = ReportForm::BOTH
                .into_iter()
                .filter_map(|form| {
                    let copy = self.copies[campaign][form.index()]?;
                    Some((form, copy, self.answers[campaign][form.index()]))
                })
                .collect();
            selection.consider(campaign as u32, stats, &copies);
        }
        self.probes.observe(&selection);
        self.probes.pays().then(|| selection.worth_a_call(self.terms.price)).flatten()
    }

    fn probed(&mut self, campaign: u32, clicks: u32, as_of: Duration) {
        let campaign = campaign as usize;
        let Some(stats) = &mut self.campaigns[campaign] else { return };
        let before = stats.history(ReportForm::AllLinks).clicks();
        stats.probed(clicks.saturating_sub(before), as_of);
        for form in ReportForm::BOTH {
            self.tell(campaign, form);
        }
    }
}
