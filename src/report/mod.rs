//! The domain model: link reports, their keys, negative answers, and the causes of a failed fetch.
//!
//! Values and pure functions only: no I/O and no dependency on the HTTP stack, the cache, the quota or the token. All
//! other modules may use it.

mod activity_id;
mod activity_status;
mod answer;
mod body;
mod cause;
mod clicked_links;
mod client_number;
mod consequences;
mod derived_comparison;
mod error;
mod exchange;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod json_object;
mod key;
mod lifetime;
mod link_rows;
mod link_totals;
mod negative_answer;
mod quota_pressure;
mod representation;
mod sent;
mod statistics;
mod table;
#[cfg(test)]
pub(crate) mod testing;
mod unreachable;

pub use activity_id::ActivityId;
pub(crate) use activity_id::InvalidActivityId;
pub use activity_status::{ActivityDetails, ActivityStatus, FetchedStatus, StatusCall};
pub use answer::{Answer, Call, Fetched, Reason};
pub use body::{InvalidReport, LinkReport};
pub use cause::{Cause, LocalDenial, UpstreamFailure, UpstreamLimit};
pub use clicked_links::NotDerivable;
pub use client_number::ClientNumber;
pub(crate) use consequences::{FailureKind, FailureStage, Responsible, RetryWhen};
pub use derived_comparison::{DerivationMismatch, DerivedComparison, FetchOrder};
pub use error::FetchError;
pub use exchange::{Exchange, Exchanged, FlightNumber, Origin};
pub(crate) use exchange::{RefusalNote, SentGeneration};
pub(crate) use key::KeyError;
pub use key::{NoClicks, ReportKey};
pub use lifetime::LifetimePolicy;
pub(crate) use lifetime::{Lifetime, LifetimeReason, Observed};
pub use negative_answer::{NegativeAnswer, NegativeStatus};
pub use quota_pressure::{QuotaPressure, QuotaPressureFn};
pub(crate) use representation::{EntityTag, Representation};
pub use sent::{SentEvidence, WasSent, WhyEmpty};
pub use statistics::{
    ActivityClicks, CountedClicks, FetchedStatistics, StatisticsAnswer, StatisticsCall, parse_statistics,
};
pub use table::TableFormat;
pub use unreachable::Unreachable;
