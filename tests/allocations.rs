//! What a hit allocates, beside what hyper allocates for any request.

#[path = "../benches/support/mod.rs"]
#[allow(dead_code, reason = "hit.rs alone looks at the pieces")]
mod support;

use support::BenchProxy;

const REQUESTS: u64 = 1_000;

/// Allocations for one request, with those of the asking.
fn each(proxy: &mut BenchProxy, request: &[u8]) -> u64 {
    for _ in 0..REQUESTS {
        proxy.ask(request);
    }
    let told = allocation_counter::measure(|| {
        for _ in 0..REQUESTS {
            proxy.ask(request);
        }
    });
    told.count_total / REQUESTS
}

#[test]
fn a_hit_allocates_no_more_than_hyper_itself_but_for_its_etag() {
    let mut bare = BenchProxy::bare(2);
    let request = bare.request(0, "");
    let hyper = each(&mut bare, &request);

    let mut proxy = BenchProxy::warm(100, 2);
    let etag = BenchProxy::etag(proxy.ask(&request));
    let conditional = proxy.request(0, &format!("if-none-match: {etag}\r\n"));
    let (hit, not_modified) = (each(&mut proxy, &request), each(&mut proxy, &conditional));
    assert_eq!((hit, not_modified), (hyper + 1, hyper + 1), "hyper alone: {hyper}");
}
