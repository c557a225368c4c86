//! `GET /failures`: the last failed calls, with the request ids that the vendor's support asks for.

use serde::Serialize;

use super::{AdminState, both_clocks::BothClocks};
use crate::upstream::FailedCall;

#[derive(Debug, Serialize)]
pub(super) struct FailureList {
    /// Since the start.
    failed_calls: u64,
    /// The last twenty, newest first.
    items: Vec<FailureRow>,
}

/// A failed call, or several of the same report that failed alike one after the other.
#[derive(Debug, Serialize)]
struct FailureRow {
    at: Option<String>,
    report: String,
    reason: &'static str,
    error_key: &'static str,
    error: String,
    status: Option<u16>,
    upstream_request_id: Option<String>,
    times: u32,
}

// === impl FailureList ===

impl FailureList {
    pub(super) fn of(state: &AdminState) -> Self {
        let moment = BothClocks::of(&state.quota.snapshot());
        let row = |failed: FailedCall| FailureRow {
            at: moment.shown(failed.at),
            report: failed.what,
            reason: failed.reason,
            error_key: failed.error_key,
            error: failed.error,
            status: failed.status,
            upstream_request_id: failed.request_id.map(|id| (*id).to_owned()),
            times: failed.times,
        };
        Self {
            failed_calls: state.recent_calls.summary().failed,
            items: state.recent_calls.failures().into_iter().map(row).collect(),
        }
    }
}
