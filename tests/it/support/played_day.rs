//! The whole proxy in memory, under paused time, in front of a vendor that plays a workload; and the score of its answers.

use std::{
    sync::{
        Arc, Weak,
        atomic::{AtomicI64, Ordering},
    },
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use http::{HeaderValue, Request, Response, header::ETAG};
use http_body_util::{BodyExt as _, Empty};
use hyper::service::Service as _;
use link_report_proxy::{
    app::{App, Calls, Dependencies, Environment, SharedBackend},
    inbound::{ReportService, ResponseFuture},
    plan::{Outcome, PlanOptions, Planned, Waiting, Workload, replay},
    quota::{InitialCount, WallClock},
    refresh::ReportForm,
    server::Body,
    settings::Settings,
    shared::MemorySharedStore,
    simulator::{Fault, Options, Scope, Simulator},
    state::{FileStore, StateStores},
};
use tempfile::TempDir;
use tokio::{
    task::JoinSet,
    time::{Instant, sleep, sleep_until},
};
use uuid::Uuid;

use super::{
    pipe::{Connection, PipeConnector},
    played::{clicks_of, play},
    state_lock::state_is_released,
};

/// From the vendor's look at its clicks to the answer's arrival, as in the replay.
const LATENCY: Duration = Duration::from_millis(100);
const DAY: Duration = Duration::from_hours(24);
const HOUR: Duration = Duration::from_hours(1);
const ORIGIN: &str = "https://upstream.invalid";

/// A proxy and the workload that it is polled with, from a midnight UTC on.
pub(crate) struct PlayedDay {
    pub(crate) vendor: Simulator,
    pub(crate) ids: Vec<Uuid>,
    pub(crate) workload: Workload,
    settings: Settings,
    state: Option<TempDir>,
    /// One for each replica; none while it restarts.
    runs: Vec<Run>,
    start: Instant,
    /// By how many seconds the machine's clock is ahead.
    clock_ahead: Arc<AtomicI64>,
    next_poll: usize,
    next_unseen: usize,
    reports: Vec<[Option<ReadReport>; 2]>,
    /// With the index of the poll.
    waiting: JoinSet<(usize, Response<Body>)>,
    figures: Figures,
}

/// One process.
struct Run {
    front: Arc<ReportService<Calls>>,
    connector: PipeConnector,
    store: Weak<FileStore>,
    _background: JoinSet<()>,
}

/// A report that was read: the next one with this `ETag` shows the same.
struct ReadReport {
    etag: HeaderValue,
    clicks: u32,
}

/// What survives a restart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kept {
    /// What is in `state.dir`.
    State,
    /// Nothing.
    Nothing,
}

/// What the clients got.
#[derive(Debug, Clone, Default)]
pub(crate) struct Figures {
    /// By hour since the start.
    pub(crate) hours: Vec<Answers>,
    /// In the workload's measured span.
    pub(crate) measured: Answers,
    /// When the vendor got each call, since the start.
    pub(crate) calls: Vec<Duration>,
    /// The reports: the index of the poll, and the clicks that its report shows.
    pub(crate) answers: Vec<(usize, u32)>,
}

/// The answers of a span of time.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Answers {
    pub(crate) answered: u64,
    /// Clicks that happened before the poll and are not in its answer, of all answers.
    pub(crate) missed: u64,
    /// Answers that are no report.
    pub(crate) refused: u64,
    /// Polls that were not answered from memory.
    pub(crate) waited: u64,
}

/// The same workload in the replay, with the default settings.
pub(crate) fn replayed(workload: &Workload) -> Outcome {
    replayed_with(workload, PlanOptions::default())
}

/// The same with other options.
pub(crate) fn replayed_with(workload: &Workload, options: PlanOptions) -> Outcome {
    let options = PlanOptions { unexpected_clicks: 7.0, ..options };
    replay(workload, &mut Planned::new(workload, options), Waiting::Seldom, |_| {})
}

fn midnight() -> SystemTime {
    SystemTime::UNIX_EPOCH + DAY * 20_000
}

fn machine_clock(start: Instant, ahead: &Arc<AtomicI64>) -> WallClock {
    let ahead = Arc::clone(ahead);
    WallClock::told_by(move || {
        let (right, seconds) = (midnight() + start.elapsed(), ahead.load(Ordering::Relaxed));
        let wrong_by = Duration::from_secs(seconds.unsigned_abs());
        if seconds < 0 { right - wrong_by } else { right + wrong_by }
    })
}

// === impl PlayedDay ===

impl PlayedDay {
    /// At midnight, with the default settings but for these, named as the environment names them.
    pub(crate) async fn begin(workload: Workload, settings: &[(&str, &str)]) -> Self {
        Self::begin_with(workload, settings, None, 1).await
    }

    /// So many replicas that share a store; each viewer keeps to one of them.
    pub(crate) async fn begin_fleet(workload: Workload, settings: &[(&str, &str)], replicas: usize) -> Self {
        Self::begin_with(workload, settings, None, replicas).await
    }

    /// With a `state.dir`.
    pub(crate) async fn begin_with_state(workload: Workload, settings: &[(&str, &str)]) -> Self {
        Self::begin_with(workload, settings, Some(tempfile::tempdir().expect("a directory")), 1).await
    }

    async fn begin_with(
        workload: Workload,
        settings: &[(&str, &str)],
        state: Option<TempDir>,
        replicas: usize,
    ) -> Self {
        let vendor = Simulator::new(Options {
            now: midnight(),
            per_day: workload.per_day,
            access_token_lifetime: DAY * 30,
            remembered_requests: 200_000,
            ..Options::default()
        });
        vendor.inject(Fault::Latency(LATENCY), Scope::All);
        let (token, per_day) = (vendor.access_token(), workload.per_day.to_string());
        let given =
            [("UPSTREAM__BASE_URL", ORIGIN), ("TOKEN__ACCESS_TOKEN", &token), ("QUOTA__PER_DAY", &per_day)];
        let settings = given.iter().chain(settings);
        let settings = settings.map(|(key, value)| (format!("LINK_REPORT_PROXY__{key}"), *value));
        let settings = Settings::load(None, settings).expect("good settings");
        let start = Instant::now();
        let ids = play(&vendor, &workload, midnight());
        let clock_ahead = Arc::new(AtomicI64::new(0));
        let since_1970 = midnight().duration_since(SystemTime::UNIX_EPOCH).expect("a date");
        let shared = (replicas > 1).then(|| Arc::new(MemorySharedStore::new(since_1970)));
        let mut runs = Vec::new();
        for _replica in 0..replicas {
            let (clock, shared) = (machine_clock(start, &clock_ahead), shared.clone());
            runs.push(Run::begin(&settings, &vendor, state.as_ref(), shared, clock).await);
        }
        let reports = ids.iter().map(|_| [None, None]).collect();
        Self {
            vendor,
            ids,
            workload,
            settings,
            state,
            runs,
            start,
            clock_ahead,
            next_poll: 0,
            next_unseen: 0,
            reports,
            waiting: JoinSet::new(),
            figures: Figures::default(),
        }
    }

    /// Sends the polls up to `until`, each at its time.
    pub(crate) async fn play_until(&mut self, until: Duration) {
        while let Some(poll) = self.workload.polls.get(self.next_poll).copied() {
            if poll.at >= until {
                break;
            }
            sleep_until(self.start + poll.at).await;
            while self.workload.unseen.get(self.next_unseen).is_some_and(|call| *call <= poll.at) {
                self.next_unseen += 1;
                self.vendor.spend_elsewhere(1);
            }
            self.ask(self.next_poll);
            self.next_poll += 1;
            while let Some(answered) = self.waiting.try_join_next() {
                let (poll, response) = answered.expect("an answer");
                self.count(poll, response);
            }
        }
        sleep_until(self.start + until).await;
        while let Some(answered) = self.waiting.join_next().await {
            let (poll, response) = answered.expect("an answer");
            self.count(poll, response);
        }
    }

    /// Plays the rest and gives the figures.
    pub(crate) async fn play_to_end(mut self) -> Figures {
        self.play_until(self.workload.end).await;
        self.figures()
    }

    /// Those of the polls so far.
    pub(crate) fn figures(&self) -> Figures {
        let requests = self.vendor.seen();
        assert!(requests.len() < self.vendor.options().remembered_requests, "it has seen too many calls");
        let calls = requests.iter().map(|request| request.at - self.start).collect();
        Figures { calls, ..self.figures.clone() }
    }

    /// kill -9, and a new process.
    pub(crate) async fn restart(&mut self, kept: Kept) {
        match kept {
            Kept::State => assert!(self.state.is_some(), "there is none"),
            Kept::Nothing => {
                self.state = self.state.take().map(|_| tempfile::tempdir().expect("a directory"));
            }
        }
        self.waiting.shutdown().await;
        for Run { connector, store, front, _background } in self.runs.drain(..) {
            connector.cut();
            drop((front, _background));
            // What was under way fails now, one call after the other.
            while store.strong_count() > 0 {
                sleep(Duration::from_millis(1)).await;
            }
            if let (Kept::State, Some(state)) = (kept, &self.state) {
                state_is_released(state.path()).await;
            }
        }
        let clock = machine_clock(self.start, &self.clock_ahead);
        let run = Run::begin(&self.settings, &self.vendor, self.state.as_ref(), None, clock);
        self.runs.push(run.await);
    }

    /// Sets the machine's clock: so many seconds ahead of the vendor's, which is right.
    pub(crate) fn set_clock_ahead(&self, seconds: i64) {
        self.clock_ahead.store(seconds, Ordering::Relaxed);
    }

    /// Nothing reaches the vendor any more, or all again.
    pub(crate) fn set_connection(&self, connection: Connection) {
        for Run { connector, .. } in &self.runs {
            connector.cut();
            connector.set_connection(connection);
        }
    }

    fn ask(&mut self, poll: usize) {
        let (campaign, form, at) = self.polled(poll);
        let id = self.ids[campaign as usize];
        let query = match form {
            ReportForm::Clicked => "",
            ReportForm::AllLinks => "?no_clicks=true",
        };
        let request = Request::get(format!("/v3/reports/email_reports/{id}/links{query}"))
            .header("host", "127.0.0.1:8080")
            .body(Empty::<Bytes>::new());
        let replica = usize::from(self.workload.polls[poll].viewer) % self.runs.len();
        match self.runs[replica].front.call(request.expect("a request")) {
            ResponseFuture::Ready(response) => self.count(poll, response.expect("an answer")),
            ResponseFuture::Later(response) => {
                self.figures.span(at).waited += 1;
                self.waiting.spawn(async move { (poll, response.await.expect("an answer")) });
            }
        }
    }

    fn count(&mut self, poll: usize, response: Response<Body>) {
        let (campaign, form, at) = self.polled(poll);
        let answer = if response.status() == 200 {
            let (truth, clicks) = (self.workload.shown_in(campaign, form, at), self.read(poll, response));
            self.figures.answers.push((poll, clicks));
            let missed = truth.saturating_sub(clicks).into();
            Answers { answered: 1, missed, ..Answers::default() }
        } else {
            Answers { refused: 1, ..Answers::default() }
        };
        self.figures.span(at).add(answer);
        if (self.workload.measured_from..self.workload.end).contains(&at) {
            self.figures.measured.add(answer);
        }
    }

    fn polled(&self, poll: usize) -> (u32, ReportForm, Duration) {
        let poll = self.workload.polls[poll];
        (poll.campaign, poll.form, poll.at)
    }

    /// The clicks that a report shows.
    fn read(&mut self, poll: usize, response: Response<Body>) -> u32 {
        let (head, body) = response.into_parts();
        let etag = head.headers[ETAG].clone();
        let (campaign, form, _) = self.polled(poll);
        let read = &mut self.reports[campaign as usize][usize::from(form == ReportForm::AllLinks)];
        match read {
            Some(ReadReport { etag: before, clicks }) if *before == etag => *clicks,
            Some(_) | None => {
                let body = futures_util::FutureExt::now_or_never(body.collect()).expect("it is in memory");
                let report = serde_json::from_slice(&body.expect("a body").to_bytes()).expect("JSON");
                let clicks = clicks_of(&report);
                *read = Some(ReadReport { etag, clicks });
                clicks
            }
        }
    }
}

// === impl Run ===

impl Run {
    async fn begin(
        settings: &Settings,
        vendor: &Simulator,
        state: Option<&TempDir>,
        shared: Option<Arc<MemorySharedStore>>,
        clock: WallClock,
    ) -> Self {
        let store = state.map(|state| Arc::new(FileStore::open(state.path()).expect("a state.dir")));
        let held = store.as_ref().map_or_else(Weak::new, Arc::downgrade);
        let stores = store.map_or_else(StateStores::in_memory, StateStores::in_file);
        let connector = PipeConnector::to(vendor);
        let dependencies = Dependencies {
            api: connector.connector(),
            authority: connector.connector(),
            stores,
            shared: shared.map(|store| SharedBackend::Store(store)),
            world: Environment { clock, opening: InitialCount::Unspent },
        };
        let App { front, background, .. } = App::build(settings, dependencies).await.expect("an app");
        Self { front, connector, store: held, _background: background.into_iter().collect() }
    }
}

// === impl Figures ===

impl Figures {
    /// The most calls that any second had, wherever it began.
    pub(crate) fn busiest_second(&self) -> usize {
        self.busiest(Duration::from_secs(1))
    }

    /// The most calls that any span of this length had.
    pub(crate) fn busiest(&self, span: Duration) -> usize {
        let within = |from: usize| self.calls[from..].partition_point(|at| *at - self.calls[from] < span);
        (0..self.calls.len()).map(within).max().unwrap_or(0)
    }

    /// The calls from the one to the other.
    pub(crate) fn calls_in(&self, span: std::ops::Range<Duration>) -> usize {
        self.calls.iter().filter(|at| span.contains(*at)).count()
    }

    /// The most calls of a UTC day.
    pub(crate) fn most_in_a_day(&self) -> usize {
        let days = self.calls.last().map_or(0, |last| last.as_secs() / DAY.as_secs() + 1);
        (0..days as u32).map(|day| self.calls_in(DAY * day..DAY * (day + 1))).max().unwrap_or(0)
    }

    /// The answers of these hours since the start.
    pub(crate) fn of_hours(&self, hours: std::ops::Range<usize>) -> Answers {
        let mut sum = Answers::default();
        self.hours.iter().take(hours.end).skip(hours.start).for_each(|hour| sum.add(*hour));
        sum
    }

    fn span(&mut self, at: Duration) -> &mut Answers {
        let hour = (at.as_secs() / HOUR.as_secs()) as usize;
        if hour >= self.hours.len() {
            self.hours.resize(hour + 1, Answers::default());
        }
        &mut self.hours[hour]
    }
}

// === impl Answers ===

impl Answers {
    /// The measure of a plan.
    pub(crate) fn missed_per_answer(&self) -> f64 {
        self.missed as f64 / self.answered.max(1) as f64
    }

    fn add(&mut self, more: Self) {
        self.answered += more.answered;
        self.missed += more.missed;
        self.refused += more.refused;
        self.waited += more.waited;
    }
}
