//! What the admin port shows, and who may change anything.

use std::{net::SocketAddr, sync::Arc, time::SystemTime};

use super::{ActivityNames, FleetStatus, Readiness, ReportTrial, ShownConfig, history::History};
use crate::{
    cache::ReportCache,
    quota::Quota,
    resilience::CircuitBreaker,
    server::{BearerAuth, BrowserGuard},
    shared::PurgeQueue,
    state::SnapshotStore,
    telemetry::Metrics,
    token::TokenManager,
    upstream::RecentCalls,
};

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
    /// Shown beside the ids in `/cache`.
    pub names: Arc<ActivityNames>,
    /// Shown by `/status`.
    pub(crate) about: ProcessAbout,
    pub(crate) circuit: CircuitBreaker,
    pub(crate) recent_calls: RecentCalls,
    pub(crate) history: Arc<History>,
    /// Asked by `POST /try`.
    pub(crate) trial: ReportTrial,
}

/// What tells this process from others.
#[derive(Debug)]
pub(crate) struct ProcessAbout {
    /// On Kubernetes, the pod's name.
    pub(crate) host: Box<str>,
    /// `server.listen`
    pub(crate) data: SocketAddr,
}
