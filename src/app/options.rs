//! Converts the settings to each module's options: cache, quota, circuit breaker, CORS, browser guard.

use std::{
    net::SocketAddr,
    num::NonZeroU32,
    time::{Duration, SystemTime},
};

use http::{
    HeaderName, HeaderValue, Method,
    header::{AGE, CONTENT_DISPOSITION, ETAG, ORIGIN, RETRY_AFTER},
};
use tower_http::cors::{AllowHeaders, AllowOrigin, CorsLayer};

use crate::{
    cache::{CacheOptions, PlanClock, RefreshPlanOptions, RefreshSchedule, RefreshWaiting, StatusChecking},
    inbound::{CallersTraces, NoCache},
    quota::QuotaLimits,
    refresh::{PriceLimits, RefreshPolicy, ShadowMode},
    report::LifetimePolicy,
    resilience::CircuitLimits,
    server::{AllowedOrigins, BrowserGuard},
    settings::{self, ClientNoCache, HostName, Settings},
};

/// How long a browser may cache a CORS preflight response.
const PREFLIGHT_AGE: Duration = Duration::from_secs(60 * 60);

/// The options of the cache; `now` is the calendar time. Logs a warning if a report of the largest allowed size cannot be
/// cached.
pub fn cache_options(settings: &Settings, now: SystemTime) -> CacheOptions {
    let cache = &settings.cache;
    let max_body = settings.upstream.max_body;
    if cache.max_bytes < max_body {
        tracing::warn!(
            max_bytes = %cache.max_bytes,
            %max_body,
            "cache.max_bytes is less than upstream.max_body: a report larger than the cache is served once, then 502 while its fetches back off; raise cache.max_bytes"
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
        client_no_cache_interval: cache.client_no_cache_interval,
        refresh: refresh_schedule(settings),
        derivation: match cache.derive_clicked {
            settings::DerivationMode::Off => ShadowMode::Off,
            settings::DerivationMode::Verify => ShadowMode::Verify,
            settings::DerivationMode::On => ShadowMode::On,
        },
        statuses: if settings.status.enabled { StatusChecking::On } else { StatusChecking::Off },
        clock: PlanClock::starting_at(now),
    }
}

/// Without a daily limit no call has a price, so lifetimes are fixed.
fn refresh_schedule(settings: &Settings) -> RefreshSchedule {
    let (cache, quota) = (&settings.cache, &settings.quota);
    let waiting = match cache.refresh {
        settings::RefreshMode::Fixed => return RefreshSchedule::Fixed,
        settings::RefreshMode::Planned => RefreshWaiting::Rarely,
        settings::RefreshMode::Before => RefreshWaiting::Shortly,
    };
    if quota.per_day == 0 {
        return RefreshSchedule::Fixed;
    }
    RefreshSchedule::Planned(RefreshPlanOptions {
        policy: RefreshPolicy {
            min_refresh_interval: cache.min_refresh_interval,
            stale_while_revalidate: cache.stale_while_revalidate,
        },
        unexpected_clicks: cache.unexpected_clicks,
        limits: PriceLimits { per_day: quota.per_day, reserve: quota.reserve },
        hour_share: quota.refresh_hour_share,
        waiting,
        probes: match settings.upstream.change_probe {
            settings::ProbeMode::Off => ShadowMode::Off,
            settings::ProbeMode::Verify => ShadowMode::Verify,
            settings::ProbeMode::On => ShadowMode::On,
        },
    })
}

/// The limits of the quota; 0 in the settings means not limited.
pub fn quota_limits(quota: &settings::Quota) -> QuotaLimits {
    QuotaLimits {
        per_second: NonZeroU32::new(quota.per_second),
        per_day: NonZeroU32::new(quota.per_day),
        reserve: quota.reserve,
        max_wait: quota.max_wait,
    }
}

pub(super) fn circuit(circuit: &settings::Circuit) -> CircuitLimits {
    CircuitLimits {
        failures: NonZeroU32::new(circuit.consecutive_failures),
        open_for: circuit.open_min,
        open_max: circuit.open_max,
    }
}

pub(super) fn cors(origins: AllowedOrigins) -> CorsLayer {
    let shown = ["cache-status", "proxy-status", "x-request-id"].map(HeaderName::from_static);
    CorsLayer::new()
        .allow_origin(AllowOrigin::predicate(move |origin, _request| origins.allows(origin)))
        .allow_methods([Method::GET, Method::HEAD])
        // The proxy forwards no request header, so any may be allowed.
        .allow_headers(AllowHeaders::mirror_request())
        .expose_headers(
            shown.into_iter().chain([AGE, CONTENT_DISPOSITION, ETAG, RETRY_AFTER]).collect::<Vec<_>>(),
        )
        .vary([ORIGIN])
        .max_age(PREFLIGHT_AGE)
}

/// Whether a client's `traceparent` is looked at.
pub(super) fn callers_traces(settings: &Settings) -> CallersTraces {
    match settings.telemetry.otlp_endpoint {
        Some(_) => CallersTraces::Recorded,
        None => CallersTraces::Ignored,
    }
}

/// What a client's `no-cache` does.
pub(super) fn no_cache(cache: &settings::Cache) -> NoCache {
    match cache.client_no_cache {
        ClientNoCache::Ignore => NoCache::Ignored,
        ClientNoCache::Limited => NoCache::Limited,
    }
}

/// The browser guard of the port that listens on this address.
pub(super) fn browser_guard(
    settings: &Settings,
    listen: SocketAddr,
    origins: AllowedOrigins,
) -> BrowserGuard {
    let hosts: Vec<_> = settings.server.allowed_hosts.iter().map(HostName::as_str).collect();
    BrowserGuard::new(listen.ip(), &hosts, origins)
}

pub(super) fn allowed_origins(cors: &settings::Cors) -> Vec<HeaderValue> {
    cors.allowed_origins.iter().map(|origin| origin.header().clone()).collect()
}
