//! A campaign's clicks as a snapshot has them. The refresh plan's file has them too, but not with fixed lifetimes, and not if
//! it is lost.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::snapshot_age::{SnapshotAge, millis};
use crate::refresh::{
    CampaignRecord, CampaignStats, ClickHistoryRecord, HistoriesRecord, LastLook, ReportForm,
};

/// Times are in milliseconds before the snapshot.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct SnapshotCampaign {
    /// Of both forms, or of the clicked links alone if `all_links` is there.
    clicked: SnapshotHistory,
    all_links: Option<SnapshotHistory>,
    polled_ms: Option<u64>,
    last_look: SnapshotLook,
}

#[derive(Debug, Serialize, Deserialize)]
struct SnapshotHistory {
    looked_ms: u64,
    clicks: u32,
    seen_clicks: f64,
    seen_seconds: f64,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum SnapshotLook {
    Clicked,
    AllLinks,
    Probe,
}

// === impl SnapshotCampaign ===

impl SnapshotCampaign {
    /// `now` is by the plan's clock.
    pub(super) fn of(campaign: &CampaignStats, now: Duration) -> Self {
        let CampaignRecord { histories, last_polled, last_look } = campaign.record();
        let history = |history: ClickHistoryRecord| SnapshotHistory {
            looked_ms: millis(now.saturating_sub(history.looked_at)),
            clicks: history.clicks,
            seen_clicks: history.seen_clicks,
            seen_seconds: history.seen_seconds,
        };
        let (clicked, all_links) = match histories {
            HistoriesRecord::Paired(both) => (history(both), None),
            HistoriesRecord::Separate([clicked, all]) => (history(clicked), Some(history(all))),
        };
        Self {
            clicked,
            all_links,
            polled_ms: last_polled.map(|polled| millis(now.saturating_sub(polled))),
            last_look: match last_look {
                LastLook::Report(ReportForm::Clicked) => SnapshotLook::Clicked,
                LastLook::Report(ReportForm::AllLinks) => SnapshotLook::AllLinks,
                LastLook::Probe => SnapshotLook::Probe,
            },
        }
    }

    /// `now` is by the plan's clock. `None` if it cannot be true.
    pub(super) fn into_campaign(self, age: SnapshotAge, now: Duration) -> Option<CampaignStats> {
        let history = |fields: SnapshotHistory| {
            Some(ClickHistoryRecord {
                looked_at: now.checked_sub(age.ago(fields.looked_ms))?,
                clicks: fields.clicks,
                seen_clicks: fields.seen_clicks,
                seen_seconds: fields.seen_seconds,
            })
        };
        let clicked = history(self.clicked)?;
        let histories = match self.all_links {
            None => HistoriesRecord::Paired(clicked),
            Some(all) => HistoriesRecord::Separate([clicked, history(all)?]),
        };
        let last_look = match self.last_look {
            SnapshotLook::Clicked => LastLook::Report(ReportForm::Clicked),
            SnapshotLook::AllLinks => LastLook::Report(ReportForm::AllLinks),
            SnapshotLook::Probe => LastLook::Probe,
        };
        let last_polled = self.polled_ms.and_then(|ms| now.checked_sub(age.ago(ms)));
        CampaignStats::restore(&CampaignRecord { histories, last_polled, last_look }, now)
    }
}
