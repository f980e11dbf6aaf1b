"""sentence-transformers' trainer, with the guide's drop rates in the log beside the loss."""

from typing import Any

from sentence_transformers import SentenceTransformerTrainer

from tutelage.train.collate import GuidedCollator
from tutelage.train.objective import GuidedLoss


class GuidedTrainer(SentenceTransformerTrainer):
    """A `SentenceTransformerTrainer` for `GuidedLoss`: brings the loss's collator and logs ``drop_{rule}`` rates.

    Takes the same arguments. The rates reach every logger of ``report_to`` (TensorBoard ...), as the loss does.

    Example::

        GuidedTrainer(model=model, args=args, train_dataset=pairs, loss=GuidedLoss(model, store)).train()
    """

    def __init__(self, *, loss: GuidedLoss, data_collator: GuidedCollator | None = None, **kwargs: Any) -> None:
        super().__init__(loss=loss, data_collator=data_collator or loss.collator(), **kwargs)
        self._guided = loss

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Add the drop rates since the last log to a training log."""
        if "loss" in logs:
            logs = logs | {f"drop_{rule}": round(rate, 6) for rule, rate in self._guided.drop_rates().items()}
        super().log(logs, start_time)
