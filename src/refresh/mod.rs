//! The refresh policy: decides when a cached report is worth one of the day's calls.
//!
//! The quota gives a fixed number of calls a UTC day, and each response served from the cache may miss clicks that the
//! campaign got since the report was fetched. So a call has a price, in clicks missed, and the rule is:
//!
//! > refresh when (responses served since the cached report was last known to be current + 1) × (clicks known to be
//! > missing + average of those that may be missing) ≥ price
//!
//! The rule is applied on each cache hit, so a report that is not polled costs no calls. At constant rates it is the
//! square-root law: each report is refreshed at a rate proportional to the square root of (polls × clicks), which makes
//! the total of clicks missed in the day as small as possible. The price is set each minute so that the calls last
//! until midnight UTC.
//!
//! Terms in this module:
//! * *look*: an observation of a campaign's clicks: a fetch of either form of its report, or a probe.
//! * *copy* (in names): a cached report, that is one form of one campaign.
//! * *answers*: the responses served from the cache for one key.
//! * *demand*: the sum over all keys of sqrt(polls a second × clicks a second); with u = sqrt(2 × price), refreshes
//!   use demand/u calls a second.
//!
//! Contents:
//! * [`CampaignStats`]: per campaign, the clicks that its looks have shown and their rate.
//! * [`CopyStats`]: per cached report, what a cache hit has to read, in 40 bytes.
//! * [`RefreshPolicy`]: the rule.
//! * [`PollTimes`]: predicts the next poll, so that the refresh can be made just before it.
//! * [`PriceController`]: sets the [`Price`] from the demand of the last minutes and the [`DemandProfile`].
//! * [`RefreshCeiling`]: limits the calls that refreshes use, whatever the price is.
//! * [`ProbeSelection`]: selects the campaigns for one probe call; [`ProbeBenefit`]: whether probes save calls.
//! * [`ChangeProbe`]: when probes may be made, and what their results and failures mean; [`ProbedCampaign`]: what they
//!   tell of a campaign.
//! * [`ShadowCheck`]: both are compared with what calls bring before they are relied on.
//!
//! The module is pure: `now` is an argument, and there is no I/O. It must not depend on HTTP, tokens, the quota ledger
//! or the cache's entries: they pass in what they observed, and call it for decisions. Of a report it uses only the sum
//! of unique clicks, and of a comparison of two reports only its result.
//!
//! `now` is the time since a fixed origin. It never moves backward, and all parts of a process use the same origin. If
//! it is the Unix time at the start of the process plus the monotonic time since then, stored values are still valid
//! after a restart. [`UtcTime`] is the calendar time, which may step.

mod call_ratio;
mod campaign;
mod ceiling;
mod change_probe;
mod click_history;
mod copy;
mod demand;
mod demand_forecast;
mod lack;
mod policy;
mod poll_times;
mod price;
mod price_controller;
mod price_record;
mod probe;
mod probe_suspects;
mod probed_campaign;
mod profile;
mod shadow_check;
mod utc;

pub use campaign::ReportForm;
pub(crate) use campaign::{AnswerTimes, CampaignRecord, CampaignStats, HistoriesRecord, LastLook, Pairing};
pub(crate) use ceiling::RefreshCeiling;
pub use change_probe::{ChangeProbe, ProbeOffReason};
pub(crate) use click_history::{ClickHistory, ClickHistoryRecord, ClickRate};
pub(crate) use copy::{CopyRecord, CopyStats};
pub(crate) use demand::{DemandSlice, DemandSummary, KeysPerCampaign};
pub(crate) use demand_forecast::DemandForecast;
pub(crate) use lack::{Lack, UnexpectedClicks};
pub use policy::RefreshPolicy;
pub(crate) use policy::{CacheHit, RefreshDecision, RefreshTerms};
pub(crate) use poll_times::PollTimes;
pub(crate) use price::Price;
pub(crate) use price_controller::PriceController;
pub use price_controller::PriceLimits;
pub(crate) use price_record::{PriceRecord, PriceStatus};
pub(crate) use probe::{ProbeBenefit, ProbeSelection};
pub use probed_campaign::{EmailClicks, ProbeVerdict, ProbedCampaign, UnmovedCheck};
pub(crate) use profile::DemandProfile;
pub use shadow_check::{ShadowCheck, ShadowMode, ShadowStatus};
pub(crate) use utc::UtcTime;
