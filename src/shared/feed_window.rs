//! The part of the change feed that the store still has: is what follows a position complete?

use super::ChangeId;

/// The store keeps so many changes.
pub(super) const FEED_LENGTH: usize = 2_048;

/// What the store still has of the feed. Empty: all zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FeedWindow {
    /// The oldest change.
    pub(super) first: ChangeId,
    /// The newest change.
    pub(super) newest: ChangeId,
    /// How many there are.
    pub(super) length: usize,
}

// === impl FeedWindow ===

impl FeedWindow {
    /// Where to read on, if changes after `after` are lost, or `after` is ahead: then the feed was lost, and a read
    /// from there would return nothing until it has caught up.
    pub(super) fn restart(&self, after: ChangeId) -> Option<ChangeId> {
        // Who has read nothing yet misses nothing of a feed that was never cut.
        let nothing_read = after == ChangeId::default() && self.length < FEED_LENGTH;
        let cut = after < self.first && !nothing_read;
        (cut || after > self.newest).then_some(self.newest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn id(ms: u64) -> ChangeId {
        ChangeId { ms, n: 0 }
    }

    const fn window(first: u64, newest: u64, length: usize) -> FeedWindow {
        FeedWindow { first: id(first), newest: id(newest), length }
    }

    #[test]
    fn a_position_within_the_feed_misses_nothing() {
        assert_eq!(window(5, 9, 5).restart(id(5)), None);
        assert_eq!(window(5, 9, 5).restart(id(7)), None);
        assert_eq!(window(5, 9, 5).restart(id(9)), None);
    }

    #[test]
    fn a_position_before_the_feed_or_ahead_of_it_goes_to_its_end() {
        assert_eq!(window(5, 9, FEED_LENGTH).restart(id(4)), Some(id(9)));
        assert_eq!(window(5, 9, 5).restart(id(10)), Some(id(9)));
        assert_eq!(window(0, 0, 0).restart(id(3)), Some(id(0)));
    }

    #[test]
    fn who_read_an_empty_feed_misses_nothing_until_it_is_cut() {
        assert_eq!(window(0, 0, 0).restart(id(0)), None);
        assert_eq!(window(5, 9, FEED_LENGTH - 1).restart(id(0)), None);
        assert_eq!(window(5, 9, FEED_LENGTH).restart(id(0)), Some(id(9)));
    }
}
