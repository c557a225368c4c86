//! What was purged does not come back.

use http::Method;

use super::*;

#[tokio::test(start_paused = true)]
async fn a_purge_is_not_undone_by_a_kill_and_a_start() {
    let fixture = RestartFixture::new(&[("CACHE__REFRESH", "fixed")]);
    let first = fixture.start().await;
    first.get_all(5).await;
    first.snapshot.as_ref().unwrap().save().await;
    assert!(fixture.snapshot_exists());
    let id = path(3).split('/').nth(4).unwrap().to_owned();
    let purged = first.admin(Method::DELETE, &format!("/cache/{id}")).await;
    assert_eq!((purged.status, purged.json()["purged"].as_u64()), (200, Some(1)));
    assert!(!fixture.snapshot_exists(), "before the answer");
    first.kill().await;
    let second = fixture.start().await;
    assert_eq!(second.metric("cache_entries"), 0.0);

    second.get_all(5).await;
    assert_eq!(second.admin(Method::DELETE, &format!("/cache/{id}")).await.status, 200);
    sleep(11 * SECOND).await;
    assert!(fixture.snapshot_exists(), "of the others");
    second.kill().await;
    let (third, calls) = (fixture.start().await, fixture.vendor.calls());
    third.get_all(5).await;
    assert_eq!(fixture.vendor.calls(), calls + 1, "the one that was purged");
    assert_eq!(third.admin(Method::DELETE, "/cache").await.json()["purged"].as_u64(), Some(5));
    assert!(!fixture.snapshot_exists());
}

#[tokio::test(start_paused = true)]
async fn a_purge_whose_snapshot_cannot_be_removed_says_so() {
    let fixture = RestartFixture::new(&[]);
    let first = fixture.start().await;
    first.get(&path(1)).await;
    // Nobody can remove a directory as a file, not even root.
    fs::create_dir(fixture.dir.path().join("cache-snapshot")).unwrap();
    let purged = first.admin(Method::DELETE, "/cache").await;
    assert_eq!(purged.status, 500);
    assert!(purged.text().contains("cache-snapshot"), "{}", purged.text());
    assert_eq!(first.metric("cache_entries"), 0.0);
    let refused = first.admin(Method::GET, "/cache").await;
    assert_eq!(refused.json()["entries"], 0);
}
