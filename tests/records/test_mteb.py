"""mteb's tasks as sets, from stand-ins of the shape that mteb 2 documents (`RetrievalSplitData`)."""

import builtins
import sys
from types import ModuleType, SimpleNamespace

import pytest
from datasets import Dataset

from tutelage.errors import ConfigError, DataError
from tutelage.records import judged
from tutelage.records.mteb import task_set


def split(query="nurse"):
    return {
        "queries": Dataset.from_list([{"id": "q1", "text": query}, {"id": "q2", "text": "welder "}]),
        "corpus": Dataset.from_list(
            [{"id": "d1", "title": "Care", "text": "Registered nurse"}, {"id": "q2", "title": "", "text": "welder"}]
        ),
        "relevant_docs": {"q1": {"d1": 2, "q2": 0}, "q2": {"d1": 1}},
        "top_ranked": None,
    }


def task(dataset=None, identical=False):
    dataset = dataset if dataset is not None else {"default": {"test": split(), "dev": split("dev query")}}
    return SimpleNamespace(
        dataset=dataset, eval_splits=["test"], ignore_identical_ids=identical, load_data=lambda: None
    )


def test_a_loaded_task_is_a_set():
    found = task_set("mteb:Jobs", task())
    assert found.name == "mteb:Jobs"
    assert found.queries == {"q1": "nurse", "q2": "welder"}
    assert found.corpus == {"d1": "Care Registered nurse", "q2": "welder"}
    assert found.relevance == {"q1": {"d1"}, "q2": {"d1"}}
    assert not found.exclude_self
    assert not found.held_out


def test_a_task_that_ignores_identical_ids_leaves_the_querys_own_entry_out():
    assert task_set("mteb:Jobs", task(identical=True)).exclude_self


def test_a_subset_is_named_where_there_are_several():
    several = task({"de": {"test": split("Pfleger")}, "en": {"test": split()}})
    assert task_set("mteb:Jobs/de", several, "de").queries["q1"] == "Pfleger"
    for subset, came in (("", "several subsets"), ("fr", "no subset 'fr'")):
        name = "mteb:Jobs" + f"/{subset}" * bool(subset)
        with pytest.raises(ConfigError) as fault:
            task_set(name, several, subset)
        assert str(fault.value) == f"'{name}': {came}. Name one of de, en, as in mteb:Jobs/de."


@pytest.mark.parametrize("dataset", [{}, Dataset.from_list([{"text": "a"}])])
def test_a_task_of_another_kind_is_refused(dataset):
    with pytest.raises(DataError, match=r"^mteb:Sts: no retrieval task of mteb 2\. Name a task of type Retrieval\.$"):
        task_set("mteb:Sts", task(dataset))


def test_a_task_without_texts_is_refused():
    images = {"default": {"test": split() | {"corpus": Dataset.from_list([{"id": "d1", "image": "x"}])}}}
    with pytest.raises(DataError, match=r"^mteb:Images: no retrieval of texts \(KeyError: 'text'\)\. Name another"):
        task_set("mteb:Images", task(images))


def test_a_set_by_name_asks_mteb(monkeypatch):
    asked = []
    stub = ModuleType("mteb")
    stub.get_task = lambda name: asked.append(name) or task({"de": {"test": split()}})
    monkeypatch.setitem(sys.modules, "mteb", stub)
    assert judged.retrieval_set("mteb:Jobs/de").name == "mteb:Jobs/de"
    assert asked == ["Jobs"]


def test_what_mteb_cannot_give_is_refused_in_its_words(monkeypatch):
    stub = ModuleType("mteb")

    def get_task(name):
        raise KeyError(f"{name} not found")

    stub.get_task = get_task
    monkeypatch.setitem(sys.modules, "mteb", stub)
    with pytest.raises(ConfigError) as fault:
        judged.retrieval_set("mteb:Jops")
    assert str(fault.value) == (
        "mteb:Jops: not to be had (KeyError: 'Jops not found'). "
        "Check the name, and fetch the task's data once while online."
    )


def test_without_the_package_the_cure_is_named(monkeypatch):
    real = builtins.__import__

    def absent(name, *rest):
        if name == "mteb":
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", absent)
    with pytest.raises(ConfigError) as fault:
        judged.retrieval_set("mteb:SciFact")
    assert str(fault.value) == "'mteb:SciFact' needs an extra package: pip install \"tutelage[mteb]\"."
