//! Tells a slow client from a quiet one, without a clock on the path of a request.
//!
//! hyper's own header timeout allocates and registers a timer for each request, and would cut an idle connection as
//! early as a half-sent head. Here the road of a request moves two counters, and one look now and then, on a timer of
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
pub(super) struct Pace {
    reads: AtomicU32,
    writes: AtomicU32,
    reads_before_request: AtomicU32,
    requests: AtomicU32,
    answers: AtomicU32,
    closing: AtomicBool,
}

/// A connection's bytes, counted by the read.
#[derive(Debug)]
pub(super) struct Watched<I> {
    io: I,
    pace: Arc<Pace>,
    /// Head and body of a small answer.
    gathered: Vec<u8>,
}

/// How long each kind of silence may last.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    /// From the first byte of a head to its last; also from accepting to the first byte.
    pub(super) head: Duration,
    /// Between an answer and the next head.
    pub(super) idle: Duration,
}

/// Looks at a [`Pace`] now and then.
#[derive(Debug)]
pub(super) struct Judge {
    patience: Patience,
    since: Instant,
    /// The phase, the requests and the writes of the last look: whichever moves, the connection lives.
    seen: (Phase, u32, u32),
}

/// What a connection is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Silent,
    SendingHead,
    Waiting,
    Idle,
}

/// What a look comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Go on; look again at this time.
    Fine(Instant),
    /// A head is taking too long: 408.
    SlowHead,
    /// Nothing was asked for too long: close.
    TooQuiet,
}

// === impl Pace ===

impl Pace {
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

    fn phase(&self) -> Phase {
        let requests = self.requests.load(Relaxed);
        if requests != self.answers.load(Relaxed) {
            Phase::Waiting
        } else if self.reads.load(Relaxed) != self.reads_before_request.load(Relaxed) {
            Phase::SendingHead
        } else if requests == 0 {
            Phase::Silent
        } else {
            Phase::Idle
        }
    }
}

/// Adds one. There is one writer, so that nothing can come between the two halves, and the bus is not locked for it.
fn bump(counter: &AtomicU32) {
    counter.store(counter.load(Relaxed).wrapping_add(1), Relaxed);
}

// === impl Patience ===

impl Patience {
    /// How often to look: a limit is overstepped by at most this much.
    fn interval(self) -> Duration {
        (self.head / 4).max(Duration::from_millis(10))
    }
}

// === impl Judge ===

impl Judge {
    /// Begins with a connection that was accepted now.
    pub(super) const fn new(patience: Patience, now: Instant) -> Self {
        Self { patience, since: now, seen: (Phase::Silent, 0, 0) }
    }

    /// Since when has the connection been without a request? `None`: it waits for an answer.
    pub(super) fn quiet_since(&mut self, pace: &Pace, now: Instant) -> Option<Instant> {
        self.observe(pace, now);
        match self.seen.0 {
            Phase::Silent | Phase::SendingHead | Phase::Idle => Some(self.since),
            Phase::Waiting => None,
        }
    }

    /// What has become of the connection?
    pub(super) fn look(&mut self, pace: &Pace, now: Instant) -> Verdict {
        self.observe(pace, now);
        let lasted = now.saturating_duration_since(self.since);
        match self.seen.0 {
            Phase::SendingHead if lasted >= self.patience.head => Verdict::SlowHead,
            Phase::Silent if lasted >= self.patience.head => Verdict::TooQuiet,
            Phase::Idle if lasted >= self.patience.idle => Verdict::TooQuiet,
            // How long an answer may take is decided where it is made.
            Phase::Silent | Phase::SendingHead | Phase::Idle | Phase::Waiting => {
                Verdict::Fine(now + self.patience.interval())
            }
        }
    }

    fn observe(&mut self, pace: &Pace, now: Instant) {
        // A peer that takes a large answer slowly but steadily is neither idle nor silent: hence the writes.
        let seen = (pace.phase(), pace.requests.load(Relaxed), pace.writes.load(Relaxed));
        if seen != self.seen {
            (self.seen, self.since) = (seen, now);
        }
    }
}

// === impl Watched ===

impl<I> Watched<I> {
    pub(super) const fn new(io: I, pace: Arc<Pace>) -> Self {
        Self { io, pace, gathered: Vec::new() }
    }

    pub(super) fn into_inner(self) -> I {
        self.io
    }

    fn wrote(&self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if written.is_ready() {
            bump(&self.pace.writes);
        }
        written
    }
}

impl<I: AsyncRead + Unpin> AsyncRead for Watched<I> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = Pin::new(&mut self.io).poll_read(cx, buf);
        if read.is_ready() {
            bump(&self.pace.reads);
        }
        read
    }
}

impl<I: AsyncWrite + Unpin> AsyncWrite for Watched<I> {
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
            this.gathered.clear();
            bufs.iter().for_each(|buf| this.gathered.extend_from_slice(buf));
            Pin::new(&mut this.io).poll_write(cx, &this.gathered)
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

    const PATIENCE: Patience = Patience { head: Duration::from_secs(10), idle: Duration::from_secs(75) };

    /// Looks each second; what comes of it, and after how many seconds.
    fn cut(
        pace: &Pace,
        judge: &mut Judge,
        start: Instant,
        mut each_second: impl FnMut(&Pace),
    ) -> (Verdict, u64) {
        for second in 1..1_000 {
            each_second(pace);
            match judge.look(pace, start + Duration::from_secs(second)) {
                Verdict::Fine(_) => {}
                verdict => return (verdict, second),
            }
        }
        (Verdict::Fine(start), 0)
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_connection_is_closed_and_a_dripping_head_is_a_slow_one() {
        let start = Instant::now();
        let (pace, mut judge) = (Pace::default(), Judge::new(PATIENCE, start));
        assert_eq!(cut(&pace, &mut judge, start, |_| ()), (Verdict::TooQuiet, 10));
        let (pace, mut judge) = (Pace::default(), Judge::new(PATIENCE, start));
        let drip = |pace: &Pace| {
            pace.reads.fetch_add(1, Relaxed);
        };
        assert_eq!(cut(&pace, &mut judge, start, drip), (Verdict::SlowHead, 11));
    }

    #[tokio::test(start_paused = true)]
    async fn an_idle_connection_lives_longer_and_one_that_waits_for_its_answer_is_left_alone() {
        let start = Instant::now();
        let (pace, mut judge) = (Pace::default(), Judge::new(PATIENCE, start));
        pace.reads.fetch_add(1, Relaxed);
        pace.request();
        assert_eq!(cut(&pace, &mut judge, start, |_| ()).0, Verdict::Fine(start), "it waits");
        pace.answer();
        let since = start + Duration::from_secs(1_000);
        assert_eq!(cut(&pace, &mut judge, since, |_| ()), (Verdict::TooQuiet, 76));
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_reader_lives_as_long_as_it_goes_on_reading() {
        let start = Instant::now();
        let (pace, mut judge) = (Pace::default(), Judge::new(PATIENCE, start));
        pace.reads.fetch_add(1, Relaxed);
        pace.request();
        pace.answer();
        let sip = |pace: &Pace| {
            pace.writes.fetch_add(1, Relaxed);
        };
        assert_eq!(cut(&pace, &mut judge, start, sip).0, Verdict::Fine(start));
        let since = start + Duration::from_secs(1_000);
        assert_eq!(cut(&pace, &mut judge, since, |_| ()), (Verdict::TooQuiet, 74), "it stopped a second ago");
    }

    #[tokio::test(start_paused = true)]
    async fn a_busy_connection_is_never_cut() {
        let start = Instant::now();
        let (pace, mut judge) = (Pace::default(), Judge::new(PATIENCE, start));
        let ask = |pace: &Pace| {
            pace.reads.fetch_add(1, Relaxed);
            pace.request();
            pace.answer();
        };
        assert_eq!(cut(&pace, &mut judge, start, ask).0, Verdict::Fine(start));
    }
}
