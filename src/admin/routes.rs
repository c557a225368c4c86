//! The admin port's routes: `/metrics`, `/livez`, `/readyz`, `/version`, `/config`, `/quota`, `/token`, `/fleet`,
//! `/openapi.json`, `/cache`, and `DELETE /cache` to purge.

use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, SystemTime},
};

use futures_util::future::{BoxFuture, FutureExt as _};
use tokio::time::timeout;

use super::{
    FleetStatus, Readiness, ShownConfig,
    callers::Callers,
    explain::Explanation,
    fleet,
    list::Page,
    reply::{Refused, json, respond, text},
    status::{self, PlanStatus},
};
use crate::{
    cache::ReportCache,
    quota::Quota,
    report::{ActivityId, NoClicks, ReportKey},
    server::{BearerAuth, Body, BrowserGuard, BrowserRefusal},
    shared::{PurgeQueue, PurgeScope},
    state::SnapshotStore,
    telemetry::Metrics,
    token::TokenManager,
};
use http::{Method, Request, Response, StatusCode};
use hyper::body::Incoming;

/// A snapshot is removed within some milliseconds, unless the disk hangs.
const REMOVED_WITHIN: Duration = Duration::from_secs(5);
const CACHE: &str = "/cache";
/// The description of both ports: deploy/openapi, as one.
const OPENAPI: &str = include_str!("openapi.json");
/// The content type of Prometheus' text format.
const METRICS_TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What the admin port shows, and who may purge.
#[derive(Debug)]
pub struct AdminState {
    /// Rejects requests sent by pages of other web sites.
    pub browser_guard: BrowserGuard,
    /// Shown by `/readyz`.
    pub readiness: Readiness,
    /// Shown by `/metrics`.
    pub metrics: Arc<Metrics>,
    /// Shown by `/cache`.
    pub memory: Arc<ReportCache>,
    /// Shown by `/quota`.
    pub quota: Quota,
    /// Since when calls are counted by client: when the process started.
    pub started_at: SystemTime,
    /// Shown by `/token`.
    pub tokens: TokenManager,
    /// Shown by `/config`.
    pub config: Arc<ShownConfig>,
    /// The token that purging requires; `None`: any client on this machine may purge, and no other.
    pub purge_auth: Option<BearerAuth>,
    /// Shown by `/fleet`; `None`: nothing is shared.
    pub fleet: Option<FleetStatus>,
    /// Tells the other replicas of a purge; `None`: nothing is shared.
    pub purges: Option<Arc<PurgeQueue>>,
    /// Where a purged entry must not come back from; `None`: no snapshots are kept.
    pub snapshots: Option<Arc<dyn SnapshotStore>>,
}

/// The service of one connection on the admin port.
#[derive(Debug)]
pub struct Admin {
    state: Arc<AdminState>,
    peer: SocketAddr,
}

type Reply = Result<Response<Body>, Refused>;

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
                Method::GET => Ok(json(&Page::from_query(request.uri().query())?.list(&self.state.memory))),
                Method::DELETE => self.purge(request, PurgedEntries::All),
                _ => Err(Refused::Method { allow: "GET, DELETE" }),
            };
        }
        if let Some(id) = path.strip_prefix("/cache/") {
            let id = ActivityId::parse(id.as_bytes()).map_err(|_| Refused::BadActivityId);
            return match *request.method() {
                Method::GET => {
                    let AdminState { memory, fleet, quota, .. } = &*self.state;
                    Ok(json(&Explanation::of(id?, memory, fleet.as_ref(), quota.snapshot().now())))
                }
                Method::DELETE => {
                    let id = id?;
                    self.purge(request, PurgedEntries::Of(id))
                }
                _ => Err(Refused::Method { allow: "GET, DELETE" }),
            };
        }
        let show: fn(&AdminState) -> Response<Body> = match path {
            "/metrics" => AdminState::metrics,
            "/livez" => |_| text(StatusCode::OK, "alive\n"),
            "/readyz" => AdminState::ready,
            "/version" => |_| {
                json(
                    &serde_json::json!({ "version": env!("CARGO_PKG_VERSION"), "revision": Metrics::revision() }),
                )
            },
            "/config" => |state| json(&state.config.show()),
            "/quota" => |state| {
                let snapshot = state.quota.snapshot();
                let plan = state.memory.plan_status(snapshot.now()).zip(state.memory.probe_status());
                let derivation = state.memory.derivation_status();
                let plan = plan.map(|(price, probe)| PlanStatus { price, probe, derivation });
                let callers = Callers::today(&state.metrics.clients, &snapshot, state.started_at);
                json(&status::quota(snapshot, plan.as_ref(), state.fleet.as_ref(), &callers))
            },
            "/openapi.json" => |_| respond(StatusCode::OK, "application/json", OPENAPI),
            "/fleet" => |state| {
                let purges = state.purges.as_ref().map_or(0, |purges| purges.len());
                let shown = state.fleet.as_ref().map(|fleet| fleet.show(&state.quota.snapshot(), purges));
                json(&shown.unwrap_or_else(fleet::not_shared))
            },
            "/token" => |state| json(&status::token(state.tokens.snapshot())),
            _ => return Err(Refused::NoSuchRoute),
        };
        match *request.method() {
            Method::GET | Method::HEAD => Ok(show(&self.state)),
            _ => Err(Refused::Method { allow: "GET, HEAD" }),
        }
    }

    fn purge<B>(&self, request: &Request<B>, entries: PurgedEntries) -> Reply {
        match &self.state.purge_auth {
            Some(purge_auth) if purge_auth.admit(request.headers()).is_none() => {
                return Err(Refused::Unauthenticated);
            }
            None if !self.peer.ip().to_canonical().is_loopback() => return Err(Refused::NotLoopback),
            // A browser on this machine connects from loopback too, also to a listener that does not check `Host`.
            None if !self.state.browser_guard.names_this_machine(request) => {
                return Err(BrowserRefusal::HostNotAllowed.into());
            }
            Some(_) | None => {}
        }
        let purged = match entries {
            PurgedEntries::All => self.state.memory.purge_all(),
            PurgedEntries::Of(id) => self.state.memory.purge(id),
        };
        if let Some(purges) = &self.state.purges {
            entries.scopes().into_iter().for_each(|scope| purges.add(scope));
        }
        tracing::info!(purged, peer = %self.peer, "cache purged by a request to the admin port");
        Ok(json(&serde_json::json!({ "purged": purged })))
    }
}

impl hyper::service::Service<Request<Incoming>> for Admin {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<Body>, Infallible>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
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

    fn metrics(&self) -> Response<Body> {
        match self.metrics.render() {
            Ok(rendered) => respond(StatusCode::OK, METRICS_TEXT, rendered),
            Err(error) => {
                tracing::error!(%error, "cannot render the metrics");
                text(StatusCode::INTERNAL_SERVER_ERROR, "metrics cannot be rendered\n")
            }
        }
    }
}
