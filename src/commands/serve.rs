//! `serve`: runs the proxy; sets up logging, the tokio runtime, the state and the upstream connectors.

use std::{
    future::Future,
    panic,
    path::Path,
    sync::Arc,
    time::{Duration, SystemTime},
};

use anyhow::Context as _;
use futures_util::future::{join, try_join_all};
use http::Uri;
use hyper_util::client::proxy::matcher::Matcher;
use tokio::{
    runtime::{Builder, Handle},
    sync::oneshot,
    task::spawn_blocking,
};

use super::{
    CommandOutcome, Failure,
    config_watch::ConfigWatch,
    process_limits,
    signals::{self, Signals},
};
use crate::{
    app::{self, App, Dependencies, Environment, Ports, SharedBackend},
    settings::{LogFormat, Settings, SettingsSources},
    shared::StoreServer,
    state::{Contents, FileStore, SetAside, StateStores},
    telemetry::{
        logging::{self, LogGuard},
        traces::{self, SpanRecorder, TraceExporter},
    },
    upstream::{ConnectOptions, Connector},
};

/// The longest that a panic waits until its log line is written: standard error may be blocked.
const PANIC_WRITTEN_WITHIN: Duration = Duration::from_millis(100);

/// Loads the settings, and serves until SIGTERM or SIGINT.
pub(super) fn run(config: Option<&Path>) -> CommandOutcome {
    let sources = SettingsSources::new(config, std::env::vars_os());
    let text = sources.read()?;
    let settings = sources.parse(text.as_ref())?;
    let endpoint = settings.telemetry.otlp_endpoint.as_ref();
    let (recorder, spans) = endpoint.map(|_| traces::record(settings.telemetry.trace_ratio)).unzip();
    let _written_at_the_end = start_logging(&settings, recorder)?;
    for stray in sources.stray_variables(&settings) {
        tracing::warn!("{stray}");
    }
    block_on(&settings, async {
        // First of all: one that comes without a handler is lost where this is process 1, as in a container.
        let (signals, hangup) =
            (Signals::catch().map_err(Failure::Bug)?, signals::hangup().map_err(Failure::Bug)?);
        let Some(mut app) = start(&settings, &signals).await? else { return Ok(()) };
        app.live.come_from(sources.origins(text.as_ref()));
        let watch = ConfigWatch::new(sources, text);
        app.background.push(Box::pin(watch.run(Arc::clone(&app.live), hangup)));
        if let (Some(spans), Some(endpoint)) = (spans, endpoint) {
            let url = endpoint.traces();
            let (exporter, flush) = TraceExporter::new(spans, url.clone(), connector(&settings, url)?);
            app.background.push(Box::pin(exporter.run()));
            app.traces = Some(flush);
        }
        until_signalled(&signals, vec![(app, &settings)], |_| ()).await
    })
}

/// Builds the app; `None`: the second signal has come meanwhile. On a thread of its own, since a disk that hangs must not keep the
/// signals from being seen.
async fn start(settings: &Settings, signals: &Signals) -> Result<Option<App>, Failure> {
    let (settings, runtime) = (settings.clone(), Handle::current());
    let building = spawn_blocking(move || {
        runtime.block_on(async {
            let (stores, shared) = (open_state(&settings)?, shared_backend(&settings)?);
            build(&settings, stores, shared, Environment::default()).await
        })
    });
    tokio::select! {
        built = building => built.context("cannot start").map_err(Failure::Bug)?.map(Some),
        () = signals.second() => {
            tracing::warn!("second signal: exiting without waiting for the start");
            Ok(None)
        }
    }
}

/// Runs a command's work on a new runtime. Does not wait for tasks that are still running afterwards, such as a read from
/// a disk that hangs.
pub(super) fn block_on(settings: &Settings, work: impl Future<Output = CommandOutcome>) -> CommandOutcome {
    process_limits::set();
    let mut builder = Builder::new_multi_thread();
    if let Some(workers) = settings.server.workers {
        builder.worker_threads(workers.get());
    }
    let runtime = builder.enable_all().build().context("cannot start the runtime").map_err(Failure::Bug)?;
    let outcome = runtime.block_on(work);
    runtime.shutdown_background();
    outcome
}

/// Serves until the first signal, then drains; a second signal ends the drain at once. `listening` gets the ports of each
/// app once all are open.
pub(super) async fn until_signalled(
    signals: &Signals,
    apps: Vec<(App, &Settings)>,
    listening: impl FnOnce(&[Ports]),
) -> CommandOutcome {
    let (mut running, mut opened) = (Vec::new(), Vec::new());
    for (app, settings) in apps {
        let (tell, told) = oneshot::channel();
        let listening = move |ports| {
            let _heard = tell.send(ports);
        };
        running.push(app::run(app, settings, listening, signals.first()));
        opened.push(told);
    }
    let all_listen = async {
        // Fails only if an app does.
        if let Ok(ports) = try_join_all(opened).await {
            listening(&ports);
        }
    };
    tokio::select! {
        (ended, ()) = join(try_join_all(running), all_listen) => Ok(ended.map(drop)?),
        () = signals.second() => {
            tracing::warn!("second signal: exiting without waiting for the drain");
            Ok(())
        }
    }
}

/// Builds the app with real connections. Needs a runtime.
pub(super) async fn build(
    settings: &Settings,
    stores: StateStores,
    shared: Option<SharedBackend>,
    world: Environment,
) -> Result<App, Failure> {
    let api = connector(settings, settings.upstream.base_url.uri())?;
    let authority = connector(settings, settings.token.token_url.uri())?;
    Ok(App::build(settings, Dependencies { api, authority, stores, shared, world }).await?)
}

/// The store that the settings name. Connects to nothing.
pub(super) fn shared_backend(settings: &Settings) -> Result<Option<SharedBackend>, Failure> {
    Ok(StoreServer::of(settings)?.map(SharedBackend::Server))
}

/// Opens the state: the file in `state.dir`, which is locked against other processes; in memory without `state.dir`.
pub(super) fn open_state(settings: &Settings) -> Result<StateStores, Failure> {
    match &settings.state.dir {
        Some(dir) => {
            let (store, set_aside) = FileStore::open_or_set_aside(dir, SystemTime::now())?;
            for SetAside { file, reason, contents } in set_aside {
                let file = file.display();
                match contents {
                    Contents::TokenAndCalls => tracing::error!(
                        %file,
                        reason,
                        "the state file is damaged and was renamed: starting without it, with the refresh token of \
                         the settings and an assumed count of today's calls"
                    ),
                    Contents::RefreshPlan => tracing::warn!(
                        %file,
                        reason,
                        "the file of the refresh plan is damaged and was renamed: starting without it; click rates \
                         and the usual demand of each hour are learned again"
                    ),
                    Contents::CacheSnapshot => tracing::warn!(
                        %file,
                        reason,
                        "the snapshot of the cache is damaged and was renamed: starting with an empty cache; each \
                         report is fetched again when it is requested"
                    ),
                }
            }
            Ok(StateStores::in_file(Arc::new(store)))
        }
        None => Ok(StateStores::in_memory()),
    }
}

/// A connector to the host of this URL only.
pub(super) fn connector(settings: &Settings, url: &Uri) -> Result<Connector, Failure> {
    let options = ConnectOptions {
        timeout: settings.upstream.connect_timeout,
        extra_ca_file: settings.upstream.extra_ca_file.clone(),
        proxy: Arc::new(Matcher::from_env()),
    };
    Ok(Connector::new(url, &options)?)
}

/// Starts logging and recording traces, and installs the panic hook. Dropping the guard writes the last lines.
pub(super) fn start_logging(
    settings: &Settings,
    recorder: Option<SpanRecorder>,
) -> Result<LogGuard, Failure> {
    let format = match settings.log.format {
        LogFormat::Json => logging::Format::Json,
        LogFormat::Text => logging::Format::Text,
    };
    let guard = logging::start(format, settings.log.level.as_str(), recorder)
        .map_err(|error| Failure::Settings(format!("log.level (or RUST_LOG): {error:#}")))?;
    let writer = guard.writer().clone();
    // Panics are logged in the log's format, not printed by the default hook in the middle of another line.
    panic::set_hook(Box::new(move |panicked| {
        let place = panicked.location().map(ToString::to_string);
        tracing::error!(place, "panic: {}", panicked.payload_as_str().unwrap_or("not a message"));
        // A panic during a panic aborts the process right after this: the line must be written now.
        writer.flush(PANIC_WRITTEN_WITHIN);
    }));
    Ok(guard)
}
