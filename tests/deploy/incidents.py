"""The incidents that the alerts are held to, and the table of them beside the runbook.

    incidents.py --write
"""

import sys

import incidents_fleet
import incidents_pod
import incidents_quota
import incidents_token
import incidents_vendor
import slow_motion

ALL = [
    one
    for part in (incidents_vendor, incidents_quota, incidents_token, incidents_pod, incidents_fleet)
    for one in part.ALL
]
TABLE = slow_motion.PROMETHEUS / "incidents.md"
# A ring has to come this many minutes after it is worth it, at the latest.
LATEST = 5
HEAD = """\
# Incidents

What the alerts are held to. Each of these is brought about against the real proxy, its simulated Constant Contact and a real
Prometheus with the shipped rules. What was scraped is played again, a second as a minute, at one replica (a fleet: at two or three)
and at fifty that share its traffic, and what fires is given to a real Alertmanager with the shipped example's routes. Each has to ring
once, within five minutes after its rule says so, with its section of the runbook: for the one who is on call (critical) or for the
team (warning).

`tests/deploy/observe.py` does that, and holds this table to it; `tests/deploy/incidents.py --write` writes it. *Within*: minutes from the
beginning of the incident to the ring, at the latest. *Also fires*: and rings nobody, since the other says it already, or it is only
information. A quiet week and other times without incidents, which ring nothing, are in `tests/deploy/quiet.py`.

| | incident | brought about by | rings | severity | within | also fires |
|---|---|---|---|---|---|---|
"""


def name(short):
    return f"LinkReportProxy{short}"


def section(alert):
    """The alert's section of the runbook, as a link from here."""
    url = slow_motion.alerts()[name(alert)]["annotations"]["runbook_url"]
    return f"[{alert}]({url.removeprefix('deploy/prometheus/')})"


def table():
    alerts = slow_motion.alerts()
    lines = []
    for number, one in enumerate((one for one in ALL if one.rings), start=1):
        rings = section(one.rings) + (f"; after an hour {section(one.rings_later)}" if one.rings_later else "")
        told = {name(one.rings), name(one.rings_later)}
        also = ", ".join(sorted(alert.removeprefix("LinkReportProxy") for alert in one.alerts - told))
        severity = alerts[name(one.rings)]["labels"]["severity"]
        cells = (number, one.incident, one.injected, rings, severity, f"{one.within} min", also)
        lines.append("".join(f"| {cell} " for cell in cells) + "|")
    return HEAD + "\n".join([*lines, ""])


if __name__ == "__main__":
    if sys.argv[1:] != ["--write"]:
        raise SystemExit(__doc__)
    TABLE.write_text(table())
