"""Kept graphs and repeated passes: the same vectors and gradients, dropout included, at any memory budget."""

from typing import Any

import pytest
import torch
from sentence_transformers import SentenceTransformer

from tutelage.encode import graphs
from tutelage.encode.encoder import embed_columns
from tutelage.encode.graphs import Graphs, free_memory

TEXTS = [["nurse", "a very long title of a very long job", "", "welder"], ["RN", "cook", "no title", "fitter"]]
BUDGETS_GIB = [0.0, 2e-5, 1e-4, 1.0, None]


class Counted(torch.nn.Module):
    """A model that counts the rows it embeds."""

    def __init__(self, model: SentenceTransformer) -> None:
        super().__init__()
        self.model, self.rows = model, 0

    def forward(self, features: Any) -> Any:
        self.rows += len(features["input_ids"])
        return self.model(features)


def loss_of(model: Any, tiny: SentenceTransformer, budget: float | None, weights: int = 0) -> torch.Tensor:
    """A scalar in which every number has its own weight."""
    columns = [tiny.preprocess(texts) for texts in TEXTS]
    vectors = torch.cat(embed_columns(model, columns, token_budget=24, memory_budget=budget))
    random = torch.Generator().manual_seed(weights)
    return (vectors * torch.randn(vectors.shape, generator=random).to(vectors.device)).sum()


def gradients(tiny: SentenceTransformer) -> list[torch.Tensor]:
    found = [parameter.grad.clone() for parameter in tiny.parameters() if parameter.grad is not None]
    assert sum(gradient.abs().sum() for gradient in found) > 0, "no gradient: nothing would be proved"
    tiny.zero_grad()
    return found


def of_budget(tiny: SentenceTransformer, budget: float | None, scale: float = 1.0) -> tuple[float, list[torch.Tensor]]:
    torch.manual_seed(0)
    loss = loss_of(tiny, tiny, budget)
    (loss * scale).backward()
    return loss.item(), gradients(tiny)


@pytest.mark.parametrize("budget", BUDGETS_GIB)
def test_the_budget_changes_neither_value_nor_gradient_under_dropout(
    tiny: SentenceTransformer, budget: float | None
) -> None:
    """To the bit: the second pass replays the draws of the first."""
    tiny.train()
    want, got = of_budget(tiny, 1.0), of_budget(tiny, budget)
    assert got[0] == want[0]
    torch.testing.assert_close(got[1], want[1], rtol=0, atol=1e-7)
    torch.manual_seed(1)
    assert loss_of(tiny, tiny, budget).item() != want[0], "no dropout: nothing would be proved"


@pytest.mark.gpu
@pytest.mark.parametrize("budget", BUDGETS_GIB)
def test_the_draws_of_a_gpu_are_replayed_too(tiny: SentenceTransformer, budget: float | None) -> None:
    tiny.to("cuda").train()
    want, got = of_budget(tiny, 1.0), of_budget(tiny, budget)
    assert got[0] == pytest.approx(want[0], rel=1e-6)
    torch.testing.assert_close(got[1], want[1], rtol=1e-4, atol=1e-6)


def test_the_generator_that_is_put_back_is_the_models_own(
    tiny: SentenceTransformer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Torch puts back the generators of those devices on which an argument of the repeated pass lies."""
    given: list[torch.Tensor] = []
    whole = graphs.checkpoint
    monkeypatch.setattr(graphs, "checkpoint", lambda run, *args, **how: given.extend(args) or whole(run, *args, **how))
    loss_of(tiny, tiny, 0.0).backward()
    assert {each.device for each in given} == {tiny.device}


def test_less_budget_means_more_passes_and_none_means_two_of_each(tiny: SentenceTransformer) -> None:
    rows = []
    for budget in BUDGETS_GIB:
        model = Counted(tiny)
        loss_of(model, tiny, budget).backward()
        rows.append(model.rows)
    assert rows[0] == 16
    assert rows[0] > rows[1] > rows[2] > rows[3]
    assert rows[3:] == [8, 8]


@pytest.mark.parametrize("budget", [0.0, 5e-5])
def test_two_passes_before_one_backward_are_independent(tiny: SentenceTransformer, budget: float) -> None:
    tiny.eval()
    wanted = []
    for weights in (1, 2):
        loss_of(tiny, tiny, 1.0, weights).backward()
        wanted.append(gradients(tiny))
    one, two = loss_of(tiny, tiny, budget, 1), loss_of(tiny, tiny, budget, 2)
    (one + 3 * two).backward()
    want = [a + 3 * b for a, b in zip(*wanted, strict=True)]
    torch.testing.assert_close(gradients(tiny), want, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("budget", [0.0, 5e-5])
def test_accumulated_steps_add_up(tiny: SentenceTransformer, budget: float) -> None:
    tiny.eval()
    loss_of(tiny, tiny, 1.0).backward()
    want = gradients(tiny)
    for _ in range(4):
        (loss_of(tiny, tiny, budget) / 4).backward()
    torch.testing.assert_close(gradients(tiny), want, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("budget", [0.0, 5e-5])
def test_a_loss_scaler_sees_the_gradients_scaled(tiny: SentenceTransformer, budget: float) -> None:
    """As fp16 training does: scale, backward, unscale."""
    tiny.train()
    want = of_budget(tiny, 1.0)[1]
    scaled = of_budget(tiny, budget, scale=2.0**16)[1]
    torch.testing.assert_close([gradient / 2.0**16 for gradient in scaled], want, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("budget", [0.0, 5e-5])
def test_autocast_is_replayed(tiny: SentenceTransformer, budget: float) -> None:
    tiny.train()
    found = []
    for each in (1.0, budget):
        torch.manual_seed(0)
        with torch.autocast("cpu", torch.bfloat16):
            loss = loss_of(tiny, tiny, each)
        loss.backward()
        found.append((loss.item(), gradients(tiny)))
    assert found[0][0] == found[1][0]
    torch.testing.assert_close(found[1][1], found[0][1], rtol=1e-3, atol=1e-3)


def test_nothing_is_kept_where_no_gradient_is_asked_for(tiny: SentenceTransformer) -> None:
    graphs = Graphs(tiny, budget_bytes=10)
    with torch.no_grad():
        assert graphs.run(lambda: torch.ones(2), tokens=10**9).tolist() == [1, 1]
    assert graphs.left == 10


def test_graphs_are_weighed_without_the_weights(tiny: SentenceTransformer) -> None:
    graphs = Graphs(tiny, budget_bytes=10**9)
    weight = next(tiny.parameters())
    graphs.run(lambda: (weight * weight).sum(1), tokens=4)
    assert graphs.left == 10**9
    graphs.run(lambda: (weight * 2).exp().sum(1), tokens=4)
    assert graphs.left == 10**9 - weight.numel() * 4


def test_the_default_budget_is_half_of_what_is_free(tiny: SentenceTransformer) -> None:
    free = free_memory(torch.device("cpu"))
    assert Graphs(tiny).left == pytest.approx(free / 2, rel=0.2)
