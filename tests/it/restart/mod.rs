//! A proxy that is started anew, with the whole app under paused time: what was in memory is there again.

mod fleet;
mod purged;
mod slow_disk;
mod warm;

use std::{
    fs,
    path::PathBuf,
    sync::{Arc, Weak},
    time::Duration,
};

use futures_util::future::join_all;
use link_report_proxy::{
    admin::{Admin, AdminState},
    app::{App, Calls, Dependencies, Environment, PlanKeeper, SharedBackend, SnapshotKeeper},
    inbound::ReportService,
    quota::{InitialCount, WallClock},
    shared::SharedStore,
    simulator::{Options, Simulator},
    state::{FileStore, StateStores},
};
use tempfile::TempDir;
use tokio::{
    task::JoinSet,
    time::{Instant, sleep},
};

use crate::support::{
    in_process::{Answer, UPSTREAM_HOST, exchange, load_settings, path, request, start},
    pipe::PipeConnector,
    state_lock::state_is_released,
    sum_of_series,
};

const SECOND: Duration = Duration::from_secs(1);

/// The vendor, and the directory that outlives each process.
struct RestartFixture {
    vendor: Simulator,
    dir: TempDir,
    settings: Vec<(&'static str, String)>,
    shared: Option<Arc<dyn SharedStore>>,
    began: Instant,
}

/// One process.
struct Process {
    front: Arc<ReportService<Calls>>,
    admin: Arc<AdminState>,
    plan: Arc<PlanKeeper>,
    snapshot: Option<Arc<SnapshotKeeper>>,
    connector: PipeConnector,
    dir: PathBuf,
    held: Weak<FileStore>,
    background: JoinSet<()>,
}

// === impl RestartFixture ===

impl RestartFixture {
    fn new(settings: &[(&'static str, &str)]) -> Self {
        let vendor = Simulator::new(Options { now: start(), per_second: 0, ..Options::default() });
        let base = [
            ("UPSTREAM__BASE_URL", format!("https://{UPSTREAM_HOST}")),
            ("TOKEN__ACCESS_TOKEN", vendor.access_token()),
            ("QUOTA__PER_SECOND", "0".to_owned()),
        ];
        let given = settings.iter().map(|(key, value)| (*key, (*value).to_owned()));
        let settings = base.into_iter().chain(given).collect();
        Self { vendor, dir: tempfile::tempdir().unwrap(), settings, shared: None, began: Instant::now() }
    }

    fn set(&mut self, key: &'static str, value: &str) {
        self.settings.push((key, value.to_owned()));
    }

    fn stores(&self) -> (Arc<FileStore>, StateStores) {
        let (store, set_aside) =
            FileStore::open_or_set_aside(self.dir.path(), start()).expect("nobody else holds it");
        assert!(set_aside.is_empty(), "{set_aside:?}");
        let store = Arc::new(store);
        (Arc::clone(&store), StateStores::in_file(store))
    }

    async fn app(&self, stores: StateStores, connector: &PipeConnector) -> App {
        let settings: Vec<_> = self.settings.iter().map(|(key, value)| (*key, value.as_str())).collect();
        let clock = WallClock::starting_at(start() + self.began.elapsed());
        let dependencies = Dependencies {
            api: connector.connector(),
            authority: connector.connector(),
            stores,
            shared: self.shared.clone().map(SharedBackend::Store),
            world: Environment { clock, opening: InitialCount::Unspent },
        };
        App::build(&load_settings(&settings), dependencies).await.unwrap()
    }

    async fn start(&self) -> Process {
        let connector = PipeConnector::to(&self.vendor);
        let (store, stores) = self.stores();
        let held = Arc::downgrade(&store);
        drop(store);
        let App { front, admin, plan, snapshot, background, .. } = self.app(stores, &connector).await;
        let background = background.into_iter().collect();
        let dir = self.dir.path().to_owned();
        Process { front, admin, plan, snapshot, connector, dir, held, background }
    }

    fn snapshot_exists(&self) -> bool {
        fs::exists(self.dir.path().join("cache-snapshot")).unwrap()
    }
}

// === impl Process ===

impl Process {
    async fn get_with(&self, target: &str, headers: &[(&str, &str)]) -> Answer {
        exchange(Arc::clone(&self.front), request(http::Method::GET, target, headers)).await
    }

    async fn get(&self, target: &str) -> Answer {
        self.get_with(target, &[]).await
    }

    /// Asks for so many reports at one time.
    async fn get_all(&self, reports: u32) -> Vec<Answer> {
        let answers = join_all((0..reports).map(|number| async move { self.get(&path(number)).await })).await;
        assert!(answers.iter().all(|answer| answer.status == 200), "{answers:?}");
        answers
    }

    async fn admin(&self, method: http::Method, target: &str) -> Answer {
        let admin = Admin::new(Arc::clone(&self.admin), ([127, 0, 0, 1], 50_000).into());
        exchange(Arc::new(admin), request(method, target, &[])).await
    }

    fn metric(&self, series: &str) -> f64 {
        let text = self.admin.metrics.render().unwrap();
        sum_of_series(&text, &format!("link_report_proxy_{series} ")).unwrap_or_else(|| panic!("no {series}"))
    }

    /// As SIGTERM ends it.
    async fn end(self) {
        self.plan.save().await;
        self.snapshot.as_ref().expect("snapshots are kept").save().await;
        self.kill().await;
    }

    /// As kill -9 ends it: what it still wants to send reaches nobody, and its hold on the state is gone.
    async fn kill(self) {
        let Self { front, admin, plan, snapshot, connector, dir, held, mut background } = self;
        connector.cut();
        background.shutdown().await;
        drop((front, admin, plan, snapshot));
        // What was under way fails now, one call after the other.
        while held.strong_count() > 0 {
            sleep(Duration::from_millis(1)).await;
        }
        state_is_released(&dir).await;
    }
}

fn age(answer: &Answer) -> u64 {
    answer.header("age").parse().unwrap()
}
