"""The same guide has the same fingerprint wherever it lies; whatever changes its vectors changes the fingerprint."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import tiny_model
from sentence_transformers import SentenceTransformer

from tutelage.encode.encoder import encode
from tutelage.guide import fingerprint as fp
from tutelage.records.texts import text_ids


def nudge_a_weight(model: SentenceTransformer) -> None:
    with torch.no_grad():
        next(model.parameters()).view(-1)[-1] += 1e-3


CHANGES: dict[str, Callable[[SentenceTransformer], object]] = {
    "weights": nudge_a_weight,
    "max_length": lambda model: setattr(model, "max_seq_length", 7),
    "modules": lambda model: setattr(model[1], "pooling_mode", "cls"),
    "tokenizer": lambda model: model.tokenizer.add_tokens(["nurse"]),
}


@pytest.mark.parametrize(("field", "change"), CHANGES.items(), ids=CHANGES)
def test_what_changes_the_vectors_changes_its_own_field(
    field: str, change: Callable[[SentenceTransformer], object], tiny: SentenceTransformer
) -> None:
    before = fp.of_model(tiny)
    change(tiny)
    assert fp.differences(before, fp.of_model(tiny)) == [field]


def test_the_prompt_counts(tiny: SentenceTransformer) -> None:
    assert fp.differences(fp.of_model(tiny), fp.of_model(tiny, "query: ")) == ["prompt"]
    assert fp.of_model(tiny, "") == fp.of_model(tiny, None)


def test_a_lower_precision_of_the_weights_counts(tiny: SentenceTransformer) -> None:
    before = fp.of_model(tiny)
    assert fp.differences(before, fp.of_model(tiny.bfloat16())) == ["weights"]


def test_the_folder_does_not_count(tiny: SentenceTransformer, tmp_path: Path) -> None:
    assert fp.of_model(tiny_model(tmp_path / "elsewhere")) == fp.of_model(tiny)


def test_use_does_not_count(tiny: SentenceTransformer) -> None:
    before = fp.of_model(tiny)
    encode(tiny, ["nurse", "welder of pipes"])
    tiny.eval()
    assert fp.differences(before, fp.of_model(tiny)) == []


def test_texts_count_as_a_set() -> None:
    once = fp.of_texts(text_ids(["nurse", "welder"]))
    assert once == fp.of_texts(text_ids(["welder", "nurse", " nurse "]))
    assert once != fp.of_texts(text_ids(["nurse", "fitter"]))
    assert fp.of_texts(np.array([], dtype=np.int64)) != once


def test_differences_name_changed_added_and_missing_fields() -> None:
    held = {"weights": "1", "prompt": "", "old": "x"}
    wanted = {"prompt": "query: ", "weights": "1", "new": "y"}
    assert fp.differences(held, wanted) == ["prompt", "new", "old"]
    assert fp.differences(held, held) == []


def test_the_short_form_stands_for_all_fields_in_any_order() -> None:
    assert fp.short({"a": "1", "b": "2"}) == fp.short({"b": "2", "a": "1"})
    assert fp.short({"a": "1", "b": "2"}) != fp.short({"a": "1", "b": "3"})
    assert len(fp.short({})) == 12
    assert int(fp.short({}), 16) >= 0
