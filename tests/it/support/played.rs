//! A workload's campaigns, played by the simulated vendor.

use std::time::{Duration, SystemTime};

use link_report_proxy::{
    plan::Workload,
    simulator::{Recomputed, ScriptedCampaign, Simulator},
};
use serde_json::Value;
use uuid::Uuid;

/// Has the vendor play each campaign of the workload, whose times are since `midnight`, and returns their ids in order.
/// The vendor then shows at any time what [`Workload::shown_in`] says.
pub(crate) fn play(vendor: &Simulator, workload: &Workload, midnight: SystemTime) -> Vec<Uuid> {
    let at = |nanos: i64| {
        let distance = Duration::from_nanos(nanos.unsigned_abs());
        if nanos < 0 { midnight - distance } else { midnight + distance }
    };
    let mut ids = Vec::new();
    for (index, clicks) in workload.campaigns.iter().enumerate() {
        let waves = workload.waves.get(index).and_then(|waves| waves.first());
        let first_click = clicks.nanos().first().copied().unwrap_or_default();
        let sent = waves.map_or(first_click, |wave| (wave.sent * 1e9) as i64);
        let mut script = ScriptedCampaign::new(at(sent), clicks.nanos().iter().map(|nanos| at(*nanos)));
        script.more_in_all_links = workload.more_in_all_links;
        if !workload.recompute.is_zero() {
            // A fraction of a day: the phases are those of the workload if midnight is one.
            let phase = Duration::from_secs(index as u64 * 7919);
            script.recomputed = Recomputed::Every { period: workload.recompute, phase };
            script.statistics_recomputed = script.recomputed;
        }
        let id = Uuid::from_u64_pair(0x0a11_c11c_0000_4000, 0x9000_0000_0000_0000 + index as u64);
        vendor.play(id, script);
        ids.push(id);
    }
    ids
}

/// The sum of a report's `unique_clicks`.
pub(crate) fn clicks_of(report: &Value) -> u32 {
    let links = report["link_click_counts"].as_array().expect("a report");
    links.iter().map(|link| link["unique_clicks"].as_u64().expect("a number") as u32).sum()
}
