"""What happens to proxies in the world, each with the alerts that it has to raise, and no other.

A scenario is a proxy of its own with its own simulated vendor, so that what one suffers none other shows.
"""

import json
import threading
import time
import urllib.parse
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Callable

from processes import SIMULATED_CLIENT, Proxy, free_port

# Polls of all dashboards of a scenario; a scrape sees something new each second.
POLL = 0.1


@dataclass(frozen=True)
class Scenario:
    name: str
    alerts: frozenset
    start: Callable  # (binary, directory) -> Proxy
    # (proxy, stop): goes on until `stop` is set.
    live: Callable = lambda proxy, stop: stop.wait()


def demo(**settings):
    # Text is for people, and errors are all that a failed run needs of ten proxies.
    settings = {"log.level": "warn", **{key.replace("__", "."): value for key, value in settings.items()}}
    return lambda binary, directory: Proxy(binary, "demo", settings, directory)


def cold(number):
    """A report that nobody has asked for: the simulator knows every id of this form."""
    return f"{number:08x}-0000-4000-8000-000000000003"


def poll(proxy, activities, stop, seconds=float("inf")):
    end = time.monotonic() + seconds
    while not stop.is_set() and time.monotonic() < end:
        for activity in activities:
            proxy.report(activity)
        stop.wait(POLL)


def in_parallel(jobs, *calls):
    with ThreadPoolExecutor(jobs) as pool:
        for done in [pool.submit(*call) for call in calls]:
            done.result()


def all_is_well(proxy, stop):
    """Dashboards that poll, two that ask the same thing at one time, one with a wrong id, one with nonsense."""
    proxy.fault("latency-200")
    number = 0
    while not stop.is_set():
        number += 1
        in_parallel(2, (proxy.report, cold(number // 2)), (proxy.report, cold(number // 2)))
        proxy.report("ffffffff-ffff-4fff-8fff-ffffffffffff")
        proxy.report("not-an-id")
        poll(proxy, proxy.campaigns(), stop, seconds=2)


def vendor_is_down(proxy, stop):
    warm = proxy.campaigns()[:3]
    for activity in warm:
        proxy.report(activity)
    proxy.fault("status-503")
    number = 0
    while not stop.is_set():
        number += 1
        # Four in five are held, and old; the fifth fails.
        proxy.report(cold(number))
        poll(proxy, warm, stop, seconds=2 * POLL)


def vendor_is_slow(proxy, stop):
    proxy.fault("latency-3000")

    def asks(first):
        number = first
        while not stop.is_set():
            proxy.report(cold(number))
            number += 1

    # At most 8 / 3 s calls a second: nobody queues for the quota.
    in_parallel(8, *((asks, 1000 * lane) for lane in range(1, 9)))


def quota_is_spent_elsewhere(proxy, stop):
    proxy.report(cold(1))
    spend = urllib.request.Request(f"{proxy.simulator()}/_simulator/spend?calls=10000", method="POST")
    urllib.request.urlopen(spend).read()
    proxy.report(cold(2))
    poll(proxy, [cold(1)], stop)


def quota_runs_out(proxy, stop):
    """57 of 60 calls in a few seconds, and nothing more: 3 are left, and the hour's pace asks for more."""
    for number in range(57):
        proxy.report(cold(number))
    poll(proxy, [cold(number) for number in range(5)], stop)


def refresh(vendor, refresh_token, directory, binary, more=None):
    return Proxy(
        binary,
        "serve",
        {
            **(more or {}),
            "log.level": "error",
            "upstream.base_url": vendor,
            "token.source": "refresh",
            "token.token_url": f"{vendor}/oauth2/default/v1/token",
            "token.client_id": SIMULATED_CLIENT,
            "token.refresh_token": refresh_token,
        },
        directory,
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
    """A proxy that is run by `serve`, and the demo whose simulated vendor it calls."""

    def __init__(self, binary, directory, prepare):
        self.vendor = demo()(binary, directory)
        try:
            token = prepare(self.vendor)
            self.proxy = refresh(self.vendor.simulator(), token, directory, binary)
        except BaseException:
            self.vendor.end()
            raise
        self.admin = self.proxy.admin

    def end(self):
        self.proxy.end()
        self.vendor.end()


def with_vendor(prepare):
    return lambda binary, directory: WithVendor(binary, directory, prepare)


def token_calls_fail(vendor):
    vendor.fault("status-503", on="token")
    return "any"


class Gone:
    """A target that nobody listens on."""

    def __init__(self, _binary, _directory):
        self.admin = f"http://127.0.0.1:{free_port()}"

    def end(self):
        pass


# Calls a day of each of two pods that divide a key's.
SHARE = 5_000


class Pair:
    """Two pods of one job that share nothing."""

    def __init__(self, binary, directory):
        self.pods = [demo(quota__per_day=SHARE)(binary, directory) for _ in range(2)]
        self.admins = [pod.admin for pod in self.pods]

    def end(self):
        for pod in self.pods:
            pod.end()


def alerts(*names):
    return frozenset(f"LinkReportProxy{name}" for name in names)


# Not here, but tested by promtool: RefreshTokenUnused, which takes half a year; RefreshPriceHigh and ClicksMissed, which
# compare with the last week; ReportsDisagree, which the simulated vendor's reports do not; ProbeSwitchedOff and
# DerivationSwitchedOff, for which change probes and derivation must be on; and StateFileDamaged, whose cause is in tests/it.
IDLE = Scenario("idle", alerts(), Pair)
ALL = [
    IDLE,
    Scenario("well", alerts(), demo(cache__ttl="3s", cache__negative_ttl="10s"), all_is_well),
    Scenario(
        "down",
        alerts("ErrorBudgetBurnFast", "ErrorBudgetBurnSlow", "StaleAnswers", "UpstreamFailing", "CircuitOpen"),
        # Probes often enough for their failures to be a ratio within the time that a test has.
        demo(
            cache__ttl="1s", cache__stale_while_revalidate="0s", circuit__open_min="2s", circuit__open_max="2s"
        ),
        vendor_is_down,
    ),
    Scenario("slow", alerts("SlowAnswersBurnFast", "SlowAnswersBurnSlow", "HitRatioLow"), demo(), vendor_is_slow),
    Scenario("exhausted", alerts("QuotaExhausted", "QuotaDrift"), demo(cache__ttl="10m"), quota_is_spent_elsewhere),
    Scenario("runs-out", alerts("QuotaForecast"), demo(cache__ttl="10m", quota__per_day=60), quota_runs_out),
    Scenario("renewal-fails", alerts("TokenRenewalFailing"), with_vendor(token_calls_fail)),
    Scenario("refused", alerts("ReauthorisationRequired"), with_vendor(lambda _: "never-given-out")),
    Scenario("rotates", alerts("TokenAtRisk"), with_vendor(lambda vendor: consent(vendor.simulator())["refresh_token"])),
    Scenario("gone", alerts("TargetMissing"), Gone),
]


class Running:
    """A scenario that goes on until it is told to stop."""

    def __init__(self, scenario, binary, directory, stop):
        self.scenario, self.stop, self.error = scenario, stop, None
        self.proxy = scenario.start(binary, directory)
        self.admins = getattr(self.proxy, "admins", None) or [self.proxy.admin]
        self.thread = threading.Thread(target=self._live)
        self.thread.start()

    def _live(self):
        try:
            self.scenario.live(self.proxy, self.stop)
        except Exception as error:  # told by whoever waits for the end
            self.error = error

    def end(self):
        self.stop.set()
        self.thread.join()
        self.proxy.end()
