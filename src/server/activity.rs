//! Tells a slow client from a quiet one, without a clock on the path of a request.
//!
//! hyper's own header timeout allocates and registers a timer for each request, and would cut an idle connection as
//! early as a half-sent head. Here a request moves two counters, and one look now and then, on a timer of
//! the connection's own, sees what has become of it.

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

/// What is not larger is written in one piece, in bytes. The kernel takes longer than we do to fetch a few lines that the
/// processor has not at hand; it is the other way round for many.
const SMALL: usize = 4 * 1024;

/// What one connection has done so far, and whether it is to end. Only its own task writes it.
#[derive(Debug, Default)]
pub(super) struct ConnectionActivity {
    reads: AtomicU32,
    writes: AtomicU32,
    reads_before_request: AtomicU32,
    requests: AtomicU32,
    answers: AtomicU32,
    closing: AtomicBool,
}

/// A connection's bytes, counted by the read.
#[derive(Debug)]
pub(super) struct TrackedIo<I> {
    io: I,
    activity: Arc<ConnectionActivity>,
    /// Head and body of a small answer.
    write_buffer: Vec<u8>,
}

/// How long each kind of silence may last.
#[derive(Debug, Clone, Copy)]
pub(super) struct Timeouts {
    /// From the first byte of a head to its last; also from accepting to the first byte.
    pub(super) head: Duration,
    /// Between an answer and the next head.
    pub(super) idle: Duration,
}

/// Looks at a [`ConnectionActivity`] now and then.
#[derive(Debug)]
pub(super) struct IdleMonitor {
    timeouts: Timeouts,
    since: Instant,
    /// The phase, the requests and the writes of the last look: whichever moves, the connection lives.
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

/// What a look comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Inspection {
    /// Go on; look again at this time.
    KeepOpen(Instant),
    /// A head is taking too long: 408.
    HeaderTimeout,
    /// Nothing was asked for too long: close.
    IdleTimeout,
}

// === impl ConnectionActivity ===

impl ConnectionActivity {
    /// A head is complete, and its request begins.
    pub(super) fn request(&self) {
        self.reads_before_request.store(self.reads.load(Relaxed), Relaxed);
        bump(&self.requests);
    }

    /// A request has its answer, or was given up.
    pub(super) fn answer(&self) {
        bump(&self.answers);
    }

    /// The next answer is the last on this connection.
    pub(super) fn close(&self) {
        self.closing.store(true, Relaxed);
    }

    pub(super) fn is_closing(&self) -> bool {
        self.closing.load(Relaxed)
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

/// Adds one. There is one writer, so that nothing can come between the two halves, and the bus is not locked for it.
fn bump(counter: &AtomicU32) {
    counter.store(counter.load(Relaxed).wrapping_add(1), Relaxed);
}

// === impl Timeouts ===

impl Timeouts {
    /// How often to look: a limit is overstepped by at most this much.
    fn interval(self) -> Duration {
        (self.head / 4).max(Duration::from_millis(10))
    }
}

// === impl IdleMonitor ===

impl IdleMonitor {
    /// Begins with a connection that was accepted now.
    pub(super) const fn new(timeouts: Timeouts, now: Instant) -> Self {
        Self { timeouts, since: now, seen: (ConnectionPhase::Silent, 0, 0) }
    }

    /// Since when has the connection been without a request? `None`: it waits for an answer.
    pub(super) fn quiet_since(&mut self, activity: &ConnectionActivity, now: Instant) -> Option<Instant> {
        self.observe(activity, now);
        match self.seen.0 {
            ConnectionPhase::Silent | ConnectionPhase::SendingHead | ConnectionPhase::Idle => {
                Some(self.since)
            }
            ConnectionPhase::Waiting => None,
        }
    }

    /// What has become of the connection?
    pub(super) fn look(&mut self, activity: &ConnectionActivity, now: Instant) -> Inspection {
        self.observe(activity, now);
        let lasted = now.saturating_duration_since(self.since);
        match self.seen.0 {
            ConnectionPhase::SendingHead if lasted >= self.timeouts.head => Inspection::HeaderTimeout,
            ConnectionPhase::Silent if lasted >= self.timeouts.head => Inspection::IdleTimeout,
            ConnectionPhase::Idle if lasted >= self.timeouts.idle => Inspection::IdleTimeout,
            // How long an answer may take is decided where it is made.
            ConnectionPhase::Silent
            | ConnectionPhase::SendingHead
            | ConnectionPhase::Idle
            | ConnectionPhase::Waiting => Inspection::KeepOpen(now + self.timeouts.interval()),
        }
    }

    fn observe(&mut self, activity: &ConnectionActivity, now: Instant) {
        // A peer that takes a large answer slowly but steadily is neither idle nor silent: hence the writes.
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
mod tests {
    use super::*;

    const TIMEOUTS: Timeouts = Timeouts { head: Duration::from_secs(10), idle: Duration::from_secs(75) };

    /// Looks each second; what comes of it, and after how many seconds.
    fn cut(
        activity: &ConnectionActivity,
        monitor: &mut IdleMonitor,
        start: Instant,
        mut each_second: impl FnMut(&ConnectionActivity),
    ) -> (Inspection, u64) {
        for second in 1..1_000 {
            each_second(activity);
            match monitor.look(activity, start + Duration::from_secs(second)) {
                Inspection::KeepOpen(_) => {}
                verdict => return (verdict, second),
            }
        }
        (Inspection::KeepOpen(start), 0)
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_connection_is_closed_and_a_dripping_head_is_a_slow_one() {
        let start = Instant::now();
        let (activity, mut monitor) = (ConnectionActivity::default(), IdleMonitor::new(TIMEOUTS, start));
        assert_eq!(cut(&activity, &mut monitor, start, |_| ()), (Inspection::IdleTimeout, 10));
        let (activity, mut monitor) = (ConnectionActivity::default(), IdleMonitor::new(TIMEOUTS, start));
        let drip = |activity: &ConnectionActivity| {
            activity.reads.fetch_add(1, Relaxed);
        };
        assert_eq!(cut(&activity, &mut monitor, start, drip), (Inspection::HeaderTimeout, 11));
    }

    #[tokio::test(start_paused = true)]
    async fn an_idle_connection_lives_longer_and_one_that_waits_for_its_answer_is_left_alone() {
        let start = Instant::now();
        let (activity, mut monitor) = (ConnectionActivity::default(), IdleMonitor::new(TIMEOUTS, start));
        activity.reads.fetch_add(1, Relaxed);
        activity.request();
        assert_eq!(cut(&activity, &mut monitor, start, |_| ()).0, Inspection::KeepOpen(start), "it waits");
        activity.answer();
        let since = start + Duration::from_secs(1_000);
        assert_eq!(cut(&activity, &mut monitor, since, |_| ()), (Inspection::IdleTimeout, 76));
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_reader_lives_as_long_as_it_goes_on_reading() {
        let start = Instant::now();
        let (activity, mut monitor) = (ConnectionActivity::default(), IdleMonitor::new(TIMEOUTS, start));
        activity.reads.fetch_add(1, Relaxed);
        activity.request();
        activity.answer();
        let sip = |activity: &ConnectionActivity| {
            activity.writes.fetch_add(1, Relaxed);
        };
        assert_eq!(cut(&activity, &mut monitor, start, sip).0, Inspection::KeepOpen(start));
        let since = start + Duration::from_secs(1_000);
        assert_eq!(
            cut(&activity, &mut monitor, since, |_| ()),
            (Inspection::IdleTimeout, 74),
            "it stopped a second ago"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_busy_connection_is_never_cut() {
        let start = Instant::now();
        let (activity, mut monitor) = (ConnectionActivity::default(), IdleMonitor::new(TIMEOUTS, start));
        let ask = |activity: &ConnectionActivity| {
            activity.reads.fetch_add(1, Relaxed);
            activity.request();
            activity.answer();
        };
        assert_eq!(cut(&activity, &mut monitor, start, ask).0, Inspection::KeepOpen(start));
    }
}
