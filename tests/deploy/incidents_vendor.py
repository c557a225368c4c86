"""Incidents whose cause is at the vendor's, or between the vendor and the proxy."""

from scenarios import Scenario, alerts, cold, demo, in_parallel, poll


def all_is_well(proxy, story):
    """Dashboards that poll, two that ask the same thing at one time, one with a wrong id, one with nonsense."""
    proxy.fault("latency-200")
    number = 0
    while not story.is_set():
        number += 1
        in_parallel(2, (proxy.report, cold(number // 2)), (proxy.report, cold(number // 2)))
        proxy.report("ffffffff-ffff-4fff-8fff-ffffffffffff")
        proxy.report("not-an-id")
        poll(proxy, proxy.campaigns(), story, seconds=2)


def calls_meet(kind, each=0.3):
    """Of the answers most are held, and then old; an uncached report fails `each` so many seconds."""

    def live(proxy, story):
        warm = proxy.campaigns()[:3]
        poll(proxy, warm, story, seconds=3)
        story.fault_begins()
        proxy.fault(kind)
        number = 0
        while not story.is_set():
            number += 1
            proxy.report(cold(number))
            poll(proxy, warm, story, seconds=each)

    return live


def refreshes_meet(kind):
    def live(proxy, story):
        warm = proxy.campaigns()[:3]
        poll(proxy, warm, story, seconds=3)
        story.fault_begins()
        proxy.fault(kind)
        poll(proxy, warm, story)

    return live


def is_slow(proxy, story):
    proxy.fault("latency-3000")

    def asks(first):
        number = first
        while not story.is_set():
            proxy.report(cold(number))
            number += 1

    # At most 8 / 3 s calls a second: nobody queues for the quota.
    in_parallel(8, *((asks, 1000 * lane) for lane in range(1, 9)))


# Probes often enough for their failures to be a ratio within the time that a test has.
IMPATIENT = {
    "cache__refresh": "fixed",
    "cache__ttl": "1s",
    "cache__stale_while_revalidate": "0s",
    "circuit__open_min": "2s",
    "circuit__open_max": "2s",
}
FAILING = alerts("ErrorBudgetBurnFast", "ErrorBudgetBurnSlow", "StaleAnswers", "UpstreamFailing", "CircuitOpen")

ALL = [
    Scenario("well", alerts(), demo(cache__ttl="3s", cache__negative_ttl="10s"), all_is_well),
    Scenario(
        "down",
        FAILING,
        demo(**IMPATIENT),
        calls_meet("status-503"),
        rings="ErrorBudgetBurnFast",
        incident="The vendor answers 503 to every call",
        within=25,
        injected="fault `status-503`",
    ),
    Scenario(
        "down-unnoticed",
        alerts("StaleAnswers", "UpstreamFailing"),
        demo(**IMPATIENT),
        refreshes_meet("status-503"),
        rings="UpstreamFailing",
        incident="The vendor answers 503, and only cached reports are asked for",
        within=30,
        injected="fault `status-503`",
    ),
    Scenario(
        "unreachable",
        FAILING,
        demo(**IMPATIENT),
        calls_meet("reset"),
        rings="ErrorBudgetBurnFast",
        incident="Connections to the vendor are reset",
        within=25,
        injected="fault `reset`",
    ),
    Scenario(
        "maintenance",
        FAILING,
        demo(**IMPATIENT),
        calls_meet("html"),
        rings="ErrorBudgetBurnFast",
        incident="A maintenance page with status 200",
        within=25,
        injected="fault `html`",
    ),
    Scenario(
        "forbidden",
        FAILING,
        demo(**IMPATIENT),
        calls_meet("status-403"),
        rings="ErrorBudgetBurnFast",
        incident="The account loses its privilege: 403",
        within=25,
        injected="fault `status-403`",
    ),
    Scenario(
        "slow",
        alerts("SlowAnswersBurnFast", "SlowAnswersBurnSlow", "HitRatioLow"),
        demo(),
        is_slow,
        possible=alerts("ErrorBudgetBurnFast", "ErrorBudgetBurnSlow"),
        rings="SlowAnswersBurnFast",
        incident="The vendor needs three seconds for a report",
        within=25,
        injected="fault `latency-3000`",
    ),
]
