//! The list of a listener's open connections: when it is full, the one that was idle the longest is closed.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::{sync::Notify, time::Instant};

use super::activity::{ConnectionActivity, IdleMonitor, Inspection, Timeouts};

/// What a connection and its listener share: the activity, and a signal to close.
#[derive(Debug)]
pub(super) struct ConnectionHandle {
    pub(super) activity: Arc<ConnectionActivity>,
    monitor: Mutex<IdleMonitor>,
    closed: Notify,
}

/// The open connections of a listener.
#[derive(Debug, Default)]
pub(super) struct OpenConnections(Mutex<Numbered>);

#[derive(Debug, Default)]
struct Numbered {
    last: u64,
    handles: BTreeMap<u64, Arc<ConnectionHandle>>,
}

/// Keeps a connection in the list until it is dropped.
#[derive(Debug)]
pub(super) struct Listed {
    number: u64,
    open: Arc<OpenConnections>,
}

// === impl ConnectionHandle ===

impl ConnectionHandle {
    /// For a connection that was accepted at `now`.
    pub(super) fn new(timeouts: Timeouts, now: Instant) -> Self {
        Self {
            activity: Arc::default(),
            monitor: Mutex::new(IdleMonitor::new(timeouts, now)),
            closed: Notify::new(),
        }
    }

    /// Inspects the connection for a timeout.
    pub(super) fn look(&self, now: Instant) -> Inspection {
        self.monitor.lock().unwrap_or_else(PoisonError::into_inner).look(&self.activity, now)
    }

    /// Completes when the listener needs the connection's place and no request is being processed; a signal that comes
    /// together with a request is ignored.
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
    /// Adds a connection to the list, until the returned value is dropped.
    pub(super) fn list(self: &Arc<Self>, handle: Arc<ConnectionHandle>) -> Listed {
        let mut numbered = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        numbered.last += 1;
        let number = numbered.last;
        numbered.handles.insert(number, handle);
        Listed { number, open: Arc::clone(self) }
    }

    /// Closes the connection that has had no request for the longest time; none if all are processing one. Inspects all
    /// connections: only for a listener that is full.
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
    async fn the_connection_idle_the_longest_is_closed_and_never_one_that_waits_for_its_response() {
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
    async fn a_request_that_comes_together_with_the_signal_to_close_gets_its_response() {
        let open = Arc::new(OpenConnections::default());
        let handle = Arc::new(ConnectionHandle::new(TIMEOUTS, Instant::now()));
        let _listed = open.list(Arc::clone(&handle));
        open.close_quietest(Instant::now());
        handle.activity.request();
        assert!(handle.closed().now_or_never().is_none(), "it waits for its response");
        handle.activity.answer();
        assert!(handle.closed().now_or_never().is_none(), "the earlier signal is void");
        open.close_quietest(Instant::now());
        assert!(handle.closed().now_or_never().is_some());
    }
}
