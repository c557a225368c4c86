//! A link and a fake server.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use redis::{Cmd, Value, cmd};
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use super::super::{
    DownReason, Link, LinkOptions, LinkState, LinkView,
    testing::{FakeEngine, FakeStore},
};
use crate::{
    settings::{StoreLocation, StoreUrl},
    shared::{SharedStoreError, store_script::StoreScript},
    telemetry::Metrics,
};

static COUNT: StoreScript = StoreScript { name: "count", text: "return redis.call('INCR', KEYS[1])" };
static ECHO: StoreScript = StoreScript { name: "echo", text: "return ARGV[1]" };
const SCRIPTS: &[&StoreScript] = &[&COUNT, &ECHO];
pub(super) const NODE: &str = "valkey:6379";
pub(super) const TIMEOUT: Duration = Duration::from_millis(250);
pub(super) const SECOND: Duration = Duration::from_secs(1);

/// Counts; echoes; and has one change once something was counted.
#[derive(Clone, Default)]
struct Counter(Arc<Mutex<i64>>);

pub(super) struct Fixture {
    pub(super) store: FakeStore,
    counted: Counter,
    pub(super) link: Link,
    _keeper: AbortOnDropHandle<()>,
    metrics: Metrics,
}

impl FakeEngine for Counter {
    fn run(&self, script: &'static StoreScript, keys: &[Vec<u8>], args: &[Vec<u8>]) -> Value {
        assert_eq!(keys, [b"{x}:count".to_vec()]);
        if script == &ECHO {
            return Value::BulkString(args[0].clone());
        }
        let mut count = self.0.lock().unwrap();
        *count += 1;
        Value::Int(*count)
    }

    fn read(&self, stream: &[u8], after: &str) -> Option<Value> {
        assert_eq!(stream, b"{x}:feed");
        let count = *self.0.lock().unwrap();
        (count > 0 && after == "0-0").then(|| Value::Array(vec![Value::Int(count)]))
    }
}

// === impl Fixture ===

impl Fixture {
    pub(super) fn start(url: &str, prepare: impl FnOnce(&FakeStore)) -> Self {
        let location = StoreLocation::Url(StoreUrl::try_from(url).unwrap());
        Self::at(location, prepare)
    }

    pub(super) fn at(location: StoreLocation, prepare: impl FnOnce(&FakeStore)) -> Self {
        let counted = Counter::default();
        let store = FakeStore::new(NODE, SCRIPTS, counted.clone());
        prepare(&store);
        let metrics = Metrics::new();
        let options =
            LinkOptions { location, timeout: TIMEOUT, probe_key: b"{x}:book".to_vec(), scripts: SCRIPTS };
        let (link, keeper) = Link::new(options, Arc::new(store.clone()), metrics.shared());
        let _keeper = AbortOnDropHandle::new(tokio::spawn(keeper.run()));
        Self { store, counted, link, _keeper, metrics }
    }

    /// Up, and an operation has succeeded.
    pub(super) async fn up() -> Self {
        let fixture = Self::start("redis://valkey", |_store| ());
        fixture.until_up().await;
        assert_eq!(fixture.echo("first").await, Ok("first".to_owned()));
        fixture
    }

    pub(super) async fn until(&self, reached: impl Fn(&LinkView) -> bool) -> LinkView {
        let mut view = self.link.current.watch();
        let view = tokio::time::timeout(60 * SECOND, view.wait_for(reached)).await;
        view.expect("within a minute").unwrap().clone()
    }

    pub(super) async fn until_up(&self) {
        self.until(|view| view.state().is_up() && view.connection().is_some()).await;
    }

    pub(super) async fn until_down(&self) -> DownReason {
        match self.until(|view| !view.state().is_up()).await.state() {
            LinkState::Down { why, .. } => why,
            LinkState::Up => unreachable!(),
        }
    }

    pub(super) async fn until_down_because(&self, reason: DownReason) {
        let named = |view: &LinkView| matches!(view.state(), LinkState::Down { why, .. } if why == reason);
        self.until(named).await;
    }

    /// Closes all connections, and waits for the next.
    pub(super) async fn reconnect(&self) {
        let connects = self.store.connects().len();
        self.store.cut();
        self.until(|view| self.store.connects().len() > connects && view.connection().is_some()).await;
    }

    pub(super) async fn count(&self) -> Result<Value, SharedStoreError> {
        self.link.run(&COUNT, vec![b"{x}:count".to_vec()], Vec::new()).await
    }

    pub(super) async fn echo(&self, text: &str) -> Result<String, SharedStoreError> {
        let reply = self.link.run(&ECHO, vec![b"{x}:count".to_vec()], vec![text.as_bytes().to_vec()]).await?;
        Ok(redis::from_redis_value(reply).unwrap())
    }

    /// Waits for a change after this one.
    pub(super) async fn listen(&self, after: &str, wait: Duration) -> Result<Value, SharedStoreError> {
        self.link.listen(wait_for_change("{x}:feed", after, wait), wait).await
    }

    pub(super) fn counted(&self) -> i64 {
        *self.counted.0.lock().unwrap()
    }

    pub(super) fn has_metric(&self, line: &str) -> bool {
        let text = self.metrics.render().unwrap();
        text.lines().any(|other| other == format!("link_report_proxy_{line}"))
    }
}

/// XREAD.
pub(super) fn wait_for_change(feed: &str, after: &str, wait: Duration) -> Cmd {
    let mut command = cmd("XREAD");
    command.arg("BLOCK").arg(wait.as_millis().to_string()).arg("STREAMS").arg(feed).arg(after);
    command
}

pub(super) async fn timed<T>(operation: impl Future<Output = T>) -> (T, Duration) {
    let start = Instant::now();
    (operation.await, start.elapsed())
}
