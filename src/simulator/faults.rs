//! Faults on demand. The call is authenticated and counted as always; a fault changes the answer.

use std::io::Write as _;
use std::str::FromStr;
use std::time::Duration;

use bytes::Bytes;
use flate2::write::GzEncoder;
use http::header::{CONTENT_ENCODING, LOCATION, RETRY_AFTER};
use http::{HeaderValue, StatusCode};
use uuid::Uuid;

use super::bodies::{BodyShape, VendorError};
use super::quota::Limit;
use super::reply::{Delivery, VendorReply};

/// Over the 8 MiB that any sane client of link reports allows.
const HUGE_BODY_BYTES: usize = 8 * 1024 * 1024 + 1;

/// The decoded size of the gzip bomb; compressed it is a few kilobytes.
const BOMB_BYTES: usize = 16 * 1024 * 1024;

/// How an answer differs from the right one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The answer is delayed by this much.
    Latency(Duration),
    /// The answer never comes.
    Hang,
    /// Another status, with the vendor's error body for it.
    Status {
        /// The status.
        status: StatusCode,
        /// The form of its body.
        shape: BodyShape,
    },
    /// A 429 that the quota did not cause.
    Throttle {
        /// Which limit it names.
        limit: Limit,
        /// A `Retry-After`, which the vendor does not document and SDKs obey for as long as it says.
        retry_after: Option<Duration>,
    },
    /// The connection is reset before the first byte (on a pipe that can't be reset: closed).
    Reset,
    /// Half of what `Content-Length` promises, then the end of the connection.
    Truncate,
    /// A maintenance page with 200.
    Html,
    /// The report inside an array.
    NotAnObject,
    /// The report of another activity.
    WrongActivity,
    /// `link_click_counts` is an object.
    NoArray,
    /// One byte, a pause of this length, one byte.
    Drip(Duration),
    /// A valid report over 8 MiB.
    Huge,
    /// The answer as gzip, whether or not it was accepted.
    Gzip,
    /// A valid report of 16 MiB in a few kilobytes of gzip.
    GzipBomb,
    /// A redirect to another path of this server, so that following it is seen.
    Redirect,
    /// 200 with exactly these bytes, as JSON.
    Body(Bytes),
}

/// Which requests a fault applies to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Every report call.
    All,
    /// The report calls for one activity.
    Activity(Uuid),
    /// This many report calls from now on.
    Next(u32),
    /// Every call of the statistics endpoint. [`Scope::All`] and [`Scope::Next`] leave these out.
    StatisticsCalls,
    /// Every call for an activity itself. [`Scope::All`] and [`Scope::Next`] leave these out too.
    ActivityCalls,
    /// Every call of the token endpoint.
    TokenCalls,
}

/// The query names no known fault.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown kind of fault")]
pub struct UnknownFault;

/// The kind of a request, as far as faults go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Destination {
    /// For this activity, if its id could be read.
    Report(Option<Uuid>),
    Statistics,
    Activity,
    Token,
}

/// The faults that were injected and not cleared.
#[derive(Debug, Default)]
pub(super) struct Faults {
    injected: Vec<(Fault, Scope)>,
}

/// The names in the control path's query, each with its fault.
pub(super) const KINDS: [(&str, &str); 18] = [
    ("latency-200", "the answer comes 200 ms later"),
    ("hang", "it never comes"),
    ("status-503", "another status, body as a bare object"),
    ("status-503-array", "the same with another body: array, object, gateway, okta, empty"),
    ("throttled", "429 of the second"),
    ("quota-exceeded", "429 of the day"),
    ("retry-after-86400", "429 with Retry-After, in seconds"),
    ("reset", "connection reset"),
    ("truncate", "half of what Content-Length says"),
    ("html", "a maintenance page with 200"),
    ("not-an-object", "the report inside an array"),
    ("wrong-id", "the report of another activity"),
    ("no-array", "link_click_counts is an object"),
    ("drip-50", "a byte each 50 ms"),
    ("huge", "a report over 8 MiB"),
    ("gzip", "gzip, accepted or not"),
    ("gzip-bomb", "16 MiB in a few kB of gzip"),
    ("redirect", "302 to another path here"),
];

// === impl Faults ===

impl Faults {
    pub(super) fn inject(&mut self, fault: Fault, scope: Scope) {
        self.injected.push((fault, scope));
    }

    pub(super) fn clear(&mut self) {
        self.injected.clear();
    }

    pub(super) fn injected(&self) -> &[(Fault, Scope)] {
        &self.injected
    }

    /// All faults that apply to this request, oldest first; counts the [`Scope::Next`] ones down.
    pub(super) fn meeting(&mut self, road: Destination) -> Vec<Fault> {
        let mut faults = Vec::new();
        for (fault, scope) in &mut self.injected {
            let meets = match (&mut *scope, road) {
                (Scope::All, Destination::Report(_))
                | (Scope::StatisticsCalls, Destination::Statistics)
                | (Scope::ActivityCalls, Destination::Activity)
                | (Scope::TokenCalls, Destination::Token) => true,
                (Scope::Activity(id), Destination::Report(asked)) => Some(*id) == asked,
                (Scope::Next(left), Destination::Report(_)) => {
                    *left -= u32::from(*left > 0);
                    true
                }
                (
                    Scope::All | Scope::Activity(_) | Scope::Next(_),
                    Destination::Statistics | Destination::Activity | Destination::Token,
                )
                | (
                    Scope::StatisticsCalls,
                    Destination::Report(_) | Destination::Activity | Destination::Token,
                )
                | (
                    Scope::ActivityCalls,
                    Destination::Report(_) | Destination::Statistics | Destination::Token,
                )
                | (
                    Scope::TokenCalls,
                    Destination::Report(_) | Destination::Statistics | Destination::Activity,
                ) => false,
            };
            if meets {
                faults.push(fault.clone());
            }
        }
        self.injected.retain(|(_, scope)| *scope != Scope::Next(0));
        faults
    }
}

// === impl Fault ===

impl Fault {
    /// Applies the fault to an answer about the activity `asked`.
    pub(super) fn spoil(self, reply: VendorReply, asked: Uuid) -> VendorReply {
        match self {
            Self::Latency(delay) => VendorReply { delay: reply.delay + delay, ..reply },
            Self::Hang => VendorReply { delivery: Delivery::Never, ..reply },
            Self::Status { status, shape } => {
                replaced(reply, status, shape.render(VendorError::of_status(status)))
            }
            Self::Throttle { limit, retry_after } => {
                let body = BodyShape::Object.render(limit.error());
                let mut reply = replaced(reply, StatusCode::TOO_MANY_REQUESTS, body);
                if let Some(wait) = retry_after {
                    reply.headers.insert(RETRY_AFTER, wait.as_secs().into());
                }
                reply
            }
            Self::Reset => VendorReply { delivery: Delivery::Reset, ..reply },
            Self::Truncate => VendorReply { delivery: Delivery::Cut, ..reply },
            Self::Html => VendorReply {
                delay: reply.delay,
                delivery: reply.delivery,
                ..VendorReply::html(StatusCode::OK, MAINTENANCE)
            },
            Self::NotAnObject => {
                let body = [b"[", &reply.body[..], b"]"].concat();
                replaced(reply, StatusCode::OK, body)
            }
            Self::WrongActivity => {
                replaced(reply, StatusCode::OK, report(Uuid::from_u128(!asked.as_u128()), "[]"))
            }
            Self::NoArray => replaced(reply, StatusCode::OK, report(asked, "{}")),
            Self::Drip(pause) => VendorReply { delivery: Delivery::Drip(pause), ..reply },
            Self::Huge => replaced(reply, StatusCode::OK, padded_report(asked, HUGE_BODY_BYTES)),
            Self::Gzip => gzipped(reply),
            Self::GzipBomb => gzipped(replaced(reply, StatusCode::OK, padded_report(asked, BOMB_BYTES))),
            Self::Redirect => {
                let elsewhere = HeaderValue::from_static("/v3/redirected");
                replaced(reply, StatusCode::FOUND, Bytes::new()).with(LOCATION, elsewhere)
            }
            Self::Body(body) => replaced(reply, StatusCode::OK, body),
        }
    }
}

impl FromStr for Fault {
    type Err = UnknownFault;

    fn from_str(kind: &str) -> Result<Self, UnknownFault> {
        let number = |text: &str| text.parse::<u64>().map_err(|_| UnknownFault);
        let throttle = |limit, retry_after| Ok(Self::Throttle { limit, retry_after });
        match kind {
            "hang" => Ok(Self::Hang),
            "throttled" => throttle(Limit::PerSecond, None),
            "quota-exceeded" => throttle(Limit::PerDay, None),
            "reset" => Ok(Self::Reset),
            "truncate" => Ok(Self::Truncate),
            "html" => Ok(Self::Html),
            "not-an-object" => Ok(Self::NotAnObject),
            "wrong-id" => Ok(Self::WrongActivity),
            "no-array" => Ok(Self::NoArray),
            "huge" => Ok(Self::Huge),
            "gzip" => Ok(Self::Gzip),
            "gzip-bomb" => Ok(Self::GzipBomb),
            "redirect" => Ok(Self::Redirect),
            _ => {
                if let Some(ms) = kind.strip_prefix("latency-") {
                    Ok(Self::Latency(Duration::from_millis(number(ms)?)))
                } else if let Some(ms) = kind.strip_prefix("drip-") {
                    Ok(Self::Drip(Duration::from_millis(number(ms)?)))
                } else if let Some(seconds) = kind.strip_prefix("retry-after-") {
                    throttle(Limit::PerSecond, Some(Duration::from_secs(number(seconds)?)))
                } else if let Some(status) = kind.strip_prefix("status-") {
                    let (status, shape) = status.split_once('-').unwrap_or((status, "object"));
                    let shape = BodyShape::ALL.into_iter().find(|known| known.as_str() == shape);
                    // 1xx is not a final response: hyper refuses to send one as such.
                    let status = status.parse().ok().filter(|status: &StatusCode| status.as_u16() >= 200);
                    Ok(Self::Status {
                        status: status.ok_or(UnknownFault)?,
                        shape: shape.ok_or(UnknownFault)?,
                    })
                } else {
                    Err(UnknownFault)
                }
            }
        }
    }
}

const MAINTENANCE: &str = "<!DOCTYPE html><html><head><title>Scheduled maintenance</title></head>\
    <body><h1>We'll be back soon</h1></body></html>";

/// Replaces status and body; delay, delivery and headers stay.
fn replaced(reply: VendorReply, status: StatusCode, body: impl Into<Bytes>) -> VendorReply {
    VendorReply { status, body: body.into(), ..reply }
}

pub(super) fn gzipped(reply: VendorReply) -> VendorReply {
    let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::fast());
    match encoder.write_all(&reply.body).and_then(|()| encoder.finish()) {
        Ok(body) => VendorReply { body: body.into(), ..reply }
            .with(CONTENT_ENCODING, HeaderValue::from_static("gzip")),
        // Writing to a Vec cannot fail.
        Err(_) => reply,
    }
}

fn report(id: Uuid, counts: &str) -> String {
    format!(r#"{{"campaign_activity_id":"{id}","link_click_counts":{counts}}}"#)
}

fn padded_report(id: Uuid, bytes: usize) -> String {
    let mut body = report(id, "[]");
    let padding = bytes.saturating_sub(body.len());
    body.insert_str(1, &" ".repeat(padding));
    body
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_documented_kind_is_understood_and_no_other() {
        for (kind, _) in KINDS {
            assert!(kind.parse::<Fault>().is_ok(), "{kind}");
        }
        for kind in ["", "status-99", "status-101", "status-503-round", "latency-", "drip-fast", "gzips"] {
            assert_eq!(kind.parse::<Fault>(), Err(UnknownFault), "{kind}");
        }
    }

    #[test]
    fn a_scope_meets_its_requests_only() {
        let id = Uuid::from_u128(7);
        let mut faults = Faults::default();
        faults.inject(Fault::Hang, Scope::Activity(id));
        faults.inject(Fault::Reset, Scope::Next(2));
        faults.inject(Fault::Html, Scope::TokenCalls);
        faults.inject(Fault::Gzip, Scope::StatisticsCalls);
        assert_eq!(faults.meeting(Destination::Token), [Fault::Html]);
        assert_eq!(faults.meeting(Destination::Statistics), [Fault::Gzip]);
        assert_eq!(faults.meeting(Destination::Report(Some(id))), [Fault::Hang, Fault::Reset]);
        assert_eq!(faults.meeting(Destination::Report(None)), [Fault::Reset]);
        assert_eq!(faults.meeting(Destination::Report(None)), []);
    }
}
