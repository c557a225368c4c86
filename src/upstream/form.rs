//! One form sent, one short answer read: what an authorization server is asked.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use futures_util::future::{BoxFuture, FutureExt as _};
use http::{
    HeaderValue, Request, StatusCode, Uri,
    header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, RETRY_AFTER, USER_AGENT},
};
use http_body_util::Full;
use hyper_util::{
    client::legacy::{Client, connect::Connect},
    rt::{TokioExecutor, TokioTimer},
};
use tokio::time::timeout;

use super::{
    body::{self, Encoding},
    client::connect_stage,
    request::PRODUCT,
    response, retry_after,
};
use crate::report::Unreachable;

/// An answer of an authorization server has one or two kilobytes.
const LARGEST_ANSWER_BYTES: u64 = 64 * 1024;

/// The longest that one `Retry-After` can keep us from asking. A token lives 24 hours: its renewal can wait that long.
const LONGEST_WAIT: Duration = Duration::from_secs(60 * 60);

/// Sends forms. Cheap to clone; each form gets a connection of its own.
#[derive(Clone)]
pub struct FormClient {
    send: Arc<SendForm>,
    deadline: Duration,
}

type Sent = BoxFuture<'static, Result<FormResponse, PostError>>;
type SendForm = dyn Fn(Request<Full<Bytes>>) -> Sent + Send + Sync;

/// A form, `application/x-www-form-urlencoded`, on its way to one URL.
pub struct FormRequest<'a> {
    /// Where it goes.
    pub url: &'a Uri,
    /// The whole of `Authorization`, if any.
    pub authorization: Option<HeaderValue>,
    /// What is sent: it holds secrets.
    pub body: String,
}

/// What came back, whatever its status.
pub struct FormResponse {
    /// Its status.
    pub status: StatusCode,
    /// Its `Date`, if it had a readable one.
    pub date: Option<SystemTime>,
    /// Its `Retry-After`, at most an hour.
    pub retry_after: Option<Duration>,
    /// Its body, which may hold secrets.
    pub body: Vec<u8>,
}

/// No whole answer came. Whether the form arrived is not known, except where no connection came about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PostError {
    /// No connection, or it broke.
    #[error("{0}")]
    Unreachable(Unreachable),
    /// Nothing, or half an answer, within the deadline.
    #[error("no answer in time")]
    Timeout,
    /// It ended before its end, was coded or longer than any such answer is.
    #[error("an answer that cannot be read")]
    Unreadable,
}

// === impl FormClient ===

impl FormClient {
    /// Sends over connections that `connector` makes; `deadline` is from the connecting to the answer's last byte.
    pub fn new<C>(connector: C, deadline: Duration) -> Self
    where
        C: Connect + Clone + Send + Sync + 'static,
    {
        let client = Client::builder(TokioExecutor::new())
            .timer(TokioTimer::new())
            // A form a day: a connection kept for it would be dead when it is needed.
            .pool_max_idle_per_host(0)
            // What may be used once must not be sent twice behind our back.
            .retry_canceled_requests(false)
            .build::<_, Full<Bytes>>(connector);
        let send = move |request| {
            let answering = client.request(request);
            async move {
                let answer =
                    answering.await.map_err(|error| PostError::Unreachable(connect_stage(&error)))?;
                let (head, body) = answer.into_parts();
                let encoding = Encoding::of(&head.headers).map_err(|_error| PostError::Unreadable)?;
                let body = body::read(body, encoding, LARGEST_ANSWER_BYTES).await;
                let wait = |value| retry_after::parse(value, SystemTime::now(), LONGEST_WAIT);
                Ok(FormResponse {
                    status: head.status,
                    date: response::date(&head.headers),
                    retry_after: head.headers.get(RETRY_AFTER).and_then(wait),
                    body: body.map_err(|_error| PostError::Unreadable)?,
                })
            }
            .boxed()
        };
        Self { send: Arc::new(send), deadline }
    }

    /// Sends one form and reads the answer to its end.
    ///
    /// # Errors
    /// [`PostError`].
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
