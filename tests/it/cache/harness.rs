//! A cache whose calls the test answers: each call waits until the test says how it ends.

use std::{
    num::NonZeroUsize,
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, SystemTime},
};

use futures_util::future::BoxFuture;
use link_report_proxy::{
    app::{RequestLimits, misses},
    cache::{
        Cache, CacheLayer, CacheOptions, CacheRequest, Miss, PlanClock, RefreshSchedule, ReportCache,
        Revalidate, Served, ServedFrom, StatusChecking, Unanswered,
    },
    refresh::ShadowMode,
    report::{
        Answer, Call, ClientNumber, Exchange, FetchError, Fetched, LifetimePolicy, LinkReport,
        NegativeAnswer, NegativeStatus, Origin, QuotaPressure, QuotaPressureFn, ReportKey,
    },
    telemetry::Metrics,
};
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinHandle,
    time::{Instant, timeout},
};
use tower::{Layer as _, Service, ServiceExt as _, util::BoxCloneSyncService};

use crate::support::sum_of_series;

type Outcome = Result<Fetched, FetchError>;

/// More requests than any test sends at a time, unless it is about that.
const LIMITS: RequestLimits =
    RequestLimits { max_in_flight: NonZeroUsize::new(10_000).unwrap(), request_timeout: seconds(15) };

/// 2025-01-01 12:00 UTC, when each test starts.
pub(super) fn noon() -> SystemTime {
    SystemTime::UNIX_EPOCH + seconds(1_735_732_800)
}

/// A cache, and the calls that it makes.
pub(super) struct CacheHarness {
    pub(super) cache: Cache<Calls>,
    misses: BoxCloneSyncService<Miss, Served, FetchError>,
    pub(super) metrics: Metrics,
    asked: mpsc::UnboundedReceiver<Asked>,
}

/// The service below the cache.
#[derive(Clone)]
pub(super) struct Calls(mpsc::UnboundedSender<Asked>);

/// A call that has not ended.
pub(super) struct Asked {
    pub(super) call: Call,
    reply: oneshot::Sender<Outcome>,
}

pub(super) const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// The defaults, without jitter.
pub(super) fn options() -> CacheOptions {
    CacheOptions {
        lifetimes: LifetimePolicy {
            ttl: seconds(300),
            ttl_jitter: 0.0,
            empty_ttl: seconds(60),
            negative_ttl: seconds(60),
            stale_while_revalidate: seconds(600),
            stale_if_error: seconds(3_600),
        },
        max_bytes: 64 << 20,
        client_no_cache_interval: seconds(60),
        refresh: RefreshSchedule::Fixed,
        derivation: ShadowMode::Off,
        statuses: StatusChecking::Off,
        clock: PlanClock::starting_at(noon()),
    }
}

/// A report of `key` with so many links, told apart by `version`.
pub(super) fn report(key: ReportKey, links: usize, version: u32) -> Answer {
    let (id, links) = (key.id, vec!["{}"; links].join(","));
    let body =
        format!(r#"{{"campaign_activity_id":"{id}","link_click_counts":[{links}],"version":{version}}}"#);
    Answer::Report(LinkReport::parse(id, body.as_bytes()).unwrap())
}

/// A report of `key` with one link, of so many unique clicks.
pub(super) fn with_clicks(key: ReportKey, clicks: u32) -> Answer {
    let id = key.id;
    let body =
        format!(r#"{{"campaign_activity_id":"{id}","link_click_counts":[{{"unique_clicks":{clicks}}}]}}"#);
    Answer::Report(LinkReport::parse(id, body.as_bytes()).unwrap())
}

pub(super) fn negative_answer() -> Answer {
    Answer::Negative(NegativeAnswer::parse(NegativeStatus::NotFound, b""))
}

fn fetched(answer: Answer, answered_at: Instant, age: Duration) -> Fetched {
    Fetched { answer, answered_at, age, exchange: Exchange::default(), stands_in_for: None }
}

/// Waits until nothing moves any more: under paused time a timer goes off only then.
pub(super) async fn at_rest() {
    tokio::time::sleep(Duration::from_millis(1)).await;
}

/// What an answer was, in a word.
pub(super) fn from(served: &Result<Served, FetchError>) -> &'static str {
    match served {
        Ok(Served { from: ServedFrom::Hit, .. }) => "hit",
        Ok(Served { from: ServedFrom::Stale, .. }) => "stale",
        Ok(Served { from: ServedFrom::Fetched { .. }, .. }) => "fetched",
        Ok(Served { from: ServedFrom::Rationed, .. }) => "rationed",
        Ok(Served { from: ServedFrom::StaleIfError(_), .. }) => "fallback",
        Err(_) => "error",
    }
}

// === impl CacheHarness ===

impl CacheHarness {
    pub(super) fn new() -> Self {
        Self::with(options())
    }

    pub(super) fn with(options: CacheOptions) -> Self {
        Self::with_calls_that_are(QuotaPressureFn::new(|_now| QuotaPressure::Normal), options)
    }

    pub(super) fn with_calls_that_are(scarce: QuotaPressureFn, options: CacheOptions) -> Self {
        let (calls, asked) = mpsc::unbounded_channel();
        let metrics = Metrics::new();
        let memory = Arc::new(ReportCache::new(options, scarce, metrics.cache.clone()));
        let cache = CacheLayer::new(memory).layer(Calls(calls));
        Self { misses: BoxCloneSyncService::new(misses(LIMITS, cache.clone())), cache, metrics, asked }
    }

    pub(super) fn memory(&self) -> &Arc<ReportCache> {
        self.cache.memory()
    }

    /// The answer, by memory or by a call.
    pub(super) fn answer(
        &self,
        request: CacheRequest,
    ) -> impl Future<Output = Result<Served, FetchError>> + Send + use<> {
        let (cache, misses) = (self.cache.clone(), self.misses.clone());
        async move {
            match cache.lookup(request, Instant::now()) {
                Ok(served) => Ok(served),
                Err(Unanswered::Failed(error)) => Err(error),
                Err(Unanswered::Miss(miss)) => misses.oneshot(miss).await,
            }
        }
    }

    /// Asks, and does not wait for the answer.
    pub(super) fn ask(&self, key: ReportKey) -> JoinHandle<Result<Served, FetchError>> {
        tokio::spawn(self.answer(key.into()))
    }

    /// The same, for an answer that is new.
    pub(super) fn ask_anew(&self, key: ReportKey) -> JoinHandle<Result<Served, FetchError>> {
        tokio::spawn(self.answer(CacheRequest {
            key,
            revalidate: Revalidate::Force,
            client: ClientNumber::ANONYMOUS,
        }))
    }

    /// The next call. An hour in which nothing else happens passes at once: a call that never comes fails the test.
    pub(super) async fn call(&mut self) -> Asked {
        timeout(seconds(3_600), self.asked.recv()).await.expect("no call came").unwrap()
    }

    /// The call that has been made, if one has.
    pub(super) async fn made_call(&mut self) -> Option<Asked> {
        // No time passes.
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
        self.asked.try_recv().ok()
    }

    /// Requests a key, answers the call if one is made, and returns how the request was answered.
    pub(super) async fn ask_and_answer(&mut self, key: ReportKey, answer: &Answer) -> &'static str {
        let asking = self.ask(key);
        if let Some(call) = self.made_call().await {
            call.answers(answer.clone());
        }
        from(&asking.await.unwrap())
    }

    /// No call waits for an answer, and none is about to be made.
    pub(super) async fn is_clear(&mut self) {
        at_rest().await;
        assert!(self.has_no_call(), "a call too many");
    }

    /// Whether no call waits at this moment.
    pub(super) fn has_no_call(&mut self) -> bool {
        self.asked.try_recv().is_err()
    }

    /// Stores `answer` under `key`.
    pub(super) async fn hold(&mut self, key: ReportKey, answer: Answer) {
        let asking = self.ask(key);
        self.call().await.answers(answer);
        asking.await.unwrap().unwrap();
    }

    pub(super) fn metric(&self, series: &str) -> f64 {
        self.memory().observe(noon());
        let text = self.metrics.render().unwrap();
        sum_of_series(&text, &format!("link_report_proxy_{series} ")).expect("a series of that name")
    }
}

// === impl Asked ===

impl Asked {
    pub(super) fn answers(self, answer: Answer) {
        self.ends(Ok(answer));
    }

    pub(super) fn fails(self, cause: impl Into<FetchError>) {
        self.ends(Err(cause.into()));
    }

    /// The code that makes the call panics.
    pub(super) fn panics(self) {
        drop(self.reply);
    }

    pub(super) fn ends(self, outcome: Result<Answer, FetchError>) {
        self.comes_to(outcome.map(|answer| fetched(answer, Instant::now(), Duration::ZERO)));
    }

    /// The answer comes from a cache before the vendor, in which it was so old already.
    pub(super) fn answers_at_age(self, age: Duration, answer: Answer) {
        self.comes_to(Ok(fetched(answer, Instant::now(), age)));
    }

    /// The answer comes from the store that replicas share, and is so old there.
    pub(super) fn answers_from_the_store(self, age: Duration, answer: Answer) {
        let exchange = Exchange { origin: Origin::SharedStore, ..Exchange::default() };
        self.comes_to(Ok(Fetched { exchange, ..fetched(answer, Instant::now(), age) }));
    }

    /// The head of the answer came at that time, and the rest of it now.
    pub(super) fn answers_since(self, answered_at: Instant, answer: Answer) {
        self.comes_to(Ok(fetched(answer, answered_at, Duration::ZERO)));
    }

    fn comes_to(self, outcome: Outcome) {
        assert!(self.reply.send(outcome).is_ok(), "the call was given up");
    }
}

// === impl Calls ===

impl Service<Call> for Calls {
    type Response = Fetched;
    type Error = FetchError;
    type Future = BoxFuture<'static, Outcome>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), FetchError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, call: Call) -> Self::Future {
        let (reply, outcome) = oneshot::channel();
        self.0.send(Asked { call, reply }).unwrap_or_else(|_| panic!("the harness is gone"));
        Box::pin(async { outcome.await.expect("a bug in the code that calls") })
    }
}
