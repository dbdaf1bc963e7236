"""What the benchmark programs wrote, read into medians: JSON files named *.ROUND.json."""

import glob
import json
import os
import re
import statistics


class Measurements:
    """All rounds of all programs. Values are looked up by the benchmark's name and a metric; what was
    repeated within a round counts as the median of its repetitions."""

    def __init__(self, directory):
        repetitions = {}  # (name, metric) -> {round: [value]}
        for path in sorted(glob.glob(os.path.join(directory, "*.json"))):
            round_number = int(re.search(r"\.(\d+)\.json$", path).group(1))
            if os.path.getsize(path) == 0:
                continue  # a filter left nothing of that program
            with open(path, encoding="utf-8") as file:
                for run in json.load(file)["benchmarks"]:
                    for key, value in self._metrics(run):
                        repetitions.setdefault(key, {}).setdefault(round_number, []).append(value)
        self.values = {  # (name, metric) -> {round: value}
            key: {round_number: statistics.median(values) for round_number, values in rounds.items()}
            for key, rounds in repetitions.items()
        }

    @staticmethod
    def _metrics(run):
        """Yields ((name, metric), value)."""
        if run.get("error_occurred") or run.get("run_type") == "aggregate":
            return
        name = re.sub(r"/(real_time|manual_time|iterations:\d+|repeats:\d+|threads:1)(?=/|$)", "", run["name"])
        to_ns = {"ns": 1, "us": 1e3, "ms": 1e6, "s": 1e9}[run["time_unit"]]
        metrics = {"time_ns": run["real_time"] * to_ns}
        known = {
            "name", "family_index", "per_family_instance_index", "run_name", "run_type", "repetitions",
            "repetition_index", "threads", "iterations", "real_time", "cpu_time", "time_unit",
        }
        metrics.update({k: v for k, v in run.items() if k not in known and isinstance(v, (int, float))})
        if "wall_ns" in metrics:
            metrics["time_ns"] = metrics.pop("wall_ns")
        for metric, value in metrics.items():
            yield (name, metric), value

    def median(self, name, metric="time_ns"):
        """None if it was not measured."""
        rounds = self.values.get((name, metric))
        return statistics.median(rounds.values()) if rounds else None

    def ratio(self, name, other, metric="time_ns", other_metric=None):
        """The median over the rounds of name / other within one round, so that slow drift cancels out."""
        rounds = self.values.get((name, metric), {})
        others = self.values.get((other, other_metric or metric), {})
        ratios = [rounds[r] / others[r] for r in rounds if others.get(r)]
        return statistics.median(ratios) if ratios else None

    def write_csv(self, path):
        with open(path, "w", encoding="utf-8") as file:
            file.write("benchmark,metric,median,least,most,rounds\n")
            for (name, metric), rounds in self.values.items():
                values = list(rounds.values())
                numbers = (statistics.median(values), min(values), max(values))
                file.write(f"{name},{metric},{','.join(f'{n:.6g}' for n in numbers)},{len(values)}\n")


def operation(name, implementation, residents, distribution="uniform", keys="heap", threads=1):
    """The name of a benchmark of operations.cpp."""
    suffix = f"/threads:{threads}" if threads > 1 else ""
    return f"{name}/{implementation}/{residents}/{distribution}/{keys}{suffix}"
