"""What the dashboard of a campaign's clicks shows: its queries, as the Infinity data source makes and evaluates them.

That is a plugin of Grafana's; its parser jq-backend is the library that the program gojq is made of.
"""

import json
import subprocess
import time
import urllib.parse

import dashboards
from processes import http

DASHBOARD = "link-clicks.json"


class Clicks:
    def __init__(self, report_url, admin_url, token=None):
        self.dashboard = dashboards.load(DASHBOARD)
        # What the data sources that the variables name have as their address.
        self.bases = {"${datasource}": report_url, "${admin}": admin_url}
        self.headers = {"Authorization": f"Bearer {token}"} if token else {}
        self.variables = {
            variable["name"]: variable.get("current", {}).get("value", "") for variable in self.dashboard["templating"]["list"]
        }

    def campaigns(self):
        """{name: id} of those to choose from."""
        (variable,) = [one for one in self.dashboard["templating"]["list"] if one["name"] == "activity"]
        return {option["text"]: option["value"] for option in variable["options"]}

    def rows(self, panel, **variables):
        """Of a panel: {a column's text: its value} of each row."""
        variables = {**self.variables, **variables}
        (target,) = panel["targets"]
        options = target["url_options"]
        url = self.bases[target["datasource"]["uid"]] + dashboards.expand(target["url"], variables)
        query = {param["key"]: dashboards.expand(param["value"], variables) for param in options["params"]}
        address = f"{url}?{urllib.parse.urlencode(query)}" if query else url
        status, body = http(options["method"], address, headers=self.headers)
        if status != 200:
            raise AssertionError(f"{panel['title']}: {address} answered {status}: {body}")
        assert (target["type"], target["parser"]) == ("json", "jq-backend"), panel["title"]
        selector = dashboards.expand(target["root_selector"], variables)
        found = json.loads(subprocess.run(["gojq", selector], input=body, capture_output=True, text=True, check=True).stdout)
        return [{column["text"]: row[column["selector"]] for column in target["columns"]} for row in found]


def clicks_faults(proxy):
    """Of every campaign: each panel shows what follows from its report."""
    shown = Clicks(proxy.data, proxy.admin)
    panels = {panel["title"]: panel for panel in dashboards.panels(shown.dashboard)}
    unknown = set(shown.campaigns().values()) - set(proxy.campaigns())
    if unknown:
        yield f"{DASHBOARD}: the simulated vendor has no {unknown}"
    optional = set()
    for activity in proxy.campaigns():
        for no_clicks in ("false", "true"):
            where = {"activity": activity, "no_clicks": no_clicks, "top": "5"}
            links = json.loads(proxy.report(activity, f"?no_clicks={no_clicks}")[1])["link_click_counts"]
            got = {title: shown.rows(panel, **where) for title, panel in panels.items()}
            for title, fault in one_faults(got, links):
                yield f"{DASHBOARD}, {title}, of {activity}, no_clicks={no_clicks}: {fault}"
            optional.update(name for row in got["All links"] for name, value in row.items() if value is not None)
    for column in panels["All links"]["targets"][0]["columns"]:
        if column["text"] not in optional:
            yield f"{DASHBOARD}, All links: no campaign's link has a {column['text']}"


def token_faults(proxy, token):
    """Of a proxy that requires a client token: the queries send the data source's."""
    for given, expected in ((token, True), (None, False)):
        shown = Clicks(proxy.data, proxy.admin, given)
        try:
            answered = all(shown.rows(panel) for panel in dashboards.panels(shown.dashboard))
        except AssertionError as refused:
            assert "answered 401" in str(refused), refused
            answered = False
        if answered != expected:
            yield f"{DASHBOARD}: {'shows nothing with' if expected else 'is shown without'} a client token"


def one_faults(got, links):
    counts = sorted((link["unique_clicks"] for link in links), reverse=True)
    total = sum(counts)
    # Of an empty list nothing is known: no 0 may stand there.
    expected = {
        "Clicks": [{"Clicks": total}] if links else [],
        "Links": [{"Links": len(links)}] if links else [],
    }
    for title, rows in expected.items():
        if got[title] != rows:
            yield title, f"shows {got[title]}, not {rows}"
    if [row["Clicks"] for row in got["Top ${top} links"]] != counts[:5]:
        yield "Top ${top} links", f"shows {got['Top ${top} links']}, not {counts[:5]}"
    if [row["Clicks"] for row in got["All links"]] != counts:
        yield "All links", f"shows {[row['Clicks'] for row in got['All links']]}, not {counts}"
    if total and abs(sum(row["Share"] for row in got["All links"]) - 1) > 1e-9:
        yield "All links", "has shares whose sum is not 1"
    if total and abs(got["First link's share"][0]["Share"] - counts[0] / total) > 1e-9:
        yield "First link's share", f"is {got['First link' + chr(39) + 's share']}"
    for row in got["All links"]:
        page = urllib.parse.urlsplit(row["Address"] or "")
        if page.netloc.removeprefix("www.") not in row["Link"] or any(noise in row["Link"] for noise in ("utm_", "://", "#")):
            yield "All links", f"shows {row['Address']} as {row['Link']}"
    (as_of,) = got["As of"]
    if not -120 < as_of["As of"] / 1000 - time.time() <= 1:
        yield "As of", f"is {as_of}"
