//! When a report is worth a call.
//!
//! A day has a fixed number of calls, and every answer that lacks clicks is a little wrong. So a call has a price, in
//! clicks missed, and the rule is one line:
//!
//! > refresh when (answers since the copy was last known to be current + 1) × (clicks known to be missing + those that
//! > may be missing, on average) ≥ price
//!
//! The rule is looked at when somebody asks, so what nobody asks for costs nothing. For constant rates it is the
//! square-root law: each copy is refreshed in proportion to the root of its polls times its clicks, which is what
//! makes the day's clicks missed least. The price is set each minute, so that the calls last until midnight UTC.
//!
//! * [`CampaignStats`] knows of a campaign what the looks at it have shown: its clicks, and how fast they come.
//! * [`CopyStats`] knows of a cached copy what a hit must know, in 40 bytes.
//! * [`RefreshPolicy`] is the rule.
//! * [`PollTimes`] tell when the next poll is to be expected, so that the refresh comes just before it.
//! * [`PriceController`] sets the [`Price`], from the demand of the last minutes and of the [`DemandProfile`].
//! * [`RefreshCeiling`] bounds what refreshes may spend, whatever the price says.
//! * [`ProbeSelection`] picks the campaigns that one cheap call for many should look at, [`ProbeBenefit`] knows whether that
//!   pays.
//!
//! All of it is pure: `now` is an argument, and it does no I/O. It must never know of HTTP, tokens, the ledger of the
//! quota or the cache's entries: they tell it what they saw, and ask. It knows a report only by its sum of unique clicks.
//!
//! `now` is a time since any origin that only moves forward, the same for all of one process (seconds since 1970 as
//! they were at its start, plus the monotonic time since, lets what is stored be read again). [`UtcTime`] is the
//! calendar's, which may step.

mod call_ratio;
mod campaign;
mod ceiling;
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
mod profile;
mod utc;

pub use campaign::ReportForm;
pub(crate) use campaign::{CampaignStats, Pairing};
pub(crate) use ceiling::RefreshCeiling;
pub(crate) use click_history::{ClickHistory, ClickRate};
pub(crate) use copy::CopyStats;
pub(crate) use demand::{DemandSlice, DemandSummary};
pub(crate) use demand_forecast::DemandForecast;
pub(crate) use lack::UnexpectedClicks;
pub(crate) use policy::{CacheHit, RefreshDecision, RefreshPolicy, RefreshTerms};
pub(crate) use poll_times::PollTimes;
pub(crate) use price::Price;
pub(crate) use price_controller::{PriceController, PriceLimits};
pub(crate) use price_record::{PriceRecord, PriceStatus};
pub(crate) use probe::{ProbeBenefit, ProbeSelection};
pub(crate) use profile::DemandProfile;
pub(crate) use utc::UtcTime;
