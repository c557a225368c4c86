//! What `demo` prints at its start: addresses, and lines to paste.

use std::{fmt::Write as _, net::SocketAddr, time::Duration};

use super::busy_day::{BusyDay, SPEED_UP};
use crate::{app::Ports, settings::variable, simulator::Simulator};

/// Shows the two header lines that tell where a report comes from.
const WHERE_FROM: &str = "grep -iE '^(age|cache-status)'";

/// What runs.
pub(super) struct RunningDemo<'a> {
    /// Of each replica.
    pub(super) ports: &'a [Ports],
    pub(super) upstream: SocketAddr,
    /// What the replicas share.
    pub(super) store: String,
}

/// For a person who tries lines by hand.
pub(super) fn by_hand(simulator: &Simulator, shown: &RunningDemo<'_>, ttl: Duration) -> String {
    let ttl = humantime::format_duration(ttl);
    let campaigns = simulator.campaigns();
    let mut text = format!(
        "\nlink-report-proxy demo: {} in front of a simulated Constant Contact, all on this machine.\n\n{}\n\
         Campaigns (a report is fresh for {ttl}, as cache.ttl says):\n",
        shown.proxies(),
        shown.addresses(),
    );
    for campaign in &campaigns {
        // Writing to a String cannot fail.
        let _written = writeln!(text, "  {}  {} ({:?})", campaign.id, campaign.name, campaign.state);
    }
    let (Some(campaign), Some(Ports { data, admin })) = (campaigns.first(), shown.ports.first()) else {
        return text;
    };
    let (report, upstream) = (format!("/v3/reports/email_reports/{}/links", campaign.id), shown.upstream);
    if shown.ports.len() > 1 {
        text.push_str(&one_call_for_all(shown, &report, &campaign.id.to_string()));
    }
    let (report, login) = (format!("http://{data}{report}"), login(simulator, upstream));
    let _written = write!(
        text,
        "\nTry, twice, and look at Age and Cache-Status:\n\
         \x20 curl -i {report}\n\
         \x20 curl -i '{report}?no_clicks=true'\n\n\
         Let Constant Contact fail; after {ttl} reports are still served, with Cache-Status showing it; then repair it:\n\
         \x20 curl -X PUT 'http://{upstream}/_simulator/fault?kind=status-503'\n\
         \x20 curl -i {report}\n\
         \x20 curl -X DELETE http://{upstream}/_simulator/fault\n\
         Five failed calls in a row open the circuit: for 10 s, and up to a minute if it goes on, no call is made. Meanwhile reports\n\
         that are held are served with \"circuit_open\", others get 503; the first call that succeeds ends it.\n\
         Further faults, and how to inject them: http://{upstream}/_simulator/\n\n\
         Try login in another terminal: it prints an address, and waits until you approve there. The token goes to a new\n\
         directory, and nowhere else:\n\
         \x20 {login}\n\n\
         The state of the proxy (open http://{admin} in a browser for all of it), and the calls that Constant Contact received:\n\
         \x20 curl http://{admin}/cache/{}\n\
         \x20 curl http://{admin}/quota\n\
         \x20 curl -s http://{admin}/metrics | grep requests_total\n\
         \x20 curl http://{upstream}/_simulator/stats\n\n\
         Stop with Ctrl-C.\n\n",
        campaign.id
    );
    text
}

/// A line that has `login` talk to the simulated authorization server.
fn login(simulator: &Simulator, upstream: SocketAddr) -> String {
    let oauth = format!("http://{upstream}/oauth2/default/v1");
    let settings = [
        ("token.source", "refresh"),
        ("token.client_id", &simulator.options().client_id),
        ("token.token_url", &format!("{oauth}/token")),
        ("token.device_authorization_url", &format!("{oauth}/device/authorize")),
        ("state.dir", "$(mktemp -d)"),
    ];
    let settings = settings.map(|(key, value)| format!("{}={value} ", variable(key)));
    let program = std::env::current_exe()
        .map_or_else(|_| "link-report-proxy".into(), |path| path.display().to_string());
    format!("env {}'{program}' login", settings.concat())
}

/// Lines that show what replicas share: a report and its call, and a purge.
fn one_call_for_all(RunningDemo { ports, upstream, .. }: &RunningDemo<'_>, report: &str, id: &str) -> String {
    let calls = format!("  curl -s http://{upstream}/_simulator/stats | grep -o '\"calls\":[0-9]*'\n");
    let ask = |Ports { data, .. }: &Ports| format!("  curl -si http://{data}{report} | {WHERE_FROM}\n");
    let asked: String = ports.iter().map(ask).collect();
    let (first, last) = (ports.first().map(ask).unwrap_or_default(), ports.last().map(|ports| ports.admin));
    let purge = last
        .map(|admin| format!("  curl -s -X DELETE http://{admin}/cache/{id} && sleep 1\n"))
        .unwrap_or_default();
    format!(
        "\nOne call for all replicas: the first has a miss, the others its report (\"hit; ttl=…; detail=shared\"):\n\
         {asked}{calls}\n\
         A purge on one reaches the others within a second: the next request is a miss, and the second call:\n\
         {purge}{first}{calls}"
    )
}

/// For a person who watches the viewers of a busy day.
pub(super) fn busy(day: &BusyDay, shown: &RunningDemo<'_>) -> String {
    let each_its_own = match shown.ports {
        [_one] => "",
        _ => {
            "\nEach viewer keeps to one replica, the second viewer to the second; what one replica fetches all of them have.\n"
        }
    };
    let mut text = format!(
        "\nlink-report-proxy demo --busy: {} in front of a simulated Constant Contact on a busy day.\n\n{}\n\
         Campaigns age {SPEED_UP} times faster than in life: an hour of clicks comes in a minute, and a campaign is sent each \
         3 minutes.\nPolls and calls are in real time: three viewers poll the newest campaigns each 5 s, and one of them the \
         older\nones each 20 s. In half a minute a large campaign is sent, in two minutes an old one again.\n\
         The quota is a partner's, 250,000 calls a day: 2.9 a second. The proxy knows the demand of the day before, which was \
         as busy.\n{each_its_own}\n\
         Each 10 s follows a line: calls to Constant Contact, answers to viewers, and how many clicks an answer missed on \
         average.\nEach 30 s follow the campaigns that got the most calls and the fewest.\n\n",
        shown.proxies(),
        shown.addresses(),
    );
    let (Some(Ports { admin, .. }), upstream) = (shown.ports.first(), shown.upstream) else { return text };
    if let Some((newest, oldest)) = day.newest_and_oldest() {
        // Writing to a String cannot fail.
        let _written = write!(
            text,
            "What the proxy knows of the campaign sent last, and of the one sent longest ago:\n\
             \x20 curl http://{admin}/cache/{newest}\n\
             \x20 curl http://{admin}/cache/{oldest}\n\n"
        );
    }
    let _written = write!(
        text,
        "The quota, the metrics, and what Constant Contact received:\n\
         \x20 curl http://{admin}/quota\n\
         \x20 curl -s http://{admin}/metrics | grep -E 'calls|missed|price'\n\
         \x20 curl http://{upstream}/_simulator/stats\n\n\
         Stop with Ctrl-C.\n\n"
    );
    text
}

// === impl RunningDemo ===

impl RunningDemo<'_> {
    fn proxies(&self) -> String {
        match self.ports.len() {
            1 => "the proxy".to_owned(),
            replicas => format!("{replicas} replicas of the proxy"),
        }
    }

    fn addresses(&self) -> String {
        let mut text = match self.ports {
            [Ports { data, admin }] => {
                format!("  data port      http://{data}\n  admin port     http://{admin}\n")
            }
            replicas => {
                let line = |(number, Ports { data, admin }): (usize, &Ports)| {
                    format!(
                        "  replica {:<6} data port http://{data}  admin port http://{admin}\n",
                        number + 1
                    )
                };
                let lines: String = replicas.iter().enumerate().map(line).collect();
                format!("{lines}  they share     {}\n", self.store)
            }
        };
        // Writing to a String cannot fail.
        let _written = writeln!(text, "  Constant Contact, simulated: http://{}", self.upstream);
        text
    }
}
