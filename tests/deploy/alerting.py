"""Debian's Prometheus and Alertmanager, on loopback, and a pager that they call. Their data go when their directory does."""

import json
import subprocess
import threading
import time
import urllib.parse
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import yaml

from processes import free_port, http, wait_for


class Server:
    """A program that listens on an address of its own, and says in `/-/ready` that it does."""

    def __init__(self, name, directory, command):
        self.url = f"http://127.0.0.1:{free_port()}"
        self.name, self.log = name, Path(directory) / f"{name}.log"
        listen = f"--web.listen-address={self.url.removeprefix('http://')}"
        with self.log.open("w") as log:
            self.process = subprocess.Popen([*command, listen], stdout=log, stderr=log)
        wait_for(f"{name} to be ready", self._is_ready)

    def _is_ready(self):
        if self.process.poll() is not None:
            raise SystemExit(f"{self.name} ended: {self.log.read_text()}")
        try:
            return http("GET", f"{self.url}/-/ready")[0] == 200
        except OSError:
            return False

    def end(self):
        self.process.terminate()
        self.process.wait()


class Prometheus(Server):
    """`scrapes`: its scrape_configs. Each second it scrapes and evaluates the rules."""

    def __init__(self, directory, scrapes, rules):
        config = {
            "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
            "rule_files": [str(rules)],
            "scrape_configs": scrapes,
        }
        path = Path(directory) / "prometheus.yml"
        path.write_text(yaml.safe_dump(config))
        command = ["prometheus", f"--config.file={path}", f"--storage.tsdb.path={directory}/prometheus"]
        super().__init__("prometheus", directory, command)

    def ask(self, api, **parameters):
        status, body = http("GET", f"{self.url}/api/v1/{api}?{urllib.parse.urlencode(parameters)}")
        if status != 200:
            raise AssertionError(f"{parameters}: {body}")
        return json.loads(body)["data"]

    def series(self, query, start, end, step=1):
        """[(labels, [(time, value)])] of a range query."""
        found = self.ask("query_range", query=query, start=start, end=end, step=step)["result"]
        return [(one["metric"], [(at, float(value)) for at, value in one["values"]]) for one in found]

    def value(self, query):
        """Of a query with one series: its value now."""
        (one,) = self.ask("query", query=query)["result"]
        return float(one["value"][1])

    def alerts(self):
        """{job: names of the alerts that are pending or firing}."""
        found = {}
        for alert in self.ask("alerts")["alerts"]:
            found.setdefault(alert["labels"].get("job", ""), set()).add(alert["labels"]["alertname"])
        return found


class Alertmanager(Server):
    def __init__(self, directory, config):
        path = Path(directory) / "alertmanager.yml"
        path.write_text(yaml.safe_dump(config))
        command = ["prometheus-alertmanager", f"--config.file={path}", f"--storage.path={directory}/alertmanager"]
        super().__init__("alertmanager", directory, [*command, "--cluster.listen-address="])


@dataclass(frozen=True)
class Call:
    """One notification: when it came, to whom it went, and the alerts in it that fire."""

    at: float
    receiver: str
    alerts: tuple  # of {"labels": …, "annotations": …, "startsAt": …}


class Pager:
    """What the receivers' telephones would have rung for."""

    def __init__(self):
        pager, self.calls = self, []

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):  # noqa: N802
                said = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                firing = tuple(alert for alert in said["alerts"] if alert["status"] == "firing")
                if firing:
                    pager.calls.append(Call(time.time(), said["receiver"], firing))
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def end(self):
        self.server.shutdown()
        self.server.server_close()
