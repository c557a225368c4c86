//! The simulator: replays a day of polls and measures a refresh policy in clicks missed per response.
//!
//! A [`Workload`] lists the polls and the clicks of each campaign; it comes from a generator ([`Scenario`]) or from a
//! file ([`read_trace`]). [`replay()`] runs it poll by poll through a [`Strategy`]: the refresh logic of
//! [`crate::refresh`] ([`Planned`]) or a fixed lifetime ([`FixedLifetime`]). Calls have the rate limit, the latency and
//! the daily budget of real ones. [`Outcome`] is the score: the mean number of clicks that happened before a response
//! and are missing from it.
//!
//! Pure: no I/O, no clock, no HTTP. The replay knows a policy only through [`Strategy`], so that policies can be
//! compared on the same day.

mod calls;
mod fixed;
mod law;
mod origin;
mod outcome;
mod plan_options;
mod planned;
mod population;
mod replay;
mod scenario;
mod strategy;
mod trace;
mod workload;

pub(crate) use calls::CallLine;
pub(crate) use fixed::{FixedLifetime, FixedOptions};
pub use law::SquareRootLaw;
pub use origin::ClickTimes;
pub(crate) use outcome::Interval;
pub use outcome::Outcome;
pub use plan_options::{AnswerExchange, Derivation, PlanOptions};
pub use planned::Planned;
pub(crate) use population::{CampaignSchedule, OpeningHours};
pub use population::{Population, Watching};
pub use replay::replay;
pub(crate) use replay::replay_apart;
pub use scenario::{Dashboards, Scenario};
pub(crate) use strategy::{CachedPoll, CopyKey, PendingRefresh, Strategy};
pub use strategy::{Probing, RefreshTiming, Waiting};
pub use trace::read_trace;
pub(crate) use workload::ClicksByDay;
pub use workload::{CampaignWave, Poll, Workload};
