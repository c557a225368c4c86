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
    /// Whether there was such a probe of the report before, and this one showed new clicks. If the next probe counts them
    /// too, they came after that probe.
    open: Claim,
    timeliness: Timeliness,
}

/// Whether the last probe since the report told something. A campaign whose statistics are not computed often enough is
/// fetched next, instead of being probed again and again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Timeliness {
    Timely,
    Late,
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
    /// There was no such verdict. Or the report shows new clicks, which may have come after it: the next probe confirms it
    /// if it counts them.
    Open,
}

// === impl ProbeVerdict ===

impl ProbeVerdict {
    /// Each label.
    pub const WORDS: [&str; 5] = ["no_base", "not_newer", "unmoved", "moved", "contradicted"];

    /// The label in metrics.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::NoBase => "no_base",
            Self::NotNewer => "not_newer",
            Self::Unmoved { .. } => "unmoved",
            Self::Moved { .. } => "moved",
            Self::Contradicted => "contradicted",
        }
    }
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
        let open = match before {
            Some(ProbedReport { claim: Claim::Current, clicks: shown, .. }) if shown != clicks => {
                Claim::Current
            }
            Some(ProbedReport { claim: Claim::None, open, .. }) => open,
            Some(ProbedReport { claim: Claim::Current, .. }) | None => Claim::None,
        };
        let read = self.last_probe.filter(|probe| probe.as_of <= fetched_at).map(|probe| probe.count);
        self.report = Some(ProbedReport {
            clicks,
            fetched_at,
            least: risen.max(read),
            lacks: 0,
            claim: Claim::None,
            open: if risen.is_some() { open } else { Claim::None },
            timeliness: Timeliness::Timely,
        });
        match before {
            Some(ProbedReport { claim: Claim::Current, clicks: shown, .. }) if shown == clicks => {
                UnmovedCheck::Confirmed
            }
            Some(_) | None => UnmovedCheck::Open,
        }
    }

    /// Records a probe.
    pub fn probed(&mut self, now: EmailClicks) -> ProbeVerdict {
        let verdict = self.compare(now);
        if let Some(report) = &mut self.report {
            report.timeliness = match verdict {
                ProbeVerdict::NotNewer => Timeliness::Late,
                ProbeVerdict::NoBase
                | ProbeVerdict::Unmoved { .. }
                | ProbeVerdict::Moved { .. }
                | ProbeVerdict::Contradicted => Timeliness::Timely,
            };
        }
        verdict
    }

    fn compare(&mut self, now: EmailClicks) -> ProbeVerdict {
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
            (report.least, report.open) = (None, Claim::None);
        }
        let Some(least) = report.least else { return ProbeVerdict::NoBase };
        let Some(lacks) = now.count.checked_sub(least) else {
            if now.as_of <= report.fetched_at + ORDER_UNCERTAIN {
                return ProbeVerdict::NotNewer;
            }
            (report.least, report.open) = (Some(now.count), Claim::None);
            return ProbeVerdict::Contradicted;
        };
        report.open = Claim::None;
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

    /// Whether a probe at `now` is likely to tell something: the campaign was looked at more than `lag` ago. If not, a report that is worth a
    /// call is fetched.
    pub fn can_tell(&self, lag: Duration, now: Duration) -> bool {
        match (self.last_probe, self.report) {
            // The first probe is what later ones are compared with.
            (None, _) => true,
            (Some(probe), Some(report)) => {
                report.least.is_some()
                    && report.timeliness == Timeliness::Timely
                    && report.fetched_at.max(probe.as_of) + lag < now
            }
            (Some(_), None) => false,
        }
    }

    /// Whether a probe has told something of the last fetched report.
    pub fn has_verdict(&self) -> bool {
        self.report.is_some_and(|report| report.claim == Claim::Current || report.lacks > 0)
    }

    /// Whether the next probe that counts the clicks of the last fetched report confirms a verdict *unmoved* before it.
    pub fn has_open_verdict(&self) -> bool {
        self.report.is_some_and(|report| report.open == Claim::Current)
    }
}

#[cfg(test)]
mod tests;
