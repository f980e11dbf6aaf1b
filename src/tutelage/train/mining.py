"""Triplets for training, mined from a recipe's pairs or from a table: a Parquet file that says how it was made."""

import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
import torch
from datasets import Dataset
from jaxtyping import Float
from torch import Tensor

from tutelage.encode.encoder import encode
from tutelage.encode.models import MINILM, load_model
from tutelage.errors import ConfigError, DataError
from tutelage.evaluate.report import provenance
from tutelage.guide import fingerprint as fp
from tutelage.guide.mining import MiningRules, mine
from tutelage.losses.masks import IdIndex
from tutelage.losses.rules import Listed, Match
from tutelage.records import sources, taxonomy
from tutelage.records.attributions import METADATA, origins
from tutelage.records.pairs import CONCEPT, IDENTITY_COLUMNS
from tutelage.records.texts import text_ids
from tutelage.records.verdicts import read_all
from tutelage.train import build
from tutelage.train.place import GUIDE
from tutelage.train.recipe import DataRecipe, TrainSource, load_recipe, shipped
from tutelage.train.run import prepare


class Finder(NamedTuple):
    """Who finds texts near: vectors of texts, and the widths of their slices if the nearest of these counts."""

    embed: Callable[[list[str]], Float[Tensor, "texts dim"]]
    guide_dims: tuple[int, ...] | None
    name: str
    fingerprint: fp.Fingerprint


def mine_triplets(
    source: str,
    out: Path,
    folder: Path | None = None,
    *,
    model: str | None = None,
    rules: MiningRules | None = None,
    overrides: Iterable[str] = (),
    progress: bool = True,
) -> dict[str, Any]:
    """Write the triplets of a source, ready to be a source themselves (columns anchor, positive, negative).

    Each data set is mined by itself: anchors against its positives. A negative never has its anchor's text, nor a
    concept that the anchor stands under anywhere in the data, nor was it judged beside it (``data.verdicts``). Concept,
    group and language of the pair stand beside it.

    Args:
        source: a recipe (a .yaml file or a shipped name), or one source of pairs: a table, esco:en ...
        out: the Parquet file.
        folder: the folder of real data, if any.
        model: who finds them near; default: a recipe's guide, its store shared with training, else all-MiniLM-L6-v2.
        rules: the filters.
        overrides: of a recipe, as in ``--set``.
        progress: show a bar while texts are embedded.

    Returns:
        The provenance, which is in the file too: source, model, fingerprint, settings, versions, counts.

    Raises:
        ConfigError, DataError: a source, a model or a range that cannot be used; no negative found.
    """
    rules = rules or MiningRules()
    if out.suffix.lower() != ".parquet":
        raise ConfigError(f"{out}: triplets are written as Parquet. Name a file that ends in .parquet.")
    _refuse_to_write_over(out, [source])
    train, data, finder = _opened(source, folder, model, list(overrides), progress)
    _refuse_to_write_over(out, [*(each.source for each in data.train), *data.verdicts])
    concepts = _concepts(train, data, folder)
    # Whatever the verdict on a pair, its texts are no negatives of each other.
    kin = _joined(concepts, (verdict[:2] for verdict in read_all(data.verdicts)), "verdict")
    tables = [_triplets(name, rows, concepts, kin, finder, rules) for name, rows in train.items()]
    triplets = pa.concat_tables(tables)
    if not len(triplets):
        raise DataError(f"{source}: no negative passed the filters. Widen the range or lower the margin.")
    learned = [each.source for name, each in data.sets.items() if name in train]
    about = {
        "source": source,
        "sources": [*learned, *origins(learned).values()],
        "model": finder.name,
        "fingerprint": fp.short(finder.fingerprint),
        "settings": asdict(rules),
        "pairs": sum(map(len, train.values())),
        "triplets": len(triplets),
        **provenance(),
    }
    out.parent.mkdir(parents=True, exist_ok=True)
    beside = out.with_name(f".{out.name}.partial")
    pq.write_table(triplets.replace_schema_metadata({METADATA: json.dumps(about).encode()}), beside)
    beside.replace(out)
    return about


def _refuse_to_write_over(out: Path, read: Iterable[str | Path]) -> None:
    for each in map(Path, read):
        if each.is_file() and each.resolve() == out.resolve():
            raise ConfigError(f"{out}: is read to learn from. Choose another file to write.")


def _opened(
    source: str, folder: Path | None, model: str | None, overrides: list[str], progress: bool
) -> tuple[build.Sets, DataRecipe, Finder]:
    """The pairs, what they were read from, and who finds texts near."""
    recipe = None
    if source in shipped() or Path(source).suffix in (".yaml", ".yml"):
        recipe = load_recipe(source, overrides, sample=folder is None)
        data = recipe.data
        train = prepare(recipe, folder, overwrite=True).train
    else:
        data = DataRecipe(train=(TrainSource(source=source),), held_out=0.0)
        train = build.training_data(data, folder, [])
    if recipe is not None and recipe.guide.title is not None and model is None:
        store = build.guide_store(recipe, build.texts_of(train), recipe.output / GUIDE, overwrite=False)
        assert store is not None
        dims, fields = store.guide_dims, store.fingerprint
        return train, data, Finder(lambda texts: store.vectors(text_ids(texts)), dims, recipe.guide.title, fields)
    name = model or (recipe.model.name if recipe else MINILM)
    max_length = recipe.model.max_length if recipe else None
    encoder = build.encoder(recipe) if recipe and model is None else load_model(name, max_length=max_length)
    label = "mine" if progress else None

    def embed(texts: list[str]) -> Tensor:
        return torch.from_numpy(encode(encoder, texts, progress=label)).to(encoder.device)

    return train, data, Finder(embed, None, name, fp.of_model(encoder))


def _concepts(train: build.Sets, data: DataRecipe, folder: Path | None) -> dict[str, set[str]]:
    """Every concept of every text, those of labels that were not drawn into a pair too."""
    concepts: dict[str, set[str]] = {}
    for rows in train.values():
        if CONCEPT in rows.column_names:
            for name in build.text_columns(rows)[:2]:  # a negative is of another concept
                for text, concept in zip(rows[name], rows[CONCEPT], strict=True):
                    concepts.setdefault(text, set()).add(concept)
    for named in filter(None, (sources.label_source(source.source) for source in data.train)):
        with suppress(ConfigError):  # an optional source that is not at hand; any other has been refused before
            for label in taxonomy.labels(named, folder):
                concepts.setdefault(label.text, set()).add(label.concept)
    return concepts


def _joined(kin: dict[str, set[str]], pairs: Iterable[tuple[str, str]], what: str) -> dict[str, set[str]]:
    """The kin, and each of these pairs as one of its own."""
    found = {text: set(named) for text, named in kin.items()}
    for number, pair in enumerate(pairs):
        for text in pair:
            found.setdefault(text, set()).add(f"\x00{what} {number}")
    return found


def _both_ways(rows: Dataset) -> Iterator[tuple[str, str]]:
    """The pairs whose texts stand in the other's column too: a pair is one in both directions."""
    asked, answers = set(rows["anchor"]), set(rows["positive"])
    for pair in zip(rows["anchor"], rows["positive"], strict=True):
        if pair[1] in asked and pair[0] in answers:
            yield pair


def _triplets(
    name: str,
    rows: Dataset,
    concepts: dict[str, set[str]],
    kin: dict[str, set[str]],
    finder: Finder,
    rules: MiningRules,
) -> pa.Table:
    """The triplets of one data set; texts that are of one ``kin`` are no negatives of each other."""
    if CONCEPT not in rows.column_names:
        kin = _joined(kin, _both_ways(rows), "pair")
    anchors, corpus = list(dict.fromkeys(rows["anchor"])), list(dict.fromkeys(rows["positive"]))
    query_of, place_of = ({text: i for i, text in enumerate(texts)} for texts in (anchors, corpus))
    first: dict[tuple[int, int], int] = {}  # pair -> the row that it is first met in
    for row, (anchor, positive) in enumerate(zip(rows["anchor"], rows["positive"], strict=True)):
        first.setdefault((query_of[anchor], place_of[positive]), row)
    pairs = torch.tensor(list(first))
    queries, documents = finder.embed(anchors), finder.embed(corpus)
    forbidden = _forbidden(anchors, corpus, kin, queries.device)
    mined = mine(queries, documents, pairs.to(queries.device), rules, forbidden, finder.guide_dims)
    pair, negative = (each.cpu() for each in (mined.pair, mined.negative))
    chosen = rows.select(list(first.values())).select(pair.tolist())
    passed = [corpus[place] for place in negative.tolist()]
    return pa.table(
        {
            "anchor": _strings(chosen["anchor"]),
            "positive": _strings(chosen["positive"]),
            "negative": _strings(passed),
            "positive_score": mined.positive_score.cpu().numpy(),
            "negative_score": mined.negative_score.cpu().numpy(),
            "rank": mined.rank.cpu().numpy(),
            **{
                each: _strings(chosen[each] if each in rows.column_names else [""] * len(chosen))
                for each in IDENTITY_COLUMNS
            },
            "concept_negative": _strings(" ".join(sorted(concepts.get(text, ()))) for text in passed),
            "source": _strings([name] * len(passed)),
        }
    )


def _strings(texts: Iterable[str]) -> pa.Array:
    return pa.array(list(texts), pa.string())


def _forbidden(
    anchors: list[str], corpus: list[str], concepts: dict[str, set[str]], device: torch.device
) -> list[Match | Listed]:
    """Same text, and same concept: by way of the concepts of a query to the texts under them."""
    same_text = Match(_index(text_ids(corpus), device), (torch.from_numpy(text_ids(anchors)).to(device),))
    number = {concept: i for i, concept in enumerate(sorted({c for named in concepts.values() for c in named}))}
    of = [
        [(i, number[c]) for i, text in enumerate(texts) for c in concepts.get(text, ())] for texts in (anchors, corpus)
    ]
    if not all(of):
        return [same_text]
    of_query, of_document = (torch.tensor(each, device=device).T.contiguous() for each in of)
    partners = IdIndex(*of_query)  # ascending as listed
    concept, order = of_document[1].sort(stable=True)
    candidates = IdIndex(concept, of_document[0][order])
    return [same_text, Listed(candidates, (torch.arange(len(anchors), device=device),), partners)]


def _index(ids: Any, device: torch.device) -> IdIndex:
    index = IdIndex.of([torch.from_numpy(ids).to(device)])
    assert index is not None
    return index
