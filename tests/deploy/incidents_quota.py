"""Incidents of the day's calls."""

import urllib.request

from scenarios import Scenario, alerts, cold, demo, poll


def spent_elsewhere(proxy, story):
    proxy.report(cold(1))
    poll(proxy, [cold(1)], story, seconds=3)
    story.fault_begins()
    spend = urllib.request.Request(f"{proxy.simulator()}/_simulator/spend?calls=10000", method="POST")
    urllib.request.urlopen(spend).read()
    number = 1
    while not story.is_set():
        number += 1
        proxy.report(cold(number))
        poll(proxy, [cold(1)], story, seconds=1)


def spent_elsewhere_and_nothing_new_is_asked_for(proxy, story):
    proxy.report(cold(1))
    poll(proxy, [cold(1)], story, seconds=3)
    story.fault_begins()
    spend = urllib.request.Request(f"{proxy.simulator()}/_simulator/spend?calls=10000", method="POST")
    urllib.request.urlopen(spend).read()
    proxy.report(cold(2))
    poll(proxy, [cold(1)], story)


def runs_out(proxy, story):
    """Half of the day's calls within half an hour, and one more each minute."""
    for number in range(101):
        proxy.report(cold(number))
    story.fault_begins()
    number = 101
    while not story.is_set():
        number += 1
        proxy.report(cold(number))
        poll(proxy, [cold(1)], story, seconds=1)


def all_is_used_and_held(proxy, story):
    for number in range(20):
        proxy.report(cold(number))
    story.fault_begins()
    poll(proxy, [cold(number) for number in range(20)], story)


def walks_through_all_campaigns(proxy, story):
    number = 0
    while not story.is_set():
        number += 1
        proxy.report(cold(number))
        story.wait(0.4)


ALL = [
    Scenario(
        "exhausted",
        alerts("QuotaExhausted", "QuotaDrift", "RefreshesStopped", "ErrorBudgetBurnFast"),
        demo(cache__ttl="10m"),
        spent_elsewhere,
        possible=alerts("ErrorBudgetBurnSlow", "ClientSpending"),
        rings="QuotaExhausted",
        incident="Another program uses up the key's calls, and new reports are asked for",
        within=20,
        injected="`POST /_simulator/spend?calls=10000`",
    ),
    Scenario(
        "drift",
        alerts("QuotaDrift", "RefreshesStopped"),
        demo(cache__ttl="10m"),
        spent_elsewhere_and_nothing_new_is_asked_for,
        possible=alerts("ClientSpending"),
        rings="QuotaDrift",
        incident="Another program uses up the key's calls, and only cached reports are asked for",
        within=25,
        injected="the same",
    ),
    Scenario(
        "runs-out",
        alerts("QuotaForecast", "ClientSpending"),
        demo(cache__refresh="planned", cache__ttl="10m", quota__per_day=200),
        runs_out,
        rings="QuotaForecast",
        incident="The day's calls will not last",
        within=45,
        injected="101 of 200 calls in half an hour, then one a minute",
    ),
    Scenario(
        "used-up",
        alerts("RefreshesStopped"),
        demo(cache__ttl="10m", quota__per_day=20),
        all_is_used_and_held,
        possible=alerts("ClientSpending"),
        rings="RefreshesStopped",
        incident="The day's calls are used up, and only cached reports are asked for",
        within=45,
        injected="20 of 20 calls",
    ),
    Scenario(
        "walker",
        alerts("HitRatioLow"),
        demo(),
        walks_through_all_campaigns,
        possible=alerts("ClientSpending", "QuotaForecast"),
    ),
]
