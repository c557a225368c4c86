//! Connections: HTTP/1.1 on sockets or on anything that reads and writes.

use std::convert::Infallible;
use std::error::Error as _;
use std::sync::Arc;
use std::time::Duration;

use http::header::{AUTHORIZATION, COOKIE};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::campaigns::parse_id;
use super::control;
use super::gateway::{self, CallTarget, ReportCall};
use super::handle::{CallInFlight, Shared, Simulator};
use super::record::SeenRequest;
use super::reply::{HungUp, VendorBody};

/// A token request's form is a few hundred bytes.
const BODY_LIMIT_BYTES: usize = 64 * 1024;

/// Out of file descriptors: others must close theirs first.
const PAUSE_AFTER_FAILED_ACCEPT: Duration = Duration::from_millis(50);

/// How a connection ended.
enum End {
    /// Regularly, or closed by the client.
    Closed,
    /// By [`Fault::Reset`](super::Fault::Reset); the socket is still open.
    ToBeReset,
}

// === impl Simulator ===

impl Simulator {
    /// Serves a listener for ever; dropping the future closes all of its connections.
    pub async fn serve(self, listener: TcpListener) -> Infallible {
        let mut connections = JoinSet::new();
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                Some(_) = connections.join_next() => continue,
            };
            let Ok((socket, _)) = accepted else {
                tokio::time::sleep(PAUSE_AFTER_FAILED_ACCEPT).await;
                continue;
            };
            // Without it a dripped byte waits for the acknowledgement of the one before.
            let _ = socket.set_nodelay(true);
            let world = Arc::clone(&self.world);
            connections.spawn(async move {
                let (end, socket) = run(world, socket).await;
                match end {
                    End::Closed => {}
                    // Closing with linger zero sends RST in place of FIN.
                    End::ToBeReset => drop(socket.set_zero_linger()),
                }
            });
        }
    }

    /// Serves one connection until it ends. Under paused time, give it a `tokio::io::duplex`.
    pub async fn serve_connection<I>(self, io: I)
    where
        I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        run(self.world, io).await;
    }
}

/// Gives the stream back, so that a socket can be reset.
async fn run<I>(world: Arc<Shared>, io: I) -> (End, I)
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let connection = {
        let mut state = world.state();
        state.connections += 1;
        state.connections
    };
    let service = service_fn(move |request| answer(Arc::clone(&world), connection, request));
    let mut served = http1::Builder::new().serve_connection(TokioIo::new(io), service);
    let end = match (&mut served).await {
        Err(error) if error.source().and_then(|cause| cause.downcast_ref()) == Some(&HungUp::Reset) => {
            End::ToBeReset
        }
        Ok(()) | Err(_) => End::Closed,
    };
    (end, served.into_parts().io.into_inner())
}

async fn answer(
    world: Arc<Shared>,
    connection: u64,
    request: Request<Incoming>,
) -> Result<Response<VendorBody>, HungUp> {
    let (head, body) = request.into_parts();
    let Ok(body) = Limited::new(body, BODY_LIMIT_BYTES).collect().await else {
        return Err(HungUp::Cut);
    };
    let call = ReportCall { head, body: body.to_bytes() };
    if let Some(reply) = control::answer(&world, &call) {
        return reply.send(()).await;
    }
    let in_flight = record(&world, connection, &call);
    let reply = gateway::answer(&mut world.state(), &world.options, &world.clock, &call);
    reply.send(in_flight).await
}

/// Records a call; only report calls count as being in flight.
fn record(world: &Arc<Shared>, connection: u64, call: &ReportCall) -> Option<CallInFlight> {
    world.state().record.remember(SeenRequest {
        method: call.head.method.clone(),
        target: call.head.uri.to_string(),
        headers: copied(&call.head.headers),
        connection,
        at: world.clock.now().instant,
    });
    match call.target() {
        CallTarget::Report { id } => {
            let in_flight = CallInFlight::begin(world);
            let calls = world.state().record.count_report_call(parse_id(id));
            // The maximum: two connections may get here in the other order.
            world.calls.send_modify(|seen| *seen = calls.max(*seen));
            Some(in_flight)
        }
        CallTarget::Statistics { .. } => {
            world.state().record.count_statistics_call();
            None
        }
        CallTarget::Activity { .. } => {
            world.state().record.count_activity_call();
            None
        }
        CallTarget::Token => {
            world.state().record.count_token_call();
            None
        }
        CallTarget::DeviceAuthorize
        | CallTarget::ApprovalPage
        | CallTarget::Approve
        | CallTarget::Unknown => None,
    }
}

/// A deep copy: hyper's values are slices of the connection's read buffer and would keep all of it alive.
fn copied(headers: &HeaderMap) -> HeaderMap {
    let copy = |(name, value): (&HeaderName, &HeaderValue)| {
        let mut value = HeaderValue::from_bytes(value.as_bytes()).ok()?;
        value.set_sensitive(matches!(*name, AUTHORIZATION | COOKIE));
        Some((name.clone(), value))
    };
    headers.iter().filter_map(copy).collect()
}
