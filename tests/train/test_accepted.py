"""Accepted pairs become training rows where they belong, and never a leak; all judged pairs reach the loss."""

import pytest
from datasets import Dataset

from tutelage.records.judged import retrieval_set
from tutelage.records.texts import text_id
from tutelage.records.verdicts import Verdict
from tutelage.train.accepted import join_accepted
from tutelage.train.build import guided_loss, training_data
from tutelage.train.recipe import load_recipe

ESCO = Dataset.from_dict(
    {"anchor": ["nurse", "coder"], "positive": ["RN", "developer"], "concept": ["c1", "c2"], "group": ["2", "25"]}
)
TRIPLETS = Dataset.from_dict({"anchor": ["cook"], "positive": ["chef"], "negative": ["waiter"]})


def accepted(*pairs, said="positive"):
    return [Verdict(*pair, said) for pair in pairs]


def test_a_pair_joins_the_concept_of_its_anchor_else_of_its_candidate():
    joined = join_accepted({"esco": ESCO}, accepted(("RN", "staff nurse"), ("hacker", "developer")), set())
    assert list(joined) == ["esco"]
    assert joined["esco"][2:] == {
        "anchor": ["RN", "hacker"],
        "positive": ["staff nurse", "developer"],
        "concept": ["c1", "c2"],
        "group": ["2", "25"],
    }


def test_what_is_known_refused_or_hidden_does_not_join():
    pairs = accepted(("RN", "nurse"), ("nurse", "Staff  Nurse"), ("coder", "x"), ("x", "coder"))
    joined = join_accepted({"esco": ESCO}, [*pairs, *accepted(("nurse", "carer"), said="never")], {"staff nurse"})
    assert joined["esco"]["positive"][2:] == ["x"]


def test_a_pair_that_belongs_nowhere_is_a_source_of_its_own():
    joined = join_accepted({"esco": ESCO, "triplets": TRIPLETS}, accepted(("chef", "kitchen chef")), set())
    assert joined["triplets"] is TRIPLETS
    assert joined["verdicts"].to_list() == [
        {"anchor": "chef", "positive": "kitchen chef", "concept": "chef", "group": ""}
    ]


@pytest.fixture
def recipe(tmp_path):
    """A recipe on the sample with these verdicts."""

    def write(*verdicts):
        path = tmp_path / "judged.csv"
        path.write_text("anchor,candidate,verdict\n" + "".join(",".join(row) + "\n" for row in verdicts))
        return load_recipe("demo_sample", [f"data.verdicts=['{path}']", "guide.name=null"])

    return write


def test_a_held_out_text_never_becomes_training_data(recipe):
    held_out = retrieval_set("sample-heldout:en", share=0.3)
    secret, known = next(iter(held_out.corpus.values())), "new title"
    given = recipe((known, secret.upper(), "positive"), (known, "another new title", "positive"))
    for sets in ([held_out], []):  # also where the recipe measures nothing on it
        train = training_data(given.data, None, sets)
        texts = {text for rows in train.values() for text in (*rows["anchor"], *rows["positive"])}
        assert "another new title" in texts
        assert secret.upper() not in texts


def test_accepted_and_spared_pairs_are_no_negatives(recipe, tiny):
    given = recipe(("nurse", "carer", "never"), ("nurse", "RN", "positive"), ("a", "b", ""))
    loss = guided_loss(given, tiny, None)
    assert loss.never.tolist() == [[text_id("nurse"), text_id("carer")], [text_id("nurse"), text_id("RN")]]
    assert guided_loss(load_recipe("demo_sample", ["guide.name=null"]), tiny, None).never.shape == (0, 2)
