"""Labels and concepts by name: `sample:en`, `esco:en,de`, or a file with one label a line."""

from functools import lru_cache
from pathlib import Path

from tutelage.errors import ConfigError, DataError
from tutelage.records.concepts import Concept, Label, labels_of, with_groups
from tutelage.records.data_folder import HOW_TO_GET_DATA, SAMPLE, real_data
from tutelage.records.esco import read_esco
from tutelage.records.tables import read_text
from tutelage.records.texts import canonical, distinct

TAXONOMIES = ("sample", "esco")


def concepts(name: str, folder: Path | None = None) -> list[Concept]:
    """Concepts of ``sample:LANGUAGES`` or ``esco:LANGUAGES`` (languages joined by commas).

    A concept that names no ISCO group is given its English one.

    Raises:
        ConfigError: an unknown taxonomy or language, or real data asked for where there is none.
    """
    taxonomy, _, languages = name.partition(":")
    if taxonomy not in TAXONOMIES or not languages:
        raise ConfigError(f"'{name}': unknown labels. Wanted sample:LANGUAGE or esco:LANGUAGE, as in esco:en,de.")
    home = SAMPLE if taxonomy == "sample" else real_data(name, folder) / "esco"
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
