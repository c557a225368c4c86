//! What a hit costs, in instructions: the same on a busy machine as on a quiet one, so that a regression is seen
//! anywhere. Runs itself under `valgrind --tool=callgrind`, twice with different numbers of hits; the difference is the
//! hits' alone.

#[allow(dead_code, reason = "hit.rs alone looks at the pieces")]
mod support;

use std::process::Command;

use support::{BenchProxy, ReplicaKind};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A miss is counted with its upstream, the simulator, which runs on the same thread.
const CASES: [&str; 9] = [
    "hyper alone",
    "hit, fixed lifetime",
    "hit, 1 key",
    "hit, 1000 keys",
    "hit, gzip",
    "304",
    "miss",
    SHARED_HIT,
    SHARED_MISS,
];
/// With a store in this process, so that what it does is counted too.
/// Nothing is refreshed meanwhile, which would be counted as well: compare it with that without a store.
const SHARED_HIT: &str = "hit, fixed lifetime, shared store";
const SHARED_MISS: &str = "miss, shared store";
const FEW: u32 = 1_000;
const MANY: u32 = 4_000;

#[expect(clippy::print_stdout, reason = "the figures are what it is for")]
fn main() {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    match arguments.as_slice() {
        [play_it, hits, case] if play_it == "play" => play(case, hits.parse().expect("a number")),
        _ => {
            for case in CASES {
                let (few, many) = (instructions(case, FEW), instructions(case, MANY));
                println!("{case}: {} instructions", (many - few) / u64::from(MANY - FEW));
            }
        }
    }
}

fn play(case: &str, hits: u32) {
    let keys = if case == "hit, 1000 keys" { 1_000 } else { 1 };
    let mut proxy = match case {
        "hyper alone" => BenchProxy::bare(2),
        "hit, fixed lifetime" => BenchProxy::warm_with("fixed", keys, 2, ReplicaKind::Alone),
        SHARED_HIT => BenchProxy::warm_with("fixed", keys, 2, ReplicaKind::Sharing),
        SHARED_MISS => BenchProxy::warm_with("planned", keys, 2, ReplicaKind::Sharing),
        _ => BenchProxy::warm(keys, 2),
    };
    if ["miss", SHARED_MISS].contains(&case) {
        for key in keys..keys + hits {
            proxy.ask(&proxy.request(key, ""));
        }
        return;
    }
    let more = match case {
        "hit, gzip" => "accept-encoding: gzip\r\n".to_owned(),
        "304" => format!("if-none-match: {}\r\n", BenchProxy::etag(proxy.ask(&proxy.request(0, "")))),
        _ => String::new(),
    };
    let requests: Vec<_> = (0..keys).map(|key| proxy.request(key, &more)).collect();
    for request in requests.iter().cycle().take(hits as usize) {
        proxy.ask(request);
    }
}

fn instructions(case: &str, hits: u32) -> u64 {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(std::env::current_exe().expect("a program knows where it is"))
        .args(["play", &hits.to_string(), case])
        .output()
        .expect("valgrind is needed");
    let told = String::from_utf8_lossy(&output.stderr);
    let collected = told.lines().find_map(|line| line.split("Collected : ").nth(1));
    collected.unwrap_or_else(|| panic!("{told}")).trim().parse().expect("a count")
}
