//! Posts a form to the authorization server (the OAuth 2.0 token endpoint) and reads its short response.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use futures_util::future::{BoxFuture, FutureExt as _};
use http::{
    HeaderValue, Request, StatusCode, Uri,
    header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, USER_AGENT},
};
use http_body_util::Full;
use hyper_util::{
    client::legacy::{Client, connect::Connect},
    rt::{TokioExecutor, TokioTimer},
};
use tokio::time::timeout;

use super::{
    body::{self, Encoding},
    client::unreachable,
    headers,
    request::PRODUCT,
    retry_after,
};
use crate::report::Unreachable;

/// The largest response body. A token response has one or two kilobytes.
const MAX_RESPONSE_BYTES: u64 = 64 * 1024;

/// The longest `Retry-After` that is obeyed; a longer one counts as this. A token is valid for 24 hours, so its renewal
/// can wait an hour.
const MAX_WAIT: Duration = Duration::from_secs(60 * 60);

/// Posts forms, each over a new connection. Cheap to clone.
#[derive(Clone)]
pub struct FormClient {
    send: Arc<SendForm>,
    deadline: Duration,
}

type Sent = BoxFuture<'static, Result<FormResponse, PostError>>;
type SendForm = dyn Fn(Request<Full<Bytes>>) -> Sent + Send + Sync;

/// A form to post, `application/x-www-form-urlencoded`.
pub struct FormRequest<'a> {
    /// The URL to post to.
    pub url: &'a Uri,
    /// The value of the `Authorization` header, if any.
    pub authorization: Option<HeaderValue>,
    /// The encoded form. Contains secrets, so it is never logged.
    pub body: String,
}

/// The response, of any status.
pub struct FormResponse {
    /// The HTTP status.
    pub status: StatusCode,
    /// The `Date` header, if present and valid.
    pub date: Option<SystemTime>,
    /// The `Retry-After` header, at most an hour.
    pub retry_after: Option<Duration>,
    /// The decoded body. May contain secrets, so it is never logged.
    pub body: Vec<u8>,
}

/// No complete response. The server may have received the form, unless connecting failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PostError {
    /// There was no connection, or it broke.
    #[error("{0}")]
    Unreachable(Unreachable),
    /// The response was not complete before the deadline.
    #[error("no answer in time")]
    Timeout,
    /// The body was truncated, too large, or its `Content-Encoding` is not supported.
    #[error("the response cannot be read")]
    Unreadable,
}

// === impl FormClient ===

impl FormClient {
    /// A client over connections that `connector` makes. `deadline` covers connecting, sending and reading the
    /// response.
    pub fn new<C>(connector: C, deadline: Duration) -> Self
    where
        C: Connect + Clone + Send + Sync + 'static,
    {
        let client = Client::builder(TokioExecutor::new())
            .timer(TokioTimer::new())
            // About one form a day: an idle connection would be closed by the server before the next one.
            .pool_max_idle_per_host(0)
            // A refresh token may be valid for one use only, so hyper must not send the form again by itself.
            .retry_canceled_requests(false)
            .build::<_, Full<Bytes>>(connector);
        let send = move |request| {
            let response = client.request(request);
            async move {
                let response = response.await.map_err(|error| PostError::Unreachable(unreachable(&error)))?;
                let (head, body) = response.into_parts();
                let encoding = Encoding::of(&head.headers).map_err(|_error| PostError::Unreadable)?;
                let body = body::read(body, encoding, MAX_RESPONSE_BYTES).await;
                Ok(FormResponse {
                    status: head.status,
                    date: headers::date(&head.headers),
                    retry_after: retry_after::of(&head.headers, SystemTime::now(), MAX_WAIT),
                    body: body.map_err(|_error| PostError::Unreadable)?,
                })
            }
            .boxed()
        };
        Self { send: Arc::new(send), deadline }
    }

    /// Posts one form and reads the whole response.
    ///
    /// # Errors
    /// [`PostError`] if there is no complete response. An HTTP error status is not an error here.
    pub async fn post(&self, form: FormRequest<'_>) -> Result<FormResponse, PostError> {
        let mut request = Request::new(Full::from(form.body));
        *request.method_mut() = http::Method::POST;
        *request.uri_mut() = form.url.clone();
        let headers = request.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        headers.insert(USER_AGENT, HeaderValue::from_static(PRODUCT));
        if let Some(mut credentials) = form.authorization {
            credentials.set_sensitive(true);
            headers.insert(AUTHORIZATION, credentials);
        }
        timeout(self.deadline, (self.send)(request)).await.unwrap_or(Err(PostError::Timeout))
    }
}

impl fmt::Debug for FormClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FormClient").field("deadline", &self.deadline).finish_non_exhaustive()
    }
}

impl fmt::Debug for FormResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FormResponse").field("status", &self.status).finish_non_exhaustive()
    }
}

impl fmt::Debug for FormRequest<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FormRequest").field("url", &self.url).finish_non_exhaustive()
    }
}
