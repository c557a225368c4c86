//! Settings that are reloaded while replicas share their calls.

use std::time::Duration;

use link_report_proxy::simulator::Options;
use serde_json::json;
use tokio::{task::JoinSet, time::sleep};

use super::Fleet;
use crate::support::in_process::{Answer, path};

const SETTINGS: [(&str, &str); 3] =
    [("QUOTA__PER_SECOND", "0"), ("QUOTA__PER_DAY", "12"), ("SHARED__MARGIN", "0")];

// === impl Fleet ===

impl Fleet {
    /// Two replicas that make calls as fast as they come. So the vendor must allow it: else it refuses all but four of those
    /// that come at once.
    fn of_two() -> Self {
        Self::facing(Options { per_second: 0, ..Options::default() }, 2, &SETTINGS)
    }

    async fn ask(&self, replica: usize, report: u32) -> u16 {
        self.replicas[replica].get(&path(report)).await.status
    }

    async fn reload_all(&self, per_day: &str) {
        for replica in &self.replicas {
            replica.reload(&[("QUOTA__PER_DAY", per_day)]).await.unwrap();
        }
    }

    /// Fails unless each replica knows exactly the calls that the vendor got.
    async fn counts_every_call(&self, limits: [u32; 2]) {
        sleep(Duration::from_secs(6)).await;
        let used = self.vendor.calls();
        for (replica, limit) in self.replicas.iter().zip(limits) {
            let day = replica.admin("/quota").await.json()["day"].clone();
            let left = u64::from(limit).saturating_sub(used);
            let shown = [&day["used"], &day["limit"], &day["remaining"]];
            assert_eq!(shown, [&json!(used), &json!(limit), &json!(left)], "{day}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_limit_of_the_day_may_differ_between_replicas_for_as_long_as_a_reload_takes_and_no_call_is_lost() {
    let fleet = Fleet::of_two();
    Fleet::has_met().await;
    for report in 0..6 {
        assert_eq!(fleet.ask(report as usize % 2, report).await, 200);
    }
    // At one of them, as while a changed file spreads over the nodes: it goes by what both have used.
    fleet.replicas[0].reload(&[("QUOTA__PER_DAY", "7")]).await.unwrap();
    fleet.counts_every_call([7, 12]).await;
    assert_eq!([fleet.ask(1, 6).await, fleet.ask(0, 7).await, fleet.ask(1, 8).await], [200, 503, 200]);
    fleet.counts_every_call([7, 12]).await;
    // At both, below what is used, and above it again.
    fleet.reload_all("5").await;
    fleet.counts_every_call([5, 5]).await;
    assert_eq!([fleet.ask(0, 9).await, fleet.ask(1, 10).await], [503, 503]);
    for report in [0, 1, 6, 8] {
        for replica in 0..2 {
            assert_eq!(fleet.ask(replica, report).await, 200, "report {report} is held");
        }
    }
    fleet.reload_all("10").await;
    assert_eq!([fleet.ask(0, 11).await, fleet.ask(1, 12).await, fleet.ask(0, 13).await], [200, 200, 503]);
    fleet.counts_every_call([10, 10]).await;
    assert_eq!(fleet.vendor.calls(), 10);
}

#[tokio::test(start_paused = true)]
async fn a_reload_at_each_replica_under_load_fails_no_request_and_loses_no_call() {
    let fleet = Fleet::of_two();
    Fleet::has_met().await;
    let load = |reports: &[u32]| {
        let mut load = JoinSet::new();
        for replica in &fleet.replicas {
            for report in reports {
                load.spawn(replica.get_meanwhile(&path(*report)));
            }
        }
        load
    };
    let all_answered = async |load: JoinSet<Result<Answer, _>>| {
        let statuses: Vec<_> =
            load.join_all().await.into_iter().map(|answer| answer.unwrap().status).collect();
        assert!(statuses.iter().all(|status| *status == 200), "{statuses:?}");
    };
    all_answered(load(&[0, 1, 2])).await;
    // What is held and what is not, at once, while the limits change in both directions, at one after the other.
    for (reports, per_day) in [([0, 1, 2, 3], "20"), ([1, 2, 3, 4], "9"), ([2, 3, 4, 5], "12")] {
        let load = load(&reports);
        fleet.reload_all(per_day).await;
        all_answered(load).await;
    }
    fleet.counts_every_call([12, 12]).await;
    assert_eq!(fleet.vendor.calls(), 6, "one for each report, whichever replica was asked");
}
