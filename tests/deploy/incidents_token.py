"""Incidents of the token."""

import json
import threading
from pathlib import Path
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from incidents_vendor import IMPATIENT, calls_meet
from scenarios import Scenario, alerts, consent, demo, poll, refresh, with_vendor


def token_calls_fail(vendor, directory, binary):
    vendor.fault("status-503", on="token")
    return refresh(vendor.simulator(), "any", directory, binary)


def never_given_out(vendor, directory, binary):
    return refresh(vendor.simulator(), "never-given-out", directory, binary)


def rotates(vendor, directory, binary):
    return refresh(vendor.simulator(), consent(vendor.simulator())["refresh_token"], directory, binary)


class WorksOnce(BaseHTTPRequestHandler):
    """A token endpoint that gives one access token, and then fails."""

    def do_POST(self):  # noqa: N802
        self.rfile.read(int(self.headers["Content-Length"]))
        given = self.server.given.pop() if self.server.given else None
        body = json.dumps(given or {}).encode()
        self.send_response(200 if given else 503)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def works_once(vendor, directory, binary):
    endpoint = ThreadingHTTPServer(("127.0.0.1", 0), WorksOnce)
    given = consent(vendor.simulator())
    endpoint.given = [{"access_token": given["access_token"], "token_type": "Bearer", "expires_in": 86_400}]
    threading.Thread(target=endpoint.serve_forever, daemon=True).start()
    refresh_token = Path(directory) / f"refresh-token-{endpoint.server_port}"
    refresh_token.write_text(given["refresh_token"])
    more = {
        "token.token_url": f"http://127.0.0.1:{endpoint.server_port}/token",
        "token.refresh_token": None,
        "token.refresh_token_file": refresh_token,
    }
    proxy = refresh(vendor.simulator(), None, directory, binary, more)
    proxy.refresh_token = refresh_token
    return proxy


def a_renewal_is_due(running, story):
    poll(running, running.vendor.campaigns()[:3], story, seconds=3)
    story.fault_begins()
    # A new one is tried at once, and the access token has a day left.
    number = 0
    while not story.is_set():
        number += 1
        running.refresh_token.write_text(f"another-{number}")
        poll(running, running.vendor.campaigns()[:3], story, seconds=5)


ALL = [
    Scenario(
        "renewal-fails",
        alerts("TokenRenewalFailing"),
        with_vendor(works_once),
        a_renewal_is_due,
        possible=alerts("TokenRenewalOverdue"),
        rings="TokenRenewalFailing",
        incident="The token endpoint fails",
        within=25,
        injected="503 at the next renewal",
    ),
    Scenario(
        "no-token",
        alerts("TokenExpired", "TokenRenewalFailing", "TokenRenewalOverdue"),
        with_vendor(token_calls_fail),
        rings="TokenExpired",
        incident="A proxy starts, and the token endpoint fails",
        within=20,
        injected="fault `status-503` on token calls",
    ),
    Scenario(
        "refused",
        alerts("ReauthorisationRequired"),
        with_vendor(never_given_out),
        rings="ReauthorisationRequired",
        incident="The refresh token is refused for good",
        within=15,
        injected="a refresh token that the simulator never gave out",
    ),
    Scenario(
        "rejected",
        alerts("TokenRefused", "StaleAnswers", "TokenRenewalFailing", "ErrorBudgetBurnFast"),
        demo(**IMPATIENT),
        # So seldom that the budget burns minutes after the reason is known, also where samples are two minutes apart.
        calls_meet("status-401", each=1),
        possible=alerts("UpstreamFailing", "ErrorBudgetBurnSlow"),
        rings="TokenRefused",
        incident="The access token of the settings is refused: 401",
        within=20,
        injected="fault `status-401`",
    ),
    Scenario(
        "rotates",
        alerts("TokenAtRisk"),
        with_vendor(rotates),
        rings="TokenAtRisk",
        incident="A rotating refresh token is kept in memory only",
        within=30,
        injected="`state.dir` unset, renewals rotate",
    ),
]
