"""A real Alertmanager, with alertmanager.example.yml: of what one cause makes fire, only the page is told, or the cause.

    inhibitions.py
"""

import json
import subprocess
import tempfile
import urllib.request
from pathlib import Path

import yaml

from processes import free_port, http, wait_for

PROMETHEUS = Path(__file__).resolve().parents[2] / "deploy" / "prometheus"
# What fires together, by its cause, and what of it is told.
CAUSES = {
    "vendor": (
        ["ErrorBudgetBurnFast", "ErrorBudgetBurnSlow", "UpstreamFailing", "CircuitOpen", "StaleAnswers", "ReportsOld"],
        ["ErrorBudgetBurnFast"],
    ),
    "consent": (
        ["ReauthorisationRequired", "TokenExpired", "ErrorBudgetBurnFast", "UpstreamFailing", "StaleAnswers"],
        ["ReauthorisationRequired"],
    ),
    "disk": (["StateNotDurable", "TokenRenewalFailing", "TokenRenewalOverdue"], ["StateNotDurable"]),
    "day": (
        ["QuotaExhausted", "QuotaForecast", "RefreshesStopped", "ErrorBudgetBurnFast", "ReportsOld", "ClientSpending"],
        ["QuotaExhausted", "ClientSpending"],
    ),
    "shares": (["QuotaOversubscribed", "QuotaDrift"], ["QuotaOversubscribed"]),
    "store": (["StoreAway", "StoreAwayLong", "OfflineCalls", "TokenStoreBehind"], ["StoreAwayLong"]),
    "gone": (["TargetAbsent", "StoreAway", "TokenExpired"], ["TargetAbsent"]),
    # What another job suffers hides nothing.
    "alone": (["StaleAnswers"], ["StaleAnswers"]),
}


class Alertmanager:
    """Debian's, on loopback. It may tell nobody, and forms no cluster."""

    def __init__(self, directory):
        config = yaml.safe_load((PROMETHEUS / "alertmanager.example.yml").read_text())
        config["receivers"] = [{"name": receiver["name"]} for receiver in config["receivers"]]
        path, address = Path(directory) / "alertmanager.yml", f"127.0.0.1:{free_port()}"
        path.write_text(yaml.safe_dump(config))
        self.alerts = f"http://{address}/api/v2/alerts"
        options = [f"--config.file={path}", f"--storage.path={directory}/data", f"--web.listen-address={address}"]
        self.process = subprocess.Popen(
            ["prometheus-alertmanager", *options, "--cluster.listen-address="],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        wait_for("Alertmanager to be ready", self._is_ready)

    def _is_ready(self):
        try:
            return http("GET", self.alerts)[0] == 200
        except OSError:
            return False

    def fire(self, alerts):
        body, kind = json.dumps([{"labels": labels} for labels in alerts]).encode(), {"content-type": "application/json"}
        urllib.request.urlopen(urllib.request.Request(self.alerts, data=body, headers=kind)).read()

    def told(self):
        """{cause: the alerts that are not inhibited}."""
        found = {}
        for alert in json.loads(http("GET", self.alerts)[1]):
            if alert["status"]["state"] == "active":
                found.setdefault(alert["labels"]["job"], set()).add(alert["labels"]["alertname"])
        return found

    def end(self):
        self.process.kill()
        self.process.wait()


def main():
    expected = {cause: {f"LinkReportProxy{name}" for name in told} for cause, (_fire, told) in CAUSES.items()}
    with tempfile.TemporaryDirectory() as directory:
        alertmanager = Alertmanager(directory)
        try:
            alertmanager.fire(
                {"alertname": f"LinkReportProxy{name}", "namespace": "web", "job": cause}
                for cause, (names, _told) in CAUSES.items()
                for name in names
            )
            wait_for(f"Alertmanager to tell {expected}", lambda: alertmanager.told() == expected, said=alertmanager.told)
        finally:
            alertmanager.end()
    print(f"{len(CAUSES)} causes, and of each no more is told than it needs")


main()
