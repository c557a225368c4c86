//! What is known of a campaign: its two forms tell of the same clicks, so a look through one of them serves both.

use std::time::Duration;

use super::ClickHistory;

/// Two looks so close to each other may have been answered in the other order: they prove nothing.
const ORDER_UNCERTAIN: Duration = Duration::from_secs(10);

/// The two reports of a campaign. Both have the same clicks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReportForm {
    /// The links that were clicked (`no_clicks=false`).
    Clicked,
    /// All links (`no_clicks=true`).
    AllLinks,
}

/// Do the two forms tell of the same clicks?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pairing {
    /// Nothing speaks against it: what one form shows counts for the other.
    Paired,
    /// One form showed fewer clicks than the other had before: each is on its own from now on.
    Separate,
}

/// What is known of a campaign: 88 bytes. It outlives the cached reports.
#[derive(Debug, Clone, PartialEq)]
pub struct CampaignStats {
    /// By form; the same twice while they are paired.
    histories: [ClickHistory; 2],
    /// The cached answers of each form that had been given at the last slice.
    answers_before: [u32; 2],
    /// In seconds since the origin; nothing was asked for before.
    last_polled: Option<u32>,
    last_look: LastLook,
    pairing: Pairing,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LastLook {
    Report(ReportForm),
    Probe,
}

// === impl ReportForm ===

impl ReportForm {
    /// Both.
    pub const BOTH: [Self; 2] = [Self::Clicked, Self::AllLinks];

    pub(super) const fn index(self) -> usize {
        match self {
            Self::Clicked => 0,
            Self::AllLinks => 1,
        }
    }

    /// The other one.
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
    /// A campaign that nobody has looked at before.
    pub fn first_look(form: ReportForm, clicks: u32, at: Duration) -> Self {
        Self {
            histories: [ClickHistory::first_look(clicks, at); 2],
            answers_before: [0; 2],
            last_polled: None,
            last_look: LastLook::Report(form),
            pairing: Pairing::Paired,
        }
    }

    /// A report of the campaign came, with so many clicks. Returns how the forms stand to each other since; the caller
    /// tells the copy of the other form only while they are paired.
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

    /// A cheap look told that so many clicks came since the last one: both forms have them.
    pub fn probed(&mut self, new_clicks: u32, as_of: Duration) {
        self.last_look = LastLook::Probe;
        for history in &mut self.histories {
            history.look(history.clicks().saturating_add(new_clicks), as_of);
        }
    }

    /// The clicks as this form tells of them.
    pub const fn history(&self, form: ReportForm) -> &ClickHistory {
        &self.histories[form.index()]
    }

    /// Do the forms tell of the same clicks?
    pub const fn pairing(&self) -> Pairing {
        self.pairing
    }

    /// The answers of a form since this was last called, given those of its cached copy by now. A new copy starts at
    /// none.
    pub(super) fn take_new_answers(&mut self, form: ReportForm, answers: u32) -> u32 {
        let before = std::mem::replace(&mut self.answers_before[form.index()], answers);
        answers.checked_sub(before).unwrap_or(answers)
    }

    pub(super) fn polled(&mut self, now: Duration) {
        self.last_polled = Some(u32::try_from(now.as_secs()).unwrap_or(u32::MAX));
    }

    /// Was it asked for within that time?
    pub fn was_polled_within(&self, time: Duration, now: Duration) -> bool {
        self.last_polled.is_some_and(|polled| now.saturating_sub(Duration::from_secs(polled.into())) < time)
    }
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
    fn forms_that_do_not_add_up_are_separated_and_each_goes_on_with_its_own_looks() {
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
    fn what_a_probe_saw_is_no_evidence_against_the_forms() {
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
}
