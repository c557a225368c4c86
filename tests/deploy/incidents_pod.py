"""Incidents of the process, its files and its configuration."""

import resource
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from processes import free_port, http
from scenarios import Scenario, alerts, cold, consent, demo, poll, refresh, with_vendor


class Gone:
    """A target that nobody listens on."""

    def __init__(self, _binary, _directory):
        self.admin = f"http://127.0.0.1:{free_port()}"

    def end(self):
        pass


def crashes_again_and_again(proxy, story):
    story.wait(3)
    story.fault_begins()
    for _ in range(6):
        proxy.end()
        proxy.start()
        story.wait(3)
    story.wait()


def with_state(prepare=lambda place: None):
    def start(vendor, directory, binary):
        place = Path(directory) / f"state-{free_port()}"
        prepare(place)
        token = consent(vendor.simulator())["refresh_token"]
        return refresh(vendor.simulator(), token, directory, binary, {"state.dir": place})

    return with_vendor(start)


def disk_gets_full(proxy, story):
    poll(proxy, [cold(0)], story, seconds=3)
    story.fault_begins()
    # No file may grow, or be written to.
    resource.prlimit(proxy.process.pid, resource.RLIMIT_FSIZE, (0, 0))
    # Calls are written down in advance, ten at a time. No more of them: a proxy that has just started assumes that its part
    # of the day is used.
    for number in range(1, 13):
        proxy.report(cold(number))
    story.wait()


def damage(place):
    place.mkdir(mode=0o700)
    (place / "state.redb").write_bytes(b"not a database" * 1000)


def with_clients(binary, directory):
    tokens = Path(directory) / f"tokens-{free_port()}"
    tokens.write_text("sales 0123456789abcdef0123456789abcdef\n")
    proxy = demo(clients__tokens_file=tokens)(binary, directory)
    proxy.tokens = tokens
    return proxy


def secret_is_unmounted(proxy, story):
    story.wait(3)
    story.fault_begins()
    proxy.tokens.unlink()
    story.wait()


def with_settings_file(vendor, directory, binary):
    file = Path(directory) / f"settings-{free_port()}.toml"
    file.write_text('[cache]\nttl = "5m"\n')
    token, place = consent(vendor.simulator())["refresh_token"], Path(directory) / f"state-{free_port()}"
    proxy = refresh(vendor.simulator(), token, directory, binary, {"state.dir": place}, file)
    proxy.settings_file = file
    return proxy


def settings_get_worse(proxy, story):
    story.wait(3)
    story.fault_begins()
    proxy.settings_file.write_text("[quota]\nreserve = 2\n")
    story.wait()


class TwoVersions:
    """A replica, and one of another version: the same, but for what it says of its build."""

    def __init__(self, binary, directory):
        # Each has half of the day.
        self.proxy = demo(quota__per_day=5000)(binary, directory)
        real = self.proxy.admin

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):  # noqa: N802
                body = http("GET", real + self.path)[1].replace('version="', 'version="0.').encode()
                self.send_response(200)
                self.send_header("Content-Type", "text/plain; version=0.0.4")
                self.end_headers()
                try:
                    self.wfile.write(body)
                except OSError:
                    pass  # a scrape that has ended before

            def log_message(self, *_):
                pass

        self.other = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.other.serve_forever, daemon=True).start()
        self.admins = [real, f"http://127.0.0.1:{self.other.server_port}"]

    def end(self):
        self.other.shutdown()
        self.other.server_close()
        self.proxy.end()


class Replicas:
    """Of one job and of one key; those beyond `alive` are down."""

    def __init__(self, binary, directory, alive, down, per_day):
        self.alive = [demo(quota__per_day=per_day)(binary, directory) for _ in range(alive)]
        gone = [f"http://127.0.0.1:{free_port()}" for _ in range(down)]
        self.admins = [*(proxy.admin for proxy in self.alive), *gone]

    def end(self):
        for proxy in self.alive:
            proxy.end()


def replicas(alive, down, per_day):
    return lambda binary, directory: Replicas(binary, directory, alive, down, per_day)


# Calls a day of each of two pods that divide a key's. Nobody asks them for anything.
SHARE = 5_000
IDLE = Scenario("idle", alerts(), replicas(alive=2, down=0, per_day=SHARE))
ALL = [
    IDLE,
    Scenario(
        "gone",
        alerts("TargetAbsent"),
        Gone,
        rings="TargetAbsent",
        incident="No replica can be scraped",
        within=20,
        injected="nothing listens",
    ),
    Scenario(
        "some-gone",
        alerts("TargetsDown"),
        replicas(alive=2, down=1, per_day=3000),
        rings="TargetsDown",
        incident="A third of the replicas is down",
        within=25,
        injected="nothing listens in their place",
    ),
    Scenario(
        "oversubscribed",
        alerts("QuotaOversubscribed"),
        replicas(alive=2, down=0, per_day=10_000),
        rings="QuotaOversubscribed",
        lasts=45,
        incident="A second replica is added, each with the whole day's calls",
        within=75,
        injected="two replicas with `quota.per_day = 10000`",
    ),
    Scenario(
        "crashes",
        alerts("CrashLooping"),
        demo(),
        crashes_again_and_again,
        rings="CrashLooping",
        incident="The process ends again and again",
        within=25,
        injected="`kill -9`, six times",
    ),
    Scenario(
        "disk-full",
        alerts("StateNotDurable"),
        with_state(),
        disk_gets_full,
        rings="StateNotDurable",
        incident="The disk of `state.dir` is full",
        within=25,
        injected="`prlimit --fsize=0` of the process",
    ),
    Scenario(
        "damaged",
        alerts("StateFileDamaged"),
        with_state(damage),
        rings="StateFileDamaged",
        incident="The state file is damaged",
        within=15,
        injected="other bytes in `state.redb` before the start",
    ),
    Scenario(
        "secret-gone",
        alerts("SecretFileUnreadable"),
        with_clients,
        secret_is_unmounted,
        rings="SecretFileUnreadable",
        incident="The file of the clients' tokens disappears",
        within=20,
        injected="the file is deleted",
    ),
    Scenario(
        "settings-refused",
        alerts("ConfigReloadFailed"),
        with_vendor(with_settings_file),
        settings_get_worse,
        rings="ConfigReloadFailed",
        incident="A changed settings file has a value that is refused",
        within=20,
        injected="`quota.reserve = 2` in the file",
    ),
    Scenario(
        "two-versions",
        alerts("VersionSkew"),
        TwoVersions,
        rings="VersionSkew",
        lasts=45,
        incident="A rollout stops half way",
        within=105,
        injected="a second replica says that it is another version",
    ),
]
