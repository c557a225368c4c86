//! Traces, exported by OTLP over HTTP where `telemetry.otlp_endpoint` is set. The spans are tracing's, which the other
//! modules make; here are their places in a trace, their names for the receiver, and their way there.
//!
//! A span ends in a bounded queue. One task sends what is queued, so that no request ever waits for the receiver: what it
//! does not take in time is lost, and counted. Without the setting none of this exists, and a [`TraceContext`] is `None`
//! everywhere.

mod context;
mod conventions;
mod export;
mod queue;
mod sampler;

pub(crate) use context::{TRACEPARENT, TraceContext};
pub(crate) use conventions::{answered, asked, called, calling};
pub use export::{TraceExporter, TraceFlush};
pub use queue::{EndedSpans, SpanRecorder, record};
pub(super) use queue::{exported_spans, lost_spans};
