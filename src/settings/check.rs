//! Checks across keys: limits, combinations, and whether the secret files can be read.

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::time::Duration;

use bytesize::ByteSize;
use http::Uri;

use super::model::{Admin, Cache, Circuit, Clients, Quota, Server, Settings, State, Telemetry, Upstream};
use super::problem::SettingProblems;
use super::secret_file::SecretFile;
use super::shared;
use super::token;
use super::url::is_in_clear;

/// Below this a single large report could evict all others.
const SMALLEST_CACHE: ByteSize = ByteSize::mib(1);
/// Above this a lifetime could be close to zero, or to twice the setting.
const LARGEST_JITTER: f64 = 0.5;
/// Shorter: one report could take several calls of a second. Longer: the plan would have little left to decide.
const REFRESH_INTERVALS: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_hours(1);
/// Above this idle campaigns would take most of the day's calls.
const MOST_UNEXPECTED_CLICKS: f64 = 1_000.0;
/// More than any machine has cores. Each is a thread, started at once: where the system refuses one, tokio panics.
const MOST_WORKERS: usize = 1_024;
/// Above this hardly a call is left for refreshes.
const LARGEST_RESERVE: f64 = 0.9;

/// More often the disk would write the same again and again.
const SHORTEST_SNAPSHOT_INTERVAL: Duration = Duration::from_secs(10);
/// Below this there is hardly room for statistics. Above it a start would take too long.
const SNAPSHOT_SIZES: RangeInclusive<ByteSize> = ByteSize::mib(1)..=ByteSize::gib(1);

/// Adds a problem for each rule that is broken.
pub(super) fn check(settings: &Settings, problems: &mut SettingProblems) {
    let Settings { server, admin, clients, upstream, token, cache, quota, circuit, state, telemetry, .. } =
        settings;
    zeros(server, upstream, cache, circuit, problems);
    workers(server, problems);
    order(server, upstream, circuit, problems);
    ranges(upstream, cache, quota, problems);
    traces(telemetry, problems);
    snapshots(state, problems);
    addresses(server, admin, problems);
    encrypted("upstream.base_url", upstream.base_url.uri(), problems);
    encrypted("token.token_url", token.token_url.uri(), problems);
    encrypted("token.device_authorization_url", token.device_authorization_url.uri(), problems);
    callers(server, clients, problems);
    token::check(token, state, problems);
    shared::check(settings, problems);
    directory(state, problems);
    SecretFile::check(admin.token_file.as_ref(), "admin.token_file", problems);
    SecretFile::check(clients.tokens_file.as_ref(), "clients.tokens_file", problems);
    SecretFile::check(settings.names.file.as_ref(), "names.file", problems);
}

/// The same in a proxy that runs, for the rules between a key that changes and one that waits for a restart. The others are of
/// new keys alone, or of old ones alone: those hold already, and the files that the old ones name may be gone by now.
pub(super) fn check_reloaded(settings: &Settings, problems: &mut SettingProblems) {
    callers(&settings.server, &settings.clients, problems);
}

fn zeros(
    server: &Server,
    upstream: &Upstream,
    cache: &Cache,
    circuit: &Circuit,
    problems: &mut SettingProblems,
) {
    let never_zero = [
        ("server.request_timeout", server.request_timeout),
        ("server.header_timeout", server.header_timeout),
        ("server.idle_timeout", server.idle_timeout),
        ("upstream.connect_timeout", upstream.connect_timeout),
        ("upstream.attempt_timeout", upstream.attempt_timeout),
        ("cache.ttl", cache.ttl),
        ("cache.empty_ttl", cache.empty_ttl),
        ("cache.negative_ttl", cache.negative_ttl),
        ("cache.client_no_cache_interval", cache.client_no_cache_interval),
        ("circuit.open_min", circuit.open_min),
        ("circuit.open_max", circuit.open_max),
    ];
    for (key, duration) in never_zero {
        if duration.is_zero() {
            problems.add(key, "must be longer than 0s: give it a time like \"30s\", or leave it out");
        }
    }
}

fn workers(server: &Server, problems: &mut SettingProblems) {
    if server.workers.is_some_and(|workers| workers.get() > MOST_WORKERS) {
        problems.add("server.workers", format!("must be at most {MOST_WORKERS}: each is a thread"));
    }
}

fn order(server: &Server, upstream: &Upstream, circuit: &Circuit, problems: &mut SettingProblems) {
    let pairs = [
        (
            ("upstream.connect_timeout", upstream.connect_timeout),
            ("upstream.attempt_timeout", upstream.attempt_timeout),
        ),
        (
            ("upstream.attempt_timeout", upstream.attempt_timeout),
            ("server.request_timeout", server.request_timeout),
        ),
        (("circuit.open_min", circuit.open_min), ("circuit.open_max", circuit.open_max)),
    ];
    for ((key, shorter), (longer_key, longer)) in pairs {
        // A zero is reported by `zeros` already.
        if shorter > longer && !longer.is_zero() {
            let show = |duration: Duration| humantime::format_duration(duration);
            let (shorter, longer) = (show(shorter), show(longer));
            problems.add(
                key,
                format!(
                    "{shorter} is longer than {longer_key}, which is {longer}: shorten it or lengthen the other"
                ),
            );
        }
    }
}

fn ranges(upstream: &Upstream, cache: &Cache, quota: &Quota, problems: &mut SettingProblems) {
    if upstream.max_body == ByteSize(0) {
        problems.add("upstream.max_body", "must be larger than 0: every report would be refused");
    }
    if cache.max_bytes < SMALLEST_CACHE {
        problems.add("cache.max_bytes", "must be at least 1MiB: one report could evict all others");
    }
    // NaN is in no range.
    if !(0.0..=LARGEST_JITTER).contains(&cache.ttl_jitter) {
        problems.add("cache.ttl_jitter", "must be a fraction from 0 to 0.5");
    }
    if !REFRESH_INTERVALS.contains(&cache.min_refresh_interval) {
        problems.add("cache.min_refresh_interval", "must be a time from 1s to 1h");
    }
    if !(0.0..=MOST_UNEXPECTED_CLICKS).contains(&cache.unexpected_clicks) {
        problems.add("cache.unexpected_clicks", "must be a number from 0 to 1000");
    }
    if !(0.0..=LARGEST_RESERVE).contains(&quota.reserve) {
        problems.add("quota.reserve", "must be a fraction from 0 to 0.9");
    }
    if !(quota.refresh_hour_share > 0.0 && quota.refresh_hour_share <= 1.0) {
        problems.add("quota.refresh_hour_share", "must be a fraction above 0, at most 1");
    }
}

fn traces(telemetry: &Telemetry, problems: &mut SettingProblems) {
    if !(0.0..=1.0).contains(&telemetry.trace_ratio) {
        problems.add("telemetry.trace_ratio", "must be a fraction from 0 to 1");
    }
}

fn snapshots(state: &State, problems: &mut SettingProblems) {
    if !state.snapshot_interval.is_zero() && state.snapshot_interval < SHORTEST_SNAPSHOT_INTERVAL {
        problems.add("state.snapshot_interval", "must be at least 10s, or 0: each writes the whole cache");
    }
    if !SNAPSHOT_SIZES.contains(&state.snapshot_max_bytes) {
        problems.add("state.snapshot_max_bytes", "must be a size from 1MiB to 1GiB");
    }
}

fn addresses(server: &Server, admin: &Admin, problems: &mut SettingProblems) {
    if collide(server.listen, admin.listen) {
        problems.add("admin.listen", "takes the port of server.listen: change one of them");
    }
}

fn collide(one: SocketAddr, other: SocketAddr) -> bool {
    let chosen_by_system = one.port() == 0;
    let any = |addr: SocketAddr| addr.ip().is_unspecified();
    let same_family = one.is_ipv4() == other.is_ipv4();
    one.port() == other.port()
        && !chosen_by_system
        && same_family
        && (one.ip() == other.ip() || any(one) || any(other))
}

fn encrypted(key: &str, url: &Uri, problems: &mut SettingProblems) {
    if is_in_clear(url) {
        problems
            .add(key, "must be https: http would send the token unencrypted to a host that is not loopback");
    }
}

fn callers(server: &Server, clients: &Clients, problems: &mut SettingProblems) {
    match (&clients.tokens_file, clients.allow_anonymous) {
        (Some(_), true) => problems.add(
            "clients.allow_anonymous",
            "contradicts clients.tokens_file, which requires a token: set one of the two",
        ),
        (None, false) if !server.listen.ip().is_loopback() => problems.add(
            "server.listen",
            "is not loopback, so anyone could read the reports: set clients.tokens_file, \
             or clients.allow_anonymous = true if anyone may read them",
        ),
        (Some(_), false) | (None, true | false) => {}
    }
}

fn directory(state: &State, problems: &mut SettingProblems) {
    if state.dir.as_ref().is_some_and(|dir| dir.exists() && !dir.is_dir()) {
        problems.add("state.dir", "is not a directory: name a directory, or a path that does not exist yet");
    }
}
