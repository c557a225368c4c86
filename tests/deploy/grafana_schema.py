"""Holds dashboards to Grafana's own schema: its types read them, write them again, and nothing may be missing then."""

import json
import re

from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard

# Grafana writes these, and its schema does not have them: annotations hold their query's fields, and the types of a panel
# that has none there are those of any.
BESIDE_THE_SCHEMA = re.compile(
    r"\.annotations\.list\[\]\.(builtIn|useValueForTime|step|titleFormat|textFormat|tagKeys)|\.templating\.list\[\]\.definition"
)

register_default_plugins()


def lost(ours, theirs, path=""):
    """Where the second lacks what the first has."""
    if isinstance(ours, dict):
        for key, value in ours.items():
            if isinstance(theirs, dict) and key in theirs:
                yield from lost(value, theirs[key], f"{path}.{key}")
            elif value is not None:
                yield f"{path}.{key}"
    elif isinstance(ours, list):
        if len(ours) != len(theirs):
            yield f"{path}[]"
        for one, other in zip(ours, theirs):
            yield from lost(one, other, f"{path}[]")
    elif ours != theirs:
        yield f"{path} is {theirs}, not {ours}"


def schema_faults(dashboard):
    back = json.loads(JSONEncoder(sort_keys=True).encode(Dashboard.from_json(dashboard)))
    for where in sorted(set(lost(dashboard, back))):
        if not BESIDE_THE_SCHEMA.fullmatch(where):
            yield f"{dashboard['uid']}: Grafana's schema has no {where}"
    ids = [panel["id"] for panel in dashboard["panels"]]
    if len(set(ids)) != len(ids):
        yield f"{dashboard['uid']}: two panels have one id"
    yield from overlaps(dashboard)


def overlaps(dashboard):
    cells = {}
    for panel in dashboard["panels"]:
        grid = panel["gridPos"]
        for cell in [(x, y) for x in range(grid["x"], grid["x"] + grid["w"]) for y in range(grid["y"], grid["y"] + grid["h"])]:
            other = cells.setdefault(cell, panel["title"])
            if other != panel["title"]:
                yield f"{dashboard['uid']}: {panel['title']} covers {other}"
                return
        if grid["x"] + grid["w"] > 24:
            yield f"{dashboard['uid']}: {panel['title']} is wider than the page"
