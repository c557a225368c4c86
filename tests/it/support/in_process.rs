//! The whole proxy in memory: both ports over pipes, the simulated vendor behind, all under paused time.

use std::{
    collections::HashMap,
    convert::Infallible,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use futures_util::FutureExt as _;
use http::{HeaderMap, Method, Request, Response};
use http_body_util::{BodyExt as _, Empty, Full};
use hyper::{body::Incoming, client::conn::http1, service::Service};
use hyper_util::rt::TokioIo;
use link_report_proxy::{
    admin::{Admin, AdminState},
    app::{App, Calls, Dependencies, Environment, LiveSettings, ReloadError, SharedBackend},
    inbound::{ReportService, ResponseFuture},
    quota::{InitialCount, WallClock},
    report::{ActivityId, NoClicks, ReportKey, Unreachable},
    server::{Body, ConnectionLimits, serve_connection},
    settings::{Settings, SettingsError},
    shared::SharedStore,
    simulator::{BodyShape, Fault, Options, Scope, Simulator, synthetic_id},
    state::StateStores,
};
use serde_json::Value;
use tokio::{task::JoinSet, time::Instant};
use tokio_util::sync::CancellationToken;

use super::{
    pipe::{Connection, PipeConnector},
    played::clicks_of,
    sum_of_series,
};

/// The upstream's host: no answer may ever show it.
pub(crate) const UPSTREAM_HOST: &str = "upstream.invalid";
/// Past `cache.ttl` and `cache.stale_while_revalidate`: what is held is now good for nothing but errors.
pub(crate) const OLD: Duration = Duration::from_mins(20);

const LIMITS: ConnectionLimits =
    ConnectionLimits { head: Duration::from_secs(10), idle: Duration::from_secs(75) };
/// What would blur a test that is not about it, and the lifetimes and the reserve that the tests count with.
const STEADY: [(&str, &str); 6] = [
    ("CACHE__REFRESH", "fixed"),
    ("CACHE__TTL_JITTER", "0"),
    ("QUOTA__RESERVE", "0.1"),
    ("QUOTA__PER_SECOND", "0"),
    ("QUOTA__PER_DAY", "0"),
    ("CIRCUIT__CONSECUTIVE_FAILURES", "0"),
];

/// The proxy and its vendor.
pub(crate) struct InProcess {
    pub(crate) vendor: Simulator,
    pub(crate) admin: Arc<AdminState>,
    pub(crate) live: Arc<LiveSettings>,
    settings: Vec<(String, String)>,
    front: Arc<ReportService<Calls>>,
    connector: PipeConnector,
    _background: JoinSet<()>,
}

/// An answer, whole.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

/// When each test starts.
pub(crate) fn start() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000)
}

// === impl InProcess ===

impl InProcess {
    pub(crate) fn new() -> Self {
        Self::with(&[])
    }

    /// With these settings, named as the environment names them, without the prefix.
    pub(crate) fn with(settings: &[(&str, &str)]) -> Self {
        Self::prepared(settings, |_vendor| ())
    }

    /// The same; `before` is called between the settings' reading and the start.
    pub(crate) fn prepared(settings: &[(&str, &str)], before: impl FnOnce(&Simulator)) -> Self {
        Self::facing(Options::default(), settings, before)
    }

    /// The same, in front of a vendor of another kind; when it begins and its calls a second stay ours.
    pub(crate) fn facing(
        vendor: Options,
        settings: &[(&str, &str)],
        before: impl FnOnce(&Simulator),
    ) -> Self {
        let vendor = Simulator::new(Options { now: start(), per_second: 0, ..vendor });
        Self::build(vendor, None, (InitialCount::Unspent, StateStores::in_memory()), settings, before)
    }

    /// One of the replicas in front of this vendor that share a store.
    pub(crate) fn replica(
        vendor: Simulator,
        shared: Option<Arc<dyn SharedStore>>,
        settings: &[(&str, &str)],
    ) -> Self {
        Self::resumed(vendor, shared, StateStores::in_memory(), settings)
    }

    /// One that starts on an empty disk: it does not know how many calls were made today.
    pub(crate) fn replica_without_a_count(
        vendor: Simulator,
        shared: Option<Arc<dyn SharedStore>>,
        settings: &[(&str, &str)],
    ) -> Self {
        let begins = (InitialCount::Unknown, StateStores::in_memory());
        Self::build(vendor, shared, begins, settings, |_vendor| ())
    }

    /// One with what an earlier one has left.
    pub(crate) fn resumed(
        vendor: Simulator,
        shared: Option<Arc<dyn SharedStore>>,
        stores: StateStores,
        settings: &[(&str, &str)],
    ) -> Self {
        Self::build(vendor, shared, (InitialCount::Unspent, stores), settings, |_vendor| ())
    }

    fn build(
        vendor: Simulator,
        shared: Option<Arc<dyn SharedStore>>,
        (opening, stores): (InitialCount, StateStores),
        settings: &[(&str, &str)],
        before: impl FnOnce(&Simulator),
    ) -> Self {
        let (url, token) = (format!("https://{UPSTREAM_HOST}"), vendor.access_token());
        let given: Vec<_> = if settings.iter().any(|(key, _)| key.starts_with("TOKEN__")) {
            vec![("UPSTREAM__BASE_URL", url.as_str())]
        } else {
            vec![("UPSTREAM__BASE_URL", url.as_str()), ("TOKEN__ACCESS_TOKEN", token.as_str())]
        };
        let settings: Vec<_> = STEADY.iter().chain(&given).chain(settings).copied().collect();
        let given = settings.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let settings = load_settings(&settings);
        before(&vendor);
        let connector = PipeConnector::to(&vendor);
        let world = Environment { clock: WallClock::starting_at(vendor.now()), opening };
        let dependencies = Dependencies {
            api: connector.connector(),
            authority: connector.connector(),
            stores,
            shared: shared.map(SharedBackend::Store),
            world,
        };
        let App { front, admin, live, background, .. } = {
            let built = App::build(&settings, dependencies).now_or_never();
            built.expect("state in memory keeps nobody waiting").unwrap()
        };
        let _background = background.into_iter().collect();
        Self { vendor, admin, live, settings: given, front, connector, _background }
    }

    /// Takes over these settings in addition to those of the start, as after a change of the file.
    pub(crate) async fn reload(&self, changed: &[(&str, &str)]) -> Result<(), ReloadError> {
        let settings = self.settings.iter().map(|(key, value)| (key.as_str(), value.as_str()));
        let settings: Vec<_> = settings.chain(changed.iter().copied()).collect();
        self.live.reload(read_settings(&settings))?;
        self.live.plan_again().await;
        Ok(())
    }

    /// Asks the data port, on a connection of its own.
    pub(crate) async fn send(&self, request: Request<Full<Bytes>>) -> Answer {
        exchange(Arc::clone(&self.front), request).await
    }

    pub(crate) async fn get(&self, target: &str) -> Answer {
        self.send(request(Method::GET, target, &[])).await
    }

    pub(crate) async fn get_with(&self, target: &str, headers: &[(&str, &str)]) -> Answer {
        self.send(request(Method::GET, target, headers)).await
    }

    /// Asks the data port's service itself, without a connection.
    pub(crate) fn call(&self, target: &str) -> ResponseFuture {
        let request = Request::get(target).header("host", "127.0.0.1:8080");
        hyper::service::Service::call(&*self.front, request.body(Empty::<Bytes>::new()).unwrap())
    }

    /// The clicks in the report that the data port's service itself answers with.
    pub(crate) async fn clicks_served(&self, target: &str) -> u32 {
        let answer = match self.call(target) {
            ResponseFuture::Ready(answer) => answer,
            ResponseFuture::Later(answer) => Some(answer.await.unwrap()),
        };
        let (head, body) = answer.expect("an answer").into_parts();
        assert_eq!(head.status, 200, "{head:?}");
        let body = body.collect().await.expect("a body").to_bytes();
        clicks_of(&serde_json::from_slice(&body).expect("JSON"))
    }

    /// Asks without waiting for the answer.
    pub(crate) fn get_meanwhile(&self, target: &str) -> tokio::task::JoinHandle<Answer> {
        tokio::spawn(exchange(Arc::clone(&self.front), request(Method::GET, target, &[])))
    }

    /// Asks the admin port as a peer at this address.
    pub(crate) async fn admin_as(&self, peer: &str, request: Request<Full<Bytes>>) -> Answer {
        let peer: SocketAddr = peer.parse().unwrap();
        exchange(Arc::new(Admin::new(Arc::clone(&self.admin), peer)), request).await
    }

    pub(crate) async fn admin(&self, target: &str) -> Answer {
        self.admin_as("127.0.0.1:50000", request(Method::GET, target, &[])).await
    }

    /// The value of one series, as `/metrics` shows it.
    pub(crate) async fn metric(&self, series: &str) -> f64 {
        let text = self.admin("/metrics").await.text();
        sum_of_series(&text, &format!("{series} ")).unwrap_or_else(|| panic!("{series} is not in\n{text}"))
    }

    /// From now on the vendor answers every report call so.
    pub(crate) fn vendor_fails(&self, status: u16) {
        self.vendor.inject(failure(status), Scope::All);
    }

    /// From now on new connections end there.
    pub(crate) fn set_connection(&self, connection: Connection) {
        self.connector.set_connection(connection);
    }

    /// Open connections end, and new ones fail so.
    pub(crate) fn lose_all_connections(&self, how_far: Unreachable) {
        self.connector.cut();
        self.connector.set_connection(Connection::Nowhere(how_far));
    }

    /// What is held of `key`, once nothing of it is in the air.
    pub(crate) async fn settled(&self, key: ReportKey) {
        while self.admin.memory.is_being_fetched(&key) {
            // A virtual moment: the flight may wait for a timer.
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

// === impl Answer ===

impl Answer {
    /// A header's value; empty where there is none.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    pub(crate) fn cache_status(&self) -> &str {
        self.header("cache-status").strip_prefix("link-report-proxy; ").unwrap_or_default()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.body.to_vec()).unwrap()
    }

    /// Status, headers and body as a person would write them down, without what differs from run to run.
    pub(crate) fn shown(&self) -> String {
        let mut lines: Vec<_> = self
            .headers
            .iter()
            .filter(|(name, _)| **name != http::header::DATE)
            .map(|(name, value)| format!("{name}: {}\n", value.to_str().unwrap()))
            .collect();
        lines.sort_unstable();
        let body = match serde_json::from_slice::<Value>(&self.body) {
            Ok(json) => format!("{json:#}"),
            Err(_) => self.text(),
        };
        format!("{}\n{}\n{body}\n", self.status, lines.concat())
    }
}

pub(crate) fn request(method: Method, target: &str, headers: &[(&str, &str)]) -> Request<Full<Bytes>> {
    let mut request = Request::builder().method(method).uri(target);
    if headers.iter().all(|(name, _)| *name != "host") {
        request = request.header("host", "127.0.0.1:8080");
    }
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(Full::default()).unwrap()
}

/// These settings, named as the environment names them, without the prefix; of two of the same name the later counts.
pub(crate) fn load_settings(settings: &[(&str, &str)]) -> Settings {
    read_settings(settings).unwrap()
}

fn read_settings(settings: &[(&str, &str)]) -> Result<Settings, SettingsError> {
    let environment: HashMap<_, _> =
        settings.iter().map(|(key, value)| (format!("LINK_REPORT_PROXY__{key}"), *value)).collect();
    Settings::load(None, environment)
}

/// The key of a report that the vendor always has, with two links that were clicked.
pub(crate) fn key(number: u32) -> ReportKey {
    ReportKey { id: ActivityId::from(synthetic_id(number, 2)), no_clicks: NoClicks::Omitted }
}

/// The path of the same.
pub(crate) fn path(number: u32) -> String {
    format!("/v3/reports/email_reports/{}/links", synthetic_id(number, 2))
}

pub(crate) fn failure(status: u16) -> Fault {
    Fault::Status { status: http::StatusCode::from_u16(status).unwrap(), shape: BodyShape::Object }
}

/// Lets so much (virtual) time pass that `event` is over, and tells how much it was.
pub(crate) async fn timed<F: Future>(event: F) -> (F::Output, Duration) {
    let start = Instant::now();
    let output = event.await;
    (output, start.elapsed())
}

pub(crate) async fn exchange<S>(service: Arc<S>, request: Request<Full<Bytes>>) -> Answer
where
    S: Service<Request<Incoming>, Response = Response<Body>, Error = Infallible> + Send + Sync + 'static,
    S::Future: Send,
{
    let (ours, theirs) = tokio::io::duplex(64 * 1024);
    tokio::spawn(serve_connection(theirs, service, LIMITS, CancellationToken::new()));
    let (mut sender, connection) = http1::handshake(TokioIo::new(ours)).await.unwrap();
    tokio::spawn(connection);
    let (head, body) = sender.send_request(request).await.unwrap().into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    Answer { status: head.status.as_u16(), headers: head.headers, body }
}
