//! The backends that the conformance suite runs on, each with a clock and faults that a test controls.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use futures_util::future::{BoxFuture, FutureExt as _, ready};
use redis::aio::MultiplexedConnection;

use super::{
    super::{store_keys::StoreKeys, *},
    fake_server::FakeServer,
    operation::LIMITS,
    test_server::{Engine, TestClock, TestServer, connect},
};
use crate::settings::StoreNamespace;

/// A day, and noon of it: when the tests begin.
pub(in crate::shared) const DAY: u64 = 20_783;
pub(in crate::shared) const NOON: Duration = Duration::from_secs(DAY * 86_400 + 43_200);

/// An empty store, and what a test does to it.
pub(in crate::shared) struct Backend {
    pub(in crate::shared) store: Arc<dyn SharedStore>,
    pub(in crate::shared) faults: Box<dyn Faults>,
}

/// What can happen to a store.
pub(in crate::shared) trait Faults: Send + Sync {
    fn put_clock_forward(&self, by: Duration);

    fn put_clock_back(&self, by: Duration);

    fn flush(&self) -> BoxFuture<'_, ()>;

    /// Remembers all that the store holds.
    fn copy(&self) -> BoxFuture<'_, ()>;

    /// Goes on from what was remembered.
    fn put_back(&self) -> BoxFuture<'_, ()>;

    fn evict(&self, value: StoreValue) -> BoxFuture<'_, ()>;
}

struct MemoryFaults {
    store: Arc<MemorySharedStore>,
    copy: std::sync::Mutex<Option<StoreCopy>>,
}

struct ServerFaults {
    keys: StoreKeys,
    clock: TestClock,
    commands: MultiplexedConnection,
    _server: TestServer,
}

pub(in crate::shared) fn namespace() -> StoreNamespace {
    StoreNamespace::fixed("test")
}

pub(in crate::shared) async fn memory() -> Backend {
    let store = Arc::new(MemorySharedStore::new(NOON));
    Backend { store: Arc::clone(&store) as _, faults: memory_faults(store) }
}

/// The model behind the wire format.
pub(in crate::shared) async fn wire() -> Backend {
    let store = Arc::new(MemorySharedStore::new(NOON));
    let server = FakeServer(Arc::clone(&store));
    let redis = RedisStore::new(server, &namespace(), LIMITS.max_body);
    Backend { store: Arc::new(redis), faults: memory_faults(store) }
}

pub(in crate::shared) async fn redis() -> Backend {
    on_server(Engine::Redis).await
}

pub(in crate::shared) async fn valkey() -> Backend {
    on_server(Engine::Valkey).await
}

async fn on_server(engine: Engine) -> Backend {
    let server = TestServer::start(engine);
    let noon = u64::try_from(NOON.as_millis()).expect("milliseconds");
    let clock = TestClock(Arc::new(AtomicU64::new(noon)));
    let scripts = server.scripts(Some(clock.clone())).await;
    let commands = connect(&server.client()).await;
    let store = RedisStore::new(scripts, &namespace(), LIMITS.max_body);
    let faults = ServerFaults { keys: StoreKeys::new(&namespace()), clock, commands, _server: server };
    Backend { store: Arc::new(store), faults: Box::new(faults) }
}

fn memory_faults(store: Arc<MemorySharedStore>) -> Box<dyn Faults> {
    Box::new(MemoryFaults { store, copy: std::sync::Mutex::default() })
}

// === impl MemoryFaults ===

impl Faults for MemoryFaults {
    fn put_clock_forward(&self, by: Duration) {
        self.store.put_clock_forward(by);
    }

    fn put_clock_back(&self, by: Duration) {
        self.store.put_clock_back(by);
    }

    fn flush(&self) -> BoxFuture<'_, ()> {
        self.store.flush();
        ready(()).boxed()
    }

    fn copy(&self) -> BoxFuture<'_, ()> {
        *self.copy.lock().expect("a copy") = Some(self.store.copy());
        ready(()).boxed()
    }

    fn put_back(&self) -> BoxFuture<'_, ()> {
        self.store.put_back(self.copy.lock().expect("a copy").clone().expect("a copy"));
        ready(()).boxed()
    }

    fn evict(&self, value: StoreValue) -> BoxFuture<'_, ()> {
        self.store.evict(value);
        ready(()).boxed()
    }
}

// === impl ServerFaults ===

impl ServerFaults {
    /// Copies all keys that begin with `from` to keys that begin with `to`, in place of what was there.
    async fn copy_all(&self, from: &str, to: &str) {
        let connection = &mut self.commands.clone();
        self.delete(to).await;
        let keys: Vec<String> =
            redis::cmd("KEYS").arg(format!("{from}*")).query_async(connection).await.expect("keys");
        for key in keys {
            let copy = format!("{to}{}", &key[from.len()..]);
            let copied: Result<bool, _> =
                redis::cmd("COPY").arg(&key).arg(copy).query_async(connection).await;
            assert!(copied.expect("a copy"), "{key}");
        }
    }

    /// The ids of an emptied feed are the server's time again: none is to be an id from before.
    async fn next_millisecond(&self) {
        let connection = &mut self.commands.clone();
        let mut millisecond = async || -> u64 {
            let (secs, micros): (u64, u64) =
                redis::cmd("TIME").query_async(connection).await.expect("a time");
            secs * 1_000 + micros / 1_000
        };
        let before = millisecond().await;
        while millisecond().await == before {}
    }

    async fn delete(&self, prefix: &str) {
        let connection = &mut self.commands.clone();
        let keys: Vec<String> =
            redis::cmd("KEYS").arg(format!("{prefix}*")).query_async(connection).await.expect("keys");
        for key in keys {
            redis::cmd("DEL").arg(key).exec_async(connection).await.expect("deleted");
        }
    }
}

impl Faults for ServerFaults {
    fn put_clock_forward(&self, by: Duration) {
        self.clock.0.fetch_add(by.as_millis().try_into().expect("milliseconds"), Ordering::Relaxed);
    }

    fn put_clock_back(&self, by: Duration) {
        self.clock.0.fetch_sub(by.as_millis().try_into().expect("milliseconds"), Ordering::Relaxed);
    }

    fn flush(&self) -> BoxFuture<'_, ()> {
        async {
            self.delete("lrp:").await;
            self.next_millisecond().await;
        }
        .boxed()
    }

    fn copy(&self) -> BoxFuture<'_, ()> {
        self.copy_all("lrp:", "copy:").boxed()
    }

    fn put_back(&self) -> BoxFuture<'_, ()> {
        self.copy_all("copy:", "lrp:").boxed()
    }

    fn evict(&self, value: StoreValue) -> BoxFuture<'_, ()> {
        let key = match value {
            StoreValue::Fleet => self.keys.fleet(),
            StoreValue::Changes => self.keys.changes(),
            StoreValue::Members => self.keys.members(),
            StoreValue::Token => self.keys.token(),
            StoreValue::Report(key) => self.keys.report(&key),
            StoreValue::Flight(key) => self.keys.flight(&key),
        };
        async move {
            redis::cmd("DEL").arg(key).exec_async(&mut self.commands.clone()).await.expect("deleted");
        }
        .boxed()
    }
}
