//! What a hit and its pieces cost, in time.

mod support;

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use link_report_proxy::{report::ReportKey, simulator::synthetic_id};
use support::Bed;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn key(criterion: &mut Criterion) {
    let path = format!("/v3/reports/email_reports/{}/links", synthetic_id(7, 2));
    criterion
        .bench_function("key from path", |bencher| bencher.iter(|| ReportKey::parse(black_box(&path), None)));
}

fn hit(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("hit over a pipe");
    let mut bare = Bed::bare(2);
    let request = bare.request(0, "");
    group.bench_function("hyper alone", |bencher| bencher.iter(|| bare.ask(&request).len()));
    for (links, keys) in [(2, 1), (2, 10_000), (50, 1)] {
        let mut bed = Bed::warm(keys, links);
        let requests: Vec<_> = (0..keys).map(|key| bed.request(key, "")).collect();
        let mut next = requests.iter().cycle();
        group.bench_function(format!("{links} links, {keys} keys"), |bencher| {
            bencher.iter(|| next.next().map(|request| bed.ask(request).len()));
        });
    }
    let mut bed = Bed::warm(1, 50);
    let etag = Bed::etag(bed.ask(&bed.request(0, "")));
    let request = bed.request(0, &format!("if-none-match: {etag}\r\n"));
    group.bench_function("304 for 50 links", |bencher| bencher.iter(|| bed.ask(&request).len()));
}

criterion_group!(benches, key, hit);
criterion_main!(benches);
