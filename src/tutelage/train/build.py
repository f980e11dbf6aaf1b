"""From a recipe to objects: training data, evaluation sets, the store, the loss, the trainer's arguments."""

from collections.abc import Iterable
from pathlib import Path

from datasets import Dataset, DatasetDict
from sentence_transformers import SentenceTransformer

from tutelage.encode.models import load_model
from tutelage.errors import ConfigError
from tutelage.evaluate.checks import Checks, load_checks
from tutelage.guide.store import GuideStore
from tutelage.records import sources
from tutelage.records.pairs import CONCEPT, IDENTITY_COLUMNS, concept_pairs
from tutelage.records.retrieval import RetrievalSet
from tutelage.records.splits import comparable, is_held_out, refuse_leak, split_by_concept
from tutelage.records.verdicts import read_all
from tutelage.sampling import ConceptBatches, NoDuplicateBatches
from tutelage.train.accepted import OWN, join_accepted
from tutelage.train.objective import GuidedLoss
from tutelage.train.recipe import DataRecipe, EvaluateRecipe, Recipe, TrainSource

CHECKPOINTS = "checkpoints"  # in the output folder; TensorBoard's files lie in its `runs`
SAMPLERS = {"concepts": ConceptBatches, "no_duplicates": NoDuplicateBatches}


def training_data(data: DataRecipe, folder: Path | None, sets: Iterable[RetrievalSet]) -> DatasetDict:
    """Every source as a set of pairs, without held-out concepts and without any text of a held-out set.

    Sets stay apart, so that batches are of one each.

    Raises:
        ConfigError, DataError: a source that is not there, cannot be read, has nothing left beside the held-out
            concepts, or (a source that names no concepts) shares a text with a held-out set.
    """
    # Public benchmarks are not held out by us: what they share with ESCO (TalentCLEF: most queries) is their design.
    held_out = [each for each in sets if each.held_out]
    secret = {comparable(t) for each in held_out for texts in (each.queries, each.corpus) for t in texts.values()}
    built = {name: _pairs(source, data, folder, secret) for name, source in data.sets.items()}
    if data.verdicts:
        hidden = secret | {comparable(text) for text in _held_out_labels(data, folder)}
        built = join_accepted(built, read_all(data.verdicts), hidden)
    for name, pairs in built.items():
        if not len(pairs):
            raise ConfigError(f"data.train: '{name}' has no pair beside the held-out concepts. Lower data.held_out.")
    train = DatasetDict(built)
    refuse_leak(texts_of(train), secret)
    return train


def _pairs(source: TrainSource, data: DataRecipe, folder: Path | None, secret: set[str]) -> Dataset:
    if source.source.partition(":")[0] in sources.TAXONOMIES:
        labels, _ = split_by_concept(sources.labels(source.source, folder), data.held_out, data.seed)
        open_labels = [label for label in labels if comparable(label.text) not in secret]
        return concept_pairs(open_labels, max_pairs=source.max_pairs, seed=data.seed)
    pairs = sources.pairs(source.source, folder, source.columns)
    if CONCEPT not in pairs.column_names:
        return pairs
    hidden = [is_held_out(concept, data.held_out, data.seed) for concept in pairs[CONCEPT]]
    for name in text_columns(pairs):
        hidden = [out or comparable(text) in secret for out, text in zip(hidden, pairs[name], strict=True)]
    return pairs.select([row for row, out in enumerate(hidden) if not out])


def _held_out_labels(data: DataRecipe, folder: Path | None) -> Iterable[str]:
    """Labels of the held-out concepts of every taxonomy, whether or not a set asks for them."""
    for source in data.train:
        if source.source.partition(":")[0] in sources.TAXONOMIES:
            _, held_out = split_by_concept(sources.labels(source.source, folder), data.held_out, data.seed)
            yield from (label.text for label in held_out)


def refuse_empty_epoch(recipe: Recipe, train: DatasetDict) -> None:
    """Raise when the data cannot fill one batch: such a run would train nothing.

    Raises:
        ConfigError: too few pairs or concepts, or a concept sampler on data without concepts.
    """
    for name, pairs in train.items():
        sampling = recipe.of_set(name).sampling
        if name == OWN and len(pairs) < sampling.batch_size:
            raise ConfigError(
                f"data.verdicts: {len(pairs)} accepted pairs belong to no source of pairs and make no batch of "
                f"{sampling.batch_size}. Accept more, lower sampling.batch_size, or name a source with their texts."
            )
        if sampling.sampler == "concepts" and CONCEPT not in pairs.column_names:
            raise ConfigError(
                "sampling: sampler 'concepts' needs concepts, which sample:, esco: and talentclef: sources have; "
                "a table's columns are read as text only. Set sampling.sampler=no_duplicates."
            )
        what, count = ("pairs", len(pairs))
        if sampling.sampler == "concepts":
            what, count = "concepts", len(set(pairs[CONCEPT]))
        if count < sampling.batch_size:
            raise ConfigError(
                f"sampling: {count} {what} make no batch of {sampling.batch_size}. "
                f"Set sampling.batch_size to {max(count, 2)} or less."
            )


def text_columns(pairs: Dataset) -> list[str]:
    """The columns that hold text."""
    return [name for name in pairs.column_names if name not in IDENTITY_COLUMNS]


def texts_only(data: DatasetDict) -> DatasetDict:
    """The same without identity columns."""
    return DatasetDict({name: pairs.select_columns(text_columns(pairs)) for name, pairs in data.items()})


def one_or_several(train: DatasetDict) -> Dataset | DatasetDict:
    """As a trainer takes it: a set that is alone by itself, whose rows it reads batch by batch and thus faster."""
    return next(iter(train.values())) if len(train) == 1 else train


def texts_of(data: Dataset | DatasetDict) -> Iterable[str]:
    """Every text of every text column."""
    for pairs in data.values() if isinstance(data, DatasetDict) else [data]:
        for name in text_columns(pairs):
            yield from pairs[name]


def evaluation_sets(recipe: EvaluateRecipe, data: DataRecipe, folder: Path | None) -> list[RetrievalSet]:
    """The recipe's sets, and of the optional ones those whose data is at hand.

    Raises:
        ConfigError, DataError: a set that is not optional cannot be had.
    """
    sets = [_evaluation_set(name, data, folder) for name in recipe.sets]
    for name in recipe.optional:
        try:
            sets.append(_evaluation_set(name, data, folder))
        except ConfigError:
            if recipe.best and recipe.best.set == name:
                raise
    return sets


def _evaluation_set(name: str, data: DataRecipe, folder: Path | None) -> RetrievalSet:
    return sources.retrieval_set(name, folder, share=data.held_out, seed=data.seed)


def checks(recipe: Recipe, folder: Path | None) -> Checks:
    """What the model is judged by beside retrieval.

    Raises:
        ConfigError, DataError: a set cannot be had; a guard that has nothing to go by.
    """
    needs = {"evaluate.general": recipe.evaluate.general, "training.evaluate_every": recipe.training.evaluate_every}
    if recipe.training.guard and (missing := [key for key, value in needs.items() if not value]):
        raise ConfigError(f"training.guard: needs {' and '.join(missing)}. Set that, or training.guard=false.")
    triplets = [(source.source, source.columns) for source in recipe.evaluate.triplets]
    return load_checks(folder, triplets=triplets, general=recipe.evaluate.general, gender=recipe.evaluate.gender)


def guide_store(recipe: Recipe, texts: Iterable[str], own: Path, *, overwrite: bool) -> GuideStore | None:
    """The guide's vectors of all training texts, built or found; None for a recipe without a guide.

    The run's ``own`` store serves unless the recipe names a shared one; only the own may be overwritten.
    """
    if recipe.guide.name is None:
        return None
    guide = load_model(recipe.guide.name, max_length=recipe.guide.max_length)
    shared = recipe.guide.store
    return GuideStore.build(
        guide, texts, shared or own, prompt=recipe.guide.prompt, dtype=recipe.guide.dtype,
        overwrite=overwrite and shared is None,
    )  # fmt: skip


def guided_losses(
    recipe: Recipe, model: SentenceTransformer, store: GuideStore | None, names: Iterable[str]
) -> dict[str, GuidedLoss]:
    """The loss of each set, with the set's own temperature and margin."""
    return {name: guided_loss(recipe.of_set(name), model, store) for name in names}


def guided_loss(recipe: Recipe, model: SentenceTransformer, store: GuideStore | None) -> GuidedLoss:
    """The loss with the recipe's options."""
    options = recipe.loss.model_dump(exclude={"group"})
    training = recipe.training
    # An accepted pair is no negative either, where its two texts meet in rows of others.
    never = [verdict[:2] for verdict in read_all(recipe.data.verdicts)]
    return GuidedLoss(
        model, store, never=never, token_budget=training.token_budget, memory_budget=training.memory_budget, **options
    )
