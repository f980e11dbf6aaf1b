"""One metric by language: the query's down, the corpus's across."""

import re
from collections.abc import Mapping
from typing import Any

LANGUAGES = re.compile(r"(?P<family>[\w.]+?)(-heldout|-mix)?:(?P<query>[a-z]{2,3})(-(?P<corpus>[a-z]{2,3}))?")
Cells = dict[tuple[str, str], str]


def heat_map(before: Mapping[str, float], after: Mapping[str, float], metric: str) -> dict[str, Any] | None:
    """Means of sets such as ``esco-heldout:en`` (en to en) and ``esco-mix:en-de`` (en to de) as two matrices.

    A map shows one family of sets (``esco``): another's queries are harder or easier, which is no matter of language.
    It is the family with most cells, of equals the first.

    Args:
        before: set name -> mean before training.
        after: the same sets after it.
        metric: what the means are of.

    Returns:
        ``rows`` (query languages), ``columns`` (corpus languages), ``before`` and ``after`` (None where there is no
        set), ``family``, ``metric``. None where no set crosses languages: a diagonal says no more than bars do.

    >>> made = heat_map({"esco-heldout:en": 0.7, "esco-mix:en-de": 0.4}, {"esco-mix:en-de": 0.5}, "map")
    >>> made["rows"], made["columns"], made["before"], made["after"]
    (['en'], ['en', 'de'], [[0.7, 0.4]], [[None, 0.5]])
    """
    families: dict[str, Cells] = {}
    for name in dict.fromkeys([*before, *after]):
        if found := LANGUAGES.fullmatch(name):
            cell = found["query"], found["corpus"] or found["query"]
            families.setdefault(found["family"], {}).setdefault(cell, name)
    crossing = {family: cells for family, cells in families.items() if any(q != c for q, c in cells)}
    if not crossing:
        return None
    family = max(crossing, key=lambda family: len(crossing[family]))
    cells = crossing[family]
    rows = list(dict.fromkeys(query for query, _ in cells))
    columns = list(dict.fromkeys(corpus for _, corpus in cells))
    columns.sort(key=lambda language: rows.index(language) if language in rows else len(rows))  # the diagonal aligned

    def matrix(means: Mapping[str, float]) -> list[list[float | None]]:
        return [[means.get(cells.get((row, column), "")) for column in columns] for row in rows]

    return {
        "rows": rows,
        "columns": columns,
        "family": family,
        "metric": metric,
        "before": matrix(before),
        "after": matrix(after),
    }
