"""Two or more sides measured in turns, each in a process of its own, so that noise falls on all alike."""

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from measure.machine import forget_peak, memory_gib
from tutelage.evaluate.report import provenance, write_json

RESULTS = Path(__file__).parents[1] / "results"


class Side:
    """A worker process: ``script --worker NAME CASE``. It prepares, says ready, and runs once for each line it gets."""

    def __init__(self, script: str, name: str, case: Mapping[str, Any]):
        command = [sys.executable, script, "--worker", name, json.dumps(case)]
        self.name = name
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.facts = self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self.name}: the worker ended with code {self.process.wait()}")
        return json.loads(line)

    def run(self) -> dict[str, Any]:
        """One measured run."""
        assert self.process.stdin is not None
        self.process.stdin.write("go\n")
        self.process.stdin.flush()
        return self._answer()

    def close(self) -> None:
        """Let the worker end."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()


def work(
    prepare: Callable[[], tuple[Callable[[], Any], dict[str, Any]]], *, warm_up: bool = True, device: str = "cpu"
) -> None:
    """A worker's life: prepare, warm up by one run (or in ``prepare``), then one timed run a line, answered in JSON."""
    run, facts = prepare()
    if warm_up:
        run()
    print(json.dumps(facts), flush=True)
    for _ in sys.stdin:
        forget_peak(device)
        before, start = memory_gib(device)[0], time.perf_counter()
        value = run()
        answer = {"seconds": time.perf_counter() - start, "value": value}
        print(json.dumps(answer | {"before_gib": before, "peak_gib": memory_gib(device)[1]}), flush=True)


def fastest(trials: Mapping[Any, Callable[[], Any]]) -> Any:
    """The name of the quickest of these, each run once after a run of the first to warm up."""
    next(iter(trials.values()))()
    spent = {}
    for name, run in trials.items():
        start = time.perf_counter()
        run()
        spent[name] = time.perf_counter() - start
    return min(spent, key=lambda name: spent[name])


def take_turns(script: str, names: list[str], case: Mapping[str, Any], repeats: int = 5) -> dict[str, dict[str, Any]]:
    """Median seconds of each side over ``repeats`` alternating runs after a warm-up (3 where one takes over 20 s)."""
    sides = [Side(script, name, case) for name in names]
    runs: dict[str, list[dict[str, Any]]] = {side.name: [] for side in sides}
    for turn in range(repeats):
        for side in sides:
            slow = runs[side.name] and runs[side.name][0]["seconds"] > 20
            if not (slow and turn >= 3):
                runs[side.name].append(side.run())
    for side in sides:
        side.close()
    return {
        side.name: {
            "seconds": statistics.median(run["seconds"] for run in runs[side.name]),
            "runs": [round(run["seconds"], 6) for run in runs[side.name]],
            "values": [run["value"] for run in runs[side.name]],
            "before_gib": runs[side.name][0]["before_gib"],
            "peak_gib": max(run["peak_gib"] for run in runs[side.name]),
            **side.facts,
        }
        for side in sides
    }


def apart(found: Mapping[str, Mapping[str, Any]], ours: str = "ours") -> float:
    """The largest difference between a loss of ours and theirs, over the runs that both did on the same batches."""
    return max(
        (abs(a - b) for side in found.values() for a, b in zip(side["values"], found[ours]["values"], strict=False)),
        default=0.0,
    )


def keep(name: str, content: Mapping[str, Any]) -> None:
    """Write ``results/NAME.json`` with the machine's facts; what was measured on a GPU goes to ``NAME_cuda.json``."""
    RESULTS.mkdir(exist_ok=True)
    name += "_cuda" * (content.get("device") == "cuda")
    whole = {"benchmark": name, **provenance(), "load_average": os.getloadavg()[0], **content}
    write_json(RESULTS / f"{name}.json", whole)


def tell(table: Table, cases: Any) -> None:
    """The table for people (stderr), the cases as one JSON line for programs (stdout)."""
    console = Console(stderr=True)
    Console(stderr=True, width=console.width if console.is_terminal else 160).print(table)
    print(json.dumps(cases))
