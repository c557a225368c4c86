//! Replicas that share a store, in one runtime under paused time: the same vendor behind them, and a store that can be
//! cut off, slow or emptied. And three real binaries that share a real redis-server.

mod assumed_counts;
mod day;
mod demo;
mod faulty_store;
mod landing;
mod midnight;
mod missed_purges;
mod probe;
mod quota;
mod real_fleet;
mod real_redis;
mod real_token;
mod real_token_fleet;
mod real_token_secrets;
mod redis_outages;
mod redis_server;
mod refused_tokens;
mod reload;
mod reports;
mod schedule;
mod schedules;
mod seen;
mod signed_reports;
mod statuses;
mod token_fleet;
mod token_schedules;
mod tokens;
mod watched_store;

use std::{sync::Arc, time::Duration};

use link_report_proxy::{
    shared::MemorySharedStore,
    simulator::{Options, Simulator},
};

use crate::support::in_process::{InProcess, start};
use faulty_store::FaultyStore;

/// Several replicas of the proxy.
struct Fleet {
    vendor: Simulator,
    store: Arc<MemorySharedStore>,
    /// One link each.
    links: Vec<Arc<FaultyStore>>,
    replicas: Vec<InProcess>,
}

// === impl Fleet ===

impl Fleet {
    /// So many replicas, and the vendor's own limits.
    fn of(replicas: usize, settings: &[(&str, &str)]) -> Self {
        Self::facing(Options::default(), replicas, settings)
    }

    fn facing(vendor: Options, replicas: usize, settings: &[(&str, &str)]) -> Self {
        Self::each(vendor, &vec![settings; replicas])
    }

    /// A replica with each of these settings.
    fn each(vendor: Options, replicas: &[&[(&str, &str)]]) -> Self {
        let vendor = Simulator::new(Options { now: start(), ..vendor });
        let now = start().duration_since(std::time::SystemTime::UNIX_EPOCH).unwrap();
        let store = Arc::new(MemorySharedStore::new(now));
        let links: Vec<_> = replicas.iter().map(|_| Arc::new(FaultyStore::to(&store))).collect();
        let replicas = links
            .iter()
            .zip(replicas)
            .map(|(link, settings)| {
                InProcess::replica(vendor.clone(), Some(Arc::clone(link) as Arc<_>), settings)
            })
            .collect();
        Self { vendor, store, links, replicas }
    }

    /// Another replica, on an empty disk.
    fn joined_by_a_new_one(&mut self, settings: &[(&str, &str)]) {
        let link = Arc::new(FaultyStore::to(&self.store));
        let store = Some(Arc::clone(&link) as Arc<_>);
        self.links.push(link);
        self.replicas.push(InProcess::replica_without_a_count(self.vendor.clone(), store, settings));
    }

    /// Until each replica has had a heartbeat.
    async fn has_met() {
        tokio::time::sleep(Duration::from_secs(6)).await;
    }

    /// The most calls that the vendor saw within any second.
    fn busiest_second(&self) -> usize {
        let times: Vec<_> = self.vendor.seen().iter().map(|request| request.at).collect();
        (0..times.len())
            .map(|from| {
                times[from..].iter().take_while(|at| **at < times[from] + Duration::from_secs(1)).count()
            })
            .max()
            .unwrap_or(0)
    }
}
