//! The requests that were received, for assertions and for `/_simulator/stats`.

use std::collections::{BTreeMap, VecDeque};

use http::{HeaderMap, Method};
use tokio::time::Instant;
use uuid::Uuid;

/// Activities beyond this many are counted in the total only.
const REMEMBERED_ACTIVITIES: usize = 100_000;

/// A request as it arrived.
#[derive(Clone, Debug)]
pub struct SeenRequest {
    /// Its method.
    pub method: Method,
    /// The request target, byte by byte.
    pub target: String,
    /// All headers; `Debug` does not print `Authorization` and `Cookie`.
    pub headers: HeaderMap,
    /// The number of its connection, from 1.
    pub connection: u64,
    /// When it arrived, on tokio's clock.
    pub at: Instant,
}

/// A refresh token as it was sent to the token endpoint.
#[derive(Clone, Debug)]
pub struct SeenRefresh {
    /// The token that was sent.
    pub sent: String,
    /// The refresh token in the answer; `None`: `invalid_grant`.
    pub next: Option<String>,
    /// When, on tokio's clock.
    pub at: Instant,
}

/// The latest requests and all counts.
pub(super) struct Record {
    remembered: usize,
    seen: VecDeque<SeenRequest>,
    refreshes: VecDeque<SeenRefresh>,
    report_calls: u64,
    token_calls: u64,
    refused_refresh_tokens: u64,
    statistics_calls: u64,
    activity_calls: u64,
    by_activity: BTreeMap<Uuid, u64>,
    in_flight: u64,
    peak: u64,
}

// === impl Record ===

impl Record {
    pub(super) fn new(remembered: usize) -> Self {
        Self {
            remembered,
            seen: VecDeque::new(),
            refreshes: VecDeque::new(),
            report_calls: 0,
            token_calls: 0,
            refused_refresh_tokens: 0,
            statistics_calls: 0,
            activity_calls: 0,
            by_activity: BTreeMap::new(),
            in_flight: 0,
            peak: 0,
        }
    }

    pub(super) fn remember(&mut self, request: SeenRequest) {
        self.seen.push_back(request);
        if self.seen.len() > self.remembered {
            self.seen.pop_front();
        }
    }

    pub(super) fn remember_refresh(&mut self, refresh: SeenRefresh) {
        self.refused_refresh_tokens += u64::from(refresh.next.is_none());
        self.refreshes.push_back(refresh);
        if self.refreshes.len() > self.remembered {
            self.refreshes.pop_front();
        }
    }

    pub(super) fn refreshes(&self) -> impl DoubleEndedIterator<Item = &SeenRefresh> {
        self.refreshes.iter()
    }

    /// Counts a report call, whatever its outcome, and returns the new total.
    pub(super) fn count_report_call(&mut self, activity: Option<Uuid>) -> u64 {
        self.report_calls += 1;
        if let Some(id) = activity
            && (self.by_activity.len() < REMEMBERED_ACTIVITIES || self.by_activity.contains_key(&id))
        {
            *self.by_activity.entry(id).or_default() += 1;
        }
        self.report_calls
    }

    pub(super) fn count_token_call(&mut self) {
        self.token_calls += 1;
    }

    pub(super) fn count_statistics_call(&mut self) {
        self.statistics_calls += 1;
    }

    pub(super) fn count_activity_call(&mut self) {
        self.activity_calls += 1;
    }

    pub(super) fn enter(&mut self) {
        self.in_flight += 1;
        self.peak = self.peak.max(self.in_flight);
    }

    pub(super) fn leave(&mut self) {
        self.in_flight = self.in_flight.saturating_sub(1);
    }

    pub(super) fn seen(&self) -> impl DoubleEndedIterator<Item = &SeenRequest> {
        self.seen.iter()
    }

    pub(super) fn report_calls(&self) -> u64 {
        self.report_calls
    }

    pub(super) fn token_calls(&self) -> u64 {
        self.token_calls
    }

    pub(super) fn statistics_calls(&self) -> u64 {
        self.statistics_calls
    }

    pub(super) fn activity_calls(&self) -> u64 {
        self.activity_calls
    }

    pub(super) fn refused_refresh_tokens(&self) -> u64 {
        self.refused_refresh_tokens
    }

    pub(super) fn by_activity(&self) -> &BTreeMap<Uuid, u64> {
        &self.by_activity
    }

    pub(super) fn in_flight(&self) -> u64 {
        self.in_flight
    }

    pub(super) fn peak_in_flight(&self) -> u64 {
        self.peak
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_bounded_however_long_it_runs() {
        let mut record = Record::new(20);
        for id in 0..REMEMBERED_ACTIVITIES as u128 + 10 {
            record.count_report_call(Some(Uuid::from_u128(id)));
            record.remember(SeenRequest {
                method: Method::GET,
                target: String::new(),
                headers: HeaderMap::new(),
                connection: 1,
                at: Instant::now(),
            });
        }
        record.count_report_call(Some(Uuid::from_u128(0)));
        assert_eq!(record.report_calls(), REMEMBERED_ACTIVITIES as u64 + 11);
        assert_eq!(record.by_activity().len(), REMEMBERED_ACTIVITIES);
        assert_eq!(record.by_activity()[&Uuid::from_u128(0)], 2);
        assert_eq!(record.seen().count(), 20);
    }
}
