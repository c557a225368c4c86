//! Every key once: the structs are named as the keys are. The defaults and the reasons for them are in
//! `config/default.toml`.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use bytesize::ByteSize;
use secrecy::SecretString;

use super::activity_names::NamedActivities;
use super::client_tokens::ClientToken;
use super::enums::{
    ClientNoCache, CorsOrigin, DerivationMode, HostName, LogFilter, LogFormat, ProbeMode, RefreshMode,
    TokenSourceKind,
};
use super::namespace::StoreNamespace;
use super::seal_keys::SealKeys;
use super::secret_file::SecretFile;
use super::section::section;
use super::store_url::StoreUrl;
use super::url::{BaseUrl, CollectorUrl, Endpoint};

section! {
    /// All settings of one replica, read and checked; made by [`Settings::load`].
    Settings {
        /// The data port.
        server: Server,
        /// The admin port: metrics, readiness, explaining and purging.
        admin: Admin,
        /// Who may use the data port.
        clients: Clients,
        /// Which web pages may read the answers.
        cors: Cors,
        /// Constant Contact's API, and how long to wait for it.
        upstream: Upstream,
        /// The one OAuth token.
        token: Token,
        /// How long answers are kept.
        cache: Cache,
        /// The share of the vendor's quota that this replica may use.
        quota: Quota,
        /// When to stop calling an upstream that fails.
        circuit: Circuit,
        /// Where state that outlives the process is kept.
        state: State,
        /// The store that the replicas of one API key share.
        shared: SharedSettings,
        /// Whether Constant Contact is asked for the status of activities.
        status: StatusSettings,
        /// Names of activities, for people.
        names: Names,
        /// What is logged.
        log: Log,
        /// Where traces are exported to.
        telemetry: Telemetry,
        /// How the process ends.
        shutdown: Shutdown,
    }
}

section! {
    /// `server.*`
    Server {
        /// Where the data port listens; port 0 lets the system choose.
        listen: SocketAddr,
        /// Names of this machine that `Host` may have on a loopback listener, on both ports.
        allowed_hosts: Vec<HostName>,
        /// The most connections at one time.
        max_connections: NonZeroUsize,
        /// Requests past the cache's fast path at one time; more are answered 503.
        max_in_flight: NonZeroUsize,
        /// From the request's head to the answer; at least `upstream.attempt_timeout`.
        request_timeout: Duration,
        /// The longest a request's head may take to arrive.
        header_timeout: Duration,
        /// The longest a connection may be without a request.
        idle_timeout: Duration,
        /// Worker threads; unset: the cores this process may use.
        workers: Option<NonZeroUsize>,
    }
}

section! {
    /// `admin.*`
    Admin {
        /// Where the admin port listens; port 0 lets the system choose.
        listen: SocketAddr,
        /// The bearer token that may purge and try reports; unset: only a loopback peer may.
        token_file: Option<SecretFile<SecretString>>,
    }
}

section! {
    /// `clients.*`
    Clients {
        /// Bearer tokens of the callers, one a line, with a name before it or without.
        tokens_file: Option<SecretFile<Vec<ClientToken>>>,
        /// `true`: a data port that is not loopback needs no `tokens_file`.
        allow_anonymous: bool,
    }
}

section! {
    /// `cors.*`
    Cors {
        /// Origins whose pages may read answers; empty: CORS is off.
        allowed_origins: Vec<CorsOrigin>,
    }
}

section! {
    /// `upstream.*`
    Upstream {
        /// Scheme and authority alone; https, or http to a loopback host.
        base_url: BaseUrl,
        /// The longest that TCP and TLS may take; at most `attempt_timeout`.
        connect_timeout: Duration,
        /// The longest that one call may take, its body included.
        attempt_timeout: Duration,
        /// The largest body that is accepted.
        max_body: ByteSize,
        /// A PEM file of more trusted certificates. Its content is checked where it is loaded.
        extra_ca_file: Option<PathBuf>,
        /// Planned: whether reports are fetched only when the statistics endpoint shows new clicks.
        change_probe: ProbeMode,
    }
}

section! {
    /// `token.*`: after [`Settings::load`] what `source` needs is set, and nothing that another source needs.
    Token {
        /// Where the access token comes from.
        source: TokenSourceKind,
        /// The token itself, for `static`.
        access_token: Option<SecretString>,
        /// A file that holds it, for `file`; watched for changes.
        access_token_file: Option<SecretFile<SecretString>>,
        /// The token endpoint, for `refresh`.
        token_url: Endpoint,
        /// The device authorization endpoint, for `login`.
        device_authorization_url: Endpoint,
        /// The application (API key) that the refresh token was issued to.
        client_id: Option<String>,
        /// Its secret; without one it is a public client, and `client_id` goes into the form.
        client_secret: Option<SecretString>,
        /// A file that holds the secret; read at each renewal.
        client_secret_file: Option<SecretFile<SecretString>>,
        /// The initial refresh token, for `refresh`.
        refresh_token: Option<SecretString>,
        /// A file that holds it; watched: new content replaces the stored refresh token.
        refresh_token_file: Option<SecretFile<SecretString>>,
    }
}

section! {
    /// `cache.*`
    Cache {
        /// What decides when a report is refreshed.
        refresh: RefreshMode,
        /// Planned: the shortest time between two fetches of a report, from 1 s to 1 h.
        min_refresh_interval: Duration,
        /// Planned: clicks that a report fetched a day ago may lack unexpectedly, from 0 to 1000.
        unexpected_clicks: f64,
        /// Whether the report without `no_clicks` is made from the one with it, so that both cost one call.
        derive_clicked: DerivationMode,
        /// Lifetime of a report, where `refresh` is `fixed` or `quota.per_day` is 0.
        ttl: Duration,
        /// Spread of those lifetimes around their mean, as a fraction from 0 to 0.5.
        ttl_jitter: f64,
        /// Lifetime of a report without links, where `ttl` applies.
        empty_ttl: Duration,
        /// Lifetime of the upstream's first 400 or 404 in a row; each further one doubles it.
        negative_ttl: Duration,
        /// How long after its lifetime a copy is still answered while it is refreshed (RFC 5861); zero: off. Planned:
        /// the age from which a copy that lacks clicks worth a call is refreshed before it is answered.
        stale_while_revalidate: Duration,
        /// The age up to which a copy is answered instead of an error (RFC 5861); zero: off.
        stale_if_error: Duration,
        /// Memory for entries; at least 1 MiB.
        max_bytes: ByteSize,
        /// What a caller's `Cache-Control: no-cache` does.
        client_no_cache: ClientNoCache,
        /// At most one forced refresh of a key in this time, where `client_no_cache` is `limited`.
        client_no_cache_interval: Duration,
    }
}

section! {
    /// `quota.*`
    Quota {
        /// Calls a second; 0: no limit.
        per_second: u32,
        /// Calls a UTC day; 0: no limit.
        per_day: u32,
        /// The share of `per_day` that is reserved for uncached reports, from 0 to 0.9.
        reserve: f64,
        /// The share of `per_day` that planned refreshes may take in any hour, above 0 and at most 1.
        refresh_hour_share: f64,
        /// The longest that a call waits for its turn; zero: not at all.
        max_wait: Duration,
    }
}

section! {
    /// `circuit.*`
    Circuit {
        /// Consecutive failed calls that open the circuit; 0: it never opens.
        consecutive_failures: u32,
        /// How long it stays open the first time; doubled by each failed probe.
        open_min: Duration,
        /// The longest it stays open.
        open_max: Duration,
    }
}

section! {
    /// `state.*`
    State {
        /// Where the refresh token, the day's count and the snapshot are kept; unset: in memory.
        dir: Option<PathBuf>,
        /// Where `dir` is set: how often the cache is written there; zero: never, and it is not read.
        snapshot_interval: Duration,
        /// The size of that snapshot, at most 1 GiB.
        snapshot_max_bytes: ByteSize,
    }
}

section! {
    /// `shared.*`
    SharedSettings {
        /// Redis or Valkey; unset, and no `url_file` either: this replica shares nothing.
        url: Option<StoreUrl>,
        /// A file that holds the URL; read at each connect.
        url_file: Option<SecretFile<StoreUrl>>,
        /// Separates the fleets of one store; unset: made of `token.client_id` and `upstream.base_url`.
        namespace: Option<StoreNamespace>,
        /// A file of one or two keys, which seal the token and sign reports.
        key_file: Option<SecretFile<SealKeys>>,
        /// A PEM file of more trusted certificates. Its content is checked where it is loaded.
        ca_file: Option<PathBuf>,
        /// The replicas that are expected: each one's share of the quota while the store is away.
        replicas: NonZeroUsize,
        /// The longest that an operation on the store may take, from 1 ms to 5 s.
        timeout: Duration,
        /// Calls that are added to the day's count when the store may have lost some.
        margin: u32,
    }
}

section! {
    /// `status.*`
    StatusSettings {
        /// `true`: while a report is empty, and for `GET /v1/activities/{id}`.
        enabled: bool,
    }
}

section! {
    /// `names.*`
    Names {
        /// A TOML file of activity ids and their names; watched for changes.
        file: Option<SecretFile<NamedActivities>>,
    }
}

section! {
    /// `log.*`
    Log {
        /// The format of a line.
        format: LogFormat,
        /// The level, or filter directives.
        level: LogFilter,
    }
}

section! {
    /// `telemetry.*`
    Telemetry {
        /// The receiver of traces; unset: none are made.
        otlp_endpoint: Option<CollectorUrl>,
        /// The share of the requests without a `traceparent` that is traced, from 0 to 1.
        trace_ratio: f64,
    }
}

section! {
    /// `shutdown.*`
    Shutdown {
        /// The longest that requests in flight may take after a first signal.
        grace: Duration,
    }
}
