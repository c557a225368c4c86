//! A day replayed: what a refresh policy makes of a workload, in clicks missed.
//!
//! [`Workload`]s say who asks for what and when, and when each campaign is clicked; they come from a generator
//! ([`Scenario`]) or from a file ([`read_trace`]). [`replay`] runs one through the machines of [`crate::refresh`] (or
//! through a fixed lifetime) poll by poll, with the pace, the latency and the budget of the real calls, and
//! [`Outcome`] is the score: the mean over answers of the clicks that happened before the answer and are not in it.
//!
//! No I/O, no clock, no HTTP: a day takes a fraction of a second. It must know nothing of a policy but that it is
//! told of polls and looks, and says when to refresh.

mod calls;
mod fixed;
mod law;
mod origin;
mod outcome;
mod planned;
mod population;
mod replay;
mod scenario;
mod strategy;
mod trace;
mod workload;

pub use calls::CallLine;
pub use fixed::FixedLifetime;
pub use law::SquareRootLaw;
pub use origin::ClickTimes;
pub use outcome::{Interval, Outcome};
pub use planned::{AnswerExchange, Derivation, PlanOptions, Planned};
pub use population::{CampaignSchedule, OpeningHours, Population, Watching};
pub use replay::{replay, replay_apart};
pub use scenario::{Dashboards, Scenario};
pub use strategy::{CachedPoll, CopyKey, PendingRefresh, Probing, RefreshTiming, Strategy, Waiting};
pub use trace::{TraceError, read_trace};
pub use workload::{CampaignWave, ClicksByDay, Poll, Workload};
