//! Three real binaries in front of one vendor, that share a real redis-server.

use tokio::task::JoinSet;

use super::redis_server::RedisServer;
use crate::support::{Proxy, Upstream, get, path, synthetic, until};

/// The machine may be busy.
pub(super) const SETTINGS: [(&str, &str); 3] =
    [("quota.per_day", "10000"), ("shared.namespace", "test"), ("shared.timeout", "1s")];

/// Three replicas in front of one vendor.
pub(super) struct RealFleet {
    pub(super) vendor: Upstream,
    pub(super) redis: RedisServer,
    pub(super) replicas: Vec<Proxy>,
}

// === impl RealFleet ===

impl RealFleet {
    /// Each of them has told the others that it is there.
    pub(super) async fn start() -> Self {
        Self::over(RedisServer::start().await).await
    }

    /// The same, over this server.
    pub(super) async fn over(redis: RedisServer) -> Self {
        let url = redis.url();
        Self::at(redis, &url).await
    }

    /// The same, where the replicas know the server by this URL.
    pub(super) async fn at(redis: RedisServer, url: &str) -> Self {
        let fleet = Self::unmet(redis, url).await;
        fleet.until_each_beats_again().await;
        fleet
    }

    /// The same; none of them has reached the server yet.
    pub(super) async fn unmet(redis: RedisServer, url: &str) -> Self {
        let vendor = Upstream::start().await;
        let mut fleet = Self { vendor, redis, replicas: Vec::new() };
        for _replica in 0..3 {
            fleet.add_replica(url).await;
        }
        fleet
    }

    /// One more replica.
    pub(super) async fn add_replica(&mut self, url: &str) {
        let settings: Vec<_> = SETTINGS.into_iter().chain([("shared.url", url)]).collect();
        self.replicas.push(Proxy::start(&self.vendor, &settings).await);
    }

    /// Each has said that the store is away, with this reason.
    pub(super) async fn until_each_names(&self, reason: &str) {
        self.until_each_says(&format!("\"reason\":\"{reason}\"")).await;
    }

    /// Each has this in its log.
    pub(super) async fn until_each_says(&self, words: &str) {
        for replica in &self.replicas {
            until("a line in the log", async || {
                replica.log().iter().any(|line| line.contains(words)).then_some(())
            })
            .await;
        }
    }

    /// A cold key costs one call again: the fleet is one.
    pub(super) async fn is_one(&self, report: u32) {
        self.until_each_beats_again().await;
        let before = self.vendor.sim.calls();
        self.ask(30, report).await;
        assert_eq!(self.vendor.sim.calls(), before + 1);
    }

    pub(super) async fn until_each_beats_again(&self) {
        let beats = "link_report_proxy_shared_operations_total{op=\"heartbeat\",result=\"ok\"}";
        let mut before = Vec::new();
        for replica in &self.replicas {
            before.push(replica.metric(beats).await);
        }
        for (replica, before) in self.replicas.iter().zip(before) {
            until("a heartbeat", async || (replica.metric(beats).await > before).then_some(())).await;
        }
    }

    pub(super) async fn until_shared_up_is(&self, up: f64) {
        for replica in &self.replicas {
            until("the link to change", async || {
                (replica.metric("link_report_proxy_shared_up").await == up).then_some(())
            })
            .await;
        }
    }

    /// So many callers, spread over the replicas; all are served.
    pub(super) async fn ask(&self, callers: usize, report: u32) {
        let mut asking = JoinSet::new();
        for replica in self.replicas.iter().cycle().take(callers) {
            let (address, target) = (replica.data, path(&synthetic(report, 2)));
            asking.spawn(async move { get(address, &target, &[]).await.status });
        }
        assert_eq!(asking.join_all().await, vec![200; callers]);
    }

    /// Kills Redis and starts it again: the day is charged `shared.margin`, once.
    pub(super) async fn restart_redis(&mut self) {
        self.until_each_beats_again().await;
        let before = self.used().await;
        self.redis.restart().await;
        self.until_each_beats_again().await;
        assert_eq!(self.used().await, before + 40);
    }

    /// The day's calls, once all replicas agree on them.
    pub(super) async fn used(&self) -> u64 {
        until("the replicas to agree on the day's calls", async || {
            let mut counts = Vec::new();
            for replica in &self.replicas {
                counts.push(replica.admin("/quota").await.json()["day"]["used"].as_u64().expect("a count"));
            }
            counts.iter().all(|count| *count == counts[0]).then_some(counts[0])
        })
        .await
    }
}
