"""One row each window: what the processes take, what the replicas tell, what the vendor has counted, what was answered."""

import csv
import os
import time
from pathlib import Path

import world as worlds

TICKS = os.sysconf("SC_CLK_TCK")
# Series of a replica, without their prefix, with the name of the column.
SERIES = {
    "connections_open": "connections",
    "requests_in_flight": "in_flight",
    "cache_entries": "entries",
    "cache_bytes": "cache_bytes",
    'quota_used{window="day"}': "quota_used",
    "refresh_price": "price",
    'token_renewals_total{result="success"}': "renewals",
    'token_renewals_total{result="error"}': "renewals_failed",
    'token_state{state="valid"}': "token_valid",
    'token_state{state="reauthorization_required"}': "token_lost",
    'circuit_state{state="open"}': "circuit_open",
    "shared_up": "shared_up",
    "config_reload_success": "reload_success",
    "log_lines_lost_total": "log_lines_lost",
}
SUMS = {
    "upstream_requests_total": "calls",
    "refreshes_total": "refreshes",
    "requests_total": "requests",
}


def process(pid):
    """What a process takes: bytes of memory, file descriptors, threads, seconds of CPU."""
    place = Path("/proc") / str(pid)
    status = dict(line.split(":", 1) for line in (place / "status").read_text().splitlines())
    rollup = dict(line.split(":", 1) for line in (place / "smaps_rollup").read_text().splitlines()[1:])
    kib = lambda text: int(text.split()[0]) * 1024  # noqa: E731
    times = (place / "stat").read_text().rsplit(")", 1)[1].split()
    return {
        "rss": kib(status["VmRSS"]),
        "anonymous": kib(status["RssAnon"]),
        "pss": kib(rollup["Pss"]),
        "fds": len(os.listdir(place / "fd")),
        "threads": int(status["Threads"]),
        "cpu": (int(times[11]) + int(times[12])) / TICKS,
    }


class Samples:
    """Kept, and written to a file as they come."""

    def __init__(self, world, path):
        self.world, self.path, self.rows, self.examples, self.missed = world, path, [], [], 0
        self.began = time.monotonic()

    def take(self, window):
        vendor = self.world.vendor_stats()
        row = {"seconds": round(time.monotonic() - self.began, 1)}
        for number, replica in enumerate(self.world.replicas):
            if replica.process.poll() is not None:
                raise SystemExit(f"replica {number} ended with {replica.process.returncode}: {replica.log}")
            found = worlds.metrics(replica)
            columns = process(replica.process.pid)
            columns |= {column: found.get(series, 0) for series, column in SERIES.items()}
            for series, column in SUMS.items():
                columns[column] = sum(value for name, value in found.items() if name.startswith(f"{series}{{"))
            # What is held is bounded by cache.max_bytes, and grows as long as more of it has both forms and a gzip variant.
            columns["beside_cache"] = columns["rss"] - columns["cache_bytes"]
            # Without those of clients that are known to be there: what is left behind is among the others.
            columns["own_fds"] = columns["fds"] - window[f"client_connections_{number}"]
            row |= {f"{column}_{number}": value for column, value in columns.items()}
        row["store_rss"] = self._store_rss()
        row |= {name: vendor[name] for name in ("calls", "token_calls", "spent_today", "over_the_second", "over_the_day")}
        row |= {"refused_refresh_tokens": vendor["refused_refresh_tokens"], "vendor_in_flight": vendor["in_flight"]}
        row |= {name: value for name, value in window.items() if name not in ("codes", "examples")}
        # The same columns in each row: statuses that are expected, and all others together.
        codes = dict(window["codes"])
        row |= {f"code_{code}": codes.pop(str(code), 0) for code in (200, 304, 400, 404, 405, 502, 503, 504)}
        row["code_other"] = sum(codes.values())
        self.rows.append(row)
        with self.path.open("a", newline="") as file:
            writer = csv.DictWriter(file, row)
            if len(self.rows) == 1:
                writer.writeheader()
            writer.writerow(row)
        return row

    def _store_rss(self):
        try:
            return process(self.world.store.process.pid)["rss"]
        except (OSError, KeyError):
            return 0  # it is being restarted
