//! Header timeout and idle timeout: closes slow clients (408) and idle connections, without a timer per request.
//!
//! hyper's own header timeout allocates and registers a timer for each request, and closes an idle connection as early
//! as one with a half-sent head. Here a request only increments counters, and one timer per connection inspects them
//! periodically.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering::Relaxed},
    },
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::Instant,
};

/// Responses up to this size, in bytes, are copied into one buffer before they are written: for a few cache lines the
/// copy is cheaper than a vectored write in the kernel. For larger ones the vectored write is cheaper.
const SMALL: usize = 4 * 1024;

/// Counts what one connection has done, and notes whether it is closing. Only the connection's own task writes it.
#[derive(Debug, Default)]
pub(super) struct ConnectionActivity {
    reads: AtomicU32,
    writes: AtomicU32,
    reads_before_request: AtomicU32,
    requests: AtomicU32,
    answers: AtomicU32,
    /// The client has not taken what was sent so far: there is more of a response.
    blocked: AtomicBool,
    closing: AtomicBool,
}

/// A connection's I/O, with its reads and writes counted.
#[derive(Debug)]
pub(super) struct TrackedIo<I> {
    io: I,
    activity: Arc<ConnectionActivity>,
    /// For head and body of a small response.
    write_buffer: Vec<u8>,
}

/// The header timeout and the idle timeout.
#[derive(Debug, Clone, Copy)]
pub(super) struct Timeouts {
    /// From the first byte of a request's head to its last; also from accepting the connection to the first byte.
    pub(super) head: Duration,
    /// From the end of a response to the first byte of the next request.
    pub(super) idle: Duration,
}

/// Inspects a [`ConnectionActivity`] periodically, and reports a timeout.
#[derive(Debug)]
pub(super) struct IdleMonitor {
    timeouts: Timeouts,
    since: Instant,
    /// The phase, the number of requests and of writes at the last inspection: if one has changed, the connection is
    /// active, and the timeout starts again.
    seen: (ConnectionPhase, u32, u32),
}

/// What a connection is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ConnectionPhase {
    Silent,
    SendingHead,
    Waiting,
    Idle,
}

/// The result of an inspection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Inspection {
    /// No timeout; inspect again at this time.
    KeepOpen(Instant),
    /// The client sends a head too slowly: respond 408 and close.
    HeaderTimeout,
    /// No request for too long: close.
    IdleTimeout,
}

// === impl ConnectionActivity ===

impl ConnectionActivity {
    /// A head was received completely, and its request begins.
    pub(super) fn request(&self) {
        self.reads_before_request.store(self.reads.load(Relaxed), Relaxed);
        bump(&self.requests);
    }

    /// A request has its response, or was cancelled.
    pub(super) fn answer(&self) {
        bump(&self.answers);
    }

    /// The next response is the last on this connection.
    pub(super) fn close(&self) {
        self.closing.store(true, Relaxed);
    }

    pub(super) fn is_closing(&self) -> bool {
        self.closing.load(Relaxed)
    }

    /// Has the client not taken all of what was sent so far?
    pub(super) fn is_blocked(&self) -> bool {
        self.blocked.load(Relaxed)
    }

    fn phase(&self) -> ConnectionPhase {
        let requests = self.requests.load(Relaxed);
        if requests != self.answers.load(Relaxed) {
            ConnectionPhase::Waiting
        } else if self.reads.load(Relaxed) != self.reads_before_request.load(Relaxed) {
            ConnectionPhase::SendingHead
        } else if requests == 0 {
            ConnectionPhase::Silent
        } else {
            ConnectionPhase::Idle
        }
    }
}

/// Adds one. There is only one writer, so a load and a store are enough, and cheaper than an atomic addition.
fn bump(counter: &AtomicU32) {
    counter.store(counter.load(Relaxed).wrapping_add(1), Relaxed);
}

// === impl Timeouts ===

impl Timeouts {
    /// How often to inspect: a timeout is noticed at most this much too late.
    fn interval(self) -> Duration {
        (self.head.min(self.idle) / 4).max(Duration::from_millis(10))
    }
}

// === impl IdleMonitor ===

impl IdleMonitor {
    /// For a connection that was accepted at `now`.
    pub(super) const fn new(timeouts: Timeouts, now: Instant) -> Self {
        Self { timeouts, since: now, seen: (ConnectionPhase::Silent, 0, 0) }
    }

    /// Since when has the connection had no request? `None` if a request is being processed, or if its response is being
    /// sent: to a client that takes none of it, for as long as it may take for a head.
    pub(super) fn quiet_since(&mut self, activity: &ConnectionActivity, now: Instant) -> Option<Instant> {
        self.observe(activity, now);
        let lasted = now.saturating_duration_since(self.since);
        if activity.is_blocked() && lasted < self.timeouts.head {
            return None;
        }
        match self.seen.0 {
            ConnectionPhase::Silent | ConnectionPhase::SendingHead | ConnectionPhase::Idle => {
                Some(self.since)
            }
            ConnectionPhase::Waiting => None,
        }
    }

    /// Inspects the connection.
    pub(super) fn look(&mut self, activity: &ConnectionActivity, now: Instant) -> Inspection {
        self.observe(activity, now);
        let lasted = now.saturating_duration_since(self.since);
        match self.seen.0 {
            ConnectionPhase::SendingHead if lasted >= self.timeouts.head => Inspection::HeaderTimeout,
            ConnectionPhase::Silent if lasted >= self.timeouts.head => Inspection::IdleTimeout,
            ConnectionPhase::Idle if lasted >= self.timeouts.idle => Inspection::IdleTimeout,
            // While a request is being processed, `server.request_timeout` applies, not these.
            ConnectionPhase::Silent
            | ConnectionPhase::SendingHead
            | ConnectionPhase::Idle
            | ConnectionPhase::Waiting => Inspection::KeepOpen(now + self.timeouts.interval()),
        }
    }

    fn observe(&mut self, activity: &ConnectionActivity, now: Instant) {
        // The writes count too: a client that reads a large response slowly but steadily is not idle.
        let seen = (activity.phase(), activity.requests.load(Relaxed), activity.writes.load(Relaxed));
        if seen != self.seen {
            (self.seen, self.since) = (seen, now);
        }
    }
}

// === impl TrackedIo ===

impl<I> TrackedIo<I> {
    pub(super) const fn new(io: I, activity: Arc<ConnectionActivity>) -> Self {
        Self { io, activity, write_buffer: Vec::new() }
    }

    pub(super) fn into_inner(self) -> I {
        self.io
    }

    fn wrote(&self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if written.is_ready() {
            bump(&self.activity.writes);
        }
        if self.activity.blocked.load(Relaxed) != written.is_pending() {
            self.activity.blocked.store(written.is_pending(), Relaxed);
        }
        written
    }
}

impl<I: AsyncRead + Unpin> AsyncRead for TrackedIo<I> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = Pin::new(&mut self.io).poll_read(cx, buf);
        if read.is_ready() {
            bump(&self.activity.reads);
        }
        read
    }
}

impl<I: AsyncWrite + Unpin> AsyncWrite for TrackedIo<I> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write(cx, buf);
        self.wrote(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        let written = if bufs.iter().map(|buf| buf.len()).sum::<usize>() <= SMALL {
            this.write_buffer.clear();
            bufs.iter().for_each(|buf| this.write_buffer.extend_from_slice(buf));
            Pin::new(&mut this.io).poll_write(cx, &this.write_buffer)
        } else {
            Pin::new(&mut this.io).poll_write_vectored(cx, bufs)
        };
        self.wrote(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests;
