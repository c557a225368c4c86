"""What is asked, and which answers the contract allows to it."""

import itertools
import random
from bisect import bisect
from dataclasses import dataclass, field

# A report that is not held may fail as the upstream does, and is then told in one of these ways.
FAILURES = frozenset({502, 503, 504})
# Of the reports, those of which dashboards ask both forms.
BOTH_FORMS = 0.1
# Shares of the requests. The rest are plain GETs of held reports.
GZIP, CONDITIONAL, HEAD, WRONG, UNKNOWN, PURGED = 0.1, 0.15, 0.02, 0.01, 0.005, 0.0025


def activity(number, links):
    """The simulator knows every id of this form."""
    return f"{number:08x}-0000-4000-8000-{links:012d}"


def kept_activity(number):
    """Those that are asked for all the time."""
    return activity(number, 3 + number % 10)


def path(activity_id, query=""):
    return f"/v3/reports/email_reports/{activity_id}/links{query}"


def request(method, target, *headers):
    return "\r\n".join([f"{method} {target} HTTP/1.1", "Host: 127.0.0.1", *headers, "", ""]).encode()


@dataclass
class Question:
    """`allowed`: its statuses. `held`: it is the report of one that every replica holds."""

    sent: bytes
    allowed: frozenset
    held: bool = False
    has_body: bool = True
    # What a 200 must hold.
    within: bytes = b""
    report: "Report | None" = None


@dataclass
class Report:
    """One form of an activity's report."""

    activity_id: str
    query: str = ""
    etags: dict = field(default_factory=dict)  # by replica

    def __post_init__(self):
        target, within = path(self.activity_id, self.query), self.activity_id.encode()
        self.target = target
        self.plain = Question(request("GET", target), frozenset({200}), True, within=within, report=self)
        self.gzip = Question(request("GET", target, "Accept-Encoding: gzip"), frozenset({200}), True)
        self.head = Question(request("HEAD", target), frozenset({200}), True, has_body=False)
        # Whether or not it is held yet.
        self.first = Question(self.plain.sent, FAILURES | {200}, within=within, report=self)

    def conditional(self, replica):
        etag = self.etags.get(replica)
        if etag is None:
            return self.plain
        sent = request("GET", self.target, f"If-None-Match: {etag}")
        return Question(sent, frozenset({200, 304}), True, within=self.plain.within, report=self)


class Questions:
    """Draws them: reports by Zipf's law among those that are held by now."""

    def __init__(self, keys, replicas, seed):
        self.random, self.replicas = random.Random(seed), replicas
        self.held, self.coming = [], iter(range(keys))
        self.weights = list(itertools.accumulate(1 / (rank + 1) for rank in range(2 * keys)))
        # Of these, one is purged at times.
        self.purged = [Report(activity) for activity in purged_activities()]
        self.unknown = [
            Question(request("GET", path(f"{number:08x}-0001-4000-8000-000000000003")), FAILURES | {404}) for number in range(60)
        ]
        known = path(activity(1, 3))
        self.wrong = [
            Question(request(method, target), frozenset({status}))
            for method, target, status in (
                ("GET", path("not-an-id"), 400),
                ("GET", path(activity(1, 3), "?no_clicks=perhaps"), 400),
                ("GET", path(activity(1, 3), "?no_clicks=1&no_clicks=0"), 400),
                ("GET", "/v3/contacts", 404),
                ("GET", known.replace("/v3/", "/v3//"), 404),
                ("DELETE", known, 405),
            )
        ]

    def next_activity(self):
        """The reports of one that was not asked for before; empty where there are no more."""
        number = next(self.coming, None)
        if number is None:
            return []
        activity_id = kept_activity(number)
        queries = ["", "?no_clicks=true"] if self.random.random() < BOTH_FORMS else [""]
        return [Report(activity_id, query) for query in queries]

    def draw(self, replica):
        """The next question to this replica; `None` while nothing is held."""
        if not self.held:
            return None
        lot = self.random.random()
        for share, others in ((WRONG, self.wrong), (UNKNOWN, self.unknown)):
            if lot < share:
                return self.random.choice(others)
            lot -= share
        if lot < PURGED:
            return self.random.choice(self.purged).first
        drawn = self.random.random() * self.weights[len(self.held) - 1]
        report = self.held[bisect(self.weights, drawn)]
        lot -= PURGED
        if lot < GZIP:
            return report.gzip
        if lot < GZIP + CONDITIONAL:
            return report.conditional(replica)
        return report.head if lot < GZIP + CONDITIONAL + HEAD else report.plain


def purged_activities():
    return [activity(0x00F0_0000 + number, 4) for number in range(30)]


def large_activities():
    """Of some 450 kB each."""
    return [activity(0x00E0_0000 + number, 2_000) for number in range(4)]
