//! Log lines: JSON for machines, text for people, always on standard error. Also installs what records traces: a process
//! has one tracing subscriber.

use std::{
    io::{IsTerminal as _, stderr},
    sync::{LazyLock, OnceLock},
    time::Duration,
};

use prometheus::IntCounter;
use tracing_subscriber::{
    Layer, Registry, filter::Targets, layer::SubscriberExt, registry, reload, util::SubscriberInitExt,
};

use super::{log_writer::LogWriter, series::opts, traces::SpanRecorder};

/// How long the end of the process waits for the last lines: enough for a collector that reads, short for one that has
/// stopped reading.
const AT_THE_END: Duration = Duration::from_secs(1);

/// Static, since a process has one log.
static LOST_LINES: LazyLock<IntCounter> = LazyLock::new(|| {
    let help = "Log lines that were dropped because standard error was blocked.";
    IntCounter::with_opts(opts("log_lines_lost_total", help)).expect("a well-formed series")
});

/// Static for the same reason.
static CHANGE_FILTER: OnceLock<ChangeFilter> = OnceLock::new();

type ChangeFilter = Box<dyn Fn(Targets) -> anyhow::Result<()> + Send + Sync>;

/// How a line looks (`log.format`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// One JSON object a line.
    Json,
    /// Compact text for a terminal.
    Text,
}

/// To be held until the process ends: dropping it waits, for a second at most, until the last lines are written.
#[derive(Debug)]
#[must_use = "the last lines are lost with it"]
pub struct LogGuard(LogWriter);

/// Starts logging for the whole process, and recording traces if there is a recorder. `RUST_LOG` overrides `level`, both levels
/// or directives that [`Targets`] parses.
///
/// # Errors
/// If a filter is malformed, or if logging has been started before.
pub fn start(format: Format, level: &str, recorder: Option<SpanRecorder>) -> anyhow::Result<LogGuard> {
    let filter: Targets = overriding_filter().as_deref().unwrap_or(level).parse()?;
    // Standard output is for the output of commands.
    let writer = LogWriter::start(stderr(), LOST_LINES.clone())?;
    let lines =
        tracing_subscriber::fmt::layer().with_writer(writer.clone()).with_ansi(stderr().is_terminal());
    let lines: Box<dyn Layer<Registry> + Send + Sync> = match format {
        Format::Json => {
            lines.json().flatten_event(true).with_current_span(false).with_span_list(false).boxed()
        }
        Format::Text => lines.compact().with_target(false).boxed(),
    };
    let change: ChangeFilter = match recorder {
        None => {
            let (filter, change) = reload::Layer::new(filter);
            registry().with(lines).with(filter).try_init()?;
            Box::new(move |filter| Ok(change.reload(filter)?))
        }
        // The filter is that of the lines alone: spans are recorded at any level of the log.
        Some(recorder) => {
            let (filter, change) = reload::Layer::new(filter);
            registry().with(lines.with_filter(filter)).with(recorder.layer()).try_init()?;
            Box::new(move |filter| Ok(change.reload(filter)?))
        }
    };
    let _before = CHANGE_FILTER.set(change);
    Ok(LogGuard(writer))
}

/// Changes what is logged, if logging has been started. Does nothing where `RUST_LOG` overrides the level.
///
/// # Errors
/// If the filter is malformed.
pub fn set_level(level: &str) -> anyhow::Result<()> {
    match (CHANGE_FILTER.get(), overriding_filter()) {
        (Some(change), None) => change(level.parse()?),
        (_, _) => Ok(()),
    }
}

fn overriding_filter() -> Option<String> {
    std::env::var("RUST_LOG").ok().filter(|filter| !filter.is_empty())
}

/// The counter of dropped lines.
pub(super) fn lost_lines() -> IntCounter {
    LOST_LINES.clone()
}

// === impl LogGuard ===

impl LogGuard {
    /// The writer, for other output that must not block.
    pub const fn writer(&self) -> &LogWriter {
        &self.0
    }
}

impl Drop for LogGuard {
    fn drop(&mut self) {
        self.0.flush(AT_THE_END);
    }
}
