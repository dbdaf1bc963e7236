#!/usr/bin/env python3
"""Draws what was measured as SVG, with the standard library alone.

    bench/plot.py ROUNDS_DIRECTORY OUTPUT_DIRECTORY
"""

import math
import os
import sys
from xml.sax.saxutils import escape

from measurements import Measurements, operation

FONT = "font-family='DejaVu Sans, Helvetica, Arial, sans-serif'"
INK, MUTED, GRID = "#1b1f24", "#57606a", "#d8dee4"
COLORS = {  # told apart by colour-blind readers too
    "lazywriter": "#0b5fa5",
    "unordered_map": "#8c959f",
    "naive_port": "#d1495b",
    "tbb": "#3f9b78",
    "libcuckoo": "#e09f3e",
    "boost": "#7d5ba6",
}
NAMES = {
    "lazywriter": "lazywriter",
    "unordered_map": "std::unordered_map (no lock)",
    "naive_port": "one mutex + dirty set",
    "tbb": "tbb::concurrent_hash_map",
    "libcuckoo": "libcuckoo",
    "boost": "boost::concurrent_flat_map",
}


class Svg:
    def __init__(self, width, height, title, subtitle):
        self.width, self.height = width, height
        self.parts = []
        self.rectangle(0, 0, width, height, "#ffffff")
        self.text(24, 34, title, size=18, weight="bold")
        self.text(24, 55, subtitle, size=12, color=MUTED)

    def text(self, x, y, text, size=12, anchor="start", color=INK, weight="normal", turn=None):
        rotated = f" transform='rotate({turn} {x:.1f} {y:.1f})'" if turn is not None else ""
        self.parts.append(
            f"<text x='{x:.1f}' y='{y:.1f}' {FONT} font-size='{size}' font-weight='{weight}' "
            f"fill='{color}' text-anchor='{anchor}'{rotated}>{escape(text)}</text>"
        )

    def rectangle(self, x, y, width, height, color):
        self.parts.append(
            f"<rect x='{x:.1f}' y='{y:.1f}' width='{max(width, 0):.1f}' height='{height:.1f}' fill='{color}'/>"
        )

    def line(self, x1, y1, x2, y2, color=GRID, width=1.0):
        self.parts.append(
            f"<line x1='{x1:.1f}' y1='{y1:.1f}' x2='{x2:.1f}' y2='{y2:.1f}' stroke='{color}' stroke-width='{width}'/>"
        )

    def path(self, points, color, width=2.0, dash=None):
        dashed = f" stroke-dasharray='{dash}'" if dash else ""
        joined = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        self.parts.append(
            f"<polyline points='{joined}' fill='none' stroke='{color}' stroke-width='{width}'{dashed}/>"
        )
        for x, y in points:
            self.parts.append(f"<circle cx='{x:.1f}' cy='{y:.1f}' r='3' fill='{color}'/>")

    def save(self, path):
        with open(path, "w", encoding="utf-8") as file:
            file.write(
                f"<svg xmlns='http://www.w3.org/2000/svg' width='{self.width}' height='{self.height}' "
                f"viewBox='0 0 {self.width} {self.height}'>\n" + "\n".join(self.parts) + "\n</svg>\n"
            )


def nice_steps(top, wanted=4):
    """Round numbers from 0 that cover `top`."""
    if top <= 0:
        return [0, 1]
    rough = top / wanted
    power = 10 ** math.floor(math.log10(rough))
    step = next(m * power for m in (1, 2, 2.5, 5, 10) if m * power >= rough)
    return [step * i for i in range(math.ceil(top / step - 1e-9) + 1)]


def short(value):
    for limit, suffix in ((1e6, "M"), (1e3, "k")):
        if abs(value) >= limit:
            return f"{value / limit:.3g}{suffix}"
    return f"{value:.3g}"


def bar_panel(svg, x, y, width, title, bars, unit, label_width, row=22, top=None):
    """bars: (label, value, color, bold). Returns the y below the panel."""
    svg.text(x, y, title, size=13, weight="bold")
    if not bars:
        svg.text(x, y + 22, "not measured", color=MUTED)
        return y + 40
    steps = nice_steps(top or max(bar[1] for bar in bars))
    left = x + label_width
    room = width - label_width - 58  # the number stands behind its bar
    scale = room / steps[-1]
    first, bottom = y + 12, y + 12 + row * len(bars)
    for step in steps:
        svg.line(left + step * scale, first, left + step * scale, bottom)
        svg.text(left + step * scale, bottom + 15, short(step), size=10, anchor="middle", color=MUTED)
    for i, (label, value, color, bold) in enumerate(bars):
        middle = first + row * i + row / 2
        weight = "bold" if bold else "normal"
        svg.text(left - 8, middle + 4, label, size=11, anchor="end", weight=weight)
        svg.rectangle(left, middle - row * 0.36, value * scale, row * 0.72, color)
        svg.text(left + value * scale + 5, middle + 4, short(value), size=11, weight=weight)
    svg.text(left + room, bottom + 30, unit, size=10, anchor="end", color=MUTED)
    return bottom + 46


def cost_per_operation(data, path):
    size = 100_000
    operations = [
        ("visit", "visit: read in place"), ("get", "get: read a copy"),
        ("put", "put of an existing key"), ("put_new", "put of a new key"),
        ("update", "update in place"), ("mix", "90 % visit, 10 % put"),
    ]
    present = [name for name in NAMES if data.median(operation("visit", name, size)) is not None]
    if not present:
        size, present = 20_000, [n for n in NAMES if data.median(operation("visit", n, 20_000)) is not None]
    panel = 46 + 12 + 22 * len(present)
    svg = Svg(
        1040, 90 + 3 * (panel + 14), "Cost of an operation",
        f"nanoseconds, one thread, {size:,} items, uniform keys of 20 characters; shorter is better",
    )
    for i, (name, title) in enumerate(operations):
        bars = []
        for implementation in present:
            value = data.median(operation(name, implementation, size))
            if value is not None:
                ours = implementation == "lazywriter"
                bars.append((NAMES[implementation], value, COLORS[implementation], ours))
        bar_panel(
            svg, 24 + 510 * (i % 2), 92 + (panel + 14) * (i // 2), 490, title, bars, "ns per operation", 190
        )
    svg.save(path)


def scaling(data, path):
    threads = (1, 2, 4, 8)
    size = 100_000
    panels = [("visit", "visit"), ("put", "put of an existing key"), ("mix", "90 % visit, 10 % put")]
    svg = Svg(
        1000, 420, "Scaling over threads",
        f"million operations per second, all threads together, {size:,} items, uniform keys; higher is better",
    )
    series = {}
    for name, _ in panels:
        for implementation in NAMES:
            points = []
            for count in threads:
                time = data.median(operation(name, implementation, size, threads=count))
                if time and implementation != "unordered_map":
                    points.append((count, 1e3 / time))
            if len(points) > 1:
                series[name, implementation] = points
    if not series:
        return
    for i, (name, title) in enumerate(panels):
        x, y, width, height = 60 + 320 * i, 108, 270, 230
        svg.text(x, y - 16, title, size=13, weight="bold")
        mine = {k[1]: v for k, v in series.items() if k[0] == name}
        if not mine:
            continue
        steps = nice_steps(max(v for points in mine.values() for _, v in points))
        for step in steps:
            at = y + height - step / steps[-1] * height
            svg.line(x, at, x + width, at)
            svg.text(x - 6, at + 4, short(step), size=10, anchor="end", color=MUTED)

        def place(count, value):
            return (x + 14 + math.log2(count) / 3 * (width - 28), y + height - value / steps[-1] * height)

        for count in threads:
            svg.text(place(count, 0)[0], y + height + 16, str(count), size=10, anchor="middle", color=MUTED)
        for implementation, points in mine.items():
            svg.path(
                [place(*point) for point in points], COLORS[implementation],
                3.0 if implementation == "lazywriter" else 1.6,
            )
        svg.text(x + width / 2, y + height + 34, "threads", size=11, anchor="middle", color=MUTED)
    svg.text(18, 108 + 115, "million operations per second", size=11, anchor="middle", color=MUTED, turn=-90)
    shown = [n for n in NAMES if any(k[1] == n for k in series)]
    at = 60
    for implementation in shown:
        svg.rectangle(at, 392, 14, 4, COLORS[implementation])
        svg.text(at + 20, 398, NAMES[implementation], size=11)
        at += 34 + 7.0 * len(NAMES[implementation])
    svg.save(path)


def latency(data, path):
    points = [("p50", "p50"), ("p99", "p99"), ("p99_9", "p99.9"), ("p99_99", "p99.99"), ("worst", "worst")]
    situations = [
        ("quiet", "quiet", COLORS["unordered_map"]),
        ("flush_noop", "flush of 100k, store that takes it at once", COLORS["libcuckoo"]),
        ("flush_postgres", "flush of 100k to PostgreSQL", COLORS["lazywriter"]),
        ("prune", "prune of 100k", COLORS["tbb"]),
    ]
    svg = Svg(
        1040, 440, "Latency of single calls while the cache works in the background",
        "one thread calls, a second one flushes or prunes; reading the clock included; lower is better; "
        "up to p99.9: of 10,000 calls, in the median",
    )
    found = False
    for i, name in enumerate(("visit", "put")):
        x, y, width, height = 80 + 490 * i, 110, 420, 240
        svg.text(x, y - 16, name, size=13, weight="bold")
        low, high = 2, 8  # powers of ten of nanoseconds
        for power in range(low, high + 1):
            at = y + height - (power - low) / (high - low) * height
            svg.line(x, at, x + width, at)
            label = {2: "100 ns", 3: "1 µs", 4: "10 µs", 5: "100 µs", 6: "1 ms", 7: "10 ms", 8: "100 ms"}[power]
            svg.text(x - 6, at + 4, label, size=10, anchor="end", color=MUTED)
        for j, (_, label) in enumerate(points):
            at = x + 24 + j * (width - 48) / (len(points) - 1)
            svg.text(at, y + height + 16, label, size=10, anchor="middle", color=MUTED)
        for situation, _, color in situations:
            line = []
            for j, (metric, _) in enumerate(points):
                value = data.median(f"latency/{name}/{situation}", metric)
                if value:
                    power = min(max(math.log10(value), low), high)
                    line.append(
                        (x + 24 + j * (width - 48) / (len(points) - 1),
                         y + height - (power - low) / (high - low) * height)
                    )
            if line:
                found = True
                svg.path(line, color, 2.4)
        svg.text(x + width / 2, y + height + 36, "share of the calls", size=11, anchor="middle", color=MUTED)
    at = 80
    for situation, label, color in situations:
        if data.median(f"latency/visit/{situation}", "p50") is None:
            continue
        svg.rectangle(at, 414, 14, 4, color)
        svg.text(at + 20, 420, label, size=11)
        at += 46 + 6.4 * len(label)
    if found:
        svg.save(path)


def flush(data, path):
    ways = [
        ("insert", "copy", "COPY: the limit, inserts only, no ids back", "#8c959f"),
        ("insert", "lazywriter", "flush, inserts", COLORS["lazywriter"]),
        ("update", "lazywriter", "flush, updates", "#5b9bd5"),
        ("insert", "upsert_per_row", "prepared upsert per row, inserts", COLORS["tbb"]),
        ("update", "upsert_per_row", "prepared upsert per row, updates", COLORS["tbb"]),
        ("insert", "find_then_save", "find, then save per row, inserts", COLORS["libcuckoo"]),
        ("update", "find_then_save", "find, then save per row, updates", COLORS["libcuckoo"]),
        ("insert", "statement_per_row", "a statement of its own per row", COLORS["naive_port"]),
        ("insert", "transaction_per_row", "a transaction per row", COLORS["naive_port"]),
    ]

    def bars(network):
        rows = []
        for write, way, label, color in ways:
            value = data.median(f"flush_postgres/{write}/{way}/1000/{network}", "rows_per_s")
            if value:
                rows.append((label, value, color, way == "lazywriter"))
        return rows

    local, far = bars("local"), bars("rtt_1ms")
    if not local:
        return
    by_batch = []
    for batch in (100, 1_000, 10_000):
        copy = data.median(f"flush_postgres/insert/copy/{batch}/local", "rows_per_s")
        for write, color in (("insert", COLORS["lazywriter"]), ("update", "#5b9bd5")):
            value = data.median(f"flush_postgres/{write}/lazywriter/{batch}/local", "rows_per_s")
            if value and copy:
                by_batch.append((f"batches of {batch:,}, {write}s", 100 * value / copy, color, True))
    panels = [rows for rows in (local, far, by_batch) if rows]
    svg = Svg(
        1040, 84 + sum(72 + 22 * len(rows) for rows in panels),
        "Writing to PostgreSQL",
        "rows per second, batches of 1,000 unless said otherwise, synchronous commit; longer is better",
    )
    y = bar_panel(svg, 24, 92, 980, "local socket", local, "rows per second", 300)
    if far:
        y = bar_panel(svg, 24, y + 14, 980, "1 ms of added round trip", far, "rows per second", 300)
    if by_batch:
        bar_panel(
            svg, 24, y + 14, 980, "a flush against plain COPY in batches of the same size, local socket",
            by_batch, "% of COPY's rows per second", 300, top=100,
        )
    svg.save(path)


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    data, directory = Measurements(sys.argv[1]), sys.argv[2]
    charts = {
        "cost_per_operation": cost_per_operation, "scaling": scaling,
        "latency_during_flush": latency, "flush_throughput": flush,
    }
    for name, draw in charts.items():
        draw(data, os.path.join(directory, name + ".svg"))


if __name__ == "__main__":
    main()
