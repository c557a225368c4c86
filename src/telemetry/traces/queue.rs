//! Where spans end: in a bounded queue, to be sent.

use std::{sync::LazyLock, time::Duration};

use opentelemetry::{Context, trace::TracerProvider as _};
use opentelemetry_sdk::{
    Resource,
    error::OTelSdkResult,
    trace::{SdkTracer, SdkTracerProvider, Span, SpanData, SpanProcessor},
};
use prometheus::IntCounter;
use tokio::sync::mpsc;
use tracing::{Subscriber, level_filters::LevelFilter};
use tracing_subscriber::{Layer, filter::filter_fn, registry::LookupSpan};

use super::{conventions::conventional, sampler::CallerOrRatio};
use crate::telemetry::series::opts;

/// Some seconds of a busy proxy, in about 2 MB. A receiver that is slower for longer does not get all.
const QUEUED: usize = 2_048;

/// Static, as the log's: a process has one subscriber, which makes all its spans.
static LOST: LazyLock<IntCounter> = LazyLock::new(|| {
    let help =
        "Spans that were not delivered to telemetry.otlp_endpoint: it failed, or took them too slowly.";
    IntCounter::with_opts(opts("trace_spans_lost_total", help)).expect("a well-formed series")
});

static EXPORTED: LazyLock<IntCounter> = LazyLock::new(|| {
    let help = "Spans that telemetry.otlp_endpoint has accepted.";
    IntCounter::with_opts(opts("trace_spans_exported_total", help)).expect("a well-formed series")
});

/// Makes spans of the traces that are exported out of tracing's.
#[derive(Debug)]
pub struct SpanRecorder {
    tracer: SdkTracer,
}

/// Spans that have ended, and what they say about this process.
#[derive(Debug)]
pub struct EndedSpans {
    pub(super) queued: mpsc::Receiver<SpanData>,
    pub(super) resource: Resource,
}

/// Puts the spans that end into the queue.
#[derive(Debug)]
struct SpanQueue(mpsc::Sender<SpanData>);

/// Records the traces that callers ask for, and `ratio` (from 0 to 1) of the others.
pub fn record(ratio: f64) -> (SpanRecorder, EndedSpans) {
    let (queue, queued) = mpsc::channel(QUEUED);
    let provider = SdkTracerProvider::builder()
        .with_span_processor(SpanQueue(queue))
        .with_sampler(CallerOrRatio::new(ratio))
        .build();
    // With what OTEL_RESOURCE_ATTRIBUTES says, such as the Pod's name.
    let resource = Resource::builder()
        .with_service_name(env!("CARGO_PKG_NAME"))
        .with_attribute(opentelemetry::KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
        .build();
    (SpanRecorder { tracer: provider.tracer(env!("CARGO_PKG_NAME")) }, EndedSpans { queued, resource })
}

/// The counter of spans that were not delivered.
pub(in crate::telemetry) fn lost_spans() -> IntCounter {
    LOST.clone()
}

/// The counter of spans that were.
pub(in crate::telemetry) fn exported_spans() -> IntCounter {
    EXPORTED.clone()
}

// === impl SpanRecorder ===

impl SpanRecorder {
    /// The layer that sees our spans, whatever the log's level is. No log lines: they go to the log.
    pub(in crate::telemetry) fn layer<S>(self) -> impl Layer<S>
    where
        S: Subscriber + for<'a> LookupSpan<'a>,
    {
        let is_ours = filter_fn(|metadata| {
            metadata.is_span()
                && *metadata.level() <= LevelFilter::DEBUG
                && metadata.target().starts_with("link_report_proxy")
        });
        tracing_opentelemetry::layer()
            .with_tracer(self.tracer)
            .with_location(false)
            .with_threads(false)
            .with_target(false)
            .with_level(false)
            .with_tracked_inactivity(false)
            .with_context_activation(false)
            .with_filter(is_ours.with_max_level_hint(LevelFilter::DEBUG))
    }
}

// === impl SpanQueue ===

impl SpanProcessor for SpanQueue {
    fn on_start(&self, _span: &mut Span, _parent: &Context) {}

    fn on_end(&self, span: SpanData) {
        if span.span_context.is_sampled() && self.0.try_send(conventional(span)).is_err() {
            LOST.inc();
        }
    }

    /// By [`TraceFlush`](super::TraceFlush), which does not block.
    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _timeout: Duration) -> OTelSdkResult {
        Ok(())
    }
}
