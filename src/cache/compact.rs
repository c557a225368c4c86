//! What each entry has of times, in half the room: a `Duration` takes sixteen bytes.

use std::time::Duration;

use crate::report::{Lifetime, LifetimeReason};

/// A time span in nanoseconds, at most 584 years.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Nanoseconds(u64);

/// The ages of a [`Lifetime`]: its reason is beside other small fields.
#[derive(Debug, Clone, Copy)]
pub(super) struct LifetimeAges {
    fresh: Nanoseconds,
    revalidate: Nanoseconds,
    keep: Nanoseconds,
}

// === impl Nanoseconds ===

impl From<Duration> for Nanoseconds {
    fn from(span: Duration) -> Self {
        Self(u64::try_from(span.as_nanos()).unwrap_or(u64::MAX))
    }
}

impl From<Nanoseconds> for Duration {
    fn from(Nanoseconds(span): Nanoseconds) -> Self {
        Self::from_nanos(span)
    }
}

// === impl LifetimeAges ===

impl LifetimeAges {
    #[inline]
    pub(super) fn with(self, reason: LifetimeReason) -> Lifetime {
        let Self { fresh, revalidate, keep } = self;
        Lifetime { fresh: fresh.into(), revalidate: revalidate.into(), keep: keep.into(), reason }
    }
}

impl From<Lifetime> for LifetimeAges {
    fn from(Lifetime { fresh, revalidate, keep, .. }: Lifetime) -> Self {
        Self { fresh: fresh.into(), revalidate: revalidate.into(), keep: keep.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lifetime_is_read_back_to_the_nanosecond_and_cut_at_584_years() {
        let lifetime = Lifetime {
            fresh: Duration::new(300, 1),
            revalidate: Duration::ZERO,
            keep: Duration::from_secs(86_400),
            reason: LifetimeReason::Links,
        };
        assert_eq!(LifetimeAges::from(lifetime).with(lifetime.reason), lifetime);
        let longest = Duration::from(Nanoseconds::from(Duration::MAX));
        assert_eq!(longest.as_secs() / (365 * 86_400), 584);
    }
}
