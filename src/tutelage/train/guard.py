"""The forgetting guard of a run: the last weights under which no general set had fallen are kept, and come back."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sentence_transformers import SentenceTransformer
from transformers import TrainerCallback

from tutelage.evaluate.general import GeneralEvaluator, GeneralResult, fell
from tutelage.evaluate.report import write_json

KEPT, STEP = "kept", "step.json"


class ForgettingGuard(TrainerCallback):
    """After each evaluation of a run, keeps the weights if no general set fell by more than its interval.

    Args:
        model: the model that is trained.
        general: the sets outside the training domain, as the trainer evaluates them (it must, before the guard looks).
        before: what the untrained model reached on them, in their order.
        folder: where the weights are kept; only a run that is resumed goes on with those of an earlier one.
        resume: whether this is such a run.
    """

    def __init__(
        self,
        model: SentenceTransformer,
        general: Sequence[GeneralEvaluator],
        before: Sequence[GeneralResult],
        folder: Path,
        *,
        resume: bool = False,
    ) -> None:
        self.model, self.general, self.before, self.folder = model, general, before, folder
        if not resume:
            shutil.rmtree(folder, ignore_errors=True)

    def fell(self) -> bool:
        """Whether any general set had fallen when the trainer last evaluated it."""
        now = [evaluator.result for evaluator in self.general if evaluator.result is not None]
        return fell(self.before, now)

    def on_evaluate(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Keep the weights of this step, unless something was forgotten."""
        if state.is_world_process_zero and not self.fell():
            work = self.folder.with_name(f".{self.folder.name}.partial")
            shutil.rmtree(work, ignore_errors=True)
            self.model.save_pretrained(str(work), create_model_card=False)
            write_json(work / STEP, {"step": state.global_step})
            shutil.rmtree(self.folder, ignore_errors=True)
            work.rename(self.folder)

    def settle(self) -> dict[str, Any]:
        """At the end of training: put the kept weights into the model if its last ones have forgotten something.

        Returns:
            ``fell``: whether the last weights did; ``step``: that of the weights that were put back, None if none were.
        """
        for evaluator in self.general:
            evaluator(self.model)
        if not self.fell():
            return {"fell": False, "step": None}
        if not (self.folder / STEP).is_file():
            return {"fell": True, "step": None}
        self.model.load_state_dict(SentenceTransformer(str(self.folder), device="cpu").state_dict())
        return {"fell": True, **json.loads((self.folder / STEP).read_text(encoding="utf-8"))}


def outcome(settled: dict[str, Any]) -> str:
    """What the guard did, as one line."""
    if not settled["fell"]:
        return "guard: no general set fell; the last weights stay"
    if settled["step"] is None:
        return "guard: the last weights have forgotten, and so had those of every evaluation; they stay all the same"
    return f"guard: the last weights have forgotten; those of step {settled['step']} had not and are back"
