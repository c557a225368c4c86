"""What a soak must show. Of rows of samples and of what was heard, each fault as a line; none: it has passed."""

import itertools
from statistics import median

MIB = 1024 * 1024
# Of the run. Before, reports are fetched for the first time, and each fault is met once.
WARM_UP = 0.25
# (column, unit, growth that is noise, growth that is allowed an hour, the most by which the last quarter's median may be above
# the second quarter's). A leak of one byte a request is 7 MiB an hour; of one KiB a call, a reload and a renewal, 2 MiB.
# Memory is noisy by what the allocator holds back. A descriptor or a thread that is left behind each five minutes is 12 an hour:
# clients that hang up and are slow make some more or fewer at any time.
BOUNDS = (
    ("beside_cache", MIB, 2.0, 1.0, 2.0),
    ("own_fds", 1, 3, 2, 4),
    ("threads", 1, 1, 0.5, 1),
)
# Of the requests that were due. Fewer: the client had no turn on the machine, and the run has not asked what it says.
LEAST_SENT = 0.98

# What the pacer allows for between sending and arriving. Where even an answer from memory is this late, the machine may delay a
# call by more, so that the next one comes too close behind it.
JITTER_MS = 50
MOST_LATE = 0.01


def slope(points):
    """Theil and Sen: the median of the slopes of all pairs, which one spike does not move. A second's."""
    # Of neighbours' pairs there would be the most, and they say the least.
    thin = points[:: max(1, len(points) // 400)]
    return median((two[1] - one[1]) / (two[0] - one[0]) for one, two in itertools.combinations(thin, 2))


def warm(rows, seconds):
    return [row for row in rows if row["seconds"] >= WARM_UP * seconds]


def quarter(rows, seconds, number):
    return [row for row in rows if number * seconds / 4 <= row["seconds"] < (number + 1) * seconds / 4 + 1]


class Growth:
    """Of one column."""

    def __init__(self, rows, seconds, column, unit):
        points = [(row["seconds"], row[column] / unit) for row in warm(rows, seconds)]
        self.an_hour = slope(points) * 3600
        self.hours = (points[-1][0] - points[0][0]) / 3600
        self.second, self.last = (
            median(row[column] / unit for row in quarter(rows, seconds, number)) for number in (1, 3)
        )
        self.most = max(value for _, value in points)

    def __str__(self):
        return (
            f"{self.second:.1f} in the second quarter, {self.last:.1f} in the last, {self.most:.1f} at most, "
            f"slope {self.an_hour:+.2f} an hour"
        )


def growths(rows, seconds, replicas):
    for column, unit, noise, an_hour, step in BOUNDS:
        for number in range(replicas):
            yield f"{column}_{number}", Growth(rows, seconds, f"{column}_{number}", unit), noise, an_hour, step


def growth_faults(rows, seconds, replicas):
    for name, growth, noise, an_hour, step in growths(rows, seconds, replicas):
        if growth.an_hour * growth.hours > noise + an_hour * growth.hours:
            yield f"{name} grows by more than {noise} and {an_hour} an hour: {growth}"
        if growth.last > growth.second + step:
            yield f"{name} is {step} above its second quarter: {growth}"


def request_faults(rows, seconds, rate, examples):
    last, first = rows[-1], warm(rows, seconds)[0]
    share = (last["sent"] - first["sent"]) / (last["seconds"] - first["seconds"]) / rate
    if share < LEAST_SENT:
        yield f"only {share:.1%} of the requests that were due after the warm-up were sent"
    if last["wrong"]:
        yield from (f"{last['wrong']} wrong answers, like", *examples)


def quota_faults(rows):
    last = rows[-1]
    if last["over_the_day"]:
        yield f"{last['over_the_day']} calls over the day"
    # Calls leave in time (src/quota/pacer.rs), and the vendor counts when they arrive.
    for before, row in itertools.pairwise(rows):
        over = row["over_the_second"] - before["over_the_second"]
        if over and max(before["hit_max_ms"], row["hit_max_ms"]) < JITTER_MS:
            yield f"{over} calls over the second, with a machine that delays nothing, at {row['seconds']} s"
    if last["over_the_second"] > MOST_LATE * last["calls"]:
        yield f"{last['over_the_second']} of {last['calls']} calls over the second"
    # Each call is counted before it is sent, so that of these two the replicas' is never the lower one for long.
    counted = max(last[name] for name in last if name.startswith("quota_used_"))
    if last["spent_today"] > counted:
        yield f"{last['spent_today']} calls were made and only {counted:.0f} counted"


def token_faults(rows, seconds, lifetime, replicas):
    last = rows[-1]
    if last["refused_refresh_tokens"]:
        yield f"{last['refused_refresh_tokens']} refresh tokens that do not work (any more) were sent"
    for number in range(replicas):
        if any(row[f"token_lost_{number}"] for row in rows):
            yield f"replica {number} has lost its token"
    renewals = sum(last[f"renewals_{number}"] for number in range(replicas))
    if renewals < 0.5 * seconds / lifetime:
        yield f"only {renewals:.0f} renewals of a token that lives for {lifetime} s"


def log_faults(replicas):
    for replica in replicas:
        for line in replica.log.read_text(errors="replace").splitlines():
            if "panicked" in line or "internal error" in line:
                yield f"{replica.log.name}: {line[:300]}"
