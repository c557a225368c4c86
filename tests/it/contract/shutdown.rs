//! The end of a run, from the order to stop to the last background task.

use std::{
    future::{pending, ready},
    sync::Arc,
    time::Duration,
};

use link_report_proxy::{
    app::{self, App, RunError},
    settings::Settings,
    simulator::{Fault, Options, Scope, Simulator},
};

use crate::support::{in_process::timed, log::Log, pipe::PipeConnector};

async fn app_in_front_of(vendor: &Simulator) -> (App, Settings) {
    let settings = Settings::load(
        None,
        [
            ("LINK_REPORT_PROXY__SERVER__LISTEN", "127.0.0.1:0"),
            ("LINK_REPORT_PROXY__ADMIN__LISTEN", "127.0.0.1:0"),
            ("LINK_REPORT_PROXY__SHUTDOWN__GRACE", "5s"),
            ("LINK_REPORT_PROXY__TOKEN__SOURCE", "refresh"),
            ("LINK_REPORT_PROXY__TOKEN__CLIENT_ID", "simulated-client-id"),
            ("LINK_REPORT_PROXY__TOKEN__REFRESH_TOKEN", &vendor.refresh_token()),
        ],
    )
    .unwrap();
    let app = App::new(&settings, PipeConnector::to(vendor).connector()).await.unwrap();
    (app, settings)
}

#[tokio::test(start_paused = true)]
async fn an_end_waits_for_a_renewal_no_longer_than_the_grace() {
    let vendor = Simulator::new(Options::default());
    vendor.inject(Fault::Hang, Scope::TokenCalls);
    let (app, settings) = app_in_front_of(&vendor).await;
    let stop = tokio::time::sleep(Duration::from_secs(1));
    let (ended, lived) = timed(app::run(app, &settings, |_ports| (), stop)).await;
    ended.unwrap();
    assert_eq!((vendor.token_calls(), lived), (1, Duration::from_secs(6)), "20 s are a renewal's deadline");
}

/// Else a task that works on another thread takes the end of the runtime's threads for a failure, and logs it.
#[tokio::test(start_paused = true)]
async fn no_background_task_outlives_the_run() {
    let vendor = Simulator::new(Options::default());
    let (mut app, settings) = app_in_front_of(&vendor).await;
    let alive = Arc::new(());
    let held = Arc::clone(&alive);
    app.background.push(Box::pin(async move {
        pending::<()>().await;
        drop(held);
    }));
    app::run(app, &settings, |_ports| (), ready(())).await.unwrap();
    assert_eq!(Arc::strong_count(&alive), 1);
}

/// A proxy whose token is renewed by nobody would serve until it is too late.
#[tokio::test(start_paused = true)]
async fn a_background_task_that_panics_ends_the_run_after_a_drain_and_one_that_ends_does_not() {
    let (log, _guard) = Log::start();
    let vendor = Simulator::new(Options::default());
    let (mut app, settings) = app_in_front_of(&vendor).await;
    app.background.push(Box::pin(ready(())));
    app.background.push(Box::pin(async {
        tokio::time::sleep(Duration::from_secs(60)).await;
        panic!("a bug");
    }));
    let (ended, lived) = timed(app::run(app, &settings, |_ports| (), pending())).await;
    assert!(matches!(ended, Err(RunError::TaskPanicked)), "{ended:?}");
    assert_eq!(lived, Duration::from_secs(60));
    let lines =
        ["the process ends, to be started again: a background task has panicked", "draining", "drained"];
    let text = log.text();
    let at = lines.map(|line| text.find(line).unwrap_or_else(|| panic!("{line}: {text}")));
    assert!(at.is_sorted(), "{text}");
}
