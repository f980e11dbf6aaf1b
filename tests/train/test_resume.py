"""A run that is killed outright (kill -9) goes on where it stood, and ends with an unbroken run's weights to the bit.

Each run is a process of its own that kills itself at a named moment. Moments are Python's audit events: files opened,
renamed and removed, just before it happens. Dropout is on; an epoch's last step is of one batch, the others are of two.
"""

import json
import multiprocessing
import os
import signal
import sys
from pathlib import Path

import pytest
import torch
from conftest import tiny_model
from safetensors.torch import load_file

PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["tutelage.train.run"])  # imported once for all runs
KILLED = -signal.SIGKILL

SETTINGS = [
    "data.train=[{source: 'sample:en', max_pairs: 3}]",
    "model.max_length=16",
    "sampling.batch_size=40",  # five batches an epoch
    "training.accumulation=2",  # so three steps an epoch
    "training.max_steps=8",  # that ends inside the third epoch
    "training.precision=fp32",
    "training.save_every=2",
    "training.log_every=1",
    "training.report_to=[]",
]


class Kill:
    """An audit hook that kills its process once these (event, part of the path) have happened in this order.

    Args:
        moments: the events; the process dies just before the last of them would happen.
        torn: leave the first bytes of the file that is about to be written.
    """

    def __init__(self, moments, torn=False):
        self.left, self.torn = list(moments), torn

    def __call__(self, event, args):
        if self.left and event == self.left[0][0] and self.left[0][1] in str(args[0]):
            self.left.pop(0)
            if not self.left:
                if self.torn:
                    Path(args[0]).write_text('{"epoch": 0.')
                os.kill(os.getpid(), signal.SIGKILL)


def train(settings, resume, kill):
    """What a process does."""
    from tutelage.train.recipe import load_recipe
    from tutelage.train.run import run_recipe

    if kill is not None:
        sys.addaudithook(kill)
    run_recipe(load_recipe("demo_sample", settings), resume=resume)


@pytest.fixture
def runs(tmp_path):
    """Run a recipe over the tiny model in a process; returns how it ended."""
    tiny_model(tmp_path / "parts").save_pretrained(str(tmp_path / "start"))
    names = [f"model.name={tmp_path / 'start'}", f"guide.name={tmp_path / 'start'}"]

    def run(output, *more, resume=False, kill=None):
        settings = [*SETTINGS, *names, f"output={tmp_path / output}", *more]
        process = PROCESSES.Process(target=train, args=(settings, resume, kill))
        process.start()
        process.join(100)
        return process.exitcode

    return run


def steps(count):
    """The moment at which so many steps have been made, and the last of them logged."""
    return [("os.rename", "history.csv")] * count


def assert_same_run(one, other):
    first, second = (load_file(home / "model" / "model.safetensors") for home in (one, other))
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)
    reports = [json.loads((home / "report.json").read_text()) for home in (one, other)]
    assert reports[0]["after"] == reports[1]["after"] != reports[0]["before"]
    assert [report["training"]["steps"] for report in reports] == [8, 8]


def assert_ends_as_unbroken(runs, tmp_path, moments):
    """Each run goes on from what the one before it left, up to its own end."""
    assert runs("whole") == 0
    for resume, kill in moments:
        assert runs("broken", resume=resume, kill=kill) == KILLED
    assert runs("broken", resume=True) == 0
    assert_same_run(tmp_path / "whole", tmp_path / "broken")


def test_a_run_killed_again_and_again_ends_as_an_unbroken_one(runs, tmp_path):
    moments = [
        (False, Kill([("open", "checkpoint-4/trainer_state.json")], torn=True)),
        # An old checkpoint is removed in part, before the new one has its manifest.
        (True, Kill([("shutil.rmtree", "checkpoint-2"), *[("os.remove", "")] * 3])),
        (True, Kill(steps(3))),
        # All steps are made, the model is not saved.
        (True, Kill([("os.mkdir", ".model.partial")])),
    ]
    assert_ends_as_unbroken(runs, tmp_path, moments)


@pytest.mark.slow
def test_a_run_killed_at_other_moments_ends_as_an_unbroken_one(runs, tmp_path):
    moments = [
        # Before any checkpoint is whole: the run begins anew.
        (False, Kill([("os.mkdir", "guide")])),
        (False, Kill([("os.mkdir", "checkpoint-2"), ("open", "checkpoint-2/")])),
        (False, Kill(steps(1))),
        (False, Kill(steps(3))),
        # The next checkpoint is there but for most of its files, or for its manifest.
        (True, Kill([("open", "checkpoint-4/")] * 2)),
        (True, Kill([("os.rename", "checkpoint-4/.manifest.json")])),
        # Between checkpoints; between the model and the report.
        (True, Kill(steps(5))),
        (True, Kill([("os.rename", "broken/.report.json")])),
    ]
    assert_ends_as_unbroken(runs, tmp_path, moments)


@pytest.mark.slow
@pytest.mark.parametrize(
    "settings",
    [
        [
            "sampling.sampler=no_duplicates",
            "data.train=[{source: 'sample:en', max_pairs: 1}, {source: 'sample:de', max_pairs: 1}]",
        ],
        ["sampling.sampler=no_duplicates", "training.evaluate_every=2", "evaluate.best={set: 'sample-heldout:en'}"],
        ["training.rows_in_use=false", "training.weight_decay=0.01", "loss.dims=[16, 8]"],
    ],
    ids=["two sources", "best checkpoint", "all rows"],
)
@pytest.mark.parametrize("step", [4, 5, 7])
def test_killed_after_a_log(runs, tmp_path, settings, step):
    assert runs("whole", *settings) == 0
    assert runs("broken", *settings, kill=Kill(steps(step))) == KILLED
    assert runs("broken", *settings, resume=True) == 0
    assert_same_run(tmp_path / "whole", tmp_path / "broken")
