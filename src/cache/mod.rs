//! Stores reports and lets one fetch serve many callers.
//!
//! Knows nothing of HTTP, tokens or quotas: it calls the service that it wraps, and says of each answer where it came
//! from. Freshness is decided here, on tokio's clock.

mod apply_failure;
mod apply_fetch;
mod compact;
mod copy_cell;
mod derivable;
mod derivation_check;
mod derivation_control;
mod derived_statistics;
mod deriving;
mod entry;
mod eviction;
mod failed_checks;
mod failures;
mod flight;
mod form_statistics;
mod freshness;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod gzip;
mod holdings;
mod index;
mod known_statuses;
mod layer;
mod live_options;
mod looks;
mod lookup;
mod next_check;
mod plan;
mod plan_clock;
mod plan_minute;
mod planned_lookup;
mod probe_control;
mod probed_activity;
mod probed_statistics;
mod probing;
mod recent_map;
mod reconfigure;
mod refresh_failure;
mod report_cache;
mod served;
mod shards;
mod shared_answer;
mod shared_check;
mod shared_flight;
mod shared_landing;
mod shared_tier;
mod snapshot;
mod snapshot_age;
mod snapshot_campaign;
mod snapshot_fields;
mod statistics;
mod status_checks;
mod was_sent;
mod why_empty;

pub use derivation_check::{ClickedSource, DerivationCheck};
pub(crate) use entry::Entry;
pub(crate) use form_statistics::{FormStatistics, Removed};
pub(crate) use freshness::Freshness;
pub use holdings::Holdings;
pub use known_statuses::{KnownStatus, StatusChecking};
pub use layer::{Cache, CacheLayer, Unanswered};
pub use plan::{PriceLevel, RefreshPlanOptions, RefreshWaiting};
pub use plan_clock::PlanClock;
pub use plan_minute::{PlanMinute, PlannedCalls, QuotaUse, SliceDone};
pub(crate) use planned_lookup::PlannedView;
pub(crate) use refresh_failure::RefreshFailure;

pub use report_cache::{CacheOptions, RefreshSchedule, ReportCache};
pub(crate) use report_cache::{Lookup, Refresh};
pub(crate) use served::StoreOutcome;
pub use served::{CacheRequest, Forward, Miss, Patience, Permit, Revalidate, Role, Served, ServedFrom};
pub(crate) use shared_check::SharedReportCheck;
pub(crate) use shared_flight::{SharedCopy, SharedFlightResult};
pub(crate) use shared_tier::SharedFetch;
pub use shared_tier::{SharedLifetimes, SharedTier};
pub use snapshot::RestoredRecord;
pub use snapshot_age::SnapshotAge;
pub(crate) use statistics::ActivityStatistics;
pub use status_checks::{StatusChecks, StatusOrigin};
