"""The guard keeps what had not forgotten, brings it back, and says what it did; a run ends with those weights."""

import json

import pytest
import torch
from sentence_transformers import SentenceTransformer
from transformers import TrainerState

from tutelage.errors import ConfigError
from tutelage.evaluate.general import GeneralEvaluator, evaluate_general
from tutelage.records.scored import ScoredPairs
from tutelage.train.guard import ForgettingGuard, outcome
from tutelage.train.recipe import load_recipe
from tutelage.train.run import run_recipe


@pytest.fixture
def pairs(tiny):
    """Scored pairs that the model as it is orders perfectly."""
    letters = "abcdefghijklmnopqrst"
    left, right = [f"{letter}ab" for letter in letters], [f"x{letter}y" for letter in letters[::-1]]
    cosine = evaluate_general(tiny, ScoredPairs("sts", left, right, list(map(float, range(20))))).values
    return ScoredPairs("sts", left, right, cosine.tolist())


def spoil(model):
    """Other weights: what the model knew is gone."""
    torch.manual_seed(1)
    with torch.no_grad():
        for weight in model.parameters():
            weight.normal_()


def weights(model):
    return {name: weight.clone() for name, weight in model.state_dict().items()}


def at(step, **more):
    return TrainerState(global_step=step, **more)


@pytest.fixture
def guard(tiny, pairs, tmp_path):
    return ForgettingGuard(tiny, [GeneralEvaluator(pairs)], [evaluate_general(tiny, pairs)], tmp_path / "kept")


def evaluated(guard, step, **state):
    """What the trainer does every so many steps."""
    for evaluator in guard.general:
        evaluator(guard.model)
    guard.on_evaluate(None, at(step, **state), None)


def test_the_last_weights_that_had_not_forgotten_come_back(guard, tiny):
    evaluated(guard, 2)
    with torch.no_grad():
        next(tiny.parameters())[0] += 1e-6
    good = weights(tiny)
    evaluated(guard, 4)
    spoil(tiny)
    evaluated(guard, 6)
    assert guard.settle() == {"fell": True, "step": 4}
    torch.testing.assert_close(weights(tiny), good, rtol=0, atol=0)


def test_last_weights_that_forgot_nothing_stay(guard, tiny):
    evaluated(guard, 2)
    with torch.no_grad():
        next(tiny.parameters())[0] += 1e-6
    last = weights(tiny)
    assert guard.settle() == {"fell": False, "step": None}
    torch.testing.assert_close(weights(tiny), last, rtol=0, atol=0)


def test_without_anything_kept_the_last_weights_stay_and_it_is_told(guard, tiny):
    spoil(tiny)
    last = weights(tiny)
    evaluated(guard, 2)
    settled = guard.settle()
    assert settled == {"fell": True, "step": None}
    torch.testing.assert_close(weights(tiny), last, rtol=0, atol=0)
    assert outcome(settled) == (
        "guard: the last weights have forgotten, and so had those of every evaluation; they stay all the same"
    )


def test_one_process_of_several_keeps(guard):
    evaluated(guard, 2, is_world_process_zero=False)
    assert not guard.folder.exists()
    evaluated(guard, 2)
    assert guard.folder.exists()


def test_what_it_did_is_one_line():
    assert outcome({"fell": False, "step": None}) == "guard: no general set fell; the last weights stay"
    assert outcome({"fell": True, "step": 4}) == (
        "guard: the last weights have forgotten; those of step 4 had not and are back"
    )


@pytest.mark.parametrize("resume", [False, True])
def test_only_a_resumed_run_goes_on_with_what_an_earlier_one_kept(guard, tiny, resume):
    evaluated(guard, 2)
    again = ForgettingGuard(tiny, guard.general, guard.before, guard.folder, resume=resume)
    spoil(tiny)
    assert again.settle() == {"fell": True, "step": 2 if resume else None}


@pytest.fixture
def recipe(tiny, pairs, tmp_path):
    tiny.save_pretrained(str(tmp_path / "start"))
    lines = [f"{a}\t{b}\t{score}" for a, b, score in zip(pairs.left, pairs.right, pairs.scores, strict=True)]
    (tmp_path / "sts.tsv").write_text("\n".join(["sentence1\tsentence2\tscore", *lines]) + "\n")
    names = [f"model.name={tmp_path / 'start'}", f"guide.name={tmp_path / 'start'}", f"output={tmp_path / 'run'}"]
    settings = ["model.max_length=16", "sampling.batch_size=32", "training.max_steps=4", "training.precision=fp32"]
    return lambda *more: load_recipe("demo_sample", [*names, *settings, "training.guard=true", *more])


def test_a_run_that_forgets_at_once_keeps_nothing_and_one_that_does_not_needs_nothing(recipe, tmp_path):
    sets = [f"evaluate.general=[{tmp_path / 'sts.tsv'}]", "training.evaluate_every=1"]
    said = []
    gentle = run_recipe(recipe(*sets, "training.learning_rate=1e-9"), say=said.append)
    assert gentle["training"]["guard"] == {"fell": False, "step": None}
    assert outcome(gentle["training"]["guard"]) in said
    step = json.loads((tmp_path / "run" / "checkpoints" / "kept" / "step.json").read_text())
    assert step == {"step": 4}
    rough = run_recipe(recipe(*sets, "training.learning_rate=0.3", "training.warmup=0"), overwrite=True)
    assert rough["training"]["guard"] == {"fell": True, "step": None}
    assert rough["general"]["sts"]["warn"]


def test_a_run_ends_with_the_kept_weights_where_its_last_ones_forgot(recipe, tmp_path, monkeypatch):
    verdicts = iter([True, False, True, True, True])  # four evaluations, and one at the end
    monkeypatch.setattr(ForgettingGuard, "fell", lambda self: next(verdicts))
    sets = [f"evaluate.general=[{tmp_path / 'sts.tsv'}]", "training.evaluate_every=1", "training.save_every=2"]
    report = run_recipe(recipe(*sets))
    assert report["training"]["guard"] == {"fell": True, "step": 2}
    checkpoints = tmp_path / "run" / "checkpoints"
    folders = [
        tmp_path / "run" / "model",
        checkpoints / "kept",
        checkpoints / "checkpoint-2",
        checkpoints / "checkpoint-4",
    ]
    ended, kept, second, last = (weights(SentenceTransformer(str(folder), device="cpu")) for folder in folders)
    torch.testing.assert_close(ended, kept, rtol=0, atol=0)
    torch.testing.assert_close(ended, second, rtol=0, atol=0)
    assert any(not torch.equal(weight, last[name]) for name, weight in ended.items()), "nothing was learned"


@pytest.mark.parametrize(
    ("settings", "missing"),
    [
        ([], "evaluate.general and training.evaluate_every"),
        (["training.evaluate_every=2"], "evaluate.general"),
        (["evaluate.general=[sts.tsv]"], "training.evaluate_every"),
    ],
)
def test_a_guard_that_has_nothing_to_go_by_is_refused(recipe, settings, missing):
    with pytest.raises(ConfigError) as fault:
        run_recipe(recipe(*settings))
    assert str(fault.value) == f"training.guard: needs {missing}. Set that, or training.guard=false."
