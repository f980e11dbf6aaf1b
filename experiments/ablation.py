"""What do guide, id masks, margin, temperature and other guides do? Every variant with several seeds, against plain.

    python experiments/ablation.py --recipe gistembed_small --seeds 0 1 2 --set model.layers=3
    python experiments/ablation.py --guide taught=vectors/part-00001-of-00001.parquet   (of: tutelage embed)

Runs that are finished are not repeated, so a run of this file that was cut off goes on. Runs of one guide share its
store. Prints a table for `docs/log.md` and keeps it with commit and machine in `benchmarks/results/`.
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tutelage.encode.models import MINILM
from tutelage.evaluate.compare import compare_systems, load_system
from tutelage.evaluate.report import REPORT, provenance, write_json
from tutelage.evaluate.significance import holm
from tutelage.export.card import markdown_table
from tutelage.records.data_folder import data_folder
from tutelage.train.recipe import Recipe, load_recipe
from tutelage.train.run import run_recipe

PLAIN = {"guide.name": "null", "loss.drop_same_text": "false", "loss.drop_same_group": "false"}
GUIDED = {"loss.drop_same_text": "false", "loss.drop_same_group": "false"}
VARIANTS: dict[str, dict[str, str]] = {
    "plain": PLAIN,
    "same text": PLAIN | {"loss.drop_same_text": "true"},
    "same concept": PLAIN | {"loss.drop_same_group": "true"},
    "guide": GUIDED,
    "guide, text, concept": {},
    "guide, margin .05": GUIDED | {"loss.margin": "0.05"},
    "guide, margin -.05": GUIDED | {"loss.margin": "-0.05"},
    "plain, T = .02": PLAIN | {"loss.temperature": "0.02"},
    "guide, T = .02": GUIDED | {"loss.temperature": "0.02"},
    "guide, T = .1": GUIDED | {"loss.temperature": "0.1"},
    "guide: n-grams": GUIDED | {"guide.name": "tfidf"},
    "guide: own start": GUIDED | {"guide.name": "start"},
    "guide: mean with n-grams": GUIDED | {"guide.name": f"[{MINILM}, tfidf]", "guide.combine": "mean"},
    "guide: max with n-grams": GUIDED | {"guide.name": f"[{MINILM}, tfidf]", "guide.combine": "max"},
}
HEADINGS = (
    "variant",
    "set",
    "plain",
    "variant's",
    "difference",
    "95 % interval",
    "Holm p",
    "dropped",
    "of Z",
    "general",
)
RESULTS = Path(__file__).parents[1] / "benchmarks" / "results"


def folder_of(home: Path, *parts: Any) -> Path:
    return home / "-".join("".join(c if c.isalnum() else "-" for c in str(part)) for part in parts)


def train(recipe: str, home: Path, name: str, variant: Mapping[str, str], seed: int, settings: Sequence[str]) -> None:
    """One run, unless it is there; a run of other settings in its place is refused."""
    output = folder_of(home, name, seed)
    data = data_folder()
    own = [f"{key}={value}" for key, value in variant.items()]
    guide = [value for key, value in variant.items() if key.startswith("guide.")]
    fixed = [
        f"output={output}",
        f"training.seed={seed}",
        f"guide.store={folder_of(home, 'guide', *guide)}",
        "sampling.sampler=no_duplicates",
    ]
    wanted = load_recipe(recipe, [*settings, *fixed, *own], sample=data is None)
    if (output / REPORT).is_file():
        done = Recipe.model_validate(json.loads((output / REPORT).read_text())["recipe"])
        if done != wanted.in_precision(done.training.precision):
            raise SystemExit(f"{output}: a run of other settings. Give another --name.")
        return
    run_recipe(wanted, data, overwrite=True)
    print(name, seed, flush=True)


def compared(home: Path, variant: str, seeds: Sequence[int], metric: str) -> list[dict[str, Any]]:
    """The variant against the plain loss, with what was dropped and what was forgotten."""
    plain, other = (",".join(str(folder_of(home, name, seed)) for seed in seeds) for name in ("plain", variant))
    reports = [json.loads((folder_of(home, variant, seed) / REPORT).read_text()) for seed in seeds]
    last = [report["training"]["log"][-1] for report in reports]
    about = {
        "variant": variant,
        "dropped": mean(sum(entry[f"drop_{rule}"] for rule in ("text", "group", "guide")) for entry in last),
        "partition": mean(entry["drop_partition"] for entry in last),
        "general": {
            name: mean(report["general"][name]["after"] - report["general"][name]["before"] for report in reports)
            for name in reports[0].get("general", {})
        },
    }
    return [about | row for row in compare_systems(load_system(plain), load_system(other), [metric])["rows"]]


def mean(values: Any) -> float:
    values = list(values)
    return sum(values) / len(values)


def cells(row: dict[str, Any]) -> list[str]:
    general = ", ".join(f"{name} {change:+.4f}" for name, change in row["general"].items())
    return [
        row["variant"],
        row["set"],
        f"{row['a']:.4f}",
        f"{row['b']:.4f} ± {row['spread_b'] or 0:.4f}",
        f"{row['mean']:+.4f}",
        f"{row['low']:+.4f} {row['high']:+.4f}",
        f"{row['p_holm']:.4f}",
        f"{row['dropped']:.2%}",
        f"{row['partition']:.1%}",
        general or "-",
    ]


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--recipe", default="gistembed_small")
    options.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    options.add_argument("--variants", nargs="*", choices=tuple(VARIANTS), default=list(VARIANTS))
    options.add_argument("--guide", nargs="*", default=[], help="more guides, NAME=WHAT, as a recipe's guide.name")
    options.add_argument("--set", dest="settings", nargs="*", default=[], help="overrides of the recipe, key=value")
    options.add_argument("--metric", default="map")
    options.add_argument("--name", help="of the runs' folder and the kept figures; default: the recipe's")
    options.add_argument("--output", type=Path, default=Path("runs/ablation"))
    asked = options.parse_args()
    kept_as = asked.name or asked.recipe
    home = asked.output / kept_as
    guides = (each.partition("=") for each in asked.guide)
    given = {f"guide: {name}": GUIDED | {"guide.name": what} for name, _, what in guides}
    variants = {name: VARIANTS[name] for name in ["plain", *asked.variants]} | given
    for seed in asked.seeds:
        for name, variant in variants.items():
            train(asked.recipe, home, name, variant, seed, asked.settings)
    rows = [row for name in variants if name != "plain" for row in compared(home, name, asked.seeds, asked.metric)]
    for row, p in zip(rows, holm(np.array([row["p"] for row in rows])), strict=True):  # over all variants and sets
        row["p_holm"] = p
    print("\n".join(markdown_table(HEADINGS, [cells(row) for row in rows])))
    about = {"recipe": asked.recipe, "settings": asked.settings, "seeds": asked.seeds}
    # A file is kept by its name: where it lay is of no use elsewhere.
    about["variants"] = {
        name: {key: Path(value).name if Path(value).is_file() else value for key, value in variant.items()}
        for name, variant in variants.items()
    }
    write_json(RESULTS / f"ablation_{kept_as}.json", {**provenance(), **about, "rows": rows})


if __name__ == "__main__":
    main()
