//! Runs the proxy and the simulated Constant Contact, and the viewers on a busy day.

use std::{collections::BTreeMap, ffi::OsString, io::Write as _, net::SocketAddr, path::Path, sync::Arc};

use anyhow::Context as _;
use tokio::{net::TcpListener, task::JoinSet};

use super::{
    answers::AnswerLog,
    busy_day::BusyDay,
    day_before, greeting,
    options::{DemoOptions, DemoTraffic},
    progress, viewers,
};
use crate::{
    app::{Environment, Ports},
    commands::{CommandOutcome, Failure, serve},
    quota::InitialCount,
    settings::Settings,
    simulator::{Options, Simulator},
    state::StateStores,
};

/// The demo's own defaults, which the file and the environment override: a log format for people.
const DEMO_DEFAULTS: &str = r#"
log.format = "text"
"#;

/// By hand: short, fixed lifetimes, so that one can watch a report become stale.
const BY_HAND_DEFAULTS: &str = r#"
cache.refresh = "fixed"
cache.ttl = "30s"
cache.empty_ttl = "15s"
"#;

/// On a busy day the quota is that of a partner's API key: with 10,000 calls a day there is one call in 8.6 s, too few to
/// watch. A campaign gets 60 times as many clicks in a second as in life, so its report may be worth a call each second. A
/// line for each call would hide the lines about them.
const BUSY_DEFAULTS: &str = r#"
cache.min_refresh_interval = "1s"
quota.per_day = 250000
quota.per_second = 10
log.level = "warn"
"#;

/// The busy day is the same at each start.
const SEED: u64 = 1;

/// Starts both, prints their addresses and commands to try, and serves until SIGTERM or SIGINT.
pub(in crate::commands) fn run(config: Option<&Path>, options: &DemoOptions) -> CommandOutcome {
    let traffic = options.traffic();
    let defaults = defaults(traffic);
    let simulator = Simulator::new(vendor(traffic));
    // The settings need the upstream's port, which needs a runtime, whose size is a setting: so they are loaded twice.
    let placeholder = SocketAddr::from(([127, 0, 0, 1], 9));
    let sizing = Settings::load_with(&defaults, config, environment(&simulator, placeholder))?;
    serve::block_on(&sizing, async {
        let upstream = TcpListener::bind(("127.0.0.1", 0)).await;
        let upstream =
            upstream.map_err(|error| Failure::Unavailable(format!("the simulated upstream: {error}")))?;
        let upstream_address =
            upstream.local_addr().context("the simulated upstream").map_err(Failure::Bug)?;
        let settings = Settings::load_with(&defaults, config, environment(&simulator, upstream_address))?;
        let _written_at_the_end = serve::start_logging(&settings)?;
        let stores = StateStores::in_memory();
        let (opening, day) = match traffic {
            // The simulated API key has no calls used before this process started.
            DemoTraffic::ByHand => (InitialCount::Unspent, None),
            // In the evening a whole day's calls would be so many that none is worth thinking about.
            DemoTraffic::Busy => {
                let day = BusyDay::play(&simulator, SEED);
                let plan = day_before::plan_after(day.demand, settings.quota.per_day, simulator.now());
                stores
                    .plan_store
                    .write(plan)
                    .await
                    .context("the plan of the day before")
                    .map_err(Failure::Bug)?;
                (InitialCount::Unknown, Some(Arc::new(day)))
            }
        };
        let world = Environment { opening, ..Environment::default() };
        let app = serve::build(&settings, stores, None, world).await?;
        let simulated = tokio::spawn(simulator.clone().serve(upstream));
        let mut busy = JoinSet::new();
        let greet = |ports: Ports| {
            let greeting = match day {
                None => greeting::by_hand(&simulator, ports, upstream_address, settings.cache.ttl),
                Some(day) => {
                    let answers = AnswerLog::default();
                    busy = viewers::start(&day, ports.data, &simulator, &answers);
                    let greeting = greeting::busy(&day, ports, upstream_address);
                    busy.spawn(progress::print(day, simulator.clone(), answers));
                    greeting
                }
            };
            // The demo runs even if standard output is closed.
            let _printed = std::io::stdout().write_all(greeting.as_bytes());
        };
        let ended = serve::until_signalled(app, &settings, greet).await;
        busy.abort_all();
        simulated.abort();
        ended
    })
}

fn defaults(traffic: DemoTraffic) -> String {
    match traffic {
        DemoTraffic::ByHand => [DEMO_DEFAULTS, BY_HAND_DEFAULTS].concat(),
        DemoTraffic::Busy => [DEMO_DEFAULTS, BUSY_DEFAULTS].concat(),
    }
}

fn vendor(traffic: DemoTraffic) -> Options {
    match traffic {
        DemoTraffic::ByHand => Options::default(),
        DemoTraffic::Busy => Options { per_day: 250_000, per_second: 10, ..Options::default() },
    }
}

/// The process's environment, with the settings of the upstream and the token replaced.
fn environment(simulator: &Simulator, upstream: SocketAddr) -> BTreeMap<OsString, OsString> {
    let forced = [
        ("LINK_REPORT_PROXY__UPSTREAM__BASE_URL", format!("http://{upstream}")),
        ("LINK_REPORT_PROXY__TOKEN__SOURCE", "static".to_owned()),
        ("LINK_REPORT_PROXY__TOKEN__ACCESS_TOKEN", simulator.access_token()),
    ];
    let mut environment: BTreeMap<_, _> = std::env::vars_os()
        .filter(|(name, _)| !name.to_string_lossy().starts_with("LINK_REPORT_PROXY__TOKEN__"))
        .collect();
    environment.extend(forced.map(|(name, value)| (name.into(), value.into())));
    environment
}
