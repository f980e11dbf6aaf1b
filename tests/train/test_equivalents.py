"""Each line of docs/losses.md, evaluated: both losses, value and every gradient."""

from copy import deepcopy
from pathlib import Path

import pytest
import sentence_transformers.sentence_transformer.losses as stock
import torch
from test_objective import ANCHORS, NEGATIVES, POSITIVES, features_of, store_of, value_and_gradients

from tutelage import GuidedLoss

TABLE = Path(__file__).parents[2] / "docs" / "losses.md"
LINES = [
    [cell.strip().strip("`") for cell in line.strip("|").split(" | ")]
    for line in TABLE.read_text(encoding="utf-8").splitlines()
    if line.startswith("| `")
]


def test_the_table_names_every_loss_that_is_promised():
    left = " ".join(theirs for theirs, _ in LINES)
    for name in ("GISTEmbedLoss", "CachedGISTEmbedLoss", "MultipleNegativesRankingLoss"):
        assert f"`{name}(model" in TABLE.read_text(encoding="utf-8")
    assert "CachedMultipleNegativesRankingLoss(model" in left
    assert "MatryoshkaLoss(model" in left
    assert len(LINES) == 14


@pytest.mark.parametrize(("theirs", "ours"), LINES, ids=[theirs for theirs, _ in LINES])
@pytest.mark.parametrize("columns", [(ANCHORS, POSITIVES), (ANCHORS, POSITIVES, NEGATIVES)], ids=["pairs", "triplets"])
def test_both_losses_of_a_line_are_equal(tiny, tmp_path, theirs, ours, columns):
    tiny.double().eval()
    names = {**vars(stock), "model": tiny, "guide": deepcopy(tiny), "GuidedLoss": GuidedLoss}
    names["store"] = store_of(tiny, tmp_path / "store", *columns)
    loss = eval(ours, names)
    features = features_of(loss, *columns)
    got = value_and_gradients(loss, features, tiny)
    plain = [{key: value for key, value in each.items() if key != "text_id"} for each in features]
    want = value_and_gradients(eval(theirs, names), plain, tiny)
    assert sum(gradient.abs().sum() for gradient in want[1].values()) > 0
    assert got[1].keys() == want[1].keys()
    torch.testing.assert_close(got, want, rtol=1e-6, atol=1e-6)
