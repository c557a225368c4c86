//! Which calls have the connections replaced, over HTTP/1.1 and HTTP/2.

use std::{
    future::{pending, ready},
    io,
    pin::Pin,
    sync::atomic::{AtomicU32, Ordering::Relaxed},
    task::{Context, Poll},
};

use futures_util::{
    future::{BoxFuture, FutureExt as _},
    stream,
};
use http::{Request, Response, Uri, Version};
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::{
    body::Incoming,
    server::conn::{http1, http2},
    service::service_fn,
};
use hyper_util::{
    client::legacy::connect::{Connected, Connection},
    rt::TokioIo,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf},
    time::{sleep, timeout},
};
use tower::ServiceExt as _;

use super::*;
use crate::{report::Cause, upstream::HttpClient};

/// The status of each response, by the number of its connection.
type Answering = Arc<dyn Fn(u32) -> BoxFuture<'static, u16> + Send + Sync>;

/// In place of a status: a 200 whose body does not come.
const ENDLESS: u16 = 0;

/// An upstream's end of connections in memory.
#[derive(Clone)]
struct Edge {
    version: Version,
    answering: Answering,
    connections: Arc<AtomicU32>,
}

/// Our end.
struct OurEnd(DuplexStream, Version);

// === impl Edge ===

impl Edge {
    fn new<F>(version: Version, answering: impl Fn(u32) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = u16> + Send + 'static,
    {
        let answering: Answering = Arc::new(move |connection| answering(connection).boxed());
        Self { version, answering, connections: Arc::default() }
    }

    fn client(&self) -> HttpClient<impl Connect + Clone + Send + Sync + use<>> {
        let edge = self.clone();
        HttpClient::new(tower::service_fn(move |_origin: Uri| {
            ready(Ok::<_, io::Error>(TokioIo::new(edge.connect())))
        }))
    }

    fn connect(&self) -> OurEnd {
        let number = self.connections.fetch_add(1, Relaxed);
        let (answering, version) = (Arc::clone(&self.answering), self.version);
        let (ours, theirs) = tokio::io::duplex(64 * 1024);
        let serve = service_fn(move |_request: Request<Incoming>| {
            let status = answering(number);
            async {
                match status.await {
                    ENDLESS => Ok(Response::new(StreamBody::new(stream::pending()).boxed())),
                    status => {
                        Response::builder().status(status).body(Full::new(Bytes::from_static(b"{}")).boxed())
                    }
                }
            }
        });
        tokio::spawn(async move {
            let io = TokioIo::new(theirs);
            match version {
                Version::HTTP_2 => {
                    http2::Builder::new(TokioExecutor::new()).serve_connection(io, serve).await
                }
                _ => http1::Builder::new().serve_connection(io, serve).await,
            }
        });
        OurEnd(ours, version)
    }

    fn made(&self) -> u32 {
        self.connections.load(Relaxed)
    }
}

// === impl OurEnd ===

impl Connection for OurEnd {
    fn connected(&self) -> Connected {
        match self.1 {
            Version::HTTP_2 => Connected::new().negotiated_h2(),
            _ => Connected::new(),
        }
    }
}

impl AsyncRead for OurEnd {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buffer)
    }
}

impl AsyncWrite for OurEnd {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, data)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

/// The status of the response, whose body is read to its end.
async fn ask<C>(client: &HttpClient<C>) -> Result<u16, Cause>
where
    C: Connect + Clone + Send + Sync + 'static,
{
    let request = Request::get("http://upstream.invalid/").body(Empty::new()).unwrap();
    let response = client.clone().oneshot(request).await?;
    let status = response.status().as_u16();
    response.into_body().collect().await.unwrap();
    Ok(status)
}

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn the_call_after_one_that_was_given_up_has_a_new_connection() {
    for version in [Version::HTTP_11, Version::HTTP_2] {
        let edge =
            Edge::new(
                version,
                |connection| async move { if connection == 0 { pending().await } else { 200 } },
            );
        let client = edge.client();
        // With a pong to each ping the first connection looks alive.
        assert!(timeout(10 * SECOND, ask(&client)).await.is_err());
        for _ in 0..3 {
            assert_eq!(timeout(SECOND, ask(&client)).await, Ok(Ok(200)), "{version:?}");
        }
        assert_eq!(edge.made(), 2);
    }
}

#[tokio::test(start_paused = true)]
async fn the_call_after_one_whose_body_did_not_come_has_a_new_connection() {
    for version in [Version::HTTP_11, Version::HTTP_2] {
        let edge = Edge::new(version, |connection| ready(if connection == 0 { ENDLESS } else { 200 }));
        let client = edge.client();
        assert!(timeout(10 * SECOND, ask(&client)).await.is_err());
        for _ in 0..3 {
            assert_eq!(timeout(SECOND, ask(&client)).await, Ok(Ok(200)), "{version:?}");
        }
        assert_eq!(edge.made(), 2);
    }
}

#[tokio::test(start_paused = true)]
async fn the_call_after_a_5xx_has_a_new_connection_and_any_other_the_old_one() {
    for version in [Version::HTTP_11, Version::HTTP_2] {
        for (status, made) in
            [(200, 1), (302, 1), (401, 1), (404, 1), (429, 1), (500, 2), (502, 2), (503, 2), (504, 2)]
        {
            let edge = Edge::new(version, move |_connection| ready(status));
            let client = edge.client();
            for _ in 0..2 {
                assert_eq!(ask(&client).await, Ok(status));
                tokio::task::yield_now().await;
            }
            assert_eq!(edge.made(), made, "{version:?} {status}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn calls_under_way_on_connections_that_are_replaced_end_as_they_would_have() {
    for version in [Version::HTTP_11, Version::HTTP_2] {
        let edge = Edge::new(version, |connection| async move {
            sleep(5 * SECOND).await;
            200 + u16::try_from(connection).unwrap()
        });
        let client = edge.client();
        let slow = async {
            sleep(SECOND).await;
            ask(&client).await
        };
        let given_up = timeout(3 * SECOND, ask(&client));
        let (slow, given_up) = tokio::join!(slow, given_up);
        let own = u16::from(version == Version::HTTP_11);
        assert!(given_up.is_err());
        assert_eq!(slow, Ok(200 + own), "{version:?}");
    }
}
