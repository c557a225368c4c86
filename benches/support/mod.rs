//! The whole proxy on one thread with a warm cache, asked over a pipe: what a hit costs without a kernel in between. And
//! hyper alone, to compare.

use std::{
    cell::Cell,
    convert::Infallible,
    sync::Arc,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use http::{
    HeaderName, HeaderValue, Response,
    header::{AGE, CACHE_CONTROL, CONTENT_TYPE, ETAG, VARY},
};
use http_body_util::Full;
use hyper::{server::conn::http1, service::service_fn};
use hyper_util::{client::proxy::matcher::Matcher, rt::TokioIo};
use link_report_proxy::{
    admin::AdminState,
    app::{App, Calls, Dependencies, Environment, SharedBackend},
    inbound::ReportService,
    quota::InitialCount,
    server::{ConnectionLimits, serve_connection},
    settings::Settings,
    shared::MemorySharedStore,
    simulator::{Options, Simulator, synthetic_id},
    state::StateStores,
    upstream::{ConnectOptions, Connector},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream},
    net::TcpListener,
    runtime::Runtime,
};
use tokio_util::sync::CancellationToken;

const LIMITS: ConnectionLimits =
    ConnectionLimits { head: Duration::from_secs(10), idle: Duration::from_secs(75) };

const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");

/// A proxy that holds the reports of some keys.
pub(crate) struct BenchProxy {
    runtime: Runtime,
    client: DuplexStream,
    answer: Vec<u8>,
    links: u32,
    inside: Option<Inside>,
    /// Whether the clock is.
    stopped: Cell<bool>,
}

/// Whether the proxy shares a store, in this process, as replicas do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ReplicaKind {
    Alone,
    Sharing,
}

/// The pieces of a hit, without hyper and the pipe.
#[derive(Clone)]
pub(crate) struct Inside {
    pub(crate) front: Arc<ReportService<Calls>>,
    pub(crate) admin: Arc<AdminState>,
}

// === impl BenchProxy ===

impl BenchProxy {
    /// Fetches the reports of the keys from 0 on, each with so many links. With the settings' defaults, but for the quota.
    pub(crate) fn warm(keys: u32, links: u32) -> Self {
        Self::warm_with("planned", keys, links, ReplicaKind::Alone)
    }

    /// The same, with this `cache.refresh`.
    pub(crate) fn warm_with(refresh: &str, keys: u32, links: u32, kind: ReplicaKind) -> Self {
        let runtime = runtime();
        let (client, inside) = runtime.block_on(async {
            let vendor = Simulator::new(Options { per_second: 0, per_day: 0, ..Options::default() });
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("the bench proxy starts");
            let settings = settings(
                &format!("http://{}", listener.local_addr().expect("the bench proxy starts")),
                &vendor.access_token(),
                refresh,
                keys,
            );
            tokio::spawn(vendor.serve(listener));
            let options = ConnectOptions {
                timeout: Duration::from_secs(3),
                extra_ca_file: None,
                proxy: Arc::new(Matcher::builder().build()),
            };
            let connector =
                Connector::new(settings.upstream.base_url.uri(), &options).expect("the bench proxy starts");
            let world = Environment { opening: InitialCount::Unspent, ..Environment::default() };
            let (api, authority, stores) = (connector.clone(), connector, StateStores::in_memory());
            let shared = match kind {
                ReplicaKind::Alone => None,
                ReplicaKind::Sharing => {
                    let since_1970 = SystemTime::UNIX_EPOCH.elapsed().expect("the bench proxy starts");
                    Some(SharedBackend::Store(Arc::new(MemorySharedStore::new(since_1970))))
                }
            };
            let app = App::build(&settings, Dependencies { api, authority, stores, shared, world }).await;
            let app = app.expect("the bench proxy starts");
            // Else no heartbeat would be sent.
            let background = app.background.into_iter().filter(|_| kind == ReplicaKind::Sharing);
            background.for_each(|task| drop(tokio::spawn(task)));
            let (client, server) = tokio::io::duplex(64 * 1024);
            let inside = Inside { front: Arc::clone(&app.front), admin: app.admin };
            tokio::spawn(serve_connection(server, app.front, LIMITS, CancellationToken::new()));
            (client, Some(inside))
        });
        let mut proxy =
            Self { runtime, client, answer: vec![0; 64 * 1024], links, inside, stopped: Cell::default() };
        for key in 0..keys {
            proxy.ask(&proxy.request(key, ""));
        }
        // Reports younger than `cache.min_refresh_interval` are not looked at by the refresh rule.
        proxy.runtime.block_on(async { tokio::time::sleep(Duration::from_millis(1_100)).await });
        proxy
    }

    /// Bare hyper, which answers everything with the same bytes and as many headers as a hit has.
    pub(crate) fn bare(links: u32) -> Self {
        let runtime = runtime();
        let (client, server) = tokio::io::duplex(64 * 1024);
        let connection = http1::Builder::new()
            .serve_connection(TokioIo::new(server), service_fn(|_| std::future::ready(fixed())));
        runtime.spawn(connection);
        Self { runtime, client, answer: vec![0; 64 * 1024], links, inside: None, stopped: Cell::default() }
    }

    /// The request for one key's report, as curl would send it, with some more header lines.
    pub(crate) fn request(&self, key: u32, more: &str) -> Vec<u8> {
        let id = synthetic_id(key, self.links);
        format!(
            "GET /v3/reports/email_reports/{id}/links HTTP/1.1\r\nhost: 127.0.0.1:8080\r\nuser-agent: curl/8\r\naccept: */*\r\n{more}\r\n"
        )
        .into_bytes()
    }

    /// Asks, and gives the answer. It fits into the pipe, and is written in one piece.
    pub(crate) fn ask(&mut self, request: &[u8]) -> &[u8] {
        let Self { runtime, client, answer, .. } = self;
        let read = runtime.block_on(async {
            client.write_all(request).await.expect("the bench proxy starts");
            client.read(answer).await.expect("the bench proxy starts")
        });
        let answer = &self.answer[..read];
        assert!(answer.starts_with(b"HTTP/1.1 200") || answer.starts_with(b"HTTP/1.1 304"));
        answer
    }

    /// What is behind hyper, with a warm memory.
    pub(crate) fn inside(&self) -> Inside {
        self.inside.clone().expect("not bare")
    }

    /// Stops the clock, but for this time.
    pub(crate) fn pass(&self, time: Duration) {
        self.runtime.block_on(async {
            // Panics if it is stopped already.
            if !self.stopped.replace(true) {
                tokio::time::pause();
            }
            tokio::time::advance(time).await;
        });
    }

    /// Runs something by the proxy's clock.
    pub(crate) fn within<T>(&self, run: impl FnOnce() -> T) -> T {
        let _clock = self.runtime.enter();
        run()
    }

    /// The `ETag` of an answer.
    pub(crate) fn etag(answer: &[u8]) -> String {
        let head = String::from_utf8_lossy(answer);
        let (_, rest) = head.split_once("etag: ").expect("the bench proxy starts");
        rest.split_once("\r\n").expect("the bench proxy starts").0.to_owned()
    }
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("the bench proxy starts")
}

fn fixed() -> Result<Response<Full<Bytes>>, Infallible> {
    let mut response = Response::new(Full::new(Bytes::from_static(&[b'x'; 400])));
    let headers = response.headers_mut();
    headers.reserve(6);
    for name in [ETAG, AGE, CACHE_CONTROL, CACHE_STATUS, VARY, CONTENT_TYPE] {
        headers.insert(name, HeaderValue::from_static("application/json"));
    }
    Ok(response)
}

fn settings(base_url: &str, token: &str, refresh: &str, keys: u32) -> Settings {
    // Enough to fetch each once, but so few that none is worth a second call.
    let per_day = (keys + keys / 5).max(6_000).to_string();
    let given = [
        ("UPSTREAM__BASE_URL", base_url),
        ("TOKEN__ACCESS_TOKEN", token),
        ("CACHE__REFRESH", refresh),
        ("CACHE__MIN_REFRESH_INTERVAL", "1s"),
        ("QUOTA__PER_SECOND", "0"),
        ("QUOTA__PER_DAY", &per_day),
    ];
    Settings::load(None, given.map(|(key, value)| (format!("LINK_REPORT_PROXY__{key}"), value)))
        .expect("the bench proxy starts")
}
