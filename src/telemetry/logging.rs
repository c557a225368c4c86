//! Log lines: JSON for machines, text for people, always on standard error.

use std::io::IsTerminal as _;

use tracing_subscriber::{EnvFilter, Layer, layer::SubscriberExt, util::SubscriberInitExt};

/// How a line looks (`log.format`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// One JSON object a line.
    Json,
    /// For reading at a terminal.
    Text,
}

/// Starts logging for the whole process. `RUST_LOG` overrides `level`, both in tracing's filter language.
///
/// # Errors
/// If a filter is malformed, or if logging has been started before.
pub fn start(format: Format, level: &str) -> anyhow::Result<()> {
    let filter = match std::env::var(EnvFilter::DEFAULT_ENV) {
        Ok(filter) if !filter.is_empty() => EnvFilter::try_new(filter)?,
        Ok(_) | Err(_) => EnvFilter::try_new(level)?,
    };
    // Standard output is for what a command was asked to print.
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    let lines = match format {
        Format::Json => {
            lines.json().flatten_event(true).with_current_span(false).with_span_list(false).boxed()
        }
        Format::Text => lines.compact().with_target(false).boxed(),
    };
    tracing_subscriber::registry().with(lines).with(filter).try_init()?;
    Ok(())
}
