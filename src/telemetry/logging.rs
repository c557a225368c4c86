//! Log lines: JSON for machines, text for people, always on standard error.

use std::{
    io::{IsTerminal as _, stderr},
    sync::LazyLock,
    time::Duration,
};

use prometheus::IntCounter;
use tracing_subscriber::{EnvFilter, Layer, layer::SubscriberExt, util::SubscriberInitExt};

use super::{log_writer::LogWriter, series::opts};

/// At the end of the process: long for lines that a collector is about to take, short for one that takes none any more.
const AT_THE_END: Duration = Duration::from_secs(1);

/// Of this process: there is one log.
static LOST_LINES: LazyLock<IntCounter> = LazyLock::new(|| {
    let help = "Log lines that were dropped because standard error did not take them.";
    IntCounter::with_opts(opts("log_lines_lost_total", help)).expect("a well-formed series")
});

/// How a line looks (`log.format`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// One JSON object a line.
    Json,
    /// For reading at a terminal.
    Text,
}

/// To be held until the process ends: then it waits, for a moment, until the last lines are written.
#[derive(Debug)]
#[must_use = "the last lines are lost with it"]
pub struct LogGuard(LogWriter);

/// Starts logging for the whole process. `RUST_LOG` overrides `level`, both in tracing's filter language.
///
/// # Errors
/// If a filter is malformed, or if logging has been started before.
pub fn start(format: Format, level: &str) -> anyhow::Result<LogGuard> {
    let filter = match std::env::var(EnvFilter::DEFAULT_ENV) {
        Ok(filter) if !filter.is_empty() => EnvFilter::try_new(filter)?,
        Ok(_) | Err(_) => EnvFilter::try_new(level)?,
    };
    // Standard output is for what a command was asked to print.
    let writer = LogWriter::start(stderr(), LOST_LINES.clone())?;
    let lines =
        tracing_subscriber::fmt::layer().with_writer(writer.clone()).with_ansi(stderr().is_terminal());
    let lines = match format {
        Format::Json => {
            lines.json().flatten_event(true).with_current_span(false).with_span_list(false).boxed()
        }
        Format::Text => lines.compact().with_target(false).boxed(),
    };
    tracing_subscriber::registry().with(lines).with(filter).try_init()?;
    Ok(LogGuard(writer))
}

/// The series of lines that are lost.
pub(super) fn lost_lines() -> IntCounter {
    LOST_LINES.clone()
}

// === impl LogGuard ===

impl LogGuard {
    /// Where the lines go.
    pub const fn writer(&self) -> &LogWriter {
        &self.0
    }
}

impl Drop for LogGuard {
    fn drop(&mut self) {
        self.0.flush(AT_THE_END);
    }
}
