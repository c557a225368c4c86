//! Standard error is a pipe to whoever collects logs, and may be full.

use std::{net::SocketAddr, process::Stdio};

use rustix::process::{Pid, Signal, kill_process};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    net::TcpListener,
    process::Command,
};

use crate::support::{Proxy, Run, Upstream, Wire, environment, get, path, request, soon, synthetic};

#[tokio::test(flavor = "multi_thread")]
async fn a_full_pipe_of_logs_costs_lines_but_no_answer_and_no_exit() {
    // A line each: some megabytes, far more than the pipe and the buffer hold.
    const HITS: usize = 10_000;
    const PIPELINE: usize = 25;
    let upstream = Upstream::start().await;
    let (base_url, token) = (upstream.base_url(), upstream.sim.access_token());
    let mut child = Command::new(env!("CARGO_BIN_EXE_link-report-proxy"))
        .env_clear()
        .envs(environment(&[
            ("server.listen", "127.0.0.1:0"),
            ("admin.listen", "127.0.0.1:0"),
            ("upstream.base_url", &base_url),
            ("token.access_token", &token),
            ("log.level", "debug"),
        ]))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("the binary starts");
    // Held to the end, but not read any further.
    let mut log = BufReader::new(child.stderr.take().expect("a pipe")).lines();
    let (data, admin) = loop {
        let line = soon("the proxy to listen", log.next_line()).await.expect("a line").expect("a line");
        let line: serde_json::Value = serde_json::from_str(&line).expect("a line of JSON");
        if line["message"] == "listening" {
            let address = |key: &str| line[key].as_str().and_then(|text| text.parse::<SocketAddr>().ok());
            break (address("data").expect("an address"), address("admin").expect("an address"));
        }
    };

    let ask = request("GET", &path(&synthetic(1, 1)), &[]).repeat(PIPELINE);
    let mut wire = Wire::connect(data).await;
    for _ in 0..HITS / PIPELINE {
        wire.send(&ask).await;
        for _ in 0..PIPELINE {
            assert_eq!(wire.answer().await.map(|answer| answer.status), Some(200));
        }
    }
    let metrics = get(admin, "/metrics", &[]).await.text();
    let lost = metrics.lines().find_map(|line| line.strip_prefix("link_report_proxy_log_lines_lost_total "));
    let lost: usize = lost.and_then(|lost| lost.parse().ok()).expect("a count of lost lines");
    assert!((1..=HITS + 100).contains(&lost), "{lost}");

    let pid = child.id().and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw).expect("a child");
    kill_process(pid, Signal::TERM).expect("a living child");
    let status = soon("the process to end", child.wait()).await.expect("a child to wait for");
    assert_eq!(status.code(), Some(0));
    drop(log);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_line_is_written_before_the_process_ends() {
    let upstream = Upstream::start().await;
    for _ in 0..10 {
        let proxy = Proxy::start(&upstream, &[]).await;
        proxy.sigterm();
        let finished = proxy.finished().await;
        assert!(finished.stderr.last().is_some_and(|line| line.contains("\"drained\"")), "{finished:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_logged_stands_before_the_reason_why_it_did_not_start() {
    let taken = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let taken = taken.local_addr().expect("an address").to_string();
    let settings = [("server.listen", "127.0.0.1:0"), ("admin.listen", &taken), ("token.access_token", "x")];
    for _ in 0..10 {
        let finished = Run::finish(&["serve"], &environment(&settings)).await;
        assert_eq!(finished.status.code(), Some(69), "{finished:?}");
        let [.., logged, reason] = finished.stderr.as_slice() else { panic!("{finished:?}") };
        assert!(logged.contains("access token installed"), "{finished:?}");
        assert!(reason.starts_with("admin.listen: cannot listen on "), "{finished:?}");
    }
}
