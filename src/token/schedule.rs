//! When the next renewal is due. Pure: time and random numbers are arguments.

use std::time::Duration;

use tokio::time::Instant;

use crate::backoff::{Backoff, Jitter};

/// The vendor's limit at its token endpoint is one call a second.
const SPACING: Duration = Duration::from_secs(1);
/// After failures. At most a minute: an endpoint that is back is noticed within that time.
const BACKOFF: Backoff = Backoff::new(SPACING, Duration::from_secs(60));
/// How far jitter lengthens or shortens such a pause, as a share of it.
const PAUSE_SPREAD: f64 = 0.2;
/// Between attempts with a refresh token that was refused as invalid, in case the refusal was the vendor's mistake.
const DEAD_PAUSE: Duration = Duration::from_secs(5 * 60);
/// The shortest that jitter makes of it.
pub(super) const SHORTEST_DEAD_PAUSE: Duration = Duration::from_secs(4 * 60);
/// The share of a lifetime after which a token is renewed, and how far jitter moves that: replicas that started together
/// must not renew at the same time.
const RENEW_AT: f64 = 0.8;
const SPREAD: f64 = 0.03;

/// When the next renewal is due.
#[derive(Debug)]
pub(super) struct RenewalSchedule {
    /// When a renewal is wanted.
    wanted_at: Instant,
    /// No call before this, even if a renewal is wanted.
    not_before: Instant,
    failures: u32,
}

// === impl RenewalSchedule ===

impl RenewalSchedule {
    /// The first renewal is due now.
    pub(super) const fn at_once(now: Instant) -> Self {
        Self { wanted_at: now, not_before: now, failures: 0 }
    }

    /// When the next call may leave.
    pub(super) fn due(&self) -> Instant {
        self.wanted_at.max(self.not_before)
    }

    /// When a renewal is wanted; after a failure, the time of that failure.
    pub(super) const fn wanted_at(&self) -> Instant {
        self.wanted_at
    }

    /// No call before this, even if a renewal is wanted.
    pub(super) const fn not_before(&self) -> Instant {
        self.not_before
    }

    /// Whether the last call failed in a way that a later one may not.
    pub(super) const fn has_failed(&self) -> bool {
        self.failures > 0
    }

    /// A token is installed that is valid for `remaining` of its `lifetime`.
    pub(super) fn holding(&mut self, now: Instant, lifetime: Duration, remaining: Duration, jitter: Jitter) {
        let renew_at = jitter.spread(lifetime.mul_f64(RENEW_AT), SPREAD / RENEW_AT);
        self.wanted_at = now + renew_at.saturating_sub(lifetime.saturating_sub(remaining));
        self.failures = 0;
    }

    /// A renewal is wanted now.
    pub(super) fn requested(&mut self, now: Instant) {
        self.wanted_at = self.wanted_at.min(now);
    }

    /// There is a new refresh token: failures of the previous one and a `Retry-After` do not count. A person has provided
    /// it and is waiting, and it costs one call.
    pub(super) fn anew(&mut self, now: Instant) {
        self.wanted_at = now;
        self.not_before = self.not_before.min(now + SPACING);
        self.failures = 0;
    }

    /// A call is made.
    pub(super) fn called(&mut self, now: Instant) {
        self.not_before = now + SPACING;
    }

    /// The call failed: the next one is 1, 2, 4 … 60 s from now, ±20 %, and not before `retry_after`.
    pub(super) fn failed(&mut self, now: Instant, retry_after: Duration, jitter: Jitter) {
        self.pause(now, BACKOFF.pause(self.failures), jitter);
        self.failures = self.failures.saturating_add(1);
        self.not_before = self.not_before.max(now + retry_after);
    }

    /// Others come first: the next call is in a little more than `wait`, as other replicas wait for the same.
    pub(super) fn not_yet(&mut self, now: Instant, wait: Duration, jitter: Jitter) {
        self.wanted_at = now;
        self.not_before = self.not_before.max(now + wait + jitter.spread(SPACING, 1.0));
    }

    /// The refresh token is invalid, or there is none.
    pub(super) fn dead(&mut self, now: Instant, jitter: Jitter) {
        self.pause(now, DEAD_PAUSE, jitter);
    }

    fn pause(&mut self, now: Instant, pause: Duration, jitter: Jitter) {
        self.wanted_at = now;
        self.not_before = self.not_before.max(now + jitter.spread(pause, PAUSE_SPREAD));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIDDLE: Jitter = Jitter(0.5);
    const DAY: Duration = Duration::from_secs(86_400);

    fn seconds(duration: Duration) -> f64 {
        duration.as_secs_f64()
    }

    #[test]
    fn a_token_is_renewed_at_about_four_fifths_of_its_life() {
        let now = Instant::now();
        let mut schedule = RenewalSchedule::at_once(now);
        for (random, expected) in [(0.0, 0.77), (0.5, 0.8), (1.0, 0.83)] {
            schedule.holding(now, DAY, DAY, Jitter(random));
            let at = seconds(schedule.due() - now) / seconds(DAY);
            assert!((at - expected).abs() < 1e-6, "{at}");
        }
        // A restart with two hours left renews at once; with 23 left, after as much as is missing.
        schedule.holding(now, DAY, DAY / 12, MIDDLE);
        assert_eq!(schedule.due(), now);
        schedule.holding(now, DAY, DAY - DAY / 10, MIDDLE);
        assert!((seconds(schedule.due() - now) - 0.7 * seconds(DAY)).abs() < 1.0);
    }

    #[test]
    fn calls_are_a_second_apart_and_failures_further_and_further() {
        let mut now = Instant::now();
        let mut schedule = RenewalSchedule::at_once(now);
        for expected in [1, 2, 4, 8, 16, 32, 60, 60] {
            schedule.called(now);
            schedule.requested(now);
            assert!(schedule.due() >= now + SPACING);
            schedule.failed(now, Duration::ZERO, MIDDLE);
            schedule.requested(now);
            assert_eq!(schedule.due(), now + Duration::from_secs(expected), "impatience changes nothing");
            now = schedule.due();
        }
        schedule.called(now);
        schedule.anew(now);
        assert_eq!(schedule.due(), now + SPACING, "a new refresh token waits for nothing but the second");
    }

    #[test]
    fn a_retry_after_can_only_lengthen_a_pause() {
        let now = Instant::now();
        for (retry_after, expected) in [(0, 1), (1, 1), (3_600, 3_600)] {
            let mut schedule = RenewalSchedule::at_once(now);
            schedule.failed(now, Duration::from_secs(retry_after), MIDDLE);
            assert_eq!(schedule.due(), now + Duration::from_secs(expected));
        }
    }

    #[test]
    fn whoever_lets_others_go_first_looks_again_within_two_seconds_of_their_time() {
        let (now, wait) = (Instant::now(), Duration::from_secs(60));
        for (random, more) in [(0.0, 0), (0.5, 1), (1.0, 2)] {
            let mut schedule = RenewalSchedule::at_once(now);
            schedule.not_yet(now, wait, Jitter(random));
            assert_eq!(schedule.due(), now + wait + Duration::from_secs(more));
        }
    }

    #[test]
    fn a_dead_token_is_looked_at_rarely() {
        let now = Instant::now();
        let mut schedule = RenewalSchedule::at_once(now);
        schedule.called(now);
        schedule.dead(now, Jitter(0.0));
        assert_eq!(schedule.due(), now + SHORTEST_DEAD_PAUSE);
    }
}
