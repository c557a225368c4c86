//! Campaign statistics: what the looks at a campaign have shown. Both forms of its report have the same clicks, so a
//! look through one form serves both.

use std::time::Duration;

use super::{ClickHistory, ClickHistoryRecord};

/// Looks less than this apart may have been served by the upstream in the other order, so they do not prove a
/// difference.
const ORDER_UNCERTAIN: Duration = Duration::from_secs(10);

/// The two forms of a campaign's report. Both have the same clicks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReportForm {
    /// Only the links that were clicked (`no_clicks=false`).
    Clicked,
    /// All links (`no_clicks=true`).
    AllLinks,
}

/// Whether the two forms show the same clicks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pairing {
    /// They do, as far as is known: a look through one form counts for the other.
    Paired,
    /// One form showed fewer clicks than the other had shown before: from then on each form counts only its own
    /// looks.
    Separate,
}

/// The statistics of a campaign, in 88 bytes. They are kept after its reports are evicted from the cache.
#[derive(Debug, Clone, PartialEq)]
pub struct CampaignStats {
    /// By form; equal while the forms are paired.
    histories: [ClickHistory; 2],
    /// The responses served from the cached report of each form, as of the last demand slice.
    answers_before: [u32; 2],
    /// The time of the last poll, in seconds since the origin; `None` before the first.
    last_polled: Option<u32>,
    last_look: LastLook,
    pairing: Pairing,
}

/// The last look at a campaign.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LastLook {
    /// A fetch of this form of its report.
    Report(ReportForm),
    /// A probe.
    Probe,
}

/// The stored form of a [`CampaignStats`]. Without the responses counted: those of a new process start at 0.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CampaignRecord {
    /// The clicks as shown by its reports.
    pub histories: HistoriesRecord,
    /// The time of the last poll, in whole seconds; `None` before the first.
    pub last_polled: Option<Duration>,
    /// The last look.
    pub last_look: LastLook,
}

/// The clicks as shown by the two forms, see [`Pairing`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum HistoriesRecord {
    /// Both forms show these.
    Paired(ClickHistoryRecord),
    /// Each form shows its own; in the order of [`ReportForm::BOTH`].
    Separate([ClickHistoryRecord; 2]),
}

// === impl ReportForm ===

impl ReportForm {
    /// Both forms.
    pub const BOTH: [Self; 2] = [Self::Clicked, Self::AllLinks];

    pub(crate) const fn index(self) -> usize {
        match self {
            Self::Clicked => 0,
            Self::AllLinks => 1,
        }
    }

    /// The other form.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::Clicked => Self::AllLinks,
            Self::AllLinks => Self::Clicked,
        }
    }
}

// === impl CampaignStats ===

impl CampaignStats {
    /// The statistics of a campaign after its first look.
    pub fn first_look(form: ReportForm, clicks: u32, at: Duration) -> Self {
        Self {
            histories: [ClickHistory::first_look(clicks, at); 2],
            answers_before: [0; 2],
            last_polled: None,
            last_look: LastLook::Report(form),
            pairing: Pairing::Paired,
        }
    }

    /// Continues from a stored record. `None` if it cannot be true: a look or a poll later than `now`, or sums that no
    /// looks give.
    pub fn restore(record: &CampaignRecord, now: Duration) -> Option<Self> {
        let CampaignRecord { histories, last_polled, last_look } = *record;
        let (histories, pairing) = match histories {
            HistoriesRecord::Paired(both) => ([ClickHistory::restore(&both, now)?; 2], Pairing::Paired),
            HistoriesRecord::Separate([clicked, all]) => {
                let histories = [ClickHistory::restore(&clicked, now)?, ClickHistory::restore(&all, now)?];
                (histories, Pairing::Separate)
            }
        };
        if last_polled.is_some_and(|polled| polled > now) {
            return None;
        }
        Some(Self {
            histories,
            answers_before: [0; 2],
            last_polled: last_polled.map(whole_seconds),
            last_look,
            pairing,
        })
    }

    /// The statistics, to be stored.
    pub fn record(&self) -> CampaignRecord {
        CampaignRecord {
            histories: match self.pairing {
                Pairing::Paired => HistoriesRecord::Paired(self.histories[0].record()),
                Pairing::Separate => {
                    HistoriesRecord::Separate(self.histories.each_ref().map(ClickHistory::record))
                }
            },
            last_polled: self.last_polled.map(|seconds| Duration::from_secs(seconds.into())),
            last_look: self.last_look,
        }
    }

    /// Records a fetched report with `clicks`. Returns whether the forms are still paired; only then may the
    /// caller update the cached report of the other form from this look.
    pub fn look(&mut self, form: ReportForm, clicks: u32, at: Duration) -> Pairing {
        let before = &self.histories[form.other().index()];
        if self.last_look == LastLook::Report(form.other())
            && clicks < before.clicks()
            && at > before.looked_at() + ORDER_UNCERTAIN
        {
            self.pairing = Pairing::Separate;
        }
        self.last_look = LastLook::Report(form);
        self.histories[form.index()].look(clicks, at);
        if self.pairing == Pairing::Paired {
            self.histories[form.other().index()] = self.histories[form.index()];
        }
        self.pairing
    }

    /// The report of the clicked links was derived from the report of all links that was last looked at, so both show the
    /// same clicks.
    pub fn derived(&mut self) {
        self.pairing = Pairing::Paired;
        self.histories[ReportForm::Clicked.index()] = self.histories[ReportForm::AllLinks.index()];
    }

    /// Records a probe that showed `new_clicks` since the last look; they count for both forms.
    pub fn probed(&mut self, new_clicks: u32, as_of: Duration) {
        self.last_look = LastLook::Probe;
        for history in &mut self.histories {
            history.look(history.clicks().saturating_add(new_clicks), as_of);
        }
    }

    /// The clicks as shown by this form.
    pub const fn history(&self, form: ReportForm) -> &ClickHistory {
        &self.histories[form.index()]
    }

    /// Whether the two forms show the same clicks.
    pub const fn pairing(&self) -> Pairing {
        self.pairing
    }

    /// The responses of a form since the last call of this function; `answers` are those of its cached report so far.
    /// A report that was cached anew starts again at 0.
    pub(super) fn take_new_answers(&mut self, form: ReportForm, answers: u32) -> u32 {
        let before = std::mem::replace(&mut self.answers_before[form.index()], answers);
        answers.checked_sub(before).unwrap_or(answers)
    }

    pub(super) fn polled(&mut self, now: Duration) {
        self.last_polled = Some(whole_seconds(now));
    }

    /// Whether the campaign was polled within `time` before `now`.
    pub fn was_polled_within(&self, time: Duration, now: Duration) -> bool {
        self.last_polled.is_some_and(|polled| now.saturating_sub(Duration::from_secs(polled.into())) < time)
    }
}

fn whole_seconds(time: Duration) -> u32 {
    u32::try_from(time.as_secs()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
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
        assert_eq!(campaign.look(ReportForm::Clicked, 29, at(201)), Pairing::Paired);
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
        let restored =
            |campaign: &CampaignStats| CampaignStats::restore(&campaign.record(), at(2_000)).unwrap();
        assert_eq!(restored(&campaign), campaign);
        campaign.polled(at(1_050));
        campaign.probed(3, at(1_060));
        assert_eq!(restored(&campaign), campaign);
        assert!(restored(&campaign).was_polled_within(Duration::from_secs(951), at(2_000)));
        campaign.look(ReportForm::AllLinks, 22, at(1_100));
        let mut unaware = restored(&campaign);
        assert_eq!(
            unaware.look(ReportForm::Clicked, 10, at(1_200)),
            Pairing::Separate,
            "it knows the last look"
        );
        campaign.look(ReportForm::Clicked, 10, at(1_200));
        assert_eq!(restored(&campaign), campaign);
        assert_eq!(restored(&campaign).history(ReportForm::AllLinks).clicks(), 22);
        campaign.take_new_answers(ReportForm::Clicked, 5);
        assert_eq!(restored(&campaign).take_new_answers(ReportForm::Clicked, 3), 3);
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
}
