//! `demo --replicas`: several proxies in one process, over a store in memory and over a real redis-server.

use std::net::SocketAddr;

use super::redis_server::RedisServer;
use crate::support::{Run, environment, get, soon, sum_of_series, until};

const ANY_PORTS: [(&str, &str); 2] = [("server.listen", "127.0.0.1:0"), ("admin.listen", "127.0.0.1:0")];

/// The machine may be busy.
const SETTINGS: [(&str, &str); 3] = [ANY_PORTS[0], ANY_PORTS[1], ("shared.timeout", "1s")];

fn admin_ports(lines: &[String]) -> Vec<SocketAddr> {
    let admin = |line: &String| line.split_once("admin port http://")?.1.trim().parse().ok();
    lines.iter().filter_map(admin).collect()
}

/// Until each replica has reached the server, which takes it some milliseconds after its start.
async fn all_share(demo: &mut Run) {
    demo.stdout_line(|line| line.contains("they share").then_some(())).await;
    let admins = admin_ports(&demo.stdout_now());
    assert_eq!(admins.len(), 3);
    for admin in admins {
        until("a heartbeat", async || {
            let metrics = get(admin, "/metrics", &[]).await.text();
            let beats = "link_report_proxy_shared_operations_total{op=\"heartbeat\",result=\"ok\"}";
            sum_of_series(&metrics, beats).filter(|beats| *beats > 0.0)
        })
        .await;
    }
}

/// Starts a demo of three replicas, and pastes its lines: what it promises of the first ones is what they print.
async fn one_call_for_three_replicas(server: Option<&str>) -> Run {
    let shared = server.map(|url| ["--shared", url]);
    let arguments: Vec<_> =
        ["demo", "--replicas", "3"].into_iter().chain(shared.into_iter().flatten()).collect();
    let mut demo = Run::start(&arguments, &environment(&SETTINGS));
    if server.is_some() {
        all_share(&mut demo).await;
    }
    let printed = demo.paste_curl_lines().await;
    let says = |line: usize, text: &str| assert!(printed[line].contains(text), "{line}: {:?}", &printed[..7]);
    says(0, "fwd=uri-miss; stored");
    for replica in [1, 2] {
        says(replica, "; hit; ttl=");
        says(replica, "; detail=shared");
    }
    says(3, "\"calls\":1\n");
    says(4, "\"purged\": 1");
    says(5, "fwd=uri-miss; stored");
    says(6, "\"calls\":2\n");
    demo
}

async fn ends_well(demo: Run) {
    demo.sigterm();
    let finished = demo.finished().await;
    assert!(finished.status.success(), "{finished:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_lines_of_a_demo_with_three_replicas_show_one_call_for_all_and_a_purge_that_reaches_all() {
    ends_well(one_call_for_three_replicas(None).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_of_a_demo_share_through_redis_and_a_second_demo_begins_anew() {
    let redis = RedisServer::start().await;
    let url = redis.url();
    for _start in 0..2 {
        let demo = one_call_for_three_replicas(Some(&url)).await;
        let greeting = demo.stdout_now().concat();
        assert!(greeting.contains(&url) && greeting.contains("lrp:{demo-"), "{greeting}");
        ends_well(demo).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_viewers_of_a_busy_demo_are_spread_over_its_replicas() {
    let mut demo = Run::start(&["demo", "--busy", "--replicas", "3"], &environment(&ANY_PORTS));
    demo.stdout_line(|line| line.contains("clicks missed per answer").then_some(())).await;
    let lines = demo.stdout_now();
    assert!(!lines.concat().contains("without a report"), "{lines:?}");
    let admins = admin_ports(&lines);
    assert_eq!(admins.len(), 3, "{lines:?}");
    for admin in admins {
        let metrics = get(admin, "/metrics", &[]).await.text();
        let hits = sum_of_series(&metrics, "link_report_proxy_requests_total{").unwrap_or(0.0);
        assert!(hits > 0.0, "{metrics}");
    }
    ends_well(demo).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_demo_says_what_is_wrong_with_its_options_and_never_shows_a_password() {
    let with_password = "http://demo:hush@localhost";
    for (options, ports, code, said) in [
        (&["--replicas", "0"][..], ANY_PORTS, 2, "'--replicas <N>': 0 is not in 1..=10"),
        (&["--replicas", "11"], ANY_PORTS, 2, "'--replicas <N>': 11 is not in 1..=10"),
        (&["--shared", "unix:///x"], ANY_PORTS, 2, "not provided:\n  --replicas <N>"),
        (
            &["--replicas", "2", "--shared", with_password],
            ANY_PORTS,
            78,
            "--shared: must begin with redis://",
        ),
        (
            &["--replicas", "3"],
            [("server.listen", "127.0.0.1:9088"), ("admin.listen", "127.0.0.1:9090")],
            78,
            "admin.listen: 3 replicas take the data ports from 9088 on",
        ),
    ] {
        let arguments: Vec<_> = ["demo"].iter().chain(options).copied().collect();
        let finished = soon("the refusal", Run::finish(&arguments, &environment(&ports))).await;
        assert_eq!(finished.status.code(), Some(code), "{finished:?}");
        assert!(finished.stderr.join("\n").contains(said), "{finished:?}");
        assert!(!format!("{finished:?}").contains("hush"), "{finished:?}");
    }
}
