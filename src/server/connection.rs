//! One connection: hyper's HTTP/1, our limits, and a polite end.

use std::{
    convert::Infallible,
    future::Future,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use futures_util::{FutureExt, future::Either};
use http::{
    HeaderValue, Request, Response, StatusCode, Version,
    header::{CONNECTION, HOST},
};
use hyper::{body::Incoming, server::conn::http1, service::Service};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt},
    time::{Instant, sleep, sleep_until},
};
use tokio_util::sync::CancellationToken;

use super::{
    Body,
    activity::{ConnectionActivity, Inspection, Timeouts, TrackedIo},
    beside::beside,
    handles::ConnectionHandle,
};

/// A head may be this large; beyond it, 431. In bytes.
const MAX_HEAD: usize = 32 * 1024;
/// A head may have this many fields; beyond it, 431.
const MAX_FIELDS: usize = 100;
/// While draining, a kept-alive connection may send one more request within this time: it may be on its way already.
const DRAIN_DELAY: Duration = Duration::from_millis(500);
const REQUEST_TIMEOUT: &[u8] =
    b"HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";

/// What a connection may take.
#[derive(Debug, Clone, Copy)]
pub struct ConnectionLimits {
    /// From the first byte of a head to its last (`server.header_timeout`).
    pub head: Duration,
    /// Between an answer and the next request (`server.idle_timeout`).
    pub idle: Duration,
}

/// The service of one connection: marks the pace, and says goodbye while draining.
#[derive(Debug)]
struct TrackedService<S> {
    service: Arc<S>,
    activity: Arc<ConnectionActivity>,
}

pin_project_lite::pin_project! {
    /// An answer in the making. Marks the pace when it is there, and also when it is given up.
    struct TrackedResponse<F> {
        // None: the request was not understood.
        #[pin]
        answer: Option<F>,
        guard: ActivityGuard,
    }
}

struct ActivityGuard(Arc<ConnectionActivity>);

/// Why a connection has to end.
enum CloseReason {
    /// The process is ending, and the peer had its time for one more request.
    Drained,
    /// A head is taking too long.
    HeaderTimeout,
    /// Nothing was asked for too long, or for longest where another one needs its place.
    IdleTimeout,
}

/// Serves one connection until it ends, is cut for being slow, or `drain` is cancelled and what it asked is answered.
///
/// HTTP/1 only: a connection that may turn into HTTP/2 can be held silent for ever, and no caller here needs it.
pub async fn serve_connection<I, S>(
    io: I,
    service: Arc<S>,
    limits: ConnectionLimits,
    drain: CancellationToken,
) where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    S: Service<Request<Incoming>, Response = Response<Body>, Error = Infallible>,
{
    let handle = ConnectionHandle::new(limits.into(), Instant::now());
    serve_listed(io, service, &handle, drain).await;
}

/// The same, for a connection that its listener has listed.
pub(super) async fn serve_listed<I, S>(
    io: I,
    service: Arc<S>,
    handle: &ConnectionHandle,
    drain: CancellationToken,
) where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    S: Service<Request<Incoming>, Response = Response<Body>, Error = Infallible>,
{
    let activity = Arc::clone(&handle.activity);
    let tracked = TrackedService { service, activity: Arc::clone(&activity) };
    let mut builder = http1::Builder::new();
    builder.max_buf_size(MAX_HEAD).max_headers(MAX_FIELDS).header_read_timeout(None);
    let mut connection =
        builder.serve_connection(TokioIo::new(TrackedIo::new(io, Arc::clone(&activity))), tracked);

    match beside(&mut connection, pin!(watch(handle, drain))).await {
        // Errors here are the peer's: it left, or it does not speak HTTP and has been told so.
        Either::Left(_ended) => {}
        Either::Right(CloseReason::Drained) => {
            Pin::new(&mut connection).graceful_shutdown();
            let _ended = connection.await;
        }
        Either::Right(CloseReason::HeaderTimeout) => {
            let mut io = connection.into_parts().io.into_inner().into_inner();
            // At once or not at all: a peer that leaves an earlier answer unread would hold this connection for ever.
            let _told = io.write_all(REQUEST_TIMEOUT).now_or_never();
            let _closed = io.shutdown().await;
        }
        Either::Right(CloseReason::IdleTimeout) => {}
    }
}

/// Watches over a connection, until it has to end.
async fn watch(handle: &ConnectionHandle, drain: CancellationToken) -> CloseReason {
    let judged = async {
        loop {
            match handle.look(Instant::now()) {
                Inspection::KeepOpen(next) => sleep_until(next).await,
                Inspection::HeaderTimeout => break CloseReason::HeaderTimeout,
                Inspection::IdleTimeout => break CloseReason::IdleTimeout,
            }
        }
    };
    let drained = async {
        drain.cancelled().await;
        handle.activity.close();
        sleep(DRAIN_DELAY).await;
        CloseReason::Drained
    };
    tokio::select! {
        biased;
        end = drained => end,
        end = judged => end,
        () = handle.closed() => CloseReason::IdleTimeout,
    }
}

// === impl Timeouts ===

impl From<ConnectionLimits> for Timeouts {
    fn from(ConnectionLimits { head, idle }: ConnectionLimits) -> Self {
        Self { head, idle }
    }
}

// === impl TrackedService ===

impl<S> Service<Request<Incoming>> for TrackedService<S>
where
    S: Service<Request<Incoming>, Response = Response<Body>, Error = Infallible>,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = TrackedResponse<S::Future>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        self.activity.request();
        let guard = ActivityGuard(Arc::clone(&self.activity));
        TrackedResponse { answer: names_one_host(&request).then(|| self.service.call(request)), guard }
    }
}

/// Two servers one behind the other must not read two hosts out of one request: since HTTP/1.1 it names exactly one (RFC 9112 §3.2).
fn names_one_host<B>(request: &Request<B>) -> bool {
    let headers = request.headers();
    let is_repeated = || headers.len() != headers.keys_len() && headers.get_all(HOST).iter().count() > 1;
    if headers.keys().any(|name| *name == HOST) {
        !is_repeated()
    } else {
        request.version() < Version::HTTP_11
    }
}

/// As hyper answers what it cannot parse.
fn bad_request() -> Response<Body> {
    let mut response = Response::new(Body::default());
    *response.status_mut() = StatusCode::BAD_REQUEST;
    response
}

// === impl PacedAnswer ===

impl<F: Future<Output = Result<Response<Body>, Infallible>>> Future for TrackedResponse<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        let mut response = match this.answer.as_pin_mut() {
            Some(answer) => {
                let Ok(response) = ready!(answer.poll(cx));
                response
            }
            None => {
                this.guard.0.close();
                bad_request()
            }
        };
        if this.guard.0.is_closing() {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        Poll::Ready(Ok(response))
    }
}

// === impl ActivityGuard ===

impl Drop for ActivityGuard {
    fn drop(&mut self) {
        self.0.answer();
    }
}
