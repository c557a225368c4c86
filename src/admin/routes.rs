//! The admin port's routes: the page (`/`), `/status`, `/status/history`, `/failures`, `/metrics`, `/livez`, `/readyz`, `/version`,
//! `/config`, `/quota`, `/token`, `/fleet`, `/openapi.json`, `/cache`,
//! `DELETE /cache` to purge, and `POST /try/{id}`.

use std::{convert::Infallible, future::ready, net::SocketAddr, sync::Arc, time::Duration};

use futures_util::future::{BoxFuture, FutureExt as _};
use tokio::time::timeout;

use super::{
    AdminState,
    callers::Callers,
    conditional::json_with_etag,
    explain::Explanation,
    failures::FailureList,
    fleet,
    history::HistoryRows,
    list_query::ListQuery,
    overview::Overview,
    page,
    permission::{is_of_no_other_page, may_change},
    reply::{Refused, json, respond, text},
    status::{self, PlanStatus},
};
use crate::{
    report::{ActivityId, NoClicks, ReportKey},
    server::Body,
    shared::PurgeScope,
    state::SnapshotStore,
    telemetry::Metrics,
};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use hyper::body::Incoming;

/// A snapshot is removed within some milliseconds, unless the disk hangs.
const REMOVED_WITHIN: Duration = Duration::from_secs(5);
const CACHE: &str = "/cache";
/// The description of both ports: deploy/openapi, as one.
const OPENAPI: &str = include_str!("openapi.json");
const TRY: &str = "/try/";
/// The content type of Prometheus' text format.
const METRICS_TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The service of one connection on the admin port.
#[derive(Debug)]
pub struct Admin {
    state: Arc<AdminState>,
    peer: SocketAddr,
}

type Reply = Result<Response<Body>, Refused>;

type Show = fn(&AdminState, &Asked<'_>) -> Reply;

/// What a route that only shows something may read of its request.
struct Asked<'a> {
    path: &'a str,
    headers: &'a HeaderMap,
    query: Option<&'a str>,
}

/// What a request purges.
#[derive(Debug, Clone, Copy)]
enum PurgedEntries {
    All,
    /// Both reports of this activity.
    Of(ActivityId),
}

// === impl PurgedEntries ===

impl PurgedEntries {
    fn scopes(self) -> Vec<PurgeScope> {
        match self {
            Self::All => vec![PurgeScope::All],
            Self::Of(id) => [NoClicks::Omitted, NoClicks::Listed]
                .map(|no_clicks| PurgeScope::Key(ReportKey { id, no_clicks }))
                .into(),
        }
    }
}

// === impl Admin ===

impl Admin {
    /// Serves the client at this address.
    pub const fn new(state: Arc<AdminState>, peer: SocketAddr) -> Self {
        Self { state, peer }
    }

    /// Responds to one request; ignores its body.
    pub fn answer<B>(&self, request: &Request<B>) -> Response<Body> {
        self.route(request).unwrap_or_else(Response::from)
    }

    fn route<B>(&self, request: &Request<B>) -> Reply {
        self.state.browser_guard.check(request)?;
        let path = request.uri().path();
        if path == CACHE {
            return match *request.method() {
                Method::GET | Method::HEAD => {
                    let query = ListQuery::from_query(request.uri().query())?;
                    let AdminState { memory, names, quota, .. } = &*self.state;
                    Ok(json(&query.list(memory, names, quota.snapshot().now())))
                }
                Method::DELETE => self.purge(request, PurgedEntries::All),
                _ => Err(Refused::Method { allow: "GET, HEAD, DELETE" }),
            };
        }
        if let Some(id) = path.strip_prefix("/cache/") {
            let id = ActivityId::parse(id.as_bytes()).map_err(|_| Refused::BadActivityId);
            return match *request.method() {
                Method::GET | Method::HEAD => {
                    let AdminState { memory, names, fleet, quota, .. } = &*self.state;
                    let of = (&**memory, &**names);
                    Ok(json(&Explanation::of(id?, of, fleet.as_ref(), quota.snapshot().now())))
                }
                Method::DELETE => {
                    let id = id?;
                    self.purge(request, PurgedEntries::Of(id))
                }
                _ => Err(Refused::Method { allow: "GET, HEAD, DELETE" }),
            };
        }
        if path.starts_with(TRY) {
            return Err(Refused::Method { allow: "POST" });
        }
        let show = shown(path).ok_or(Refused::NoSuchRoute)?;
        match *request.method() {
            Method::GET | Method::HEAD => {
                show(&self.state, &Asked { path, headers: request.headers(), query: request.uri().query() })
            }
            _ => Err(Refused::Method { allow: "GET, HEAD" }),
        }
    }

    /// The activity whose report `POST /try/{id}` asks for.
    fn tried<B>(&self, request: &Request<B>) -> Result<ActivityId, Refused> {
        self.state.browser_guard.check(request)?;
        may_change(&self.state, self.peer, request)?;
        is_of_no_other_page(request.headers())?;
        let id = request.uri().path().strip_prefix(TRY).unwrap_or_default();
        ActivityId::parse(id.as_bytes()).map_err(|_| Refused::BadActivityId)
    }

    fn purge<B>(&self, request: &Request<B>, entries: PurgedEntries) -> Reply {
        may_change(&self.state, self.peer, request)?;
        // First the queue: else what the store still has could come back into the memory in between.
        if let Some(purges) = &self.state.purges {
            entries.scopes().into_iter().for_each(|scope| purges.add(scope));
        }
        let purged = match entries {
            PurgedEntries::All => self.state.memory.purge_all(),
            PurgedEntries::Of(id) => self.state.memory.purge(id),
        };
        tracing::info!(purged, peer = %self.peer, "cache purged by a request to the admin port");
        Ok(json(&serde_json::json!({ "purged": purged })))
    }
}

impl hyper::service::Service<Request<Incoming>> for Admin {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<Body>, Infallible>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        if request.method() == Method::POST && request.uri().path().starts_with(TRY) {
            let state = Arc::clone(&self.state);
            return match self.tried(&request) {
                Ok(id) => {
                    let query = request.uri().query().map(str::to_owned);
                    async move { Ok(state.trial.run(id, query).await) }.boxed()
                }
                Err(refused) => ready(Ok(refused.into())).boxed(),
            };
        }
        let answered = self.answer(&request);
        let purged = request.method() == Method::DELETE && answered.status().is_success();
        let snapshots = self.state.snapshots.clone().filter(|_| purged);
        async move {
            Ok(match snapshots {
                Some(snapshots) => once_removed(&*snapshots, answered).await,
                None => answered,
            })
        }
        .boxed()
    }
}

/// What this route shows.
fn shown(path: &str) -> Option<Show> {
    Some(match path {
        "/status" => |state, asked| Ok(json_with_etag(asked.headers, &Overview::of(state))),
        "/status/history" => |state, asked| {
            Ok(json_with_etag(asked.headers, &HistoryRows::from_query(asked.query, &state.history)?))
        },
        "/failures" => |state, asked| Ok(json_with_etag(asked.headers, &FailureList::of(state))),
        "/metrics" => |state, _| Ok(state.metrics_text()),
        "/livez" => |_, _| Ok(text(StatusCode::OK, "alive\n")),
        "/readyz" => |state, _| Ok(state.ready()),
        "/version" => |_, _| {
            Ok(json(
                &serde_json::json!({ "version": env!("CARGO_PKG_VERSION"), "revision": Metrics::revision() }),
            ))
        },
        "/config" => |state, _| Ok(json(&state.config.show())),
        "/quota" => |state, _| {
            let snapshot = state.quota.snapshot();
            let plan = PlanStatus::of(&state.memory, snapshot.now());
            let callers = Callers::today(&state.metrics.clients, &snapshot, state.started_at);
            Ok(json(&status::quota(snapshot, plan.as_ref(), state.fleet.as_ref(), &callers)))
        },
        "/openapi.json" => |_, _| Ok(respond(StatusCode::OK, "application/json", OPENAPI)),
        "/fleet" => |state, _| {
            let purges = state.purges.as_ref().map_or(0, |purges| purges.len());
            let shown = state.fleet.as_ref().map(|fleet| fleet.show(&state.quota.snapshot(), purges));
            Ok(json(&shown.unwrap_or_else(fleet::not_shared)))
        },
        "/token" => |state, _| Ok(json(&status::token(state.tokens.snapshot()))),
        "/" => |state, asked| Ok(page::index(state, asked.headers)),
        _ if page::is_asset(path) => {
            |_, asked| page::asset(asked.path, asked.headers).ok_or(Refused::NoSuchRoute)
        }
        _ => return None,
    })
}

/// The answer to a purge, once no snapshot has the purged entries.
async fn once_removed(snapshots: &dyn SnapshotStore, answered: Response<Body>) -> Response<Body> {
    let error = match timeout(REMOVED_WITHIN, snapshots.remove()).await {
        Ok(Ok(())) => return answered,
        Ok(Err(error)) => error.to_string(),
        Err(late) => late.to_string(),
    };
    tracing::warn!(%error, "purged, but the snapshot of the cache in state.dir is still there");
    text(
        StatusCode::INTERNAL_SERVER_ERROR,
        "purged from memory; but the file cache-snapshot in state.dir cannot be removed, and a restart would bring back what it has: try again, or remove it\n",
    )
}

// === impl AdminState ===

impl AdminState {
    fn ready(&self) -> Response<Body> {
        if self.readiness.is_ready() {
            text(StatusCode::OK, "ready\n")
        } else {
            text(StatusCode::SERVICE_UNAVAILABLE, "not ready\n")
        }
    }

    fn metrics_text(&self) -> Response<Body> {
        match self.metrics.render() {
            Ok(rendered) => respond(StatusCode::OK, METRICS_TEXT, rendered),
            Err(error) => {
                tracing::error!(%error, "cannot render the metrics");
                text(StatusCode::INTERNAL_SERVER_ERROR, "metrics cannot be rendered\n")
            }
        }
    }
}
