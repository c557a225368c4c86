//! A replica that is started anew beside a shared store.

use http::Method;
use link_report_proxy::shared::MemorySharedStore;

use super::*;

#[tokio::test(start_paused = true)]
async fn a_replica_that_comes_back_hears_what_was_purged_and_refreshed_while_it_was_away() {
    let mut fixture = RestartFixture::new(&[
        ("CACHE__REFRESH", "fixed"),
        ("CACHE__TTL_JITTER", "0"),
        ("QUOTA__PER_DAY", "0"),
    ]);
    let since = start().duration_since(std::time::SystemTime::UNIX_EPOCH).unwrap();
    let store = Arc::new(MemorySharedStore::new(since));
    fixture.shared = Some(Arc::clone(&store) as Arc<_>);
    let mut other = RestartFixture::new(&[]);
    (other.vendor, other.settings, other.shared) =
        (fixture.vendor.clone(), fixture.settings.clone(), fixture.shared.clone());
    let (first, neighbour) = (fixture.start().await, other.start().await);
    sleep(6 * SECOND).await;
    first.get_all(3).await;
    sleep(SECOND).await;
    first.end().await;

    let id = |number| path(number).split('/').nth(4).unwrap().to_owned();
    sleep(301 * SECOND).await;
    // It takes what the first has fetched from the store, and then refreshes it.
    neighbour.get(&path(0)).await;
    sleep(SECOND).await;
    neighbour.get(&path(0)).await;
    sleep(SECOND).await;
    assert_eq!(fixture.vendor.calls(), 4, "three, and a refresh by the neighbour");
    assert_eq!(neighbour.admin(Method::DELETE, &format!("/cache/{}", id(1))).await.status, 200);
    sleep(SECOND).await;
    let calls = fixture.vendor.calls();

    let second = fixture.start().await;
    assert_eq!(second.metric("cache_restored_entries"), 3.0);
    sleep(SECOND).await;
    let answer = second.get(&path(0)).await;
    assert!(age(&answer) < 10, "the younger one of the store: {} s", age(&answer));
    assert_eq!(second.metric("cache_entries"), 2.0, "one was purged");
    assert_eq!(fixture.vendor.calls(), calls);
    second.get(&path(1)).await;
    assert_eq!(fixture.vendor.calls(), calls + 1);
    second.end().await;

    // A store that no longer has these changes: what came from the snapshot may have been purged.
    sleep(SECOND).await;
    store.flush();
    let third = fixture.start().await;
    assert_eq!(third.metric("cache_restored_entries"), 3.0);
    sleep(10 * SECOND).await;
    assert_eq!(third.metric("cache_entries"), 0.0);
}
