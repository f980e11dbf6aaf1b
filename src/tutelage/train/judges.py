"""All that a recipe judges a model by: the same before training, on the way and after."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.evaluation import SentenceEvaluator

from tutelage.evaluate.checks import CheckResults, Checks, compare_checks
from tutelage.evaluate.gender import evaluate_gender
from tutelage.evaluate.general import GeneralEvaluator
from tutelage.evaluate.languages import heat_map
from tutelage.evaluate.report import compare
from tutelage.evaluate.retrieval import RetrievalEvaluator, RetrievalResult
from tutelage.evaluate.sets import means_by_dim
from tutelage.evaluate.triplet import TripletEvaluator
from tutelage.evaluate.worst import worst_queries
from tutelage.records.retrieval import RetrievalSet
from tutelage.records.scored import ScoredPairs
from tutelage.train.recipe import Recipe


class Judgement(NamedTuple):
    """What one model reached: on each retrieval set at the whole width and then at every dim; on the other sets."""

    retrieval: list[RetrievalResult]
    checks: CheckResults

    @property
    def whole(self) -> dict[str, RetrievalResult]:
        """Retrieval set -> result at the whole width."""
        return {result.name: result for result in self.retrieval if result.dim is None}


class Judges:
    """A recipe's sets, ready to judge.

    Args:
        recipe: tells metrics and Matryoshka dims.
        sets: retrieval sets.
        checks: sets of the other kinds.
    """

    def __init__(self, recipe: Recipe, sets: Sequence[RetrievalSet], checks: Checks) -> None:
        measure = recipe.evaluate
        self.sets, self.checks, self.main, self.dims = sets, checks, measure.main, recipe.loss.dims
        self.retrieval = [
            RetrievalEvaluator(each, metrics=measure.measured, main=measure.main, dims=self.dims or ()) for each in sets
        ]
        self.triplets = [TripletEvaluator(each, self.dims) for each in checks.triplets]
        self.general = [GeneralEvaluator(each) for each in checks.general]

    @property
    def names(self) -> list[str]:
        """Of all sets."""
        return [*(each.name for each in self.sets), *self.checks.names]

    @property
    def sizes(self) -> dict[str, dict[str, int]]:
        """How much each set holds of what."""
        ranked = [*self.sets, *(each for each in self.checks.general if isinstance(each, RetrievalSet))]
        scored = [each for each in self.checks.general if isinstance(each, ScoredPairs)]
        return {
            **{each.name: {"queries": len(each.asked), "entries": len(each.corpus)} for each in ranked},
            **{each.name: {"triplets": len(each)} for each in self.checks.triplets},
            **{each.name: {"scored pairs": len(each.scores)} for each in scored},
            **{each.name: {"titles in two forms": len(each.forms)} for each in self.checks.gender},
        }

    @property
    def evaluators(self) -> list[SentenceEvaluator]:
        """For a trainer; gendered forms are left to the beginning and the end."""
        return [*self.retrieval, *self.triplets, *self.general]

    def judge(self, model: SentenceTransformer, *, epoch: int = -1, step: int = -1) -> Judgement:
        """Judge a model, at a training's epoch and step (-1: before); its card hears of all but gendered forms."""
        for evaluator in self.evaluators:
            evaluator(model, epoch=epoch, steps=step)
        checks = CheckResults(
            [each.result for each in self.triplets if each.result],
            [each.result for each in self.general if each.result],
            [evaluate_gender(model, titles) for titles in self.checks.gender],
        )
        return Judgement([result for each in self.retrieval for result in each.results], checks)

    def evidence(self, before: Judgement, after: Judgement) -> dict[str, Any]:
        """What the report says of two judgements; kinds of which there is nothing are left out."""
        old, new = ({name: r.means[self.main] for name, r in each.whole.items()} for each in (before, after))
        worst = {
            each.name: worst_queries(before.whole[each.name], after.whole[each.name], each, self.main)
            for each in self.sets
        }
        kinds = {
            **compare_checks(before.checks, after.checks),
            "worst": {name: rows for name, rows in worst.items() if rows},
            "dims": means_by_dim(after.retrieval),
            "languages": heat_map(old, new, self.main),
        }
        return compare(before.whole, after.whole) | {kind: found for kind, found in kinds.items() if found}
