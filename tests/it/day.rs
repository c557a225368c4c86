//! A day in the life: 24 hours of 200 polled reports, on one day's quota, under paused time.
//!
//! `cargo nextest run day --no-capture` (or `cargo test day -- --nocapture`) prints the figures.

use std::{
    fmt,
    sync::{Arc, Weak},
    time::{Duration, SystemTime},
};

use http::{Response, header::AGE};
use http_body_util::Empty;
use hyper::service::Service as _;
use link_report_proxy::{
    admin::AdminState,
    app::{App, Calls, Dependencies, Environment},
    inbound::{ReportService, ResponseFuture},
    quota::{InitialCount, WallClock},
    server::Body,
    settings::Settings,
    simulator::{BodyShape, Fault, Limit, Options, Scope, Simulator, synthetic_id},
    state::{FileStore, StateStores},
};
use tempfile::TempDir;
use tokio::{
    task::JoinSet,
    time::{Instant, sleep_until},
};

use crate::support::{
    in_process::UPSTREAM_HOST, pipe::PipeConnector, state_lock::state_is_released, sum_of_series,
};

const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(24 * 3_600);
const SECOND: Duration = Duration::from_secs(1);

/// Reports on dashboards.
const KEYS: u32 = 200;
/// How often a dashboard asks.
const POLL: Duration = Duration::from_secs(30);
/// Into an hour; not when a new report is opened, which nothing can answer then.
const REFUSED_AFTER: Duration = Duration::from_secs(60);
/// Dashboards that ask together; the others take turns. (Each turn moves the clock, which costs more than an answer.)
const TOGETHER: u32 = 10;
/// Every report at once is cold after a start: that takes 53 s at 4 calls a second, and a caller waits for 5.
const STARTING: Duration = Duration::from_secs(60);
/// How often somebody opens a report that nobody has asked for yet.
const NEW_KEY_EACH: Duration = Duration::from_secs(180);
const PER_DAY: u64 = 10_000;
const PER_SECOND: usize = 4;

/// What happens during a day, besides polling.
#[derive(Debug, Clone, Copy)]
enum Event {
    /// kill -9, and a start from the same state.
    Restart,
    /// The vendor answers the next two calls with this.
    Refuse(Refusal),
    /// Another program makes a call on the same key.
    CallElsewhere,
}

#[derive(Debug, Clone, Copy)]
enum Refusal {
    Throttled,
    Unclear,
}

/// One run of the proxy.
struct Run {
    front: Arc<ReportService<Calls>>,
    admin: Arc<AdminState>,
    connector: PipeConnector,
    held: Weak<FileStore>,
    _background: JoinSet<()>,
}

/// The vendor, the directory that outlives each run, and the figures.
struct DayFixture {
    vendor: Simulator,
    state: TempDir,
    settings: Settings,
    start: Instant,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asker {
    Dashboard,
    Newcomer,
}

/// What the callers saw.
#[derive(Debug, Default)]
struct Figures {
    answered: u64,
    age_seconds: u64,
    oldest_seconds: u64,
    not_answered: u64,
    newcomers: u64,
    newcomers_refused: u64,
    refused_later: u64,
    too_many: u64,
}

fn midnight() -> SystemTime {
    SystemTime::UNIX_EPOCH + DAY * 20_000
}

// === impl DayFixture ===

impl DayFixture {
    fn new() -> Self {
        let options = Options {
            now: midnight(),
            access_token_lifetime: 2 * DAY,
            remembered_requests: 100_000,
            ..Options::default()
        };
        let vendor = Simulator::new(options);
        let environment = [
            ("LINK_REPORT_PROXY__CACHE__REFRESH", "fixed".to_owned()),
            ("LINK_REPORT_PROXY__QUOTA__RESERVE", "0.1".to_owned()),
            ("LINK_REPORT_PROXY__UPSTREAM__BASE_URL", format!("https://{UPSTREAM_HOST}")),
            ("LINK_REPORT_PROXY__TOKEN__ACCESS_TOKEN", vendor.access_token()),
        ];
        let settings = Settings::load(None, environment).unwrap();
        vendor.inject(Fault::Latency(Duration::from_millis(150)), Scope::All);
        Self { vendor, state: tempfile::tempdir().unwrap(), settings, start: Instant::now() }
    }

    async fn start_run(&self) -> Run {
        let clock = WallClock::starting_at(midnight() + self.start.elapsed());
        let (connector, store) =
            (PipeConnector::to(&self.vendor), Arc::new(FileStore::open(self.state.path()).unwrap()));
        let held = Arc::downgrade(&store);
        let dependencies = Dependencies {
            api: connector.connector(),
            authority: connector.connector(),
            stores: StateStores::in_file(store),
            shared: None,
            world: Environment { clock, opening: InitialCount::Unknown },
        };
        let App { front, admin, background, .. } = App::build(&self.settings, dependencies).await.unwrap();
        Run { front, admin, connector, held, _background: background.into_iter().collect() }
    }

    async fn run_day(&self, whole: Duration, mut events: Vec<(Duration, Event)>) -> Figures {
        events.sort_by_key(|(at, _)| std::cmp::Reverse(*at));
        let (mut figures, mut run, mut later) = (Figures::default(), self.start_run().await, JoinSet::new());
        let mut started = Duration::ZERO;
        let (mut newcomers, turn) = (0, POLL * TOGETHER / KEYS);
        for poll in 0.. {
            let now = turn * poll;
            if now >= whole {
                break;
            }
            sleep_until(self.start + now).await;
            while let Some((_, event)) = events.pop_if(|(at, _)| *at <= now) {
                match event {
                    Event::Restart => {
                        figures.too_many += run.refused_by_the_vendor();
                        run.kill().await;
                        state_is_released(self.state.path()).await;
                        run = self.start_run().await;
                        started = now;
                    }
                    Event::Refuse(refusal) => self.vendor.inject(refusal.fault(), Scope::Next(2)),
                    Event::CallElsewhere => self.vendor.spend_elsewhere(1),
                }
            }
            let mut ask = |key, asker| match run.ask(key) {
                ResponseFuture::Ready(answer) => figures.count(asker, &answer.unwrap()),
                ResponseFuture::Later(answer) => {
                    drop(later.spawn(async move { (asker, answer.await.unwrap()) }));
                }
            };
            (0..TOGETHER).for_each(|dashboard| ask((poll * TOGETHER + dashboard) % KEYS, Asker::Dashboard));
            if now >= NEW_KEY_EACH * newcomers {
                newcomers += 1;
                ask(KEYS + newcomers, Asker::Newcomer);
            }
            while let Some(answered) = later.try_join_next() {
                let (asker, answer) = answered.unwrap();
                figures.count(asker, &answer);
                figures.refused_later += u64::from(answer.status() != 200 && now > started + STARTING);
            }
        }
        figures.too_many += run.refused_by_the_vendor();
        figures
    }

    /// The most calls that any sliding second had.
    fn busiest_second(&self) -> usize {
        let at: Vec<_> = self.vendor.seen().into_iter().map(|request| request.at).collect();
        let within = |from: usize| at[from..].iter().take_while(|other| **other - at[from] < SECOND).count();
        (0..at.len()).map(within).max().unwrap()
    }
}

// === impl Run ===

impl Run {
    fn ask(&self, key: u32) -> ResponseFuture {
        let uri = format!("/v3/reports/email_reports/{}/links", synthetic_id(key, 12));
        let request = http::Request::get(uri).body(Empty::<bytes::Bytes>::new()).unwrap();
        self.front.call(request)
    }

    /// How many 429 answers there were so far.
    fn refused_by_the_vendor(&self) -> u64 {
        let text = self.admin.metrics.render().unwrap();
        sum_of_series(&text, "link_report_proxy_upstream_throttled_total{").expect("the series") as u64
    }

    /// What it still wants to send reaches nobody, and its hold on the state is gone, as if by kill -9.
    async fn kill(self) {
        self.connector.cut();
        let held = Weak::clone(&self.held);
        drop(self);
        // What was under way fails now, one call after the other.
        while held.strong_count() > 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

// === impl Figures ===

impl Figures {
    fn count(&mut self, asker: Asker, answer: &Response<Body>) {
        let answered = answer.status() == 200;
        if asker == Asker::Newcomer {
            self.newcomers += 1;
            self.newcomers_refused += u64::from(!answered);
        }
        if answered {
            let age = answer.headers()[AGE].to_str().unwrap().parse().unwrap();
            self.answered += 1;
            self.age_seconds += age;
            self.oldest_seconds = self.oldest_seconds.max(age);
        } else {
            assert_eq!(answer.status(), 503);
            self.not_answered += 1;
        }
    }

    fn show(&self, title: &str, fixture: &DayFixture) {
        eprintln!(
            "{title}: {} calls of ours ({} of the key), busiest second {}, 429s {}; {self}",
            fixture.vendor.calls(),
            fixture.vendor.spent_today(),
            fixture.busiest_second(),
            self.too_many,
        );
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} requests answered, mean age {} s, oldest {} s; {} refused, {} of them not at a start; {} new reports opened, {} \
             refused",
            self.answered,
            self.age_seconds / self.answered,
            self.oldest_seconds,
            self.not_answered,
            self.refused_later,
            self.newcomers,
            self.newcomers_refused,
        )
    }
}

// === impl Refusal ===

impl Refusal {
    fn fault(self) -> Fault {
        match self {
            Self::Throttled => Fault::Throttle { limit: Limit::PerSecond, retry_after: None },
            Self::Unclear => {
                Fault::Status { status: http::StatusCode::TOO_MANY_REQUESTS, shape: BodyShape::Gateway }
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_day_with_restarts_and_429s_never_overruns_the_quota_and_serves_cold_keys_to_the_end() {
    let fixture = DayFixture::new();
    let restarts = [3, 9, 15, 21].map(|hour| (HOUR * hour + Duration::from_millis(150 * 37), Event::Restart));
    let refusals = [(6, Refusal::Throttled), (12, Refusal::Unclear), (18, Refusal::Throttled)]
        .map(|(hour, refusal)| (HOUR * hour + REFUSED_AFTER, Event::Refuse(refusal)));
    let figures = fixture.run_day(DAY, restarts.into_iter().chain(refusals).collect()).await;
    figures.show("a day with 4 restarts and 6 injected 429s", &fixture);
    assert!(fixture.vendor.calls() <= PER_DAY);
    assert!(fixture.vendor.calls() >= PER_DAY * 9 / 10, "nor is the day left unused");
    assert!(fixture.busiest_second() <= PER_SECOND);
    assert_eq!(figures.too_many, 6, "those that were injected");
    assert_eq!(figures.refused_later, 0, "cold keys are served all day");
}

#[tokio::test(start_paused = true)]
async fn a_day_of_which_another_program_spends_3000_calls_ends_without_a_storm() {
    let fixture = DayFixture::new();
    let elsewhere = (0..3_000).map(|call| (DAY / 3_000 * call, Event::CallElsewhere));
    let figures = fixture.run_day(DAY + HOUR, elsewhere.collect()).await;
    figures.show("a day of which another program spends 3,000 calls", &fixture);
    assert!(fixture.busiest_second() <= PER_SECOND);
    assert!(fixture.vendor.spent_today() > 200, "the next day begins as any other");
    // For seconds that both programs filled, one for the day, and those that found out whether it still holds. Refreshes
    // have jitter: 5 to 9 of them in 60 runs. A storm has hundreds.
    assert!(figures.too_many <= 20, "{} 429s", figures.too_many);
}
