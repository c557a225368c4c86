//! What a test's runtime logs.

use std::{
    io,
    sync::{Arc, Mutex, Once},
};

use serde_json::Value;
use tracing::{Level, subscriber::DefaultGuard};
use tracing_subscriber::fmt::{MakeWriter, format::FmtSpan};

/// The log of this thread, and with it of everything that a test's runtime runs.
#[derive(Clone, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<u8>>>);

/// With one subscriber in the process, a place that logs first on another test's thread, which has none, is taken for one
/// that nobody ever wants to hear. Hence a second subscriber for all threads, which wants everything and writes nothing.
pub(crate) fn hear_everything() {
    static EVERYWHERE: Once = Once::new();
    EVERYWHERE.call_once(|| tracing::subscriber::set_global_default(tracing_subscriber::registry()).unwrap());
}

// === impl Log ===

impl Log {
    /// Takes down every line, also those that nobody would ever turn on.
    pub(crate) fn start() -> (Self, DefaultGuard) {
        hear_everything();
        let log = Self::default();
        let lines = tracing_subscriber::fmt().json().flatten_event(true).with_max_level(Level::TRACE);
        let lines = lines.with_span_events(FmtSpan::NEW).with_writer(log.clone());
        (log, tracing::subscriber::set_default(lines.finish()))
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }

    /// The lines that tell of a request.
    pub(crate) fn requests(&self) -> Vec<Value> {
        self.lines(|line| line["message"] == "request")
    }

    /// The fields of every span of this name.
    pub(crate) fn spans(&self, name: &str) -> Vec<Value> {
        let opened = self.lines(|line| line["message"] == "new" && line["span"]["name"] == name);
        opened.into_iter().map(|mut line| line["span"].take()).collect()
    }

    pub(crate) fn lines(&self, wanted: impl Fn(&Value) -> bool) -> Vec<Value> {
        let text = self.text();
        let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        lines.filter(wanted).collect()
    }
}

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Log {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}
