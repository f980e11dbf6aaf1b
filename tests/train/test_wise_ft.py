"""WiSE-FT: a run ends part of the way back to its start, parameter by parameter."""

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from tutelage.errors import ConfigError
from tutelage.train.recipe import load_recipe
from tutelage.train.run import run_recipe
from tutelage.train.wise_ft import interpolate, weights_of


class Tied(nn.Module):
    """One weight under two names, and a buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(3, 3), nn.Linear(3, 3, bias=False)
        self.second.weight = self.first.weight
        self.register_buffer("count", torch.tensor(0.0))


@pytest.mark.parametrize("alpha", [0.0, 0.25, 1.0])
def test_every_parameter_is_that_share_of_the_way_from_its_start(alpha: float) -> None:
    model = Tied()
    start = weights_of(model)
    with torch.no_grad():
        for value in model.parameters():
            value += torch.randn_like(value)
        model.count += 5
    end = weights_of(model)
    interpolate(model, start, alpha)
    assert start.keys() == {"first.weight", "first.bias"}
    for name, value in model.named_parameters():
        torch.testing.assert_close(value.detach(), start[name] + alpha * (end[name] - start[name]))
    assert model.second.weight is model.first.weight
    assert model.count == 5


def test_a_run_ends_there_and_a_resumed_one_too(tiny, tmp_path) -> None:
    """The start is the recipe's model; a run that goes on from a checkpoint knows it as well."""
    tiny.save_pretrained(str(tmp_path / "start"))
    fixed = [f"model.name={tmp_path / 'start'}", f"guide.name={tmp_path / 'start'}", "model.max_length=16",
             "sampling.batch_size=16", "training.precision=fp32", "training.max_steps=4", "training.save_every=2",
             "training.learning_rate=1e-2"]  # fmt: skip

    def recipe(name: str, *more: str):
        return load_recipe("demo_sample", [*fixed, f"output={tmp_path / name}", *more])

    def weights(folder: str) -> dict[str, torch.Tensor]:
        return load_file(next((tmp_path / folder).rglob("model.safetensors")))

    run_recipe(recipe("whole"))
    half = recipe("half", "training.wise_ft_alpha=0.5")
    report = run_recipe(half)
    start, end, found = weights("start"), weights("whole/model"), weights("half/model")
    assert found.keys() == start.keys()
    assert (end["embeddings.word_embeddings.weight"] - start["embeddings.word_embeddings.weight"]).abs().max() > 1e-2
    for name, value in found.items():
        torch.testing.assert_close(value, (start[name] + end[name]) / 2)
    assert report["recipe"]["training"]["wise_ft_alpha"] == 0.5
    evaluated = recipe("evaluated", "training.wise_ft_alpha=0.5", "training.evaluate_every=4")
    report = run_recipe(evaluated)
    (last,) = [row for row in report["history"] if row["step"] == 4]
    card = (evaluated.output / "model" / "README.md").read_text(encoding="utf-8")
    log = card.partition("### Training Logs")[2].partition("###")[0]
    assert f"{last['sample-heldout:en map']:.4f}" in log, "the weights of step 4, not those between"
    assert f"{report['after']['sample-heldout:en']['map']:.4f}" not in log

    for gone in ("checkpoints/checkpoint-4/trainer_state.json", "report.json"):
        (half.output / gone).unlink()
    run_recipe(half, resume=True)
    again = weights("half/model")
    assert all(torch.equal(again[name], found[name]) for name in found)


@pytest.mark.parametrize("alpha", [0, -0.1, 1.1])
def test_a_share_of_the_way_is_above_0_and_at_most_1(alpha: float) -> None:
    with pytest.raises(ConfigError, match="wise_ft_alpha"):
        load_recipe("demo_sample", [f"training.wise_ft_alpha={alpha}"])
