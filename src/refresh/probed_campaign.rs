//! What probes tell of a campaign: whether it has clicks that its last fetched report does not show.
//!
//! A probe reads `em_clicks`, which is not the sum of `unique_clicks`, so it is compared only with itself. And it is a
//! count of an earlier time, `last_refresh_time`, which may be before or after the report was fetched. The one thing
//! that is assumed is that *each click that raises the sum of a report also raises `em_clicks`*. Then a lower bound of
//! `em_clicks` at the time of the report is enough:
//! * at least the count that was read as of a time before the report;
//! * at least the lower bound at the report before, plus the clicks that the sum has risen by since.
//!
//! A count of a later time that equals the bound shows that the report is still current: the campaign has *not moved*.
//! A greater count shows how many clicks it lacks; these may be too many where `em_clicks` counts more than the report
//! does, which costs a call and no clicks. A smaller count is a contradiction: the assumption does not hold.

use std::{num::NonZeroU32, time::Duration};

/// Times closer than this may be in the other order at the upstream, so they do not prove a contradiction.
const ORDER_UNCERTAIN: Duration = Duration::from_secs(10);

/// A campaign's `em_clicks`, as of its `last_refresh_time`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EmailClicks {
    /// `em_clicks`
    pub count: u32,
    /// The time since the origin.
    pub as_of: Duration,
}

/// What is known of a campaign from its probes and its fetched reports. The two forms must be paired.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ProbedCampaign {
    last_probe: Option<EmailClicks>,
    report: Option<ProbedReport>,
}

/// The last fetched report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct ProbedReport {
    /// Its sum of `unique_clicks`.
    clicks: u32,
    fetched_at: Duration,
    /// The least that `em_clicks` can have been then. `None`: no probe is from before the report.
    least: Option<u32>,
    /// How many clicks the probes since have shown it to lack.
    lacks: u32,
    /// Whether a probe since has shown it to be current.
    claim: Claim,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Claim {
    None,
    Current,
}

/// What a probe tells of a campaign.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProbeVerdict {
    /// Nothing yet: there is no count from before the last fetched report to compare with. The next fetch makes this
    /// count comparable.
    NoBase,
    /// Nothing: the count is not newer than the last fetched report or the last probe.
    NotNewer,
    /// No clicks since the last look.
    Unmoved {
        /// What a look at this time would have shown.
        as_of: Duration,
    },
    /// New clicks since the last look.
    Moved {
        /// How many, at most.
        new_clicks: NonZeroU32,
        /// When they were there.
        as_of: Duration,
    },
    /// The reports have shown more new clicks than `em_clicks` has risen by.
    Contradicted,
}

/// Whether a fetched report confirms a verdict *unmoved* before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnmovedCheck {
    /// It shows no new clicks.
    Confirmed,
    /// There was no such verdict. Or the report shows new clicks, which may have come after it: the next probe tells.
    Open,
}

// === impl ProbedCampaign ===

impl ProbedCampaign {
    /// Records a fetched report, in either form, with the sum of its `unique_clicks`.
    pub fn report_fetched(&mut self, clicks: u32, fetched_at: Duration) -> UnmovedCheck {
        let before = self.report;
        if before.is_some_and(|before| fetched_at <= before.fetched_at) {
            return UnmovedCheck::Open;
        }
        // A sum that fell shows nothing about `em_clicks`.
        let risen =
            before.and_then(|before| Some(before.least?.saturating_add(clicks.checked_sub(before.clicks)?)));
        let read = self.last_probe.filter(|probe| probe.as_of <= fetched_at).map(|probe| probe.count);
        self.report =
            Some(ProbedReport { clicks, fetched_at, least: risen.max(read), lacks: 0, claim: Claim::None });
        match before {
            Some(ProbedReport { claim: Claim::Current, clicks: shown, .. }) if shown == clicks => {
                UnmovedCheck::Confirmed
            }
            Some(_) | None => UnmovedCheck::Open,
        }
    }

    /// Records a probe.
    pub fn probed(&mut self, now: EmailClicks) -> ProbeVerdict {
        let before = self.last_probe;
        if before.is_some_and(|before| now.as_of <= before.as_of) {
            return ProbeVerdict::NotNewer;
        }
        self.last_probe = Some(now);
        let Some(report) = &mut self.report else { return ProbeVerdict::NoBase };
        if now.as_of <= report.fetched_at {
            report.least = report.least.max(Some(now.count));
            return ProbeVerdict::NotNewer;
        }
        if before.is_some_and(|before| now.count < before.count) {
            // The upstream corrected its count: what was known of it is void.
            report.least = None;
        }
        let Some(least) = report.least else { return ProbeVerdict::NoBase };
        let Some(lacks) = now.count.checked_sub(least) else {
            if now.as_of <= report.fetched_at + ORDER_UNCERTAIN {
                return ProbeVerdict::NotNewer;
            }
            report.least = Some(now.count);
            return ProbeVerdict::Contradicted;
        };
        let new = lacks.saturating_sub(report.lacks);
        report.lacks = lacks;
        match NonZeroU32::new(new) {
            Some(new_clicks) => {
                report.claim = Claim::None;
                ProbeVerdict::Moved { new_clicks, as_of: now.as_of }
            }
            None => {
                if lacks == 0 {
                    report.claim = Claim::Current;
                }
                ProbeVerdict::Unmoved { as_of: now.as_of }
            }
        }
    }

    /// Whether a probe at `now` is likely to tell something, if its count is `lag` old. If not, a report that is worth a
    /// call is fetched.
    pub fn can_tell(&self, lag: Duration, now: Duration) -> bool {
        match (self.last_probe, self.report) {
            // The first probe is what later ones are compared with.
            (None, _) => true,
            (Some(_), Some(report)) => report.least.is_some() && report.fetched_at + lag < now,
            (Some(_), None) => false,
        }
    }

    /// Whether the endpoint has had statistics of this campaign before.
    pub const fn was_probed(&self) -> bool {
        self.last_probe.is_some()
    }

    /// Whether a verdict waits for the next fetched report to confirm it.
    pub fn is_unconfirmed(&self) -> bool {
        self.report.is_some_and(|report| report.claim == Claim::Current)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    const fn unmoved(seconds: u64) -> ProbeVerdict {
        ProbeVerdict::Unmoved { as_of: at(seconds) }
    }

    fn moved(new_clicks: u32, seconds: u64) -> ProbeVerdict {
        ProbeVerdict::Moved { new_clicks: NonZeroU32::new(new_clicks).unwrap(), as_of: at(seconds) }
    }

    fn probe(campaign: &mut ProbedCampaign, count: u32, seconds: u64) -> ProbeVerdict {
        campaign.probed(EmailClicks { count, as_of: at(seconds) })
    }

    /// A report with 12 clicks at 100 s, and `em_clicks` 10 read before it, at 50 s.
    fn campaign() -> ProbedCampaign {
        let mut campaign = ProbedCampaign::default();
        assert_eq!(probe(&mut campaign, 10, 50), ProbeVerdict::NoBase);
        campaign.report_fetched(12, at(100));
        campaign
    }

    #[test]
    fn the_first_probe_is_only_what_later_ones_are_compared_with() {
        let mut campaign = ProbedCampaign::default();
        campaign.report_fetched(12, at(100));
        assert!(campaign.can_tell(at(0), at(101)) && !campaign.was_probed());
        assert_eq!(probe(&mut campaign, 10, 200), ProbeVerdict::NoBase);
        // Clicks from 100 s to 200 s are in both counts of the next probe, so it can tell nothing either.
        assert!(!campaign.can_tell(at(0), at(300)) && campaign.was_probed());
        assert_eq!(probe(&mut campaign, 10, 300), ProbeVerdict::NoBase);
        campaign.report_fetched(13, at(310));
        assert_eq!(probe(&mut campaign, 10, 400), unmoved(400));
    }

    #[test]
    fn the_same_count_is_unmoved_as_of_its_own_time_and_not_now() {
        let mut campaign = campaign();
        assert_eq!(probe(&mut campaign, 10, 130), unmoved(130));
        assert_eq!(probe(&mut campaign, 10, 130), ProbeVerdict::NotNewer, "not recomputed since");
        assert_eq!(probe(&mut campaign, 9, 120), ProbeVerdict::NotNewer, "an older replica of the upstream");
        assert_eq!(probe(&mut campaign, 10, 190), unmoved(190));
    }

    #[test]
    fn a_count_from_before_the_report_tells_nothing_of_it() {
        let mut campaign = campaign();
        assert_eq!(probe(&mut campaign, 12, 90), ProbeVerdict::NotNewer);
        assert_eq!(probe(&mut campaign, 12, 110), unmoved(110), "the two clicks came before the report");
        assert!(!campaign.can_tell(at(60), at(160)) && campaign.can_tell(at(60), at(161)));
    }

    #[test]
    fn each_new_click_is_told_once() {
        let mut campaign = campaign();
        assert_eq!(probe(&mut campaign, 13, 110), moved(3, 110));
        assert_eq!(probe(&mut campaign, 13, 120), unmoved(120));
        assert!(!campaign.is_unconfirmed(), "known to lack clicks");
        assert_eq!(probe(&mut campaign, 15, 130), moved(2, 130));
    }

    #[test]
    fn clicks_that_the_next_report_shows_are_not_told_again() {
        let mut campaign = campaign();
        assert_eq!(probe(&mut campaign, 12, 110), moved(2, 110));
        // Two that were told, and one that came before the report was fetched.
        campaign.report_fetched(15, at(120));
        assert_eq!(probe(&mut campaign, 13, 130), unmoved(130));
        assert_eq!(probe(&mut campaign, 14, 140), moved(1, 140));
    }

    #[test]
    fn a_report_without_new_clicks_confirms_that_the_campaign_had_not_moved() {
        let mut campaign = campaign();
        assert_eq!(campaign.report_fetched(12, at(101)), UnmovedCheck::Open, "nothing to confirm");
        probe(&mut campaign, 10, 130);
        assert!(campaign.is_unconfirmed());
        assert_eq!(campaign.report_fetched(12, at(90)), UnmovedCheck::Open, "overtaken");
        assert_eq!(campaign.report_fetched(12, at(140)), UnmovedCheck::Confirmed);
        assert_eq!(campaign.report_fetched(12, at(150)), UnmovedCheck::Open, "once");
    }

    #[test]
    fn clicks_in_a_report_that_em_clicks_does_not_show_later_are_a_contradiction() {
        let mut campaign = campaign();
        assert_eq!(probe(&mut campaign, 10, 130), unmoved(130));
        assert_eq!(campaign.report_fetched(13, at(140)), UnmovedCheck::Open, "it may have come after 130 s");
        assert_eq!(probe(&mut campaign, 10, 150), ProbeVerdict::NotNewer, "too close to tell");
        assert_eq!(probe(&mut campaign, 10, 151), ProbeVerdict::Contradicted);
    }

    #[test]
    fn a_count_that_falls_begins_anew_and_contradicts_nothing() {
        let mut campaign = campaign();
        assert_eq!(probe(&mut campaign, 10, 130), unmoved(130));
        assert_eq!(probe(&mut campaign, 7, 140), ProbeVerdict::NoBase);
        campaign.report_fetched(9, at(150));
        assert_eq!(probe(&mut campaign, 7, 160), unmoved(160));
        campaign.report_fetched(6, at(170));
        assert_eq!(probe(&mut campaign, 7, 190), unmoved(190), "a sum that falls contradicts nothing either");
    }

    #[derive(Debug, Clone, Copy)]
    enum Event {
        /// Raises the report's sum by 1 and `em_clicks` by more.
        Click {
            also: u32,
        },
        /// `em_clicks` rises without a new click in the report, e.g. by a second click of one contact.
        Repeated,
        Fetch,
        /// Reads `em_clicks` of this many events ago.
        Probe {
            lag: usize,
        },
    }

    fn event() -> impl Strategy<Value = Event> {
        prop_oneof![
            (0..3_u32).prop_map(|also| Event::Click { also }),
            Just(Event::Repeated),
            Just(Event::Fetch),
            (0..6_usize).prop_map(|lag| Event::Probe { lag }),
            (0..6_usize).prop_map(|lag| Event::Probe { lag }),
        ]
    }

    proptest! {
        /// An upstream whose `em_clicks` is late, and at times counts more than the report does.
        #[test]
        fn a_report_that_is_called_current_is_and_one_that_lacks_clicks_is_never_called_so(
            events in proptest::collection::vec(event(), 1..200),
        ) {
            let mut campaign = ProbedCampaign::default();
            // By second: the report's sum and `em_clicks`.
            let mut past = vec![(0_u32, 0_u32)];
            let (mut shown, mut lacks) = (0, 0);
            for event in events {
                let (mut sum, mut count) = *past.last().unwrap();
                let now = past.len();
                match event {
                    Event::Click { also } => (sum, count) = (sum + 1, count + 1 + also),
                    Event::Repeated => count += 1,
                    Event::Fetch => {
                        campaign.report_fetched(sum, at(now as u64));
                        (shown, lacks) = (sum, 0);
                    }
                    Event::Probe { lag } => {
                        let then = now.saturating_sub(1 + lag);
                        let (sum_then, count_then) = past[then];
                        match probe(&mut campaign, count_then, then as u64) {
                            ProbeVerdict::NoBase | ProbeVerdict::NotNewer => {}
                            ProbeVerdict::Unmoved { .. } => prop_assert!(sum_then <= shown + lacks),
                            ProbeVerdict::Moved { new_clicks, .. } => {
                                lacks += new_clicks.get();
                                prop_assert!(sum_then <= shown + lacks);
                            }
                            ProbeVerdict::Contradicted => prop_assert!(false, "there is no contradiction"),
                        }
                    }
                }
                past.push((sum, count));
            }
        }
    }
}
