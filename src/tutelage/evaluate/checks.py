"""What a model is judged by beside retrieval: triplets, general sets (forgetting), gendered forms of titles."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sentence_transformers import SentenceTransformer

from tutelage.errors import ConfigError
from tutelage.evaluate.gender import GenderResult, evaluate_gender
from tutelage.evaluate.general import GeneralResult, evaluate_general, retained
from tutelage.evaluate.significance import paired_differences
from tutelage.evaluate.triplet import TripletResult, evaluate_triplets
from tutelage.records import judged
from tutelage.records.gender import GenderedTitles
from tutelage.records.retrieval import RetrievalSet
from tutelage.records.scored import ScoredPairs
from tutelage.records.triplets import COLUMNS, TripletSet


@dataclass(frozen=True)
class Checks:
    """Sets of the three kinds, any number of each."""

    triplets: list[TripletSet] = field(default_factory=list)
    general: list[ScoredPairs | RetrievalSet] = field(default_factory=list)
    gender: list[GenderedTitles] = field(default_factory=list)

    @property
    def names(self) -> list[str]:
        """Of all sets."""
        return [each.name for each in (*self.triplets, *self.general, *self.gender)]


@dataclass(frozen=True)
class CheckResults:
    """What one model reached on `Checks`, in their order."""

    triplets: list[TripletResult]
    general: list[GeneralResult]
    gender: list[GenderResult]

    def to_dict(self) -> dict[str, Any]:
        """Figures by kind and set, for a single model."""
        return {
            "triplets": {result.name: result.means for result in self.triplets},
            "general": {result.name: {result.metric: result.score} for result in self.general},
            "gender": {result.name: {"rbo": result.mean, "pairs": len(result.overlap)} for result in self.gender},
        }


def load_checks(
    folder: Path | None,
    *,
    triplets: Sequence[tuple[str, Sequence[str]]] = (),
    general: Sequence[str] = (),
    gender: Sequence[str] = (),
) -> Checks:
    """The sets by name, triplets with their columns; all is read and checked here.

    Raises:
        ConfigError, DataError: a set that cannot be had, a fault in it, or two sets of one name.
    """
    checks = Checks(
        [judged.triplet_set(name, folder, columns or COLUMNS) for name, columns in triplets],
        [judged.general_set(name, folder) for name in general],
        [judged.gendered(name, folder) for name in gender],
    )
    if twice := [name for name in checks.names if checks.names.count(name) > 1]:
        raise ConfigError(f"'{twice[0]}': two sets have this name (a file's is its stem). Rename or drop one.")
    return checks


def run_checks(
    model: SentenceTransformer, checks: Checks, dims: Sequence[int] | None = None, *, progress: bool = True
) -> CheckResults:
    """Judge the model on every set; triplets at every width of ``dims``."""
    return CheckResults(
        [evaluate_triplets(model, triplets, dims, progress=progress) for triplets in checks.triplets],
        [evaluate_general(model, general, progress=progress) for general in checks.general],
        [evaluate_gender(model, titles, progress=progress) for titles in checks.gender],
    )


def compare_checks(before: CheckResults, after: CheckResults) -> dict[str, Any]:
    """The report's keys ``triplets``, ``general`` and ``gender``: before, after, and what the change is worth."""
    return {
        "triplets": {
            one.name: _paired(one.values, other.values, one.cluster)
            for one, other in zip(before.triplets, after.triplets, strict=True)
        },
        "general": {
            one.name: retained(one, other).to_dict() for one, other in zip(before.general, after.general, strict=True)
        },
        "gender": {
            one.name: {**_paired({"": one.overlap}, {"": other.overlap}, one.cluster)[""], "pairs": len(one.overlap)}
            for one, other in zip(before.gender, after.gender, strict=True)
        },
    }


def _paired(before: dict[str, Any], after: dict[str, Any], cluster: list[str]) -> dict[str, dict[str, Any]]:
    """Key -> both means, and the interval and p-value of their difference."""
    return {
        key: {
            "before": float(before[key].mean()),
            "after": float(after[key].mean()),
            **{part: getattr(difference, part) for part in ("low", "high", "p")},
        }
        for key, difference in paired_differences(before, after, cluster).items()
    }
