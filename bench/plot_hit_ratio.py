#!/usr/bin/env python3
"""Draws hit ratios by trace and policy as SVG, with the standard library alone.

    build/bench/hit_ratio --csv > bench/results/hit_ratio.csv
    bench/plot_hit_ratio.py bench/results/hit_ratio.csv bench/results/hit_ratio.svg
"""

import csv
import sys

from plot import COLORS, GRID, INK, MUTED, Svg

POLICIES = [  # in the order of the bars
    ("fifo", "first in, first out", "#8c959f"),
    ("lru", "least recently used", COLORS["libcuckoo"]),
    ("lazywriter", "lazywriter", COLORS["lazywriter"]),
]
COLUMNS, PANEL_WIDTH, PLOT_HEIGHT, PANEL_HEIGHT = 4, 262, 190, 248
LEFT, TOP, PLOT_WIDTH = 50, 104, 212


def read(path):
    """{trace: {limit: {policy: percent}}}, in the order of the file."""
    traces = {}
    with open(path, newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            limits = traces.setdefault(row["trace"], {})
            limits.setdefault(row["limit"], {})[row["policy"]] = float(row["hit_ratio"])
    return traces


def panel(svg, x, y, trace, limits):
    svg.text(x, y - 12, trace, size=13, weight="bold")
    for percent in (0, 25, 50, 75, 100):
        at = y + PLOT_HEIGHT * (1 - percent / 100)
        svg.line(x, at, x + PLOT_WIDTH, at, GRID)
        svg.text(x - 6, at + 4, str(percent), size=10, anchor="end", color=MUTED)
    group = PLOT_WIDTH / max(len(limits), 2)
    bar = group * 0.26
    start = x + (PLOT_WIDTH - group * len(limits)) / 2
    for i, (limit, ratios) in enumerate(limits.items()):
        left = start + group * i + (group - 3 * bar) / 2
        for j, (policy, _, color) in enumerate(POLICIES):
            height = PLOT_HEIGHT * ratios[policy] / 100
            svg.rectangle(left + bar * j, y + PLOT_HEIGHT - height, bar - 1.5, height, color)
            inside = height > 16  # above the bar it could meet the line of the optimum
            color = INK if not inside or policy == "lru" else "#ffffff"
            svg.text(
                left + bar * (j + 0.5) - 0.75, y + PLOT_HEIGHT - height + (11 if inside else -3),
                f"{ratios[policy]:.0f}", size=9, anchor="middle", color=color,
                weight="bold" if policy == "lazywriter" else "normal",
            )
        best = y + PLOT_HEIGHT * (1 - ratios["optimum"] / 100)
        svg.line(left - 3, best, left + 3 * bar + 1.5, best, INK, 1.6)
        svg.text(
            left + 1.5 * bar, y + PLOT_HEIGHT + 16, f"{float(limit):.3g} %", size=10, anchor="middle", color=MUTED
        )


def draw(traces, path):
    rows = -(-len(traces) // COLUMNS)
    columns = min(COLUMNS, len(traces))
    svg = Svg(
        max(LEFT + PANEL_WIDTH * columns, 720), TOP + PANEL_HEIGHT * rows + 26, "Hit ratio by trace and policy",
        "percent of the requests answered from memory, at a limit of so many percent of the distinct keys; higher is better",
    )
    for i, (trace, limits) in enumerate(traces.items()):
        panel(svg, LEFT + PANEL_WIDTH * (i % COLUMNS), TOP + PANEL_HEIGHT * (i // COLUMNS), trace, limits)
    at, y = LEFT, TOP + PANEL_HEIGHT * rows + 4
    for _, label, color in POLICIES:
        svg.rectangle(at, y - 9, 12, 10, color)
        svg.text(at + 18, y, label, size=11)
        at += 44 + 6.4 * len(label)
    svg.line(at, y - 4, at + 16, y - 4, INK, 1.6)
    svg.text(at + 22, y, "clairvoyant optimum", size=11)
    svg.save(path)


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    traces = read(sys.argv[1])
    if not traces:
        sys.exit(f"{sys.argv[1]} has no measurements")
    draw(traces, sys.argv[2])


if __name__ == "__main__":
    main()
