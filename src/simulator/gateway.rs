//! The API gateway: checks path, token and quota, in this order, before it answers with the report.

use http::header::{ACCEPT_ENCODING, AUTHORIZATION, CACHE_CONTROL, DATE, SET_COOKIE, VIA, WWW_AUTHENTICATE};
use http::request::Parts;
use http::{HeaderName, HeaderValue, Method, StatusCode};
use uuid::Uuid;

use super::activities;
use super::bodies::{BAD_REQUEST, BodyShape, NOT_FOUND, VendorError};
use super::campaigns::{self, parse_id};
use super::clicks::ClickCounts;
use super::clock::{Clock, Moment};
use super::faults::{Destination, gzipped};
use super::handle::State;
use super::oauth;
use super::options::{Compression, Options};
use super::reply::VendorReply;
use super::reports::{self, LinkListing};
use super::statistics;

/// Where refresh tokens and device codes are exchanged.
pub const TOKEN_PATH: &str = "/oauth2/default/v1/token";

/// Where a device asks for its codes.
pub const DEVICE_AUTHORIZE_PATH: &str = "/oauth2/default/v1/device/authorize";

/// A request whose body has been read.
pub(super) struct ReportCall {
    pub(super) head: Parts,
    pub(super) body: bytes::Bytes,
}

/// The endpoint that a call is for.
pub(super) enum CallTarget<'a> {
    Report { id: &'a str },
    Statistics { ids: &'a str },
    Activity { id: &'a str },
    Token,
    DeviceAuthorize,
    ApprovalPage,
    Approve,
    Unknown,
}

// === impl ReportCall ===

impl ReportCall {
    pub(super) fn target(&self) -> CallTarget<'_> {
        let path = self.head.uri.path();
        if self.head.method == Method::GET
            && let Some(rest) = path.strip_prefix("/v3/reports/email_reports/")
            && let Some(id) = rest.strip_suffix("/links")
        {
            return CallTarget::Report { id };
        }
        if self.head.method == Method::GET
            && let Some(ids) = path.strip_prefix("/v3/reports/stats/email_campaign_activities/")
        {
            return CallTarget::Statistics { ids };
        }
        if self.head.method == Method::GET
            && let Some(id) = path.strip_prefix("/v3/emails/activities/")
        {
            return CallTarget::Activity { id };
        }
        match (&self.head.method, path) {
            (&Method::POST, TOKEN_PATH) => CallTarget::Token,
            (&Method::POST, DEVICE_AUTHORIZE_PATH) => CallTarget::DeviceAuthorize,
            (&Method::GET, "/activate") => CallTarget::ApprovalPage,
            (&Method::POST, "/activate") => CallTarget::Approve,
            _ => CallTarget::Unknown,
        }
    }

    fn query(&self) -> &str {
        self.head.uri.query().unwrap_or_default()
    }
}

/// Answers a call, faults included.
pub(super) fn answer(state: &mut State, options: &Options, clock: &Clock, call: &ReportCall) -> VendorReply {
    let now = clock.now();
    let (headers, body) = (&call.head.headers, &call.body);
    let (reply, road) = match call.target() {
        CallTarget::Report { id } => {
            let activity = parse_id(id);
            let answer = |state: &mut _| report(state, options, clock.start(), now, call, activity);
            (metered(state, now, call, answer), Some(Destination::Report(activity)))
        }
        CallTarget::Statistics { ids } => {
            let answer = |state: &mut _| statistics::answer(state, options, clock.start(), now, ids);
            (metered(state, now, call, answer), Some(Destination::Statistics))
        }
        CallTarget::Activity { id } => {
            let answer = |state: &mut _| activities::answer(state, clock.start(), now, parse_id(id));
            (metered(state, now, call, answer), Some(Destination::Activity))
        }
        CallTarget::Token => (oauth::token(state, options, now, headers, body), Some(Destination::Token)),
        CallTarget::DeviceAuthorize => (oauth::device_authorize(state, options, now, headers, body), None),
        CallTarget::ApprovalPage => (oauth::approval_page(state, now, call.query()), None),
        CallTarget::Approve => (oauth::approve(state, now, body), None),
        CallTarget::Unknown => (unknown_path(), None),
    };
    let reply = stamp(reply, state, now);
    let Some(road) = road else { return reply };
    let asked = match road {
        Destination::Report(activity) => activity.unwrap_or_default(),
        Destination::Statistics | Destination::Activity | Destination::Token => Uuid::nil(),
    };
    state.faults.meeting(road).into_iter().fold(reply, |reply, fault| fault.spoil(reply, asked))
}

/// Answers a call that has a valid token and is within the limits.
fn metered(
    state: &mut State,
    now: Moment,
    call: &ReportCall,
    answer: impl FnOnce(&mut State) -> VendorReply,
) -> VendorReply {
    let bearer = call.head.headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let bearer = bearer.and_then(|value| value.strip_prefix("Bearer "));
    // The quota belongs to an API key: a call without a valid token is not counted.
    if !bearer.is_some_and(|token| state.authority.accepts(token, now)) {
        return failure(StatusCode::UNAUTHORIZED, BodyShape::Object)
            .with(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=api.cc.email"));
    }
    if let Err(limit) = state.quota.take(now) {
        return VendorReply::json(StatusCode::TOO_MANY_REQUESTS, BodyShape::Object.render(limit.error()));
    }
    answer(state)
}

fn report(
    state: &State,
    options: &Options,
    started: Moment,
    now: Moment,
    call: &ReportCall,
    activity: Option<Uuid>,
) -> VendorReply {
    let Some(id) = activity else {
        return VendorReply::json(StatusCode::BAD_REQUEST, BodyShape::Array.render(BAD_REQUEST));
    };
    let mut listing = Some(LinkListing::Clicked);
    for (name, value) in form_urlencoded::parse(call.query().as_bytes()) {
        if name == "no_clicks" {
            listing = LinkListing::parse(&value);
        }
    }
    let Some(listing) = listing else {
        return VendorReply::json(StatusCode::BAD_REQUEST, BodyShape::Object.render(BAD_REQUEST));
    };
    let counts = match (state.scripted.get(&id), campaigns::find(id)) {
        (Some(campaign), _) => campaign.counts(listing, now.since_epoch),
        (None, Some(plan)) => ClickCounts::of(&plan, options.seed, started, now),
        (None, None) => return VendorReply::json(StatusCode::NOT_FOUND, shape_for(id).render(NOT_FOUND)),
    };
    let clicks = counts.map(|counts| counts.links).unwrap_or_default();
    let reply = VendorReply::json(StatusCode::OK, reports::render(id, &clicks, listing, options.seed));
    match options.compression {
        Compression::WhenAccepted if accepts_gzip(call) => gzipped(reply),
        Compression::WhenAccepted | Compression::Never => reply,
    }
}

/// The shape of the vendor's 404 is undocumented, so each id gets one of the shapes.
fn shape_for(id: Uuid) -> BodyShape {
    let (high, low) = id.as_u64_pair();
    match reports::mix(high ^ low) % 3 {
        0 => BodyShape::Array,
        1 => BodyShape::Object,
        _ => BodyShape::Gateway,
    }
}

fn accepts_gzip(call: &ReportCall) -> bool {
    let accepted = call.head.headers.get_all(ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    accepted.flat_map(|value| value.split(',')).any(|coding| coding.trim() == "gzip")
}

fn unknown_path() -> VendorReply {
    let error = VendorError { key: "", message: "Forbidden" };
    VendorReply::json(StatusCode::FORBIDDEN, BodyShape::Gateway.render(error))
}

fn failure(status: StatusCode, shape: BodyShape) -> VendorReply {
    VendorReply::json(status, shape.render(VendorError::of_status(status)))
}

/// What CloudFront and API Gateway put on every answer; none of it must reach the callers of a proxy.
fn stamp(reply: VendorReply, state: &mut State, now: Moment) -> VendorReply {
    let request_id = uuid::Builder::from_random_bytes(state.random.u128(..).to_be_bytes()).into_uuid();
    let cookie = format!("cc_visit={:016x}; Path=/; Secure; HttpOnly", state.random.u64(..));
    let mut reply = reply
        .with(CACHE_CONTROL, HeaderValue::from_static("no-store"))
        .with(VIA, HeaderValue::from_static("1.1 4f1b0a.cloudfront.net (CloudFront)"))
        .with(HeaderName::from_static("x-cache"), HeaderValue::from_static("Miss from cloudfront"));
    let own = [
        (DATE, now.http_date()),
        (SET_COOKIE, cookie),
        (HeaderName::from_static("x-amzn-requestid"), request_id.to_string()),
    ];
    for (name, value) in own {
        if let Ok(value) = HeaderValue::try_from(value) {
            reply.headers.insert(name, value);
        }
    }
    reply
}
