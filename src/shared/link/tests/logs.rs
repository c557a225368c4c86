//! What an operator reads: one line for an outage, and one for its end.

use std::{
    io,
    sync::{Arc, Mutex, Once},
};

use tracing_subscriber::fmt::MakeWriter;

use super::{
    super::{DownReason, testing::StoreFault},
    fixture::{Fixture, NODE, SECOND},
};

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

// === impl Lines ===

impl Lines {
    fn capture() -> (Self, tracing::subscriber::DefaultGuard) {
        // A place that logs first on a thread without a subscriber is taken for one that nobody wants to hear, if there is
        // no subscriber for all threads. This one writes nothing.
        static EVERYWHERE: Once = Once::new();
        EVERYWHERE
            .call_once(|| drop(tracing::subscriber::set_global_default(tracing_subscriber::registry())));
        let lines = Self::default();
        let format = tracing_subscriber::fmt().with_ansi(false).with_max_level(tracing::Level::TRACE);
        let guard = tracing::subscriber::set_default(format.with_writer(lines.clone()).finish());
        (lines, guard)
    }

    fn with(&self, text: &str) -> usize {
        let all = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
        assert!(!all.contains("hush"), "{all}");
        all.lines().filter(|line| line.contains(text)).count()
    }
}

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Lines {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

#[tokio::test(start_paused = true)]
async fn an_outage_is_logged_once_and_its_end_once() {
    let (lines, _guard) = Lines::capture();
    let fixture = Fixture::start("redis://lrp:hush@valkey", |_store| ());
    fixture.until_up().await;
    assert!(fixture.count().await.is_ok());
    for outage in 1..=2 {
        tokio::time::sleep(11 * SECOND).await;
        assert_eq!(lines.with("the shared store is away"), outage - 1);
        fixture.store.server(NODE, |server| server.error = Some("LOADING Redis is loading"));
        assert!(fixture.count().await.is_err());
        fixture.until_down_because(DownReason::Loading).await;
        tokio::time::sleep(60 * SECOND).await;
        fixture.store.server(NODE, |server| server.error = None);
        // It comes back, but refuses writes for some time.
        for _ in 0..5 {
            fixture.store.fail_next(&[StoreFault::Error("OOM command not allowed")]);
            fixture.until_up().await;
            let _refused = fixture.count().await;
        }
        fixture.until_up().await;
        assert!(fixture.count().await.is_ok());
        assert_eq!(lines.with("the shared store has been back"), outage - 1);
        tokio::time::sleep(11 * SECOND).await;
        assert_eq!(lines.with("the shared store has been back for 10 s, after an outage of"), outage);
        assert_eq!(lines.with("the shared store is away: it is loading its data (LOADING)"), outage);
    }
    assert_eq!(lines.with("the shared store"), 4);
    let shown = format!("{:?}", fixture.link);
    assert!(shown.contains("valkey") && !shown.contains("hush"), "{shown}");
}

#[tokio::test(start_paused = true)]
async fn a_store_that_may_evict_the_count_is_warned_of_once() {
    let (lines, _guard) = Lines::capture();
    let fixture = Fixture::start("redis://valkey", |store| {
        store.server(NODE, |server| server.eviction = "allkeys-lru");
    });
    fixture.until_up().await;
    assert!(fixture.count().await.is_ok());
    fixture.reconnect().await;
    assert_eq!(lines.with("set its maxmemory-policy to noeviction"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_server_is_named_when_it_is_met_and_again_only_if_it_has_another_history() {
    let (lines, _guard) = Lines::capture();
    let fixture = Fixture::start("redis://valkey", |_store| ());
    fixture.until_up().await;
    assert!(fixture.count().await.is_ok());
    fixture.reconnect().await;
    assert_eq!(lines.with("connected to a store that this replica did not know"), 1);
    fixture.store.server(NODE, |server| server.replid = "after-a-failover".to_owned());
    fixture.reconnect().await;
    assert_eq!(lines.with("connected to a store that this replica did not know"), 2);
}
