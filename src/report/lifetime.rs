//! How long an answer lives: the one policy that every entry's lifetime comes from.

use std::time::Duration;

/// The operator's rules (`cache.*`). The upstream's `Cache-Control` has no say.
#[derive(Debug, Clone, PartialEq)]
pub struct LifetimePolicy {
    /// A report with links is fresh for this long.
    pub ttl: Duration,
    /// Spread of `ttl`, as a share of it: keys that came together do not expire together.
    pub ttl_jitter: f64,
    /// A report without links is fresh for this long: an unsent campaign may be sent any minute.
    pub empty_ttl: Duration,
    /// The upstream's 400 or 404 is remembered for this long.
    pub negative_ttl: Duration,
    /// After being fresh, a report is still answered for this long, while it is refreshed behind. Zero: never.
    pub stale_while_revalidate: Duration,
    /// A report not older than this is answered where there would be an error. Zero: never.
    pub stale_if_error: Duration,
}

/// What is known of a key when its lifetime is decided.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Known {
    /// The kind of answer.
    pub reason: LifetimeReason,
    /// A random number in `0.0..=1.0`, from whoever may roll dice.
    pub roll: f64,
}

/// Why an answer lives as long as it does; shown by `GET /cache/{id}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LifetimeReason {
    /// A report with links: `cache.ttl`.
    Links,
    /// A report without links: `cache.empty_ttl`.
    Empty,
    /// A refusal: `cache.negative_ttl`.
    Refused,
}

/// The ages at which an answer changes its standing. `fresh <= revalidate`, `keep` is on its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lifetime {
    /// Younger than this: fresh.
    pub fresh: Duration,
    /// Younger than this: answered at once, refreshed behind.
    pub revalidate: Duration,
    /// Not older than this: better than an error.
    pub keep: Duration,
    /// Where the first came from.
    pub reason: LifetimeReason,
}

/// How scarce calls are: refreshes can wait, a key of which nothing is held cannot.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Scarcity {
    /// What is old is refreshed.
    Ample,
    /// It is refreshed at an age that is this many times what it usually would be.
    Scarce {
        /// At least 1.
        factor: f64,
    },
    /// It is not refreshed.
    Stopped,
}

// === impl LifetimePolicy ===

impl LifetimePolicy {
    /// The lifetime of an answer of which this is known.
    pub fn lifetime(&self, known: Known) -> Lifetime {
        let Known { reason, roll } = known;
        match reason {
            LifetimeReason::Links => self.of_report(self.jittered(roll), reason),
            LifetimeReason::Empty => self.of_report(self.empty_ttl, reason),
            // A remembered "no" is for sparing the quota, not for keeping: nobody is served by an old one.
            LifetimeReason::Refused => Lifetime {
                fresh: self.negative_ttl,
                revalidate: self.negative_ttl,
                keep: Duration::ZERO,
                reason,
            },
        }
    }

    fn of_report(&self, fresh: Duration, reason: LifetimeReason) -> Lifetime {
        Lifetime { fresh, revalidate: fresh + self.stale_while_revalidate, keep: self.stale_if_error, reason }
    }

    fn jittered(&self, roll: f64) -> Duration {
        self.ttl.mul_f64(1.0 + self.ttl_jitter * (2.0 * roll - 1.0))
    }
}

// === impl Lifetime ===

impl Lifetime {
    /// The age from which a copy may be refreshed, if at all.
    pub fn due(&self, scarcity: Scarcity) -> Option<Duration> {
        match scarcity {
            Scarcity::Ample => Some(self.fresh),
            Scarcity::Scarce { factor } => Duration::try_from_secs_f64(self.fresh.as_secs_f64() * factor)
                .ok()
                .map(|due| due.max(self.fresh)),
            Scarcity::Stopped => None,
        }
    }
}

// === impl LifetimeReason ===

impl LifetimeReason {
    /// In words, for people.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Links => "report with links: cache.ttl, jittered",
            Self::Empty => "report without links: cache.empty_ttl",
            Self::Refused => "refused by the upstream: cache.negative_ttl",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy() -> LifetimePolicy {
        LifetimePolicy {
            ttl: Duration::from_secs(300),
            ttl_jitter: 0.1,
            empty_ttl: Duration::from_secs(60),
            negative_ttl: Duration::from_secs(30),
            stale_while_revalidate: Duration::from_secs(600),
            stale_if_error: Duration::from_secs(86_400),
        }
    }

    fn fresh(reason: LifetimeReason, roll: f64) -> u64 {
        policy().lifetime(Known { reason, roll }).fresh.as_secs()
    }

    #[test]
    fn each_kind_of_answer_has_its_own_lifetime_and_only_the_ttl_is_jittered() {
        assert_eq!([0.0, 0.5, 1.0].map(|roll| fresh(LifetimeReason::Links, roll)), [270, 300, 330]);
        assert_eq!([0.0, 1.0].map(|roll| fresh(LifetimeReason::Empty, roll)), [60, 60]);
        assert_eq!([0.0, 1.0].map(|roll| fresh(LifetimeReason::Refused, roll)), [30, 30]);
    }

    #[test]
    fn a_refusal_is_never_answered_stale() {
        let lifetime = policy().lifetime(Known { reason: LifetimeReason::Refused, roll: 0.5 });
        assert_eq!((lifetime.revalidate, lifetime.keep), (lifetime.fresh, Duration::ZERO));
    }

    #[test]
    fn the_scarcer_calls_are_the_later_a_copy_is_refreshed() {
        let lifetime = policy().lifetime(Known { reason: LifetimeReason::Links, roll: 0.5 });
        let due = |scarcity| lifetime.due(scarcity).map(|due| due.as_secs());
        assert_eq!(due(Scarcity::Ample), Some(300));
        assert_eq!(due(Scarcity::Scarce { factor: 6.5 }), Some(1_950));
        assert_eq!(due(Scarcity::Scarce { factor: 0.5 }), Some(300), "never while it is fresh");
        assert_eq!(due(Scarcity::Scarce { factor: f64::INFINITY }), None);
        assert_eq!(due(Scarcity::Stopped), None);
    }
}
