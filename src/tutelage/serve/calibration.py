"""How much the first concept found is to be believed: a chance, learned from labels held out of the index.

Score and gap (to the second concept) go through a logistic curve that rises with both. It is learned from labels that
the index does not hold: of concepts that it knows by other labels, and of concepts that it does not know at all.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold

from tutelage.records.texts import text_id
from tutelage.serve.contract import ConceptHit, Entry
from tutelage.serve.rollup import nearest_concepts
from tutelage.serve.snapshot import Snapshot

LEAST_LABELS = 3  # of a concept whose labels may be held out
HELD_OUT = 5  # one label in five, but never the preferred one, nor more than a third of a concept's
ABSENT = 10  # one concept in ten is not in the index at all, and two of its labels in five are asked for
MOST_QUERIES, LEAST_QUERIES = 4000, 50
FOLDS, BINS = 5, 10
THRESHOLD = 0.5


class Calibration(NamedTuple):
    """Chance = 1 / (1 + exp(-(intercept + by_score score + by_gap gap))), with no negative slope."""

    intercept: float
    by_score: float
    by_gap: float

    def confidence(self, concepts: Sequence[ConceptHit], among: Sequence[ConceptHit] | None = None) -> float:
        """The chance that the first of these concepts is right; 0 for none. ``among``: as of `features`.

        >>> hit = ConceptHit("c1", "", "nurse", "", Entry("nurse", "c1", "", "", "", "en"), 0.9)
        >>> round(Calibration(-4.0, 5.0, 0.0).confidence([hit]), 3)
        0.622
        """
        return float(self.chances(np.array([features(concepts, among)]))[0]) if concepts else 0.0

    def chances(self, found: Float[np.ndarray, "queries 2"]) -> Float[np.ndarray, " queries"]:
        """The same of many `features`."""
        return 1 / (1 + np.exp(-(self.intercept + found @ np.array([self.by_score, self.by_gap]))))


class Reliability(NamedTuple):
    """How far confidences are to be trusted, measured on concepts that the curve was not fitted on.

    ``ece`` is the mean distance between confidence and share of right answers over ten bins, ``brier`` the mean square
    of what confidence misses by; ``answered`` is the share of queries above the threshold, ``precision`` the share of
    right ones among those, ``right`` among all. ``absent`` queries have no right answer.
    """

    queries: int
    absent: int
    right: float
    ece: float
    brier: float
    threshold: float
    answered: float
    precision: float


class Asked(NamedTuple):
    """A label held out: its row among the entries, and the concepts that would be right (none: it is absent)."""

    row: int
    right: frozenset[str]


def calibrate(
    entries: Sequence[Entry], vectors: Float[np.ndarray, "entries dim"], threshold: float = THRESHOLD
) -> tuple[Calibration, Reliability] | None:
    """The curve for an index of these entries, and how reliable it is; none where too few labels can be held out.

    A search in some languages or groups only is judged by the same curve, and groups by the concepts of all groups.

    Args:
        entries: all that the index will hold, in any order.
        vectors: theirs.
        threshold: of what the reliability is told.
    """
    kept, asked = hold_out(entries)
    groups = [entries[each.row].concept for each in asked]
    if len(asked) < LEAST_QUERIES or len({*groups}) < FOLDS:
        return None
    index = Snapshot.of([entries[row] for row in kept], vectors[kept])
    concepts = nearest_concepts(index, vectors[[each.row for each in asked]], 2)
    found = np.array([features(each) for each in concepts])
    right = np.array([each[0].concept in one.right for each, one in zip(concepts, asked, strict=True)])
    if right.all() or not right.any():
        return None
    absent = sum(not each.right for each in asked)
    return fit(found, right), reliability(crossed(found, right, groups), right, absent, threshold)


def hold_out(entries: Sequence[Entry]) -> tuple[list[int], list[Asked]]:
    """The rows that stay, and the labels to ask for: the same for the same entries, whatever their order."""
    texts: dict[str, dict[str, int]] = {}
    owners: dict[str, set[str]] = {}
    for row, entry in enumerate(entries):
        texts.setdefault(entry.concept, {}).setdefault(entry.text, row)
        owners.setdefault(entry.text, set()).add(entry.concept)
    many = {concept: rows for concept, rows in texts.items() if len(rows) >= LEAST_LABELS}
    absent = {concept for concept in many if text_id(concept) % ABSENT == 0}
    held = {(concept, text) for concept, rows in many.items() for text in _held(entries, rows, concept in absent)}
    asked = [Asked(texts[concept][text], frozenset(owners[text] - absent)) for concept, text in held]
    asked = sorted(asked, key=lambda each: _draw(entries[each.row]))[:MOST_QUERIES]
    drawn = {(entries[each.row].concept, entries[each.row].text) for each in asked}
    kept = [
        row
        for row, entry in enumerate(entries)
        if entry.concept not in absent and (entry.concept, entry.text) not in drawn
    ]
    return kept, asked if kept else []


def _held(entries: Sequence[Entry], rows: Mapping[str, int], absent: bool) -> list[str]:
    """Which of a concept's texts are asked for."""
    if absent:
        return [text for text, row in rows.items() if _draw(entries[row]) % HELD_OUT < 2]
    preferred = {entries[row].preferred for row in rows.values()}
    drawn = [text for text, row in rows.items() if _draw(entries[row]) % HELD_OUT == 0 and text not in preferred]
    return sorted(drawn, key=text_id)[: len(rows) // 3]


def _draw(entry: Entry) -> int:
    return text_id(f"{entry.concept} {entry.text}")


def features(concepts: Sequence[ConceptHit], among: Sequence[ConceptHit] | None = None) -> tuple[float, float]:
    """The first concept's score, and how far the best other concept lies below it (negative: above).

    The other is looked for ``among`` the nearest concepts of a wider search (default: among these). Where a filter has
    left only one concept, these alone would make a sure answer of any text. No other anywhere: the whole score.
    """
    first = concepts[0]
    others = (each.score for each in (concepts if among is None else among) if each.concept != first.concept)
    return first.score, first.score - next(others, 0.0)


def fit(found: Float[np.ndarray, "queries 2"], right: Bool[np.ndarray, " queries"]) -> Calibration:
    """The likeliest curve that falls with neither score nor gap."""
    used = [0, 1]
    while True:
        learned = LogisticRegression(C=1e4, max_iter=1000).fit(found[:, used], right)
        slopes = dict(zip(used, learned.coef_[0].tolist(), strict=True))
        if all(slope >= 0 for slope in slopes.values()) or len(used) == 1:
            by_score, by_gap = (max(slopes.get(each, 0.0), 0.0) for each in (0, 1))
            return Calibration(float(learned.intercept_[0]), by_score, by_gap)
        used.remove(min(slopes, key=lambda each: slopes[each]))


def crossed(
    found: Float[np.ndarray, "queries 2"], right: Bool[np.ndarray, " queries"], groups: Sequence[str]
) -> Float[np.ndarray, " queries"]:
    """Each query's chance by a curve that was fitted without its concept."""
    chances = np.empty(len(right))
    for rest, own in GroupKFold(FOLDS).split(found, right, groups):
        one_answer = right[rest].all() or not right[rest].any()
        chances[own] = right[rest].mean() if one_answer else fit(found[rest], right[rest]).chances(found[own])
    return chances


def reliability(
    chances: Float[np.ndarray, " queries"], right: Bool[np.ndarray, " queries"], absent: int, threshold: float
) -> Reliability:
    """The figures of `Reliability`."""
    answered = chances >= threshold
    precision = float(right[answered].mean()) if answered.any() else 0.0
    brier = float(((chances - right) ** 2).mean())
    return Reliability(
        len(right),
        absent,
        float(right.mean()),
        ece(chances, right),
        brier,
        threshold,
        float(answered.mean()),
        precision,
    )


def ece(chances: Float[np.ndarray, " queries"], right: Bool[np.ndarray, " queries"]) -> float:
    """Expected calibration error over bins of equal width (arXiv:1706.04599, eq. 3).

    >>> round(ece(np.array([0.9, 0.9, 0.1, 0.1]), np.array([True, True, False, False])), 3)
    0.1
    """
    bins = np.minimum((chances * BINS).astype(int), BINS - 1)
    off = np.bincount(bins, weights=chances - right, minlength=BINS)
    return float(np.abs(off).sum() / len(right))
