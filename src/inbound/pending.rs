//! A request between the two paths: the slow one goes on from what the fast one has found out.

use http::Request;
use tokio::time::Instant;

use super::{Rejection, RequestId, negotiate::Negotiated};
use crate::{
    cache::{Miss, Served},
    report::{KeyError, ReportKey},
};

/// What is left of a request's body once its head is read: whether there is one. It is never read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BodyPresence {
    /// None, as a GET or HEAD should be.
    Absent,
    /// One of some length, or of a length that is not known yet.
    Present,
}

/// What every path knows of a request: read off its head once.
#[derive(Debug, Clone, Copy)]
pub(super) struct Parsed {
    pub(super) key: Result<ReportKey, KeyError>,
    pub(super) negotiated: Negotiated,
    pub(super) start: Instant,
}

/// A request on the slow path. Boxed: it passes many layers, each of which would hold it by value.
pub(crate) type PendingRequest = Request<Box<Pending>>;

/// What is known of a request that the fast path does not answer. Stands where its body was: that is never read.
#[derive(Debug)]
pub struct Pending {
    pub(super) id: RequestId,
    pub(super) parsed: Parsed,
    pub(super) body: BodyPresence,
    pub(super) step: NextStep,
}

/// What remains to be done for a request.
#[derive(Debug)]
pub(super) enum NextStep {
    /// To say why it gets no report.
    Reject(Rejection),
    /// To respond with what memory has served: its gzip variant is not made yet, or the response depends on `Origin`.
    Respond(ReportKey, Served),
    /// To fetch.
    Fetch(Miss),
}

// === impl BodyPresence ===

impl BodyPresence {
    pub(super) fn of<B: hyper::body::Body>(body: &B) -> Self {
        if body.is_end_stream() { Self::Absent } else { Self::Present }
    }
}

// === impl Parsed ===

impl Parsed {
    pub(super) fn of<B>(request: &Request<B>, start: Instant) -> Self {
        Self {
            key: ReportKey::parse(request.uri().path(), request.uri().query()),
            negotiated: Negotiated::of(request.headers()),
            start,
        }
    }
}

// === impl Pending ===

impl Pending {
    /// Puts what is known of a request in the place of its body.
    pub(super) fn attach(request: Request<BodyPresence>, parsed: Parsed, step: NextStep) -> PendingRequest {
        let id = parsed.negotiated.id(request.headers()).unwrap_or_else(RequestId::new);
        request.map(|body| Box::new(Self { id, parsed, body, step }))
    }
}
