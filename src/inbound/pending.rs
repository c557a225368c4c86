//! A request on its way from the fast path to the slow path, with what the fast path has already parsed and looked up.

use http::{
    Method, Request,
    header::{ACCESS_CONTROL_REQUEST_METHOD, ORIGIN},
};
use tokio::time::Instant;
use tracing::Span;

use super::{Rejection, RequestId, negotiate::Negotiated, table::Shown};
use crate::{
    cache::{Miss, Served},
    report::{ActivityId, ClientNumber, KeyError, ReportKey},
    server::BearerAuth,
};

/// Does a request have a body? The body itself is never read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BodyPresence {
    /// No body.
    Absent,
    /// A body, of a known or unknown length.
    Present,
}

/// What both paths know about a request: parsed from its head, once.
#[derive(Debug, Clone, Copy)]
pub(super) struct Parsed {
    pub(super) key: Result<ReportKey, KeyError>,
    pub(super) negotiated: Negotiated,
    /// Who asks; `None`: it has shown no accepted token, and one is required.
    pub(super) client: Option<ClientNumber>,
    pub(super) start: Instant,
}

/// A request on the slow path. Boxed: each of the layers it passes would otherwise hold a copy of its size.
pub(crate) type PendingRequest = Request<Box<Pending>>;

/// What is known about a request that the fast path does not answer. Replaces the body, which is never read.
#[derive(Debug)]
pub struct Pending {
    pub(super) id: RequestId,
    pub(super) parsed: Parsed,
    pub(super) shown: Shown,
    pub(super) body: BodyPresence,
    pub(super) step: NextStep,
    /// The request's span, if the fast path has begun it.
    pub(super) span: Option<Span>,
}

/// What the slow path has to do for a request.
#[derive(Debug)]
pub(super) enum NextStep {
    /// Respond with an error.
    Reject(Rejection),
    /// Respond with what the cache served: its gzip variant is not encoded yet, or the response depends on `Origin`.
    Respond(ReportKey, Served),
    /// Fetch the report.
    Fetch(Miss),
    /// Tell whether the activity was sent.
    TellStatus(ActivityId, ClientNumber),
}

// === impl BodyPresence ===

impl BodyPresence {
    pub(super) fn of<B: hyper::body::Body>(body: &B) -> Self {
        if body.is_end_stream() { Self::Absent } else { Self::Present }
    }
}

// === impl Parsed ===

impl Parsed {
    pub(super) fn of<B>(request: &Request<B>, clients: &BearerAuth, start: Instant) -> Self {
        Self {
            key: ReportKey::parse(request.uri().path(), request.uri().query()),
            negotiated: Negotiated::of(request.headers()),
            client: clients.admit(request.headers()),
            start,
        }
    }
}

// === impl Pending ===

impl Pending {
    /// Replaces the body by what is known about the request; makes up a request id if the client sent no valid one.
    pub(super) fn attach(
        request: Request<BodyPresence>,
        parsed: Parsed,
        shown: Shown,
        step: NextStep,
    ) -> PendingRequest {
        let id = parsed.negotiated.id(request.headers()).unwrap_or_else(RequestId::new);
        request.map(|body| Box::new(Self { id, parsed, shown, body, step, span: None }))
    }

    /// A browser's question whether a page may send a request (the Fetch standard's CORS-preflight request), to this host and
    /// for a path that there is: nothing but its method stands against it.
    pub(crate) fn is_preflight(request: &PendingRequest) -> bool {
        let headers = request.headers();
        request.method() == Method::OPTIONS
            && headers.contains_key(ORIGIN)
            && headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD)
            && matches!(request.body().step, NextStep::Reject(Rejection::Method { .. }))
    }
}
