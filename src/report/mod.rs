//! The domain: what a link report is, what names it, and how an answer may fail.
//!
//! Pure values and pure functions. This module never does I/O, never reads a clock, and knows neither
//! HTTP's machinery nor any cache, quota or token: everybody else may speak its words.

mod activity_id;
mod answer;
mod body;
mod cause;
mod consequences;
mod error;
mod key;
mod lifetime;
mod link_totals;
mod negative_answer;
mod quota_pressure;
mod representation;
#[cfg(test)]
pub(crate) mod testing;
mod unreachable;

pub use activity_id::{ActivityId, InvalidActivityId};
pub use answer::{Answer, Call, Exchange, Fetched, Reason, SentGeneration};
pub use body::{InvalidReport, LinkReport};
pub use cause::{Cause, LocalDenial, UpstreamFailure, UpstreamLimit};
pub use consequences::{FailureKind, FailureStage, Responsible, RetryWhen};
pub use error::{FetchError, Incident};
pub use key::{InvalidNoClicks, KeyError, NoClicks, ReportKey};
pub use lifetime::{Lifetime, LifetimePolicy, LifetimeReason, Observed};
pub use negative_answer::{NegativeAnswer, NegativeStatus};
pub use quota_pressure::{QuotaPressure, QuotaPressureFn};
pub use representation::Representation;
pub use unreachable::Unreachable;
