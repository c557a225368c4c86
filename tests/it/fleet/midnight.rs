//! The end of the vendor's day, in the middle of what a fleet does.

use std::time::{Duration, SystemTime};

use futures_util::future::join_all;
use link_report_proxy::shared::{
    CallCount, CallRequest, CallTurn, Epoch, Fence, Recovery, Sequence, SharedStore as _, SpentDay, StoreSeen,
};
use tokio::time::{Instant, sleep};

use super::Fleet;
use crate::support::in_process::{path, start};

/// The vendor's limits, as the proxy has them by default.
const LIMITED: [(&str, &str); 3] =
    [("QUOTA__PER_SECOND", "4"), ("QUOTA__PER_DAY", "10000"), ("SHARED__MARGIN", "0")];

const DAY: Duration = Duration::from_hours(24);

/// Until this time before the next midnight.
async fn shortly_before_midnight(before: Duration) {
    let now = start().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    let into_day = Duration::from_secs(now.as_secs() % DAY.as_secs());
    sleep(DAY - into_day - before).await;
}

#[tokio::test(start_paused = true)]
async fn misses_that_wait_for_their_place_at_midnight_are_served_though_another_replica_has_begun_the_day() {
    let fleet = Fleet::of(2, &LIMITED);
    shortly_before_midnight(Duration::from_secs(1)).await;
    // Four of them leave before midnight.
    let waiting: Vec<_> = (0..8).map(|report| fleet.replicas[0].get_meanwhile(&path(report))).collect();
    sleep(Duration::from_millis(1_010)).await;
    assert_eq!(fleet.replicas[1].get(&path(100)).await.status, 200);
    let statuses: Vec<_> = join_all(waiting).await.into_iter().map(|answer| answer.unwrap().status).collect();
    assert_eq!(statuses, [200; 8]);
    assert_eq!(fleet.vendor.calls(), 9);
    assert!(fleet.busiest_second() <= 4, "{}", fleet.busiest_second());
    Fleet::has_met().await;
    for replica in &fleet.replicas {
        assert_eq!(replica.admin("/quota").await.json()["day"]["used"], 5, "those of the new day");
    }
}

/// A replica whose clock is this far ahead of the others' makes the first call of the day.
async fn the_next_day_is_begun_early(fleet: &Fleet) {
    let store = &fleet.store;
    let today = start().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs() / DAY.as_secs();
    let recovery = Recovery {
        known: None,
        seen: Sequence(0),
        fresh: Epoch(1),
        told: SpentDay { day: today, spent: 0 },
        margin: 0,
        force: false,
        purged: Fence(0),
    };
    let state = store.recover(recovery).await.unwrap();
    let seen = StoreSeen { epoch: Some(state.epoch), sequence: state.sequence };
    let (interval, horizon) = (Duration::from_millis(275), Duration::from_secs(5));
    let request = CallRequest { day: today + 1, ceiling: 10_000, interval, horizon, count: CallCount::One };
    let turn = store.take_call(seen, request).await.unwrap().unwrap();
    assert_eq!(turn, CallTurn::Granted { wait: Duration::ZERO, spent: 1, probe: false });
}

#[tokio::test(start_paused = true)]
async fn a_miss_waits_for_midnight_where_another_replica_s_clock_is_a_little_ahead() {
    let fleet = Fleet::of(2, &LIMITED);
    shortly_before_midnight(Duration::from_secs(2)).await;
    the_next_day_is_begun_early(&fleet).await;
    let asked = Instant::now();
    assert_eq!(fleet.replicas[0].get(&path(0)).await.status, 200);
    assert!((2..3).contains(&asked.elapsed().as_secs()), "{:?}", asked.elapsed());
    assert_eq!(fleet.replicas[0].admin("/quota").await.json()["day"]["used"], 2, "of the new day");
}
