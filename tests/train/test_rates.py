"""Rates of their own for some parameters: they reach the optimiser, and a pattern that is in no name is refused."""

import pytest
import torch

from tutelage.encode.models import load_model
from tutelage.errors import ConfigError
from tutelage.train.arguments import refuse_unmatched
from tutelage.train.place import MODEL
from tutelage.train.recipe import load_recipe
from tutelage.train.run import run_recipe


@pytest.fixture
def run(tiny, tmp_path):
    """Train the tiny model for two steps at almost no rate, with one mapping of rates; its parameters before, after."""
    tiny.save_pretrained(str(tmp_path / "start"))
    start = tmp_path / "start"
    fixed = [f"model.name={start}", f"guide.name={start}", f"output={tmp_path / 'run'}", "model.max_length=16",
             "sampling.batch_size=16", "training.precision=fp32", "training.max_steps=2", "training.warmup=0",
             "training.learning_rate=1e-12"]  # fmt: skip

    def go(rates: str) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
        run_recipe(load_recipe("demo_sample", [*fixed, f"training.learning_rate_mapping={rates}"]), overwrite=True)
        models = [load_model(str(folder), device="cpu") for folder in (start, tmp_path / "run" / MODEL)]
        return tuple({name: value.detach().clone() for name, value in model.named_parameters()} for model in models)

    return go


@pytest.mark.parametrize("pattern", ["word_embeddings", r"layer\.0\.attention"])
def test_only_the_named_parameters_have_that_rate(run, pattern: str) -> None:
    before, after = run(f"{{'{pattern}': 1e-2}}")
    moved = {name for name, value in after.items() if (value - before[name]).abs().max() > 1e-4}
    assert moved
    assert all(pattern.replace("\\", "") in name for name in moved)


def test_a_pattern_in_no_name_is_refused_before_anything_is_lost(run, tmp_path) -> None:
    run("{word_embeddings: 1e-2}")
    report = (tmp_path / "run" / "report.json").read_bytes()
    with pytest.raises(ConfigError, match="'word_embedings' is in no parameter's name; these are as"):
        run("{word_embedings: 1e-2}")
    assert (tmp_path / "run" / "report.json").read_bytes() == report


@pytest.mark.parametrize("pattern", ["word_embeddings.weight", "embeddings.*weight", r"^0\.|weight$"])
def test_a_pattern_that_would_miss_the_token_table_is_refused(tiny, pattern: str) -> None:
    """Its weight is called otherwise while only its rows in use are trained."""
    with pytest.raises(ConfigError, match=r"must not ask for '\.weight' of the token table"):
        refuse_unmatched(tiny, {pattern: 1e-3})


def test_a_parameter_is_called_as_in_the_loss(tiny) -> None:
    refuse_unmatched(tiny, {r"^model\.0\.": 1e-3})
    with pytest.raises(ConfigError, match=r"these are as 'model\.0\."):
        refuse_unmatched(tiny, {r"^0\.": 1e-3})


def test_a_pattern_that_is_no_expression_is_refused(tiny) -> None:
    with pytest.raises(ConfigError, match=r"'\(' is no regular expression: missing \)"):
        refuse_unmatched(tiny, {"(": 1e-3})


@pytest.mark.parametrize(
    "rates", ["{word_embeddings: 0}", "{word_embeddings: -1e-3}", "{word_embeddings: fast}", "[1e-3]"]
)
def test_a_rate_is_a_positive_number(rates: str) -> None:
    with pytest.raises(ConfigError, match="learning_rate_mapping"):
        load_recipe("demo_sample", [f"training.learning_rate_mapping={rates}"])
