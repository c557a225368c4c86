//! One connection, many requests.

use crate::support::{Proxy, Upstream, Wire, path, request, synthetic};

#[tokio::test(flavor = "multi_thread")]
async fn pipelined_requests_are_answered_in_their_order() {
    let upstream = Upstream::start().await;
    let proxy = Proxy::start(&upstream, &[]).await;
    let ids: Vec<_> = (0..20).map(|key| synthetic(key, key % 3)).collect();
    // Every other one is warm: a hit must not overtake the miss before it.
    for id in ids.iter().step_by(2) {
        assert_eq!(proxy.get(&path(id)).await.status, 200);
    }

    let mut wire = Wire::connect(proxy.data).await;
    let pipeline: Vec<u8> = ids.iter().flat_map(|id| request("GET", &path(id), &[])).collect();
    wire.send(&pipeline).await;
    for id in &ids {
        let answer = wire.answer().await.expect("an answer for each");
        assert_eq!(answer.status, 200);
        assert_eq!(answer.json()["campaign_activity_id"].as_str(), Some(id.as_str()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_answer_leaves_the_connection_in_use() {
    let upstream = Upstream::start().await;
    let proxy = Proxy::start(&upstream, &[]).await;
    let mut wire = Wire::connect(proxy.data).await;
    let good = path(&synthetic(1, 1));
    for (target, status) in [("/nothing", 404), (good.as_str(), 200), (&path("nobody"), 400), (&good, 200)] {
        wire.send(&request("GET", target, &[])).await;
        assert_eq!(wire.answer().await.map(|answer| answer.status), Some(status), "{target}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_is_answered_like_a_get_without_the_body() {
    let upstream = Upstream::start().await;
    let proxy = Proxy::start(&upstream, &[]).await;
    let warm = path(&synthetic(1, 5));
    proxy.get(&warm).await;
    let missing = path("11111111-2222-4333-8444-555555555555");
    proxy.get(&missing).await;

    let mut wire = Wire::connect(proxy.data).await;
    let paired: [(&str, &[(&str, &str)]); 4] =
        [(&warm, &[]), (&warm, &[("Accept-Encoding", "gzip")]), (&missing, &[]), ("/nothing", &[])];
    for (target, headers) in paired {
        wire.send(&request("GET", target, headers)).await;
        let get = wire.answer().await.expect("an answer to GET");
        wire.send(&request("HEAD", target, headers)).await;
        let head = wire.answer_to_head().await.expect("an answer to HEAD");
        assert_eq!(head.status, get.status, "{target}");
        assert!(head.body.is_empty() && !get.body.is_empty(), "{target}");
        // What tells the time of day or one request from another differs by nature.
        let lasting = |headers: &[(String, String)]| {
            let varying = ["age", "date", "cache-status", "x-request-id"];
            headers.iter().filter(|(name, _)| !varying.contains(&name.as_str())).cloned().collect::<Vec<_>>()
        };
        assert_eq!(lasting(&head.headers), lasting(&get.headers), "{target}");
        assert_eq!(head.header("content-length"), Some(get.body.len().to_string().as_str()), "{target}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cold_head_fills_the_cache_for_a_get() {
    let upstream = Upstream::start().await;
    let proxy = Proxy::start(&upstream, &[]).await;
    let id = synthetic(7, 2);
    let mut wire = Wire::connect(proxy.data).await;
    wire.send(&request("HEAD", &path(&id), &[])).await;
    assert_eq!(wire.answer_to_head().await.map(|answer| answer.status), Some(200));
    wire.send(&request("GET", &path(&id), &[])).await;
    let get = wire.answer().await.expect("an answer");
    assert!(get.header("cache-status").is_some_and(|status| status.contains("hit")), "{get:?}");
    let seen = upstream.saw(&id);
    assert_eq!(seen.len(), 1);
    assert_eq!(seen[0].method, "GET");
}
