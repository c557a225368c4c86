"""Draws a soak: what each replica takes over time, what was answered, what was called, and when it was disturbed.

    plot.py SAMPLES.csv EVENTS.csv PICTURE.png
"""

import csv
import sys

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402

from verdicts import MIB, WARM_UP  # noqa: E402

COLOURS = ("#1f6feb", "#d1570f")
MARKS = {"store": ("#a40e26", "restarts of the store"), "reload": ("#6e7781", "reloads")}


def read(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def rate(rows, column):
    """An increase a second, over a minute: points of (minutes, value)."""
    points = []
    for row in rows:
        earlier = next(other for other in rows if float(other["seconds"]) >= float(row["seconds"]) - 60)
        seconds = float(row["seconds"]) - float(earlier["seconds"])
        if seconds > 30:
            points.append((float(row["seconds"]) / 60, (float(row[column]) - float(earlier[column])) / seconds))
    return zip(*points) if points else ((), ())


def draw(samples, events, picture):
    rows, told = read(samples), read(events)
    minutes = [float(row["seconds"]) / 60 for row in rows]
    figure, axes = plt.subplots(6, 1, figsize=(11, 12), sharex=True, constrained_layout=True)
    replicas = sum(name.startswith("rss_") for name in rows[0])

    def lines(axis, column, title, unit=1):
        for number in range(replicas):
            values = [float(row[f"{column}_{number}"]) / unit for row in rows]
            axis.plot(minutes, values, color=COLOURS[number % 2], linewidth=0.9, label=f"replica {number}")
        axis.set_title(title, loc="left", fontsize=10)
        axis.set_ylim(0, 1.1 * max(axis.dataLim.ymax, 1))

    lines(axes[0], "rss", "resident memory, MiB; dotted: the cache's entries", MIB)
    for number in range(replicas):
        entries = [float(row[f"cache_bytes_{number}"]) / MIB for row in rows]
        axes[0].plot(minutes, entries, color=COLOURS[number % 2], linewidth=0.9, linestyle=":")
    axes[0].legend(loc="lower right", fontsize=8, ncols=2)
    lines(axes[1], "own_fds", "file descriptors without the steady clients' connections")
    lines(axes[2], "threads", "threads")
    axes[3].plot(*rate(rows, "sent"), color="#1a7f37", linewidth=0.9)
    axes[3].set_title("requests a second", loc="left", fontsize=10)
    axes[3].set_ylim(0, 1.2 * max(axes[3].dataLim.ymax, 1))
    axes[4].semilogy(minutes, [max(float(row["hit_p99_ms"]), 0.01) for row in rows], color="#8250df", linewidth=0.7, label="p99")
    axes[4].semilogy(minutes, [max(float(row["hit_p50_ms"]), 0.01) for row in rows], color="#1a7f37", linewidth=0.7, label="p50")
    axes[4].set_title("answers from memory, ms", loc="left", fontsize=10)
    axes[4].legend(loc="upper right", fontsize=8, ncols=2)
    axes[5].plot(*rate(rows, "calls"), color="#1f6feb", linewidth=0.9, label="calls a second")
    axes[5].plot(*rate(rows, "token_calls"), color="#d1570f", linewidth=0.9, label="renewals of the token")
    axes[5].axhline(4, color="#a40e26", linewidth=0.6, linestyle="--")
    axes[5].set_title("calls of the vendor a second, and its limit", loc="left", fontsize=10)
    axes[5].legend(loc="upper right", fontsize=8, ncols=2)
    axes[5].set_xlabel("minutes; lines: restarts of the store (red), reloads (grey); shaded: warm-up")
    for axis in axes:
        axis.axvspan(0, WARM_UP * minutes[-1], color="#f0f0f0")
        axis.margins(x=0)
        for kind, (colour, _) in MARKS.items():
            for event in told:
                if event["kind"] == kind:
                    axis.axvline(float(event["seconds"]) / 60, color=colour, linewidth=0.5, alpha=0.35)
    figure.savefig(picture, dpi=75)


if __name__ == "__main__":
    draw(*sys.argv[1:])
