"""Which rows meet: nothing lost, nothing twice, the same again for one seed and epoch."""

from collections.abc import Callable, Iterable
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from datasets import Dataset
from hypothesis import given
from hypothesis import strategies as st
from sentence_transformers import (
    SentenceTransformer,
    SentenceTransformerTrainer,
    SentenceTransformerTrainingArguments,
)
from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss

from tutelage.errors import DataError
from tutelage.records.texts import canonical
from tutelage.sampling import ConceptBatches, NoDuplicateBatches, first_fit
from tutelage.sampling import batches as batches_module

Table = tuple[np.ndarray, np.ndarray, int]


@st.composite
def tables(draw: Callable[..., Any]) -> Table:
    """Ids (from all equal to nearly all distinct), an order over some of the rows, a batch size."""
    rows, columns = draw(st.integers(0, 60)), draw(st.integers(1, 3))
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    ids = random.integers(0, draw(st.sampled_from([1, 5, 40, 10_000])), size=(rows, columns))
    order = random.permutation(rows)[: draw(st.integers(0, rows))]
    return ids, order, draw(st.integers(1, 9))


def rows_of(batches: Iterable[list[int]]) -> list[int]:
    return list(chain.from_iterable(batches))


def shares_an_id(ids: np.ndarray, batch: list[int]) -> bool:
    rows = [set(ids[row].tolist()) for row in batch]
    return len(set().union(*rows)) < sum(map(len, rows))


def slow_first_fit(ids: np.ndarray, order: np.ndarray, batch_size: int) -> list[list[int]]:
    """The definition: look at every batch from the first on."""
    batches: list[list[int]] = []
    for row in order.tolist():
        open_to_it = [b for b in batches if len(b) < batch_size and not np.isin(ids[b], ids[row]).any()]
        if not open_to_it:
            batches.append([])
        (open_to_it or batches[-1:])[0].append(row)
    return batches


@given(tables())
def test_first_fit_places_each_row_once(table: Table) -> None:
    ids, order, batch_size = table
    batches = first_fit(ids, order, batch_size)
    assert sorted(rows_of(batches)) == sorted(order.tolist())


@given(tables())
def test_first_fit_never_exceeds_the_batch_size_nor_leaves_a_batch_empty(table: Table) -> None:
    ids, order, batch_size = table
    assert all(1 <= len(batch) <= batch_size for batch in first_fit(ids, order, batch_size))


@given(tables())
def test_first_fit_puts_no_id_into_two_rows_of_a_batch(table: Table) -> None:
    ids, order, batch_size = table
    assert not any(shares_an_id(ids, batch) for batch in first_fit(ids, order, batch_size))


@given(tables())
def test_first_fit_equals_a_search_through_all_batches(table: Table) -> None:
    assert first_fit(*table) == slow_first_fit(*table)


def test_full_batches_hold_nearly_all_rows_where_texts_repeat_in_several_columns() -> None:
    """As in mined triplets: a few thousand texts, each in many rows, three to a row."""
    random = np.random.default_rng(0)
    concept = random.integers(0, 300, 6000)
    texts = np.stack([8 * concept + random.integers(0, 4, 6000), 8 * concept + random.integers(4, 8, 6000)], axis=1)
    ids = np.column_stack([texts, random.integers(0, 2400, 6000)])
    full = [batch for batch in first_fit(ids, random.permutation(6000), 96) if len(batch) == 96]
    assert 96 * len(full) > 0.95 * 6000


def test_a_row_that_many_batches_in_turn_refuse_begins_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Five batches hold ids 0 and 2, three hold 1 and 2, one holds 2: the last row, of 0 and 1, looks at the three."""
    rows = [*([0, 100 + i] for i in range(5)), *([2, 200 + i] for i in range(5)), *[[1, 2]] * 3, [2, 300], [0, 1]]
    last = len(rows) - 1
    assert first_fit(np.array(rows), np.arange(len(rows)), batch_size=4)[8] == [last - 1, last]
    monkeypatch.setattr(batches_module, "LOOKED_AT", 3)
    assert first_fit(np.array(rows), np.arange(len(rows)), batch_size=4)[8:] == [[last - 1], [last]]


@given(rows=st.integers(0, 50), batch_size=st.integers(1, 9))
def test_first_fit_fills_batches_in_order_where_nothing_repeats(rows: int, batch_size: int) -> None:
    ids, order = np.arange(2 * rows).reshape(rows, 2), np.random.default_rng(rows).permutation(rows)
    batches = first_fit(ids, order, batch_size)
    assert rows_of(batches) == order.tolist()
    assert all(len(batch) == batch_size for batch in batches[:-1])


def test_first_fit_separates_rows_that_share_an_id_across_columns() -> None:
    assert first_fit(np.array([[1, 2], [3, 1], [2, 4]]), np.arange(3), batch_size=3) == [[0], [1, 2]]


def test_a_row_whose_own_columns_hold_one_id_is_placed_like_any_other() -> None:
    assert first_fit(np.array([[1, 1], [2, 3]]), np.arange(2), batch_size=2) == [[0, 1]]


WORDS = [f"title {i}" for i in range(23)]


def repetitive(rows: int = 97) -> Dataset:
    """Texts that stand in many rows, in both columns and in two spellings."""
    random = np.random.default_rng(1)
    anchor, positive = (random.integers(0, len(WORDS), rows) for _ in range(2))
    positive = np.where(positive == anchor, (positive + 1) % len(WORDS), positive)
    return Dataset.from_dict(
        {
            "anchor": [WORDS[i] for i in anchor],
            "positive": [WORDS[i] + " " * (i % 2) for i in positive],
            "concept": [f"c{i % 11}" for i in anchor],
            "group": ["one group"] * rows,
        }
    )


def texts(dataset: Dataset, batch: list[int]) -> list[str]:
    return [canonical(dataset[row][column]) for row in batch for column in ("anchor", "positive")]


@pytest.mark.parametrize("batch_size", [1, 2, 5, 8, 200])
def test_each_example_once_an_epoch_and_no_text_twice_in_a_batch(batch_size: int) -> None:
    data = repetitive()
    sampler = NoDuplicateBatches(data, batch_size=batch_size, drop_last=False)
    for epoch in range(3):
        sampler.set_epoch(epoch)
        batches = list(sampler)
        assert sorted(rows_of(batches)) == list(range(len(data)))
        assert len(batches) == len(sampler)
        for batch in batches:
            assert len(batch) <= batch_size
            assert len(set(texts(data, batch))) == 2 * len(batch)


@pytest.mark.parametrize("sampler", [NoDuplicateBatches, ConceptBatches])
def test_batches_depend_on_seed_and_epoch_alone(sampler: type[NoDuplicateBatches]) -> None:
    def batches(seed: int, epoch: int) -> list[list[int]]:
        fresh = sampler(repetitive(), batch_size=4, drop_last=False, seed=seed)
        fresh.set_epoch(epoch)
        return list(fresh)

    assert batches(0, 0) == batches(0, 0)
    assert batches(0, 0) != batches(0, 1)
    assert batches(0, 0) != batches(1, 0)


def test_an_epoch_met_again_brings_its_batches_again() -> None:
    sampler = NoDuplicateBatches(repetitive(), batch_size=4, drop_last=False)
    first = list(sampler)
    sampler.set_epoch(1)
    assert list(sampler) != first
    sampler.set_epoch(0)
    assert list(sampler) == first


def test_drop_last_leaves_out_every_batch_that_is_not_full() -> None:
    whole = NoDuplicateBatches(repetitive(), batch_size=5, drop_last=False)
    full = NoDuplicateBatches(repetitive(), batch_size=5, drop_last=True)
    assert list(full) == [batch for batch in whole if len(batch) == 5]
    assert 0 < len(full) < len(whole)


@pytest.mark.parametrize("sampler", [NoDuplicateBatches, ConceptBatches])
def test_every_epoch_has_as_many_full_batches_as_the_first(sampler: type[NoDuplicateBatches]) -> None:
    """transformers counts the batches of the first epoch; a resumed run finds its place by that count."""
    data = repetitive()
    size = 6 if sampler is NoDuplicateBatches else 3
    drawn = sampler(data, batch_size=size, drop_last=True)
    loose = sampler(data, batch_size=size, drop_last=False)
    lengths, luck = [], set()
    for epoch in range(30):
        drawn.set_epoch(epoch)
        loose.set_epoch(epoch)
        full = [batch for batch in loose if len(batch) == size]
        luck.add(len(full))
        lengths.append(len(drawn))
        batches = list(drawn)
        assert batches[: len(full)] == full[: len(batches)]
        assert all(len(set(texts(data, batch))) == 2 * size for batch in batches)
    assert len(luck) > 1, "every order gave as many: nothing was tested"
    assert len(set(lengths)) == 1


def test_columns_of_identity_and_label_are_no_texts() -> None:
    data = Dataset.from_dict(
        {
            "anchor": ["a", "b", "c"],
            "positive": ["x", "y", "z"],
            "concept": ["c", "c", "c"],
            "group": ["g", "g", "g"],
            "language": ["en", "en", "en"],
            "label": [1, 1, 1],
        }
    )
    (batch,) = NoDuplicateBatches(data, batch_size=3, drop_last=False, valid_label_columns=["label"])
    assert sorted(batch) == [0, 1, 2]


@pytest.mark.parametrize("batch_size", [1, 3, 8])
def test_every_concept_once_an_epoch_and_no_concept_or_text_twice_in_a_batch(batch_size: int) -> None:
    data = repetitive()
    sampler = ConceptBatches(data, batch_size=batch_size, drop_last=False)
    for epoch in range(3):
        sampler.set_epoch(epoch)
        batches = list(sampler)
        assert sorted(data[row]["concept"] for row in rows_of(batches)) == sorted(set(data["concept"]))
        for batch in batches:
            assert len(set(texts(data, batch))) == 2 * len(batch)


def test_every_pair_of_a_concept_gets_its_turn() -> None:
    data = Dataset.from_dict({"anchor": list("abcd"), "positive": list("wxyz"), "concept": ["one"] * 3 + ["two"]})
    sampler = ConceptBatches(data, batch_size=2, drop_last=False)
    drawn = set()
    for epoch in range(40):
        sampler.set_epoch(epoch)
        drawn |= set(rows_of(sampler))
    assert drawn == {0, 1, 2, 3}


def test_a_concept_named_like_a_text_does_not_collide_with_it() -> None:
    data = Dataset.from_dict({"anchor": ["nurse", "welder"], "positive": ["RN", "fitter"], "concept": ["c1", "nurse"]})
    assert len(list(ConceptBatches(data, batch_size=2, drop_last=False))) == 1


@pytest.mark.parametrize("unnamed", ["", None])
def test_a_row_without_a_concept_is_one_of_its_own(unnamed: str | None) -> None:
    data = Dataset.from_dict(
        {
            "anchor": [f"a{i}" for i in range(8)],
            "positive": [f"p{i}" for i in range(8)],
            "concept": ["c"] * 3 + [unnamed] * 5,
        }
    )
    drawn = rows_of(ConceptBatches(data, 2, drop_last=False))
    assert len([row for row in drawn if row < 3]) == 1
    assert sorted(row for row in drawn if row >= 3) == [3, 4, 5, 6, 7]


def test_concepts_may_be_numbers() -> None:
    data = Dataset.from_dict({"anchor": ["a", "b", "c"], "positive": ["x", "y", "z"], "concept": [1, 1, 2]})
    assert len(rows_of(ConceptBatches(data, 1, drop_last=False))) == 2


def test_concept_batches_without_concepts_name_the_columns_and_the_way_out() -> None:
    data = Dataset.from_dict({"anchor": ["a"], "positive": ["b"]})
    with pytest.raises(DataError) as caught:
        ConceptBatches(data, batch_size=2, drop_last=False)
    assert str(caught.value) == (
        "concept sampler: no column 'concept'. Columns: anchor, positive. "
        "Use sampler: no_duplicates, or data with concepts."
    )


@pytest.mark.parametrize("sampler", [NoDuplicateBatches, ConceptBatches])
def test_the_trainer_takes_the_sampler_as_batch_sampler(
    sampler: type[NoDuplicateBatches], tiny: SentenceTransformer, tmp_path: Path
) -> None:
    data = repetitive()
    trainer = SentenceTransformerTrainer(
        model=tiny,
        args=SentenceTransformerTrainingArguments(
            str(tmp_path / "out"),
            batch_sampler=sampler,
            per_device_train_batch_size=4,
            seed=7,
            report_to="none",
            use_cpu=True,
            dataloader_pin_memory=False,
        ),
        train_dataset=data,
        loss=MultipleNegativesRankingLoss(tiny),
    )
    want = sampler(data, batch_size=4, drop_last=False, seed=7)
    sizes = [len(batch["anchor_input_ids"]) for batch in trainer.get_train_dataloader()]
    assert sizes == [len(batch) for batch in want]
