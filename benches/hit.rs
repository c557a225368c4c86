//! What a hit and its pieces cost, in time; and the refresh plan's pass over all reports, each five minutes.

mod support;

use std::{
    hint::black_box,
    sync::Arc,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use criterion::{BatchSize, Criterion, SamplingMode, criterion_group, criterion_main};
use futures_util::FutureExt;
use http::{Request, header::HOST};
use http_body_util::Empty;
use hyper::service::Service;
use link_report_proxy::{
    cache::{QuotaUse, SliceDone},
    report::ReportKey,
    simulator::synthetic_id,
};
use support::BenchProxy;
use tokio::time::Instant;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// What is between hyper's two halves; the head is what the whole takes beyond the other three.
fn pieces(criterion: &mut Criterion) {
    let inside = BenchProxy::warm(1, 2).inside();
    let target = format!("/v3/reports/email_reports/{}/links", synthetic_id(0, 2));
    let key = ReportKey::parse(&target, None).expect("a key");
    let mut group = criterion.benchmark_group("pieces of a hit");
    group.bench_function("key", |bencher| bencher.iter(|| ReportKey::parse(black_box(&target), None)));
    group.bench_function("lookup, and the age's record", |bencher| {
        bencher.iter(|| inside.admin.memory.lookup(black_box(&key), Instant::now()));
    });
    let series = inside.admin.metrics.requests.series("hit", "200", "anonymous");
    group.bench_function("record", |bencher| {
        bencher.iter(|| series.record(black_box(Duration::from_micros(2))));
    });
    let request = Request::get(&*target).header(HOST, "127.0.0.1").body(Empty::<Bytes>::new());
    let request = request.expect("a request");
    group.bench_function("key, lookup, head, record", |bencher| {
        bencher.iter_batched(
            || request.clone(),
            |request| inside.front.call(request).now_or_never(),
            BatchSize::SmallInput,
        );
    });
}

fn hit(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("hit over a pipe");
    let mut bare = BenchProxy::bare(2);
    let request = bare.request(0, "");
    group.bench_function("hyper alone", |bencher| bencher.iter(|| bare.ask(&request).len()));
    for (links, keys) in [(2, 1), (2, 10_000), (50, 1)] {
        let mut proxy = BenchProxy::warm(keys, links);
        let requests: Vec<_> = (0..keys).map(|key| proxy.request(key, "")).collect();
        let mut next = requests.iter().cycle();
        group.bench_function(format!("{links} links, {keys} keys"), |bencher| {
            bencher.iter(|| next.next().map(|request| proxy.ask(request).len()));
        });
    }
    let mut proxy = BenchProxy::warm(1, 50);
    let etag = BenchProxy::etag(proxy.ask(&proxy.request(0, "")));
    let request = proxy.request(0, &format!("if-none-match: {etag}\r\n"));
    group.bench_function("304 for 50 links", |bencher| bencher.iter(|| proxy.ask(&request).len()));
}

fn plan(criterion: &mut Criterion) {
    let proxy = BenchProxy::warm(10_000, 2);
    let memory = Arc::clone(&proxy.inside().admin.memory);
    let no_calls = QuotaUse { used: 0, yesterday_exceeded_after: None };
    let mut group = criterion.benchmark_group("plan");
    group.sample_size(20).sampling_mode(SamplingMode::Flat);
    group.bench_function("pass over 10,000 reports", |bencher| {
        bencher.iter_batched(
            || proxy.pass(Duration::from_mins(5)),
            |()| {
                let minute = proxy.within(|| memory.plan_minute(no_calls, SystemTime::UNIX_EPOCH));
                assert_eq!(minute.slice, SliceDone::Yes);
            },
            BatchSize::PerIteration,
        );
    });
}

criterion_group!(benches, pieces, hit, plan);
criterion_main!(benches);
