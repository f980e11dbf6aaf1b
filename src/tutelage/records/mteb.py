"""Retrieval tasks of the mteb package as retrieval sets. The package is an extra; it finds and loads the data."""

from typing import Any

from tutelage.errors import ConfigError, DataError
from tutelage.records.retrieval import RetrievalSet
from tutelage.records.texts import canonical


def read_mteb(task: str) -> RetrievalSet:
    """A retrieval task by its name in mteb, as in ``SciFact``; one of several subsets as in ``MIRACLRetrieval/de``.

    Raises:
        ConfigError: mteb is not installed or cannot give the task or its data; the task has several subsets and none
            is named, or not the one named.
        DataError: the task is no retrieval of texts.
    """
    try:
        import mteb
    except ImportError:
        raise ConfigError(f"'mteb:{task}' needs an extra package: pip install \"tutelage[mteb]\".") from None
    name, _, subset = task.partition("/")
    try:
        loaded = mteb.get_task(name)
        loaded.load_data()
    except Exception as fault:  # of many unrelated types: an unknown name, no network, a data set that has gone
        said = f"{type(fault).__name__}: {fault}".splitlines()[0][:160]
        raise ConfigError(
            f"mteb:{task}: not to be had ({said}). Check the name, and fetch the task's data once while online."
        ) from None
    return task_set(f"mteb:{task}", loaded, subset)


def task_set(name: str, task: Any, subset: str = "") -> RetrievalSet:
    """The first evaluation split of a loaded task: titles stand before texts, as mteb's models see them.

    Args:
        name: what to call the set.
        task: an mteb task (version 2) whose data is loaded.
        subset: which of its subsets; may stay empty if there is one.
    """
    subsets = getattr(task, "dataset", None)
    if not isinstance(subsets, dict) or not subsets:
        raise DataError(f"{name}: no retrieval task of mteb 2. Name a task of type Retrieval.")
    if subset not in subsets and (subset or len(subsets) > 1):
        came = f"no subset '{subset}'" if subset else "several subsets"
        raise ConfigError(
            f"'{name}': {came}. Name one of {', '.join(subsets)}, as in {name.partition('/')[0]}/{next(iter(subsets))}."
        )
    splits = subsets[subset or next(iter(subsets))]
    split = next(iter(each for each in task.eval_splits if each in splits), next(iter(splits)))
    data = splits[split]
    try:
        queries = {str(row["id"]): canonical(row["text"]) for row in data["queries"]}
        corpus = {str(row["id"]): canonical(f"{row.get('title') or ''} {row['text']}") for row in data["corpus"]}
        relevance = {
            str(query): frozenset(str(entry) for entry, score in judged.items() if score > 0)
            for query, judged in data["relevant_docs"].items()
        }
    except (KeyError, TypeError, AttributeError) as fault:
        raise DataError(
            f"{name}: no retrieval of texts ({type(fault).__name__}: {fault}). Name another task."
        ) from None
    return RetrievalSet(name, queries, corpus, relevance, exclude_self=bool(task.ignore_identical_ids))
