//! The back-off after repeated 401s: no call carries the refused token, except one probe call after each pause.
//! Otherwise every request would use up quota for another 401. Pure: time is an argument.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::Instant,
};

use crate::backoff::Backoff;

/// The back-off starts after this many 401s in a row; fewer may be the upstream's mistake.
const TOO_MANY: u32 = 3;
/// At most a minute: a token that is accepted again is noticed within that time.
const BACKOFF: Backoff = Backoff::new(Duration::from_secs(5), Duration::from_secs(60));

/// Consecutive 401s to one token, or to several of which each was renewed while the one before was refused.
#[derive(Debug)]
pub(super) struct UnauthorizedBackoff {
    /// The token that was refused last.
    generation: u64,
    in_a_row: u32,
    pause: Duration,
    until: Instant,
    /// One probe call at a time.
    trial: Arc<Semaphore>,
    renewed: SeenRenewal,
}

/// Whether a renewal has ended a pause since the first 401.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum SeenRenewal {
    Never,
    Before,
}

/// A permit to send the token. Hold it until the call is over: dropping it lets the next probe start, even if this one
/// was never sent or its response showed nothing about the token.
#[derive(Debug)]
pub(super) struct TokenPermit {
    _trial: Option<OwnedSemaphorePermit>,
}

// === impl UnauthorizedBackoff ===

impl UnauthorizedBackoff {
    pub(super) fn first(generation: u64, now: Instant) -> Self {
        Self {
            generation,
            in_a_row: 1,
            pause: Duration::ZERO,
            until: now,
            trial: Arc::new(Semaphore::new(1)),
            renewed: SeenRenewal::Never,
        }
    }

    /// Another 401. Within the pause it belongs to a call sent before the pause began: the pause starts again, but does not
    /// grow.
    pub(super) fn again(&mut self, generation: u64, now: Instant) {
        self.generation = generation;
        self.in_a_row = self.in_a_row.saturating_add(1);
        if self.in_a_row < TOO_MANY {
            return;
        }
        if now >= self.until {
            self.pause = BACKOFF.after(self.pause);
        }
        self.until = now + self.pause;
    }

    /// A renewal has replaced the token. After the first one all calls may be sent until the new token is refused once;
    /// after a later one a single probe call, at once. The pauses keep growing from where they were.
    pub(super) fn renewed(&mut self, now: Instant) {
        if self.renewed == SeenRenewal::Never {
            self.renewed = SeenRenewal::Before;
            self.in_a_row = self.in_a_row.min(TOO_MANY - 1);
        }
        self.until = now;
    }

    /// Whether this token has been refused, and not only the one before it.
    pub(super) const fn is_of(&self, generation: u64) -> bool {
        self.generation == generation
    }

    /// Whether no call may be sent: in a pause, or while a probe is running.
    pub(super) fn holds_back(&self, now: Instant) -> bool {
        self.in_a_row >= TOO_MANY && (now < self.until || self.trial.available_permits() == 0)
    }

    /// A permit to send the token, except in a pause or while a probe is running.
    pub(super) fn trial(&self, now: Instant) -> Option<TokenPermit> {
        if self.in_a_row < TOO_MANY {
            return Some(TokenPermit::free());
        }
        if now < self.until {
            return None;
        }
        Arc::clone(&self.trial).try_acquire_owned().ok().map(|trial| TokenPermit { _trial: Some(trial) })
    }
}

// === impl TokenPermit ===

impl TokenPermit {
    /// For a token that is not backed off: unlimited.
    pub(super) const fn free() -> Self {
        Self { _trial: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// At the same time.
    fn lets_two_go(refusal: &UnauthorizedBackoff, now: Instant) -> bool {
        let (one, another) = (refusal.trial(now), refusal.trial(now));
        one.is_some() && another.is_some()
    }

    /// A back-off after its third 401.
    fn resting(now: Instant) -> UnauthorizedBackoff {
        let mut refusal = UnauthorizedBackoff::first(1, now);
        refusal.again(1, now);
        assert!(lets_two_go(&refusal, now), "it may have been a mistake");
        refusal.again(1, now);
        refusal
    }

    #[test]
    fn the_pause_grows_with_each_trial_in_vain_up_to_a_minute() {
        let mut now = Instant::now();
        let mut refusal = resting(now);
        for pause in [5, 10, 20, 40, 60, 60] {
            assert!(refusal.trial(now + SECOND * pause - SECOND / 10).is_none(), "{pause}");
            now += SECOND * pause;
            assert!(refusal.trial(now).is_some(), "{pause}");
            refusal.again(1, now);
        }
    }

    #[test]
    fn those_that_had_left_before_prolong_the_pause_and_do_not_double_it() {
        let now = Instant::now();
        let mut refusal = resting(now);
        for _ in 0..20 {
            refusal.again(1, now + SECOND);
        }
        assert!(refusal.trial(now + 5 * SECOND).is_none());
        assert!(refusal.trial(now + 6 * SECOND).is_some());
    }

    #[test]
    fn one_at_a_time_tries_until_it_is_over() {
        let now = Instant::now();
        let (refusal, later) = (resting(now), now + 5 * SECOND);
        let trial = refusal.trial(later);
        assert!(trial.is_some() && refusal.trial(later).is_none());
        drop(trial);
        assert!(refusal.trial(later).is_some());
    }

    #[test]
    fn the_first_renewal_is_trusted_until_the_first_401_and_a_later_one_by_one_call() {
        let now = Instant::now();
        let mut refusal = resting(now);
        assert!(refusal.holds_back(now));
        refusal.renewed(now);
        assert!(!refusal.is_of(2) && !refusal.holds_back(now));
        assert!(lets_two_go(&refusal, now));
        refusal.again(2, now);
        assert!(refusal.is_of(2) && refusal.holds_back(now + 9 * SECOND), "the pauses go on growing");
        refusal.renewed(now);
        let trial = refusal.trial(now);
        assert!(trial.is_some() && refusal.holds_back(now) && refusal.trial(now).is_none());
    }
}
