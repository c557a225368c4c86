//! The calls that have arrived at the vendor, and whose they were.

use std::collections::HashMap;

use foldhash::fast::RandomState;
use link_report_proxy::simulator::{Simulator, synthetic_id};
use tokio::time::Instant;

/// A call that has arrived at the vendor.
#[derive(Debug, Clone, Copy)]
pub(super) struct Arrival {
    pub(super) at: Instant,
    pub(super) slot: usize,
    pub(super) report: u32,
}

/// Reads the vendor's record.
pub(super) struct Arrivals {
    read: u64,
    reports: HashMap<String, u32, RandomState>,
}

// === impl Arrivals ===

impl Arrivals {
    pub(super) fn of(reports: u32) -> Self {
        let reports = (0..=reports).map(|report| (synthetic_id(report, 2).to_string(), report));
        Self { read: 0, reports: reports.collect() }
    }

    /// The arrivals since the last time, in order.
    pub(super) fn since(&mut self, vendor: &Simulator) -> Vec<Arrival> {
        let new = usize::try_from(vendor.calls() - self.read).unwrap();
        if new == 0 {
            return Vec::new();
        }
        self.read += new as u64;
        let seen = vendor.last_seen(new);
        assert_eq!(seen.len(), new, "the vendor remembers too few calls");
        let arrivals = seen.iter().map(|seen| {
            let host = seen.headers["host"].to_str().unwrap();
            let slot = host.strip_prefix("replica-").and_then(|host| host.strip_suffix(".invalid")).unwrap();
            let id =
                seen.target.strip_prefix("/v3/reports/email_reports/").unwrap().split('/').next().unwrap();
            Arrival { at: seen.at, slot: slot.parse().unwrap(), report: self.reports[id] }
        });
        arrivals.collect()
    }
}
