"""Data by name: what to learn from (`esco:en`, `esco-mix:en,de`, `talentclef:en`), what to judge by, or a path.

Real data lies in the folder that ``--data`` or ``TUTELAGE_DATA`` names, laid out as::

    esco/en.csv.gz ...        the occupations files of ESCO's CSV download, one a language (.csv or .csv.gz)
    talentclef25/train/       en.tsv ...             TalentCLEF 2025 Task A training pairs
    talentclef25/validation/  en/ es/ de/ zh/        queries, corpus_elements, qrels.tsv
    turkish/stsb_tr/          train.tsv, dev.tsv     scored sentence pairs (STSb-TR)
    turkish/tquad/            train.tsv, dev.tsv, contexts.tsv.gz   questions and passages (TQuAD)
    turkish/cnli_tr/          train.tsv.gz, dev.tsv.gz   premises and hypotheses (CNLI-TR)

A language that ESCO lacks may lie there too, as translated titles of yours: esco/zh.csv with ESCO's columns conceptUri,
preferredLabel, altLabels, or with one title a row under conceptUri, label. ISCO groups are then those of esco/en.csv.

Without the folder the sample inside the package serves: small, our own, for trying things out.
"""

import os
from collections.abc import Sequence
from functools import lru_cache
from importlib.resources import files
from pathlib import Path

from datasets import Dataset

from tutelage.errors import ConfigError, DataError
from tutelage.records.concepts import Concept, Label, labels_of, with_groups
from tutelage.records.esco import read_esco
from tutelage.records.gender import GenderedTitles, gendered_titles
from tutelage.records.mteb import read_mteb
from tutelage.records.pairs import read_pairs
from tutelage.records.retrieval import RetrievalSet, labels_set, read_retrieval, translations_set
from tutelage.records.scored import ScoredPairs, read_scored
from tutelage.records.splits import HELD_OUT_SHARE, split_by_concept
from tutelage.records.tables import read_text
from tutelage.records.talentclef import read_talentclef_pairs
from tutelage.records.texts import canonical, distinct, first_sentence
from tutelage.records.triplets import COLUMNS as TRIPLET
from tutelage.records.triplets import TripletSet, read_triplets
from tutelage.records.turkish import read_cnli, read_tquad, training_rows

SAMPLE = Path(str(files("tutelage.records") / "sample"))
TAXONOMIES = ("sample", "esco")
ACROSS = "-mix"  # of a taxonomy's name: pairs of labels in different languages
DESCRIBED = "-descriptions"  # pairs of a label and its concept's description
REDRAWN = ".resampled.tsv"
TURKISH = ("cnli-tr", "stsb-tr", "tquad", "sample-telecom")  # data sets with a split to learn from and one to judge by
HOW_TO_GET_DATA = (
    "Get ESCO as CSV from https://esco.ec.europa.eu (Download) and TalentCLEF from doi:10.5281/zenodo.14002665, lay "
    "them out as esco/en.csv and talentclef25/validation/en/, and name the folder in TUTELAGE_DATA or --data."
)


def data_folder(given: str | Path | None = None) -> Path | None:
    """The folder of real data: ``given``, else ``TUTELAGE_DATA``, else none.

    Raises:
        ConfigError: the folder named does not exist.
    """
    named = given or os.environ.get("TUTELAGE_DATA")
    if not named:
        return None
    if not Path(named).is_dir():
        raise ConfigError(f"data folder {named}: no such folder. {HOW_TO_GET_DATA}")
    return Path(named)


def concepts(name: str, folder: Path | None = None) -> list[Concept]:
    """Concepts of ``sample:LANGUAGES`` or ``esco:LANGUAGES`` (languages joined by commas).

    A concept that names no ISCO group is given its English one.

    Raises:
        ConfigError: an unknown taxonomy or language, or real data asked for where there is none.
    """
    taxonomy, _, languages = name.partition(":")
    if taxonomy not in TAXONOMIES or not languages:
        raise ConfigError(f"'{name}': unknown labels. Wanted sample:LANGUAGE or esco:LANGUAGE, as in esco:en,de.")
    home = SAMPLE if taxonomy == "sample" else _real(name, folder) / "esco"
    found = {file.name.split(".")[0]: file for file in sorted(home.glob("*.csv*"))} if home.is_dir() else {}
    if missing := [language for language in languages.split(",") if language not in found]:
        raise ConfigError(
            f"'{name}': no labels in '{missing[0]}'. {home} has: {', '.join(found) or 'no CSV file'}."
            + ("" if taxonomy == "sample" else f" {HOW_TO_GET_DATA}")
        )
    return [concept for language in languages.split(",") for concept in _grouped(found, language)]


def _grouped(files: dict[str, Path], language: str) -> list[Concept]:
    read = _read(files[language], language)
    if "en" not in files or all(concept.group for concept in read):
        return read
    return with_groups(read, _read(files["en"], "en"))


@lru_cache(maxsize=32)  # one run asks for the same language's file for training, held-out and search
def _read(path: Path, language: str) -> list[Concept]:
    return read_esco(path, language)


def labels(name: str, folder: Path | None = None) -> list[Label]:
    """Labels of ``sample:LANGUAGES``, ``esco:LANGUAGES``, or of a file with one label a line.

    Raises:
        ConfigError, DataError: as `concepts`; an empty file.
    """
    if name.partition(":")[0] in TAXONOMIES:
        return labels_of(concepts(name, folder))
    texts = distinct(text for line in read_text(Path(name)).split("\n") if (text := canonical(line)))
    if not texts:
        raise DataError(f"{name}: no label in it. Wanted one label a line.")
    return [Label(text, concept=text, group="", language="") for text in texts]


def label_source(name: str) -> str:
    """The labels that a source of training pairs is drawn from; "" where it is a table of pairs already.

    ``esco:en,de`` pairs labels within and across languages, ``esco-mix:en,de`` across only, ``esco-descriptions:en`` a
    label with its concept's description.

    Raises:
        ConfigError: pairs across languages, and not two languages.

    >>> label_source("esco-mix:en,de"), label_source("sample:en"), label_source("talentclef:en")
    ('esco:en,de', 'sample:en', '')
    """
    kind, _, languages = name.partition(":")
    taxonomy = kind.removesuffix(ACROSS).removesuffix(DESCRIBED)
    if taxonomy not in TAXONOMIES:
        return ""
    if across_languages(name) and len({*languages.split(",")}) < 2:
        raise ConfigError(f"'{name}': wanted two languages or more that pair with each other, as in {kind}:en,de.")
    return f"{taxonomy}:{languages}"


def across_languages(name: str) -> bool:
    """Whether a source of training pairs takes labels of different languages only."""
    return name.partition(":")[0].endswith(ACROSS)


def is_described(name: str) -> bool:
    """Whether a source of training pairs stands labels beside their concept's description."""
    return name.partition(":")[0].endswith(DESCRIBED)


def descriptions(name: str, folder: Path | None = None) -> dict[tuple[str, str], str]:
    """(concept, language) -> the first sentence of its description, of ``esco-descriptions:LANGUAGES``.

    Raises:
        ConfigError: as `concepts`.
    """
    found = concepts(label_source(name), folder)
    return {(each.uri, each.language): first_sentence(each.description) for each in found if each.description}


def pairs(name: str, folder: Path | None = None, columns: tuple[str, ...] = ("anchor", "positive")) -> Dataset:
    """Training pairs by name, or of a table (JSONL, CSV, TSV, Parquet, a hub dataset).

    ========================  =======================================================================
    ``talentclef:en``         job titles of one occupation
    ``cnli-tr:train``         triplets: a Turkish premise, what follows from it, what does not
    ``tquad:train``           Turkish questions and their passages
    ``stsb-tr:train``         Turkish sentences that people scored 4 of 5 or more alike
    ``sample-telecom:train``  triplets: a Turkish question on telecom services, its answer, another's
    ========================  =======================================================================

    Raises:
        ConfigError, DataError: nothing of that name; a fault in its rows.
    """
    kind, _, language = name.partition(":")
    if kind in TURKISH:
        return training_rows(general_set(name, folder) if kind in ("tquad", "stsb-tr") else triplet_set(name, folder))
    if kind != "talentclef":
        return read_pairs(name, columns)
    if files := talentclef_files(language, _real(name, folder)):
        return read_talentclef_pairs(files[0], language)
    home = _real(name, folder) / "talentclef25" / "train"
    raise ConfigError(f"'{name}': {home} has no {language}.tsv. {HOW_TO_GET_DATA}")


def talentclef_files(language: str, folder: Path) -> list[Path]:
    """TalentCLEF's training files of a language that are at hand, the organisers' before one that was drawn anew."""
    names = f"{language}.tsv", f"taskA_training_{language}.tsv", f"{language}{REDRAWN}"
    return [path for name in names if (path := folder / "talentclef25" / "train" / name).is_file()]


def hides(name: str) -> bool:
    """Whether an evaluation set holds concepts that the split keeps from training.

    >>> hides("esco-mix:en-de"), hides("talentclef:en")
    (True, False)
    """
    taxonomy, _, use = name.partition(":")[0].rpartition("-")
    return taxonomy in TAXONOMIES and use in ("heldout", "family", "mix")


def retrieval_set(
    name: str, folder: Path | None = None, *, share: float = HELD_OUT_SHARE, seed: int = 0
) -> RetrievalSet:
    """An evaluation set by name; ``sample`` may stand for ``esco``.

    ========================  ================================================================
    ``esco-heldout:en``       labels of held-out concepts, each a query and an entry
    ``esco-family:en``        the same, where every label of the ISCO unit group is right
    ``esco-mix:en-de``        English labels of held-out concepts, to find the German ones
    ``talentclef:en``         the public validation set
    ``tquad:dev``             Turkish questions, to find their passages
    ``mteb:TASK``             a retrieval task of the mteb package, if its data is at hand
    a folder or zip           ``queries``, ``corpus_elements``, ``qrels.tsv``
    ========================  ================================================================

    Held-out concepts are those that a split with this ``share`` and ``seed`` keeps from training.

    Raises:
        ConfigError, DataError: nothing of that name; a fault in its files.
    """
    kind, _, language = name.partition(":")
    taxonomy, _, use = kind.rpartition("-")

    def held_out(languages: str) -> list[Label]:
        return split_by_concept(labels(f"{taxonomy}:{languages}", folder), share, seed)[1]

    if hides(name) and use == "heldout":
        return labels_set(name, held_out(language))
    if hides(name) and use == "family":
        return labels_set(name, [each._replace(concept=each.group) for each in held_out(language) if each.group])
    if hides(name):
        asked, _, found = language.partition("-")
        if not (asked and found) or "-" in found:
            raise ConfigError(f"'{name}': wanted two languages, of queries and of corpus, as in {kind}:en-de.")
        return translations_set(name, held_out(asked), held_out(found))
    if kind == "mteb":
        return read_mteb(language)
    if kind == "tquad":
        return read_tquad(_turkish(name, folder, f"tquad/{language}.tsv").parent, language, name)
    if kind == "talentclef":
        home = _real(name, folder) / "talentclef25" / "validation" / language
        if not home.is_dir():
            raise ConfigError(f"'{name}': no folder {home}. {HOW_TO_GET_DATA}")
        return read_retrieval(home, name)
    if not Path(name).exists():
        raise ConfigError(
            f"'{name}': neither a set by name nor a folder. Names: sample-heldout:LANGUAGE, esco-heldout:LANGUAGE, "
            "esco-family:LANGUAGE, sample-mix:LANGUAGE-LANGUAGE, esco-mix:LANGUAGE-LANGUAGE, talentclef:LANGUAGE, "
            "tquad:SPLIT, mteb:TASK; a folder or zip holds queries, corpus_elements and qrels.tsv."
        )
    return read_retrieval(name, name)


def triplet_set(name: str, folder: Path | None = None, columns: Sequence[str] = TRIPLET) -> TripletSet:
    """Triplets to judge by: ``cnli-tr:dev``, ``sample-telecom:dev``, or a table (JSONL, CSV ... a hub dataset).

    Raises:
        ConfigError, DataError: nothing of that name; a fault in its rows.
    """
    kind, _, split = name.partition(":")
    if kind == "cnli-tr":
        return read_cnli(_turkish(name, folder, f"cnli_tr/{split}.tsv.gz"), name)
    if kind == "sample-telecom":
        return _telecom(name, split)
    return read_triplets(name, columns)


def _telecom(name: str, split: str) -> TripletSet:
    """The sample's triplets; every fifth is there to judge by."""
    if split not in ("train", "dev"):
        raise ConfigError(f"'{name}': no such split. Wanted sample-telecom:train or sample-telecom:dev.")
    found = read_triplets(SAMPLE / "telecom_tr.jsonl", ("query", "positive", "negative"), name)
    return found.take([row for row in range(len(found)) if (row % 5 == 4) == (split == "dev")])


def general_set(name: str, folder: Path | None = None) -> ScoredPairs | RetrievalSet:
    """A set outside the training domain: ``stsb-tr:dev``, ``tquad:dev``, a table of scored pairs, any retrieval set.

    Raises:
        ConfigError, DataError: nothing of that name; a fault in its rows.
    """
    kind, _, split = name.partition(":")
    if kind == "stsb-tr":
        return read_scored(_turkish(name, folder, f"stsb_tr/{split}.tsv"), name)
    if Path(name.removesuffix(".gz")).suffix in (".jsonl", ".csv", ".tsv", ".parquet"):
        return read_scored(name)
    found = retrieval_set(name, folder)
    if found.held_out:
        raise ConfigError(f"'{name}': its concepts are of the training domain. Put it under evaluate.sets.")
    return found


def gendered(name: str, folder: Path | None = None) -> GenderedTitles:
    """Titles in masculine and feminine form: ``esco-gender:de`` (also es, fr).

    Raises:
        ConfigError, DataError: nothing of that name; no label holds both forms.
    """
    kind, _, language = name.partition(":")
    if kind != "esco-gender" or not language:
        raise ConfigError(f"'{name}': unknown titles. Wanted esco-gender:LANGUAGE, as in esco-gender:de.")
    return gendered_titles(name, concepts(f"esco:{language}", folder))


def named_sets(asked: Sequence[str]) -> tuple[list[str], Path | None]:
    """What a list of set names, set folders and at most one folder of real data asks for.

    Returns:
        The names of the sets, and the folder of real data. With no set named: esco-heldout:en and every language of
        TalentCLEF that the folder has, else the held-out sample.
    """
    parts = ("esco", "talentclef25", "turkish")
    roots = [name for name in asked if any((Path(name) / part).is_dir() for part in parts)]
    folder = data_folder(roots[0] if roots else None)
    names = [name for name in asked if name not in roots]
    if not names and folder is not None:
        names = [f"talentclef:{home.parent.name}" for home in folder.glob("talentclef25/validation/*/qrels.tsv")]
        names = ["esco-heldout:en"] * any((folder / "esco").glob("en.csv*")) + sorted(names)
    return names or ["sample-heldout:en"], folder


def _turkish(name: str, folder: Path | None, file: str) -> Path:
    path = (folder or Path()) / "turkish" / file
    if folder is None or not path.is_file():
        where = "no data folder is named" if folder is None else f"{folder} has no turkish/{file}"
        raise ConfigError(
            f"'{name}': {where}. Get the data set, lay it out as tutelage.records.sources says, and name the folder in "
            "TUTELAGE_DATA or --data."
        )
    return path


def _real(name: str, folder: Path | None) -> Path:
    if folder is None:
        raise ConfigError(f"'{name}' needs real data and no data folder is named. {HOW_TO_GET_DATA}")
    return folder
