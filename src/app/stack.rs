//! Both stacks, top to bottom.

use std::{net::SocketAddr, num::NonZeroU32, sync::Arc, time::Duration};

use futures_util::future::BoxFuture;
use http::{
    HeaderName, HeaderValue, Method,
    header::{AGE, ETAG, ORIGIN, RETRY_AFTER},
};
use hyper_util::client::legacy::connect::Connect;
use secrecy::SecretString;
use tower::{ServiceBuilder, util::BoxCloneSyncService};
use tower_http::cors::{AllowHeaders, AllowOrigin, CorsLayer};

use super::{Dependencies, Environment, SetupError, labels};
use crate::{
    admin::{AdminState, Readiness},
    cache::{CacheLayer, CacheOptions, ReportCache},
    inbound::{
        AccessLog, CrossOrigin, NoCache, ReportEndpoint, ReportService, RespondLayer, Responder,
        ServiceContext, SlowPath,
    },
    quota::{InitialCount, Quota, QuotaLayer, QuotaLimits},
    report::{Call, FetchError, Fetched, LifetimePolicy, QuotaPressureFn},
    resilience::{BreakerLayer, CircuitLimits, RetryOnceLayer, TokenGeneration},
    server::{BearerAuth, BrowserGuard},
    settings::{self, ClientNoCache, HostName, SecretContent, SecretFile, Settings, TokenSourceKind},
    state::{self, Durability, Inbox, StateStore},
    telemetry::{Metrics, TokenMetrics},
    token::{
        AuthorizeLayer, RefreshTokenSources, RenewalConfig, TokenGateLayer, TokenManager, TokenSetupError,
        TokenSource,
    },
    upstream::{Fetch, FetchLimits, FormClient, HttpClient, OnSend},
};

/// A browser may remember a preflight's answer for this long.
const PREFLIGHT_AGE: Duration = Duration::from_secs(60 * 60);

/// For one renewal of the token. Longer than a call's: the answer to a rotating refresh token that is not waited for is
/// lost, and with it the token. Within `shutdown.grace`, in which a renewal under way is brought to its end.
const TOKEN_DEADLINE: Duration = Duration::from_secs(20);

/// Everything that makes calls, behind one name: only misses pass here, and a box is nothing beside a call.
pub type Calls = BoxCloneSyncService<Call, Fetched, FetchError>;

/// Everything that answers. No port is open yet, no call made.
pub struct App {
    /// The data port's service.
    pub front: Arc<ReportService<Calls>>,
    /// The admin port's state.
    pub admin: Arc<AdminState>,
    /// What has to run beside the ports; each runs until it is dropped.
    pub background: Vec<BoxFuture<'static, ()>>,
}

// === impl App ===

impl App {
    /// Puts everything together, with `connector` for every upstream connection and a store that ends with the app.
    ///
    /// # Errors
    /// As [`App::build`].
    pub fn new<C>(settings: &Settings, connector: C) -> Result<Self, SetupError>
    where
        C: Connect + Clone + Send + Sync + 'static,
    {
        let (api, authority) = (connector.clone(), connector);
        let (store, world) = (Arc::new(state::MemoryStore::default()), Environment::default());
        Self::build(settings, Dependencies { api, authority, store, world })
    }

    /// Puts everything together. Reads the store and the files that the settings name on this thread; needs a tokio
    /// runtime.
    ///
    /// # Errors
    /// [`SetupError`] names the setting that cannot be used.
    pub fn build<C>(settings: &Settings, dependencies: Dependencies<C>) -> Result<Self, SetupError>
    where
        C: Connect + Clone + Send + Sync + 'static,
    {
        let Dependencies { api, authority, store, world: Environment { clock, opening } } = dependencies;
        let metrics = Arc::new(Metrics::new());
        labels::announce(&metrics);
        metrics.state.damaged_files(store.damaged_files());
        let mut background = Vec::new();

        let tokens = tokens(settings, authority, Arc::clone(&store), metrics.token.clone())?;
        let limits = quota_limits(&settings.quota);
        let opening = InitialCount::of(&store).map_err(SetupError::Ledger)?.unwrap_or(opening);
        let quota = Quota::new(limits, opening, clock, metrics.quota.clone());
        let calls = calls(settings, api, &tokens, &quota, &metrics)?;
        let memory =
            Arc::new(ReportCache::new(memory_options(settings), pressure_of(&quota), metrics.cache.clone()));
        let clients = bearer_auth(
            "clients.tokens_file",
            settings.clients.tokens_file.as_ref(),
            |tokens| tokens,
            &mut background,
        )?;
        let purge_auth = bearer_auth(
            "admin.token_file",
            settings.admin.token_file.as_ref(),
            |token| vec![token],
            &mut background,
        )?;

        let cross_origin = match settings.cors.allowed_origins.as_slice() {
            [] => CrossOrigin::Off,
            [_, ..] => CrossOrigin::On,
        };
        let answers = ServiceContext {
            browser_guard: browser_guard(settings, settings.server.listen),
            clients: clients.unwrap_or_else(BearerAuth::anybody),
            no_cache: match settings.cache.client_no_cache {
                ClientNoCache::Ignore => NoCache::Ignored,
                ClientNoCache::Limited => NoCache::Limited,
            },
            cache: ServiceBuilder::new().layer(CacheLayer::new(Arc::clone(&memory))).service(calls),
            responder: Arc::new(Responder::new(match cross_origin {
                CrossOrigin::Off => HeaderValue::from_static("accept-encoding"),
                CrossOrigin::On => HeaderValue::from_static("accept-encoding, origin"),
            })),
            cross_origin,
        };
        let slow_path = slow_path(settings, &answers);
        let front = ReportService::new(answers, slow_path, AccessLog::new(metrics.requests.clone()));

        background.push(Box::pin(tokens.clone().watch()));
        let (seen_memory, seen_quota, seen_tokens) = (Arc::clone(&memory), quota.clone(), tokens.clone());
        metrics.before_scrape(move || {
            seen_memory.observe();
            seen_tokens.observe();
            seen_quota.observe();
        });
        let admin = AdminState {
            browser_guard: browser_guard(settings, settings.admin.listen),
            readiness: Readiness::default(),
            metrics,
            memory,
            quota,
            tokens,
            settings: settings.effective(),
            purge_auth,
        };
        Ok(Self { front: Arc::new(front), admin: Arc::new(admin), background })
    }
}

/// The slow path: what memory cannot answer.
fn slow_path(settings: &Settings, answers: &ServiceContext<Calls>) -> SlowPath {
    let stack = ServiceBuilder::new()
        // Outermost: a browser must be allowed to read errors too.
        .option_layer(cors(&settings.cors))
        // The one place where errors become HTTP.
        .layer(RespondLayer)
        // HTTP ends here. Deadline and load are no layers above it: whoever is turned away for one of them gets the old
        // copy if one is held, and only below this layer is it known which.
        .service(ReportEndpoint::new(answers.clone(), settings.server.max_in_flight));
    SlowPath::new(stack)
}

/// What a call passes on its way to the wire.
fn calls<C>(
    settings: &Settings,
    connector: C,
    tokens: &TokenManager,
    quota: &Quota,
    metrics: &Metrics,
) -> Result<Calls, SetupError>
where
    C: Connect + Clone + Send + Sync + 'static,
{
    let generation = {
        let tokens = tokens.clone();
        TokenGeneration::new(move || tokens.generation())
    };
    // The next call is let go when the one before it is on the wire, whatever its connection took.
    let on_send = {
        let quota = quota.clone();
        OnSend::new(move || quota.sent())
    };
    let wire = ServiceBuilder::new()
        // The last before the wire: nothing above ever sees the token.
        .layer(AuthorizeLayer::new(tokens.clone()))
        .service(HttpClient::new(connector).telling(on_send));
    let limits = FetchLimits {
        attempt: settings.upstream.attempt_timeout,
        max_body: settings.upstream.max_body.as_u64(),
    };
    let stack = ServiceBuilder::new()
        // Outermost: a second attempt passes circuit, quota and token again, and is counted as the first was.
        .layer(RetryOnceLayer::new(generation, pressure_of(quota)))
        // Outside the quota: an open circuit must not spend calls.
        .layer(BreakerLayer::new(circuit_limits(&settings.circuit), metrics.circuit.clone()))
        // Before the quota: what would find no token to send, or one that is known to be refused, need not queue for its
        // turn, nor be paid for.
        .layer(TokenGateLayer::new(tokens.clone()))
        // The scarce good. Counts before sending: whatever leaves has been paid for.
        .layer(QuotaLayer::new(quota.clone()))
        // From the domain's words to HTTP and back; the attempt's deadline covers the body.
        .service(Fetch::new(wire, settings.upstream.base_url.clone(), limits, metrics.upstream.clone()));
    Ok(Calls::new(stack))
}

/// How scarce calls are, for those who must not know the quota.
fn pressure_of(quota: &Quota) -> QuotaPressureFn {
    let quota = quota.clone();
    QuotaPressureFn::new(move |now| quota.quota_pressure(now))
}

fn cors(cors: &settings::Cors) -> Option<CorsLayer> {
    let origins = allowed_origins(cors);
    let shown = ["cache-status", "proxy-status", "x-request-id"].map(HeaderName::from_static);
    (!origins.is_empty()).then(|| {
        CorsLayer::new()
            .allow_origin(AllowOrigin::list(origins))
            .allow_methods([Method::GET, Method::HEAD])
            // No request header changes what is sent out: each may come.
            .allow_headers(AllowHeaders::mirror_request())
            .expose_headers(shown.into_iter().chain([AGE, ETAG, RETRY_AFTER]).collect::<Vec<_>>())
            .vary([ORIGIN])
            .max_age(PREFLIGHT_AGE)
    })
}

/// One rule for both ports, each by its own address.
fn browser_guard(settings: &Settings, listen: SocketAddr) -> BrowserGuard {
    let hosts: Vec<_> = settings.server.allowed_hosts.iter().map(HostName::as_str).collect();
    BrowserGuard::new(listen.ip(), &hosts, &allowed_origins(&settings.cors))
}

fn allowed_origins(cors: &settings::Cors) -> Vec<HeaderValue> {
    cors.allowed_origins.iter().map(|origin| origin.header().clone()).collect()
}

/// Reads a secret file of bearer tokens, and has its changes taken up.
fn bearer_auth<T: SecretContent + Send + 'static>(
    key: &'static str,
    file: Option<&SecretFile<T>>,
    tokens: impl Fn(T) -> Vec<SecretString> + Send + 'static,
    background: &mut Vec<BoxFuture<'static, ()>>,
) -> Result<Option<BearerAuth>, SetupError> {
    let Some(file) = file else { return Ok(None) };
    let (first, mut watch) = file.watch().map_err(|source| SetupError::SecretFile { key, source })?;
    let bearer_auth = BearerAuth::with_tokens(&tokens(first));
    let held = bearer_auth.clone();
    background.push(Box::pin(async move {
        loop {
            match watch.changed().await {
                Ok(changed) => {
                    held.replace(&tokens(changed));
                    tracing::info!(key, "tokens reloaded from the changed file");
                }
                Err(error) => tracing::warn!(key, %error, "cannot reload tokens, keeping the current ones"),
            }
        }
    }));
    Ok(Some(bearer_auth))
}

fn memory_options(settings: &Settings) -> CacheOptions {
    let cache = &settings.cache;
    let max_body = settings.upstream.max_body;
    if cache.max_bytes < max_body {
        tracing::warn!(
            max_bytes = %cache.max_bytes,
            %max_body,
            "cache.max_bytes is less than upstream.max_body: a report that does not fit is fetched, answered once and then answered 502 between calls further and further apart"
        );
    }
    CacheOptions {
        lifetimes: LifetimePolicy {
            ttl: cache.ttl,
            ttl_jitter: cache.ttl_jitter,
            empty_ttl: cache.empty_ttl,
            negative_ttl: cache.negative_ttl,
            stale_while_revalidate: cache.stale_while_revalidate,
            stale_if_error: cache.stale_if_error,
        },
        max_bytes: cache.max_bytes.as_u64(),
        request_timeout: settings.server.request_timeout,
        client_no_cache_interval: cache.client_no_cache_interval,
    }
}

fn tokens<C>(
    settings: &Settings,
    authority: C,
    store: Arc<dyn StateStore>,
    metrics: TokenMetrics,
) -> Result<TokenManager, TokenSetupError>
where
    C: Connect + Clone + Send + Sync + 'static,
{
    let token = &settings.token;
    match token.source {
        TokenSourceKind::Static => Ok(TokenManager::new(
            TokenSource::Static(token.access_token.clone().unwrap_or_default()),
            metrics,
        )),
        TokenSourceKind::File => {
            let file = given(None, token.access_token_file.as_ref());
            // The settings are checked: the file is named.
            Ok(TokenManager::new(
                file.unwrap_or_else(|| TokenSource::Static(SecretString::default())),
                metrics,
            ))
        }
        TokenSourceKind::Refresh => {
            let renewing = RenewalConfig {
                url: token.token_url.uri().clone(),
                form_client: FormClient::new(authority, TOKEN_DEADLINE),
                client_id: token.client_id.clone().unwrap_or_default(),
                client_secret: given(token.client_secret.as_ref(), token.client_secret_file.as_ref()),
            };
            let seeds = RefreshTokenSources {
                configured: given(token.refresh_token.as_ref(), token.refresh_token_file.as_ref()),
                inbox: match store.durability() {
                    Durability::Durable => settings.state.dir.as_ref().map(Inbox::of),
                    // What is taken out of the inbox is gone from the disk, and this store does not keep it either.
                    Durability::Volatile => None,
                },
            };
            TokenManager::renewed(renewing, seeds, store, metrics)
        }
    }
}

fn given(secret: Option<&SecretString>, file: Option<&SecretFile<SecretString>>) -> Option<TokenSource> {
    secret.cloned().map(TokenSource::Static).or_else(|| file.cloned().map(TokenSource::File))
}

fn quota_limits(quota: &settings::Quota) -> QuotaLimits {
    QuotaLimits {
        per_second: NonZeroU32::new(quota.per_second),
        per_day: NonZeroU32::new(quota.per_day),
        reserve: quota.reserve,
        max_wait: quota.max_wait,
    }
}

fn circuit_limits(circuit: &settings::Circuit) -> CircuitLimits {
    CircuitLimits {
        failures: NonZeroU32::new(circuit.consecutive_failures),
        open_for: circuit.open_min,
        open_max: circuit.open_max,
    }
}
