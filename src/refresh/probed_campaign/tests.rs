//! Tests: the verdicts of probes, by cases, and against an upstream whose `em_clicks` is late.

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
    assert!(campaign.can_tell(at(0), at(101)));
    assert_eq!(probe(&mut campaign, 10, 200), ProbeVerdict::NoBase);
    // Clicks from 100 s to 200 s are in both counts of the next probe, so it can tell nothing either.
    assert!(!campaign.can_tell(at(0), at(300)));
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
    assert!(!campaign.can_tell(at(60), at(170)) && campaign.can_tell(at(60), at(171)));
}

#[test]
fn each_new_click_is_told_once() {
    let mut campaign = campaign();
    assert_eq!(probe(&mut campaign, 13, 110), moved(3, 110));
    assert_eq!(probe(&mut campaign, 13, 120), unmoved(120));
    assert!(campaign.has_verdict(), "known to lack clicks");
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
    assert!(campaign.has_verdict());
    assert_eq!(campaign.report_fetched(12, at(90)), UnmovedCheck::Open, "overtaken");
    assert_eq!(campaign.report_fetched(12, at(140)), UnmovedCheck::Confirmed);
    assert!(!campaign.has_open_verdict(), "nothing is left to be confirmed");
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

#[test]
fn a_campaign_whose_statistics_are_not_computed_anew_is_fetched_next() {
    let mut campaign = campaign();
    assert_eq!(probe(&mut campaign, 10, 130), unmoved(130));
    assert!(campaign.can_tell(at(0), at(140)));
    assert_eq!(probe(&mut campaign, 10, 130), ProbeVerdict::NotNewer);
    assert!(!campaign.can_tell(at(0), at(9_000)));
    campaign.report_fetched(12, at(150));
    assert!(campaign.can_tell(at(0), at(160)));
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
