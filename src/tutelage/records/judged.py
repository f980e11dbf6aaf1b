"""What to judge by, by name: retrieval sets, triplets, sets outside the training domain, titles in two forms."""

from collections.abc import Sequence
from pathlib import Path

from tutelage.errors import ConfigError
from tutelage.records.concepts import Label
from tutelage.records.data_folder import HOW_TO_GET_DATA, SAMPLE, data_folder, real_data, turkish_file
from tutelage.records.gender import GenderedTitles, gendered_titles
from tutelage.records.mteb import read_mteb
from tutelage.records.retrieval import RetrievalSet, labels_set, read_retrieval, translations_set
from tutelage.records.scored import ScoredPairs, read_scored
from tutelage.records.splits import HELD_OUT_SHARE, split_by_concept
from tutelage.records.taxonomy import TAXONOMIES, concepts, labels
from tutelage.records.triplets import COLUMNS as TRIPLET
from tutelage.records.triplets import TripletSet, read_triplets
from tutelage.records.turkish import read_cnli, read_tquad


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

    Held-out concepts are those that a split with this ``share`` and ``seed`` keeps from training; a share of 0 leaves
    such sets nothing.

    Raises:
        ConfigError, DataError: nothing of that name; a fault in its files.
    """
    kind, _, language = name.partition(":")
    taxonomy, _, use = kind.rpartition("-")
    if hides(name) and not share:
        raise ConfigError(f"'{name}': no concept is held out for it (data.held_out is 0). Leave the set out.")

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
        return read_tquad(turkish_file(name, folder, f"tquad/{language}.tsv").parent, language, name)
    if kind == "talentclef":
        home = real_data(name, folder) / "talentclef25" / "validation" / language
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
        return read_cnli(turkish_file(name, folder, f"cnli_tr/{split}.tsv.gz"), name)
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
        return read_scored(turkish_file(name, folder, f"stsb_tr/{split}.tsv"), name)
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


def plain_name(name: str) -> str:
    """A folder's or a zip's name as it is always spelled, so that one set has one name; any other as it is.

    >>> plain_name("talentclef:en"), plain_name("./")
    ('talentclef:en', '.')
    """
    return str(Path(name)) if Path(name).exists() else name


def named_sets(asked: Sequence[str]) -> tuple[list[str], Path | None]:
    """What a list of set names, set folders and at most one folder of real data asks for.

    Returns:
        The names of the sets, and the folder of real data. With no set named: esco-heldout:en and every language of
        TalentCLEF that the folder has, else the held-out sample.
    """
    parts = ("esco", "talentclef25", "turkish")
    roots = [name for name in asked if any((Path(name) / part).is_dir() for part in parts)]
    folder = data_folder(roots[0] if roots else None)
    names = [plain_name(name) for name in asked if name not in roots]
    if not names and folder is not None:
        names = [f"talentclef:{home.parent.name}" for home in folder.glob("talentclef25/validation/*/qrels.tsv")]
        names = ["esco-heldout:en"] * any((folder / "esco").glob("en.csv*")) + sorted(names)
    return names or ["sample-heldout:en"], folder
