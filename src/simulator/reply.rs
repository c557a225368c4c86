//! An answer and how it is sent: whole, byte by byte, truncated, never, or as a reset.

use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{self, Stream};
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderName};
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::Frame;

/// An answer, before it is sent.
#[derive(Clone, Debug)]
pub(super) struct VendorReply {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    pub(super) delay: Duration,
    pub(super) delivery: Delivery,
}

/// How the bytes are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Delivery {
    Whole,
    /// Half of what `Content-Length` says, then the connection ends.
    Cut,
    /// One byte, a pause, one byte.
    Drip(Duration),
    /// The connection is reset before the first byte.
    Reset,
    /// Nothing is sent while the client waits.
    Never,
}

/// Why a connection ends before its answer does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum HungUp {
    #[error("the connection is reset on demand")]
    Reset,
    #[error("the body is cut off on demand")]
    Cut,
}

/// What hyper sends.
pub(super) type VendorBody = UnsyncBoxBody<Bytes, HungUp>;

// === impl VendorReply ===

impl VendorReply {
    pub(super) fn new(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Self {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        Self { status, headers, body: body.into(), delay: Duration::ZERO, delivery: Delivery::Whole }
    }

    pub(super) fn json(status: StatusCode, body: impl Into<Bytes>) -> Self {
        Self::new(status, "application/json", body)
    }

    pub(super) fn html(status: StatusCode, body: impl Into<Bytes>) -> Self {
        Self::new(status, "text/html; charset=utf-8", body)
    }

    pub(super) fn with(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }

    /// Waits for the reply's delay and starts to send; `held` is dropped with the last byte, or when the client
    /// hangs up.
    pub(super) async fn send<T: Send + 'static>(self, held: T) -> Result<Response<VendorBody>, HungUp> {
        if !self.delay.is_zero() {
            tokio::time::sleep(self.delay).await;
        }
        match self.delivery {
            Delivery::Whole | Delivery::Cut | Delivery::Drip(_) => {}
            Delivery::Reset => return Err(HungUp::Reset),
            Delivery::Never => std::future::pending().await,
        }
        let length = self.body.len();
        let body = StreamBody::new(pieces(self.body, self.delivery, held)).boxed_unsync();
        let mut response = Response::new(body);
        *response.status_mut() = self.status;
        *response.headers_mut() = self.headers;
        response.headers_mut().insert(CONTENT_LENGTH, length.into());
        Ok(response)
    }
}

fn pieces<T: Send + 'static>(
    body: Bytes,
    delivery: Delivery,
    held: T,
) -> impl Stream<Item = Result<Frame<Bytes>, HungUp>> + Send {
    let whole = body.len();
    stream::unfold((body, held), move |(mut rest, held)| async move {
        if rest.is_empty() {
            return None;
        }
        let begun = rest.len() < whole;
        let piece = match delivery {
            Delivery::Cut if begun => {
                // hyper flushes when a body is pending: only then is the first half on the wire.
                tokio::task::yield_now().await;
                return Some((Err(HungUp::Cut), (Bytes::new(), held)));
            }
            Delivery::Cut => rest.len().div_ceil(2),
            Delivery::Drip(pause) => {
                if begun {
                    tokio::time::sleep(pause).await;
                }
                1
            }
            Delivery::Whole | Delivery::Reset | Delivery::Never => rest.len(),
        };
        let piece = rest.split_to(piece);
        Some((Ok(Frame::data(piece)), (rest, held)))
    })
}
