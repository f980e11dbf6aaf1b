"""The audit of a recipe: what its guide will do to the batches it will train on, before or after it has trained.

The batches come from the recipe's own sampler and seed, the decisions from the loss itself. Written to a folder:
``audit.json`` (all that `audit` returns), and ``dropped.parquet`` and ``near.parquet``, whose column ``verdict`` waits
for a person: ``positive`` or ``never``, then the file goes into the recipe's ``data.verdicts``.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from datasets import Dataset
from tqdm import tqdm

from tutelage.encode.models import load_model, resolve_model
from tutelage.errors import ConfigError
from tutelage.evaluate.report import provenance, write_json
from tutelage.guide.audit import BINS, Audit
from tutelage.guide.margins import MARGINS
from tutelage.guide.seen_pairs import Pairs
from tutelage.guide.store import GuideStore
from tutelage.losses.contrastive import plan_of
from tutelage.losses.rules import Plan
from tutelage.records.pairs import IDENTITY_COLUMNS
from tutelage.records.verdicts import read_verdicts
from tutelage.sampling import NoDuplicateBatches
from tutelage.train import build
from tutelage.train.collate import GROUP_ID, TEXT_ID, identities
from tutelage.train.judging import described, write_pairs
from tutelage.train.objective import GuidedLoss
from tutelage.train.place import GUIDE
from tutelage.train.recipe import Recipe
from tutelage.train.run import prepare

FOLDER, REPORT = "audit", "audit.json"
PAIRS = {"dropped": "dropped.parquet", "near": "near.parquet"}
LISTED = 200  # pairs of each kind
NEAREST = 2048  # looked at in a tile: a text stands once in a batch, so these are far more than 200 distinct pairs
MOST_CANDIDATES = 2**28  # of one data set and batch size; larger batches are fewer


@dataclass(frozen=True)
class Planned:
    """The batches of one data set at one batch size, as row numbers."""

    name: str
    rows: Dataset
    size: int
    batches: list[list[int]]


def audit(
    recipe: Recipe,
    folder: Path | None = None,
    *,
    model: str | None = None,
    batch_sizes: Sequence[int] = (),
    batches: int = 32,
    rate: float = 0.01,
    out: Path | None = None,
    progress: bool = True,
) -> dict[str, Any]:
    """What every rule drops, and how the guide's scores lie, over batches that the recipe would train on.

    The guide store is built or reused as training does, in the recipe's output; nothing else there is touched.

    Args:
        recipe: what would be trained.
        folder: the folder of real data, if any.
        model: the encoder, a checkpoint for instance; default: the one that the recipe starts from.
        batch_sizes: default: the recipe's.
        batches: of each data set and batch size; fewer where batches are very large.
        rate: for which share of dropped candidates a margin is asked.
        out: where the files go; default: ``audit`` in the recipe's output.
        progress: show bars.

    Returns:
        ``sets``: name -> batch size -> see `Audit.to_dict`; ``dropped`` and ``near``: pairs at the first batch size;
        the ``bins`` and ``margins`` of the histograms and curves; guide, encoder, versions.

    Raises:
        ConfigError, DataError, CacheMismatch: no guide, batches that cannot be filled, verdicts that would be lost.
    """
    out = out or recipe.output / FOLDER
    encoder_name = model or recipe.model.name
    sizes: list[int | None] = [*dict.fromkeys(batch_sizes)] or [None]  # none: what training would use
    _refuse(recipe, encoder_name, rate, out)
    train = prepare(recipe, folder, overwrite=True).train
    for size in sizes:
        build.refuse_empty_epoch(_with_batch_size(recipe, size), train)
    plans = [planned for size in sizes for planned in _planned(_with_batch_size(recipe, size), train, batches)]

    store = build.guide_store(recipe, build.texts_of(train), recipe.output / GUIDE, overwrite=False)
    encoder = load_model(model, max_length=recipe.model.max_length) if model else build.encoder(recipe)
    # Another frozen model, as far as an audit goes. It sees texts without the prompts that a set may have.
    vectors = GuideStore.build(
        encoder, _texts(plans), out / "encoder", prompt="", dtype="float32", overwrite=True,
        progress="encoder" if progress else None,
    )  # fmt: skip
    losses = build.guided_losses(recipe, encoder, store, train)
    tables = {"dropped": Pairs(), "near": Pairs(NEAREST)}
    sets: dict[str, dict[str, Any]] = {}
    total = sum(len(planned.batches) for planned in plans)
    with tqdm(total=total, desc="audit", unit=" batches", disable=None if progress else True) as bar:
        for number, planned in enumerate(plans):
            loss = losses[planned.name].to(encoder.device)
            each = (_plan(loss, vectors, planned.rows[batch], recipe.loss.group) for batch in planned.batches)
            found = _audited(each, planned, rate, tables if number < len(train) else {}, bar)
            sets.setdefault(planned.name, {})[str(planned.size)] = found

    listed = {kind: table.top(LISTED) for kind, table in tables.items()}
    report = {
        "name": recipe.name,
        **provenance(),
        "guide": recipe.guide.title,
        "encoder": encoder_name,
        "margin": recipe.loss.margin,
        "margin_strategy": recipe.loss.margin_strategy,
        "rate": rate,
        "bins": BINS.tolist(),
        "margins": MARGINS.tolist(),
        "sets": sets,
        **described(listed, list(train.values())),
    }
    for kind, file in PAIRS.items():
        write_pairs(out / file, report[kind])
    write_json(out / REPORT, report)
    return report


def _refuse(recipe: Recipe, encoder: str, rate: float, out: Path) -> None:
    """What can be seen to fail before any data is read."""
    if not recipe.guide.names:
        raise ConfigError("audit: the recipe has no guide. Set guide.name.")
    if not 0 < rate < 1:
        raise ConfigError(f"audit: rate is {rate}; wanted a share of the candidates between 0 and 1.")
    resolve_model(encoder)
    _refuse_to_lose_verdicts(out)


def _audited(
    plans: Iterable[Plan], planned: Planned, rate: float, tables: dict[str, Pairs], bar: Any
) -> dict[str, Any]:
    """One data set at one batch size."""
    audit: Audit | None = None
    for plan in plans:
        if audit is None:
            audit = Audit(rate=rate, candidates=_candidates(plan) * len(planned.batches), **tables)
        audit.add(plan)
        bar.update()
    assert audit is not None
    return audit.to_dict()


def _refuse_to_lose_verdicts(out: Path) -> None:
    for file in PAIRS.values():
        if (out / file).is_file() and read_verdicts(out / file):
            raise ConfigError(
                f"audit: {out / file} holds verdicts, which a new audit would overwrite. Move it (and name it in "
                "data.verdicts), or give another --out."
            )


def _with_batch_size(recipe: Recipe, size: int | None) -> Recipe:
    if size is None:
        return recipe
    train = tuple(source.model_copy(update={"batch_size": size}) for source in recipe.data.train)
    return recipe.model_copy(
        update={
            "sampling": recipe.sampling.model_copy(update={"batch_size": size}),
            "data": recipe.data.model_copy(update={"train": train}),
        }
    )


def _planned(recipe: Recipe, train: build.Sets, batches: int) -> Iterator[Planned]:
    """The first batches that training would draw from each data set, epoch after epoch."""
    for name, rows in train.items():
        size = recipe.of_set(name).sampling.batch_size
        count = max(min(batches, MOST_CANDIDATES // (4 * size * size)), 1)
        yield Planned(name, rows, size, [*islice(_epochs(build.batches_of(recipe, name, rows)), count)])


def _epochs(sampler: NoDuplicateBatches) -> Iterator[list[int]]:
    epoch = 0
    while True:
        sampler.set_epoch(epoch)
        yield from sampler
        epoch += 1


def _texts(plans: Iterable[Planned]) -> Iterator[str]:
    for planned in plans:
        for batch in planned.batches:
            rows = planned.rows[batch]
            for name in build.text_columns(planned.rows):
                yield from rows[name]


def _plan(loss: GuidedLoss, vectors: GuideStore, batch: dict[str, list[str]], group: str) -> Plan:
    """The loss's own plan of a batch: its options, its rules, its guide."""
    names = [name for name in batch if name not in IDENTITY_COLUMNS]
    rows = [dict(zip(batch, values, strict=True)) for values in zip(*batch.values(), strict=True)]
    found = identities(rows, names, group)
    ids = [identity[TEXT_ID] for identity in found]
    device = loss.model.device
    sides = loss.embedded(
        [vectors.vectors(i).to(device) for i in ids],
        [i.to(device) for i in ids],
        [identity[GROUP_ID].to(device) if GROUP_ID in identity else None for identity in found],
    )
    return plan_of(*sides, **loss.options | {"dims": None, "never": loss.never})


def _candidates(plan: Plan) -> int:
    return len(plan.positive_column) * sum(len(block.candidates) for block in plan.blocks)
