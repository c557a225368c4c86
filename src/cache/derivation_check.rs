//! Verification of derivation: whether the report of the clicked links may be made from the report of all links.

use std::time::Duration;

use crate::{
    refresh::{ShadowCheck, ShadowMode, ShadowStatus},
    report::{DerivationMismatch, DerivedComparison, FetchOrder},
};

/// This many campaigns must have been compared before derivation is relied on.
const CAMPAIGNS: u32 = 20;
/// Afterwards one in this many derived reports is fetched too.
const THEN_ONE_IN: u32 = 50;
/// Reports fetched less than this apart may have been served in the other order.
pub(super) const ORDER_UNCERTAIN: Duration = Duration::from_secs(10);
/// Reports fetched more than this apart are not compared: the campaign itself may have been edited between them.
const COMPARABLE: Duration = Duration::from_mins(10);

/// Counts the comparisons of derived with fetched reports. `Id` is a campaign's.
#[derive(Debug)]
pub struct DerivationCheck<Id> {
    check: ShadowCheck<DerivationMismatch>,
    /// The campaigns that agreed, until there are enough: each counts once.
    campaigns: Vec<Id>,
    derived: u32,
}

/// Where the report of a campaign's clicked links comes from, when its report of all links has been fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClickedSource {
    /// From a call of its own.
    Fetched,
    /// It is derived.
    Derived,
    /// It is derived, and also fetched, to compare the two.
    DerivedAndFetched,
}

// === impl DerivationCheck ===

impl<Id: Copy + Eq> DerivationCheck<Id> {
    /// At the start of the process.
    pub const fn new(mode: ShadowMode) -> Self {
        Self { check: ShadowCheck::new(mode, CAMPAIGNS), campaigns: Vec::new(), derived: 0 }
    }

    /// Whether derivation is relied on.
    pub const fn status(&self) -> ShadowStatus<DerivationMismatch> {
        self.check.status()
    }

    /// Whether derivation is relied on for the report of all links that has just been fetched. Call it once for each.
    pub fn source(&mut self) -> ClickedSource {
        match self.check.status() {
            ShadowStatus::Off | ShadowStatus::Verifying | ShadowStatus::SwitchedOff(_) => {
                ClickedSource::Fetched
            }
            ShadowStatus::Trusted => {
                self.derived = self.derived.wrapping_add(1);
                if self.derived.is_multiple_of(THEN_ONE_IN) {
                    ClickedSource::DerivedAndFetched
                } else {
                    ClickedSource::Derived
                }
            }
        }
    }

    /// The order of two fetches, to compare what they brought. `None`: do not compare them.
    pub fn comparable(&self, all_links_at: Duration, clicked_at: Duration) -> Option<FetchOrder> {
        let apart = all_links_at.abs_diff(clicked_at);
        match self.check.status() {
            ShadowStatus::Off | ShadowStatus::SwitchedOff(_) => None,
            ShadowStatus::Verifying | ShadowStatus::Trusted if apart > COMPARABLE => None,
            ShadowStatus::Verifying | ShadowStatus::Trusted => Some(if apart < ORDER_UNCERTAIN {
                FetchOrder::Unknown
            } else if all_links_at < clicked_at {
                FetchOrder::DerivedFirst
            } else {
                FetchOrder::FetchedFirst
            }),
        }
    }

    /// Counts a comparison. Returns the mismatch if it has switched derivation off, which happens once.
    pub fn compared(&mut self, campaign: Id, comparison: DerivedComparison) -> Option<DerivationMismatch> {
        match (comparison, self.check.status()) {
            (DerivedComparison::Differs(reason), ShadowStatus::Verifying | ShadowStatus::Trusted) => {
                self.check.switch_off(reason);
                Some(reason)
            }
            (DerivedComparison::Same, _)
                if !self.check.is_proven() && !self.campaigns.contains(&campaign) =>
            {
                self.campaigns.push(campaign);
                self.check.agreed();
                None
            }
            (
                DerivedComparison::Same | DerivedComparison::ClicksBetween | DerivedComparison::Differs(_),
                _,
            ) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn trusted() -> DerivationCheck<u32> {
        let mut check = DerivationCheck::new(ShadowMode::On);
        for campaign in 0..CAMPAIGNS {
            assert_eq!(check.source(), ClickedSource::Fetched);
            check.compared(campaign, DerivedComparison::Same);
        }
        check
    }

    #[test]
    fn derivation_is_relied_on_after_twenty_campaigns_and_one_in_fifty_is_still_fetched() {
        let mut check = trusted();
        assert_eq!(check.status(), ShadowStatus::Trusted);
        let fetched = (0..1_000).filter(|_| check.source() == ClickedSource::DerivedAndFetched).count();
        assert_eq!(fetched, 20);
    }

    #[test]
    fn a_campaign_counts_once_and_a_comparison_that_shows_nothing_does_not_count() {
        let mut check = DerivationCheck::new(ShadowMode::On);
        for campaign in 0..1_000 {
            check.compared(7, DerivedComparison::Same);
            check.compared(campaign, DerivedComparison::ClicksBetween);
        }
        assert_eq!((check.status(), check.check.comparisons_agreed()), (ShadowStatus::Verifying, 1));
    }

    #[test]
    fn one_mismatch_switches_derivation_off_and_is_told_once() {
        let mismatch = DerivedComparison::Differs(DerivationMismatch::OtherLinks);
        for mut check in [trusted(), DerivationCheck::new(ShadowMode::Verify)] {
            assert_eq!(check.compared(3, mismatch), Some(DerivationMismatch::OtherLinks));
            assert_eq!(check.compared(3, mismatch), None);
            assert_eq!(check.status(), ShadowStatus::SwitchedOff(DerivationMismatch::OtherLinks));
            assert_eq!(check.source(), ClickedSource::Fetched);
            assert_eq!(check.comparable(at(0), at(0)), None);
        }
    }

    #[test]
    fn verify_never_relies_on_it_and_off_compares_nothing() {
        let mut verify = DerivationCheck::new(ShadowMode::Verify);
        for campaign in 0..100 {
            verify.compared(campaign, DerivedComparison::Same);
        }
        assert_eq!((verify.status(), verify.source()), (ShadowStatus::Verifying, ClickedSource::Fetched));
        let off = DerivationCheck::<u32>::new(ShadowMode::Off);
        assert_eq!((off.status(), off.comparable(at(0), at(0))), (ShadowStatus::Off, None));
    }

    #[test]
    fn the_order_of_two_fetches_is_known_from_ten_seconds_to_ten_minutes_apart() {
        let check = trusted();
        for (all_links, clicked, order) in [
            (at(100), at(109), Some(FetchOrder::Unknown)),
            (at(109), at(100), Some(FetchOrder::Unknown)),
            (at(100), at(110), Some(FetchOrder::DerivedFirst)),
            (at(110), at(100), Some(FetchOrder::FetchedFirst)),
            (at(100), at(700), Some(FetchOrder::DerivedFirst)),
            (at(100), at(701), None),
        ] {
            assert_eq!(check.comparable(all_links, clicked), order, "{all_links:?} {clicked:?}");
        }
    }
}
