"""What to learn from, by name: `esco:en`, `esco-mix:en,de`, `talentclef:en`, `tquad:train`, or a table of pairs.

Without the folder of real data (`tutelage.records.data_folder`) the sample inside the package serves: small, our own,
for trying things out.
"""

from pathlib import Path

from datasets import Dataset

from tutelage.errors import ConfigError
from tutelage.records.data_folder import HOW_TO_GET_DATA, real_data, talentclef_files
from tutelage.records.judged import general_set, triplet_set
from tutelage.records.pairs import read_pairs
from tutelage.records.talentclef import read_talentclef_pairs
from tutelage.records.taxonomy import TAXONOMIES, concepts
from tutelage.records.texts import first_sentence
from tutelage.records.turkish import training_rows

ACROSS = "-mix"  # of a taxonomy's name: pairs of labels in different languages
DESCRIBED = "-descriptions"  # pairs of a label and its concept's description
TURKISH = ("cnli-tr", "stsb-tr", "tquad", "sample-telecom")  # data sets with a split to learn from and one to judge by


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


def by_name(name: str) -> bool:
    """Whether a source of training pairs is known by its name, columns and all; else it is a file or a hub data set.

    >>> by_name("tquad:train"), by_name("pairs.csv")
    (True, False)
    """
    return name.partition(":")[0] in (*TURKISH, "talentclef") or bool(label_source(name))


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
    if files := talentclef_files(language, real_data(name, folder)):
        return read_talentclef_pairs(files[0], language)
    home = real_data(name, folder) / "talentclef25" / "train"
    raise ConfigError(f"'{name}': {home} has no {language}.tsv. {HOW_TO_GET_DATA}")
