"""From a recipe to objects: training data, evaluation sets, the store, the loss, the trainer's arguments."""

from collections.abc import Iterable
from pathlib import Path

from datasets import Dataset, DatasetDict
from sentence_transformers import SentenceTransformer

from tutelage.encode.models import load_model
from tutelage.errors import ConfigError
from tutelage.evaluate.checks import Checks, load_checks
from tutelage.guide.sources import START, named
from tutelage.guide.store import GuideStore
from tutelage.records import judged, sources, taxonomy
from tutelage.records.concepts import Label
from tutelage.records.gender import with_forms_apart
from tutelage.records.pairs import CONCEPT, IDENTITY_COLUMNS, concept_pairs, described_pairs
from tutelage.records.retrieval import RetrievalSet
from tutelage.records.splits import comparable, refuse_leak, split_by_concept, split_rows
from tutelage.records.tables import is_missing
from tutelage.records.verdicts import read_all
from tutelage.sampling import ConceptBatches, NoDuplicateBatches
from tutelage.train.accepted import OWN, join_accepted
from tutelage.train.objective import GuidedLoss
from tutelage.train.recipe import DataRecipe, EvaluateRecipe, Recipe, TrainSource

PART = 16  # batches' worth of rows
Sets = dict[str, Dataset]  # the name of each set -> its rows
CHECKPOINTS = "checkpoints"  # in the output folder; TensorBoard's files lie in its `runs`
SAMPLERS: dict[str, type[NoDuplicateBatches]] = {"concepts": ConceptBatches, "no_duplicates": NoDuplicateBatches}


def training_data(data: DataRecipe, folder: Path | None, sets: Iterable[RetrievalSet]) -> Sets:
    """Every source as a set of pairs, without held-out concepts and without any text of a held-out set.

    Sets stay apart, so that batches are of one each. An optional one is left out where its data is not at hand.

    Raises:
        ConfigError, DataError: a source that is not there, cannot be read, has nothing left beside the held-out
            concepts, or (a source that names no concepts) shares a text with a held-out set; no source at hand.
    """
    # Public benchmarks are not held out by us: what they share with ESCO (TalentCLEF: most queries) is their design.
    held_out = [each for each in sets if each.held_out]
    secret = {comparable(t) for each in held_out for texts in (each.queries, each.corpus) for t in texts.values()}
    hidden = set(secret)  # and every text of a held-out concept, whether or not a set asks for it
    built: dict[str, Dataset] = {}
    for name, source in data.sets.items():
        if (found := _at_hand(source, data, folder, secret)) is not None:
            built[name] = found[0]
            hidden |= found[1]
    if not built:
        raise ConfigError("data.train: every source is optional, and the data of none is at hand. Get that of one.")
    if data.verdicts:
        built = join_accepted(built, read_all(data.verdicts), hidden)
    for name, pairs in built.items():
        if not len(pairs):
            raise ConfigError(f"data.train: '{name}' has no pair beside the held-out concepts. Lower data.held_out.")
    refuse_leak(texts_of(built), secret)
    return built


def _at_hand(
    source: TrainSource, data: DataRecipe, folder: Path | None, secret: set[str]
) -> tuple[Dataset, set[str]] | None:
    """As `_pairs`; none for an optional source whose data is not there."""
    if source.optional and is_missing(source.source):
        return None
    try:
        return _pairs(source, data, folder, secret)
    except ConfigError:
        if source.optional:
            return None
        raise


def _pairs(source: TrainSource, data: DataRecipe, folder: Path | None, secret: set[str]) -> tuple[Dataset, set[str]]:
    """The pairs of a source that may be trained on, and the texts of its held-out concepts."""
    if named := sources.label_source(source.source):
        given = taxonomy.labels(named, folder)
        given = with_forms_apart(given) if source.forms_apart else given
        labels, held_out = split_by_concept(given, data.held_out, data.seed)
        open_labels = [label for label in labels if comparable(label.text) not in secret]
        return _drawn(open_labels, source, data.seed, folder), {comparable(label.text) for label in held_out}
    pairs = sources.pairs(source.source, folder, source.columns)
    if CONCEPT not in pairs.column_names:
        return pairs, set()
    return split_rows(pairs, text_columns(pairs), secret, data.held_out, data.seed)


def _drawn(labels: list[Label], source: TrainSource, seed: int, folder: Path | None) -> Dataset:
    """The pairs that a source makes of these labels."""
    if sources.is_described(source.source):
        descriptions = sources.descriptions(source.source, folder)
        return described_pairs(labels, descriptions, max_pairs=source.max_pairs, seed=seed)
    across = sources.across_languages(source.source)
    return concept_pairs(labels, max_pairs=source.max_pairs, seed=seed, across=across)


def refuse_empty_epoch(recipe: Recipe, train: Sets) -> None:
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
                "sampling: sampler 'concepts' needs concepts, which sample:, esco: and talentclef: sources have, and "
                "tables with a column 'concept'. Add one, or set sampling.sampler=no_duplicates."
            )
        what, count = ("pairs", len(pairs))
        if sampling.sampler == "concepts":
            what, count = "concepts", len(set(pairs[CONCEPT]))
        if count < sampling.batch_size:
            raise ConfigError(
                f"sampling: {count} {what} make no batch of {sampling.batch_size}. "
                f"Set sampling.batch_size to {max(count, 2)} or less."
            )
        # Of a part of the rows, which mostly suffices: to plan an epoch of all may take as long as to read them.
        parts = (pairs.select(range(0, len(pairs), max(len(pairs) // (PART * sampling.batch_size), 1))), pairs)
        if not any(len(batches_of(recipe, name, part)) for part in parts):
            raise ConfigError(
                f"sampling: '{name}' makes no batch of {sampling.batch_size} in which no text stands twice. Set a "
                "lower batch size for it."
            )


def batches_of(recipe: Recipe, name: str, pairs: Dataset) -> NoDuplicateBatches:
    """The sampler of a set, as training makes it."""
    sampling = recipe.of_set(name).sampling
    return SAMPLERS[sampling.sampler](pairs, sampling.batch_size, drop_last=True, seed=recipe.training.seed)


def text_columns(pairs: Dataset) -> list[str]:
    """The columns that hold text."""
    return [name for name in pairs.column_names if name not in IDENTITY_COLUMNS]


def texts_only(data: Sets) -> DatasetDict:
    """The same without identity columns."""
    return DatasetDict({name: pairs.select_columns(text_columns(pairs)) for name, pairs in data.items()})


def one_or_several(train: Sets) -> Dataset | DatasetDict:
    """As a trainer takes it: a set that is alone by itself, whose rows it reads batch by batch and thus faster."""
    return next(iter(train.values())) if len(train) == 1 else DatasetDict(train)


def texts_of(data: Dataset | Sets) -> Iterable[str]:
    """Every text of every text column."""
    for pairs in data.values() if isinstance(data, dict) else [data]:
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
    return judged.retrieval_set(name, folder, share=data.held_out, seed=data.seed)


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


def encoder(recipe: Recipe, max_length: int | None = None) -> SentenceTransformer:
    """The model as it is before training; texts are cut where it says, unless ``max_length`` says otherwise."""
    model = recipe.model
    return load_model(model.name, max_length=max_length or model.max_length, layers=model.layers)


def guide_store(recipe: Recipe, texts: Iterable[str], own: Path, *, overwrite: bool) -> GuideStore | None:
    """The guide's vectors of all training texts, built or found; None for a recipe without a guide.

    The run's ``own`` store serves unless the recipe names a shared one; only the own may be overwritten.
    """
    guide, shared = recipe.guide, recipe.guide.store
    if not guide.names:
        return None

    def load(name: str) -> SentenceTransformer:
        if name == START:
            return encoder(recipe, guide.max_length)
        return load_model(name, max_length=guide.max_length)

    texts = list(texts)
    source = named(guide.names, texts, load, combine=guide.combine or "mean", prompt=guide.prompt)
    return GuideStore.build(source, texts, shared or own, dtype=guide.dtype, overwrite=overwrite and shared is None)


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
