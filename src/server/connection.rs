//! Serves one connection: HTTP/1 by hyper, with header and idle timeouts, size limits and graceful drain.

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

/// The largest request head, in bytes; 431 beyond it.
const MAX_HEAD: usize = 32 * 1024;
/// The most header fields in a request; 431 beyond it.
const MAX_FIELDS: usize = 100;
/// While draining, a keep-alive connection stays open this long, for a request that the client has already sent.
const DRAIN_DELAY: Duration = Duration::from_millis(500);
const REQUEST_TIMEOUT: &[u8] =
    b"HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";

/// The timeouts of a connection.
#[derive(Debug, Clone, Copy)]
pub struct ConnectionLimits {
    /// From the first byte of a request's head to its last (`server.header_timeout`).
    pub head: Duration,
    /// From the end of a response to the next request (`server.idle_timeout`).
    pub idle: Duration,
}

/// The service of one connection: records its activity, and adds `Connection: close` while draining.
#[derive(Debug)]
struct TrackedService<S> {
    service: Arc<S>,
    activity: Arc<ConnectionActivity>,
}

pin_project_lite::pin_project! {
    /// The future of a response. Records the end of the request when it is dropped, complete or cancelled.
    struct TrackedResponse<F> {
        #[pin]
        answer: Option<F>,
        // Where there is no answer.
        refused: StatusCode,
        guard: ActivityGuard,
    }
}

struct ActivityGuard(Arc<ConnectionActivity>);

/// Why a connection has to end.
enum CloseReason {
    /// The process is draining, and `DRAIN_DELAY` is over.
    Drained,
    /// The client sent a head too slowly.
    HeaderTimeout,
    /// It was idle for too long; or it was idle the longest when the listener was full.
    IdleTimeout,
}

/// Serves one connection until the client closes it, a timeout closes it, or `drain` is cancelled and its last request has
/// a response.
///
/// HTTP/1 only: while the server waits to see whether a connection becomes HTTP/2, a client can keep it silent without
/// limit, and no client here needs HTTP/2.
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

/// Like [`serve_connection`], with a handle by which the listener can close the connection.
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

    let mut ended = beside(&mut connection, pin!(watch(handle, drain))).await;
    if let Either::Right(CloseReason::Drained) = ended {
        Pin::new(&mut connection).graceful_shutdown();
        // The timeouts go on: who sends half a head is not waited for.
        ended = beside(&mut connection, pin!(timed_out(handle))).await;
    }
    match ended {
        // An error here is the client's: it disconnected, or sent invalid HTTP and got a 400 from hyper.
        Either::Left(_ended) => {}
        // No word: it would be taken for the rest of a response that the client has not yet taken.
        Either::Right(CloseReason::HeaderTimeout) if handle.activity.is_blocked() => {}
        Either::Right(CloseReason::HeaderTimeout) => {
            let mut io = connection.into_parts().io.into_inner().into_inner();
            // Without waiting: the client may not read.
            let _written = io.write_all(REQUEST_TIMEOUT).now_or_never();
            let _closed = io.shutdown().await;
        }
        Either::Right(CloseReason::IdleTimeout | CloseReason::Drained) => {}
    }
}

/// Waits until the connection has to be closed, and returns why.
async fn watch(handle: &ConnectionHandle, drain: CancellationToken) -> CloseReason {
    let drained = async {
        drain.cancelled().await;
        handle.activity.close();
        sleep(DRAIN_DELAY).await;
        CloseReason::Drained
    };
    tokio::select! {
        biased;
        end = drained => end,
        end = timed_out(handle) => end,
        () = handle.closed() => CloseReason::IdleTimeout,
    }
}

/// Waits until one of the connection's timeouts is over.
async fn timed_out(handle: &ConnectionHandle) -> CloseReason {
    loop {
        match handle.look(Instant::now()) {
            Inspection::KeepOpen(next) => sleep_until(next).await,
            Inspection::HeaderTimeout => break CloseReason::HeaderTimeout,
            Inspection::IdleTimeout => break CloseReason::IdleTimeout,
        }
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
        let (answer, refused) = match check(&request) {
            Ok(()) => (Some(self.service.call(request)), StatusCode::OK),
            Err(refused) => (None, refused),
        };
        TrackedResponse { answer, refused, guard }
    }
}

/// What hyper lets pass.
///
/// # Errors
/// 431 (RFC 6585 §5) for a head of more than `MAX_HEAD`, which hyper takes if its end comes with the bytes before. 400 unless an
/// HTTP/1.1 request has exactly one `Host` (RFC 9112 §3.2): with two, this server and one in front of it could each use a
/// different one.
fn check<B>(request: &Request<B>) -> Result<(), StatusCode> {
    let target = request.uri().path_and_query().map_or(0, |target| target.as_str().len());
    let (mut head, mut hosts) = (target, 0);
    for (name, value) in request.headers() {
        head += name.as_str().len() + value.len() + ": \r\n".len();
        hosts += u32::from(*name == HOST);
    }
    if head > MAX_HEAD {
        return Err(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
    }
    match hosts {
        1 => Ok(()),
        0 if request.version() < Version::HTTP_11 => Ok(()),
        _ => Err(StatusCode::BAD_REQUEST),
    }
}

/// The same response that hyper sends for a request it cannot parse.
fn refusal(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Body::default());
    *response.status_mut() = status;
    response
}

// === impl TrackedResponse ===

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
                refusal(*this.refused)
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

#[cfg(test)]
mod tests;
