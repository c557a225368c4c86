//! What no single key can tell: limits, combinations, and whether the secret files can be read.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use bytesize::ByteSize;
use http::Uri;
use http::uri::Scheme;

use super::model::{Admin, Cache, Circuit, Clients, Server, Settings, Token, Upstream};
use super::problem::Problems;
use super::secret_file::{SecretContent, SecretFile};
use super::word::TokenSource;

/// Below this a single large report could push out all others.
const SMALLEST_CACHE: ByteSize = ByteSize::mib(1);
/// Above this a lifetime could come out as nothing, or as twice what was asked for.
const LARGEST_JITTER: f64 = 0.5;

/// Adds a problem for each rule that is broken.
pub(super) fn check(settings: &Settings, problems: &mut Problems) {
    let Settings { server, admin, clients, upstream, token, cache, circuit, .. } = settings;
    zeros(server, upstream, cache, circuit, problems);
    order(server, upstream, circuit, problems);
    sizes(upstream, cache, problems);
    addresses(server, admin, problems);
    base_url(&upstream.base_url, problems);
    callers(server, clients, problems);
    access_token(token, problems);
    secret_file("admin.token_file", admin.token_file.as_ref(), problems);
    secret_file("clients.tokens_file", clients.tokens_file.as_ref(), problems);
}

fn zeros(server: &Server, upstream: &Upstream, cache: &Cache, circuit: &Circuit, problems: &mut Problems) {
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
        ("circuit.open_for", circuit.open_for),
        ("circuit.open_max", circuit.open_max),
    ];
    for (key, duration) in never_zero {
        if duration.is_zero() {
            problems.add(key, "must be longer than 0s: give it a time like \"30s\", or leave it out");
        }
    }
}

fn order(server: &Server, upstream: &Upstream, circuit: &Circuit, problems: &mut Problems) {
    let pairs = [
        (
            ("upstream.connect_timeout", upstream.connect_timeout),
            ("upstream.attempt_timeout", upstream.attempt_timeout),
        ),
        (
            ("upstream.attempt_timeout", upstream.attempt_timeout),
            ("server.request_timeout", server.request_timeout),
        ),
        (("circuit.open_for", circuit.open_for), ("circuit.open_max", circuit.open_max)),
    ];
    for ((key, shorter), (longer_key, longer)) in pairs {
        // A zero has its own line already.
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

fn sizes(upstream: &Upstream, cache: &Cache, problems: &mut Problems) {
    if upstream.max_body == ByteSize(0) {
        problems.add("upstream.max_body", "must be larger than 0: no report would fit");
    }
    if cache.max_bytes < SMALLEST_CACHE {
        problems.add("cache.max_bytes", "must be at least 1MiB: nothing would be kept");
    }
    // Not a number is in no range.
    if !(0.0..=LARGEST_JITTER).contains(&cache.ttl_jitter) {
        problems.add("cache.ttl_jitter", "must be a fraction from 0 to 0.5");
    }
}

fn addresses(server: &Server, admin: &Admin, problems: &mut Problems) {
    if collide(server.listen, admin.listen) {
        problems.add("admin.listen", "takes the port of server.listen: give one of them another");
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

fn base_url(url: &Uri, problems: &mut Problems) {
    let host = url.host().unwrap_or_default();
    let ip = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    let loopback = host.eq_ignore_ascii_case("localhost") || ip.is_ok_and(|ip| ip.is_loopback());
    if url.scheme() != Some(&Scheme::HTTPS) && !loopback {
        problems.add(
            "upstream.base_url",
            "must be https: http would send the token in clear to a host that is not loopback",
        );
    }
}

fn callers(server: &Server, clients: &Clients, problems: &mut Problems) {
    match (&clients.tokens_file, clients.allow_anonymous) {
        (Some(_), true) => problems.add(
            "clients.allow_anonymous",
            "contradicts clients.tokens_file, which asks for a token: set one of the two",
        ),
        (None, false) if !server.listen.ip().is_loopback() => problems.add(
            "server.listen",
            "is not loopback, so anyone could read the reports: set clients.tokens_file, \
             or clients.allow_anonymous = true if that is meant",
        ),
        (Some(_), false) | (None, true | false) => {}
    }
}

fn access_token(token: &Token, problems: &mut Problems) {
    let key = "token.access_token_file";
    match (token.source, &token.access_token, &token.access_token_file) {
        (_, Some(_), Some(_)) => {
            problems.add(key, "is set and so is token.access_token: set the one that token.source names");
        }
        (TokenSource::Static, Some(_), None) => {}
        (TokenSource::File, None, Some(file)) => secret_file(key, Some(file), problems),
        (TokenSource::Static, None, Some(_)) => {
            problems.add(key, "is not used by token.source = \"static\": set token.source = \"file\"");
        }
        (TokenSource::File, Some(_), None) => problems.add(
            "token.access_token",
            "is not used by token.source = \"file\": set token.source = \"static\", or token.access_token_file",
        ),
        (TokenSource::Static, None, None) => problems.add(
            "token.access_token",
            "is missing: set it in the environment, or token.source = \"file\" and token.access_token_file",
        ),
        (TokenSource::File, None, None) => {
            problems.add(key, "is missing: token.source = \"file\" reads the token from it");
        }
    }
}

fn secret_file<T: SecretContent>(key: &str, file: Option<&SecretFile<T>>, problems: &mut Problems) {
    if let Some(Err(error)) = file.map(SecretFile::read) {
        problems.add(key, format!("{error}; correct the path or the file"));
    }
}
