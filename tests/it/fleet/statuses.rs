//! The status of activities, asked for by several replicas.

use std::time::Duration;

use link_report_proxy::{report::ActivityId, simulator::ScriptedCampaign};

use super::Fleet;
use crate::support::in_process::{key, path, start};

const EMPTY_REPORTS: u32 = 40;

#[tokio::test(start_paused = true)]
async fn statuses_that_nobody_waits_for_take_less_than_a_third_of_the_fleet_s_calls() {
    let fleet = Fleet::of(3, &[("STATUS__ENABLED", "true"), ("QUOTA__PER_DAY", "10000")]);
    Fleet::has_met().await;
    for number in 1..=EMPTY_REPORTS {
        let id = ActivityId::to_string(&key(number).id).parse().unwrap();
        fleet.vendor.play(id, ScriptedCampaign::new(start() + Duration::from_hours(24), []));
    }
    for _ in 0..60 {
        for number in 1..=EMPTY_REPORTS {
            for replica in &fleet.replicas {
                let told = replica.get(&path(number)).await;
                assert!(told.cache_status().contains("; detail="), "{}", told.cache_status());
            }
        }
        tokio::time::sleep(Duration::from_mins(1)).await;
    }
    let calls = fleet.vendor.activity_calls();
    // One in half a minute, and the first of each replica.
    assert!((60..=123).contains(&calls), "{calls} in an hour");
}
