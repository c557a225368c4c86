//! No answer and no fault makes a loop of calls: for each of them, cold and warm, one report and 200, with a token of
//! each source, what an hour of polling spends is bounded.
//!
//! The table is printed by each run, past the capture of output.

use std::{
    fmt::Write as _,
    io::Write as _,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::Duration,
};

use http::StatusCode;
use link_report_proxy::{
    inbound::ResponseFuture,
    report::Unreachable,
    simulator::{BodyShape, Fault, Limit, Options, Scope, synthetic_id},
};
use tokio::{
    runtime::Builder,
    task::JoinSet,
    time::{Instant, sleep_until},
};

use crate::support::in_process::{InProcess, failure};

const HOUR: Duration = Duration::from_secs(3_600);
/// One report is polled this often.
const POLL: Duration = Duration::from_secs(5);
const POLL_OF_MANY: Duration = Duration::from_secs(60);
const MANY: u32 = 200;
/// Calls of the token endpoint in an hour: the first one, and the few renewals that refusals cause.
const RENEWALS: u64 = 12;
/// The same while that endpoint fails: one a minute, and a few more at first.
const FAILED_RENEWALS: u64 = 80;

/// What goes wrong, and the calls that an hour of it may cost.
struct Row {
    name: &'static str,
    trouble: Trouble,
    bound: Bound,
}

/// Calls in an hour for one report, and for 200.
#[derive(Debug, Clone, Copy)]
struct Bound {
    one: u64,
    many: u64,
}

#[derive(Debug, Clone)]
enum Trouble {
    None,
    /// Reports without links.
    Empty,
    /// The API answers so.
    Answer(Fault),
    /// The API cannot be reached.
    Unreachable(Unreachable),
    /// The API refuses the token in use, and the token endpoint fails.
    TokenEndpointDown,
}

/// What a column of the table differs in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Column {
    start: Start,
    reports: u32,
    token: Token,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Start {
    /// Nothing is held.
    Cold,
    /// Every report is held, and fresh.
    Warm,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Token {
    Static,
    File,
    Refresh,
}

/// Calls of the API and of the token endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Spent {
    calls: u64,
    token_calls: u64,
}

fn status(status: u16, shape: BodyShape) -> Trouble {
    Trouble::Answer(Fault::Status { status: StatusCode::from_u16(status).unwrap(), shape })
}

fn rows() -> Vec<Row> {
    let object = |code| status(code, BodyShape::Object);
    let throttle = |limit, retry_after| Trouble::Answer(Fault::Throttle { limit, retry_after });
    // Failures of every report: five reports open the circuit, then one call a minute probes.
    let account = Bound { one: 25, many: 90 };
    // A second attempt may follow each.
    let retried = Bound { one: 50, many: 180 };
    let row = |name, trouble, bound| Row { name, trouble, bound };
    let answer = |fault| Trouble::Answer(fault);
    vec![
        row("200", Trouble::None, Bound { one: 15, many: 1_300 }),
        row("200, no links", Trouble::Empty, Bound { one: 10, many: 1_200 }),
        row("400", object(400), Bound { one: 10, many: 1_200 }),
        row("404", object(404), Bound { one: 10, many: 1_200 }),
        row("401", object(401), Bound { one: 80, many: 80 }),
        row("401, token endpoint down", Trouble::TokenEndpointDown, Bound { one: 80, many: 80 }),
        row("403", object(403), account),
        row("405", object(405), account),
        row("410", object(410), account),
        row("302", answer(Fault::Redirect), account),
        row("500", object(500), account),
        row("502", object(502), retried),
        row("503", object(503), retried),
        row("504", object(504), retried),
        row("429 of the second", throttle(Limit::PerSecond, None), account),
        row("429 of the second, Retry-After: 86400", throttle(Limit::PerSecond, Some(24 * HOUR)), account),
        row("429 of the day", throttle(Limit::PerDay, None), Bound { one: 3, many: 3 }),
        row("429 of either", status(429, BodyShape::Gateway), account),
        row("connection reset", answer(Fault::Reset), retried),
        row("no answer", answer(Fault::Hang), account),
        row("a byte a second", answer(Fault::Drip(Duration::from_secs(1))), account),
        row("cut short", answer(Fault::Truncate), account),
        row("HTML", answer(Fault::Html), account),
        row("an array", answer(Fault::NotAnObject), account),
        row("another report", answer(Fault::WrongActivity), account),
        row("no list of links", answer(Fault::NoArray), account),
        row("over the cap", answer(Fault::Huge), account),
        row("gzip bomb", answer(Fault::GzipBomb), account),
        row("no DNS", Trouble::Unreachable(Unreachable::Dns), Bound { one: 0, many: 0 }),
        row("no connection", Trouble::Unreachable(Unreachable::Connect), Bound { one: 0, many: 0 }),
        row("no TLS", Trouble::Unreachable(Unreachable::Tls), Bound { one: 0, many: 0 }),
    ]
}

fn columns() -> Vec<Column> {
    let mut columns = Vec::new();
    for token in [Token::Static, Token::File, Token::Refresh] {
        for start in [Start::Cold, Start::Warm] {
            columns.extend([1, MANY].map(|reports| Column { start, reports, token }));
        }
    }
    columns
}

// === impl Row ===

impl Row {
    /// An hour of it.
    async fn spend(&self, column: Column) -> Spent {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "none-yet").unwrap();
        let vendor = Options { remembered_requests: 0, ..Options::default() };
        let (id, secret) = (vendor.client_id.clone(), "simulated-client-secret");
        let path = file.path().to_str().unwrap();
        let mut settings = vec![
            ("QUOTA__PER_SECOND", "4"),
            ("QUOTA__PER_DAY", "10000"),
            ("CIRCUIT__CONSECUTIVE_FAILURES", "5"),
        ];
        settings.extend(match column.token {
            Token::Static => vec![],
            Token::File => vec![("TOKEN__SOURCE", "file"), ("TOKEN__ACCESS_TOKEN_FILE", path)],
            Token::Refresh => vec![
                ("TOKEN__SOURCE", "refresh"),
                ("TOKEN__TOKEN_URL", "https://upstream.invalid/oauth2/default/v1/token"),
                ("TOKEN__CLIENT_ID", &*id),
                ("TOKEN__CLIENT_SECRET", secret),
                ("TOKEN__REFRESH_TOKEN_FILE", path),
            ],
        });
        let proxy = InProcess::facing(vendor, &settings, |vendor| {
            let token = match column.token {
                Token::Static => return,
                Token::File => vendor.access_token(),
                Token::Refresh => vendor.refresh_token(),
            };
            std::fs::write(file.path(), token).unwrap();
        });
        let links = if matches!(self.trouble, Trouble::Empty) { 0 } else { 2 };
        if column.start == Start::Warm {
            for number in 0..column.reports {
                assert_eq!(proxy.get(&target(number, links)).await.status, 200);
            }
        }
        let before = Spent::of(&proxy);
        self.trouble.befall(&proxy);
        poll(&proxy, column.reports, links).await;
        let after = Spent::of(&proxy);
        Spent { calls: after.calls - before.calls, token_calls: after.token_calls - before.token_calls }
    }

    fn is_within(&self, column: Column, spent: Spent) -> bool {
        let bound = if column.reports == 1 { self.bound.one } else { self.bound.many };
        let renewals = match self.trouble {
            Trouble::TokenEndpointDown => FAILED_RENEWALS,
            Trouble::None | Trouble::Empty | Trouble::Answer(_) | Trouble::Unreachable(_) => RENEWALS,
        };
        spent.calls <= bound && spent.token_calls <= renewals
    }
}

// === impl Trouble ===

impl Trouble {
    fn befall(&self, proxy: &InProcess) {
        match self {
            Self::None | Self::Empty => {}
            Self::Answer(fault) => proxy.vendor.inject(fault.clone(), Scope::All),
            Self::Unreachable(how_far) => proxy.lose_all_connections(*how_far),
            Self::TokenEndpointDown => {
                proxy.vendor.inject(failure(401), Scope::All);
                proxy.vendor.inject(failure(503), Scope::TokenCalls);
            }
        }
    }
}

// === impl Spent ===

impl Spent {
    fn of(proxy: &InProcess) -> Self {
        Self { calls: proxy.vendor.calls(), token_calls: proxy.vendor.token_calls() }
    }
}

fn target(number: u32, links: u32) -> String {
    format!("/v3/reports/email_reports/{}/links", synthetic_id(number, links))
}

/// Asks for each report again and again for an hour, without waiting for the answer before.
async fn poll(proxy: &InProcess, reports: u32, links: u32) {
    let targets: Vec<_> = (0..reports).map(|number| target(number, links)).collect();
    let (start, each) = (Instant::now(), if reports == 1 { POLL } else { POLL_OF_MANY });
    let mut answers = JoinSet::new();
    for turn in 0.. {
        let now = each * turn;
        if now >= HOUR {
            break;
        }
        sleep_until(start + now).await;
        for target in &targets {
            match proxy.call(target) {
                ResponseFuture::Ready(_) => {}
                ResponseFuture::Later(answer) => drop(answers.spawn(answer)),
            }
        }
        while answers.try_join_next().is_some() {}
    }
    answers.join_all().await;
}

/// Every row in every column, on all cores.
fn table() -> Vec<(Row, Vec<Spent>)> {
    let (rows, columns, next) = (rows(), columns(), AtomicUsize::new(0));
    let cells = rows.len() * columns.len();
    let work = || {
        let mut done = Vec::new();
        loop {
            let cell = next.fetch_add(1, Ordering::Relaxed);
            if cell >= cells {
                return done;
            }
            let runtime = Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
            let (row, column) = (&rows[cell / columns.len()], columns[cell % columns.len()]);
            done.push((cell, runtime.block_on(row.spend(column))));
        }
    };
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let mut done: Vec<_> = thread::scope(|scope| {
        let workers: Vec<_> = (0..cores).map(|_| scope.spawn(work)).collect();
        workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect()
    });
    done.sort_unstable_by_key(|(cell, _)| *cell);
    let spent: Vec<_> = done.into_iter().map(|(_, spent)| spent).collect();
    rows.into_iter().zip(spent.chunks(columns.len()).map(<[_]>::to_vec)).collect()
}

#[test]
fn no_answer_and_no_fault_makes_a_loop_of_calls() {
    let (table, columns) = (table(), columns());
    let mut shown =
        "\nCalls in an hour of polling, one report each 5 s, 200 each 60 s; cold and warm, by token.source \
                     (+ calls of the token endpoint)\n"
            .to_owned();
    write!(shown, "{:<38}", "the API's answer").unwrap();
    for Column { start, reports, token } in &columns {
        write!(shown, "{:>17}", format!("{token:?} {start:?} {reports}").to_lowercase()).unwrap();
    }
    writeln!(shown, "{:>14}", "at most").unwrap();
    let mut beyond = Vec::new();
    for (row, spent) in &table {
        write!(shown, "{:<38}", row.name).unwrap();
        for (column, spent) in columns.iter().zip(spent) {
            let Spent { calls, token_calls } = spent;
            let tokens = if *token_calls == 0 { String::new() } else { format!("+{token_calls}") };
            write!(shown, "{:>17}", format!("{calls}{tokens}")).unwrap();
            if !row.is_within(*column, *spent) {
                beyond.push(format!("{}, {column:?}: {spent:?}, allowed {:?}", row.name, row.bound));
            }
        }
        writeln!(shown, "{:>14}", format!("{} / {}", row.bound.one, row.bound.many)).unwrap();
    }
    std::io::stderr().write_all(shown.as_bytes()).unwrap();
    assert!(beyond.is_empty(), "{beyond:#?}");
}
