"""Batches in which no text, and if wished no concept, stands twice.

Both samplers follow sentence-transformers' sampler interface: give the class as ``batch_sampler`` to its training
arguments. Batches depend on seed and epoch alone, so a resumed run meets the batches it would have met. A trainer finds
its place by counting batches, as many in every epoch as in the first: with ``drop_last`` it gets as many.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
from jaxtyping import Int64
from sentence_transformers.base.sampler import DefaultBatchSampler

from tutelage.errors import DataError
from tutelage.records.pairs import CONCEPT, IDENTITY_COLUMNS
from tutelage.records.texts import text_ids

LOOKED_AT = 256  # batches, for one row
# Concept names and texts share one id space in `first_fit`; the mark keeps a concept from colliding with its label.
CONCEPT_MARK = "\x00concept\x00"


def first_fit(
    ids: Int64[np.ndarray, "rows columns"], order: Int64[np.ndarray, " picked"], batch_size: int
) -> list[list[int]]:
    """Each row of ``order`` in the first batch that has room and holds none of the row's ids.

    Nothing is lost and nothing repeated, and early batches fill up: the rows of a text that stands in many wait in the
    last ones. Where `LOOKED_AT` batches in turn do not take a row, it begins one, so that time grows with the rows.

    >>> first_fit(np.array([[1, 2], [1, 3], [4, 5]]), np.arange(3), batch_size=2)
    [[0, 2], [1]]
    """
    batches: list[list[int]] = []
    held: list[set[int]] = []  # the ids of each batch that has room
    room: list[int] = []  # batch -> a batch at or after it that may have room, found by path halving
    free: dict[int, int] = {}  # id -> no batch before this one has room and lacks the id

    def with_room(at: int) -> int:
        while at < len(room) and room[at] != at:
            room[at] = room[room[at]] if room[at] < len(room) else room[at]
            at = room[at]
        return at

    for row in order.tolist():
        keys = ids[row].tolist()
        at = with_room(max(free.get(key, 0) for key in keys))
        looked_at = 0
        while at < len(batches) and not held[at].isdisjoint(keys):
            looked_at += 1
            at = with_room(at + 1) if looked_at < LOOKED_AT else len(batches)
        if at == len(batches):
            batches.append([])
            held.append(set())
            room.append(at)
        batches[at].append(row)
        held[at].update(keys)
        if len(batches[at]) == batch_size:
            room[at], held[at] = at + 1, set()
        for key in keys:
            lacks = with_room(free.get(key, 0))
            while lacks < len(batches) and key in held[lacks]:
                lacks = with_room(lacks + 1)
            free[key] = lacks
    return batches


class NoDuplicateBatches(DefaultBatchSampler):
    """Every example once an epoch; no text twice in a batch, in whichever column it stands.

    Columns ``concept``, ``group`` and ``language`` are no text; name others that are none in ``valid_label_columns``.
    Over several processes each draws whole batches of its own from one plan, so texts may repeat across them: the
    guided loss, which gathers all, drops these by their ids.

    Where a text stands in more rows than there are full batches, the last batches are smaller. ``drop_last`` leaves
    out every batch that is not full. An epoch that then has more batches than the first, by the luck of its order,
    loses the last of them, and one that has fewer ends with batches of the first epoch.

    Example::

        args = SentenceTransformerTrainingArguments("out", batch_sampler=NoDuplicateBatches)
    """

    def __init__(
        self,
        dataset: Any,
        batch_size: int,
        drop_last: bool,
        valid_label_columns: list[str] | None = None,
        generator: Any = None,
        seed: int = 0,
    ) -> None:
        super().__init__(
            dataset,
            batch_size=batch_size,
            drop_last=drop_last,
            valid_label_columns=valid_label_columns,
            generator=generator,
            seed=seed,
        )
        unread = {*IDENTITY_COLUMNS, *(valid_label_columns or [])}
        columns = [text_ids(dataset[name]) for name in dataset.column_names if name not in unread]
        self._ids = np.stack(columns, axis=1)
        self._planned: dict[int, list[list[int]]] = {}  # epoch -> batches, of the first one and the last one asked for

    def _order(self, random: np.random.Generator) -> Int64[np.ndarray, " picked"]:
        return random.permutation(len(self._ids))

    def _batches(self) -> list[list[int]]:
        if not self.drop_last:
            return self._plan(self.epoch)
        first = self._plan(0)
        return (self._plan(self.epoch) + first)[: len(first)]

    def _plan(self, epoch: int) -> list[list[int]]:
        if epoch not in self._planned:
            random = np.random.default_rng((self.seed or 0, epoch))
            batches = first_fit(self._ids, self._order(random), self.batch_size)
            kept = [batch for batch in batches if len(batch) == self.batch_size or not self.drop_last]
            self._planned = {each: plan for each, plan in self._planned.items() if each == 0} | {epoch: kept}
        return self._planned[epoch]

    def __iter__(self) -> Iterator[list[int]]:
        yield from self._batches()

    def __len__(self) -> int:
        return len(self._batches())


class ConceptBatches(NoDuplicateBatches):
    """Every concept once an epoch with one of its pairs, drawn anew each epoch: no two rows of a batch share a concept.

    The data needs a ``concept`` column (`tutelage.records.pairs.concept_pairs` makes one); a row where it is empty is a
    concept of its own. Large concepts thus weigh
    no more than small ones, and a same-concept "negative", the commonest false negative of a taxonomy, cannot arise.

    Raises:
        DataError: no ``concept`` column.
    """

    def __init__(self, dataset: Any, *args: Any, **kwargs: Any) -> None:
        super().__init__(dataset, *args, **kwargs)
        if CONCEPT not in dataset.column_names:
            raise DataError(
                f"concept sampler: no column '{CONCEPT}'. Columns: {', '.join(dataset.column_names)}. "
                "Use sampler: no_duplicates, or data with concepts."
            )
        # A row without a concept is one of its own.
        names = (f"\x00{row}" if name in (None, "") else str(name) for row, name in enumerate(dataset[CONCEPT]))
        concepts = text_ids(CONCEPT_MARK + name for name in names)
        self._ids = np.column_stack([self._ids, concepts])
        by_concept = np.argsort(concepts, kind="stable")
        self._rows = np.split(by_concept, np.flatnonzero(np.diff(concepts[by_concept])) + 1)

    def _order(self, random: np.random.Generator) -> Int64[np.ndarray, " picked"]:
        picked = [rows[random.integers(len(rows))] for rows in self._rows]
        return random.permutation(np.array(picked, dtype=np.int64))
