//! Which traces are exported.

use opentelemetry::{
    Context, KeyValue,
    trace::{Link, SpanKind, TraceContextExt as _, TraceId, TraceState},
};
use opentelemetry_sdk::trace::{Sampler, SamplingDecision, SamplingResult, ShouldSample};

/// A caller's trace by its flag. One of our own if what caused it is exported, and else by the ratio.
#[derive(Debug, Clone)]
pub(super) struct CallerOrRatio {
    own: Sampler,
}

// === impl CallerOrRatio ===

impl CallerOrRatio {
    /// `ratio` of our own traces, from 0 to 1.
    pub(super) fn new(ratio: f64) -> Self {
        Self { own: Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(ratio))) }
    }
}

impl ShouldSample for CallerOrRatio {
    fn should_sample(
        &self,
        parent: Option<&Context>,
        trace_id: TraceId,
        name: &str,
        kind: &SpanKind,
        attributes: &[KeyValue],
        links: &[Link],
    ) -> SamplingResult {
        let is_root = parent.is_none_or(|parent| !parent.has_active_span());
        // Else a caller who asks for a trace would not see the refresh that it started.
        if is_root && links.iter().any(|link| link.span_context.is_sampled()) {
            return SamplingResult {
                decision: SamplingDecision::RecordAndSample,
                attributes: Vec::new(),
                trace_state: TraceState::NONE,
            };
        }
        self.own.should_sample(parent, trace_id, name, kind, attributes, links)
    }
}
