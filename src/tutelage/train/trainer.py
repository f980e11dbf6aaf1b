"""sentence-transformers' trainer for `GuidedLoss`: texts tokenised once, few token rows trained, drop rates logged."""

from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any

from datasets import Dataset, DatasetDict
from sentence_transformers import SentenceTransformerTrainer

from tutelage.encode.rows_in_use import OPTION, refuse_inexact, rows_in_use
from tutelage.encode.tokens import Tokens
from tutelage.errors import ConfigError
from tutelage.records.pairs import CONCEPT
from tutelage.train.build import texts_of
from tutelage.train.collate import GuidedCollator
from tutelage.train.objective import GuidedLoss, pooled_rates


class GuidedTrainer(SentenceTransformerTrainer):
    """A `SentenceTransformerTrainer` that brings what `GuidedLoss` needs, and what makes it fast.

    Takes the same arguments and these. The rates ``drop_{rule}`` reach every logger of ``report_to``, as the loss
    does; with a loss for each set, the guide's rate in each as ``drop_guide_{set}``.

    Args:
        loss: the loss, or one for each set of ``train_dataset``.
        data_collator: default: the loss's own, which tokenises every distinct text of ``train_dataset`` once.
        group_column: the column whose equal values mean "the same group"; for the default collator.
        batch_sizes: of single sets of ``train_dataset``, or of it itself, in place of the arguments' own.
        rows_in_use: train only those rows of the token table that the texts touch, which is the same and much less
            work. Default: wherever it is exact (no weight decay, SGD or AdamW, no prompts, one process) and the
            model's table allows it.

    Raises:
        ConfigError: ``rows_in_use=True`` where it is not exact.

    Example::

        GuidedTrainer(model=model, args=args, train_dataset=pairs, loss=GuidedLoss(model, store)).train()
    """

    def __init__(
        self,
        *,
        loss: GuidedLoss | dict[str, GuidedLoss],
        data_collator: GuidedCollator | None = None,
        group_column: str | None = CONCEPT,
        batch_sizes: Mapping[str, int] | None = None,
        rows_in_use: bool | None = None,
        **kwargs: Any,
    ) -> None:
        data, prompts = kwargs.get("train_dataset"), getattr(kwargs.get("args"), "prompts", None)
        self._losses = loss if isinstance(loss, dict) else {"": loss}
        self._batch_sizes = batch_sizes or {}
        first = next(iter(self._losses.values()))
        self._tokens: Tokens | None = None
        if isinstance(data, Dataset | DatasetDict) and not prompts:
            self._tokens = Tokens.of(first.model, (text for text in texts_of(data) if isinstance(text, str)))
        if data_collator is None:
            data_collator = first.collator(group_column=group_column, tokens=self._tokens, prompts=prompts)
        given: Any = loss  # a dictionary of losses is one of modules, which mypy does not know
        super().__init__(loss=given, data_collator=data_collator, **kwargs)
        self._rows_in_use = rows_in_use
        self._own_optimizer = any(kwargs.get("optimizers", ())) or kwargs.get("optimizer_cls_and_kwargs") is not None
        if rows_in_use:
            self._refuse_rows_in_use()

    def get_batch_sampler(self, dataset: Dataset, batch_size: int, *args: Any, **kwargs: Any) -> Any:
        """As ever, with the set's own batch size where it has one."""
        data = self.train_dataset
        sets = data if isinstance(data, DatasetDict) else dict.fromkeys(self._batch_sizes, data)
        for name, each in sets.items():
            if each is dataset:
                batch_size = self._batch_sizes.get(name, batch_size)
        return super().get_batch_sampler(dataset, batch_size, *args, **kwargs)

    def get_optimizer_cls_and_kwargs(  # type: ignore[override]  # a function there, a method in sentence-transformers
        self, args: Any, model: Any = None
    ) -> tuple[Any, Any]:
        """As ever, through one of the losses: all have the same parameters, and a set's name may hold a dot."""
        every: Any = self.loss
        one: Any = next(iter(self._losses.values()))
        self.loss = one
        try:
            return super().get_optimizer_cls_and_kwargs(args, model)
        finally:
            self.loss = every

    def train(self, *args: Any, **kwargs: Any) -> Any:
        """As ever; meanwhile only the token rows in use are trainable, where that is the same."""
        with ExitStack() as block:
            if self._rows_in_use is not False:
                try:
                    self._refuse_rows_in_use()
                    assert self._tokens is not None
                    block.enter_context(rows_in_use(self.model, self._tokens.in_use()))
                except ConfigError:
                    if self._rows_in_use:
                        raise
            return super().train(*args, **kwargs)

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Add the drop rates since the last log to a training log."""
        if "loss" in logs:
            logs = logs | {f"drop_{name}": round(rate, 6) for name, rate in self._drop_rates().items()}
        super().log(logs, start_time)

    def _drop_rates(self) -> dict[str, float]:
        drops = {name: loss.take_drops() for name, loss in self._losses.items()}
        by_set = {f"guide_{name}": pooled_rates(each)["guide"] for name, each in drops.items() if name and each}
        return pooled_rates([drop for each in drops.values() for drop in each]) | by_set

    def _run_epoch(self, *args: Any, **kwargs: Any) -> None:
        """Nothing after the last step: a run that is resumed there would take one more."""
        if self.state.global_step < self.state.max_steps:
            super()._run_epoch(*args, **kwargs)

    def _refuse_rows_in_use(self) -> None:
        if self._tokens is None:
            raise ConfigError(
                f"{OPTION}: the token ids of all training texts are wanted; they are not known with prompts, without a "
                "datasets.Dataset, or for a model that takes more than token ids. Leave it out."
            )
        if self._own_optimizer or self.args.world_size > 1:
            raise ConfigError(f"{OPTION}: not with an optimizer made before, nor with several processes. Leave it out.")
        refuse_inexact(self.args.weight_decay, str(getattr(self.args.optim, "value", self.args.optim)))
