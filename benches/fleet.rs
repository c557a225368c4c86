//! What replicas that share a store cost and save. `calls`: whole replicas in simulated time, and the vendor's calls of a
//! day. `times`: real processes, and a real redis-server that is stopped for a while.

#[path = "../tests/it/fleet/redis_server.rs"]
#[allow(dead_code, reason = "the tests use more of it")]
mod redis_server;
#[path = "../tests/it/support/mod.rs"]
#[allow(dead_code, unused_imports, clippy::unwrap_used, reason = "the tests use more of it")]
mod support;

use std::time::Duration;

use link_report_proxy::{
    plan::{Population, Scenario, Watching, Workload},
    refresh::ReportForm,
    simulator::{Fault, Scope},
};
use redis_server::RedisServer;
use rustix::process::Signal;
use support::{
    Proxy, Upstream, Wire, path,
    played_day::{Figures, PlayedDay},
    request, synthetic, until,
};
use tokio::{task::JoinSet, time::Instant};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const HOT_KEYS: u32 = 34;
/// Each keeps to one replica.
const VIEWERS: u16 = 10;
const POLL: Duration = Duration::from_secs(30);

const ROUNDS: usize = 7;
const MISSES: u32 = 200;
const CALLERS: usize = 4;
const HITS: usize = 5_000;
/// Reports of the hits. Some are due at any time.
const WARM_KEYS: u32 = 100;

#[expect(clippy::print_stdout, reason = "the figures are what it is for")]
fn main() {
    let arguments: Vec<_> = std::env::args().collect();
    let is_meant = |name: &str| arguments.iter().any(|argument| argument == name);
    let all = !is_meant("calls") && !is_meant("times");
    if all || is_meant("calls") {
        let hot = hot_keys();
        for refresh in ["fixed", "planned"] {
            for replicas in [1, 3, 10] {
                println!("{}", calls(&format!("{HOT_KEYS} hot keys, {refresh}"), &hot, refresh, replicas));
            }
        }
        let usual = Scenario::Reference.workload(1);
        for replicas in [1, 3] {
            println!("{}", calls("ref, planned", &usual, "planned", replicas));
        }
    }
    if all || is_meant("times") {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(times());
    }
}

/// Campaigns of all ages, each polled every few seconds by somebody.
fn hot_keys() -> Workload {
    let mut population = Population::new(1, 1, 10_000);
    for campaign in 0..HOT_KEYS {
        let sent = f64::from(campaign) * -7_200.0;
        let index = population.campaign(sent, 2_000.0);
        for viewer in 0..VIEWERS {
            population.watch(&Watching {
                campaign: index,
                form: ReportForm::Clicked,
                period: POLL,
                since: 0.0,
                until: f64::INFINITY,
                viewer,
                hours: None,
            });
        }
    }
    population.finish()
}

fn calls(name: &str, workload: &Workload, refresh: &str, replicas: usize) -> String {
    let settings = [("CACHE__REFRESH", refresh)];
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
    let figures: Figures = runtime.expect("a runtime").block_on(async {
        PlayedDay::begin_fleet(workload.clone(), &settings, replicas).await.play_to_end().await
    });
    let day = workload.measured_from..workload.end;
    let noon = workload.measured_from + Duration::from_hours(12);
    format!(
        "{name}, {replicas} replicas: {} calls, {} until noon, {:.4} clicks missed per answer, {} a second at most, {} refused",
        figures.calls_in(day),
        figures.calls_in(workload.measured_from..noon),
        figures.measured.missed_per_answer(),
        figures.busiest_second(),
        figures.measured.refused,
    )
}

/// Interleaved rounds; the medians of each round's figures.
#[expect(clippy::print_stdout, reason = "the figures are what it is for")]
async fn times() {
    let vendor = Upstream::start().await;
    let redis = RedisServer::start().await;
    let url = redis.url();
    let common = [("cache.ttl", "2s")];
    let shared = [common[0], ("shared.url", &url), ("shared.namespace", "bench")];
    let alone = Proxy::start(&vendor, &common).await;
    let fleet = Proxy::start(&vendor, &shared).await;
    vendor.sim.inject(Fault::Latency(Duration::from_millis(20)), Scope::All);
    let up = async |value: f64| {
        until("the link", async || {
            (fleet.metric("link_report_proxy_shared_up").await == value).then_some(())
        })
        .await;
    };
    up(1.0).await;
    let mut misses = [Vec::new(), Vec::new()];
    let mut hits = [Vec::new(), Vec::new(), Vec::new()];
    for round in 0..ROUNDS as u32 {
        let first = 1_000 + round * MISSES;
        misses[0].push(quantiles(ask(&alone, first..first + MISSES, 1).await));
        misses[1].push(quantiles(ask(&fleet, first..first + MISSES, 1).await));
        hits[0].push(quantiles(hit(&alone).await));
        hits[1].push(quantiles(hit(&fleet).await));
        redis.signal(Signal::STOP);
        hits[2].push(quantiles(hit(&fleet).await));
        redis.signal(Signal::CONT);
        up(1.0).await;
    }
    let show = |name: &str, rounds: &[(Duration, Duration)]| {
        let median = |pick: fn(&(Duration, Duration)) -> Duration| {
            let mut values: Vec<_> = rounds.iter().map(pick).collect();
            values.sort_unstable();
            values[values.len() / 2]
        };
        println!("{name}: p50 {:?}, p99 {:?}", median(|round| round.0), median(|round| round.1));
    };
    show("miss, alone", &misses[0]);
    show("miss, shared", &misses[1]);
    show("hit, alone", &hits[0]);
    show("hit, shared", &hits[1]);
    show("hit, shared, redis stopped", &hits[2]);
}

/// Asks one after the other, on one connection.
async fn ask(proxy: &Proxy, keys: impl Iterator<Item = u32>, times: usize) -> Vec<Duration> {
    let mut wire = Wire::connect(proxy.data).await;
    let requests: Vec<_> = keys.map(|key| request("GET", &path(&synthetic(key, 2)), &[])).collect();
    let mut took = Vec::new();
    for request in requests.iter().cycle().take(requests.len() * times) {
        let asked = Instant::now();
        wire.send(request).await;
        assert_eq!(wire.answer().await.expect("an answer").status, 200);
        took.push(asked.elapsed());
    }
    took
}

async fn hit(proxy: &Proxy) -> Vec<Duration> {
    // All are held.
    ask(proxy, 0..WARM_KEYS, 1).await;
    let data = proxy.data;
    let mut callers = JoinSet::new();
    for _caller in 0..CALLERS {
        callers.spawn(async move {
            let mut wire = Wire::connect(data).await;
            let mut took = Vec::new();
            for key in (0..WARM_KEYS).cycle().take(HITS) {
                let request = request("GET", &path(&synthetic(key, 2)), &[]);
                let asked = Instant::now();
                wire.send(&request).await;
                assert_eq!(wire.answer().await.expect("an answer").status, 200);
                took.push(asked.elapsed());
            }
            took
        });
    }
    callers.join_all().await.concat()
}

/// The median and the 99th percentile.
fn quantiles(mut took: Vec<Duration>) -> (Duration, Duration) {
    took.sort_unstable();
    (took[took.len() / 2], took[took.len() * 99 / 100])
}
