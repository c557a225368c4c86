//! A disk that hangs does not hold up the end of the process.

use std::{future::pending, ops::ControlFlow};

use futures_util::future::{BoxFuture, FutureExt as _, ready};
use link_report_proxy::{
    app::run,
    state::{Durability, SnapshotRecords, SnapshotStore, SnapshotStoreError, TakeRecord},
};

use super::*;

/// Reads nothing, and never ends a write.
#[derive(Debug)]
struct HangingStore;

impl SnapshotStore for HangingStore {
    fn durability(&self) -> Durability {
        Durability::Durable
    }

    fn read(&self, mut take: TakeRecord) -> BoxFuture<'_, Result<(), SnapshotStoreError>> {
        assert_eq!(take(b"nonsense", b""), ControlFlow::Break(()), "no record of this program");
        ready(Ok(())).boxed()
    }

    fn write(&self, _records: SnapshotRecords) -> BoxFuture<'_, Result<u64, SnapshotStoreError>> {
        pending().boxed()
    }

    fn remove(&self) -> BoxFuture<'_, Result<(), SnapshotStoreError>> {
        pending().boxed()
    }
}

#[tokio::test(start_paused = true)]
async fn a_disk_that_hangs_takes_no_more_than_the_grace_of_a_shutdown() {
    let mut fixture = RestartFixture::new(&[("SHUTDOWN__GRACE", "20s")]);
    fixture.set("SERVER__LISTEN", "127.0.0.1:0");
    fixture.set("ADMIN__LISTEN", "127.0.0.1:0");
    let stores = StateStores { snapshot_store: Arc::new(HangingStore), ..StateStores::in_memory() };
    let app = fixture.app(stores, &PipeConnector::to(&fixture.vendor)).await;
    let settings: Vec<_> = fixture.settings.iter().map(|(key, value)| (*key, value.as_str())).collect();
    let stopped = Instant::now();
    run(app, &load_settings(&settings), |_ports| (), ready(())).await.unwrap();
    let took = stopped.elapsed();
    assert!((20 * SECOND..21 * SECOND).contains(&took), "{took:?}");
}
