use super::*;

const fn at(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[test]
fn a_look_through_one_form_counts_for_the_other() {
    let mut campaign = CampaignStats::first_look(ReportForm::Clicked, 10, at(0));
    assert_eq!(campaign.look(ReportForm::AllLinks, 20, at(100)), Pairing::Paired);
    assert_eq!(campaign.history(ReportForm::Clicked), campaign.history(ReportForm::AllLinks));
    assert_eq!(campaign.history(ReportForm::Clicked).clicks(), 20);
    assert!(size_of::<CampaignStats>() <= 96);
}

#[test]
fn forms_with_contradicting_clicks_are_separated_and_each_counts_only_its_own_looks() {
    let mut campaign = CampaignStats::first_look(ReportForm::AllLinks, 17, at(0));
    assert_eq!(campaign.look(ReportForm::Clicked, 10, at(100)), Pairing::Separate);
    assert_eq!(campaign.history(ReportForm::AllLinks).clicks(), 17);
    assert_eq!(campaign.history(ReportForm::AllLinks).looked_at(), at(0));
    campaign.look(ReportForm::Clicked, 12, at(200));
    assert_eq!(campaign.history(ReportForm::Clicked).clicks(), 12);
    assert_eq!(campaign.history(ReportForm::AllLinks).clicks(), 17);
}

#[test]
fn a_form_whose_own_clicks_fall_and_answers_in_the_wrong_order_separate_nothing() {
    let mut campaign = CampaignStats::first_look(ReportForm::Clicked, 17, at(0));
    assert_eq!(campaign.look(ReportForm::Clicked, 10, at(100)), Pairing::Paired);
    campaign.look(ReportForm::AllLinks, 30, at(200));
    assert_eq!(campaign.look(ReportForm::Clicked, 29, at(210)), Pairing::Paired);
    assert_eq!(campaign.look(ReportForm::AllLinks, 29, at(300)), Pairing::Paired, "the same clicks");
}

#[test]
fn clicks_shown_by_a_probe_do_not_separate_the_forms() {
    let mut campaign = CampaignStats::first_look(ReportForm::Clicked, 10, at(0));
    campaign.probed(5, at(100));
    assert_eq!(campaign.history(ReportForm::AllLinks).clicks(), 15);
    assert_eq!(campaign.look(ReportForm::AllLinks, 14, at(200)), Pairing::Paired);
}

#[test]
fn answers_are_counted_from_the_start_again_when_the_copy_is_a_new_one() {
    let mut campaign = CampaignStats::first_look(ReportForm::Clicked, 10, at(0));
    let answers = [5, 9, 9, 2].map(|answers| campaign.take_new_answers(ReportForm::Clicked, answers));
    assert_eq!(answers, [5, 4, 0, 2]);
}

#[test]
fn stored_statistics_continue_where_they_were_except_for_the_answers_of_the_last_process() {
    let mut campaign = CampaignStats::first_look(ReportForm::AllLinks, 17, at(1_000));
    let restored = |campaign: &CampaignStats| CampaignStats::restore(&campaign.record(), at(2_000)).unwrap();
    assert_eq!(restored(&campaign), campaign);
    campaign.polled(at(1_050));
    campaign.probed(3, at(1_060));
    assert_eq!(restored(&campaign), campaign);
    let polled_within = |seconds| restored(&campaign).was_polled_within(at(seconds), at(2_000));
    assert_eq!([950, 951].map(polled_within), [false, true]);
    campaign.look(ReportForm::AllLinks, 22, at(1_100));
    let mut unaware = restored(&campaign);
    assert_eq!(unaware.look(ReportForm::Clicked, 10, at(1_200)), Pairing::Separate, "it knows the last look");
    campaign.look(ReportForm::Clicked, 10, at(1_200));
    assert_eq!(restored(&campaign), campaign);
    assert_eq!(restored(&campaign).history(ReportForm::AllLinks).clicks(), 22);
    campaign.take_new_answers(ReportForm::Clicked, 5);
    assert_eq!(restored(&campaign).take_new_answers(ReportForm::Clicked, 3), 3);
}

#[test]
fn after_a_restart_that_seems_to_have_taken_hours_the_rate_stays_until_the_second_look() {
    let mut campaign = CampaignStats::first_look(ReportForm::Clicked, 0, at(100));
    campaign.look(ReportForm::Clicked, 8, at(200));
    let rate = |campaign: &CampaignStats| campaign.history(ReportForm::AllLinks).rate().per_second();
    for (restarted, kept) in [(200 + 3_599, false), (200 + 3_600, true), (200 + 72_000, true)] {
        let mut restored = CampaignStats::restore(&campaign.record(), at(restarted)).unwrap();
        restored.look(ReportForm::Clicked, 9, at(restarted + 10));
        assert_eq!(restored.history(ReportForm::Clicked).clicks(), 9);
        assert_eq!(rate(&restored) == rate(&campaign), kept, "{restarted}");
        let before = rate(&restored);
        restored.look(ReportForm::Clicked, 9, at(restarted + 500));
        assert!(rate(&restored) < before);
    }
}

#[test]
fn stored_statistics_that_cannot_be_true_are_refused() {
    let mut campaign = CampaignStats::first_look(ReportForm::AllLinks, 17, at(100));
    campaign.look(ReportForm::Clicked, 10, at(200));
    campaign.polled(at(300));
    let record = campaign.record();
    assert!(CampaignStats::restore(&record, at(300)).is_some());
    assert_eq!(CampaignStats::restore(&record, at(299)), None, "polled later than now");
    let HistoriesRecord::Separate([clicked, all]) = record.histories else { panic!("still paired") };
    let wrong = ClickHistoryRecord { seen_seconds: f64::NAN, ..all };
    for histories in [
        HistoriesRecord::Paired(wrong),
        HistoriesRecord::Separate([clicked, wrong]),
        HistoriesRecord::Separate([wrong, all]),
    ] {
        let record = CampaignRecord { histories, ..record };
        assert_eq!(CampaignStats::restore(&record, at(300)), None, "{record:?}");
    }
}

#[test]
fn a_report_that_was_derived_from_that_of_the_other_form_pairs_the_two_again() {
    let mut campaign = CampaignStats::first_look(ReportForm::Clicked, 17, at(0));
    assert_eq!(campaign.look(ReportForm::AllLinks, 10, at(100)), Pairing::Separate);
    campaign.derived();
    assert_eq!(campaign.pairing(), Pairing::Paired);
    assert_eq!(campaign.history(ReportForm::Clicked), campaign.history(ReportForm::AllLinks));
    assert_eq!(campaign.history(ReportForm::Clicked).clicks(), 10);
}

#[test]
fn the_times_of_answers_are_known_from_the_first_poll_on_and_count_none_that_were_given_before() {
    let mut campaign = CampaignStats::first_look(ReportForm::Clicked, 10, at(0));
    campaign.count_answers_from([5, 8]);
    assert_eq!(campaign.take_new_answers(ReportForm::Clicked, 7), 2);
    assert_eq!(campaign.answer_times(ReportForm::AllLinks, at(300)), None);
    campaign.polled(at(250));
    let times = AnswerTimes { before_slice: 8, polled_until: at(250), sliced_at: at(300) };
    assert_eq!(campaign.answer_times(ReportForm::AllLinks, at(300)), Some(times));
}
