"""What is owed to those whose data is used: on a model card, and beside data sets that are written out."""

import json
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

MANIFEST = "manifest.json"  # beside sets that were written out
METADATA = b"tutelage"  # the key of what a Parquet file of ours says of itself

ATTRIBUTIONS = {
    "esco": "This service uses the ESCO classification of the European Commission (https://esco.ec.europa.eu).",
    "talentclef": "TalentCLEF 2025 Task A corpus, doi:10.5281/zenodo.14002665, under the licence stated on that "
    "record; its training pairs derive from ESCO.",
    "stsb-tr": "STSb-TR 1.0 (https://github.com/verimsu/STSb-TR): scores under CC BY-SA 4.0, part of the original "
    "texts under other terms; Beken Fikri, Oflazer and Yanikoglu, GEM 2021.",
    "cnli-tr": "CNLI-TR, augmented (https://github.com/iambusra/CNLI-TR_augmentation): CC BY-SA 4.0 by its README.",
    "tquad": "TQuAD (https://github.com/okanvk/Turkish-Reading-Comprehension-Question-Answering-Dataset): MIT.",
}
TERMS = {
    "esco": "ESCO: (c) European Union; reuse is authorised provided the source is acknowledged.",
    "talentclef": "TalentCLEF: the licence stated on its Zenodo record; its training pairs derive from ESCO.",
    "sample": "The sample inside tutelage: public domain (CC0 1.0).",
    "titles": "Titles from files of your own: the terms under which you have them.",
}


def origins(sources: Iterable[str]) -> dict[str, str]:
    """Source -> what it was made of, for files that say so: triplets that were mined, sets that were written out.

    >>> origins(["esco:en", "no/such/file.jsonl"])
    {}
    """
    return {source: origin for source in sources if (origin := _origin(Path(source)))}


def _origin(path: Path) -> str:
    with suppress(OSError, ValueError, KeyError, TypeError, AttributeError, pa.ArrowException):
        if path.suffix == ".parquet":
            about = json.loads((pq.read_schema(path).metadata or {})[METADATA])
            return " ".join(about.get("sources", [about["source"]]))
        if path.is_file():
            of_sets = json.loads((path.parent / MANIFEST).read_text(encoding="utf-8"))["sets"]
            return str(of_sets[path.name.partition(".")[0]]["source"])
    return ""
