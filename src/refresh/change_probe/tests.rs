use super::*;

const fn at(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

const fn clicks(count: u32, seconds: u64) -> EmailClicks {
    EmailClicks { count, as_of: at(seconds) }
}

/// A campaign that was probed at 1 s and fetched at 2 s.
fn campaign(probe: &mut ChangeProbe<u32>) -> ProbedCampaign {
    let mut campaign = ProbedCampaign::default();
    probe.verdict(&mut campaign, clicks(5, 1));
    probe.report_fetched(&mut campaign, 9, at(2));
    campaign
}

/// With so many verdicts confirmed.
fn confirmed(mode: ShadowMode, count: u32) -> ChangeProbe<u32> {
    let mut probe = ChangeProbe::new(mode);
    for _ in 0..count {
        let mut campaign = campaign(&mut probe);
        assert_eq!(probe.verdict(&mut campaign, clicks(5, 3)), ProbeVerdict::Unmoved { as_of: at(3) });
        assert_eq!(probe.report_fetched(&mut campaign, 9, at(4)), UnmovedCheck::Confirmed);
    }
    probe
}

#[test]
fn verdicts_are_relied_on_after_fifty_are_confirmed_and_never_to_verify() {
    assert_eq!(confirmed(ShadowMode::On, CONFIRMED - 1).status(), ShadowStatus::Verifying);
    assert_eq!(confirmed(ShadowMode::On, CONFIRMED).status(), ShadowStatus::Trusted);
    assert_eq!(confirmed(ShadowMode::Verify, CONFIRMED).status(), ShadowStatus::Verifying);
}

#[test]
fn an_em_clicks_that_does_not_move_with_every_link_is_found_and_switches_probes_off() {
    for mut probe in [confirmed(ShadowMode::Verify, 0), confirmed(ShadowMode::On, CONFIRMED)] {
        let mut campaign = campaign(&mut probe);
        probe.verdict(&mut campaign, clicks(5, 30));
        assert_eq!(probe.report_fetched(&mut campaign, 10, at(40)), UnmovedCheck::Open);
        assert_eq!(probe.verdict(&mut campaign, clicks(5, 60)), ProbeVerdict::Contradicted);
        assert_eq!(probe.status(), ShadowStatus::SwitchedOff(ProbeOffReason::Contradicted));
        assert!(!probe.is_due(at(100)) && !probe.admit(1, &ProbedCampaign::default(), at(100)));
    }
}

#[test]
fn a_probe_that_is_not_relied_on_is_made_less_often() {
    for (mut probe, interval) in [
        (confirmed(ShadowMode::On, CONFIRMED), 5),
        (confirmed(ShadowMode::On, 0), 60),
        (confirmed(ShadowMode::Verify, 0), 60),
        (confirmed(ShadowMode::Verify, CONFIRMED), 600),
    ] {
        assert!(probe.is_due(at(1_000)));
        probe.begin(at(1_000));
        assert_eq!([interval - 1, interval].map(|s| probe.is_due(at(1_000 + s))), [false, true]);
    }
    assert!(!confirmed(ShadowMode::Off, 0).is_due(at(1_000)));
}

#[test]
fn a_campaign_whose_verdict_waits_to_be_confirmed_is_not_probed_again_before_verdicts_are_relied_on() {
    for (confirmations, admitted) in [(0, false), (CONFIRMED, true)] {
        let mut probe = confirmed(ShadowMode::On, confirmations);
        let mut campaign = campaign(&mut probe);
        assert!(probe.admit(1, &campaign, at(3)));
        probe.verdict(&mut campaign, clicks(5, 3));
        assert_eq!(probe.admit(1, &campaign, at(10)), admitted);
    }
}

#[test]
fn a_verdict_before_a_report_with_new_clicks_is_confirmed_by_the_probe_that_counts_them() {
    for (count, confirmations) in [(6, 1), (8, 1), (5, 0)] {
        let mut probe = confirmed(ShadowMode::On, 0);
        let mut campaign = campaign(&mut probe);
        probe.verdict(&mut campaign, clicks(5, 30));
        assert_eq!(probe.report_fetched(&mut campaign, 10, at(40)), UnmovedCheck::Open);
        assert_eq!(probe.report_fetched(&mut campaign, 10, at(50)), UnmovedCheck::Open);
        assert_eq!(probe.confirmations(), 0);
        probe.verdict(&mut campaign, clicks(count, 80));
        probe.verdict(&mut campaign, clicks(count, 90));
        assert_eq!(probe.confirmations(), confirmations, "{count}");
    }
}

#[test]
fn before_verdicts_are_relied_on_a_campaign_is_probed_once_for_each_report() {
    let mut probe = confirmed(ShadowMode::On, 0);
    let mut campaign = campaign(&mut probe);
    probe.verdict(&mut campaign, clicks(7, 30));
    assert!(!probe.admit(1, &campaign, at(40)), "it is known to have moved");
    probe.report_fetched(&mut campaign, 11, at(50));
    assert!(probe.admit(1, &campaign, at(51)));
}

#[test]
fn a_campaign_looked_at_less_than_two_ages_of_the_statistics_ago_is_not_probed() {
    let mut probe = confirmed(ShadowMode::On, CONFIRMED);
    let campaign = campaign(&mut probe);
    let found = [(1, clicks(5, 600)), (2, clicks(5, 800))];
    probe.answered(&[1, 2], &found, at(1_000));
    assert_eq!(probe.lag(), at(30), "a tenth of the 300 s that they are old on average");
    for _ in 0..100 {
        probe.answered(&[1, 2], &found, at(1_000));
    }
    assert!((probe.lag().as_secs_f64() - 300.0).abs() < 1.0, "{:?}", probe.lag());
    assert!(!probe.admit(1, &campaign, at(600)) && probe.admit(1, &campaign, at(603)));
}

#[test]
fn a_campaign_without_statistics_is_left_out_and_a_rejected_batch_is_searched() {
    let mut probe = confirmed(ShadowMode::On, CONFIRMED);
    let new = ProbedCampaign::default();
    probe.answered(&[1, 2], &[(2, clicks(5, 9))], at(10));
    assert_eq!([1, 2].map(|id| probe.admit(id, &new, at(11))), [false, true]);
    probe.rejected(&[2, 3, 4, 5], at(20));
    assert_eq!(probe.demanded_batch(), Some(&[2, 3][..]));
    probe.answered(&[2, 3], &[(2, clicks(5, 9)), (3, clicks(1, 9))], at(30));
    probe.rejected(&[4], at(40));
    assert_eq!(probe.demanded_batch(), None);
    let admitted = [1, 2, 3, 4, 5].map(|id| probe.admit(id, &new, at(40)));
    assert_eq!(admitted, [false, true, true, false, true]);
    assert_eq!(probe.status(), ShadowStatus::Trusted);
}

#[test]
fn a_403_or_twenty_rejected_probes_in_a_row_switch_probes_off() {
    let mut probe = confirmed(ShadowMode::On, CONFIRMED);
    probe.forbidden();
    assert_eq!(probe.status(), ShadowStatus::SwitchedOff(ProbeOffReason::Forbidden));
    for (answered, off) in [(Vec::new(), true), (vec![100], false)] {
        let mut probe = confirmed(ShadowMode::Verify, 0);
        (1..REJECTED_IN_A_ROW).for_each(|id| probe.rejected(&[id], at(10)));
        assert_eq!(probe.status(), ShadowStatus::Verifying);
        if !answered.is_empty() {
            probe.answered(&answered, &[], at(10));
        }
        probe.rejected(&[101], at(10));
        assert_eq!(probe.status() == ShadowStatus::SwitchedOff(ProbeOffReason::Rejected), off);
    }
}

#[test]
fn failures_pause_probes_longer_and_longer_until_one_is_answered() {
    let mut probe = confirmed(ShadowMode::On, CONFIRMED);
    for pause in [10, 20, 40, 80, 160, 320, 600, 600] {
        probe.begin(at(1_000));
        probe.failed(at(1_000));
        assert_eq!([pause - 1, pause].map(|s| probe.is_due(at(1_000 + s))), [false, true]);
        probe.next_at = at(0);
    }
    probe.answered(&[1], &[], at(2_000));
    probe.failed(at(2_000));
    assert!(probe.is_due(at(2_010)));
}
