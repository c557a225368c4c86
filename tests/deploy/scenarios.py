"""What a scenario is: a proxy of its own with its own simulated vendor, so that what one suffers none other shows."""

import json
import threading
import time
import urllib.parse
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Callable

from processes import SIMULATED_CLIENT, Proxy

# Polls of all dashboards of a scenario; a scrape sees something new each second.
POLL = 0.2


@dataclass(frozen=True)
class Scenario:
    name: str
    # All that fire or are about to; of these, the one that rings.
    alerts: frozenset
    start: Callable  # (binary, directory) -> Proxy
    # (proxy, story): goes on until the story ends.
    live: Callable = lambda proxy, story: story.wait()
    # Those that it may raise as well, by chance or if it lasts.
    possible: frozenset = frozenset()
    rings: str | None = None
    # What rings as well if it lasts for an hour.
    rings_later: str | None = None
    # For the table of incidents.
    incident: str = ""
    injected: str = ""
    # At the latest, in minutes after the fault.
    within: int = 0
    # Minutes that it is played on after the recording.
    lasts: int = 10


class Story:
    """How long a scenario goes on, and when its fault began: at the start, unless it says so later."""

    def __init__(self, stop):
        self.is_set, self.wait = stop.is_set, stop.wait
        self.fault_at = time.time()

    def fault_begins(self):
        self.fault_at = time.time()


class Running:
    """A scenario that goes on until it is told to stop."""

    def __init__(self, scenario, binary, directory, stop):
        self.scenario, self.stop, self.error = scenario, stop, None
        self.proxy = scenario.start(binary, directory)
        self.admins = getattr(self.proxy, "admins", None) or [self.proxy.admin]
        self.story, self.thread = None, threading.Thread(target=self._live)

    def begin(self):
        self.story = Story(self.stop)
        self.thread.start()

    def _live(self):
        try:
            self.scenario.live(self.proxy, self.story)
        except Exception as error:  # told by whoever waits for the end
            self.error = error

    def end(self):
        self.stop.set()
        if self.story:
            self.thread.join()
        self.proxy.end()


def alerts(*names):
    return frozenset(f"LinkReportProxy{name}" for name in names)


def demo(**settings):
    # Text is for people, and errors are all that a failed run needs of many proxies.
    settings = {"log.level": "error", **{key.replace("__", "."): value for key, value in settings.items()}}
    return lambda binary, directory: Proxy(binary, "demo", settings, directory)


def cold(number):
    """A report that nobody has asked for: the simulator knows every id of this form."""
    return f"{number:08x}-0000-4000-8000-000000000003"


def poll(proxy, activities, story, seconds=float("inf")):
    end = time.monotonic() + seconds
    while not story.is_set() and time.monotonic() < end:
        for activity in activities:
            proxy.report(activity)
        story.wait(POLL)


def in_parallel(jobs, *calls):
    with ThreadPoolExecutor(jobs) as pool:
        for done in [pool.submit(*call) for call in calls]:
            done.result()


def refresh(vendor, refresh_token, directory, binary, more=None, config=None):
    return Proxy(
        binary,
        "serve",
        {
            "log.level": "error",
            "upstream.base_url": vendor,
            "token.source": "refresh",
            "token.token_url": f"{vendor}/oauth2/default/v1/token",
            "token.client_id": SIMULATED_CLIENT,
            "token.refresh_token": refresh_token,
            **(more or {}),
        },
        directory,
        config,
    )


def consent(vendor):
    """The device flow, with the person's part played: an access token, and a rotating refresh token."""

    def post(path, **form):
        body = urllib.parse.urlencode(form).encode()
        with urllib.request.urlopen(f"{vendor}{path}", data=body) as answer:
            return answer.read()

    client = {"client_id": SIMULATED_CLIENT}
    codes = json.loads(
        post("/oauth2/default/v1/device/authorize", scope="campaign_data offline_access", **client)
    )
    post("/activate", user_code=codes["user_code"], decision="approve")
    grant = "urn:ietf:params:oauth:grant-type:device_code"
    answer = post("/oauth2/default/v1/token", grant_type=grant, device_code=codes["device_code"], **client)
    # The vendor takes one token call a second; the next one is the proxy's.
    time.sleep(1.1)
    return json.loads(answer)


class WithVendor:
    """A proxy that is run by `serve`, and the demo whose simulated vendor it calls.

    `prepare(vendor, directory)`: the settings of the proxy beyond those of `refresh`.
    """

    def __init__(self, binary, directory, prepare):
        self.vendor = demo()(binary, directory)
        try:
            self.proxy = prepare(self.vendor, directory, binary)
        except BaseException:
            self.vendor.end()
            raise
        self.admin = self.proxy.admin

    def __getattr__(self, name):
        return getattr(self.proxy, name)

    def end(self):
        self.proxy.end()
        self.vendor.end()


def with_vendor(prepare):
    return lambda binary, directory: WithVendor(binary, directory, prepare)
