//! `demo`: runs the proxy in front of a simulated Constant Contact, in one process, on loopback.

use std::{
    collections::BTreeMap, ffi::OsString, fmt::Write as _, io::Write as _, net::SocketAddr, path::Path,
    time::Duration,
};

use anyhow::Context as _;
use tokio::net::TcpListener;

use super::{CommandOutcome, Failure, serve};
use crate::{
    app::{Environment, Ports},
    quota::InitialCount,
    settings::Settings,
    simulator::{Options, Simulator},
    state::StateStores,
};

/// The demo's own defaults, which the file and the environment override: short, fixed lifetimes, so that one can watch a
/// report become stale, and a log format for people.
const DEMO_DEFAULTS: &str = r#"
cache.refresh = "fixed"
cache.ttl = "30s"
cache.empty_ttl = "15s"
log.format = "text"
"#;

/// Starts both, prints their addresses and commands to try, and serves until SIGTERM or SIGINT.
pub(super) fn run(config: Option<&Path>) -> CommandOutcome {
    let simulator = Simulator::new(Options::default());
    // The settings need the upstream's port, which needs a runtime, whose size is a setting: so they are loaded twice.
    let placeholder = SocketAddr::from(([127, 0, 0, 1], 9));
    let sizing = Settings::load_with(DEMO_DEFAULTS, config, environment(&simulator, placeholder))?;
    serve::block_on(&sizing, async {
        let upstream = TcpListener::bind(("127.0.0.1", 0)).await;
        let upstream =
            upstream.map_err(|error| Failure::Unavailable(format!("the simulated upstream: {error}")))?;
        let upstream_address =
            upstream.local_addr().context("the simulated upstream").map_err(Failure::Bug)?;
        let settings = Settings::load_with(DEMO_DEFAULTS, config, environment(&simulator, upstream_address))?;
        let _written_at_the_end = serve::start_logging(&settings)?;
        // The simulated API key has no calls used before this process started.
        let world = Environment { opening: InitialCount::Unspent, ..Environment::default() };
        let app = serve::build(&settings, StateStores::in_memory(), world).await?;
        let simulated = tokio::spawn(simulator.clone().serve(upstream));
        let greet = |ports: Ports| {
            let greeting = greeting(&simulator, ports, upstream_address, settings.cache.ttl);
            // The demo runs even if standard output is closed.
            let _printed = std::io::stdout().write_all(greeting.as_bytes());
        };
        let ended = serve::until_signalled(app, &settings, greet).await;
        simulated.abort();
        ended
    })
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

fn greeting(
    simulator: &Simulator,
    Ports { data, admin }: Ports,
    upstream: SocketAddr,
    ttl: Duration,
) -> String {
    let ttl = humantime::format_duration(ttl);
    let campaigns = simulator.campaigns();
    let mut text = format!(
        "\nlink-report-proxy demo: the proxy in front of a simulated Constant Contact, all on this machine.\n\n\
         \x20 data port      http://{data}\n\
         \x20 admin port     http://{admin}\n\
         \x20 Constant Contact, simulated: http://{upstream}\n\n\
         Campaigns (a report is fresh for {ttl}, as cache.ttl says):\n"
    );
    for campaign in &campaigns {
        // Writing to a String cannot fail.
        let _written = writeln!(text, "  {}  {} ({:?})", campaign.id, campaign.name, campaign.state);
    }
    let Some(campaign) = campaigns.first() else { return text };
    let report = format!("http://{data}/v3/reports/email_reports/{}/links", campaign.id);
    let _written = write!(
        text,
        "\nTry, twice, and look at Age and Cache-Status:\n\
         \x20 curl -i {report}\n\
         \x20 curl -i '{report}?no_clicks=true'\n\n\
         Let Constant Contact fail; after {ttl} reports are still served, with Cache-Status showing it; then repair it:\n\
         \x20 curl -X PUT 'http://{upstream}/_simulator/fault?kind=status-503'\n\
         \x20 curl -i {report}\n\
         \x20 curl -X DELETE http://{upstream}/_simulator/fault\n\n\
         The state of the proxy, and the calls that Constant Contact received:\n\
         \x20 curl http://{admin}/cache/{}\n\
         \x20 curl http://{admin}/quota\n\
         \x20 curl -s http://{admin}/metrics | grep requests_total\n\
         \x20 curl http://{upstream}/_simulator/stats\n\n\
         Stop with Ctrl-C.\n\n",
        campaign.id
    );
    text
}
