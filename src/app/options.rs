//! From the settings to the options of each part.

use std::{net::SocketAddr, num::NonZeroU32, time::Duration};

use http::{
    HeaderName, HeaderValue, Method,
    header::{AGE, ETAG, ORIGIN, RETRY_AFTER},
};
use tower_http::cors::{AllowHeaders, AllowOrigin, CorsLayer};

use crate::{
    cache::CacheOptions,
    quota::QuotaLimits,
    report::LifetimePolicy,
    resilience::CircuitLimits,
    server::BrowserGuard,
    settings::{self, HostName, Settings},
};

/// A browser may remember a preflight's answer for this long.
const PREFLIGHT_AGE: Duration = Duration::from_secs(60 * 60);

pub(super) fn cache(settings: &Settings) -> CacheOptions {
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

pub(super) fn quota(quota: &settings::Quota) -> QuotaLimits {
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

pub(super) fn cors(cors: &settings::Cors) -> Option<CorsLayer> {
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
pub(super) fn browser_guard(settings: &Settings, listen: SocketAddr) -> BrowserGuard {
    let hosts: Vec<_> = settings.server.allowed_hosts.iter().map(HostName::as_str).collect();
    BrowserGuard::new(listen.ip(), &hosts, &allowed_origins(&settings.cors))
}

fn allowed_origins(cors: &settings::Cors) -> Vec<HeaderValue> {
    cors.allowed_origins.iter().map(|origin| origin.header().clone()).collect()
}
