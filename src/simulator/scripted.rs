//! Campaigns whose clicks come at given times, so that a test or the demo knows what each report must show. On demand
//! their counts lag, fall, or differ between the two forms of the report.

use std::num::NonZeroU32;
use std::time::{Duration, SystemTime};

use super::campaigns::CampaignState;
use super::clicks::ClickCounts;
use super::reports::LinkListing;

/// The number of links; nobody clicks the last one.
const LINKS: usize = 8;

/// A campaign whose clicks come at given times.
#[derive(Clone, Debug)]
pub struct ScriptedCampaign {
    /// When it is first sent and when each click comes, since the epoch.
    sent: Duration,
    clicks: Vec<Duration>,
    /// When the counts of the link report are computed.
    pub recomputed: Recomputed,
    /// The report of all links shows this many clicks more, so that the two forms do not add up.
    pub more_in_all_links: u32,
    /// The counts fall once, as when the vendor removes the clicks of bots.
    pub falls: Option<Fall>,
    /// When the counts of the statistics endpoint are computed.
    pub statistics_recomputed: Recomputed,
    /// What `em_clicks` of the statistics endpoint counts.
    pub em_clicks: EmClicks,
    /// What `em_clicks.all` counts there.
    pub all_clicks: EmClicks,
}

/// When the vendor computes click counts: between two times they stay as they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recomputed {
    /// With each click.
    AtEachClick,
    /// At the multiples of `period` since 1970, plus `phase`. Multiples of a whole fraction of a day begin at midnight.
    Every {
        /// Time between two computations; zero is as `AtEachClick`.
        period: Duration,
        /// So that not all campaigns are computed at once.
        phase: Duration,
    },
}

/// The totals of one activity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct EmailStatistics {
    pub(super) em_clicks: u32,
    /// `em_clicks.all`: repeated clicks included.
    pub(super) all_clicks: u32,
    /// When they were computed, since the epoch.
    pub(super) computed_at: Duration,
}

/// A fall of the counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fall {
    /// From then on.
    pub at: SystemTime,
    /// This many clicks less than happened, down to none.
    pub clicks: u32,
}

/// What a count of the statistics endpoint counts. It is never the sum of the report's `unique_clicks`, and nothing was observed of the vendor's:
/// a client must not rely on either.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EmClicks {
    /// All clicks, repeated ones included: it moves with each click that the report shows, and by two with each fourth.
    Every,
    /// It moves with each n-th click of the report only. So it would if it counted, as the vendor's page says, the contacts
    /// who clicked any link: a contact's second link moves the report alone.
    Nth(NonZeroU32),
}

// === impl ScriptedCampaign ===

impl ScriptedCampaign {
    /// A campaign with these clicks, in any order, whose counts are right and computed with each click.
    pub fn new(sent: SystemTime, clicks: impl IntoIterator<Item = SystemTime>) -> Self {
        let mut clicks: Vec<_> = clicks.into_iter().map(since_epoch).collect();
        clicks.sort_unstable();
        Self {
            sent: since_epoch(sent),
            clicks,
            recomputed: Recomputed::AtEachClick,
            more_in_all_links: 0,
            falls: None,
            statistics_recomputed: Recomputed::AtEachClick,
            em_clicks: EmClicks::Every,
            all_clicks: EmClicks::Every,
        }
    }

    /// The counts that the report of this form shows; `None` until it is sent.
    pub(super) fn counts(&self, listing: LinkListing, at: Duration) -> Option<ClickCounts> {
        if at < self.sent {
            return None;
        }
        let computed_at = self.recomputed.last(at);
        let mut links = spread(self.clicks(computed_at));
        match listing {
            LinkListing::All => links[0] += self.more_in_all_links,
            LinkListing::Clicked => {}
        }
        Some(ClickCounts { links: links.into(), computed_at })
    }

    /// What the statistics endpoint shows; `None` until it is sent.
    pub(super) fn statistics(&self, at: Duration) -> Option<EmailStatistics> {
        if at < self.sent {
            return None;
        }
        let computed_at = self.statistics_recomputed.last(at);
        let counts = [self.em_clicks, self.all_clicks];
        Some(EmailStatistics::of(self.clicks(computed_at), counts, computed_at))
    }

    /// Its status.
    pub(super) fn state(&self, at: Duration) -> CampaignState {
        CampaignState::of_time(self.sent, at)
    }

    fn clicks(&self, at: Duration) -> u32 {
        let happened = self.clicks.partition_point(|click| *click <= at) as u32;
        let fallen = self.falls.filter(|fall| since_epoch(fall.at) <= at);
        happened.saturating_sub(fallen.map_or(0, |fall| fall.clicks))
    }
}

/// Each link gets half of the clicks that the ones before it leave, click by click: a link's count only grows, and the
/// sum is exact.
fn spread(clicks: u32) -> [u32; LINKS] {
    let clicked = LINKS - 1;
    std::array::from_fn(|link| match link + 1 {
        // Of the numbers 1..=clicks, those that 2^link divides and 2^(link + 1) does not.
        next if next < clicked => (clicks >> link) - (clicks >> next),
        next if next == clicked => clicks >> link,
        _ => 0,
    })
}

/// A time before 1970 counts as 1970.
pub(super) fn since_epoch(time: SystemTime) -> Duration {
    time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
}

// === impl Recomputed ===

impl Recomputed {
    /// The last computation up to this time.
    fn last(self, at: Duration) -> Duration {
        match self {
            Self::Every { period, phase } if !period.is_zero() => {
                let (period, phase) = (period.as_nanos(), phase.as_nanos());
                let since = (at.as_nanos() + period - phase % period) % period;
                at - Duration::from_nanos(u64::try_from(since).unwrap_or(u64::MAX)).min(at)
            }
            Self::AtEachClick | Self::Every { .. } => at,
        }
    }
}

// === impl EmailStatistics ===

impl EmailStatistics {
    /// For a report that shows so many clicks; `counts` are what `em_clicks` and `em_clicks.all` count.
    pub(super) fn of(clicks: u32, counts: [EmClicks; 2], computed_at: Duration) -> Self {
        let [em_clicks, all_clicks] = counts.map(|count| count.of(clicks));
        Self { em_clicks, all_clicks, computed_at }
    }
}

// === impl EmClicks ===

impl EmClicks {
    const fn of(self, clicks: u32) -> u32 {
        match self {
            Self::Every => clicks.saturating_add(clicks / 4),
            Self::Nth(nth) => clicks / nth.get(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SENT: Duration = Duration::from_secs(20_000 * 86_400);

    fn wall(after_sent: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + SENT + Duration::from_secs(after_sent)
    }

    /// A click each ten seconds.
    fn campaign() -> ScriptedCampaign {
        ScriptedCampaign::new(wall(0), (1..=500).rev().map(|click| wall(click * 10)))
    }

    fn shown(campaign: &ScriptedCampaign, listing: LinkListing, after_sent: u64) -> u32 {
        campaign.counts(listing, SENT + Duration::from_secs(after_sent)).unwrap().sum()
    }

    #[test]
    fn the_links_of_a_report_add_up_to_the_clicks_so_far_and_each_only_grows() {
        let campaign = campaign();
        let mut before = vec![0; LINKS];
        for after in 0..=5_010 {
            let counts = campaign.counts(LinkListing::All, SENT + Duration::from_secs(after)).unwrap();
            assert_eq!(u64::from(counts.sum()), (after / 10).min(500), "{after}");
            assert!(counts.links.iter().zip(&before).all(|(now, before)| now >= before), "{after}");
            before = counts.links;
        }
        assert!(before[..LINKS - 1].iter().all(|clicks| *clicks > 0) && before[LINKS - 1] == 0, "{before:?}");
        assert!(spread(u32::MAX).iter().map(|clicks| u64::from(*clicks)).sum::<u64>() == u64::from(u32::MAX));
    }

    #[test]
    fn until_it_is_sent_a_campaign_has_no_counts() {
        let before = SENT - Duration::from_nanos(1);
        assert_eq!(
            (campaign().counts(LinkListing::All, before), campaign().statistics(before)),
            (None, None)
        );
        assert_eq!(shown(&campaign(), LinkListing::All, 0), 0);
    }

    #[test]
    fn counts_that_lag_stay_as_they_are_until_the_next_computation() {
        let (period, phase) = (Duration::from_secs(600), Duration::from_secs(100));
        let campaign = ScriptedCampaign { recomputed: Recomputed::Every { period, phase }, ..campaign() };
        let at = |after| shown(&campaign, LinkListing::Clicked, after);
        assert_eq!([99, 100, 699, 700, 1_299].map(at), [0, 10, 10, 70, 70]);
        let computed =
            campaign.counts(LinkListing::Clicked, SENT + Duration::from_secs(699)).unwrap().computed_at;
        assert_eq!(computed, SENT + phase);
    }

    #[test]
    fn counts_fall_once_and_grow_again() {
        let falls = Some(Fall { at: wall(1_000), clicks: 40 });
        let campaign = ScriptedCampaign { falls, ..campaign() };
        let at = |after| shown(&campaign, LinkListing::Clicked, after);
        assert_eq!([999, 1_000, 1_010].map(at), [99, 60, 61]);
    }

    #[test]
    fn the_forms_can_differ_by_a_constant() {
        let campaign = ScriptedCampaign { more_in_all_links: 7, ..campaign() };
        let forms =
            |after| [LinkListing::Clicked, LinkListing::All].map(|form| shown(&campaign, form, after));
        assert_eq!((forms(0), forms(1_000)), ([0, 7], [100, 107]));
    }

    #[test]
    fn em_clicks_moves_with_each_click_or_with_each_nth() {
        let moves = |em_clicks: EmClicks| {
            (0..30).filter(|click| em_clicks.of(*click) != em_clicks.of(click + 1)).count()
        };
        let third = EmClicks::Nth(NonZeroU32::new(3).unwrap());
        assert_eq!((moves(EmClicks::Every), moves(third)), (30, 10));
        let campaign = ScriptedCampaign {
            statistics_recomputed: Recomputed::Every {
                period: Duration::from_secs(300),
                phase: Duration::ZERO,
            },
            em_clicks: third,
            ..campaign()
        };
        let looked = campaign.statistics(SENT + Duration::from_secs(899));
        let computed_at = SENT + Duration::from_secs(600);
        assert_eq!(looked, Some(EmailStatistics { em_clicks: 20, all_clicks: 75, computed_at }));
    }
}
