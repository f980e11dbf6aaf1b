"""How many titles a second does a table take, and how much memory?

Titles: ESCO's labels in every language at hand (else the sample's), each once as it is and then with a letter left out
or a word before it, until there are enough distinct ones; a CSV of them against an index of the English labels
(`tutelage index`, exact, MiniLM). Ours: `match_table` from the CSV to a CSV, in a process of its own, memory of model,
index and all included. The floor: embedding the same titles, and nothing else.
"""

import argparse
import csv
import json
import shutil
import sys
from functools import partial
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import numpy as np
from measure.machine import memory_gib
from measure.texts import source
from measure.turns import keep, take_turns, tell, work
from rich.table import Table

from tutelage.encode.models import MINILM
from tutelage.records.data_folder import SAMPLE, data_folder
from tutelage.records.taxonomy import labels
from tutelage.serve.building import build_index
from tutelage.serve.engine import load_engine
from tutelage.serve.entries import entries
from tutelage.serve.match import Matcher
from tutelage.serve.places import open_index
from tutelage.serve.titles import match_table

BEFORE = ("senior", "junior", "lead", "assistant", "deputy", "m/w/d", "temporary", "head")


def titles(count: int) -> list[str]:
    """Distinct, in random order."""
    folder = data_folder()
    files = (SAMPLE if folder is None else folder / "esco").glob("*.csv*")
    languages = ",".join(sorted(file.name.split(".")[0] for file in files))
    known = [label.text for label in labels(f"{source().partition(':')[0]}:{languages}", folder)]
    random = np.random.default_rng(0)
    found = dict.fromkeys(known[row] for row in random.permutation(len(known))[:count])
    while len(found) < count:
        found[edited(known[random.integers(len(known))], random)] = None
    return list(found)


def edited(text: str, random: np.random.Generator) -> str:
    if random.random() < 0.5 and len(text) > 3:
        place = int(random.integers(len(text)))
        return text[:place] + text[place + 1 :]
    return f"{BEFORE[random.integers(len(BEFORE))]} {text}"


def prepare(home: Path, count: int) -> dict[str, Any]:
    """The CSV and the index; how reliable its confidences are."""
    with (home / "titles.csv").open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["title"])
        rows.writerows([text] for text in titles(count))
    built = build_index(load_engine(MINILM), MINILM, entries(source(), data_folder()), home / "index", progress=False)
    told = built.reliability
    return {"corpus": source(), "labels": built.stats.entries, "reliability": told._asdict() if told else None}


def ours(home: str):
    place = Path(home)
    matcher = Matcher(load_engine(MINILM), open_index(place / "index"))

    def run() -> dict[str, Any]:
        summary = match_table(lambda: matcher, place / "titles.csv", place / "matched.csv", progress=False)
        return {**summary._asdict(), "unknown": summary.unknown}

    return run, {"prepared_gib": memory_gib()[1]}


def floor(home: str):
    engine = load_engine(MINILM)
    with (Path(home) / "titles.csv").open(encoding="utf-8", newline="") as file:
        texts = [row["title"] for row in csv.DictReader(file)]
    return lambda: len(engine.encode(texts)), {}


SIDES = {"ours": ours, "floor": floor}


def main(count: int, repeats: int) -> None:
    home = Path(mkdtemp(prefix="tutelage-match-"))
    try:
        facts = {"titles": count, "model": MINILM, "device": "cpu", **prepare(home, count)}
        found = take_turns(__file__, list(SIDES), {"home": str(home)}, repeats)
    finally:
        shutil.rmtree(home)
    rate = {side: count / each["seconds"] for side, each in found.items()}
    peak = max(found["ours"]["peak_gib"], found["ours"]["prepared_gib"])
    told = {**facts, "titles_per_second": rate, "peak_gib": peak, "sides": found}
    told["over_floor"] = found["ours"]["seconds"] / found["floor"]["seconds"]
    keep("match", told)
    table = Table("titles", "labels", "known", "titles/s", "embedding alone /s", "x floor", "peak GiB")
    known = found["ours"]["values"][0]["known"]
    table.add_row(
        str(count), str(facts["labels"]), str(known), f"{rate['ours']:.0f}", f"{rate['floor']:.0f}",
        f"{told['over_floor']:.2f}", f"{peak:.2f}",
    )  # fmt: skip
    tell(table, told)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--worker"]:
        work(partial(SIDES[sys.argv[2]], **json.loads(sys.argv[3])), warm_up=False)
    else:
        options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
        options.add_argument("--titles", type=int, default=100_000)
        options.add_argument("--repeats", type=int, default=1)
        asked = options.parse_args()
        main(asked.titles, asked.repeats)
