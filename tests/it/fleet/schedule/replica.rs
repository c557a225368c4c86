//! One replica of a schedule: a whole app with a link, a clock and a disk of its own.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use futures_util::FutureExt as _;
use http::Request;
use http_body_util::Empty;
use hyper::service::Service as _;
use link_report_proxy::{
    admin::AdminState,
    app::{App, Calls, Dependencies, Environment, SharedBackend},
    inbound::{ReportService, ResponseFuture},
    quota::{InitialCount, WallClock},
    settings::Settings,
    shared::{Membership, PurgeScope},
    simulator::Simulator,
    state::StateStores,
};
use tokio::{task::JoinSet, time::Instant};

use super::super::{
    faulty_store::{FaultyStore, LinkFault},
    watched_store::WatchedStore,
};
use crate::support::{
    in_process::{key, path},
    pipe::PipeConnector,
};

/// What a replica finds on its disk when it starts.
#[derive(Debug, Clone)]
pub(super) enum Disk {
    /// Nothing, and it keeps nothing.
    Empty,
    /// What the one before it has left.
    Kept(StateStores),
}

pub(super) struct Replica {
    pub(super) slot: usize,
    pub(super) link: Arc<FaultyStore>,
    pub(super) watched: Arc<WatchedStore>,
    pub(super) membership: Arc<Membership>,
    pub(super) disk: Disk,
    /// When its link's fault ends.
    pub(super) fault_ends: Option<Instant>,
    pub(super) connector: PipeConnector,
    admin: Arc<AdminState>,
    front: Arc<ReportService<Calls>>,
    /// Its clock is so many milliseconds ahead.
    ahead: Arc<AtomicI64>,
    /// The calls made without the store, by day.
    offline: BTreeMap<u64, u64>,
    _background: JoinSet<()>,
}

// === impl Replica ===

impl Replica {
    pub(super) fn start(
        slot: usize,
        vendor: &Simulator,
        link: FaultyStore,
        settings: &Settings,
        (disk, count): (Disk, InitialCount),
    ) -> Self {
        let link = Arc::new(link);
        let watched = Arc::new(WatchedStore::over(Arc::clone(&link), vendor.clone()));
        let connector = PipeConnector::to(vendor);
        let ahead = Arc::<AtomicI64>::default();
        let (stores, opening) = match &disk {
            Disk::Empty => (StateStores::in_memory(), count),
            Disk::Kept(stores) => {
                let record = stores.call_counter.read().now_or_never().expect("a record in memory").unwrap();
                (stores.clone(), InitialCount::Stored { counter: Arc::clone(&stores.call_counter), record })
            }
        };
        let dependencies = Dependencies {
            api: connector.connector(),
            authority: connector.connector(),
            stores,
            shared: Some(SharedBackend::Store(Arc::clone(&watched) as Arc<_>)),
            world: Environment { clock: clock(vendor, &ahead), opening },
        };
        let App { front, admin, membership, background, .. } = {
            let built = App::build(settings, dependencies).now_or_never();
            built.expect("state in memory keeps nobody waiting").unwrap()
        };
        Self {
            slot,
            link,
            watched,
            membership: membership.expect("a shared store"),
            disk,
            fault_ends: None,
            connector,
            admin,
            front,
            ahead,
            offline: BTreeMap::new(),
            _background: background.into_iter().collect(),
        }
    }

    /// kill -9: nothing leaves it any more.
    pub(super) fn kill(self) {
        self.link.set(LinkFault::Cut);
        self.connector.cut();
    }

    pub(super) fn ask(&self, report: u32) -> ResponseFuture {
        let request = Request::get(path(report)).header("host", "127.0.0.1:8080");
        self.front.call(request.body(Empty::<Bytes>::new()).unwrap())
    }

    /// As `DELETE /cache` and `DELETE /cache/{id}` do.
    pub(super) fn purge(&self, report: Option<u32>) {
        let purges = self.admin.purges.as_ref().expect("a fleet");
        match report.map(key) {
            None => {
                self.admin.memory.purge_all();
                purges.add(PurgeScope::All);
            }
            Some(key) => {
                self.admin.memory.purge(key.id);
                purges.add(PurgeScope::Key(key));
            }
        }
    }

    pub(super) fn step_clock(&self, by: i64) {
        self.ahead.fetch_add(by, Ordering::Relaxed);
    }

    /// The day's calls, as `GET /quota` shows them.
    pub(super) fn used(&self) -> u32 {
        self.admin.quota.snapshot().day.used
    }

    /// The calls that it has made without the store.
    pub(super) fn offline(&mut self) -> u64 {
        let day = self.membership.told().day;
        let made = self.offline.entry(day).or_default();
        *made = self.membership.offline_on(day).max(*made);
        self.offline.values().sum()
    }
}

fn clock(vendor: &Simulator, ahead: &Arc<AtomicI64>) -> WallClock {
    let (vendor, ahead) = (vendor.clone(), Arc::clone(ahead));
    WallClock::told_by(move || stepped(vendor.now(), ahead.load(Ordering::Relaxed)))
}

fn stepped(now: SystemTime, ahead: i64) -> SystemTime {
    let by = Duration::from_millis(ahead.unsigned_abs());
    if ahead < 0 { now - by } else { now + by }
}
