//! Campaign statistics: what the looks at a campaign have shown. Both forms of its report have the same clicks, so a
//! look through one form serves both.

use std::time::Duration;

use super::{ClickHistory, ClickHistoryRecord};

/// Looks less than this apart may have been served by the upstream in the other order, so they do not prove a
/// difference.
const ORDER_UNCERTAIN: Duration = Duration::from_secs(10);

/// A restart rarely takes longer. After one that seems to, the first look says nothing of the rate: were the clock ahead by
/// hours, the rate would fall to almost nothing, and there would be no next look that mends it for as long.
const LONGEST_RESTART: Duration = Duration::from_hours(1);

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

/// The statistics of a campaign, in 96 bytes. They are kept after its reports are evicted from the cache.
#[derive(Debug, Clone, PartialEq)]
pub struct CampaignStats {
    /// By form; equal while the forms are paired.
    histories: [ClickHistory; 2],
    /// The responses served from the cached report of each form, as of the last demand slice.
    answers_before: [u32; 2],
    /// The polls of each form in about the last hour; 0 before the first.
    polls_per_second: [f32; 2],
    /// The time of the last poll, in seconds since the origin; `None` before the first.
    last_polled: Option<u32>,
    last_look: LastLook,
    pairing: Pairing,
    since_look: SinceLook,
}

/// Whether the time since the last look is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum SinceLook {
    /// It is.
    Known,
    /// An earlier process looked last, seemingly long ago: the clock of one of the two may have been wrong.
    Doubtful,
}

/// When the responses for a report came, as far as the demand slices show it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AnswerTimes {
    /// The responses up to the last slice.
    pub(super) before_slice: u32,
    /// When they had all come: the end of the last slice in which the campaign was polled.
    pub(super) polled_until: Duration,
    /// The end of the last slice.
    pub(super) sliced_at: Duration,
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
            polls_per_second: [0.0; 2],
            last_polled: None,
            last_look: LastLook::Report(form),
            pairing: Pairing::Paired,
            since_look: SinceLook::Known,
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
        let looked_at = histories.each_ref().map(ClickHistory::looked_at).into_iter().max()?;
        let since_look =
            if now - looked_at < LONGEST_RESTART { SinceLook::Known } else { SinceLook::Doubtful };
        Some(Self {
            histories,
            answers_before: [0; 2],
            polls_per_second: [0.0; 2],
            last_polled: last_polled.map(whole_seconds),
            last_look,
            pairing,
            since_look,
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
        self.look_again(form, clicks, at);
        if self.pairing == Pairing::Paired {
            self.histories[form.other().index()] = self.histories[form.index()];
        }
        self.since_look = SinceLook::Known;
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
        for form in ReportForm::BOTH {
            let clicks = self.history(form).clicks().saturating_add(new_clicks);
            self.look_again(form, clicks, as_of);
        }
        self.since_look = SinceLook::Known;
    }

    fn look_again(&mut self, form: ReportForm, clicks: u32, at: Duration) {
        let history = &mut self.histories[form.index()];
        match self.since_look {
            SinceLook::Known => history.look(clicks, at),
            SinceLook::Doubtful => history.look_after_unknown_time(clicks, at),
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

    /// So many responses of each form, in the order of [`ReportForm::BOTH`], were given before: they are not new.
    pub const fn count_answers_from(&mut self, answers: [u32; 2]) {
        self.answers_before = answers;
    }

    /// The responses of a form since the last call of this function; `answers` are those of its cached report so far.
    /// A report that was cached anew starts again at 0.
    pub(super) fn take_new_answers(&mut self, form: ReportForm, answers: u32) -> u32 {
        let before = std::mem::replace(&mut self.answers_before[form.index()], answers);
        answers.checked_sub(before).unwrap_or(answers)
    }

    /// When the responses of a form came; `sliced_at` is the end of the last slice. `None` before the first poll.
    pub fn answer_times(&self, form: ReportForm, sliced_at: Duration) -> Option<AnswerTimes> {
        let polled_until = Duration::from_secs(self.last_polled?.into());
        Some(AnswerTimes { before_slice: self.answers_before[form.index()], polled_until, sliced_at })
    }

    /// Updates the rate of polls from those of a demand slice, which has this `share` in it.
    pub(super) fn count_polls(&mut self, form: ReportForm, per_second: f64, share: f64) {
        let rate = &mut self.polls_per_second[form.index()];
        let share = if *rate == 0.0 { 1.0 } else { share };
        *rate += (per_second as f32 - *rate) * share as f32;
    }

    /// The polls of a form in about the last hour that were answered from the cache; `None` if there were none yet.
    pub fn polls_per_second(&self, form: ReportForm) -> Option<f64> {
        Some(self.polls_per_second[form.index()]).filter(|rate| *rate > 0.0).map(f64::from)
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
mod tests;
