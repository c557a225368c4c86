//! The last upstream calls, for the status page: when one last succeeded, how long they take, and the last failures with the
//! upstream's request ids.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use crate::report::{Cause, Exchange};

/// So many failures are kept.
const FAILURES: usize = 20;

/// The median is of so many calls.
const DURATIONS: usize = 64;

/// The last calls. Clones share them.
#[derive(Debug, Clone, Default)]
pub(crate) struct RecentCalls(Arc<Mutex<SeenCalls>>);

#[derive(Debug, Default)]
struct SeenCalls {
    last_success: Option<Instant>,
    /// Of the last calls that got a response.
    durations: VecDeque<Duration>,
    /// Newest last.
    failures: VecDeque<FailedCall>,
    failed: u64,
}

/// A call that failed, or several of the same report that failed alike one after the other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FailedCall {
    /// When the last of them ended.
    pub(crate) at: Instant,
    /// What was asked for.
    pub(crate) what: String,
    /// Why it was called.
    pub(crate) reason: &'static str,
    pub(crate) error_key: &'static str,
    /// As a sentence.
    pub(crate) error: String,
    /// The upstream's status; `None`: no response came.
    pub(crate) status: Option<u16>,
    /// The upstream's request id of the last of them.
    pub(crate) request_id: Option<Arc<str>>,
    /// How many.
    pub(crate) times: u32,
}

/// The last calls in a few values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CallsSummary {
    pub(crate) last_success: Option<Instant>,
    pub(crate) last_failure: Option<FailedCall>,
    /// How long the last calls took; `None`: none got a response.
    pub(crate) median: Option<Duration>,
    /// Since the start.
    pub(crate) failed: u64,
}

// === impl RecentCalls ===

impl RecentCalls {
    /// A call for `what` has ended now.
    pub(super) fn ended(
        &self,
        (reason, what): (&'static str, &dyn std::fmt::Display),
        cause: Option<&Cause>,
        exchange: &Exchange,
    ) {
        let now = Instant::now();
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if exchange.status.is_some() {
            push(&mut seen.durations, exchange.elapsed, DURATIONS);
        }
        let Some(cause) = cause else {
            seen.last_success = Some(now);
            return;
        };
        seen.failed += 1;
        let failed = FailedCall {
            at: now,
            what: what.to_string(),
            reason,
            error_key: cause.as_str(),
            error: cause.to_string(),
            status: exchange.status,
            request_id: exchange.request_id.clone(),
            times: 1,
        };
        match seen.failures.back_mut() {
            Some(last) if last.is_like(&failed) => *last = FailedCall { times: last.times + 1, ..failed },
            Some(_) | None => push(&mut seen.failures, failed, FAILURES),
        }
    }

    /// In a few values.
    pub(crate) fn summary(&self) -> CallsSummary {
        let seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut durations: Vec<_> = seen.durations.iter().copied().collect();
        durations.sort_unstable();
        CallsSummary {
            last_success: seen.last_success,
            last_failure: seen.failures.back().cloned(),
            median: durations.get(durations.len() / 2).copied(),
            failed: seen.failed,
        }
    }

    /// The last failures, newest first.
    pub(crate) fn failures(&self) -> Vec<FailedCall> {
        let seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        seen.failures.iter().rev().cloned().collect()
    }
}

/// Appends, and drops the oldest where there would be more than `most`.
fn push<T>(queue: &mut VecDeque<T>, item: T, most: usize) {
    if queue.len() == most {
        queue.pop_front();
    }
    queue.push_back(item);
}

// === impl FailedCall ===

impl FailedCall {
    fn is_like(&self, other: &Self) -> bool {
        (&self.what, self.error_key, self.status) == (&other.what, other.error_key, other.status)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::UpstreamFailure;

    fn exchange(status: u16, ms: u64) -> Exchange {
        let request_id = Some(format!("request-{ms}").into());
        Exchange {
            status: Some(status),
            request_id,
            elapsed: Duration::from_millis(ms),
            ..Exchange::default()
        }
    }

    fn fails(recent: &RecentCalls, what: u64, status: u16) {
        let cause = UpstreamFailure::Status { status }.into();
        recent.ended(("miss", &what), Some(&cause), &exchange(status, what));
    }

    #[tokio::test(start_paused = true)]
    async fn the_last_failures_are_kept_newest_first_and_no_more_than_twenty() {
        let recent = RecentCalls::default();
        (0..30).for_each(|what| fails(&recent, what, 500));
        let whats: Vec<_> = recent.failures().into_iter().map(|failed| failed.what).collect();
        assert_eq!(whats, (10..30).rev().map(|what| what.to_string()).collect::<Vec<_>>());
        assert_eq!(recent.summary().failed, 30);
    }

    #[tokio::test(start_paused = true)]
    async fn failures_alike_in_a_row_are_one_with_the_newest_request_id() {
        let recent = RecentCalls::default();
        for (what, status) in [(1, 500), (1, 500), (1, 503), (2, 503), (1, 503)] {
            fails(&recent, what, status);
        }
        let seen: Vec<_> = recent
            .failures()
            .into_iter()
            .map(|FailedCall { what, status, times, request_id, .. }| (what, status, times, request_id))
            .collect();
        let of = |what: &str, status, times| {
            (what.to_owned(), Some(status), times, Some(format!("request-{what}").into()))
        };
        assert_eq!(seen, [of("1", 503, 1), of("2", 503, 1), of("1", 503, 1), of("1", 500, 2)]);
    }

    #[tokio::test(start_paused = true)]
    async fn the_median_is_of_the_calls_that_got_a_response() {
        let recent = RecentCalls::default();
        assert_eq!(recent.summary().median, None);
        for ms in [300, 100, 200] {
            recent.ended(("miss", &1), None, &exchange(200, ms));
        }
        recent.ended(("miss", &1), Some(&UpstreamFailure::Timeout.into()), &Exchange::default());
        let summary = recent.summary();
        assert_eq!(summary.median, Some(Duration::from_millis(200)));
        assert_eq!((summary.last_success, summary.failed), (Some(Instant::now()), 1));
    }
}
