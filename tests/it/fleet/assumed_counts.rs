//! What replicas without a count assume of the day, and when that is no longer used.

use std::time::Duration;

use tokio::time::sleep;

use super::{Fleet, faulty_store::LinkFault};
use crate::support::in_process::path;

const LIMITED: [(&str, &str); 2] = [("QUOTA__PER_SECOND", "4"), ("QUOTA__PER_DAY", "10000")];

/// The day's calls as a replica shows them.
async fn used(fleet: &Fleet, replica: usize) -> u64 {
    fleet.replicas[replica].admin("/quota").await.json()["day"]["used"].as_u64().unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_store_that_is_lost_is_told_what_it_has_counted_and_not_what_was_assumed_before() {
    let mut fleet = Fleet::of(1, &LIMITED);
    Fleet::has_met().await;
    fleet.joined_by_a_new_one(&LIMITED);
    Fleet::has_met().await;
    assert_eq!(fleet.replicas[1].get(&path(1)).await.status, 200);
    Fleet::has_met().await;
    let before = used(&fleet, 1).await;
    fleet.links[0].set(LinkFault::Cut);
    fleet.store.flush();
    sleep(Duration::from_secs(20)).await;
    assert_eq!(used(&fleet, 1).await, before + 40, "the margin");
}
