//! The model's reports and flights.

use std::{collections::HashMap, time::Duration};

use bytes::Bytes;
use foldhash::fast::RandomState;

use super::fleet::ModelFleet;
use crate::{
    report::ReportKey,
    shared::{
        Fence, FlightFailure, FlightLease, LookUp, LookedUp, Nonce, ReportKind, ReportToStore, SharedReport,
        StoreReport,
        millis::{millis, millis_up},
        short_word::short_word,
    },
};

/// How long a purge of a key is remembered: far longer than any flight.
const PURGE_LIFETIME: u64 = 3_600_000;

/// A flight is remembered for so long after its lease, since it may still fail.
const FLIGHT_REMEMBERED: u64 = 60_000;

/// A lease may have so much more time left than it was given for: a small step back of the clock ends none.
const CLOCK_SLACK: u64 = 1_000;

/// What has expired is dropped so much later: it may be asked for again after the clock was put back.
const DROPPED_AFTER: u64 = 3_600_000;

/// The reports and flights of all keys.
#[derive(Debug, Clone, Default)]
pub(super) struct ModelKeys {
    reports: HashMap<ReportKey, StoredReport, RandomState>,
    flights: HashMap<ReportKey, StoredFlight, RandomState>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purged {
    Yes,
    No,
}

/// All times in milliseconds by the store's clock.
#[derive(Debug, Clone)]
struct StoredReport {
    fence: Fence,
    /// `None`: purged.
    content: Option<StoredContent>,
    answers: u64,
    until: u64,
}

#[derive(Debug, Clone)]
struct StoredContent {
    kind: ReportKind,
    at: i64,
    changed: i64,
    body: Bytes,
    mac: Bytes,
}

#[derive(Debug, Clone)]
struct StoredFlight {
    by: FlightHolder,
    fence: Fence,
    until: u64,
    lease: u64,
}

#[derive(Debug, Clone)]
enum FlightHolder {
    Nonce(Nonce),
    BackOff { why: Box<str> },
}

// === impl StoredFlight ===

impl StoredFlight {
    fn ends_in(&self, now: u64, purged: Fence) -> Option<u64> {
        let ends_in =
            self.until.checked_sub(now).filter(|left| *left > 0 && *left <= self.lease + CLOCK_SLACK);
        ends_in.filter(|_| self.fence > purged)
    }

    fn is_of(&self, nonce: Nonce) -> bool {
        matches!(self.by, FlightHolder::Nonce(by) if by == nonce)
    }
}

// === impl ModelKeys ===

impl ModelKeys {
    pub(super) fn look_up(&mut self, now: u64, look_up: &LookUp, fleet: &mut ModelFleet) -> LookedUp {
        let LookUp { key, nonce, have, lease, answers } = *look_up;
        let flight = self.flights.get(&key).and_then(|flight| {
            let ends_in = flight.ends_in(now, fleet.purged)?;
            Some((flight.clone(), Duration::from_millis(ends_in)))
        });
        if let Some((StoredFlight { fence, .. }, _)) =
            flight.as_ref().filter(|(flight, _)| flight.is_of(nonce))
        {
            return self.lease_flight(now, key, nonce, *fence, lease);
        }
        if let Some(report) = self.reports.get_mut(&key).filter(|report| now < report.until) {
            report.answers += answers;
        }
        if let Some(newer) = self.newer(now, key, have, fleet.purged) {
            return LookedUp::Newer(newer);
        }
        match flight {
            Some((StoredFlight { by: FlightHolder::BackOff { why }, .. }, ends_in)) => {
                LookedUp::BackOff { ends_in, why }
            }
            Some((StoredFlight { by: FlightHolder::Nonce(_), .. }, ends_in)) => {
                LookedUp::InFlight { ends_in }
            }
            None => self.lease_flight(now, key, nonce, fleet.next_fence(), lease),
        }
    }

    fn lease_flight(
        &mut self,
        now: u64,
        key: ReportKey,
        nonce: Nonce,
        fence: Fence,
        lease: Duration,
    ) -> LookedUp {
        let lease = millis_up(lease);
        self.flights
            .insert(key, StoredFlight { by: FlightHolder::Nonce(nonce), fence, until: now + lease, lease });
        let report = self.reports.get(&key).filter(|report| now < report.until);
        LookedUp::Leased(FlightLease { fence, answers: report.map_or(0, |report| report.answers) })
    }

    /// The report, if it is newer than `have` and not purged.
    pub(super) fn newer(&self, now: u64, key: ReportKey, have: Fence, purged: Fence) -> Option<SharedReport> {
        let report = self.reports.get(&key).filter(|report| now < report.until)?;
        let content = report.content.as_ref().filter(|_| report.fence > have && report.fence > purged)?;
        let since = |at: i64| Duration::from_millis(now.saturating_sub_signed(at));
        Some(SharedReport {
            fence: report.fence,
            kind: content.kind,
            age: since(content.at),
            unchanged_for: since(content.changed),
            body: content.body.clone(),
            mac: content.mac.clone(),
        })
    }

    pub(super) fn fence(&self, now: u64, key: ReportKey) -> Option<(Fence, Purged)> {
        let report = self.reports.get(&key).filter(|report| now < report.until)?;
        Some((report.fence, if report.content.is_none() { Purged::Yes } else { Purged::No }))
    }

    pub(super) fn end_flight(&mut self, key: ReportKey, nonce: Nonce) {
        if self.flights.get(&key).is_some_and(|flight| flight.is_of(nonce)) {
            self.flights.remove(&key);
        }
    }

    pub(super) fn store(&mut self, now: u64, stored: &StoreReport) {
        let ReportToStore { kind, age, unchanged_for, ref body, ref mac } = stored.report;
        let before = |millis: u64| now.cast_signed() - millis.cast_signed();
        let content = StoredContent {
            kind,
            at: before(millis_up(age)),
            changed: before(millis(unchanged_for)),
            body: body.clone(),
            mac: mac.clone(),
        };
        let until = now + millis(stored.keep);
        let report = StoredReport { fence: stored.fence, content: Some(content), answers: 0, until };
        self.reports.insert(stored.key, report);
    }

    /// Says whether the flight was this one.
    pub(super) fn fail(&mut self, now: u64, failure: &FlightFailure) -> bool {
        let FlightFailure { key, nonce, back_off, ref why } = *failure;
        let remembered = |flight: &&mut StoredFlight| now < flight.until + FLIGHT_REMEMBERED;
        let held = self.flights.get_mut(&key).filter(|flight| flight.is_of(nonce)).filter(remembered);
        let Some(flight) = held else { return false };
        let lease = millis_up(back_off);
        flight.by = FlightHolder::BackOff { why: short_word(why).into() };
        (flight.until, flight.lease) = (now + lease, lease);
        true
    }

    pub(super) fn purge(&mut self, now: u64, key: ReportKey, fence: Fence) {
        self.flights.remove(&key);
        let tombstone = StoredReport { fence, content: None, answers: 0, until: now + PURGE_LIFETIME };
        self.reports.insert(key, tombstone);
    }

    pub(super) fn drop_expired(&mut self, now: u64) {
        self.reports.retain(|_, report| now < report.until + DROPPED_AFTER);
        self.flights.retain(|_, flight| now < flight.until + DROPPED_AFTER);
    }

    pub(super) fn evict_report(&mut self, key: ReportKey) {
        self.reports.remove(&key);
    }

    pub(super) fn evict_flight(&mut self, key: ReportKey) {
        self.flights.remove(&key);
    }
}
