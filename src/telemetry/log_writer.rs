//! Writes log lines from a thread of its own, so that a full standard error does not block the code that logs.
//!
//! Not `tracing-appender`: at the end of the process it reports on standard error that standard error is blocked, and so
//! never ends.

use std::{
    io::{self, Write},
    mem,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

use prometheus::IntCounter;
use tracing_subscriber::fmt::MakeWriter;

/// The most bytes that wait to be written: some thousands of lines. Lines beyond that are dropped and counted.
const CAPACITY: usize = 1024 * 1024;
/// A buffer that has grown beyond this many bytes is freed.
const KEPT_CAPACITY: usize = 64 * 1024;

/// The queue of log lines and its writing thread. Cheap to clone.
#[derive(Debug, Clone)]
pub struct LogWriter(Arc<LineBuffer>);

#[derive(Debug)]
struct LineBuffer {
    queue: Mutex<Queue>,
    filled: Condvar,
    written: Condvar,
    lost: IntCounter,
}

/// The lines that wait to be written, each whole.
#[derive(Debug)]
struct Queue {
    lines: Vec<u8>,
    thread: Thread,
}

/// The state of the writing thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Thread {
    /// Waiting for lines.
    Idle,
    /// Writing a batch of lines.
    Writing,
}

// === impl LogWriter ===

impl LogWriter {
    /// Starts the thread that writes to `out`. Lines that `out` does not take in time are counted by `lost`.
    ///
    /// # Errors
    /// If the system refuses another thread.
    pub(super) fn start(out: impl Write + Send + 'static, lost: IntCounter) -> io::Result<Self> {
        let writer = Self(Arc::new(LineBuffer {
            queue: Mutex::new(Queue { lines: Vec::new(), thread: Thread::Idle }),
            filled: Condvar::new(),
            written: Condvar::new(),
            lost,
        }));
        let buffer = Arc::clone(&writer.0);
        thread::Builder::new().name("log-writer".to_owned()).spawn(move || buffer.write_to(out))?;
        Ok(writer)
    }

    /// Waits until what was logged so far is written, but not for longer than `at_most`.
    pub fn flush(&self, at_most: Duration) {
        let is_left = |queue: &mut Queue| !queue.lines.is_empty() || queue.thread == Thread::Writing;
        let waited = self.0.written.wait_timeout_while(self.0.queue(), at_most, is_left);
        drop(waited.unwrap_or_else(PoisonError::into_inner));
    }
}

impl<'a> MakeWriter<'a> for LogWriter {
    type Writer = &'a Self;

    fn make_writer(&'a self) -> Self::Writer {
        self
    }
}

/// Each write is one whole line: `tracing_subscriber::fmt` sees to that.
impl Write for &LogWriter {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let mut queue = self.0.queue();
        if queue.lines.len() + line.len() > CAPACITY {
            drop(queue);
            self.0.lost.inc();
        } else {
            queue.lines.extend_from_slice(line);
            let thread = queue.thread;
            drop(queue);
            match thread {
                Thread::Idle => self.0.filled.notify_one(),
                // The thread checks for more lines when it is done.
                Thread::Writing => {}
            }
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

// === impl LineBuffer ===

impl LineBuffer {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write_to(&self, mut out: impl Write) {
        let mut taken = Vec::new();
        loop {
            let mut queue = self.queue();
            queue.thread = Thread::Idle;
            if queue.lines.is_empty() {
                self.written.notify_all();
            }
            let is_empty = |queue: &mut Queue| queue.lines.is_empty();
            let mut queue = self.filled.wait_while(queue, is_empty).unwrap_or_else(PoisonError::into_inner);
            mem::swap(&mut queue.lines, &mut taken);
            queue.thread = Thread::Writing;
            drop(queue);
            if out.write_all(&taken).and_then(|()| out.flush()).is_err() {
                let lines = taken.iter().filter(|byte| **byte == b'\n').count();
                self.lost.inc_by(lines as u64);
            }
            taken.clear();
            taken.shrink_to(KEPT_CAPACITY);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    const LONG: Duration = Duration::from_secs(30);

    /// Announces each write, and completes it when the test says so.
    struct GatedSink {
        begun: mpsc::Sender<Vec<u8>>,
        go_on: mpsc::Receiver<io::Result<()>>,
    }

    impl Write for GatedSink {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.begun.send(bytes.to_vec()).map_err(io::Error::other)?;
            self.go_on.recv().map_err(io::Error::other)?.map(|()| bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    type Begun = mpsc::Receiver<Vec<u8>>;

    fn gated() -> (LogWriter, IntCounter, Begun, mpsc::Sender<io::Result<()>>) {
        let ((begun, seen), (opener, go_on)) = (mpsc::channel(), mpsc::channel());
        let lost = IntCounter::new("lost", "Lines.").unwrap();
        (LogWriter::start(GatedSink { begun, go_on }, lost.clone()).unwrap(), lost, seen, opener)
    }

    fn log(writer: &LogWriter, line: &[u8]) {
        assert_eq!({ writer }.write(line).unwrap(), line.len());
    }

    #[test]
    fn who_logs_never_waits_and_what_finds_no_room_is_counted() {
        let (writer, lost, seen, opener) = gated();
        let line = [&[b'x'; 1_023][..], b"\n"].concat();
        log(&writer, b"first\n");
        assert_eq!(seen.recv_timeout(LONG).unwrap(), b"first\n");
        // From here on this writer accepts no byte.
        for _ in 0..CAPACITY / line.len() {
            log(&writer, &line);
        }
        assert_eq!(lost.get(), 0);
        log(&writer, b"one too many\n");
        log(&writer, b"two too many\n");
        assert_eq!(lost.get(), 2);
        opener.send(Ok(())).unwrap();
        assert_eq!(seen.recv_timeout(LONG).unwrap().len(), CAPACITY, "in one piece, and in order");
        opener.send(Err(io::ErrorKind::BrokenPipe.into())).unwrap();
        writer.flush(LONG);
        assert_eq!(lost.get(), 2 + (CAPACITY / line.len()) as u64, "what was not taken is lost too");
        log(&writer, b"last\n");
        assert_eq!(seen.recv_timeout(LONG).unwrap(), b"last\n");
    }

    #[test]
    fn a_flush_waits_for_what_is_being_written_but_not_for_ever() {
        let (writer, _lost, seen, opener) = gated();
        writer.flush(LONG);
        log(&writer, b"first\n");
        seen.recv_timeout(LONG).unwrap();
        log(&writer, b"second\n");
        writer.flush(Duration::from_millis(1));
        let flushed = thread::spawn({
            let writer = writer.clone();
            move || writer.flush(LONG)
        });
        opener.send(Ok(())).unwrap();
        assert_eq!(seen.recv_timeout(LONG).unwrap(), b"second\n");
        assert!(!flushed.is_finished(), "the second is not written yet");
        opener.send(Ok(())).unwrap();
        flushed.join().unwrap();
    }
}
