//! The open connections of a listener, to find the one that has been quiet for longest.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::{sync::Notify, time::Instant};

use super::activity::{ConnectionActivity, IdleMonitor, Inspection, Timeouts};

/// What a connection and its listener share.
#[derive(Debug)]
pub(super) struct ConnectionHandle {
    pub(super) activity: Arc<ConnectionActivity>,
    monitor: Mutex<IdleMonitor>,
    closed: Notify,
}

/// Every connection of a listener.
#[derive(Debug, Default)]
pub(super) struct OpenConnections(Mutex<Numbered>);

#[derive(Debug, Default)]
struct Numbered {
    last: u64,
    handles: BTreeMap<u64, Arc<ConnectionHandle>>,
}

/// Lists a connection for as long as it lives.
#[derive(Debug)]
pub(super) struct Listed {
    number: u64,
    open: Arc<OpenConnections>,
}

// === impl ConnectionHandle ===

impl ConnectionHandle {
    /// Of a connection that was accepted now.
    pub(super) fn new(timeouts: Timeouts, now: Instant) -> Self {
        Self {
            activity: Arc::default(),
            monitor: Mutex::new(IdleMonitor::new(timeouts, now)),
            closed: Notify::new(),
        }
    }

    /// What has become of the connection?
    pub(super) fn look(&self, now: Instant) -> Inspection {
        self.monitor.lock().unwrap_or_else(PoisonError::into_inner).look(&self.activity, now)
    }

    /// Done when the connection has to make room for another. A request that came meanwhile is not cut off.
    pub(super) async fn closed(&self) {
        loop {
            self.closed.notified().await;
            if self.quiet_since(Instant::now()).is_some() {
                break;
            }
        }
    }

    fn quiet_since(&self, now: Instant) -> Option<Instant> {
        self.monitor.lock().unwrap_or_else(PoisonError::into_inner).quiet_since(&self.activity, now)
    }
}

// === impl OpenConnections ===

impl OpenConnections {
    /// Lists a connection until what is returned is dropped.
    pub(super) fn list(self: &Arc<Self>, handle: Arc<ConnectionHandle>) -> Listed {
        let mut numbered = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        numbered.last += 1;
        let number = numbered.last;
        numbered.handles.insert(number, handle);
        Listed { number, open: Arc::clone(self) }
    }

    /// Closes the connection that has been without a request for longest; none if each waits for an answer. Looks at all of
    /// them: this is for a listener that is full.
    pub(super) fn close_quietest(&self, now: Instant) {
        let numbered = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let quiet = numbered.handles.values().filter_map(|handle| Some((handle.quiet_since(now)?, handle)));
        if let Some((_, quietest)) = quiet.min_by_key(|(since, _)| *since) {
            quietest.closed.notify_one();
        }
    }
}

// === impl Listed ===

impl Drop for Listed {
    fn drop(&mut self) {
        self.open.0.lock().unwrap_or_else(PoisonError::into_inner).handles.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures_util::FutureExt as _;

    use super::*;

    const TIMEOUTS: Timeouts = Timeouts { head: Duration::from_secs(10), idle: Duration::from_secs(75) };

    #[tokio::test(start_paused = true)]
    async fn the_one_that_is_quiet_for_longest_is_closed_and_never_one_that_waits_for_its_answer() {
        let start = Instant::now();
        let at = |second| start + Duration::from_secs(second);
        let open = Arc::new(OpenConnections::default());
        let handles = [0, 1, 2, 3].map(|second| Arc::new(ConnectionHandle::new(TIMEOUTS, at(second))));
        let mut listed: Vec<_> = handles.iter().map(|handle| Some(open.list(Arc::clone(handle)))).collect();
        let [waits, asked_lately, silent, newer] = &handles;
        waits.activity.request();
        asked_lately.activity.request();
        asked_lately.activity.answer();
        asked_lately.look(at(4));

        let mut closed = Vec::new();
        for _ in 0..4 {
            open.close_quietest(at(5));
            for (index, handle) in handles.iter().enumerate() {
                if handle.closed().now_or_never().is_some() {
                    closed.push(Arc::clone(handle));
                    listed[index] = None;
                }
            }
        }
        let expected = [silent, newer, asked_lately];
        assert_eq!(closed.len(), expected.len());
        assert!(closed.iter().zip(expected).all(|(closed, expected)| Arc::ptr_eq(closed, expected)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_that_comes_when_its_connection_is_told_to_go_is_answered() {
        let open = Arc::new(OpenConnections::default());
        let handle = Arc::new(ConnectionHandle::new(TIMEOUTS, Instant::now()));
        let _listed = open.list(Arc::clone(&handle));
        open.close_quietest(Instant::now());
        handle.activity.request();
        assert!(handle.closed().now_or_never().is_none(), "it waits for its answer");
        handle.activity.answer();
        assert!(handle.closed().now_or_never().is_none(), "the place was had elsewhere");
        open.close_quietest(Instant::now());
        assert!(handle.closed().now_or_never().is_some());
    }
}
