use std::pin::pin;

use futures_util::FutureExt as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::*;

const TIMEOUTS: Timeouts = Timeouts { head: Duration::from_secs(10), idle: Duration::from_secs(75) };

/// Inspects once a second; returns the first timeout, and after how many seconds it came.
fn cut(
    activity: &ConnectionActivity,
    monitor: &mut IdleMonitor,
    start: Instant,
    mut each_second: impl FnMut(&ConnectionActivity),
) -> (Inspection, u64) {
    for second in 1..1_000 {
        each_second(activity);
        match monitor.look(activity, start + Duration::from_secs(second)) {
            Inspection::KeepOpen(_) => {}
            timed_out => return (timed_out, second),
        }
    }
    (Inspection::KeepOpen(start), 0)
}

#[tokio::test(start_paused = true)]
async fn a_silent_connection_is_closed_and_a_head_sent_byte_by_byte_meets_the_header_timeout() {
    let start = Instant::now();
    let (activity, mut monitor) = (ConnectionActivity::default(), IdleMonitor::new(TIMEOUTS, start));
    assert_eq!(cut(&activity, &mut monitor, start, |_| ()), (Inspection::IdleTimeout, 10));
    let (activity, mut monitor) = (ConnectionActivity::default(), IdleMonitor::new(TIMEOUTS, start));
    let drip = |activity: &ConnectionActivity| {
        activity.reads.fetch_add(1, Relaxed);
    };
    assert_eq!(cut(&activity, &mut monitor, start, drip), (Inspection::HeaderTimeout, 11));
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_has_the_idle_timeout_and_one_that_waits_for_its_response_has_none() {
    let start = Instant::now();
    let (activity, mut monitor) = (ConnectionActivity::default(), IdleMonitor::new(TIMEOUTS, start));
    activity.reads.fetch_add(1, Relaxed);
    activity.request();
    assert_eq!(cut(&activity, &mut monitor, start, |_| ()).0, Inspection::KeepOpen(start), "it waits");
    activity.answer();
    let since = start + Duration::from_secs(1_000);
    assert_eq!(cut(&activity, &mut monitor, since, |_| ()), (Inspection::IdleTimeout, 76));
}

#[tokio::test(start_paused = true)]
async fn a_slow_reader_is_not_closed_while_it_keeps_reading() {
    let start = Instant::now();
    let (activity, mut monitor) = (ConnectionActivity::default(), IdleMonitor::new(TIMEOUTS, start));
    activity.reads.fetch_add(1, Relaxed);
    activity.request();
    activity.answer();
    let sip = |activity: &ConnectionActivity| {
        activity.writes.fetch_add(1, Relaxed);
    };
    assert_eq!(cut(&activity, &mut monitor, start, sip).0, Inspection::KeepOpen(start));
    let since = start + Duration::from_secs(1_000);
    assert_eq!(
        cut(&activity, &mut monitor, since, |_| ()),
        (Inspection::IdleTimeout, 74),
        "it stopped a second ago"
    );
}

#[tokio::test(start_paused = true)]
async fn the_shorter_of_the_timeouts_decides_how_often_to_inspect() {
    let start = Instant::now();
    for (head, idle) in [(120, 8), (8, 120)] {
        let timeouts = Timeouts { head: Duration::from_secs(head), idle: Duration::from_secs(idle) };
        let (activity, mut monitor) = (ConnectionActivity::default(), IdleMonitor::new(timeouts, start));
        assert_eq!(
            monitor.look(&activity, start),
            Inspection::KeepOpen(start + Duration::from_secs(2)),
            "{timeouts:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_connection_whose_response_is_being_sent_is_not_quiet_while_its_client_takes_some() {
    let start = Instant::now();
    let at = |second| start + Duration::from_secs(second);
    let (activity, mut monitor) =
        (Arc::new(ConnectionActivity::default()), IdleMonitor::new(TIMEOUTS, start));
    let (mut client, server) = tokio::io::duplex(8);
    let mut io = TrackedIo::new(server, Arc::clone(&activity));
    activity.request();
    let mut response = pin!(io.write_all(&[b'x'; 32]));
    assert!(response.as_mut().now_or_never().is_none());
    activity.answer();
    for second in [1, 10, 19] {
        assert_eq!(monitor.quiet_since(&activity, at(second)), None, "{second}");
        client.read_exact(&mut [0; 8]).await.unwrap();
        let _sent = response.as_mut().now_or_never();
    }
    assert_eq!(monitor.quiet_since(&activity, at(20)), Some(at(20)), "all is sent");

    let (_client, server) = tokio::io::duplex(8);
    let mut io = TrackedIo::new(server, Arc::clone(&activity));
    assert!(pin!(io.write_all(&[b'x'; 32])).now_or_never().is_none());
    assert_eq!(monitor.quiet_since(&activity, at(30)), None);
    assert_eq!(monitor.quiet_since(&activity, at(39)), None);
    assert_eq!(monitor.quiet_since(&activity, at(40)), Some(at(30)), "its client takes nothing");
}

#[tokio::test(start_paused = true)]
async fn a_busy_connection_is_never_cut() {
    let start = Instant::now();
    let (activity, mut monitor) = (ConnectionActivity::default(), IdleMonitor::new(TIMEOUTS, start));
    let ask = |activity: &ConnectionActivity| {
        activity.reads.fetch_add(1, Relaxed);
        activity.request();
        activity.answer();
    };
    assert_eq!(cut(&activity, &mut monitor, start, ask).0, Inspection::KeepOpen(start));
}
