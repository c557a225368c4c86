//! What `demo` prints at its start: addresses, and lines to paste.

use std::{fmt::Write as _, net::SocketAddr, time::Duration};

use super::busy_day::{BusyDay, SPEED_UP};
use crate::{app::Ports, simulator::Simulator};

/// For a person who tries lines by hand.
pub(super) fn by_hand(
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

/// For a person who watches the viewers of a busy day.
pub(super) fn busy(day: &BusyDay, Ports { data, admin }: Ports, upstream: SocketAddr) -> String {
    let mut text = format!(
        "\nlink-report-proxy demo --busy: the proxy in front of a simulated Constant Contact on a busy day.\n\n\
         \x20 data port      http://{data}\n\
         \x20 admin port     http://{admin}\n\
         \x20 Constant Contact, simulated: http://{upstream}\n\n\
         Campaigns age {SPEED_UP} times faster than in life: an hour of clicks comes in a minute, and a campaign is sent each \
         3 minutes.\nPolls and calls are in real time: three viewers poll the newest campaigns each 5 s, and one of them the \
         older\nones each 20 s. In half a minute a large campaign is sent, in two minutes an old one again.\n\
         The quota is a partner's, 250,000 calls a day: 2.9 a second. The proxy knows the demand of the day before, which was \
         as busy.\n\n\
         Each 10 s follows a line: calls to Constant Contact, answers to viewers, and how many clicks an answer missed on \
         average.\nEach 30 s follow the campaigns that got the most calls and the fewest.\n\n"
    );
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
