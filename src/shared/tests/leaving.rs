//! A replica that ends leaves the fleet.

use std::{sync::Arc, time::Duration};

use super::every_operation::about;
use crate::{
    shared::{Membership, MembershipOptions, MemorySharedStore, SharedStore},
    telemetry::Metrics,
};

#[tokio::test(start_paused = true)]
async fn a_replica_that_has_left_sends_no_more_heartbeats() {
    let store = Arc::new(MemorySharedStore::new(Duration::from_secs(1_700_000_000)));
    let [ends, stays] = [(); 2].map(|()| {
        let options = MembershipOptions { margin: 0, about: about(), metrics: Metrics::new().fleet() };
        Arc::new(Membership::new(Arc::clone(&store) as Arc<dyn SharedStore>, options))
    });
    let beating = Arc::clone(&ends);
    let beats = tokio::spawn(async move { beating.heartbeats(|_| ()).await });
    tokio::time::sleep(Duration::from_secs(20)).await;
    assert_eq!(stays.beat().await.unwrap().members.len(), 2);
    ends.leave().await;
    ends.beat_soon();
    tokio::time::sleep(Duration::from_secs(20)).await;
    assert_eq!(stays.beat().await.unwrap().members.len(), 1);
    beats.await.unwrap();
}
