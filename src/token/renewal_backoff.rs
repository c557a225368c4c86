//! The back-off of renewals that a 401 asks for. Where the API refuses every token none of them helps, and each uses up
//! a rotating refresh token. Pure: time is an argument.

use std::time::Duration;

use tokio::time::Instant;

use crate::backoff::Backoff;

/// A minute after the first renewal: a token that is refused within a minute of its renewal is most likely not the
/// fault. At most an hour: 24 renewals a day, where the schedule alone makes one or two; and where only a newer token
/// helps, that is noticed within an hour. Whether the token in use is accepted again is tried every minute without any
/// renewal.
const BACKOFF: Backoff = Backoff::new(Duration::from_secs(60), Duration::from_secs(60 * 60));
/// Tokens that are accepted for this long without a 401 are good again. One good answer does not show that: an API that
/// refuses some calls and answers others would cause a renewal for each 401.
const STEADY_AFTER: Duration = Duration::from_secs(10 * 60);

/// When the next refused token may be renewed.
#[derive(Debug, Default)]
pub(super) struct RenewalBackoff {
    pause: Duration,
    not_before: Option<Instant>,
    /// The first good answer after the last 401.
    accepted_since: Option<Instant>,
}

// === impl RenewalBackoff ===

impl RenewalBackoff {
    /// Whether a refused token may be renewed now.
    pub(super) fn allows(&self, now: Instant) -> bool {
        self.not_before.is_none_or(|not_before| now >= not_before)
    }

    /// A refused token was renewed.
    pub(super) fn renewed(&mut self, now: Instant) {
        self.pause = BACKOFF.after(self.pause);
        self.not_before = Some(now + self.pause);
    }

    /// The upstream has accepted the token.
    pub(super) fn accepted(&mut self, now: Instant) {
        self.accepted_since.get_or_insert(now);
    }

    /// The upstream has refused the token.
    pub(super) fn refused(&mut self, now: Instant) {
        if self.accepted_since.take().is_some_and(|since| now >= since + STEADY_AFTER) {
            *self = Self::default();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn the_pause_grows_from_a_minute_to_an_hour() {
        let mut now = Instant::now();
        let mut backoff = RenewalBackoff::default();
        assert!(backoff.allows(now), "a revoked token is renewed at once");
        for minutes in [1, 2, 4, 8, 16, 32, 60, 60] {
            backoff.renewed(now);
            now += MINUTE * minutes;
            assert!(!backoff.allows(now - MINUTE / 60) && backoff.allows(now), "{minutes}");
        }
    }

    #[test]
    fn only_ten_minutes_without_a_401_end_it() {
        let mut now = Instant::now();
        let mut backoff = RenewalBackoff::default();
        let mut renewals = 0;
        // Every other call of each minute is refused, for a day less half an hour: the last pause is not over.
        for _ in 0..24 * 60 - 30 {
            backoff.refused(now);
            if backoff.allows(now) {
                backoff.renewed(now);
                renewals += 1;
            }
            backoff.accepted(now);
            now += MINUTE;
        }
        assert!(renewals < 32, "{renewals}");
        // The last good answer was a minute ago.
        now += 9 * MINUTE - Duration::from_secs(1);
        backoff.refused(now);
        assert!(!backoff.allows(now), "a second too early");
        backoff.accepted(now);
        now += 10 * MINUTE;
        assert!(!backoff.allows(now));
        backoff.refused(now);
        assert!(backoff.allows(now), "another revocation, another renewal");
        backoff.renewed(now);
        backoff.refused(now + 20 * MINUTE);
        assert!(!backoff.allows(now + MINUTE / 2), "silence proves nothing");
    }
}
