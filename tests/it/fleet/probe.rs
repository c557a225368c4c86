//! `check --probe` of a shared store: a real redis-server.

use super::redis_server::RedisServer;
use crate::support::{Run, Upstream, environment};

const PASSWORD: &str = "a-password-that-must-not-be-shown";

#[tokio::test(flavor = "multi_thread")]
async fn a_probe_greets_the_store_and_says_how_it_keeps_what_the_fleet_shares() {
    let upstream = Upstream::start().await;
    let base_url = upstream.base_url();
    let store = async |server: &RedisServer, login: &str| {
        let url = server.url().replace("unix://", &format!("unix://{login}"));
        let settings = [
            ("server.listen", "127.0.0.1:0"),
            ("admin.listen", "127.0.0.1:0"),
            ("upstream.base_url", base_url.as_str()),
            ("token.access_token", "a-token"),
            ("shared.url", url.as_str()),
            ("shared.namespace", "test"),
        ];
        let finished = Run::finish(&["check", "--probe"], &environment(&settings)).await;
        assert!(!format!("{finished:?}").contains("must-not-be-shown"), "{finished:?}");
        let line = finished.stdout.iter().find(|line| line.contains("  shared.url ")).cloned();
        (finished.status.code(), line.expect("a line about the store"))
    };
    let server = RedisServer::start().await;
    let (code, line) = store(&server, "").await;
    assert_eq!(code, Some(0), "{line}");
    assert!(line.starts_with("ok ") && line.contains(": redis "), "{line}");
    assert!(line.ends_with(", primary, without append-only file, maxmemory-policy noeviction"), "{line}");
    assert_eq!(server.ask::<u64>(&["DBSIZE"]).await, 0, "it writes nothing");

    let (code, line) = store(&RedisServer::with(&["--requirepass", PASSWORD]).await, ":a-wrong-one@").await;
    assert_eq!(code, Some(69), "{line}");
    let wrong = "the user or the password in shared.url is wrong";
    assert!(line.starts_with("failed ") && line.contains(wrong), "{line}");

    let evicting = ["--requirepass", PASSWORD, "--maxmemory-policy", "allkeys-lru"];
    let login = format!(":{PASSWORD}@");
    let (code, line) = store(&RedisServer::with(&evicting).await, &login).await;
    assert_eq!(code, Some(69), "{line}");
    assert!(line.contains("maxmemory-policy allkeys-lru: set noeviction"), "{line}");
}
