//! The part of the change feed that the store still has: is what follows a position complete?

use super::{ChangeId, FeedRestart};

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
    /// Where to read on, if changes after `after` are lost, or `after` is ahead: then the feed was lost, and a read from
    /// there would return nothing until it has caught up.
    pub(super) fn restart(&self, after: ChangeId) -> Option<FeedRestart> {
        let may_be_cut = self.length >= FEED_LENGTH;
        if after > self.newest {
            // A long one is an older copy, all of which was read. A short one may also be new, by a clock that is behind.
            let at = if may_be_cut { self.newest } else { ChangeId::default() };
            return Some(FeedRestart::Anew(at));
        }
        if after >= self.first {
            return None;
        }
        if may_be_cut {
            return Some(FeedRestart::Missed(self.newest));
        }
        // Who has read nothing yet misses nothing of a feed that was never cut.
        (after != ChangeId::default()).then_some(FeedRestart::Anew(ChangeId::default()))
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
    fn a_position_before_a_feed_that_was_cut_has_missed_changes() {
        assert_eq!(window(5, 9, FEED_LENGTH).restart(id(4)), Some(FeedRestart::Missed(id(9))));
        assert_eq!(window(5, 9, FEED_LENGTH).restart(id(0)), Some(FeedRestart::Missed(id(9))));
    }

    #[test]
    fn a_feed_that_has_begun_anew_is_read_from_its_begin() {
        let from_its_begin = Some(FeedRestart::Anew(id(0)));
        assert_eq!(window(5, 9, FEED_LENGTH - 1).restart(id(4)), from_its_begin);
        assert_eq!(window(5, 9, 5).restart(id(10)), from_its_begin);
        assert_eq!(window(0, 0, 0).restart(id(3)), from_its_begin);
    }

    #[test]
    fn an_older_copy_of_a_long_feed_was_read_to_its_end() {
        assert_eq!(window(5, 9, FEED_LENGTH).restart(id(10)), Some(FeedRestart::Anew(id(9))));
    }

    #[test]
    fn who_has_read_nothing_misses_nothing_of_a_feed_that_was_never_cut() {
        assert_eq!(window(0, 0, 0).restart(id(0)), None);
        assert_eq!(window(5, 9, FEED_LENGTH - 1).restart(id(0)), None);
    }
}
