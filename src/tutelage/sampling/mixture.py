"""Whose batch is next, where several data sets are learned from at once: by weights.

In proportion to their batches and in turn are sentence-transformers' own (`proportional`, `round_robin`).
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from sentence_transformers.base.sampler import MultiDatasetDefaultBatchSampler

from tutelage.errors import ConfigError

PASS = 1_000_003  # a set read again within an epoch is shuffled as in a far later epoch


def shares(total: int, weights: Sequence[float]) -> list[int]:
    """``total`` batches divided by weights, to the nearest whole that sums up (largest remainders).

    >>> shares(10, [1.0, 1.0, 2.0])
    [3, 2, 5]
    """
    exact = np.array(weights) / sum(weights) * total
    count = exact.astype(int)
    first = np.argsort(count - exact, kind="stable")[: total - int(count.sum())]
    count[first] += 1
    return [int(each) for each in count]


class WeightedBatches(MultiDatasetDefaultBatchSampler):
    """As many batches an epoch as the sets have in all, each set's share by its weight, in an order drawn anew.

    A set that is given more batches than it has is read again, in another order; one that is given fewer goes on in the
    next epoch with other batches, since every epoch shuffles. Batches depend on seed and epoch alone.

    Args:
        dataset: the sets, concatenated.
        batch_samplers: one of each set.
        weights: one of each set, above 0.

    Raises:
        ConfigError: another number of weights, one that is not above 0, or a set that makes no batch.

    Example::

        args = SentenceTransformerTrainingArguments(
            "out", multi_dataset_batch_sampler=partial(WeightedBatches, weights=[2.0, 1.0])
        )
    """

    def __init__(self, dataset: Any, batch_samplers: Any, *args: Any, weights: Sequence[float], **kwargs: Any) -> None:
        super().__init__(dataset, batch_samplers, *args, **kwargs)
        if len(weights) != len(self.batch_samplers) or not all(weight > 0 for weight in weights):
            raise ConfigError(f"weights {list(weights)}: wanted {len(self.batch_samplers)} above 0, one of each set.")
        if empty := [number for number, sampler in enumerate(self.batch_samplers, 1) if not len(sampler)]:
            raise ConfigError(
                f"set {empty[0]} of {len(weights)} makes no batch. Lower its batch size, or leave it out."
            )
        self.weights = weights

    def __len__(self) -> int:
        return sum(len(sampler) for sampler in self.batch_samplers)

    def __iter__(self) -> Iterator[list[int]]:
        counts = shares(len(self), self.weights)
        order = np.repeat(np.arange(len(counts)), counts)
        np.random.default_rng((self.seed or 0, self.epoch)).shuffle(order)
        starts = [0, *self.dataset.cumulative_sizes]
        batches = [self._endless(sampler) for sampler in self.batch_samplers]
        for which in order.tolist():
            yield [row + starts[which] for row in next(batches[which])]

    def _endless(self, sampler: Any) -> Iterator[list[int]]:
        """The batches of one set, over and over, each time in another order."""
        again = 0
        while True:
            sampler.set_epoch(self.epoch + again * PASS)
            # Planned before anything else asks this sampler for another epoch's length.
            yield from list(sampler)
            again += 1
