//! How long an answer is fresh, and how long it may be served stale.

use std::time::Duration;

use super::{Answer, QuotaPressure};
use crate::backoff::{Backoff, Jitter};

/// A negative answer that is repeated is fresh for twice as long each time, up to this: a wrong id that is polled all day
/// then costs one call an hour.
const LONGEST_REFUSED: Duration = Duration::from_hours(1);
/// An empty report that does not change is fresh for twice as long each time, up to this.
const LONGEST_EMPTY: Duration = Duration::from_mins(15);
/// A negative answer is kept for so long after it was fresh: if it comes again by then, it counts as repeated.
const REFUSED_KNOWN: Duration = Duration::from_hours(1);

/// The settings `cache.*`. The upstream's `Cache-Control` is ignored.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LifetimePolicy {
    /// A report with links is fresh for this long.
    pub ttl: Duration,
    /// `ttl` is spread by up to this share of it, so that keys fetched together do not expire together.
    pub ttl_jitter: f64,
    /// A report without links is fresh for this long: its campaign may be sent any minute.
    pub empty_ttl: Duration,
    /// A negative answer (400 or 404) is fresh for this long.
    pub negative_ttl: Duration,
    /// After being fresh, a report is still served for this long while it is refreshed in the background. Zero: never.
    pub stale_while_revalidate: Duration,
    /// A report not older than this is served instead of an error. Zero: never.
    pub stale_if_error: Duration,
}

/// What is known of a key when its lifetime is decided.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Observed {
    /// The kind of answer.
    pub reason: LifetimeReason,
    /// How many such answers in a row came before: negative ones, or the same report without links.
    pub repeats: u32,
    /// How old the answer was when it was stored: it may come from a cache before the upstream.
    pub age: Duration,
    /// Spreads `cache.ttl`.
    pub(crate) jitter: Jitter,
}

/// Which setting decides a lifetime; shown by `GET /cache/{id}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LifetimeReason {
    /// A report with links: `cache.ttl`.
    Links,
    /// A report without links: `cache.empty_ttl`.
    Empty,
    /// A negative answer: `cache.negative_ttl`.
    Refused,
    /// A report that is refreshed when that is worth a call.
    Planned,
    /// A derived report, since derivation was switched off.
    NotTrusted,
}

/// The ages at which the freshness of an answer changes. `fresh <= revalidate`; `keep` is independent of both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lifetime {
    /// Younger than this: fresh.
    pub fresh: Duration,
    /// Younger than this: served at once, and refreshed in the background.
    pub revalidate: Duration,
    /// Not older than this: served instead of an error. A negative answer: counts as repeated if it comes again.
    pub keep: Duration,
    /// Where `fresh` comes from.
    pub reason: LifetimeReason,
}

// === impl LifetimePolicy ===

impl LifetimePolicy {
    /// The lifetime of an answer.
    pub fn lifetime(&self, known: Observed) -> Lifetime {
        let Observed { reason, repeats, age, jitter } = known;
        let fresh = match reason {
            LifetimeReason::Links => jitter.spread(self.ttl, self.ttl_jitter),
            LifetimeReason::Empty => Backoff::new(self.empty_ttl, LONGEST_EMPTY).pause(repeats),
            LifetimeReason::Refused => Backoff::new(self.negative_ttl, LONGEST_REFUSED).pause(repeats),
            LifetimeReason::Planned => self.ttl,
            LifetimeReason::NotTrusted => Duration::ZERO,
        };
        // An answer that is older than its lifetime when it comes would be fetched again with each request, and be as old
        // again.
        let fresh = fresh.max(age + fresh / 2);
        let (stale, keep) = match reason {
            LifetimeReason::Links | LifetimeReason::Empty | LifetimeReason::Planned => {
                (self.stale_while_revalidate, self.stale_if_error)
            }
            LifetimeReason::NotTrusted => (Duration::ZERO, self.stale_if_error),
            // Negative answers are cached to save calls, and are never served stale.
            LifetimeReason::Refused => (Duration::ZERO, fresh + REFUSED_KNOWN),
        };
        Lifetime { fresh, revalidate: fresh + stale, keep, reason }
    }

    /// The lifetime of an answer that is held, as if it had come under this policy.
    pub fn renewed(&self, held: Lifetime, known: Observed) -> Lifetime {
        match held.reason {
            LifetimeReason::Links | LifetimeReason::Empty | LifetimeReason::Refused => self.lifetime(known),
            LifetimeReason::Planned => self.planned(held.fresh),
            LifetimeReason::NotTrusted => Lifetime { keep: self.stale_if_error, ..held },
        }
    }

    /// The lifetime of a report that the plan expects to be worth a call at the age `fresh`.
    pub fn planned(&self, fresh: Duration) -> Lifetime {
        let longest = self.stale_if_error.max(self.stale_while_revalidate);
        Lifetime {
            fresh: fresh.min(longest),
            revalidate: longest,
            keep: self.stale_if_error,
            reason: LifetimeReason::Planned,
        }
    }
}

// === impl Lifetime ===

impl Lifetime {
    /// The age from which a copy is refreshed; `None`: not at all.
    pub fn due(&self, quota_pressure: QuotaPressure) -> Option<Duration> {
        match quota_pressure {
            QuotaPressure::Normal => Some(self.fresh),
            QuotaPressure::Delayed { factor } => {
                Duration::try_from_secs_f64(self.fresh.as_secs_f64() * factor)
                    .ok()
                    .map(|due| due.max(self.fresh))
            }
            QuotaPressure::Stopped => None,
        }
    }
}

// === impl LifetimeReason ===

impl LifetimeReason {
    /// That of an answer as it comes.
    pub const fn of(answer: &Answer) -> Self {
        match answer {
            Answer::Report(report) => match report.links() {
                0 => Self::Empty,
                _ => Self::Links,
            },
            Answer::Negative(_) => Self::Refused,
        }
    }

    /// The word in `GET /cache/{id}`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Links => "links",
            Self::Empty => "empty",
            Self::Planned => "planned",
            Self::NotTrusted => "not_trusted",
            Self::Refused => "refused",
        }
    }

    /// A sentence for an operator.
    pub const fn explanation(self) -> &'static str {
        match self {
            Self::Links => "report with links: cache.ttl, jittered",
            Self::Empty => {
                "report without links: cache.empty_ttl, doubled up to 15m while it does not change"
            }
            Self::Planned => {
                "planned: refreshed when the responses until then miss clicks worth a call; the times are expected ones"
            }
            Self::NotTrusted => {
                "derived, and cache.derive_clicked has switched itself off: served only if a call fails"
            }
            Self::Refused => {
                "refused by the upstream: cache.negative_ttl, doubled up to 1h with each refusal in a row"
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::testing;

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

    fn known(reason: LifetimeReason) -> Observed {
        Observed { reason, repeats: 0, age: Duration::ZERO, jitter: Jitter(0.5) }
    }

    fn fresh(reason: LifetimeReason, random: f64) -> u64 {
        policy().lifetime(Observed { jitter: Jitter(random), ..known(reason) }).fresh.as_secs()
    }

    #[test]
    fn a_report_without_links_is_an_answer_of_its_own_kind() {
        for (links, reason) in [("", LifetimeReason::Empty), ("{}", LifetimeReason::Links)] {
            assert_eq!(LifetimeReason::of(&testing::report(links)), reason);
        }
        assert_eq!(LifetimeReason::of(&testing::good().answer), LifetimeReason::Refused);
    }

    #[test]
    fn each_kind_of_answer_has_its_own_lifetime_and_only_the_ttl_is_jittered() {
        assert_eq!([0.0, 0.5, 1.0].map(|random| fresh(LifetimeReason::Links, random)), [270, 300, 330]);
        assert_eq!([0.0, 1.0].map(|random| fresh(LifetimeReason::Empty, random)), [60, 60]);
        assert_eq!([0.0, 1.0].map(|random| fresh(LifetimeReason::Refused, random)), [30, 30]);
    }

    #[test]
    fn a_negative_answer_is_never_served_stale() {
        let lifetime = policy().lifetime(known(LifetimeReason::Refused));
        assert_eq!(lifetime.revalidate, lifetime.fresh);
    }

    #[test]
    fn what_is_not_trusted_is_kept_as_long_as_a_new_policy_says() {
        let held = policy().lifetime(known(LifetimeReason::NotTrusted));
        let stale_if_error = Duration::from_secs(60);
        let renewed = LifetimePolicy { stale_if_error, ..policy() }.renewed(held, known(held.reason));
        assert_eq!(renewed, Lifetime { keep: stale_if_error, ..held });
    }

    #[test]
    fn a_repeated_answer_is_fresh_for_twice_as_long_each_time_up_to_a_bound_and_never_shorter_than_set() {
        let fresh = |policy: &LifetimePolicy, reason, repeats| {
            policy.lifetime(Observed { repeats, ..known(reason) }).fresh.as_secs()
        };
        for (reason, expected) in [
            (LifetimeReason::Refused, [30, 60, 120, 1_920, 3_600, 3_600]),
            (LifetimeReason::Empty, [60, 120, 240, 900, 900, 900]),
            (LifetimeReason::Links, [300; 6]),
        ] {
            assert_eq!([0, 1, 2, 6, 7, u32::MAX].map(|repeats| fresh(&policy(), reason, repeats)), expected);
        }
        let day = Duration::from_hours(24);
        let long = LifetimePolicy { empty_ttl: day, negative_ttl: day, ..policy() };
        for reason in [LifetimeReason::Refused, LifetimeReason::Empty] {
            assert_eq!(fresh(&long, reason, 3), 86_400);
        }
    }

    #[test]
    fn an_answer_that_comes_old_is_fresh_for_less_long_but_at_least_for_half_its_lifetime() {
        for (age, fresh) in [(0, 300), (149, 300), (150, 300), (200, 350), (1_000, 1_150)] {
            let age = Duration::from_secs(age);
            let lifetime = policy().lifetime(Observed { age, ..known(LifetimeReason::Links) });
            assert_eq!(lifetime.fresh.as_secs(), fresh, "{age:?}");
            assert_eq!(lifetime.keep.as_secs(), 86_400, "the copy is as old as it is");
        }
    }

    #[test]
    fn the_scarcer_calls_are_the_later_a_copy_is_refreshed() {
        let lifetime = policy().lifetime(known(LifetimeReason::Links));
        let due = |quota_pressure| lifetime.due(quota_pressure).map(|due| due.as_secs());
        assert_eq!(due(QuotaPressure::Normal), Some(300));
        assert_eq!(due(QuotaPressure::Delayed { factor: 6.5 }), Some(1_950));
        assert_eq!(due(QuotaPressure::Delayed { factor: 0.5 }), Some(300), "never while it is fresh");
        assert_eq!(due(QuotaPressure::Delayed { factor: f64::INFINITY }), None);
        assert_eq!(due(QuotaPressure::Stopped), None);
    }
}
