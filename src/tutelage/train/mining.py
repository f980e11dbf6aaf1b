"""Triplets for training, mined from a recipe's pairs or from a table: a Parquet file that says how it was made."""

import json
from collections.abc import Callable, Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import torch
from datasets import Dataset, DatasetDict
from jaxtyping import Float
from torch import Tensor

from tutelage.encode.encoder import encode
from tutelage.encode.models import MINILM, load_model
from tutelage.errors import DataError
from tutelage.evaluate.report import provenance
from tutelage.guide import fingerprint
from tutelage.guide.mining import MiningRules, mine
from tutelage.losses.masks import IdIndex
from tutelage.losses.rules import Listed, Match
from tutelage.records import sources
from tutelage.records.pairs import CONCEPT
from tutelage.records.texts import text_ids
from tutelage.train import build
from tutelage.train.recipe import DataRecipe, TrainSource, load_recipe, shipped
from tutelage.train.run import GUIDE, prepare

METADATA = b"tutelage"
Embed = Callable[[list[str]], Float[Tensor, "texts dim"]]


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
    concept that the anchor stands under anywhere in the data.

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
    train, data, embed, made_by = _opened(source, folder, model, list(overrides), progress)
    concepts = _concepts(train, data, folder)
    tables = [_triplets(name, rows, concepts, embed, rules) for name, rows in train.items()]
    triplets = pa.concat_tables(tables)
    if not len(triplets):
        raise DataError(f"{source}: no negative passed the filters. Widen the range or lower the margin.")
    about = {
        "source": source,
        **made_by,
        "settings": asdict(rules),
        "pairs": sum(map(len, train.values())),
        "triplets": len(triplets),
        **provenance(),
    }
    out.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(triplets.replace_schema_metadata({METADATA: json.dumps(about).encode()}), out)
    return about


def _opened(
    source: str, folder: Path | None, model: str | None, overrides: list[str], progress: bool
) -> tuple[DatasetDict, DataRecipe, Embed, dict[str, str]]:
    """The pairs, what they were read from, and how and by whom texts are embedded."""
    recipe = None
    if source in shipped() or Path(source).suffix in (".yaml", ".yml"):
        recipe = load_recipe(source, overrides)
        data = recipe.data
        _, train = prepare(recipe, folder, overwrite=True)
    else:
        data = DataRecipe(train=(TrainSource(source=source),), held_out=0.0)
        train = build.training_data(data, folder, [])
    if recipe is not None and recipe.guide.name is not None and model is None:
        name = recipe.guide.name
        store = build.guide_store(recipe, build.texts_of(train), recipe.output / GUIDE, overwrite=False)
        assert store is not None
        return train, data, lambda texts: store.vectors(text_ids(texts)), _made_by(name, store.fingerprint)
    name = model or (recipe.model.name if recipe else MINILM)
    encoder = load_model(name, max_length=recipe.model.max_length if recipe else None)
    label = "mine" if progress else None

    def embed(texts: list[str]) -> Tensor:
        return torch.from_numpy(encode(encoder, texts, progress=label)).to(encoder.device)

    return train, data, embed, _made_by(name, fingerprint.of_model(encoder))


def _made_by(name: str, fields: fingerprint.Fingerprint) -> dict[str, str]:
    return {"model": name, "fingerprint": fingerprint.short(fields)}


def _concepts(train: DatasetDict, data: DataRecipe, folder: Path | None) -> dict[str, set[str]]:
    """Every concept of every text, those of labels that were not drawn into a pair too."""
    concepts: dict[str, set[str]] = {}
    for rows in train.values():
        if CONCEPT in rows.column_names:
            for name in build.text_columns(rows):
                for text, concept in zip(rows[name], rows[CONCEPT], strict=True):
                    concepts.setdefault(text, set()).add(concept)
    for source in data.train:
        if source.source.partition(":")[0] in sources.TAXONOMIES:
            for label in sources.labels(source.source, folder):
                concepts.setdefault(label.text, set()).add(label.concept)
    return concepts


def _triplets(name: str, rows: Dataset, concepts: dict[str, set[str]], embed: Embed, rules: MiningRules) -> pa.Table:
    """The triplets of one data set."""
    anchors, corpus = list(dict.fromkeys(rows["anchor"])), list(dict.fromkeys(rows["positive"]))
    query_of, place_of = ({text: i for i, text in enumerate(texts)} for texts in (anchors, corpus))
    named = zip(rows["anchor"], rows["positive"], strict=True)
    pairs = torch.tensor(list(dict.fromkeys((query_of[a], place_of[p]) for a, p in named)))
    queries, documents = embed(anchors), embed(corpus)
    forbidden = _forbidden(anchors, corpus, concepts, queries.device)
    mined = mine(queries, documents, pairs.to(queries.device), rules, forbidden)
    query, positive = (side.cpu() for side in pairs[mined.pair.cpu()].T)
    texts = [pa.array(each) for each in (anchors, corpus)]
    groups = [pa.array([" ".join(sorted(concepts.get(text, ()))) for text in each]) for each in (anchors, corpus)]
    negative = mined.negative.cpu()
    return pa.table(
        {
            "anchor": texts[0].take(pa.array(query.numpy())),
            "positive": texts[1].take(pa.array(positive.numpy())),
            "negative": texts[1].take(pa.array(negative.numpy())),
            "positive_score": mined.positive_score.cpu().numpy(),
            "negative_score": mined.negative_score.cpu().numpy(),
            "rank": mined.rank.cpu().numpy(),
            "concept": groups[0].take(pa.array(query.numpy())),
            "concept_negative": groups[1].take(pa.array(negative.numpy())),
            "source": pa.array([name] * len(negative), pa.string()),
        }
    )


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
