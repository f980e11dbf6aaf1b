"""Batches of several sets by weights: shares, fresh batches when a set is read again, the same for one seed."""

from collections import Counter
from functools import partial
from itertools import chain

import pytest
from datasets import Dataset, DatasetDict
from hypothesis import given
from hypothesis import strategies as st
from sentence_transformers import SentenceTransformerTrainer, SentenceTransformerTrainingArguments
from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss
from torch.utils.data import ConcatDataset

from tutelage.errors import ConfigError
from tutelage.sampling import NoDuplicateBatches, WeightedBatches
from tutelage.sampling.mixture import shares

SIZES = (40, 12)


def table(rows: int, mark: str) -> Dataset:
    return Dataset.from_dict({side: [f"{mark} {side} {i}" for i in range(rows)] for side in ("anchor", "positive")})


def mixture(weights, seed: int = 0, batch_size: int = 4) -> WeightedBatches:
    sets = [table(rows, f"set {i}") for i, rows in enumerate(SIZES)]
    samplers = [NoDuplicateBatches(each, batch_size, drop_last=True, seed=seed) for each in sets]
    return WeightedBatches(ConcatDataset(sets), samplers, seed=seed, weights=weights)


def drawn(sampler: WeightedBatches, epoch: int = 0) -> list[list[int]]:
    sampler.set_epoch(epoch)
    return list(sampler)


@pytest.mark.parametrize("weights", [(1.0,), (1.0, 1.0, 1.0), (1.0, 0.0), (1.0, -1.0), (1.0, float("nan"))])
def test_a_weight_for_each_set_and_each_above_nothing(weights) -> None:
    with pytest.raises(ConfigError, match=r"wanted 2 above 0, one of each set\."):
        mixture(weights)


def test_a_set_that_makes_no_batch_is_refused_where_it_would_be_waited_for_for_ever() -> None:
    with pytest.raises(ConfigError, match=r"set 2 of 2 makes no batch\. Lower its batch size, or leave it out\."):
        mixture((1.0, 1.0), batch_size=13)


@given(st.integers(0, 500), st.lists(st.floats(0.01, 100), min_size=1, max_size=6))
def test_shares_sum_up_and_are_off_by_less_than_one_batch(total: int, weights: list[float]) -> None:
    found = shares(total, weights)
    assert sum(found) == total
    for count, weight in zip(found, weights, strict=True):
        assert abs(count - total * weight / sum(weights)) < 1


@pytest.mark.parametrize(("weights", "counts"), [((1.0, 1.0), (7, 6)), ((12.0, 1.0), (12, 1)), ((1.0, 3.0), (3, 10))])
def test_each_set_gets_its_share_of_an_epochs_batches(weights, counts) -> None:
    batches = drawn(mixture(weights))
    found = Counter(row < SIZES[0] for batch in batches for row in batch[:1])
    assert (found[True], found[False]) == counts
    assert all(len({row < SIZES[0] for row in batch}) == 1 for batch in batches), "a batch of two sets"


def test_a_set_read_again_is_shuffled_anew_and_is_whole_each_time() -> None:
    second = [sorted(batch) for batch in drawn(mixture((1.0, 3.0))) if batch[0] >= SIZES[0]]
    first_pass, again = second[:3], second[3:6]
    assert sorted(chain(*first_pass)) == sorted(chain(*again)) == list(range(40, 52))
    assert sorted(first_pass) != sorted(again)


def test_batches_depend_on_seed_and_epoch_alone() -> None:
    weights = (2.0, 1.0)
    assert drawn(mixture(weights, seed=1), 3) == drawn(mixture(weights, seed=1), 3)
    assert drawn(mixture(weights, seed=1), 3) != drawn(mixture(weights, seed=1), 4)
    assert drawn(mixture(weights, seed=1), 3) != drawn(mixture(weights, seed=2), 3)
    twice = mixture(weights)
    assert drawn(twice, 0) == drawn(twice, 0)


def test_a_stock_trainer_takes_it(tiny, tmp_path) -> None:
    args = SentenceTransformerTrainingArguments(
        str(tmp_path / "out"), per_device_train_batch_size=4, batch_sampler=NoDuplicateBatches, use_cpu=True,
        multi_dataset_batch_sampler=partial(WeightedBatches, weights=[1.0, 3.0]), report_to="none", disable_tqdm=True,
    )  # fmt: skip
    sets = DatasetDict(large=table(40, "large"), small=table(12, "small"))
    trainer = SentenceTransformerTrainer(
        model=tiny, args=args, train_dataset=sets, loss=MultipleNegativesRankingLoss(tiny)
    )
    assert len(trainer.get_train_dataloader()) == 13
    assert trainer.train().global_step == 39
