//! A client of the admin port of a running proxy: plain HTTP/1.1, one connection for each request.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::{
    Request, StatusCode,
    header::{DATE, HOST},
};
use http_body_util::{BodyExt as _, Empty, LengthLimitError, Limited};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpStream, time::timeout};

/// A response of the admin port.
#[derive(Debug)]
pub(super) struct AdminResponse {
    pub(super) status: StatusCode,
    /// The time by the proxy's clock.
    pub(super) date: Option<SystemTime>,
    pub(super) body: Bytes,
}

/// Why there is no response.
#[derive(Debug, thiserror::Error)]
pub(super) enum AdminPortError {
    #[error("cannot connect: {0}")]
    Connect(std::io::Error),
    #[error("no response within {} s", .0.as_secs())]
    TimedOut(Duration),
    #[error("no HTTP response: {0}")]
    NoHttp(hyper::Error),
    #[error("the response breaks off: {0}")]
    Broken(Box<dyn std::error::Error + Send + Sync>),
    #[error("the response is larger than {} MiB", LARGEST_BODY >> 20)]
    TooLarge,
}

/// A page of 1,000 cache entries takes a tenth of this.
const LARGEST_BODY: usize = 4 << 20;

/// Sends a GET request to `authority` (a host and a port), and reads the whole response.
pub(super) async fn get(
    authority: &str,
    target: &str,
    patience: Duration,
) -> Result<AdminResponse, AdminPortError> {
    let got = timeout(patience, exchange(authority, target)).await;
    got.unwrap_or(Err(AdminPortError::TimedOut(patience)))
}

async fn exchange(authority: &str, target: &str) -> Result<AdminResponse, AdminPortError> {
    let stream = TcpStream::connect(authority).await.map_err(AdminPortError::Connect)?;
    let handshake = hyper::client::conn::http1::handshake(TokioIo::new(stream));
    let (mut sender, connection) = handshake.await.map_err(AdminPortError::NoHttp)?;
    // Ends with the connection: a failure of it is also one of the response or of its body.
    drop(tokio::spawn(connection));
    let mut request = Request::new(Empty::<Bytes>::new());
    *request.uri_mut() = target.parse().map_err(|error| AdminPortError::Broken(Box::new(error)))?;
    let host = authority.parse().map_err(|error| AdminPortError::Broken(Box::new(error)))?;
    request.headers_mut().insert(HOST, host);
    let response = sender.send_request(request).await.map_err(AdminPortError::NoHttp)?;
    let (head, body) = response.into_parts();
    let date = head.headers.get(DATE).and_then(|date| httpdate::parse_http_date(date.to_str().ok()?).ok());
    let body = Limited::new(body, LARGEST_BODY).collect().await.map_err(|error| {
        if error.is::<LengthLimitError>() { AdminPortError::TooLarge } else { AdminPortError::Broken(error) }
    })?;
    Ok(AdminResponse { status: head.status, date, body: body.to_bytes() })
}
