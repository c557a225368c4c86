//! The place of a span in a trace, as W3C Trace Context writes it: parsed from a caller's `traceparent`, and written into
//! that of an upstream call.
//!
//! The parser of opentelemetry_sdk is not used: it takes ids that are too short, signs and a repeated header.

use http::{HeaderMap, HeaderName, HeaderValue};
use opentelemetry::{
    Context,
    trace::{SpanContext, SpanId, TraceContextExt as _, TraceFlags, TraceId, TraceState},
};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

pub(crate) const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// `00-`, 32 digits, `-`, 16 digits, `-`, 2 digits.
const LENGTH: usize = 55;

/// A span's trace id, span id and flag "sampled".
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TraceContext {
    span: SpanContext,
    begun: TraceBegun,
}

/// Who began the trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum TraceBegun {
    /// A caller, or who called it.
    ByCaller,
    /// This proxy.
    Here,
}

/// Handed down with the context of each span, so that a span knows who began its trace.
struct CallersTrace;

// === impl TraceContext ===

impl TraceContext {
    /// What the caller's `traceparent` says. `None` without one, or if it is invalid: the request is then treated as if it
    /// had none. `tracestate` is never read: it holds other vendors' values, which are not for the upstream.
    pub(crate) fn received(headers: &HeaderMap) -> Option<Self> {
        let mut values = headers.get_all(TRACEPARENT).iter();
        let (value, None) = (values.next()?, values.next()) else { return None };
        parse(value.as_bytes()).map(|span| Self { span, begun: TraceBegun::ByCaller })
    }

    /// That of a span; `None` if no traces are exported. It fixes the span's parent.
    pub(crate) fn of(span: &Span) -> Option<Self> {
        let context = span.context();
        let begun = match context.get::<CallersTrace>() {
            Some(CallersTrace) => TraceBegun::ByCaller,
            None => TraceBegun::Here,
        };
        let span = context.span().span_context().clone();
        span.is_valid().then_some(Self { span, begun })
    }

    /// Are the spans of this trace exported?
    pub(crate) fn is_sampled(&self) -> bool {
        self.span.is_sampled()
    }

    /// Makes `span`, which has just begun, a child of this one.
    pub(crate) fn adopt(self, span: &Span) {
        let context = match self.begun {
            TraceBegun::ByCaller => Context::new().with_value(CallersTrace),
            TraceBegun::Here => Context::new(),
        };
        // Fails only where no traces are exported.
        let _set = span.set_parent(context.with_remote_span_context(self.span));
    }

    /// Links `span` to this one.
    pub(crate) fn link_from(&self, span: &Span) {
        span.add_link(self.span.clone());
    }

    /// The `traceparent` of a call that is made in this span. `None` for a trace of our own that is not sampled: nobody
    /// will see it.
    pub(crate) fn header(&self) -> Option<HeaderValue> {
        let Self { span, begun } = self;
        let flags = match (span.is_sampled(), begun) {
            (true, TraceBegun::ByCaller | TraceBegun::Here) => "01",
            (false, TraceBegun::ByCaller) => "00",
            (false, TraceBegun::Here) => return None,
        };
        HeaderValue::try_from(format!("00-{}-{}-{flags}", span.trace_id(), span.span_id())).ok()
    }
}

/// Strictly by W3C Trace Context, §3.2: a later version may have more fields, version 00 may not.
fn parse(text: &[u8]) -> Option<SpanContext> {
    let (known, more) = text.split_at_checked(LENGTH)?;
    let [version @ .., b'-'] = &known[..3] else { return None };
    let (trace_id, span_id, flags) = (&known[3..35], &known[36..52], &known[53..]);
    if known[35] != b'-' || known[52] != b'-' || !(more.is_empty() || more[0] == b'-') {
        return None;
    }
    match hexadecimal(version)? {
        0xff => return None,
        0 if !more.is_empty() => return None,
        _ => {}
    }
    let trace_id = TraceId::from(hexadecimal(trace_id)?);
    let span_id = SpanId::from(u64::try_from(hexadecimal(span_id)?).ok()?);
    // The other flags are not ours to pass on.
    let flags = TraceFlags::new(u8::try_from(hexadecimal(flags)?).ok()?) & TraceFlags::SAMPLED;
    let span = SpanContext::new(trace_id, span_id, flags, true, TraceState::NONE);
    // An id of zeros is none.
    span.is_valid().then_some(span)
}

/// Digits as the standard writes them: lower case, no sign.
fn hexadecimal(digits: &[u8]) -> Option<u128> {
    digits.iter().try_fold(0, |number: u128, digit| {
        let digit = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        Some(number << 4 | u128::from(digit))
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const VALID: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    fn received(values: &[&str]) -> Option<TraceContext> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(TRACEPARENT, HeaderValue::from_str(value).unwrap());
        }
        TraceContext::received(&headers)
    }

    #[test]
    fn a_traceparent_is_read_as_it_is_written_but_for_unknown_flags() {
        for (text, written) in [
            (VALID, VALID),
            (&VALID.replace("-01", "-00"), &VALID.replace("-01", "-00")),
            (&VALID.replace("-01", "-ff"), VALID),
            (&VALID.replace("-01", "-fe"), &VALID.replace("-01", "-00")),
            // A later version is read as far as it is known.
            (&VALID.replacen("00", "cc", 1), VALID),
            (&format!("{}-what-comes", VALID.replacen("00", "01", 1)), VALID),
        ] {
            assert_eq!(received(&[text]).and_then(|context| context.header()).unwrap(), written, "{text}");
        }
    }

    #[test]
    fn a_traceparent_that_breaks_the_standard_is_ignored() {
        let zero_trace = format!("00-{:032}-b7ad6b7169203331-01", 0);
        let zero_span = format!("00-0af7651916cd43dd8448eb211c80319c-{:016}-01", 0);
        for text in [
            "",
            &VALID[..54],
            &VALID.to_uppercase(),
            &VALID.replacen("00", "ff", 1),
            &VALID.replacen("00", "0", 1),
            &VALID.replacen("00", "+1", 1),
            &VALID.replace("-01", "-0g"),
            &VALID.replace("0af", "+af"),
            &VALID.replace("19c-", "19c_"),
            &format!("{VALID}-"),
            &format!("{VALID}0"),
            &format!("{}0", VALID.replacen("00", "01", 1)),
            &format!(" {VALID}"),
            &zero_trace,
            &zero_span,
        ] {
            assert_eq!(received(&[text]), None, "{text:?}");
        }
        assert_eq!(received(&[]), None);
        assert_eq!(received(&[VALID, VALID]), None, "two of them");
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_ignored(text: Vec<u8>) {
            if let Some(span) = parse(&text) {
                prop_assert!(span.is_valid() && span.is_remote());
            }
        }

        #[test]
        fn what_differs_from_a_valid_one_in_one_byte_is_never_another_trace_with_odd_digits(at in 0..LENGTH, byte: u8) {
            let mut text = VALID.as_bytes().to_vec();
            text[at] = byte;
            if parse(&text).is_some() {
                prop_assert!(byte == b'-' || byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
            }
        }
    }
}
