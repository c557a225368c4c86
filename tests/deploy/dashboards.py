"""The dashboards' queries, as Grafana would send them."""

import json
import re
from pathlib import Path

GRAFANA = Path(__file__).resolve().parents[2] / "deploy" / "grafana"


def load(name):
    return json.loads((GRAFANA / name).read_text())


def panels(dashboard):
    """Those with queries."""
    return [panel for panel in dashboard["panels"] if "targets" in panel]


def queries(dashboard):
    """Of each panel: (its title, its targets); then the annotations'."""
    for panel in panels(dashboard):
        yield panel["title"], panel["targets"]
    for annotation in dashboard["annotations"]["list"]:
        if not annotation.get("builtIn"):
            yield f"annotation {annotation['name']}", [annotation]


def expand(expression, variables):
    """Puts values in place of $name and ${name}; an unknown name is a fault of the dashboard."""
    return re.sub(r"\$\{?(\w+)\}?", lambda match: variables[match[1]], expression)


def legends(legend, values_of_label):
    """Every text that a legend like "429 {{kind}}" can become."""
    texts = [legend]
    for label in re.findall(r"\{\{\s*(\w+)\s*\}\}", legend):
        values = values_of_label.get(label, ["?"])
        texts = [re.sub(r"\{\{\s*%s\s*\}\}" % label, value, text) for text in texts for value in values]
    return texts
