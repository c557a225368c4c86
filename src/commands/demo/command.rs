//! Runs the proxy, or several, and the simulated Constant Contact, and the viewers on a busy day.

use std::{collections::BTreeMap, ffi::OsString, io::Write as _, net::SocketAddr, path::Path, sync::Arc};

use anyhow::Context as _;
use secrecy::{ExposeSecret as _, SecretString};
use tokio::{net::TcpListener, task::JoinSet};

use super::{
    answers::AnswerLog,
    busy_day::BusyDay,
    day_before,
    greeting::{self, RunningDemo},
    options::{DemoOptions, DemoTraffic},
    progress,
    replicas::{self, DemoStore},
    viewers,
};
use crate::{
    app::{Environment, Ports},
    commands::{CommandOutcome, Failure, serve, signals::Signals},
    quota::InitialCount,
    settings::{Settings, SettingsError, StoreUrl},
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

const PREFIX: &str = "LINK_REPORT_PROXY__";

/// Settings of the environment that begin so are not the demo's.
const REPLACED: [&str; 4] = ["TOKEN__", "SHARED__URL", "SHARED__NAMESPACE", "SHARED__REPLICAS"];
/// Nor are these, which are refused where there is no store's URL: without `--shared`.
const OF_A_SERVER: [&str; 2] = ["SHARED__KEY_FILE", "SHARED__CA_FILE"];

/// The busy day is the same at each start.
const SEED: u64 = 1;

/// What a replica's settings depend on.
struct DemoWorld<'a> {
    simulator: &'a Simulator,
    upstream: SocketAddr,
    options: &'a DemoOptions,
    namespace: String,
    config: Option<&'a Path>,
}

/// Starts all, prints their addresses and commands to try, and serves until SIGTERM or SIGINT.
pub(in crate::commands) fn run(config: Option<&Path>, options: &DemoOptions) -> CommandOutcome {
    let traffic = options.traffic();
    if let Some(url) = options.shared() {
        let refused = |error| Failure::Settings(format!("--shared: {error}"));
        StoreUrl::try_from(url.expose_secret()).map_err(refused)?;
    }
    let simulator = Simulator::new(vendor(traffic));
    // Another one at each start: what an earlier demo has left in the store is about other campaigns.
    let namespace = format!("demo-{:08x}", fastrand::u32(..));
    // The settings need the upstream's port, which needs a runtime, whose size is a setting: so they are loaded twice.
    let upstream = SocketAddr::from(([127, 0, 0, 1], 9));
    let mut world = DemoWorld { simulator: &simulator, upstream, options, namespace, config };
    let sizing = world.settings(None)?;
    let ports = replicas::ports(&sizing, options.replicas())?;
    serve::block_on(&sizing, async {
        let upstream = TcpListener::bind(("127.0.0.1", options.simulator_port())).await;
        let upstream = upstream.map_err(|error| {
            Failure::Unavailable(format!("--simulator-port: the simulated upstream: {error}"))
        })?;
        world.upstream = upstream.local_addr().context("the simulated upstream").map_err(Failure::Bug)?;
        let _written_at_the_end = serve::start_logging(&sizing, None)?;
        let settings = ports.into_iter().map(|ports| world.settings(Some(ports)));
        let settings = settings.collect::<Result<Vec<_>, _>>()?;
        let store = DemoStore::of(options, simulator.now());
        let (opening, day) = match traffic {
            // The simulated API key has no calls used before this process started.
            DemoTraffic::ByHand => (InitialCount::Unspent, None),
            // In the evening a whole day's calls would be so many that none is worth thinking about.
            DemoTraffic::Busy => {
                let day = BusyDay::play(&simulator, SEED, options.replicas());
                (InitialCount::Unknown, Some(Arc::new(day)))
            }
        };
        let mut apps = Vec::new();
        for (replica, settings) in settings.iter().enumerate() {
            let stores = StateStores::in_memory();
            if let Some(day) = &day {
                let (demand, per_day) = (day.demands[replica], settings.quota.per_day);
                let plan = day_before::plan_after(demand, per_day, simulator.now());
                let written = stores.plan_store.write(plan).await;
                written.context("the plan of the day before").map_err(Failure::Bug)?;
            }
            let environment = Environment { opening: opening.clone(), ..Environment::default() };
            apps.push((
                serve::build(settings, stores, store.backend(settings)?, environment).await?,
                settings,
            ));
        }
        let simulated = tokio::spawn(simulator.clone().serve(upstream));
        let mut busy = JoinSet::new();
        let greet = |ports: &[Ports]| {
            let shown = RunningDemo { ports, upstream: world.upstream, store: store.place(&sizing) };
            let greeting = match day {
                None => greeting::by_hand(&simulator, &shown, sizing.cache.ttl),
                Some(day) => {
                    let answers = AnswerLog::default();
                    let proxies: Vec<_> = ports.iter().map(|ports| ports.data).collect();
                    busy = viewers::start(&day, &proxies, &simulator, &answers);
                    let greeting = greeting::busy(&day, &shown);
                    busy.spawn(progress::print(day, simulator.clone(), answers));
                    greeting
                }
            };
            // The demo runs even if standard output is closed.
            let _printed = std::io::stdout().write_all(greeting.as_bytes());
        };
        let signals = Signals::catch().map_err(Failure::Bug)?;
        let ended = serve::until_signalled(&signals, apps, greet).await;
        busy.abort_all();
        simulated.abort();
        ended
    })
}

fn defaults(options: &DemoOptions) -> String {
    let traffic = match options.traffic() {
        DemoTraffic::ByHand => BY_HAND_DEFAULTS,
        DemoTraffic::Busy => BUSY_DEFAULTS,
    };
    [DEMO_DEFAULTS, traffic, &format!("shared.replicas = {}\n", options.replicas())].concat()
}

/// Whether a variable that ends so is left out: a demo never writes into the store that the environment names. `server` is
/// that of `--shared`.
fn is_replaced(key: &str, server: Option<&SecretString>) -> bool {
    let key = key.to_uppercase();
    let of_a_server = OF_A_SERVER.iter().filter(|_| server.is_none());
    REPLACED.iter().chain(of_a_server).any(|replaced| key.starts_with(replaced))
}

fn vendor(traffic: DemoTraffic) -> Options {
    match traffic {
        DemoTraffic::ByHand => Options::default(),
        DemoTraffic::Busy => Options { per_day: 250_000, per_second: 10, ..Options::default() },
    }
}

// === impl DemoWorld ===

impl DemoWorld<'_> {
    /// The settings of the replica with these ports; `None`: before ports are chosen.
    fn settings(&self, ports: Option<Ports>) -> Result<Settings, SettingsError> {
        Settings::load_with(&defaults(self.options), self.config, self.environment(ports))
    }

    /// The process's environment, with the settings of the upstream, the token, the store and the ports replaced.
    fn environment(&self, ports: Option<Ports>) -> BTreeMap<OsString, OsString> {
        let mut forced = vec![
            ("UPSTREAM__BASE_URL", format!("http://{}", self.upstream)),
            ("TOKEN__SOURCE", "static".to_owned()),
            ("TOKEN__ACCESS_TOKEN", self.simulator.access_token()),
        ];
        if let Some(Ports { data, admin }) = ports {
            forced.extend([("SERVER__LISTEN", data.to_string()), ("ADMIN__LISTEN", admin.to_string())]);
        }
        if let Some(url) = self.options.shared() {
            let url = url.expose_secret().to_owned();
            forced.extend([("SHARED__URL", url), ("SHARED__NAMESPACE", self.namespace.clone())]);
        }
        let is_left_out = |name: &str| {
            name.strip_prefix(PREFIX).is_some_and(|key| {
                is_replaced(key, self.options.shared())
                    || forced.iter().any(|(forced, _)| key.eq_ignore_ascii_case(forced))
            })
        };
        let mut environment: BTreeMap<_, _> =
            std::env::vars_os().filter(|(name, _)| !is_left_out(&name.to_string_lossy())).collect();
        environment
            .extend(forced.into_iter().map(|(key, value)| (format!("{PREFIX}{key}").into(), value.into())));
        environment
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_variables_of_a_real_fleet_are_left_out() {
        let server = SecretString::from("redis://127.0.0.1");
        for key in
            ["TOKEN__SOURCE", "SHARED__URL", "shared__url_file", "SHARED__NAMESPACE", "SHARED__REPLICAS"]
        {
            assert!(is_replaced(key, None) && is_replaced(key, Some(&server)), "{key}");
        }
        for key in ["SHARED__KEY_FILE", "SHARED__CA_FILE"] {
            assert!(is_replaced(key, None) && !is_replaced(key, Some(&server)), "{key}");
        }
        for key in ["SHARED__TIMEOUT", "CACHE__TTL"] {
            assert!(!is_replaced(key, None), "{key}");
        }
    }
}
