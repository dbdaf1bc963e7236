#!/usr/bin/env python3
"""The rooms of include/lazywriter/detail are built on each other in one order, and nothing includes upwards.

A header of a room includes headers of its own room and of those before it. ops and flush stand beside each other:
neither includes the other. Nothing in detail includes the cache itself or an adapter; no adapter includes the cache;
only the PostgreSQL adapter names libpqxx.
"""
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
TOP = ROOT / "include" / "lazywriter"
FLOORS = [["base"], ["eviction"], ["table"], ["shard"], ["store"], ["ops", "flush"], ["cache"]]
ABOVE_DETAIL = {"lazy_writer_cache.hpp", "pqxx_reader_writer.hpp", "memory_reader_writer.hpp", "no_op_reader_writer.hpp"}
BODIES = TOP / "detail" / "cache" / "lazy_writer_cache_impl.hpp"  # of the class's members, included behind it
LONGEST = 440

floor_of = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}
faults = []
rooms_seen = set()


def includes(path):
    return re.findall(r'^#include "lazywriter/([\w/.]+)"', path.read_text(), re.MULTILINE)


for path in sorted(TOP.rglob("*.hpp")):
    here = path.relative_to(TOP)
    parts = here.parts
    in_detail = parts[0] == "detail"
    if in_detail and len(parts) != 3:
        faults.append(f"{here} is in no room")
        continue
    if in_detail:
        rooms_seen.add(parts[1])
        if parts[1] not in floor_of:
            faults.append(f"{here}: the room {parts[1]} has no place in the order")
            continue
    for include in includes(path):
        if not (TOP / include).exists():
            faults.append(f"{here} includes {include}, which does not exist")
        target = pathlib.PurePosixPath(include).parts
        if in_detail and target[0] in ABOVE_DETAIL and path != BODIES:
            faults.append(f"{here} includes {include}, which stands above it")
        if in_detail and target[0] == "pqxx" or (not in_detail and parts[0] != "pqxx_reader_writer.hpp"
                                                 and parts[0] != "pqxx" and target[0] == "pqxx"):
            faults.append(f"{here} includes {include}: only the PostgreSQL adapter may")
        if not in_detail and parts[0] != "lazy_writer_cache.hpp" and target[0] == "lazy_writer_cache.hpp":
            faults.append(f"{here} includes the cache")
        if in_detail and target[0] == "detail":
            mine, other = parts[1], target[1]
            beside = floor_of.get(other) == floor_of[mine] and other != mine
            if floor_of.get(other, len(FLOORS)) > floor_of[mine] or beside:
                faults.append(f"{here} includes {include}: {other} does not stand before {mine}")
    if in_detail and re.search(r"\bpqxx\b", path.read_text()):
        faults.append(f"{here} names pqxx")
    lines = len(path.read_text().splitlines())
    if lines > LONGEST and here.as_posix() != "detail/table/entry_table.hpp":
        faults.append(f"{here} has {lines} lines")

for room in floor_of.keys() - rooms_seen:
    faults.append(f"the room {room} is empty")
for fault in faults:
    print(f"rooms_test: {fault}")
sys.exit(1 if faults else 0)
