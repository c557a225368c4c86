//! The count of the day's calls outlives kill -9.

use std::time::{Duration, SystemTime};

use tokio::task::JoinSet;

use crate::support::{Proxy, Upstream, get, path, synthetic};

const KILLS: u64 = 20;
/// Calls that are written down together.
const LEASE: u64 = 8;
/// Calls at one time: what is counted and on its way when the end comes may never arrive.
const ASKERS: u64 = 3;

/// Calls counted so far today.
async fn used(proxy: &Proxy) -> u64 {
    proxy.metric("link_report_proxy_quota_used{window=\"day\"}").await as u64
}

fn today() -> u64 {
    let since = SystemTime::UNIX_EPOCH.elapsed().expect("a clock that is set");
    since.as_secs() / Duration::from_hours(24).as_secs()
}

#[tokio::test(flavor = "multi_thread")]
async fn kill_9_at_any_instant_forgets_no_call_and_invents_no_more_than_a_handful() {
    let (upstream, state, day) = (Upstream::start().await, tempfile::tempdir().unwrap(), today());
    let dir = state.path().join("state");
    // So many that what is assumed of a day that nobody saw leaves enough, even at its end.
    let settings = [("state.dir", dir.to_str().unwrap()), ("quota.per_day", "100000000")];
    let mut assumed = None;
    for kills in 0..=KILLS {
        let proxy = Proxy::start(&upstream, &settings).await;
        let (counted, made) = (used(&proxy).await, upstream.sim.calls());
        let assumed = *assumed.get_or_insert(counted);
        if today() != day {
            return; // Midnight: the count began anew.
        }
        assert!(counted >= assumed + made, "{counted} counted, {assumed} assumed, {made} made");
        assert!(
            counted <= assumed + made + kills * (LEASE + ASKERS),
            "{counted} for {made} after {kills} kills"
        );
        let mut asking = JoinSet::new();
        for asker in 0..ASKERS {
            let data = proxy.data;
            asking.spawn(async move {
                for call in 0.. {
                    let number = kills * 1_000_000 + asker * 10_000 + call;
                    get(data, &path(&synthetic(u32::try_from(number).unwrap(), 2)), &[]).await;
                }
            });
        }
        // In the middle of it, each time elsewhere.
        upstream.sim.called(made + kills % 20 + 1).await;
        asking.abort_all();
        proxy.kill().await;
    }
}
