#!/usr/bin/env python3
"""Prints what was measured beside what the library promises: held, or missed.

    bench/budgets.py ROUNDS_DIRECTORY [--csv FILE] [--only-measured]
"""

import argparse

from measurements import Measurements, operation

SIZES = {20_000: "20k", 100_000: "100k", 1_000_000: "1M"}
OURS = "lazywriter"


class Table:
    def __init__(self):
        self.rows = []
        self.missed = 0
        self.unmeasured = 0

    def section(self, title):
        self.rows.append(title)

    def at_most(self, what, value, must, reach=None, unit=""):
        self._add(what, value, must, reach, unit, "<=", lambda v, limit: v <= limit)

    def at_least(self, what, value, must, reach=None, unit=""):
        self._add(what, value, must, reach, unit, ">=", lambda v, limit: v >= limit)

    def _add(self, what, value, must, reach, unit, sign, holds):
        goal = "" if reach is None else f"{reach:g}{unit}"
        if value is None:
            self.unmeasured += 1
            self.rows.append((what, "-", f"{sign} {must:g}{unit}", goal, "not measured"))
            return
        verdict = "held" if holds(value, must) else "MISSED"
        if verdict == "held" and reach is not None and holds(value, reach):
            verdict = "held, goal reached"
        self.missed += verdict == "MISSED"
        digits = f"{value:.0f}" if abs(value) >= 100 else f"{value:.2f}"
        self.rows.append((what, digits + unit, f"{sign} {must:g}{unit}", goal, verdict))

    def leave_out_unmeasured(self):
        self.rows = [row for row in self.rows if isinstance(row, str) or row[4] != "not measured"]
        self.rows = [
            row
            for row, after in zip(self.rows, self.rows[1:] + [""])
            if not (isinstance(row, str) and isinstance(after, str))
        ]

    def print(self):
        print(f"{'what':<64} {'measured':>10} {'must':>12} {'goal':>9}  verdict")
        for row in self.rows:
            if isinstance(row, str):
                print(f"\n{row}")
            else:
                print(f"  {row[0]:<62} {row[1]:>10} {row[2]:>12} {row[3]:>9}  {row[4]}")
        print(f"\n{self.missed} missed, {self.unmeasured} not measured")


def one_thread(table, data):
    table.section("One thread, against a raw std::unordered_map without a lock (time ratio)")
    limits = {
        "visit": ((1.15, 1.0, 0.9), (0.8, 0.7, 0.55)),
        "get": ((0.95, 0.8, 0.7), (0.75, 0.65, 0.55)),
        "put": ((0.9, 0.65, 0.65), (0.7, 0.5, 0.5)),
        "put_new": ((1.4,) * 3, (1.1,) * 3),
        "miss": ((1.1,) * 3, (0.8,) * 3),
    }
    for name, (musts, goals) in limits.items():
        for (size, label), must, goal in zip(SIZES.items(), musts, goals):
            ratio = data.ratio(operation(name, OURS, size), operation(name, "unordered_map", size))
            table.at_most(f"{name}, {label} items", ratio, must, goal)
    table.section("Put and drain to a store that takes it at once, per item, against the naive port")
    for size, label in SIZES.items():
        ratio = data.ratio(operation("put_drain", OURS, size), operation("put_drain", "naive_port", size))
        table.at_most(f"put_drain, {label} items", ratio, 0.35, 0.2)
    table.section("One thread, against boost::concurrent_flat_map")
    for name in ("visit", "get", "put", "mix"):
        for size, label in SIZES.items():
            ratio = data.ratio(operation(name, OURS, size), operation(name, "boost", size))
            table.at_most(f"{name}, {label} items", ratio, 1.1, 0.9)


def two_threads(table, data):
    limits = {
        "boost": {"visit": (1.45, 1.0), "put": (1.2, 0.85), "mix": (1.2, 0.85)},
        "tbb": dict.fromkeys(("visit", "put", "mix"), (0.8, 0.6)),
        "libcuckoo": dict.fromkeys(("visit", "put", "mix"), (1.0, 0.7)),
    }
    for peer, operations in limits.items():
        table.section(f"Two threads, wall time, against {peer}")
        for name, (must, goal) in operations.items():
            for size in (20_000, 100_000):
                ratio = data.ratio(
                    operation(name, OURS, size, threads=2), operation(name, peer, size, threads=2)
                )
                table.at_most(f"{name}, {SIZES[size]} items", ratio, must, goal)


def allocations_and_memory(table, data):
    table.section("Allocations per operation, 100k items")
    for name in ("visit", "get_into", "update"):
        table.at_most(name, data.median(operation(name, OURS, 100_000), "allocations"), 0)
    ours = data.median(operation("put", OURS, 100_000), "allocations")
    callers = data.median(operation("put", "unordered_map", 100_000), "allocations")
    beyond = None if ours is None or callers is None else round(ours - callers, 3)
    table.at_most("put of an existing key, beyond the caller's", beyond, 0)
    new = data.median(operation("put_new", OURS, 100_000), "allocations")
    table.at_most("put of a new key, in all", None if new is None else round(new, 3), 2)
    table.section("Memory per resident item beyond the item and its key's heap block")
    for size, label in SIZES.items():
        table.at_most(f"{label} items", data.median(f"memory/{OURS}/{size}", "overhead_bytes"), 128, 104, " B")


def latency(table, data):
    table.section("Worst single put while growing to 1M items")
    scale = {"worst": 1e-6, "p99_99": 1e-3}
    worst = {
        how: data.median(f"latency/put/grow_{how}", "worst") for how in ("reserved", "not_reserved")
    }
    for how, must, goal in (("not_reserved", 10, 3), ("reserved", 1, None)):
        value = None if worst[how] is None else worst[how] * scale["worst"]
        table.at_most(how.replace("_", " "), value, must, goal, " ms")
    p99_99 = data.median("latency/put/grow_reserved", "p99_99")
    table.at_most("reserved, p99.99", None if p99_99 is None else p99_99 * scale["p99_99"], 1000, 100, " us")
    table.section("p99.9 in the foreground while 100k items are flushed, against the quiet p99.9")
    for name in ("visit", "put"):
        for store, quiet in (("noop", "quiet"), ("postgres", "quiet_postgres")):
            ratio = data.ratio(f"latency/{name}/flush_{store}", f"latency/{name}/{quiet}", "p99_9")
            table.at_most(f"{name}, {store} store", ratio, 3, 1.5)
    table.section("p99 in the foreground while the store is in trouble, against a store that is well")
    for name in ("visit", "put"):
        for trouble in ("away", "fails", "rejects"):
            ratio = data.ratio(f"latency/{name}/store_{trouble}", f"latency/{name}/store_well", "p99")
            table.at_most(f"{name}, store {trouble}", ratio, 2)


def flush(table, data):
    table.section("The cache's own part of a flush, per item")
    for residents, dirty in (
        (100_000, 1_000), (100_000, 10_000), (100_000, 100_000), (1_000_000, 1_000), (1_000_000, 100_000),
    ):
        time = data.median(f"flush_overhead/{residents}/{dirty}")
        what = f"{SIZES[residents]} items, {dirty // 1000}k of them dirty"
        table.at_most(what, None if time is None else time / 1e3, 0.15, 0.06, " us")

    def rate(write, way, network="local"):
        return f"flush_postgres/{write}/{way}/1000/{network}"

    def against(write, way, network="local", other_write=None):
        return data.ratio(
            rate(write, OURS, network), rate(other_write or write, way, network), "rows_per_s"
        )

    table.section("Flush to PostgreSQL, batches of 1,000, ids returned (throughput ratio)")
    table.at_least("insert, against plain COPY", against("insert", "copy"), 0.5, 0.65)
    table.at_least("update, against plain COPY", against("update", "copy", other_write="insert"), 0.35, 0.45)
    for write in ("insert", "update"):
        table.at_least(
            f"{write}, against a prepared upsert per row in one transaction",
            against(write, "upsert_per_row"), 2.5, 4,
        )
        table.at_least(
            f"{write}, against one transaction per row", against(write, "transaction_per_row"), 15
        )
        table.at_least(
            f"{write}, against one statement and transaction per row", against(write, "statement_per_row"), 15
        )
        table.at_least(
            f"{write}, one transaction per row, 1 ms of round trip",
            against(write, "transaction_per_row", "rtt_1ms"), 300,
        )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("rounds")
    parser.add_argument("--csv")
    parser.add_argument("--only-measured", action="store_true")
    arguments = parser.parse_args()
    data = Measurements(arguments.rounds)
    if arguments.csv:
        data.write_csv(arguments.csv)
    table = Table()
    for part in (one_thread, two_threads, allocations_and_memory, latency, flush):
        part(table, data)
    if arguments.only_measured:
        table.leave_out_unmeasured()
    table.print()


if __name__ == "__main__":
    main()
