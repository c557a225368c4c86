//! What the viewers of `demo --busy` were answered, and how many clicks that missed.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

/// The answers of a while, by campaign. Clicks are missed that happened before the poll and are not in the answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct AnswerCounts {
    pub(super) by_campaign: BTreeMap<usize, CampaignAnswers>,
    /// Polls that got no report.
    pub(super) failed: u64,
}

/// The answers about one campaign.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct CampaignAnswers {
    pub(super) answers: u64,
    pub(super) missed: u64,
}

/// Where the viewers write down their answers. Clones share them.
#[derive(Debug, Clone, Default)]
pub(super) struct AnswerLog(Arc<Mutex<AnswerCounts>>);

// === impl AnswerCounts ===

impl AnswerCounts {
    pub(super) fn add(&mut self, other: &Self) {
        for (campaign, more) in &other.by_campaign {
            let own = self.by_campaign.entry(*campaign).or_default();
            own.answers += more.answers;
            own.missed += more.missed;
        }
        self.failed += other.failed;
    }

    pub(super) fn total(&self) -> CampaignAnswers {
        self.by_campaign.values().fold(CampaignAnswers::default(), |sum, more| CampaignAnswers {
            answers: sum.answers + more.answers,
            missed: sum.missed + more.missed,
        })
    }
}

// === impl CampaignAnswers ===

impl CampaignAnswers {
    pub(super) fn missed_per_answer(self) -> f64 {
        self.missed as f64 / self.answers.max(1) as f64
    }
}

// === impl AnswerLog ===

impl AnswerLog {
    pub(super) fn answered(&self, campaign: usize, missed: u32) {
        self.change(|counts| {
            let own = counts.by_campaign.entry(campaign).or_default();
            own.answers += 1;
            own.missed += u64::from(missed);
        });
    }

    pub(super) fn failed(&self) {
        self.change(|counts| counts.failed += 1);
    }

    /// The answers since the last call.
    pub(super) fn take(&self) -> AnswerCounts {
        self.change(std::mem::take)
    }

    fn change<T>(&self, change: impl FnOnce(&mut AnswerCounts) -> T) -> T {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
