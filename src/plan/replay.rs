//! The replay loop: runs a workload through a strategy, poll by poll.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use super::{
    CachedPoll, CallLine, CopyKey, Interval, Outcome, PendingRefresh, Strategy, Waiting, Workload,
    calls::Departure,
};
use crate::refresh::{DemandSlice, PriceController, ProbeSelection, RefreshDecision, ReportForm};

/// The state of a replay: cached reports, calls in flight, and delayed refreshes.
struct Replay<'a, S> {
    workload: &'a Workload,
    strategy: &'a mut S,
    waiting: Waiting,
    /// Cached reports, by campaign and form.
    copies: Vec<[Option<HeldCopy>; 2]>,
    /// Fetches in flight, by campaign and form.
    coming: Vec<[Option<ComingCopy>; 2]>,
    /// The keys of the fetches in flight, oldest first; responses arrive in the order of the calls.
    flights: VecDeque<CopyKey>,
    /// Delayed refreshes, ordered by time, campaign and form.
    put_off: BTreeMap<(Duration, u32, usize), CopyKey>,
    /// Time of the delayed refresh, by campaign and form.
    put_off_until: Vec<[Option<Duration>; 2]>,
    calls: CallLine,
    outcome: Outcome,
}

#[derive(Debug, Clone, Copy)]
struct HeldCopy {
    clicks: u32,
    as_of: Duration,
}

#[derive(Debug, Clone, Copy)]
struct ComingCopy {
    copy: HeldCopy,
    here_at: Duration,
}

/// Runs a workload through a strategy. `progress` is called once per simulated hour, with the share that is done (0 to
/// 1).
pub fn replay(
    workload: &Workload,
    strategy: &mut impl Strategy,
    waiting: Waiting,
    mut progress: impl FnMut(f64),
) -> Outcome {
    let campaigns = workload.campaigns.len();
    let mut replay = Replay {
        workload,
        strategy,
        waiting,
        copies: vec![[None; 2]; campaigns],
        coming: vec![[None; 2]; campaigns],
        flights: VecDeque::new(),
        put_off: BTreeMap::new(),
        put_off_until: vec![[None; 2]; campaigns],
        calls: CallLine::default(),
        outcome: Outcome::default(),
    };
    let mut next_minute = PriceController::TICK;
    let mut next_probe = ProbeSelection::<u32>::INTERVAL;
    let (mut answers, mut missed) = (0, 0);
    for poll in &workload.polls {
        while poll.at >= next_probe {
            replay.probe(next_probe);
            next_probe += ProbeSelection::<u32>::INTERVAL;
        }
        while poll.at >= next_minute {
            replay.calls.turn_to(next_minute);
            let used = replay.calls.used();
            replay.strategy.minute_passed(used, next_minute);
            if next_minute.as_secs().is_multiple_of(DemandSlice::LENGTH.as_secs()) {
                let price = replay.strategy.price();
                replay.outcome.timeline.push(Interval { until: next_minute, price, used, answers, missed });
                (answers, missed) = (0, 0);
            }
            if next_minute.as_secs().is_multiple_of(3600) {
                progress(next_minute.as_secs_f64() / workload.end.as_secs_f64());
            }
            next_minute += PriceController::TICK;
        }
        replay.refresh_what_was_put_off(poll.at);
        replay.land_until(poll.at);
        let key = replay.strategy.key(poll.campaign, poll.form);
        let measured = (workload.measured_from..workload.end).contains(&poll.at);
        match replay.answer(key, poll.viewer, poll.at) {
            Some(copy) => {
                let lacks = workload.shown_in(poll.campaign, key.form, poll.at).saturating_sub(copy.clicks);
                answers += 1;
                missed += u64::from(lacks);
                if measured {
                    replay.outcome.answered(lacks, poll.at.saturating_sub(copy.as_of));
                }
            }
            None if measured => replay.outcome.refused += 1,
            None => {}
        }
    }
    let Replay { mut outcome, calls, .. } = replay;
    outcome.denied = calls.denied;
    outcome.count_calls(&calls.made, workload.measured_from, workload.end);
    outcome
}

/// Replays replicas that share nothing: each has a part of the viewers and of the budget, and its own strategy.
pub(crate) fn replay_apart<S: Strategy>(
    workload: &Workload,
    replicas: u16,
    waiting: Waiting,
    mut strategy: impl FnMut(&Workload) -> S,
) -> Outcome {
    let mut together = Outcome::default();
    for replica in 0..replicas {
        let part = workload.part(replica, replicas);
        together.add(&replay(&part, &mut strategy(&part), waiting, |_| {}));
    }
    together
}

// === impl Replay ===

impl<S: Strategy> Replay<'_, S> {
    /// The report that a poll gets. `None`: nothing is cached and the call was denied.
    fn answer(&mut self, key: CopyKey, viewer: u16, now: Duration) -> Option<HeldCopy> {
        let (campaign, form) = place(key);
        let Some(copy) = self.copies[campaign][form] else {
            self.outcome.waited += 1;
            // A miss waits for the fetch, so its response misses no clicks and has age 0.
            return self.fetch(key, None, now).map(|_| HeldCopy { clicks: u32::MAX, as_of: now });
        };
        let pending = match self.put_off_until[campaign][form] {
            Some(_) => PendingRefresh::PutOff,
            None => PendingRefresh::None,
        };
        let age = now.saturating_sub(copy.as_of);
        let decision = self.strategy.polled(CachedPoll { key, viewer, age, now, pending });
        if decision == RefreshDecision::NotWorthIt {
            return Some(copy);
        }
        let waits = match self.waiting {
            Waiting::Seldom => decision == RefreshDecision::RefreshFirst,
            Waiting::WhenDue => true,
            Waiting::Never => false,
        };
        if let Some(coming) = self.coming[campaign][form] {
            // Whoever waits joins the fetch in flight.
            self.outcome.waited += u64::from(waits);
            return Some(if waits { coming.copy } else { copy });
        }
        if let RefreshDecision::RefreshIn(wait) = decision {
            let then = now + wait;
            self.put_off_until[campaign][form] = Some(then);
            self.put_off.insert((then, key.campaign, form), key);
            return Some(copy);
        }
        self.take_back_what_was_put_off(key);
        let coming = self.fetch(key, Some(key), now);
        match coming {
            Some(coming) if waits => {
                self.outcome.waited += 1;
                self.strategy.waited(key);
                Some(coming)
            }
            Some(_) | None => Some(copy),
        }
    }

    /// Cancels the delayed refresh of a key, because the refresh is made now.
    fn take_back_what_was_put_off(&mut self, key: CopyKey) {
        let (campaign, form) = place(key);
        if let Some(until) = self.put_off_until[campaign][form].take() {
            self.put_off.remove(&(until, key.campaign, form));
        }
    }

    fn refresh_what_was_put_off(&mut self, now: Duration) {
        while let Some((&(at, campaign, form), &key)) = self.put_off.first_key_value() {
            if at > now {
                return;
            }
            self.put_off.remove(&(at, campaign, form));
            self.put_off_until[campaign as usize][form] = None;
            self.land_until(at);
            let Some(copy) = self.copies[campaign as usize][form] else { continue };
            if self.strategy.still_worth_it(key, at.saturating_sub(copy.as_of), at) {
                self.fetch(key, Some(key), at);
            }
        }
    }

    fn fetch(&mut self, key: CopyKey, refreshed: Option<CopyKey>, now: Duration) -> Option<HeldCopy> {
        let (campaign, form) = place(key);
        if let Some(coming) = self.coming[campaign][form] {
            return Some(coming.copy);
        }
        let (answered_at, here_at) = self.call(refreshed, now)?;
        let clicks = self.workload.shown_in(key.campaign, key.form, answered_at);
        let copy = HeldCopy { clicks, as_of: answered_at };
        self.coming[campaign][form] = Some(ComingCopy { copy, here_at });
        self.flights.push_back(key);
        Some(copy)
    }

    fn call(&mut self, refreshed: Option<CopyKey>, now: Duration) -> Option<(Duration, Duration)> {
        if refreshed.is_some() && !self.strategy.allows_refresh(self.calls.used()) {
            self.calls.denied += 1;
            return None;
        }
        match self.calls.depart(self.workload, now) {
            Departure::Call { answered_at, here_at } => {
                self.strategy.called(refreshed);
                Some((answered_at, here_at))
            }
            Departure::QuotaExceeded => {
                self.strategy.quota_exceeded(self.calls.used());
                None
            }
            Departure::Denied => {
                self.calls.denied += 1;
                None
            }
        }
    }

    fn probe(&mut self, now: Duration) {
        let Some(campaigns) = self.strategy.probe(now) else { return };
        let Some(first) = campaigns.first().copied() else { return };
        let any = self.strategy.key(first, ReportForm::Clicked);
        if let Some((answered_at, _)) = self.call(Some(any), now) {
            for campaign in campaigns {
                let clicks = self.workload.shown(campaign, answered_at);
                self.strategy.probed(campaign, clicks, answered_at);
            }
        }
    }

    fn land_until(&mut self, now: Duration) {
        while let Some(key) = self.flights.front().copied() {
            let (campaign, form) = place(key);
            let Some(coming) = self.coming[campaign][form].filter(|coming| coming.here_at <= now) else {
                return;
            };
            self.flights.pop_front();
            self.coming[campaign][form] = None;
            self.copies[campaign][form] = Some(coming.copy);
            self.strategy.landed(key, coming.copy.clicks, coming.copy.as_of);
        }
    }
}

const fn place(key: CopyKey) -> (usize, usize) {
    let form = match key.form {
        ReportForm::Clicked => 0,
        ReportForm::AllLinks => 1,
    };
    (key.campaign as usize, form)
}
