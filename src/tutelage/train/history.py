"""What a training run logged on the way: a table that grows with the run, and its evaluations for the report."""

import csv
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from sentence_transformers import SentenceTransformerTrainer
from transformers import TrainerCallback

from tutelage.evaluate.report import write_text
from tutelage.evaluate.retrieval import key_name
from tutelage.train import checkpoints
from tutelage.train.apart import LeftOut

FILE = "history.csv"
EVALUATION = "eval_"  # transformers puts it before what was measured during training


def table(log: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """One row a step, whatever was logged at that step side by side.

    >>> table([{"step": 5, "epoch": 0.5, "loss": 1.2}, {"step": 5, "epoch": 0.5, "eval_dev_cosine_map": 0.7}])
    [{'step': 5, 'epoch': 0.5, 'loss': 1.2, 'eval_dev_cosine_map': 0.7}]
    """
    rows: dict[int, dict[str, Any]] = {}
    for entry in log:
        row = rows.setdefault(entry["step"], {"step": entry["step"], "epoch": entry.get("epoch")})
        row |= entry
    return list(rows.values())


def evaluations(log: Sequence[Mapping[str, Any]], sets: Sequence[str], metrics: Sequence[str]) -> list[dict[str, Any]]:
    """The evaluations of a log: step, epoch, and ``{set} {metric}`` -> mean."""
    names = {f"{EVALUATION}{key_name(name)}_cosine_{metric}": f"{name} {metric}" for name in sets for metric in metrics}
    found = []
    for row in table(log):
        if values := {names[key]: value for key, value in row.items() if key in names}:
            found.append({"step": row["step"], "epoch": row["epoch"], **values})
    return found


class HistoryFile(TrainerCallback):
    """Keeps the log as CSV, written anew whenever something is logged: a run that dies leaves what it knew.

    Args:
        path: of the file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def on_log(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Write the whole table."""
        if state.is_world_process_zero:
            rows = table(state.log_history)
            lines = _Lines()
            writer = csv.DictWriter(lines, list(dict.fromkeys(key for row in rows for key in row)), lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
            write_text(self.path, "".join(lines))


class Told(TrainerCallback):
    """Says the loss, and what was measured on the way, in a line each.

    Args:
        say: takes a line.
        sets: names of retrieval sets.
        main: the metric of theirs that is said.
    """

    def __init__(self, say: Callable[[str], None], sets: Sequence[str], main: str) -> None:
        self.say = say
        self.shown = {"loss": "loss"} | {
            f"{EVALUATION}{key_name(name)}_cosine_{main}": f"{name} {main}" for name in sets
        }

    def on_log(self, args: Any, state: Any, control: Any, logs: Mapping[str, Any] | None = None, **kwargs: Any) -> None:
        """Say it."""
        told = [f"{name} {logs[key]:.4f}" for key, name in self.shown.items() if logs and key in logs]
        if told and state.is_world_process_zero:
            self.say(f"step {state.global_step} of {state.max_steps}: {', '.join(told)}")


class _Lines(list[str]):
    """Lines as they are written."""

    write = list.append


def summary(trainer: SentenceTransformerTrainer, guarded: dict[str, Any] | None, left_out: LeftOut) -> dict[str, Any]:
    """Steps, the one whose checkpoint was kept in place of the last (if any), and what was logged on the way."""
    best = trainer.state.best_model_checkpoint if trainer.args.load_best_model_at_end else None
    replaced = guarded is not None and guarded["step"] is not None  # the guard has the last word
    return {
        "steps": trainer.state.global_step,
        "precision": {"bf16": "bf16", "fp16": "fp16"}.get(trainer.accelerator.mixed_precision, "fp32"),
        "best_step": checkpoints.step_of(Path(best)) if best and not replaced else None,
        **({"guard": guarded} if guarded else {}),
        **({"left_out": left_out} if left_out else {}),
        "log": [entry for entry in trainer.state.log_history if "loss" in entry],
    }
