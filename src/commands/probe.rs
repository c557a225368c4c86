//! `check --probe`: tries what the settings name, as `serve` would use it, and prints a line about each.
//!
//! No refresh token is used: the response to it may hold the only valid one, and a running proxy would not have it. No call
//! is spent either, except with `--probe=call`: the request to the API has no token, and the quota is counted by API key.

use std::{
    fmt,
    net::{SocketAddr, TcpListener},
    path::Path,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use clap::ValueEnum;
use futures_util::future::join4;
use http::{
    HeaderValue, Method, Request, Response, StatusCode,
    header::{AUTHORIZATION, DATE},
};
use http_body_util::Empty;
use hyper::body::Body;
use secrecy::{ExposeSecret as _, SecretString};
use tokio::time::timeout;
use tower::Service as _;

use super::{CommandOutcome, Failure, login, output::print, serve};
use crate::{
    settings::{SecretFile, Settings, TokenSourceKind},
    shared::{StoreRisk, StoreServer, StoreUnreachable},
    state::{FileStore, Inbox, TokenRecord, TokenStore as _},
    telemetry::Metrics,
    token::TokenStatus,
    upstream::HttpClient,
};

/// What `--probe` may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum ProbeCost {
    /// Nothing: no token is sent
    Free,
    /// One call of the day's quota, which shows whether the API accepts the access token
    Call,
}

/// One line of the output.
#[derive(Debug)]
struct ProbeLine {
    subject: String,
    found: ProbeFound,
}

#[derive(Debug)]
enum ProbeFound {
    Good(String),
    Bad(String),
    NotTried(&'static str),
}

/// What `state.dir` has for `token.source = "refresh"`.
#[derive(Debug)]
enum StoredToken {
    Record(Box<TokenRecord>),
    LeftByLogin,
    None,
}

/// If the clocks differ by more, the count of the day's calls and the lifetimes of tokens suffer.
const CLOCK_TOLERANCE: Duration = Duration::from_secs(60);

/// No campaign has this id: the API answers 404 to it, if it accepts the token.
const NO_REPORT: &str = "/v3/reports/email_reports/00000000-0000-4000-8000-000000000000/links";

const ONLY_SERVE: &str = "there is a refresh token, which only serve uses: it may be good for one renewal";

/// Tries everything and prints the lines; fails if anything failed. `status` is that of the token of these settings.
pub(super) async fn run(settings: &Settings, cost: ProbeCost, status: TokenStatus) -> CommandOutcome {
    let ports = [("server.listen", settings.server.listen), ("admin.listen", settings.admin.listen)];
    let mut lines: Vec<_> = ports.into_iter().map(port).collect();
    let (state, stored) = state(settings).await;
    lines.extend(state);
    let token = token(settings, cost, status, stored);
    let (api, authority, store, token) =
        join4(api(settings), authority(settings), store(settings), token).await;
    lines.extend(api.into_iter().chain(authority).chain(store).chain([token]));
    print(&lines.iter().map(ToString::to_string).collect::<String>())?;
    match lines.iter().filter(|line| matches!(line.found, ProbeFound::Bad(_))).count() {
        0 => Ok(()),
        failed => Err(Failure::Unavailable(format!("{failed} of {} probes failed", lines.len()))),
    }
}

fn port((key, address): (&str, SocketAddr)) -> ProbeLine {
    let found = TcpListener::bind(address).map(|_closed_again| "can be opened");
    ProbeLine::new(format!("{key} {address}"), found.map_err(|error| format!("cannot be opened: {error}")))
}

/// Leaves no new directory or file: they would belong to whoever runs this, not to whoever runs the proxy.
async fn state(settings: &Settings) -> (Option<ProbeLine>, StoredToken) {
    let Some(dir) = settings.state.dir.as_deref() else { return (None, StoredToken::None) };
    let subject = format!("state.dir {}", dir.display());
    let existing = dir.ancestors().find(|path| path.exists()).unwrap_or(Path::new("."));
    let found = match login::prove_writable(existing) {
        Err(error) => Err(error.to_string()),
        Ok(()) if existing != dir => Ok(("can be created", StoredToken::None)),
        Ok(()) => stored_token(dir).await.map(|stored| ("can be written", stored)),
    };
    match found {
        Ok((found, stored)) => (Some(ProbeLine::new(subject, Ok::<_, String>(found))), stored),
        Err(error) => (Some(ProbeLine::new(subject, Err::<&str, _>(error))), StoredToken::None),
    }
}

/// Fails if another process has the directory, or if a file in it is damaged.
async fn stored_token(dir: &Path) -> Result<StoredToken, String> {
    let existing = FileStore::open_existing(dir).map_err(|error| error.to_string())?;
    if !Inbox::of(dir).is_empty().await.map_err(|error| error.to_string())? {
        return Ok(StoredToken::LeftByLogin);
    }
    let Some(store) = existing else { return Ok(StoredToken::None) };
    let stored = store.read().await.map_err(|error| error.to_string())?;
    Ok(stored.map_or(StoredToken::None, |stored| StoredToken::Record(Box::new(stored.record))))
}

/// The API, and its clock.
async fn api(settings: &Settings) -> Vec<ProbeLine> {
    let answered = send(settings, Method::HEAD, "/", None).await;
    let date = answered.as_ref().ok().and_then(|answered| answered.headers().get(DATE));
    let theirs = date.and_then(|date| httpdate::parse_http_date(date.to_str().ok()?).ok());
    let clock = theirs.map(|theirs| clock(SystemTime::now(), theirs));
    let subject = format!("upstream.base_url {}", settings.upstream.base_url.uri());
    [ProbeLine::new(subject, answered.map(|_any_status| "answers"))].into_iter().chain(clock).collect()
}

fn clock(ours: SystemTime, theirs: SystemTime) -> ProbeLine {
    let (apart, side) = match ours.duration_since(theirs) {
        Ok(ahead) => (ahead, "ahead of"),
        Err(behind) => (behind.duration(), "behind"),
    };
    let said = format!("{} s {side} the API's", apart.as_secs());
    ProbeLine::new("clock".to_owned(), if apart <= CLOCK_TOLERANCE { Ok(said) } else { Err(said) })
}

/// Connects to where tokens are renewed, and sends nothing.
async fn authority(settings: &Settings) -> Option<ProbeLine> {
    if settings.token.source != TokenSourceKind::Refresh {
        return None;
    }
    let url = settings.token.token_url.uri();
    let connected = match serve::connector(settings, url) {
        Ok(mut connector) => connector.call(url.clone()).await.map_err(|error| error.to_string()),
        Err(failure) => Err(failure.to_string()),
    };
    Some(ProbeLine::new(format!("token.token_url {url}"), connected.map(|_closed_again| "can be reached")))
}

/// Greets the shared store as `serve` does: login, role, whether our keys may be read.
async fn store(settings: &Settings) -> Option<ProbeLine> {
    let server = match StoreServer::of(settings) {
        Ok(server) => server?,
        Err(error) => return Some(ProbeLine::new("shared.url".to_owned(), Err::<&str, _>(error))),
    };
    let subject = format!("shared.url {}", server.place());
    let found = match server.greet(Metrics::new().shared()).await {
        Ok(info) => {
            let kept = if info.append_only { "with an append-only file" } else { "without append-only file" };
            let eviction = info.eviction.as_deref().unwrap_or("unknown");
            let said =
                format!("{} {}, primary, {kept}, maxmemory-policy {eviction}", info.engine, info.version);
            if info.has(StoreRisk::EvictsAll) {
                Err(format!("{said}: set noeviction, or it may drop the day's count and the token"))
            } else {
                Ok(said)
            }
        }
        Err(StoreUnreachable { why, detail }) if detail.is_empty() => Err(why.explanation().to_owned()),
        Err(StoreUnreachable { why, detail }) => Err(format!("{}: {detail}", why.explanation())),
    };
    Some(ProbeLine::new(subject, found))
}

async fn token(settings: &Settings, cost: ProbeCost, status: TokenStatus, stored: StoredToken) -> ProbeLine {
    let token = &settings.token;
    let configured = token.refresh_token.is_some() || token.refresh_token_file.is_some();
    let access = match (token.source, stored) {
        (TokenSourceKind::Static | TokenSourceKind::File, _) if status == TokenStatus::Expired => {
            Err(ProbeFound::Bad("the access token has expired".to_owned()))
        }
        (TokenSourceKind::Static, _) => Ok(token.access_token.clone().unwrap_or_default()),
        (TokenSourceKind::File, _) => match token.access_token_file.as_ref().map(SecretFile::read) {
            Some(Ok(access)) => Ok(access),
            Some(Err(error)) => Err(ProbeFound::Bad(error.to_string())),
            None => Ok(SecretString::default()),
        },
        (TokenSourceKind::Refresh, StoredToken::Record(record)) => match record.access {
            Some(access) if access.expires_at > SystemTime::now() => Ok(access.token),
            Some(_) | None => Err(ProbeFound::NotTried(ONLY_SERVE)),
        },
        (TokenSourceKind::Refresh, StoredToken::LeftByLogin) => Err(ProbeFound::NotTried(ONLY_SERVE)),
        (TokenSourceKind::Refresh, StoredToken::None) if configured => Err(ProbeFound::NotTried(ONLY_SERVE)),
        (TokenSourceKind::Refresh, StoredToken::None) if settings.shared.key_file.is_some() => {
            Err(ProbeFound::NotTried("the refresh token may be in the shared store"))
        }
        (TokenSourceKind::Refresh, StoredToken::None) => Err(ProbeFound::Bad(
            "there is no refresh token: run login, or set token.refresh_token_file".to_owned(),
        )),
    };
    let found = match (access, cost) {
        (Err(found), _) => found,
        (Ok(_), ProbeCost::Free) => ProbeFound::NotTried("there is an access token; --probe=call tries it"),
        (Ok(access), ProbeCost::Call) => call(settings, &access).await,
    };
    ProbeLine { subject: format!("token.source {}", token.source.as_str()), found }
}

/// Makes one call.
async fn call(settings: &Settings, access: &SecretString) -> ProbeFound {
    let said = match send(settings, Method::GET, NO_REPORT, Some(access)).await {
        Ok(answered) => match answered.status() {
            StatusCode::OK | StatusCode::NOT_FOUND | StatusCode::BAD_REQUEST => {
                return ProbeFound::Good("the API accepts the access token".to_owned());
            }
            StatusCode::UNAUTHORIZED => "the API rejects the access token (401)".to_owned(),
            StatusCode::FORBIDDEN => "the access token may not read link reports (403)".to_owned(),
            StatusCode::TOO_MANY_REQUESTS => "the API takes no more calls at present (429)".to_owned(),
            status => format!("the API answers {status}"),
        },
        Err(error) => error,
    };
    ProbeFound::Bad(said)
}

async fn send(
    settings: &Settings,
    method: Method,
    path: &str,
    token: Option<&SecretString>,
) -> Result<Response<impl Body<Data = Bytes, Error = hyper::Error> + Unpin>, String> {
    let base_url = &settings.upstream.base_url;
    let connector = serve::connector(settings, base_url.uri()).map_err(|failure| failure.to_string())?;
    let mut request = Request::new(Empty::<Bytes>::new());
    *request.method_mut() = method;
    *request.uri_mut() = base_url.join(path).map_err(|error| error.to_string())?;
    if let Some(token) = token {
        let bearer = HeaderValue::try_from(format!("Bearer {}", token.expose_secret()));
        let mut bearer = bearer.map_err(|error| error.to_string())?;
        bearer.set_sensitive(true);
        request.headers_mut().insert(AUTHORIZATION, bearer);
    }
    let patience = settings.upstream.attempt_timeout;
    match timeout(patience, HttpClient::new(connector).call(request)).await {
        Ok(answered) => answered.map_err(|cause| cause.to_string()),
        Err(_elapsed) => Err(format!("no response within {} s", patience.as_secs())),
    }
}

// === impl ProbeLine ===

impl ProbeLine {
    fn new(subject: String, found: Result<impl Into<String>, impl fmt::Display>) -> Self {
        let found = match found {
            Ok(said) => ProbeFound::Good(said.into()),
            Err(error) => ProbeFound::Bad(error.to_string()),
        };
        Self { subject, found }
    }
}

impl fmt::Display for ProbeLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { subject, found } = self;
        match found {
            ProbeFound::Good(said) => writeln!(f, "ok       {subject}: {said}"),
            ProbeFound::Bad(error) => writeln!(f, "failed   {subject}: {error}"),
            ProbeFound::NotTried(why) => writeln!(f, "skipped  {subject}: {why}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_is_a_minute_wrong_is_a_failure_either_way() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(86_400);
        let minute = Duration::from_secs(60);
        let line = |theirs| clock(now, theirs).to_string();
        assert_eq!(line(now - minute), "ok       clock: 60 s ahead of the API's\n");
        assert_eq!(line(now + minute), "ok       clock: 60 s behind the API's\n");
        let second = Duration::from_secs(1);
        assert_eq!(line(now - minute - second), "failed   clock: 61 s ahead of the API's\n");
        assert_eq!(line(now + minute + second), "failed   clock: 61 s behind the API's\n");
    }
}
