"""Draws panels as Grafana lays them out: a fair likeness, not Grafana."""

import io
import math
import re
from datetime import datetime, timezone

import matplotlib.dates as dates
import matplotlib.pyplot as plt
from matplotlib.ticker import FuncFormatter, MaxNLocator
from PIL import Image

PAGE, CARD, TEXT, FAINT = "#111217", "#181b1f", "#d8d9da", "#8e8e95"
COLORS = {
    "green": "#73bf69",
    "light-green": "#b9e0b3",
    "yellow": "#fade2a",
    "orange": "#ff9830",
    "red": "#f2495c",
    "dark-red": "#c4162a",
    "blue": "#5794f2",
    "purple": "#b877d9",
    "transparent": CARD,
}
PALETTE = ["#73bf69", "#fade2a", "#5794f2", "#ff9830", "#f2495c", "#b877d9", "#8ab8ff", "#c8c8c8"]
CELL = (72, 27)  # pixels of a column and of a row of Grafana's grid
DPI = 100


def color(name):
    return COLORS.get(name, name)


def shown(value, unit, decimals=None):
    if unit == "percentunit":
        return f"{100 * value:.{1 if decimals is None else decimals}f}%"
    if unit == "s":
        for size, word in ((86400, "d"), (3600, "h"), (60, "min"), (1, "s"), (1e-3, "ms")):
            if abs(value) >= size:
                return f"{value / size:.3g} {word}"
        return f"{value * 1e6:.0f} µs" if value else "0"
    if unit == "bytes":
        for size, word in ((2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB")):
            if abs(value) >= size:
                return f"{value / size:.3g} {word}"
        return f"{value:.0f} B"
    if unit == "dateTimeAsLocal":
        return f"{clock(value / 1000):%Y-%m-%d %H:%M:%S}"
    if unit == "dateTimeFromNow":
        return f"{clock(value / 1000):%H:%M:%S}"
    ending = {"reqps": " req/s", "ops": " /s"}.get(unit, "")
    if abs(value) >= 10_000:
        return f"{value / 1000:.3g} K{ending}"
    return f"{value:.0f}{ending}" if decimals == 0 or value == int(value) else f"{value:.3g}{ending}"


def override(panel, name):
    """{property: value} of what the panel sets for a series of this name."""
    found = {}
    for rule in panel["fieldConfig"]["overrides"]:
        matcher = rule["matcher"]
        if matcher["options"] == name or (matcher["id"] == "byRegexp" and re.fullmatch(matcher["options"], name)):
            found.update({one["id"]: one["value"] for one in rule["properties"]})
    return found


def clock(at):
    return datetime.fromtimestamp(at, timezone.utc)


def draw(dashboard, source, path):
    """`source` has what the panels' queries answer: see picture.py."""
    height = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in dashboard["panels"])
    size = (24 * CELL[0], height * CELL[1])
    figure = plt.figure(figsize=(size[0] / DPI, size[1] / DPI), dpi=DPI, facecolor=PAGE)
    for panel in dashboard["panels"]:
        grid = panel["gridPos"]
        left, right = grid["x"] * CELL[0], (grid["x"] + grid["w"]) * CELL[0]
        top, bottom = size[1] - grid["y"] * CELL[1], size[1] - (grid["y"] + grid["h"]) * CELL[1]
        box = (left + 3, bottom + 3, right - left - 6, top - bottom - 6)
        if panel["type"] == "row":
            figure.text((left + 8) / size[0], (bottom + 8) / size[1], f"⌄ {panel['title']}", color=TEXT, fontsize=9.5, weight="bold")
            continue
        card = figure.add_axes([box[0] / size[0], box[1] / size[1], box[2] / size[0], box[3] / size[1]], facecolor=CARD)
        card.set(xticks=[], yticks=[])
        card.spines[:].set_color("#2c2f36")
        figure.text((left + 10) / size[0], (top - 17) / size[1], source.title(panel), color=TEXT, fontsize=8.5)
        inner = lambda l, b, r, t: figure.add_axes(  # noqa: E731 - pixels from the card's edges
            [(box[0] + l) / size[0], (box[1] + b) / size[1], (box[2] - l - r) / size[0], (box[3] - b - t) / size[1]],
            facecolor=CARD,
        )
        KINDS[panel["type"]](panel, source, inner)
    whole = io.BytesIO()
    figure.savefig(whole, facecolor=PAGE)
    # A page of few colours: a palette is a third of the bytes.
    Image.open(whole).convert("RGB").quantize(256, dither=Image.Dither.NONE).save(path, optimize=True)


def nothing(panel, inner):
    plain = inner(1, 1, 1, 24)
    plain.axis("off")
    plain.text(0.5, 0.55, panel["fieldConfig"]["defaults"].get("noValue", "no data"), color=FAINT, fontsize=13, ha="center", va="center")


def stat(panel, source, inner):
    lines, span = source.lines(panel), source.span
    defaults = panel["fieldConfig"]["defaults"]
    if not lines:
        nothing(panel, inner)
        return
    plain = inner(1, 1, 1, 24)
    plain.axis("off")
    points = lines[0][1]
    value = points[-1][1]
    steps = [step for step in defaults["thresholds"]["steps"] if step["value"] is None or value >= step["value"]]
    tint = color(steps[-1]["color"])
    words = {key: word["text"] for mapping in defaults["mappings"] for key, word in mapping["options"].items()}
    text = words.get(f"{value:.0f}") or shown(value, defaults["unit"], defaults.get("decimals"))
    if panel["options"]["graphMode"] == "area":
        low = min(v for _, v in points)
        plain.fill_between([t for t, _ in points], low, [v for _, v in points], color=tint, alpha=0.18, lw=0)
        top = max(v for _, v in points)
        plain.set(xlim=span, ylim=(low, low + 2.6 * (top - low) + 1e-9))
    plain.text(0.5, 0.58, text, color=tint, fontsize=18, weight="bold", ha="center", va="center", transform=plain.transAxes)


def curves(panel, source, inner):
    lines, span = source.lines(panel), source.span
    if not lines:
        nothing(panel, inner)
        return
    lines = [(name, points) for name, points in lines if any(v for _, v in points)] or lines[:1]
    right = any("custom.axisPlacement" in override(panel, name) for name, _ in lines)
    narrow = panel["gridPos"]["w"] < 8 and len(lines) > 5
    axes = inner(58, 54 if narrow else 40, 50 if right else 12, 30)
    unit = panel["fieldConfig"]["defaults"]["unit"]
    custom = panel["fieldConfig"]["defaults"]["custom"]
    stacked = custom["stacking"]["mode"] == "normal"
    other = axes.twinx() if right else None
    floor = [0] * (round(span[1] - span[0]) + 1)
    for number, (name, points) in enumerate(lines):
        special = override(panel, name)
        tint = color(special.get("color", {}).get("fixedColor", PALETTE[number % len(PALETTE)]))
        where = other if "custom.axisPlacement" in special else axes
        # On the grid of the query's steps, so that what has no data leaves a gap.
        at = {round(t - span[0]): v for t, v in points}
        values = [at.get(second, 0 if stacked else math.nan) for second in range(len(floor))]
        times = [clock(span[0] + second) for second in range(len(floor))]
        if stacked:
            top = [below + v for below, v in zip(floor, values)]
            step = {"stepAfter": "post"}.get(custom["lineInterpolation"])
            where.fill_between(times, floor, top, color=tint, alpha=0.62, lw=0, label=name, step=step)
            floor = top
        else:
            style = "--" if "custom.lineStyle" in special else "-"
            where.plot(times, values, color=tint, lw=1.3, ls=style, label=name)
            if special.get("custom.fillOpacity", custom["fillOpacity"]):
                where.fill_between(times, 0, values, color=tint, alpha=0.09, lw=0)
        if where is other:
            dress(other, special.get("unit", unit))
            other.set_ylim(bottom=0)
    for step in panel["fieldConfig"]["defaults"]["thresholds"]["steps"][1:]:
        axes.axhline(step["value"], color=color(step["color"]), lw=1, ls="--", alpha=0.8)
    dress(axes, unit, panel["fieldConfig"]["defaults"].get("decimals"))
    axes.set_xlim(*map(clock, span))
    low, _high = axes.get_ylim()
    if not any(value for _, points in lines for _, value in points):
        axes.set_ylim(top=1)
    axes.set_ylim(bottom=min(0, low) if "min" not in panel["fieldConfig"]["defaults"] else 0)
    if "max" in panel["fieldConfig"]["defaults"]:
        axes.set_ylim(top=panel["fieldConfig"]["defaults"]["max"])
    handles, names = (sum(both, []) for both in zip(*(one.get_legend_handles_labels() for one in (axes, other) if one)))
    width, columns = panel["gridPos"]["w"] * CELL[0] - 30, min(len(names), 4 if narrow else 8)
    if narrow or sum(5 * len(name) + 24 for name in names) > width:
        most = int((width / columns - 24) / 5)
        names = [name if len(name) <= most else f"{name[: most - 1]}…" for name in names]
    place = axes.get_position()
    size = axes.figure.get_size_inches() * DPI
    corner = (place.x0 - 48 / size[0], place.y0 - 20 / size[1])
    axes.legend(
        handles, names, loc="upper left", bbox_to_anchor=corner, bbox_transform=axes.figure.transFigure,
        ncols=4 if narrow else 8, frameon=False, fontsize=6.8, labelcolor=TEXT, handlelength=0.9, columnspacing=0.9,
        handletextpad=0.4, borderpad=0, labelspacing=0.25,
    )  # fmt: skip


def states(panel, source, inner):
    lines, span = source.lines(panel), source.span
    if not lines:
        nothing(panel, inner)
        return
    axes = inner(290, 26, 12, 30)
    names = [name for name, _ in lines]
    for row, (name, points) in enumerate(lines):
        steps = override(panel, name)["thresholds"]["steps"]
        for (start, value), (end, _) in zip(points, points[1:]):
            tint = color([step["color"] for step in steps if step["value"] is None or value >= step["value"]][-1])
            axes.barh(row, (end - start) / 86400, left=dates.date2num(clock(start)), height=0.72, color=tint, alpha=0.75, lw=0)
    dress(axes, "short")
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.set_xlim(*map(clock, span))
    axes.grid(False)


def dress(axes, unit, decimals=None):
    axes.set_axisbelow(True)
    axes.tick_params(colors=FAINT, labelsize=6.8, length=0)
    axes.spines[:].set_visible(False)
    axes.grid(color="#2c2f36", lw=0.6)
    axes.yaxis.set_major_locator(MaxNLocator(5, integer=decimals == 0))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: shown(value, unit)))
    axes.xaxis.set_major_locator(dates.MinuteLocator(interval=2))
    axes.xaxis.set_major_formatter(dates.DateFormatter("%H:%M"))


def alerts(panel, source, inner):
    plain = inner(10, 6, 10, 30)
    plain.axis("off")
    plain.set(xlim=(0, 1), ylim=(0, 5))
    for line, (name, state, severity) in enumerate(source.alerts()[:5]):
        tint = color({"critical": "red", "warning": "orange", "info": "blue"}[severity])
        plain.text(0, 4.6 - line, "●", color=tint if state == "firing" else FAINT, fontsize=9, va="center")
        plain.text(0.035, 4.6 - line, name, color=TEXT, fontsize=8, va="center")
        plain.text(1, 4.6 - line, state, color=FAINT, fontsize=8, va="center", ha="right")


def bars(panel, source, inner, name, value):
    rows, unit = source.rows(panel), panel["fieldConfig"]["defaults"]["unit"]
    if not rows:
        nothing(panel, inner)
        return
    # As much room as the longest name takes, at most two fifths of the card.
    room = min(16 + max(6 * len(str(row[name])) for row in rows), 0.4 * panel["gridPos"]["w"] * CELL[0])
    axes = inner(room, 10, 60, 34)
    values = [row[value] for row in rows]
    tint = color(panel["fieldConfig"]["defaults"]["thresholds"]["steps"][0]["color"])
    axes.barh(range(len(rows)), values, color=tint, alpha=0.75, height=0.7)
    for line, number in enumerate(values):
        axes.text(number, line, f" {shown(number, unit, 0)}", color=TEXT, fontsize=7.5, va="center")
    dress(axes, unit)
    axes.set_yticks(range(len(rows)), [row[name] for row in rows])
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.set_xticks([])
    axes.grid(False)


def table(panel, source, inner):
    rows = source.rows(panel)
    plain = inner(10, 8, 10, 32)
    plain.axis("off")
    columns = [name for name in (rows[0] if rows else {}) if not override(panel, name).get("custom.hidden")]
    most = max(1, (panel["gridPos"]["h"] * CELL[1] - 40) // 21)
    widths = [max(len(str(name)), *(len(cell(panel, name, row[name])) for row in rows)) + 3 for name in columns]
    starts = [sum(widths[:number]) / sum(widths) for number in range(len(widths))]
    plain.set(xlim=(0, 1), ylim=(most, 0))
    for start, name in zip(starts, columns):
        plain.text(start, 0.4, override(panel, name).get("displayName", name), color="#5794f2", fontsize=7.5, va="center")
        for line, row in enumerate(rows[: most - 1]):
            plain.text(start, 1.4 + line, cell(panel, name, row[name]), color=TEXT, fontsize=7.5, va="center")


def cell(panel, name, value):
    special = override(panel, name)
    if value is None:
        return ""
    return shown(value, special["unit"], special.get("decimals")) if "unit" in special else str(value)


KINDS = {
    "stat": stat,
    "timeseries": curves,
    "state-timeline": states,
    "alertlist": alerts,
    "bargauge": lambda panel, source, inner: bars(panel, source, inner, "name", "value"),
    "barchart": lambda panel, source, inner: bars(panel, source, inner, "Link", "Clicks"),
    "table": table,
}
