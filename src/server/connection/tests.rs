use hyper::service::service_fn;
use tokio::{
    io::{AsyncReadExt as _, DuplexStream, ReadBuf},
    time::timeout,
};

use super::*;

const LIMITS: ConnectionLimits =
    ConnectionLimits { head: Duration::from_secs(10), idle: Duration::from_secs(75) };
const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n";

/// Serves this connection; each response has a body of so many bytes.
fn serve<I>(io: I, body: usize, drain: &CancellationToken) -> tokio::task::JoinHandle<()>
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(move |_request: Request<Incoming>| async move {
        Ok::<_, Infallible>(Response::new(Body::new(vec![b'.'; body].into())))
    });
    tokio::spawn(serve_connection(io, Arc::new(service), LIMITS, drain.clone()))
}

async fn all_that_comes(mut client: DuplexStream) -> String {
    let mut received = Vec::new();
    client.read_to_end(&mut received).await.unwrap();
    String::from_utf8(received).unwrap()
}

#[tokio::test(start_paused = true)]
async fn half_a_head_holds_a_drain_up_no_longer_than_the_header_timeout() {
    let ((mut client, server), drain) = (tokio::io::duplex(1_024), CancellationToken::new());
    client.write_all(b"GET / HTT").await.unwrap();
    let served = serve(server, 0, &drain);
    sleep(Duration::from_secs(1)).await;
    drain.cancel();
    let ended = timeout(LIMITS.head + LIMITS.head / 4, served).await;
    ended.expect("it ends by its own timeout").unwrap();
    assert!(all_that_comes(client).await.starts_with("HTTP/1.1 408 "));
}

#[tokio::test(start_paused = true)]
async fn a_drain_waits_for_a_response_that_is_taken_slowly_but_not_for_one_that_is_not_taken() {
    for reads in [true, false] {
        let ((mut client, server), drain) = (tokio::io::duplex(1_024), CancellationToken::new());
        client.write_all(REQUEST).await.unwrap();
        let served = serve(server, 100_000, &drain);
        sleep(Duration::from_secs(1)).await;
        drain.cancel();
        let mut received = 0;
        while reads && received < 100_000 {
            sleep(Duration::from_secs(2)).await;
            received += client.read(&mut [0; 1_024]).await.unwrap();
        }
        let ended = timeout(LIMITS.idle + LIMITS.head, served).await;
        ended.expect("it ends by its own timeout").unwrap();
        received += all_that_comes(client).await.len();
        assert_eq!(received > 100_000, reads);
    }
}

/// Takes so many bytes, then none; but a 408 always: as a socket whose client reads again in that moment.
struct FullSocket {
    io: DuplexStream,
    room: usize,
}

impl AsyncRead for FullSocket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

impl AsyncWrite for FullSocket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        if bytes.starts_with(b"HTTP/1.1 408 ") {
            return Pin::new(&mut self.io).poll_write(cx, bytes);
        }
        let room = self.room.min(bytes.len());
        self.room -= room;
        if room == 0 { Poll::Pending } else { Pin::new(&mut self.io).poll_write(cx, &bytes[..room]) }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

#[tokio::test(start_paused = true)]
async fn a_408_is_never_written_into_a_response_that_is_not_yet_taken() {
    let ((mut client, server), drain) = (tokio::io::duplex(1 << 20), CancellationToken::new());
    let served = serve(FullSocket { io: server, room: 1_000 }, 2_000, &drain);
    client.write_all(REQUEST).await.unwrap();
    sleep(Duration::from_secs(1)).await;
    client.write_all(b"GET / HTT").await.unwrap();
    timeout(Duration::from_secs(20), served).await.expect("it is cut").unwrap();
    let received = all_that_comes(client).await;
    assert_eq!(received.matches("HTTP/1.1 ").count(), 1, "{received}");
    assert!(received.starts_with("HTTP/1.1 200 ") && received.ends_with('.'), "{received}");
}
