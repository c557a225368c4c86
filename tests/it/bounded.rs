//! No fault of the account is a loop that spends calls: an hour of polling costs a bounded number, whatever the API
//! answers.

use std::time::Duration;

use futures_util::future::join_all;
use link_report_proxy::{
    report::Unreachable,
    simulator::{BodyShape, Fault, Limit, Scope},
};
use tokio::time::Instant;

use crate::support::in_process::{InProcess, failure, path};

/// As released.
const DEFAULTS: [(&str, &str); 3] =
    [("QUOTA__PER_SECOND", "4"), ("QUOTA__PER_DAY", "10000"), ("CIRCUIT__FAILURES", "5")];
const KEYS: u32 = 200;

/// What goes wrong with every call, and what an hour of it may cost.
struct Row {
    name: &'static str,
    trouble: Trouble,
    bound: u64,
}

enum Trouble {
    Answer(Fault),
    Connection(Unreachable),
}

fn rows() -> Vec<Row> {
    let row = |name, fault, bound| Row { name, trouble: Trouble::Answer(fault), bound };
    let unnamed_429 =
        Fault::Status { status: http::StatusCode::TOO_MANY_REQUESTS, shape: BodyShape::Gateway };
    let throttled = Fault::Throttle { limit: Limit::PerSecond, retry_after: None };
    let exceeded = Fault::Throttle { limit: Limit::PerDay, retry_after: None };
    let no_connection = Trouble::Connection(Unreachable::Connect);
    vec![
        row("401", failure(401), 100),
        row("403", failure(403), 100),
        row("302", Fault::Redirect, 100),
        row("418", failure(418), 100),
        row("500", failure(500), 100),
        row("503", failure(503), 100),
        row("200 that is no report", Fault::Html, 100),
        row("200 cut off", Fault::Truncate, 100),
        row("no answer", Fault::Hang, 100),
        row("429 of an unnamed limit", unnamed_429, 100),
        row("429 of the second", throttled, 100),
        row("429 of the day", exceeded, 100),
        Row { name: "no connection", trouble: no_connection, bound: 0 },
    ]
}

/// The calls that an hour costs in which one in `of` of all keys is polled each half minute, in turn.
async fn spent_in_an_hour(proxy: &InProcess, of: u32) -> u64 {
    let before = proxy.vendor.calls();
    for round in 0..120 {
        let next = Instant::now() + Duration::from_secs(30);
        let polled = (0..KEYS).filter(|number| number % of == round % of);
        join_all(polled.map(|number| proxy.get_meanwhile(&path(number)))).await;
        tokio::time::sleep_until(next).await;
    }
    proxy.vendor.calls() - before
}

/// A proxy that holds the reports of these keys.
async fn holding(keys: std::ops::Range<u32>) -> InProcess {
    let proxy = InProcess::with(&DEFAULTS);
    for number in keys {
        assert_eq!(proxy.get(&path(number)).await.status, 200);
    }
    proxy
}

#[tokio::test(start_paused = true)]
async fn two_hundred_warm_keys_cost_an_api_that_forbids_everything_a_call_a_minute() {
    let proxy = holding(0..KEYS).await;
    proxy.vendor.inject(failure(403), Scope::All);
    let spent = spent_in_an_hour(&proxy, 1).await;
    println!("403 to everything, 200 warm keys polled each 30 s: {spent} calls in an hour");
    assert!(spent <= 80, "{spent}");
}

#[tokio::test(start_paused = true)]
async fn whatever_the_api_answers_200_polled_keys_cost_a_bounded_number_of_calls_an_hour() {
    let mut over = Vec::new();
    for Row { name, trouble, bound } in rows() {
        let proxy = holding(0..KEYS / 2).await;
        match trouble {
            Trouble::Answer(fault) => proxy.vendor.inject(fault, Scope::All),
            Trouble::Connection(how_far) => proxy.lose_all_connections(how_far),
        }
        // Half of them are held, the others are cold.
        let spent = spent_in_an_hour(&proxy, 4).await;
        println!("{name:>24}: {spent:>4} calls in an hour, at most {bound}");
        if spent > bound {
            over.push(name);
        }
    }
    assert!(over.is_empty(), "over their bound: {over:?}");
}
